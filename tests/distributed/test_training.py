"""What users do around an objective: DDP, FSDP, accumulation, sums by hand, groups of their own."""

from __future__ import annotations

import pytest
import torch
from torch.distributed import fsdp

import metricreg
from metricreg.testing.processes import processes
from tests.distributed import training

WRAPS = ["encoder", "both", "sum", "accumulated"]
if hasattr(fsdp, "fully_shard"):  # from torch 2.6 on
    WRAPS.append("fsdp")


@pytest.mark.parametrize("wrap", WRAPS)
def test_steps_are_those_of_one_process_with_all_rows(wrap: str) -> None:
    want = training.trained("accumulated" if wrap == "accumulated" else "one process")
    moved = 0.0
    for rank, found in enumerate(processes(2).call(training.trained, wrap)):
        for step, (got, wanted) in enumerate(zip(found, want, strict=True)):
            assert got.keys() == wanted.keys()
            for name, tensor in wanted.items():
                torch.testing.assert_close(got[name], tensor, rtol=1e-9, atol=1e-9, msg=f"{name}, {rank}, {step}")
                moved = max(moved, float((tensor.double() - want[0][name].double()).abs().max()))
    assert moved > 1e-3


def test_a_rank_whose_rows_want_no_gradient_takes_part() -> None:
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    metricreg.build({"loss": "contrastive"}).double()(x, torch.arange(12) % 3).backward()
    assert x.grad is not None
    found = processes(2).call(training.frozen)
    torch.testing.assert_close(found[0], x.grad[:6])
    assert not bool(found[1].any())


@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_computed_in_float32(autocast: bool) -> None:
    want = training.under_autocast(autocast)
    for found in processes(2).call(training.under_autocast, autocast):
        torch.testing.assert_close(found, want, rtol=1e-6, atol=1e-6)


def test_a_group_of_ones_own_leaves_others_out() -> None:
    x = torch.randn(24, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    objective = metricreg.build({"loss": "contrastive"}).double()
    want = [objective(x[k : k + 12], torch.arange(24)[k : k + 12] % 3) for k in (0, 12)]
    for rank, found in enumerate(processes(4).call(training.of_own_group)):
        torch.testing.assert_close(found, want[rank // 2], rtol=1e-9, atol=1e-9)


def test_parameters_begin_as_those_of_rank_0() -> None:
    found = processes(3).call(training.with_other_parameters)
    torch.manual_seed(0)
    want = metricreg.build({"loss": {"name": "arcface", "num_classes": 4, "embedding_size": 4}})
    for proxies in found:
        assert torch.equal(proxies, want.get_parameter("loss.proxies"))
