"""What needs a GPU: the same values and gradients as on the CPU, and no waiting for the device."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import metricreg

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CLASSES, DIM = 5, 16
LOSSES: dict[str, dict[str, Any]] = {
    "contrastive": {},
    "triplet_margin": {},
    "ntxent": {},
    "supcon": {},
    "multi_similarity": {},
    "arcface": {"num_classes": CLASSES, "embedding_size": DIM},
    "proxy_anchor": {"num_classes": CLASSES, "embedding_size": DIM},
}


def batch(device: str, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(60, DIM, generator=generator).to(device, dtype).requires_grad_()
    return embeddings, torch.randint(CLASSES, (60,), generator=generator).to(device)


def step(pipeline: metricreg.Pipeline, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    loss = pipeline(embeddings, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss


@pytest.mark.parametrize("plan", ["dense", "tiled"])
@pytest.mark.parametrize("name", LOSSES)
def test_a_pipeline_moved_to_the_gpu_gives_what_it_gives_on_the_cpu(name: str, plan: str) -> None:
    execution = {"plan": plan} | ({"tile": 7} if plan == "tiled" else {})
    pipeline = metricreg.build({"loss": {"name": name, **LOSSES[name]}, "execution": execution})
    here, labels = batch("cpu")
    expected = step(pipeline, here, labels)
    there, labels = batch("cuda")
    found = step(pipeline.to("cuda"), there, labels)
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(there.grad.cpu(), here.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "triplet_margin"])  # whose K waits, as documented
def test_the_tiled_plan_never_waits_for_the_device(name: str) -> None:
    spec = {"loss": {"name": name, **LOSSES[name]}, "execution": {"plan": "tiled", "tile": 16}}
    pipeline = metricreg.build(spec).to("cuda")
    embeddings, labels = batch("cuda")
    step(pipeline, embeddings, labels)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(pipeline, embeddings, labels)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_computed_in_float32_and_its_gradient_comes_back_in_its_own_type(
    name: str, dtype: torch.dtype
) -> None:
    pipeline = metricreg.build({"loss": {"name": name, **LOSSES[name]}}).to("cuda")
    embeddings, labels = batch("cuda", dtype)
    with torch.autocast("cuda", dtype=dtype):
        loss = step(pipeline, embeddings, labels)
    assert loss.dtype is torch.float32
    assert embeddings.grad.dtype is dtype
    assert embeddings.grad.isfinite().all()


def test_a_miner_works_on_the_gpu() -> None:
    pipeline = metricreg.build({"loss": "triplet_margin", "miner": "batch_hard"}).to("cuda")
    embeddings, labels = batch("cuda")
    here, here_labels = batch("cpu")
    expected = step(metricreg.build(pipeline.to_spec()), here, here_labels)
    torch.testing.assert_close(step(pipeline, embeddings, labels).cpu(), expected, rtol=1e-4, atol=1e-6)


def test_a_memory_is_filled_without_waiting_for_the_device() -> None:
    spec = {"loss": {"name": "cross_batch_memory", "loss": "ntxent", "embedding_size": DIM, "memory_size": 100}}
    there, here = metricreg.build(spec).to("cuda"), metricreg.build(spec)
    embeddings, labels = batch("cuda")
    step(there, embeddings, labels)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = [step(there, embeddings, labels) for _ in range(2)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    embeddings, labels = batch("cpu")
    expected = [step(here, embeddings, labels) for _ in range(3)][1:]
    torch.testing.assert_close(torch.stack(found).cpu(), torch.stack(expected), rtol=1e-4, atol=1e-6)
