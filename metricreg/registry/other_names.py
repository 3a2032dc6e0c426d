"""What the field calls things that have another name here: for suggestions alone, nothing is found by these."""

from __future__ import annotations

import json
import re

OTHER_NAMES: dict[str, dict[str, str]] = {
    "loss": {
        "additive angular margin": "arcface",
        "am softmax": "cosface",
        "a softmax": "sphereface",
        "clip": "ntxent",
        "dcl": "decoupled_contrastive",
        "infonce": "ntxent",
        "l softmax": "large_margin_softmax",
        "large margin cosine": "cosface",
        "lifted": "lifted_structure",
        "mnrl": "ntxent",
        "ms": "multi_similarity",
        "multiple negatives ranking": "ntxent",
        "n pair": "npairs",
        "n pairs mc": "npairs",
        "norm face": "normalized_softmax",
        "nt xent": "ntxent",
        "pairwise": "contrastive",
        "rll": "ranked_list",
        "sct": "selectively_contrastive_triplet",
        "simclr": "ntxent",
        "sincere": "ntxent",
        "sigmoid": "siglip",
        "supervised contrastive": "supcon",
        "triplet": "triplet_margin",
        "xbm": "cross_batch_memory",
    },
    "distance": {
        "city block": "lp",
        "cosine similarity": "cosine",
        "dot": "dot_product",
        "euclidean": "lp",
        "inner product": "dot_product",
        "ip": "dot_product",
        "l1": "lp",
        "l2": "lp",
        "manhattan": "lp",
        "minkowski": "lp",
        "signal to noise ratio": "snr",
    },
    "miner": {
        "hard": "batch_hard",
        "hard aware": "hdc",
        "ms": "multi_similarity",
        "semihard": "triplet_margin",
    },
    "reducer": {"average": "mean", "none": "do_nothing", "mean of non zero": "avg_non_zero"},
    "regularizer": {"elastic net": "l1_l2", "lasso": "l1", "ridge": "l2", "weight decay": "l2"},
}
PARAMETERS = {
    "city block": {"p": 1},
    "l1": {"p": 1},
    "manhattan": {"p": 1},
}
"""What makes of the component the one that is meant, where its defaults do not."""
ENDINGS = ("loss", "distance", "similarity", "miner", "reducer", "regularizer")
"""What a name may end in that says its kind."""


def name_here(kind: str, name: str, known: tuple[str, ...]) -> str | None:
    """How to write what a name of the field stands for, if that is known: `'ntxent'`."""
    word = _letters(name)
    words = {word, *(word.removesuffix(ending) for ending in ENDINGS)}
    for other, here in OTHER_NAMES.get(kind, {}).items():
        if here in known and _letters(other) in words:
            parameters = {"name": here, **PARAMETERS.get(other, {})}
            return json.dumps(parameters) if len(parameters) > 1 else f"'{here}'"
    return None


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
