"""The six kinds of component, as abstract classes. Every implementation, a plugin's too, derives from one of them."""

from metricreg.components.distance import Distance
from metricreg.components.loss import Loss, LossSlots, UnmatchedLossSlots
from metricreg.components.match import Match
from metricreg.components.miner import Miner, MinerSlots, OwnDistanceMinerSlots
from metricreg.components.reducer import Reducer
from metricreg.components.regularizer import Regularizer, RegularizerSlots

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
