"""The five kinds of component, as abstract classes. Every implementation, a plugin's too, derives from one of them."""

from metricreg.kinds.distance import Distance
from metricreg.kinds.loss import Loss, LossSlots
from metricreg.kinds.miner import Miner
from metricreg.kinds.reducer import Reducer
from metricreg.kinds.regularizer import Regularizer, RegularizerSlots

__all__ = ["Distance", "Loss", "LossSlots", "Miner", "Reducer", "Regularizer", "RegularizerSlots"]
