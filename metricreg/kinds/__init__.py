"""The six kinds of component, as abstract classes. Every implementation, a plugin's too, derives from one of them."""

from metricreg.kinds.distance import Distance
from metricreg.kinds.loss import Loss, LossSlots, UnmatchedLossSlots
from metricreg.kinds.match import Match
from metricreg.kinds.miner import Miner, MinerSlots, OwnDistanceMinerSlots
from metricreg.kinds.reducer import Reducer
from metricreg.kinds.regularizer import Regularizer, RegularizerSlots

__all__ = [
    "Distance",
    "Loss",
    "LossSlots",
    "Match",
    "Miner",
    "MinerSlots",
    "OwnDistanceMinerSlots",
    "Reducer",
    "Regularizer",
    "RegularizerSlots",
    "UnmatchedLossSlots",
]
