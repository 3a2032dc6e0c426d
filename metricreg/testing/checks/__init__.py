"""Every check, by what it is about. A file has those that an author would look for together."""

from metricreg.testing.check import CHECKS as CHECKS

from metricreg.testing.checks import declaration as declaration  # isort: skip
from metricreg.testing.checks import calls as calls  # isort: skip
from metricreg.testing.checks import batches as batches  # isort: skip
from metricreg.testing.checks import gradients as gradients  # isort: skip
from metricreg.testing.checks import plans as plans  # isort: skip
from metricreg.testing.checks import reducers as reducers  # isort: skip
