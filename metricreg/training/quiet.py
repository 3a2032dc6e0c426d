"""Lightning without its remarks on hardware, workers and products."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOGGERS = ("lightning.pytorch", "lightning.fabric", "lightning_utilities")
REMARKS = (
    ".*does not have many workers.*",
    ".*GPU available but not used.*",
    ".*MPS available but not used.*",
    ".*you requested.*devices.*",
    ".*Checkpoint directory.*",
    ".*AMP with fp16 is not supported on CPU.*",  # an error of ours says so
    # Lightning's own use of names that torch has since renamed
    ".*isinstance.treespec, LeafSpec.*",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Let only errors of Lightning through, and leave every other warning alone."""
    import lightning.pytorch  # noqa: F401 - importing it sets the levels that are changed below

    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for remark in REMARKS:
            warnings.filterwarnings("ignore", message=remark)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
