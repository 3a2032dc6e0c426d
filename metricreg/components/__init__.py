"""What a plugin derives from, and how the signature of a component becomes its declaration.

Ask it for the abstract classes of the six kinds, for a component by its name, and for a component's spec. It knows no
component that ships.
"""

from metricreg.components.distance import Distance
from metricreg.components.loss import Loss, LossSlots, UnmatchedLossSlots
from metricreg.components.match import Match
from metricreg.components.miner import Miner, MinerSlots, OwnDistanceMinerSlots
from metricreg.components.promises import by_value, symmetric
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
    "by_value",
    "symmetric",
]
