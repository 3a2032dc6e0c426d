"""What a plugin derives from, and how the signature of a component becomes its declaration.

The abstract classes of the six kinds, losses to derive others from, the two marks that authors may set, and everything
between an `__init__` and a component that is built: hints, parameters, problems, names resolved. Ask it for a component
by its name, and for a component's spec. It must not know a component that ships, nor what a document looks like.
"""

from metricreg.components.distance import Distance, DistanceSlots
from metricreg.components.learned import LearnedNumber, PositiveNumber
from metricreg.components.loss import Loss, LossSlots, UnmatchedLossSlots, UnreducedLossSlots
from metricreg.components.marks import by_value, symmetric
from metricreg.components.match import Match
from metricreg.components.miner import Miner, MinerSlots, OwnDistanceMinerSlots
from metricreg.components.reducer import Reducer
from metricreg.components.regularizer import Regularizer, RegularizerSlots
from metricreg.components.wrapper_loss import WrapperLoss

__all__ = [
    "Distance",
    "DistanceSlots",
    "LearnedNumber",
    "Loss",
    "LossSlots",
    "Match",
    "Miner",
    "MinerSlots",
    "OwnDistanceMinerSlots",
    "PositiveNumber",
    "Reducer",
    "Regularizer",
    "RegularizerSlots",
    "UnmatchedLossSlots",
    "UnreducedLossSlots",
    "WrapperLoss",
    "by_value",
    "symmetric",
]
