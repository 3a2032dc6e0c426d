"""What the field calls things that have another name here: for suggestions alone, nothing is found by these."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

OTHER_NAMES: dict[str, dict[str, str]] = {
    "loss": {
        "a softmax": "sphereface",
        "add margin": "cosface",
        "add margin product": "cosface",
        "additive angular margin": "arcface",
        "additive margin": "cosface",
        "additive margin softmax": "cosface",
        "am softmax": "cosface",
        "angular margin": "arcface",
        "angular softmax": "sphereface",
        "arc margin": "arcface",
        "arc margin product": "arcface",
        "arc softmax": "arcface",
        "barlow": "barlow_twins",
        "batch all triplet": "triplet_margin",
        "batch hard triplet": "triplet_margin",
        "batch semi hard triplet": "triplet_margin",
        "cached multiple negatives ranking": "ntxent",
        "clip": "ntxent",
        "cosine softmax": "normalized_softmax",
        "dcl": "decoupled_contrastive",
        "gll": "generalized_lifted_structure",
        "info nce": "ntxent",
        "l softmax": "large_margin_softmax",
        "large margin cosine": "cosface",
        "lifted": "lifted_structure",
        "lifted struct": "lifted_structure",
        "lifted structured": "lifted_structure",
        "memory bank": "cross_batch_memory",
        "mnr": "ntxent",
        "mnrl": "ntxent",
        "moco": "cross_batch_memory",
        "ms": "multi_similarity",
        "multi class n pair": "npairs",
        "multiple negatives": "ntxent",
        "multiple negatives ranking": "ntxent",
        "multiple negatives symmetric ranking": "ntxent",
        "n pair": "npairs",
        "n pair mc": "npairs",
        "n pairs mc": "npairs",
        "nce": "ntxent",
        "neighbourhood components analysis": "nca",
        "norm face": "normalized_softmax",
        "norm softmax": "normalized_softmax",
        "nt xent": "ntxent",
        "pairwise": "contrastive",
        "recall k": "recall_at_k",
        "rll": "ranked_list",
        "sct": "selectively_contrastive_triplet",
        "sigmoid": "siglip",
        "signal to noise ratio contrastive": "snr_contrastive",
        "sim clr": "ntxent",
        "sincere": "ntxent",
        "supervised contrastive": "supcon",
        "tcm": "threshold_consistent_margin",
        "triplet": "triplet_margin",
        "triplet hard": "triplet_margin",
        "triplet semi hard": "triplet_margin",
        "tuplet": "tuplet_margin",
        "xbm": "cross_batch_memory",
    },
    "distance": {
        "city block": "lp",
        "cos": "cosine",
        "dot": "dot_product",
        "euclidean": "lp",
        "inner product": "dot_product",
        "ip": "dot_product",
        "l1": "lp",
        "l2": "lp",
        "manhattan": "lp",
        "minkowski": "lp",
        "signal to noise ratio": "snr",
        "sq euclidean": "lp",
        "squared euclidean": "lp",
        "squared l2": "lp",
    },
    "miner": {
        "embeddings already packaged as triplets": "packaged_triplets",
        "easy hard": "batch_easy_hard",
        "hard": "batch_hard",
        "hard aware": "hdc",
        "ms": "multi_similarity",
        "semihard": "triplet_margin",
        "semi hard triplet": "triplet_margin",
    },
    "reducer": {"average": "mean", "none": "do_nothing", "mean of non zero": "avg_non_zero"},
    "regularizer": {"elastic net": "l1_l2", "lasso": "l1", "ridge": "l2", "weight decay": "l2"},
}
PARAMETERS: dict[str, dict[str, Any]] = {
    "city block": {"p": 1},
    "l1": {"p": 1},
    "manhattan": {"p": 1},
    "moco": {"loss": "ntxent", "embedding_size": 128},
    "sq euclidean": {"power": 2},
    "squared euclidean": {"power": 2},
    "squared l2": {"power": 2},
}
"""What makes of the component the one that is meant, where its defaults do not."""
NOT_HERE: dict[str, dict[str, str]] = {
    "loss": {
        "base loss wrapper": "a loss made of losses derives from metricreg.WrapperLoss",
        "base metric loss function": "a loss of your own derives from metricreg.Loss",
        "embedding regularizer mixin": "every loss takes 'embedding_regularizer'",
        "generic pair": "a loss of your own derives from metricreg.Loss, and implements terms",
        "weight regularizer mixin": "losses with class vectors take 'weight_regularizer'",
    },
    "distance": {
        "base": "a distance of your own derives from metricreg.Distance",
        "batched": 'every loss can be evaluated in tiles: "execution": {"plan": "tiled"}',
    },
    "miner": {
        "base": "a miner of your own derives from metricreg.Miner",
        "maximum loss": "no miner looks at losses; batch_hard looks at distances",
    },
    "reducer": {"base": "a reducer of your own derives from metricreg.Reducer"},
    "regularizer": {"base": "a regularizer of your own derives from metricreg.Regularizer"},
}
"""What stands here in the place of classes that have no counterpart."""
OTHER_PARAMETERS = {
    "aggregation_func": "aggregation",
    "default_reducer": "default",
    "descriptors_dim": "embedding_size",
    "dim": "embedding_size",
    "in_features": "embedding_size",
    "m": "margin",
    "n_classes": "num_classes",
    "normalize_embeddings": "normalize",
    "out_features": "num_classes",
    "queue_size": "memory_size",
    "s": "scale",
    "smooth_loss": "smooth",
    "sub_centers": "centers_per_class",
    "t": "temperature",
    "tau": "temperature",
    "weight_init_func": "weight_init",
}
ENDINGS = {
    "loss": ("loss", "losses"),
    "distance": ("distance", "similarity"),
    "miner": ("miner",),
    "reducer": ("reducer",),
    "regularizer": ("regularizer",),
    "match": ("match",),
}
"""What a name may end in that says its kind."""


def name_here(kind: str, name: str, known: Mapping[str, str]) -> str | None:
    """How to write what a name stands for, if that is known: `'ntxent'`.

    Args:
        kind: that is wanted.
        name: a name of the field, or a name or a class of the registry, however it is written.
        known: the names of that kind in the registry, and the classes that they stand for.
    """
    words = _words(kind, name)
    for here, cls in sorted(known.items(), key=lambda item: "/" in item[0]):
        if words & {*_words(kind, here), *_words(kind, cls)}:
            return f"'{here}'"
    for other, here in OTHER_NAMES.get(kind, {}).items():
        if here in known and _letters(other) in words:
            parameters = {"name": here, **PARAMETERS.get(other, {})}
            return json.dumps(parameters) if len(parameters) > 1 else f"'{here}'"
    return None


def instead(kind: str, name: str) -> str | None:
    """What stands here in the place of something that has no counterpart, if that is known."""
    words = _words(kind, name)
    return next((text for other, text in NOT_HERE.get(kind, {}).items() if _letters(other) in words), None)


def _words(kind: str, name: str) -> set[str]:
    """The letters of a name, with and without what says its kind."""
    word = _letters(name)
    return {word, *(word.removesuffix(ending) for ending in ENDINGS[kind])} - {""}


@lru_cache(maxsize=1024)  # a spec may ask for many names, and each is compared with all
def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
