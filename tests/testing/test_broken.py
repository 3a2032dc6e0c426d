"""A component that is broken in one way fails the check of that, and no other."""

from __future__ import annotations

import pytest
import torch

import metricreg
from metricreg.testing import Example, checks_of
from metricreg.testing.checks import CHECKS
from tests.testing import broken_losses, broken_others

MODULES = (broken_losses, broken_others)
SOUND = [cls for module in MODULES for cls in module.SOUND]
BROKEN = {cls: check for module in MODULES for cls, check in module.BROKEN.items()}


def failures(cls: type[metricreg.Loss]) -> dict[str, str]:
    example = Example(cls)
    outcomes = [check.outcome(example) for check in checks_of(example.kind) if not check.informative]
    return {found.check: found.reason for found in outcomes if found.status == "failed"}


@pytest.mark.parametrize("cls", SOUND)
def test_a_sound_component_fails_no_check(cls: type) -> None:
    assert failures(cls) == {}


@pytest.mark.parametrize(("cls", "check"), BROKEN.items())
def test_a_broken_component_fails_the_check_of_that_and_no_other(cls: type, check: str) -> None:
    found = failures(cls)
    assert list(found) == [check], found


def test_every_check_is_shown_to_find_something() -> None:
    elsewhere = {"is_one_graph", "is_equal_on_the_gpu"}  # below
    assert set(BROKEN.values()) | elsewhere == set(CHECKS)


def test_a_check_comes_after_checks_that_there_are() -> None:
    for check in CHECKS.values():
        assert set(check.after) <= CHECKS.keys()
        assert check.name not in check.after
        assert check.promise.endswith(".")
        assert check.informative or check.mend


def test_what_only_informs_never_fails() -> None:
    found = CHECKS["is_one_graph"].outcome(Example(broken_losses.Branches))
    assert found.status == "skipped"
    assert "makes no graph of it" in found.reason
    assert CHECKS["is_one_graph"].outcome(Example(broken_losses.Sound)).status == "passed"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_what_does_not_move_to_a_gpu_fails_the_check_of_that_and_no_other() -> None:
    assert list(failures(broken_losses.StaysBehind)) == ["is_equal_on_the_gpu"]
    assert failures(broken_losses.Stateful) == {}
