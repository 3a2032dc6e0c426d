"""How a MetricLoss is made, saved and loaded, and embeds in mini-batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from metricreg_sentence_transformers import MetricLoss
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import AdaptiveLayerLoss, MatryoshkaLoss
from torch import Tensor, nn

import metricreg
from metricreg.registry import Entry
from metricreg.registry.entry_points import load_entry_points

ARCFACE = {"version": 1, "loss": {"name": "arcface", "num_classes": 3, "embedding_size": 384}}
TEXTS = ["a cat", "two very big and very old dogs that bark at the moon", "rain", "it rains", "a car", "the end"]


def features(encoder: SentenceTransformer, texts: list[str], **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = encoder.preprocess(texts, **options)
    return found


# -- what it is made of -----------------------------------------------------------------------------------------------


@pytest.fixture(name="model", scope="module")
def _model() -> SentenceTransformer:
    return SentenceTransformer(modules=[nn.Identity()], device="cpu")


@pytest.mark.parametrize("suffix", [".json", ".toml"])
def test_a_spec_may_be_a_dict_a_file_or_a_pipeline(suffix: str, model: SentenceTransformer, tmp_path: Path) -> None:
    spec = {"version": 1, "loss": {"name": "ntxent", "temperature": 0.05}}
    toml = 'version = 1\n[loss]\nname = "ntxent"\ntemperature = 0.05\n'
    file = tmp_path / f"spec{suffix}"
    file.write_text(json.dumps(spec) if suffix == ".json" else toml, encoding="utf-8")
    for given in (spec, file, str(file), metricreg.build(spec)):
        assert MetricLoss(model, given).pipeline.to_spec() == spec


def test_what_is_no_spec_is_refused(model: SentenceTransformer, tmp_path: Path) -> None:
    with pytest.raises(metricreg.SpecError, match="did you mean 'ntxent'"):
        MetricLoss(model, {"loss": "ntxnt"})
    with pytest.raises(metricreg.SpecError, match="cannot read"):
        MetricLoss(model, tmp_path / "none.json")
    with pytest.raises(metricreg.InputError, match=r"a spec is a dict.*got NTXentLoss"):
        MetricLoss(model, metricreg.create("loss", "ntxent"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="SentenceTransformer first, then a spec; got dict"):
        MetricLoss({"loss": "ntxent"}, model)  # type: ignore[arg-type]
    for size in (0, -1, True, 2.5, "2"):
        with pytest.raises(metricreg.InputError, match="mini_batch_size"):
            MetricLoss(model, {"loss": "ntxent"}, mini_batch_size=size)  # type: ignore[arg-type]


def test_the_config_is_plain_data(model: SentenceTransformer) -> None:
    config = MetricLoss(model, {"loss": "ntxent"}, in_batch_negatives=False).get_config_dict()
    assert json.loads(json.dumps(config)) == config
    assert config["spec"] == {"version": 1, "loss": "ntxent"}
    assert config["in_batch_negatives"] is False
    assert set(config["versions"]) == {"metricreg", "metricreg-sentence-transformers"}


class Local(metricreg.losses.NTXentLoss):
    """Registered under a name of its own."""


def test_the_config_has_the_versions_of_the_plugins_in_use(
    model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = metricreg.Registry(load_entry_points)
    monkeypatch.setattr("metricreg.registry.registry._default", registry)
    registry.add(Entry("loss", "acme/local", Local, "pytest"), Entry("reducer", "acme/unused", Local, "pluggy"))
    config = MetricLoss(model, {"loss": {"name": "multiple", "losses": ["acme/local"]}}).get_config_dict()
    assert config["spec"]["loss"]["losses"] == ["acme/local"]
    assert config["versions"]["pytest"] == pytest.__version__
    assert "pluggy" not in config["versions"]


def test_a_loss_of_this_process_has_no_version(model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metricreg.registry.registry._default", metricreg.Registry(load_entry_points))
    metricreg.register(Local)
    config = MetricLoss(model, {"loss": "local/local"}).get_config_dict()
    assert config["spec"]["loss"] == "local/local"
    assert set(config["versions"]) == {"metricreg", "metricreg-sentence-transformers"}


def test_a_loss_that_is_not_registered_has_a_config_without_a_spec(model: SentenceTransformer) -> None:
    class Unregistered(metricreg.losses.NTXentLoss):
        """One that no spec can name."""

    config = MetricLoss(model, metricreg.Pipeline(Unregistered())).get_config_dict()
    assert config["spec"].startswith("none: ")
    assert "Unregistered" in config["spec"]


# -- saved and loaded -------------------------------------------------------------------------------------------------


def test_what_was_learned_is_saved_and_loaded_without_the_encoder(encoder: SentenceTransformer, tmp_path: Path) -> None:
    loss, other = MetricLoss(encoder, ARCFACE), MetricLoss(encoder, ARCFACE)
    loss.save(tmp_path / "loss")
    assert json.loads((tmp_path / "loss" / "loss.json").read_text(encoding="utf-8"))["spec"] == ARCFACE
    assert (tmp_path / "loss" / "loss.safetensors").stat().st_size < 10_000
    assert not torch.equal(other.pipeline.loss.proxies, loss.pipeline.loss.proxies)
    other.load(tmp_path / "loss")
    assert torch.equal(other.pipeline.loss.proxies, loss.pipeline.loss.proxies)


def test_the_state_of_another_spec_is_refused(model: SentenceTransformer, tmp_path: Path) -> None:
    MetricLoss(model, ARCFACE).save(tmp_path)
    with pytest.raises(metricreg.InputError, match=r"another spec.*arcface"):
        MetricLoss(model, {"loss": {"name": "cosface", "num_classes": 3, "embedding_size": 384}}).load(tmp_path)
    for broken in ("{", "[]", "{}"):
        (tmp_path / "loss.json").write_text(broken, encoding="utf-8")
        with pytest.raises(metricreg.InputError, match="what MetricLoss"):
            MetricLoss(model, ARCFACE).load(tmp_path)
    with pytest.raises(metricreg.InputError, match="what MetricLoss"):
        MetricLoss(model, ARCFACE).load(tmp_path / "none")


# -- mini-batches -----------------------------------------------------------------------------------------------------


def value_and_gradients(loss: nn.Module, columns: list[Any], labels: Any = None) -> list[Tensor]:
    loss.zero_grad()
    value = loss([dict(column) for column in columns], labels)
    value.backward()
    return [value.detach(), *[p.grad.clone() for p in loss.parameters() if p.grad is not None]]


@pytest.mark.parametrize("size", [1, 4, 6, 100])
def test_mini_batches_change_neither_value_nor_gradient(size: int, encoder: SentenceTransformer) -> None:
    encoder = encoder.double().eval()
    columns = [features(encoder, TEXTS), features(encoder, TEXTS[::-1])]
    for spec, given, labels in (
        ({"loss": {"name": "ntxent", "temperature": {"learned": 0.1}}}, columns, None),
        (ARCFACE, columns[:1], torch.arange(6) % 3),
    ):
        loss = MetricLoss(encoder, spec)
        expected = value_and_gradients(loss, given, labels)
        loss.mini_batch_size = size
        torch.testing.assert_close(value_and_gradients(loss, given, labels), expected, rtol=1e-7, atol=1e-10)


def test_mini_batches_keep_less_for_the_backward_pass(encoder: SentenceTransformer) -> None:
    encoder.requires_grad_(True)
    columns = [features(encoder, TEXTS * 4), features(encoder, TEXTS[::-1] * 4)]

    def kept(size: int | None) -> int:
        sizes: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            if not isinstance(tensor, nn.Parameter):
                sizes[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            MetricLoss(encoder, {"loss": "ntxent"}, mini_batch_size=size)(columns)
        return sum(sizes.values())

    assert kept(4) < 0.05 * kept(None)


def test_dropout_is_the_same_when_a_mini_batch_is_computed_again(encoder: SentenceTransformer) -> None:
    columns = [features(encoder, TEXTS), features(encoder, TEXTS[::-1])]
    loss = MetricLoss(encoder, {"loss": "ntxent"}, mini_batch_size=6)
    found = []
    for loss.mini_batch_size in (6, None):
        torch.manual_seed(3)
        found.append(value_and_gradients(loss, columns))
    torch.testing.assert_close(*found)


def test_a_prompt_that_pooling_leaves_out_is_left_out_once(encoder: SentenceTransformer) -> None:
    encoder = encoder.double().eval()
    encoder[1].include_prompt = False
    columns = [features(encoder, TEXTS), features(encoder, TEXTS[::-1])]
    for column in columns:
        column["prompt_length"] = 2
    found = []
    for size in (None, 2):
        given = [{k: v.clone() if isinstance(v, Tensor) else v for k, v in column.items()} for column in columns]
        found.append(value_and_gradients(MetricLoss(encoder, {"loss": "ntxent"}, mini_batch_size=size), given))
    torch.testing.assert_close(*found, rtol=1e-7, atol=1e-10)


def test_mini_batches_say_where_they_do_not_work(encoder: SentenceTransformer, model: SentenceTransformer) -> None:
    loss = MetricLoss(encoder, {"loss": "ntxent"}, mini_batch_size=2)
    columns = [features(encoder, TEXTS), features(encoder, TEXTS[::-1])]
    for around in (MatryoshkaLoss(encoder, loss, [384, 64]), AdaptiveLayerLoss(encoder, loss)):
        with pytest.raises(metricreg.InputError, match="mini_batch_size cannot be in MatryoshkaLoss"):
            around(columns, None)
    flat = [{"input_ids": torch.arange(9), "offsets": torch.tensor([0, 4])}] * 2
    with pytest.raises(metricreg.InputError, match=r"a row a text; this model has input_ids \[9\], offsets \[2\]"):
        MetricLoss(model, {"loss": "ntxent"}, mini_batch_size=2)(flat)


def test_no_gradient_needs_no_second_pass(encoder: SentenceTransformer) -> None:
    loss = MetricLoss(encoder.eval(), {"loss": "ntxent"}, mini_batch_size=4)
    columns = [features(encoder, TEXTS), features(encoder, TEXTS[::-1])]
    with torch.no_grad():
        found = loss(columns)
        loss.mini_batch_size = None
        torch.testing.assert_close(found, loss(columns))
