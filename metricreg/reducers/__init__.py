"""The reducers that metricreg ships."""

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
