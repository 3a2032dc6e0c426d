"""Manifold loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.labels import check_classes
from metricreg.batch.terms import Scalar
from metricreg.components import Distance, Loss, UnreducedLossSlots
from metricreg.components.loss import Terms
from metricreg.distances import CosineSimilarity
from metricreg.errors import InputError
from metricreg.functional.logsumexp import softplus, weighted_logsumexp
from metricreg.functional.safe import normalize_rows

SCALE = 0.5
"""Of similarities in the weights of the graph."""


class ManifoldLoss(Loss):
    r"""Brings each embedding nearer to its proxy than to the others, along a graph of embeddings and proxies.

    $$\ell_i = h(F_{i, \cdot}) + \lambda_C\, h(\cos(F_i, F_\cdot)) \qquad
      h(v) = \log \left( 1 + \sum_{k \ne c} e^{v_k - v_c + m} [v_k - v_c + m \ge 0] \right)$$

    $$F = (1 - \alpha) (I - \alpha D^{-1/2} S D^{-1/2})^{-1} \qquad S_{ij} = e^{2 [\cos(i, j)]_+} \qquad S_{ii} = 0$$

    c is the proxy of embedding i, and k runs over all proxies; D are the sums of the rows of S. F is where a random
    walk through the graph of all embeddings and proxies ends: one matrix, inverted at once. The loss is a mean of its
    own, which no reducer changes. Labels say which proxy is whose; with `num_classes` they are classes, which are dealt
    out to the proxies at random when the loss is made, and that is part of the state. Without labels, embeddings are
    dealt out anew in every step. Tuples or a miner weigh each embedding by how often it occurs in them. Aziere and
    Todorovic 2019, "Ensemble Deep Manifold Similarity Learning Using Hard Proxies".

    Args:
        l: the dimension of the embeddings, at least 1.
        K: how many proxies there are, at least 2.
        lambda_c: weight of the part that compares whole rows of F, at least 0.
        alpha: how far the walk goes, greater than 0 and less than 1.
        margin: m, in units of F and of the cosine.
        num_classes: labels are 0 to num_classes - 1; 0 to K - 1 if None.
    """

    compared_with = "own rows"

    distances: ClassVar[tuple[type[Distance], ...]] = (CosineSimilarity,)

    proxy_of_class: Tensor | None

    default_distance = CosineSimilarity

    def __init__(
        self,
        l: Annotated[int, Field(gt=0)],  # noqa: E741 - the paper's name
        K: Annotated[int, Field(gt=1)] = 50,  # noqa: N803
        lambda_c: Annotated[float, Field(ge=0)] = 1.0,
        alpha: Annotated[float, Field(gt=0, lt=1)] = 0.8,
        margin: float = 5e-4,
        num_classes: Annotated[int, Field(gt=0)] | None = None,
        **slots: Unpack[UnreducedLossSlots],
    ) -> None:
        super().__init__(**slots)
        self.lambda_c = lambda_c
        self.alpha = alpha
        self.margin = margin
        self.proxies = nn.Parameter(torch.randn(K, l))
        self.register_buffer("proxy_of_class", None if num_classes is None else _dealt(num_classes, K))

    def prepare(self, batch: Batch) -> Batch:
        """Say whose proxy is which."""
        proxies, size = self.proxies.shape
        if batch.anchors.shape[1] != size:
            raise InputError(f"ManifoldLoss has l={size}; the embeddings have {batch.anchors.shape[1]} dimensions")
        if batch.references is not batch.anchors:
            raise InputError("ManifoldLoss compares embeddings with its proxies and takes no ref_embeddings")
        labels, dealt = batch.anchor_labels, self.proxy_of_class
        if labels is None:
            own = _dealt(len(batch), proxies, batch.anchors.device)
        else:
            check_classes(labels, proxies if dealt is None else len(dealt), "ManifoldLoss")
            own = labels.long() if dealt is None else dealt[labels.long()]
        return batch.replace(selection=None, weights=batch.row_weights(), per_anchor={"own": own})

    def terms(self, batch: Batch) -> Terms:
        """None: no anchor's walk ends without the others."""
        return {}

    def batch_terms(self, batch: Batch) -> Terms:
        """`loss`: the mean over the embeddings."""
        walk, count = self._walk(torch.cat([batch.anchors, self.proxies.to(batch.anchors.dtype)])), len(batch)
        rows = normalize_rows(walk)
        losses = self._excess(walk[:count, count:], batch)
        losses = losses + self.lambda_c * self._excess(rows[:count] @ rows[count:].mT, batch)
        total = (losses if batch.weights is None else losses * batch.weights).sum()
        return {"loss": Scalar((total / max(count, 1),), lambda value: value)}

    def width(self, batch: Batch) -> int:
        """1, as nothing is made a tile at a time."""
        return 1

    def _walk(self, nodes: Tensor) -> Tensor:
        """F, `[N + K, N + K]`."""
        itself = torch.eye(len(nodes), dtype=torch.bool, device=nodes.device)
        weights = (self.distance(nodes).relu() / SCALE).exp().masked_fill(itself, 0.0)
        scale = weights.sum(1).rsqrt()
        step = weights * scale[:, None] * scale
        # not inv: it waits for the device to know that there is an inverse, which there always is
        inverse: Tensor = torch.linalg.inv_ex(itself.to(step.dtype) - self.alpha * step).inverse
        return (1.0 - self.alpha) * inverse

    def _excess(self, values: Tensor, batch: Batch) -> Tensor:
        """H of each row of `[N, K]`."""
        own = batch.per_anchor["own"][:, None]
        excess = values - values.gather(1, own) + self.margin
        return softplus(weighted_logsumexp(excess, ~(excess < 0.0).scatter(1, own, True)))


def _dealt(count: int, parts: int, device: torch.device | None = None) -> Tensor:
    """A part for each of so many things, at random; the parts are as equal in size as can be."""
    return torch.randperm(parts, device=device)[torch.randperm(count, device=device) % parts]
