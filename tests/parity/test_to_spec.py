"""`metricreg_pml.to_spec` of the objects that random specs stand for: the specs again."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import metricreg
from tests.parity.configurations import draw
from tests.parity.counterparts import LOSSES, OfUnitRows, in_pml

metricreg_pml = pytest.importorskip("metricreg_pml")

EACH = 6


def whole(kind: str, spec: Any) -> dict[str, Any]:
    """A spec with all defaults, and with a reducer for each term of a loss."""
    spec = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = spec.pop("name")
    found: dict[str, Any] = metricreg.create(kind, name, **spec).to_spec(defaults=True)
    if kind == "loss" and "reducer" in found:
        reducer = found["reducer"]
        several = reducer.get("reducers", {})
        found["reducer"] = {term: several.get(term, reducer.get("default", reducer)) for term in LOSSES[name].terms}
    return found


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # scipy, of PML's large margins
@pytest.mark.filterwarnings("ignore:Values of Tp or Tn:UserWarning")  # PML, of those that it finds too high
@pytest.mark.parametrize("name", LOSSES)
def test_the_spec_of_an_object_is_the_one_that_made_it(name: str) -> None:
    for index in range(EACH):
        spec = draw(name, index).spec
        loss, miner = in_pml("loss", spec["loss"]), "miner" in spec and in_pml("miner", spec["miner"])
        wanted = dict(spec["loss"])
        if isinstance(loss, OfUnitRows):  # which has the penalty beside the loss
            loss = loss.loss
            wanted = {key: value for key, value in wanted.items() if not key.startswith("embedding_reg")}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", metricreg_pml.PMLDifferenceWarning)
            if "'aggregation': 'sum'" in str(spec):  # for which PML takes a function
                with pytest.raises(metricreg_pml.NoCounterpartError, match="aggregation_func of your own"):
                    metricreg_pml.to_spec(loss)
                continue
            found = metricreg_pml.to_spec(loss, miner=miner or None)
        assert whole("loss", found["loss"]) == whole("loss", wanted), f"{name} {index}"
        if miner:
            assert whole("miner", found["miner"]) == whole("miner", spec["miner"]), f"{name} {index}"
