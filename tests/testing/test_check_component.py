"""What `check_component` says."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

import metricreg
from metricreg.losses import ContrastiveLoss, CrossBatchMemoryLoss
from metricreg.reducers import ThresholdReducer
from metricreg.testing import CheckError, Example, check_component, checks_of
from tests.testing.broken_losses import HidesNaN, Raises, Sound, Unranged, WeighsByPlace
from tests.testing.broken_others import CityBlock, Mean


def test_each_check_of_a_sound_component_is_passed_or_skipped_with_a_reason() -> None:
    found = check_component(CityBlock)
    assert [each.check for each in found] == [check.name for check in checks_of("distance")]
    assert all(each.reason for each in found if each.status == "skipped")
    assert {each.status for each in found} == {"passed", "skipped"}


class BrokenTwice(HidesNaN, WeighsByPlace):
    """Hides NaN, and goes by the place of a row, `[A, M]`."""


def test_one_error_says_all_that_was_found_with_numbers_and_how_to_mend_it() -> None:
    with pytest.raises(CheckError) as raised:
        check_component(BrokenTwice, scale=2.0)
    error = raised.value
    assert isinstance(error, AssertionError)
    assert isinstance(error, metricreg.MetricregError)
    assert list(error.failures) == ["ignores_the_order_of_rows", "shows_nan"]
    title, order, nan = str(error).split("\n\n")
    assert title == "BrokenTwice(scale=2.0) fails 2 checks"
    assert re.search(
        r"Found: with the rows in another order, the value is [\d.]+, and not [\d.]+\n  To mend it: go", order
    )
    assert nan.startswith(
        "shows_nan: A NaN in its inputs is seen in what it makes, and is not hidden.\n  Found: with a"
    )
    assert "the value is 0.0\n  To mend it: drop nothing" in nan


def test_what_a_component_raised_is_the_cause() -> None:
    with pytest.raises(CheckError, match="no batch that was tried is taken; of the first it says: KeyError") as raised:
        check_component(Raises)
    assert list(raised.value.failures) == ["takes_a_batch"]
    with pytest.raises(CheckError, match="temperature=0 is let through") as raised:
        check_component(Unranged)
    assert list(raised.value.failures) == ["declares_its_ranges"]


def test_parameters_are_values_names_specs_and_instances() -> None:
    check_component(ThresholdReducer, low=0.1)
    for reducer in ("mean", {"name": "threshold", "low": 0.1}, Mean()):
        assert isinstance(Example(Sound, {"reducer": reducer}).make().reducer, metricreg.Reducer)
    memory = Example(CrossBatchMemoryLoss, {"loss": Sound(), "embedding_size": 3})
    assert memory.inputs.embeddings.shape[1] == 3
    assert memory.make().to_spec(registry=memory.registry)["loss"] == "local/kit_1"


def test_an_instance_is_left_as_it_is() -> None:
    loss = CrossBatchMemoryLoss(ContrastiveLoss(), 4, 32)
    before = {name: tensor.clone() for name, tensor in loss.state_dict().items()}
    example = Example(loss)
    for check in checks_of("loss")[:12]:
        check.outcome(example)
    assert all(torch.equal(tensor, before[name]) for name, tensor in loss.state_dict().items())
    assert repr(example) == "CrossBatchMemoryLoss(loss=ContrastiveLoss, embedding_size=4, memory_size=32)"


def test_the_callers_random_numbers_and_warnings_stay_as_they_are() -> None:
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    check_component(CityBlock)
    assert torch.equal(torch.rand(3), want)


@pytest.mark.parametrize(
    ("given", "parameters", "message"),
    [
        (dict, {}, "is no component: give a class derived from"),
        (torch.nn.Linear(2, 2), {}, "is no component"),
        (Sound(), {"scale": 2.0}, "is given as an instance, which has its parameters"),
    ],
)
def test_what_is_no_component_is_refused(given: type, parameters: dict[str, float], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        check_component(given, **parameters)


class Exits(Sound):
    """Ends the process when it is constructed, `[A, M]`."""

    def __init__(self) -> None:
        raise SystemExit(3)


def test_an_exit_is_a_failure_and_ends_nothing() -> None:
    with pytest.raises(CheckError, match="cannot be constructed: SystemExit: 3") as raised:
        check_component(Exits)
    assert list(raised.value.failures) == ["can_be_registered"]


def test_parameters_that_do_not_fit_fail_the_first_check_alone() -> None:
    with pytest.raises(CheckError, match="it cannot be constructed") as raised:
        check_component(Sound, scale=-1.0)
    assert list(raised.value.failures) == ["can_be_registered"]


def test_neither_pytest_nor_jsonschema_is_needed() -> None:
    code = (
        "import sys; sys.modules['pytest'] = sys.modules['jsonschema'] = None\n"
        "from metricreg.testing import check_component, parametrize_with_checks\n"
        "from metricreg.reducers import MeanReducer\n"
        "print([o.reason for o in check_component(MeanReducer) if o.check == 'fits_its_schema'])\n"
        "try: parametrize_with_checks([MeanReducer])\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "['jsonschema is not installed: pip install jsonschema']"
    assert "pip install pytest" in second
