"""The reducers that metricreg ships, one a file: how the many values of a term become one.

A file derives from `Reducer` and says which sums over anchors it needs, and what their totals stand for. It must not
know which loss a term is of, or how many tiles there are.
"""

from metricreg.reducers.avg_non_zero import AvgNonZeroReducer
from metricreg.reducers.class_weighted import ClassWeightedReducer
from metricreg.reducers.divisor import DivisorReducer
from metricreg.reducers.do_nothing import DoNothingReducer
from metricreg.reducers.mean import MeanReducer
from metricreg.reducers.multiple import MultipleReducers
from metricreg.reducers.per_anchor import PerAnchorReducer
from metricreg.reducers.sum import SumReducer
from metricreg.reducers.threshold import ThresholdReducer

__all__ = [
    "AvgNonZeroReducer",
    "ClassWeightedReducer",
    "DivisorReducer",
    "DoNothingReducer",
    "MeanReducer",
    "MultipleReducers",
    "PerAnchorReducer",
    "SumReducer",
    "ThresholdReducer",
]
