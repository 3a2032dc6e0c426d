"""Every check, by what it is about. A file has those that an author would look for together."""

from metricreg.testing.check import CHECKS as CHECKS

# the order in which the checks are made
from metricreg.testing.checks import declaration as declaration  # isort: skip
from metricreg.testing.checks import calls as calls  # isort: skip
from metricreg.testing.checks import batches as batches  # isort: skip
from metricreg.testing.checks import gradients as gradients  # isort: skip
from metricreg.testing.checks import plans as plans  # isort: skip
from metricreg.testing.checks import purity as purity  # isort: skip
from metricreg.testing.checks import promises as promises  # isort: skip
from metricreg.testing.checks import distances as distances  # isort: skip
from metricreg.testing.checks import reducers as reducers  # isort: skip
from metricreg.testing.checks import precision as precision  # isort: skip
from metricreg.testing.checks import state as state  # isort: skip
from metricreg.testing.checks import ranks as ranks  # isort: skip
from metricreg.testing.checks import devices as devices  # isort: skip
