"""A rank that raises makes all raise, with its message; what ranks do not agree on is refused; nothing hangs."""

from __future__ import annotations

import pytest

import metricreg
from metricreg.testing.processes import processes
from tests.distributed.calls import (
    Breaks,
    BreaksOnRankOne,
    caught,
    step_of,
    step_of_odd,
    warnings_of,
)


@pytest.mark.parametrize("plan", ["tiled", "auto"])
@pytest.mark.parametrize(("where", "says"), [("terms", "no such thing"), ("backward", "in backward")])
def test_a_plugin_that_raises_in_one_block_makes_all_raise(where: str, says: str, plan: str) -> None:
    found = processes(3).call(caught, step_of, Breaks(where), plan)
    assert all(says in each for each in found), found
    assert sum(" failed, and so all do: " in each for each in found) == 2


def test_terms_that_some_ranks_lack_are_refused_by_all() -> None:
    found = processes(3).call(caught, step_of, Breaks("names"), "tiled")
    assert all(each.startswith("MetricregError") and "other" in each for each in found), found


def test_a_rank_that_raises_where_all_do_the_same_makes_all_raise() -> None:
    found = processes(3).call(caught, step_of, BreaksOnRankOne(), "tiled")
    assert found[1] == "OSError: a disk is full"
    assert found[0] == found[2] == "MetricregError: rank 1 of 3 failed, and so all do: OSError: a disk is full"


@pytest.mark.parametrize(
    ("which", "says"),
    [
        ("shape", "embeddings must be [N, D]"),
        ("size", "the size of embeddings is 4 on rank 0, and 5 on rank 1"),
        ("labels", "labels must be [6]"),
        ("label sets", "the shape of labels is"),
        ("references", "there are ref_embeddings"),
        ("mode", "whether it is in training mode is True on rank 0, and False on rank 1"),
        ("no_grad", "whether gradients are recorded"),
        ("loss", "the components"),
        ("gradient", "execution"),
        ("views", "compares row i of embeddings with row i of ref_embeddings; there are 6 and"),
    ],
)
def test_ranks_that_do_not_fit_together_all_say_so(which: str, says: str) -> None:
    found = processes(2).call(caught, step_of_odd, which)
    assert all(says in each and each.split(":")[0] in ("InputError", "MetricregError") for each in found), found
    assert processes(2).call(caught, step_of_odd, "none") == ["nothing"] * 2


def test_off_says_once_that_each_rank_is_alone() -> None:
    for found in processes(2).call(warnings_of, {"distributed": "off"}, True):
        assert len(found) == 1
        assert found[0].startswith(
            "PerRankWarning: torch.distributed has several ranks, and this pipeline, built with "
        )
        assert "broadcast_buffers=False" in found[0]
    assert processes(2).call(warnings_of, {"distributed": "off"}, False) == [[], []]
    assert processes(2).call(warnings_of, {"distributed": "auto"}, True) == [[], []]


def test_a_bare_loss_says_once_that_each_rank_is_alone() -> None:
    for found in processes(2).call(warnings_of, None, True):
        assert len(found) == 1
        assert found[0].startswith(
            "PerRankWarning: torch.distributed has several ranks, and ContrastiveLoss is called "
        )
        assert "buffers" not in found[0]
        assert found[0].endswith("calls.py]")
    assert processes(2).call(warnings_of, None, False) == [[], []]


def test_switches_are_checked() -> None:
    problems = metricreg.validate({"loss": "contrastive", "execution": {"distributed": "on", "gradient": "mean"}})
    assert [problem.pointer for problem in problems] == ["/execution/distributed", "/execution/gradient"]
    with pytest.raises(metricreg.SpecError, match="distributed is 'auto' or 'off'"):
        metricreg.Execution(distributed="on")  # type: ignore[arg-type]
    with pytest.raises(metricreg.InputError, match="takes a group"):
        metricreg.build({"loss": "contrastive"}).distributed("off")  # type: ignore[arg-type]
