"""The plugin as specs see it: names, JSON, round trips, tiles."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import metricreg

CLIPPED = {"name": "robust/clipped_mean", "cap": 0.25}
TRIMMED = {"name": "robust/trimmed_mean", "fraction": 0.3}
SPECS: dict[str, dict[str, Any]] = {
    "clipped_mean": {"name": "triplet_margin", "margin": 0.2, "reducer": CLIPPED},
    "clipped_mean of a list": {"name": "triplet_margin", "swap": True, "reducer": CLIPPED},
    "clipped_mean an anchor": {
        "name": "supcon",
        "temperature": 5.0,
        "reducer": {"name": "per_anchor", "reducer": {"name": "robust/clipped_mean", "cap": 2.4}},
    },
    "trimmed_mean": {"name": "contrastive", "reducer": TRIMMED},
    "trimmed_mean of a term": {
        "name": "contrastive",
        "reducer": {"name": "multiple", "reducers": {"neg_loss": TRIMMED}},
    },
    "rince": {"name": "robust/rince", "q": 0.3, "density": 0.05, "temperature": 0.2},
    "rince of distances": {"name": "robust/rince", "distance": {"name": "lp", "power": 2.0}, "reducer": CLIPPED},
}


@pytest.fixture(name="batch")
def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(12) % 4
    labels[7] = 9  # an anchor without positives
    return torch.randn(12, 5, generator=generator, dtype=torch.float64), labels


def _run(spec: dict[str, Any], x: torch.Tensor, *inputs: Any, **named: Any) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = x.clone().requires_grad_()
    value = metricreg.build(json.loads(json.dumps(spec)))(leaf, *inputs, **named)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient


def test_the_plugin_is_active_under_its_namespace() -> None:
    names = metricreg.default_registry().names
    assert {"robust/clipped_mean", "robust/trimmed_mean"} <= set(names("reducer"))
    assert "robust/rince" in names("loss")
    (report,) = [r for r in metricreg.plugin_reports() if r.name == "robust"]
    assert (report.status, report.distribution) == ("active", "metricreg-robust")
    assert len(report.components) == 3


def test_listing_the_plugins_components_imports_no_torch() -> None:
    code = (
        "import sys, metricreg\n"
        "assert 'robust/rince' in metricreg.default_registry().names('loss')\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize("loss", SPECS.values(), ids=SPECS)
def test_specs_build_and_round_trip(loss: dict[str, Any]) -> None:
    spec = {"version": 1, "loss": loss, "requires": {"metricreg-robust": ">=0.1,<1"}}
    assert not metricreg.validate(spec)
    assert metricreg.build(spec).to_spec() == spec
    whole = metricreg.build(spec).to_spec(defaults=True)
    assert metricreg.build(json.loads(json.dumps(whole))).to_spec(defaults=True) == whole


@pytest.mark.parametrize("loss", SPECS.values(), ids=SPECS)
def test_dense_and_tiled_agree_in_value_and_gradient(
    loss: dict[str, Any], batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    dense = _run({"loss": loss, "execution": {"plan": "dense"}}, *batch)
    assert dense[0].isfinite()
    assert dense[1].abs().sum() > 0
    for tile in (1, 5):
        tiled = _run({"loss": loss, "execution": {"plan": "tiled", "tile": tile}}, *batch)
        torch.testing.assert_close(tiled, dense, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("loss", SPECS.values(), ids=SPECS)
def test_a_separate_reference_set_works_tiled(loss: dict[str, Any], batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, labels = batch
    named = {"ref_embeddings": x.flip(0)[:9] + 0.1, "ref_labels": labels.flip(0)[:9]}
    dense = _run({"loss": loss, "execution": {"plan": "dense"}}, x, labels, **named)
    tiled = _run({"loss": loss, "execution": {"plan": "tiled", "tile": 5}}, x, labels, **named)
    torch.testing.assert_close(tiled, dense, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("loss", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("plan", ["dense", "tiled"])
def test_a_nan_embedding_gives_a_nan(loss: dict[str, Any], plan: str, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, labels = batch
    x[3, 2] = torch.nan
    assert metricreg.build({"loss": loss, "execution": {"plan": plan}})(x, labels).isnan()


@pytest.mark.parametrize("loss", SPECS.values(), ids=SPECS)
def test_an_empty_selection_gives_zero_with_a_graph(
    loss: dict[str, Any], batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    none = torch.zeros(0, dtype=torch.long)
    value, gradient = _run({"loss": loss}, batch[0], tuples=(none, none, none))
    assert value == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize(
    ("loss", "pointer"),
    [
        ({"name": "contrastive", "reducer": {"name": "robust/clipped_mean", "cap": 0}}, "/loss/reducer/cap"),
        ({"name": "contrastive", "reducer": {"name": "robust/trimmed_mean", "fraction": 1}}, "/loss/reducer/fraction"),
        ({"name": "robust/rince", "q": 1.5}, "/loss/q"),
        ({"name": "robust/rince", "density": 0}, "/loss/density"),
        ({"name": "contrastive", "reducer": "robust/cliped_mean"}, "/loss/reducer"),
    ],
)
def test_values_out_of_range_are_located(loss: dict[str, Any], pointer: str) -> None:
    (problem,) = metricreg.validate({"loss": loss})
    assert problem.pointer == pointer


def test_the_readmes_spec_builds() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    metricreg.build(json.loads(text.split("```json")[1].split("```")[0]))
