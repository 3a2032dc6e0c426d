"""MetricLoss in a SentenceTransformerTrainer, with the real encoder."""

from __future__ import annotations

import copy
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from metricreg_sentence_transformers import MetricLoss, ObjectiveCheckpoint
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from torch import nn

import metricreg

CLASSES = Dataset.from_dict(
    {
        "text": ["a cat", "a big cat", "two cats", "a dog", "the dog barks", "dogs", "rain", "heavy rain", "it rains"],
        "label": [0, 0, 0, 1, 1, 1, 2, 2, 2],
    }
)
PAIRS = Dataset.from_dict(
    {
        "anchor": ["a cat", "a dog", "rain", "a car", "soup", "a tree"],
        "positive": ["it meows", "it barks", "it pours", "it drives", "it is hot", "it grows"],
    }
)
TRIPLETS = PAIRS.add_column("negative", ["a rat", "a wolf", "the sun", "a boat", "a salad", "a flower"])
JUDGED = PAIRS.add_column("label", [1, 1, 0, 1, 0, 0])
ARCFACE = {"loss": {"name": "arcface", "num_classes": 3, "embedding_size": 384}}
LEARNED = {"loss": {"name": "ntxent", "temperature": {"learned": 0.07}}}


def trainer(
    encoder: SentenceTransformer,
    loss: Any,
    data: Any,
    folder: Path,
    callbacks: Any = None,
    held_out: Any = None,
    **arguments: Any,
) -> SentenceTransformerTrainer:
    chosen = {
        "max_steps": 3,
        "per_device_train_batch_size": 3,
        "learning_rate": 1e-3,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        **arguments,
    }
    args = SentenceTransformerTrainingArguments(str(folder), **chosen)
    return SentenceTransformerTrainer(encoder, args, data, held_out, loss=loss, callbacks=callbacks)


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(value, before[name]) for name, value in module.state_dict().items())


def without_dropout(encoder: SentenceTransformer) -> SentenceTransformer:
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return encoder


DATASETS: dict[str, tuple[Dataset, dict[str, Any]]] = {
    "classes": (CLASSES, {"loss": "supcon"}),
    "class vectors": (CLASSES, ARCFACE),
    "classes, with a miner": (CLASSES, {"loss": "triplet_margin", "miner": "batch_hard"}),
    "pairs": (PAIRS, {"loss": "multi_similarity"}),
    "pairs, two views": (PAIRS, {"loss": {"name": "self_supervised", "loss": "ntxent"}}),
    "pairs, decorrelated": (PAIRS, {"loss": "vicreg"}),
    "triplets": (TRIPLETS, {"loss": "ntxent"}),
    "judged": (JUDGED, {"loss": "contrastive"}),
    "a learned temperature": (PAIRS, LEARNED),
}


@pytest.mark.parametrize(("data", "spec"), DATASETS.values(), ids=DATASETS)
def test_every_kind_of_dataset_trains(
    data: Dataset, spec: dict[str, Any], encoder: SentenceTransformer, tmp_path: Path
) -> None:
    loss = MetricLoss(encoder, spec)
    before, own = weights(encoder), weights(loss.pipeline)
    done = trainer(encoder, loss, data, tmp_path, per_device_train_batch_size=6).train()
    assert done.training_loss > 0
    assert changed(encoder, before)
    if any(True for _ in loss.pipeline.parameters()):
        assert changed(loss.pipeline, own)


def test_training_lowers_the_loss(encoder: SentenceTransformer, tmp_path: Path) -> None:
    loss = MetricLoss(encoder, {"loss": "ntxent"})
    logged = {"logging_strategy": "steps", "logging_steps": 1}
    run = trainer(encoder, loss, PAIRS, tmp_path, max_steps=12, per_device_train_batch_size=6, **logged)
    run.train()
    values = [entry["loss"] for entry in run.state.log_history if "loss" in entry]
    assert len(values) == 12
    assert values[-1] < 0.5 * values[0]


def test_gradients_of_the_loss_are_cleared_after_each_step(encoder: SentenceTransformer, tmp_path: Path) -> None:
    loss = MetricLoss(without_dropout(encoder), ARCFACE)
    norms: list[float] = []
    loss.pipeline.loss.proxies.register_post_accumulate_grad_hook(lambda p: norms.append(float(p.grad.norm())))
    trainer(encoder, loss, CLASSES, tmp_path, learning_rate=0.0, per_device_train_batch_size=9).train()
    assert len(norms) == 3
    torch.testing.assert_close(norms, [norms[0]] * 3, rtol=1e-4, atol=0)


def test_a_learning_rate_for_the_parameters_of_the_loss(encoder: SentenceTransformer, tmp_path: Path) -> None:
    loss = MetricLoss(encoder, ARCFACE)
    run = trainer(encoder, loss, CLASSES, tmp_path, learning_rate_mapping={r"^pipeline\.": 0.1}, learning_rate=1e-6)
    before = loss.pipeline.loss.proxies.detach().clone()
    run.train()
    assert (loss.pipeline.loss.proxies - before).abs().max() > 0.1


def test_a_loss_for_each_dataset(encoder: SentenceTransformer, tmp_path: Path) -> None:
    losses = {"classes": MetricLoss(encoder, ARCFACE), "pairs": MetricLoss(encoder, LEARNED)}
    before = {name: weights(loss.pipeline) for name, loss in losses.items()}
    run = trainer(encoder, losses, {"classes": CLASSES, "pairs": PAIRS}, tmp_path, max_steps=5)
    run.train()
    assert all(changed(loss.pipeline, before[name]) for name, loss in losses.items())
    encoder.save_pretrained(str(tmp_path / "model"))
    shown = [spec_of(block)["loss"]["name"] for block in blocks(tmp_path / "model")]
    assert shown == ["arcface", "ntxent"]


def test_the_evaluation_loss_leaves_the_state_of_the_loss_alone(encoder: SentenceTransformer, tmp_path: Path) -> None:
    memory = {"name": "cross_batch_memory", "loss": "ntxent", "embedding_size": 384, "memory_size": 32}
    loss = MetricLoss(encoder, {"loss": memory})
    run = trainer(encoder, loss, CLASSES, tmp_path)
    run.train()
    before = weights(loss.pipeline)
    assert run.evaluate(CLASSES)["eval_loss"] > 0
    assert before.keys() == loss.pipeline.state_dict().keys()
    assert not changed(loss.pipeline, before)


def test_bfloat16_trains(encoder: SentenceTransformer, tmp_path: Path) -> None:
    loss = MetricLoss(encoder, ARCFACE)
    seen = []
    linear = next(module for module in encoder.modules() if isinstance(module, nn.Linear))
    linear.register_forward_hook(lambda module, given, made: seen.append(made.dtype))
    before = weights(encoder)
    done = trainer(encoder, loss, CLASSES, tmp_path, bf16=True).train()
    assert set(seen) == {torch.bfloat16}
    assert torch.isfinite(torch.tensor(done.training_loss))
    assert changed(encoder, before)


def test_prompts_reach_the_encoder(encoder: SentenceTransformer, tmp_path: Path) -> None:
    lengths: dict[str, list[int]] = {"plain": [], "prompted": []}
    for name, prompts in (("plain", {}), ("prompted", {"anchor": "look for this thing here: "})):
        loss = MetricLoss(encoder, {"loss": "ntxent"})
        hook = encoder[0].register_forward_pre_hook(
            lambda _, given, name=name: lengths[name].append(given[0]["input_ids"].shape[1])
        )
        trainer(encoder, loss, PAIRS, tmp_path, max_steps=1, prompts=prompts).train()
        hook.remove()
    assert len(lengths["plain"]) == 2
    assert lengths["prompted"][0] > lengths["plain"][0]
    assert lengths["prompted"][1] == lengths["plain"][1]


@pytest.mark.parametrize(("data", "spec"), [(PAIRS, {"loss": "ntxent"}), (CLASSES, {"loss": "supcon"})])
def test_matryoshka_takes_it(data: Dataset, spec: Any, encoder: SentenceTransformer, tmp_path: Path) -> None:
    before = weights(encoder)
    loss = MatryoshkaLoss(encoder, MetricLoss(encoder, spec), [384, 64])
    done = trainer(encoder, loss, data, tmp_path, per_device_train_batch_size=6).train()
    assert done.training_loss > 0
    assert changed(encoder, before)


def test_a_new_model_for_each_run_is_put_into_the_loss(shipped: SentenceTransformer, tmp_path: Path) -> None:
    made = []

    def model_init() -> SentenceTransformer:
        made.append(copy.deepcopy(shipped))
        return made[-1]

    args = SentenceTransformerTrainingArguments(
        str(tmp_path), max_steps=1, save_strategy="no", report_to="none", use_cpu=True, learning_rate=0.0
    )
    run = SentenceTransformerTrainer(
        None, args, PAIRS, loss=lambda model: MetricLoss(model, {"loss": "ntxent"}), model_init=model_init
    )
    run.train()
    assert isinstance(run.loss, MetricLoss)
    assert run.loss.model is made[-1]


# -- checkpoints ------------------------------------------------------------------------------------------------------


def run_in_parts(
    encoder: SentenceTransformer, folder: Path, steps: int, resume: bool, spec: dict[str, Any]
) -> MetricLoss:
    torch.manual_seed(resume)  # class vectors begin elsewhere where training is resumed
    loss = MetricLoss(encoder, spec)
    run = trainer(
        encoder, loss, CLASSES, folder, [ObjectiveCheckpoint(loss)], save_strategy="steps", save_steps=2,
        max_steps=steps, lr_scheduler_type="constant",
    )  # fmt: skip
    run.train(resume_from_checkpoint=resume or None)
    return loss


def test_training_is_resumed_with_what_the_loss_had_learned(shipped: SentenceTransformer, tmp_path: Path) -> None:
    def encoder() -> SentenceTransformer:
        return without_dropout(copy.deepcopy(shipped))

    whole = run_in_parts(encoder(), tmp_path / "whole", 4, False, ARCFACE)
    run_in_parts(encoder(), tmp_path / "parts", 2, False, ARCFACE)
    resumed = run_in_parts(encoder(), tmp_path / "parts", 4, True, ARCFACE)
    torch.testing.assert_close(resumed.pipeline.loss.proxies, whole.pipeline.loss.proxies)


def test_a_checkpoint_without_the_loss_is_not_resumed_in_silence(encoder: SentenceTransformer, tmp_path: Path) -> None:
    loss = MetricLoss(encoder, ARCFACE)
    trainer(encoder, loss, CLASSES, tmp_path, save_strategy="steps", save_steps=1, max_steps=1).train()
    again = trainer(encoder, loss, CLASSES, tmp_path, [ObjectiveCheckpoint(loss)], max_steps=2)
    with pytest.raises(metricreg.InputError, match="resumed from step 1"):
        again.train(resume_from_checkpoint=True)


def test_the_best_model_comes_with_the_loss_of_its_step(encoder: SentenceTransformer, tmp_path: Path) -> None:
    loss = MetricLoss(encoder, ARCFACE)
    every_step = {"save_strategy": "steps", "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
    worst = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": True}
    callback = ObjectiveCheckpoint(loss)
    run = trainer(encoder, loss, CLASSES, tmp_path, [callback], CLASSES, max_steps=3, **every_step, **worst)
    run.train()
    assert run.state.best_model_checkpoint is not None
    assert not run.state.best_model_checkpoint.endswith("-3")
    best = MetricLoss(encoder, ARCFACE)
    best.load(Path(run.state.best_model_checkpoint) / "metricreg")
    assert torch.equal(best.pipeline.loss.proxies, loss.pipeline.loss.proxies)


# -- the model card ---------------------------------------------------------------------------------------------------


def blocks(folder: Path) -> list[dict[str, Any]]:
    card = (folder / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"MetricLoss</code> with these parameters:\s+```json\n(.*?)```", card, re.DOTALL)
    return [json.loads(text) for text in found]


def spec_of(block: dict[str, Any]) -> dict[str, Any]:
    return metricreg.build(block["spec"]).to_spec()


def test_the_model_card_has_the_spec_and_the_versions(encoder: SentenceTransformer, tmp_path: Path) -> None:
    spec = {
        "version": 1,
        "loss": {"name": "ntxent", "temperature": 0.05, "distance": "cosine"},
        "requires": {"metricreg": ">=0.1"},
    }
    trainer(encoder, MetricLoss(encoder, spec, mini_batch_size=2), PAIRS, tmp_path, max_steps=1).train()
    encoder.save_pretrained(str(tmp_path / "model"))
    (block,) = blocks(tmp_path / "model")
    assert block["spec"] == spec
    assert block["mini_batch_size"] == 2
    names = ["metricreg", "metricreg-sentence-transformers"]
    assert block["versions"] == {name: version(name) for name in names}
    assert "loss:MetricLoss" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    SentenceTransformer(str(tmp_path / "model"), device="cpu")
