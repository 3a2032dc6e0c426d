"""Every component of the installed pytorch-metric-learning: listed, declared, exact, and kept."""

from __future__ import annotations

import copy
import importlib
import inspect
import io
import json
import pickle
import subprocess
import sys
from typing import Any

import metricreg_pml
import pytest
import torch
from metricreg_pml import catalogue
from metricreg_pml.parameters import GIVEN_BY_EVERY_CLASS, GIVEN_BY_THE_CLASS
from pytorch_metric_learning import losses as pl
from pytorch_metric_learning import miners as pm
from torch import Tensor

import metricreg

pytestmark = [
    pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning"),  # torch, of PML's histogram
    pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning"),  # scipy, of PML's large margins
    pytest.mark.filterwarnings("ignore::metricreg.NothingToLearnWarning"),
]

SIZE = 6
LABELS = torch.arange(16) // 4
REF_LABELS = torch.arange(12) % 4
VECTORS = {"num_classes": 4, "embedding_size": SIZE}
REQUIRED: dict[str, dict[str, dict[str, Any]]] = {
    "loss": {
        **dict.fromkeys(("arcface", "cosface", "large_margin_softmax", "normalized_softmax", "proxy_anchor"), VECTORS),
        **dict.fromkeys(("proxy_nca", "soft_triple", "sphereface", "subcenter_arcface"), VECTORS),
        "cross_batch_memory": {"loss": "pml/contrastive", "embedding_size": SIZE, "memory_size": 24},
        "manifold": {"l": SIZE, "K": 4},
        "multiple": {"losses": ["pml/contrastive", "pml/ntxent"], "miners": [None, "pml/multi_similarity"]},
        "p2s_grad": {"descriptors_dim": SIZE, "num_classes": 4},
        "ranked_list": {"margin": 0.4, "Tn": 1.0},
        "self_supervised": {"loss": "pml/ntxent"},
    },
    "reducer": {
        "class_weighted": {"weights": [0.3, 1.0, 2.0, 0.5]},
        "multiple": {"reducers": {"pos_loss": "pml/sum"}},
        "threshold": {"low": 0.1},
    },
    "regularizer": {"sparse_centers": {"num_classes": 4, "centers_per_class": 2}},
}
EVERY = [(kind, name) for kind in catalogue.MODULES for name in catalogue.components(kind)]
LOSSES = [name for kind, name in EVERY if kind == "loss"]


def class_of(kind: str, name: str) -> Any:
    module = importlib.import_module(f"pytorch_metric_learning.{catalogue.MODULES[kind]}")
    return getattr(module, catalogue.components(kind)[name])


def spec_of(kind: str, name: str) -> dict[str, Any]:
    return {"name": f"pml/{name}", **REQUIRED.get(kind, {}).get(name, {})}


def component(kind: str, name: str, **more: Any) -> Any:
    parameters = REQUIRED.get(kind, {}).get(name, {})
    torch.manual_seed(0)
    return metricreg.create(kind, f"pml/{name}", **parameters, **more)


def theirs(kind: str, name: str, **more: Any) -> Any:
    """The same, constructed by hand."""
    parameters = dict(REQUIRED.get(kind, {}).get(name, {}))
    if name == "class_weighted":
        parameters["weights"] = torch.tensor(parameters["weights"])
    if name == "cross_batch_memory":
        parameters["loss"] = pl.ContrastiveLoss()
    if (kind, name) == ("loss", "multiple"):
        parameters |= {"losses": [pl.ContrastiveLoss(), pl.NTXentLoss()], "miners": [None, pm.MultiSimilarityMiner()]}
    if (kind, name) == ("reducer", "multiple"):
        parameters["reducers"] = {"pos_loss": class_of("reducer", "sum")()}
    if name == "self_supervised":
        parameters["loss"] = pl.NTXentLoss()
    torch.manual_seed(0)
    return class_of(kind, name)(**parameters, **more)


def rows(count: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, SIZE, generator=generator).to(dtype).requires_grad_()


def results(value: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    gradients = torch.autograd.grad(value, leaves, allow_unused=True)
    return [value.detach().reshape(()), *(torch.zeros(()) if g is None else g for g in gradients)]


def assert_identical(got: list[Tensor], want: list[Tensor]) -> None:
    assert float(want[0]) != 0.0
    for ours, others in zip(got, want, strict=True):
        assert torch.equal(ours, others)


# -- what is listed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", catalogue.MODULES)
def test_every_class_is_a_component_with_a_name_or_said_to_be_none(kind: str) -> None:
    module = importlib.import_module(f"pytorch_metric_learning.{catalogue.MODULES[kind]}")
    public = {name for name, member in vars(module).items() if inspect.isclass(member)}
    components = set(catalogue.components(kind).values())
    assert components | (public & catalogue.NO_COMPONENTS.keys()) == public
    assert components <= catalogue.NAMES[kind].keys(), "a class without a name in the table"
    assert not components & catalogue.NO_COMPONENTS.keys()


@pytest.mark.parametrize("kind", catalogue.MODULES)
def test_names_are_those_of_metricregs_own_components(kind: str) -> None:
    own = {name for name in metricreg.default_registry().names(kind) if "/" not in name}
    assert set(catalogue.NAMES[kind].values()) <= own


def test_a_class_without_a_name_is_called_by_its_own() -> None:
    assert catalogue._snake("DynamicArcFaceLoss", "loss") == "dynamic_arc_face"
    assert catalogue._snake("SphericalEmbeddingRegularizer", "regularizer") == "spherical_embedding"


def test_listing_imports_neither_torch_nor_the_library() -> None:
    code = (
        "import sys, metricreg\n"
        "assert 'pml/triplet_margin' in metricreg.default_registry().names('loss')\n"
        "print([m for m in ('torch', 'pytorch_metric_learning', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_parameter_of_a_class_is_one_of_the_component(kind: str, name: str) -> None:
    cls, found = class_of(kind, name), set()
    for base in cls.__mro__:
        if "__init__" in vars(base) and base.__module__.startswith(catalogue.LIBRARY):
            parameters = inspect.signature(base.__init__).parameters.values()
            found |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
            if all(p.kind is not p.VAR_KEYWORD for p in parameters):
                break
    left_out = {"self", *GIVEN_BY_EVERY_CLASS, *GIVEN_BY_THE_CLASS.get(cls.__name__, ())}
    described = metricreg.default_registry().get(kind, f"pml/{name}")
    assert set(inspect.signature(described).parameters) == found - left_out
    for parameter in found - left_out:
        assert f"\n    {parameter}: " in str(described.__doc__)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_specs_survive_the_round_trip(kind: str, name: str) -> None:
    made = component(kind, name)
    spec = made.to_spec()
    assert spec == spec_of(kind, name)
    whole = json.loads(json.dumps(made.to_spec(defaults=True)))
    again = metricreg.create(kind, whole.pop("name"), **whole)
    assert again.to_spec(defaults=True) == made.to_spec(defaults=True)


@pytest.mark.parametrize("name", LOSSES)
def test_specs_of_losses_are_valid_and_build(name: str) -> None:
    spec = {"version": 1, "loss": spec_of("loss", name)}
    assert not metricreg.validate(spec)
    found = metricreg.build(spec).to_spec()["loss"]
    assert found == (spec["loss"] if len(spec["loss"]) > 1 else f"pml/{name}")


# -- what they compute ------------------------------------------------------------------------------------------------

NO_REFERENCES = {"cross_batch_memory", "fast_ap", "histogram", "instance", "multiple", "npairs", "pnp", "ranked_list"}
NO_REFERENCES |= {"smooth_ap", "threshold_consistent_margin", *REQUIRED["loss"]} - {"self_supervised"}
NO_TUPLES = {"instance", "manifold", "p2s_grad", "pnp", "ranked_list", "self_supervised", "vicreg", "multiple"}
NO_TUPLES |= {"cross_batch_memory"}  # for which they are places in the memory
VIEWS = {"self_supervised", "vicreg"}


def ours_and_theirs(name: str, dtype: torch.dtype) -> tuple[Any, Any]:
    return component("loss", name).to(dtype), theirs("loss", name).to(dtype)


def call(loss: Any, name: str, x: Tensor, y: Tensor, tuples: Any = None) -> Tensor:
    """A loss of pytorch-metric-learning, as it wants to be called."""
    if name == "self_supervised":
        return loss(x, y)
    if name == "vicreg":
        return loss(x, ref_emb=y)
    if name == "manifold":
        return loss(x, indices_tuple=LABELS)
    return loss(x, LABELS, tuples)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_are_identical(name: str, dtype: torch.dtype) -> None:
    ours, other = ours_and_theirs(name, dtype)
    x, y = rows(16, 0, dtype), rows(16, 1, dtype)
    named = {"ref_embeddings": y} if name in VIEWS else {"labels": LABELS}
    leaves = [x, y] if name in VIEWS else [x]
    got = results(ours(x, **named), leaves + list(ours.parameters()))
    assert_identical(got, results(call(other, name, x, y), leaves + list(other.parameters())))


@pytest.mark.parametrize("miner", [pm.MultiSimilarityMiner(), pm.TripletMarginMiner()], ids=["pairs", "triplets"])
@pytest.mark.parametrize("name", [name for name in LOSSES if name not in NO_TUPLES])
def test_tuples_are_identical(name: str, miner: Any) -> None:
    ours, other = ours_and_theirs(name, torch.float32)
    x = rows(16)
    tuples = miner(x, LABELS)
    got = results(ours(x, LABELS, tuples=tuples), [x, *ours.parameters()])
    assert_identical(got, results(other(x, LABELS, tuples), [x, *other.parameters()]))


@pytest.mark.parametrize("tuples", [False, True])
@pytest.mark.parametrize("name", [name for name in LOSSES if name not in NO_REFERENCES | VIEWS])
def test_references_are_identical(name: str, tuples: bool) -> None:
    ours, other = ours_and_theirs(name, torch.float32)
    x, y = rows(16), rows(12, 1)
    listed = pm.TripletMarginMiner()(x, LABELS, y, REF_LABELS) if tuples else None
    got = ours(x, LABELS, tuples=listed, ref_embeddings=y, ref_labels=REF_LABELS)
    assert_identical(results(got, [x, y]), results(other(x, LABELS, listed, y, REF_LABELS), [x, y]))


def test_a_memory_is_identical_in_every_step_and_takes_keys() -> None:
    ours, other = ours_and_theirs("cross_batch_memory", torch.float32)
    for step in range(5):
        x, y = rows(8, step), rows(4, step + 9)
        labels, of_y = LABELS[:8], REF_LABELS[:4]
        if step % 2:
            got = ours(x, labels, ref_embeddings=y, ref_labels=of_y)
            enters = torch.arange(12) >= 8
            want = other(torch.cat([x, y]), torch.cat([labels, of_y]), enqueue_mask=enters)
        else:
            got, want = ours(x, labels), other(x, labels)
        assert_identical(results(got, [x]), results(want, [x]))


@pytest.mark.parametrize("name", [name for name, cls in catalogue.components("miner").items()])
@pytest.mark.parametrize("references", [False, True])
def test_miners_find_the_same(name: str, references: bool) -> None:
    ours, other = component("miner", name), theirs("miner", name)
    x, labels = (rows(15) if name == "packaged_triplets" else rows(16)).detach(), LABELS
    labels = labels[: len(x)]
    others = (rows(12, 1).detach(), REF_LABELS) if references and name != "packaged_triplets" else ()
    torch.manual_seed(1)
    want = other(x, labels, *others)
    torch.manual_seed(1)
    got = ours(x, labels, *others).columns()
    assert len(got) == len(want)
    assert len(got[0])
    for first in range(0, len(got), 2 if len(got) == 4 else 3):
        some = slice(first, first + (2 if len(got) == 4 else 3))
        pairs = [sorted(zip(*(column.tolist() for column in columns[some]), strict=True)) for columns in (got, want)]
        assert pairs[0] == pairs[1]


@pytest.mark.parametrize("name", catalogue.components("distance"))
@pytest.mark.parametrize("power", [1, 2])
def test_distances_are_identical(name: str, power: int) -> None:
    ours, other = component("distance", name, power=power), theirs("distance", name, power=power)
    x, y = rows(5), rows(7, 1)
    assert torch.equal(ours(x, y), other(x, y))
    assert torch.equal(ours(x), other(x))
    assert torch.equal(ours.matrix(x, y), other.compute_mat(x, y) ** power)
    assert ours.is_inverted == other.is_inverted
    torch.testing.assert_close(ours.pairwise(x[:5], y[:5]), other(x, y).diagonal(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", catalogue.components("regularizer"))
def test_regularizers_are_identical(name: str) -> None:
    ours, other, x = component("regularizer", name), theirs("regularizer", name), rows(8)
    assert_identical(results(ours(x), [x]), results(other(x), [x]))


@pytest.mark.parametrize("name", [n for n in catalogue.components("reducer") if n not in ("divisor", "do_nothing")])
def test_reducers_are_identical(name: str) -> None:
    x = rows(16)
    other = pl.ContrastiveLoss(reducer=theirs("reducer", name))
    want = results(other(x, LABELS), [x])
    exact = metricreg.create("loss", "pml/contrastive", reducer=component("reducer", name))
    assert_identical(results(exact(x, LABELS), [x]), want)
    native = metricreg.create("loss", "contrastive", reducer=component("reducer", name))
    torch.testing.assert_close(results(native(x, LABELS), [x]), want, rtol=1e-5, atol=1e-6)


def test_a_reducer_that_does_nothing_leaves_terms() -> None:
    x = rows(16)
    found = component("loss", "contrastive", reducer=component("reducer", "do_nothing"))(x, LABELS)
    assert found["pos_loss"].kind == "pos_pair"
    total = sum(metricreg.create("reducer", "avg_non_zero")(term) for term in found.values())
    torch.testing.assert_close(total, pl.ContrastiveLoss()(x, LABELS))


@pytest.mark.parametrize("name", LOSSES)
def test_terms_are_what_the_value_is_made_of(name: str) -> None:
    loss, x = component("loss", name), rows(16)
    named = {"ref_embeddings": rows(16, 1)} if name in VIEWS else {"labels": LABELS}
    total = 0.0
    for key, term in metricreg.Pipeline(loss).terms(x, **named).items():
        own = loss.pml.losses[int(key[0])] if name == "multiple" else getattr(loss.pml, "loss", loss.pml)
        spec = metricreg_pml.to_spec(own.reducer)
        reducer = metricreg.create("reducer", spec.pop("name"), **spec)
        total = total + (reducer(term) if isinstance(term, metricreg.Term) else term.finalize(*term.statistics))
    torch.testing.assert_close(total, loss(x, **named), rtol=1e-5, atol=1e-6)


# -- what is kept -----------------------------------------------------------------------------------------------------


def step(loss: Any, name: str, seed: int) -> list[Tensor]:
    x, y = rows(16, seed), rows(16, seed + 100)
    named = {"ref_embeddings": y} if name in VIEWS else {"labels": LABELS}
    return results(loss(x, **named), [x, *loss.parameters()])


def by_pickle(loss: Any) -> Any:
    return pickle.loads(pickle.dumps(loss))


def by_state(loss: Any) -> Any:
    file = io.BytesIO()
    torch.save({"spec": loss.to_spec(), "state": loss.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    torch.manual_seed(5)
    made: Any = metricreg.build({"loss": saved["spec"]}).loss
    made.load_state_dict(saved["state"])
    return made


@pytest.mark.parametrize("copied", [copy.deepcopy, by_pickle, by_state], ids=["deepcopy", "pickle", "state_dict"])
@pytest.mark.parametrize("name", LOSSES)
def test_a_copy_goes_on_as_the_original_does(name: str, copied: Any) -> None:
    loss = component("loss", name)
    for seed in range(3):
        step(loss, name, seed)
    again = copied(loss)
    assert again.to_spec() == loss.to_spec()
    for seed in range(3, 6):
        assert_identical(step(again, name, seed), step(loss, name, seed))


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_component_can_be_copied(kind: str, name: str) -> None:
    made = component(kind, name)
    assert copy.deepcopy(made).to_spec() == by_pickle(made).to_spec() == made.to_spec()
    assert type(by_pickle(made)) is type(made)


def test_class_vectors_are_parameters_and_move() -> None:
    objective = metricreg.build({"loss": spec_of("loss", "arcface")})
    assert [list(parameter.shape) for parameter in objective.parameters()] == [[SIZE, 4]]
    objective.double()
    assert objective.loss.pml.W.dtype is torch.float64
    assert objective.logits(rows(3, 0, torch.float64)).shape == (3, 4)


@pytest.mark.parametrize("name", ["cross_batch_memory", "dynamic_soft_margin"])
def test_evaluation_leaves_the_state_as_it_is(name: str) -> None:
    loss = component("loss", name)
    step(loss, name, 0)
    before = copy.deepcopy(loss.state_dict())
    twice = [step(loss.eval(), name, 1) for _ in range(2)]
    assert_identical(*twice)
    assert all(torch.equal(value, before[key]) for key, value in loss.state_dict().items())
    assert_identical(step(loss.train(), name, 1), twice[0])
    assert any(not torch.equal(value, before[key]) for key, value in loss.state_dict().items())


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_nothing_comes_of_no_rows(kind: str, name: str) -> None:
    x, none = rows(0), torch.zeros(0, dtype=torch.long)
    made = component(kind, name)
    if kind == "miner":
        assert not any(map(len, made(x, none).columns()))
    elif kind == "regularizer":
        assert float(made(x).detach()) == 0.0
    elif kind != "distance":
        loss = made if kind == "loss" else metricreg.create("loss", "margin", reducer=made)
        if kind == "reducer" and name in ("do_nothing", "multiple"):
            loss = metricreg.create("loss", "contrastive", reducer=component("reducer", "mean"))
        value = loss(x, none)
        value.backward()
        assert value.item() == 0.0


def test_two_steps_of_a_dynamic_soft_margin_can_be_taken() -> None:
    loss = component("loss", "dynamic_soft_margin")
    for seed in range(3):
        step(loss, "dynamic_soft_margin", seed)
    assert float(loss.state_dict()["pml.hist_"].sum()) == pytest.approx(1.0)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ({"name": "pml/triplet_margin", "margin": "wide"}, "/loss/margin: should be a valid number"),
        ({"name": "pml/triplet_margin", "marign": 0.1}, "did you mean 'margin'"),
        ({"name": "pml/circle", "distance": "pml/lp"}, "CircleLoss refuses this: AssertionError: CircleLoss requires"),
        ({"name": "pml/circle", "distance": "cosine"}, "CircleLoss requires the distance metric to be Cosine"),
        ({"name": "circle", "distance": "pml/cosine"}, "works with CosineSimilarity, not with PMLCosineSimilarity"),
        ({"name": "pml/cross_batch_memory", "loss": "ntxent", "embedding_size": 4}, "without 'pml/'"),
        ({"name": "pml/pnp", "variant": "X"}, "/loss/variant"),
        ({"name": "cross_batch_memory", "loss": spec_of("loss", "arcface"), "embedding_size": 4}, "rows of its own"),
        ({"name": "pml/arcface"}, "num_classes"),
        ("pml/tripletmargin", "what is called so is 'pml/triplet_margin' here"),
    ],
)
def test_wrong_arguments_are_problems(loss: Any, said: str) -> None:
    assert said in "\n".join(map(str, metricreg.validate({"loss": loss})))


@pytest.mark.parametrize(
    ("spec", "inputs", "said"),
    [
        ({"loss": "pml/pnp"}, {"ref_embeddings": rows(16), "ref_labels": LABELS}, "ref_emb is not supported"),
        ({"loss": "pml/contrastive"}, {"labels": None}, "labels and indices_tuple cannot both be None"),
        ({"loss": "pml/contrastive"}, {"labels": torch.ones(16, 3, dtype=torch.long)}, "one label a sample"),
        ({"loss": spec_of("loss", "arcface")}, {"labels": LABELS - 1}, "labels are 0 to 3; found -1"),
        ({"loss": spec_of("loss", "proxy_nca")}, {"labels": LABELS + 3}, "labels are 0 to 3; found 3"),
        ({"loss": spec_of("loss", "vicreg")}, {}, "another view"),
        (
            {"loss": spec_of("loss", "manifold")},
            {"ref_embeddings": rows(16), "ref_labels": LABELS},
            "takes no ref_embeddings",
        ),
        ({"loss": spec_of("loss", "manifold")}, {"labels": LABELS + 1}, "labels are 0 to 3; found 1 to 4"),
        (
            {"loss": "pml/histogram"},
            {"embeddings": torch.ones(16, 6)},
            "cannot compute this batch: RuntimeError: index",
        ),
        ({"loss": spec_of("loss", "self_supervised")}, {}, "makes its own labels"),
        (
            {"loss": spec_of("loss", "cross_batch_memory")},
            {"embeddings": torch.ones(16, 5)},
            "embedding_size 6; the",
        ),
        (
            {"loss": spec_of("loss", "cross_batch_memory")},
            {"embeddings": torch.ones(25, 6), "labels": [1] * 25},
            "25 rows do not fit",
        ),
        ({"loss": "contrastive", "miner": "pml/packaged_triplets"}, {}, "AssertionError: assert self.num_triplets =="),
        ({"loss": spec_of("loss", "multiple")}, {"ref_embeddings": rows(16), "ref_labels": LABELS}, "`multiple` does"),
        ({"loss": "contrastive", "miner": "pml/batch_hard"}, {"labels": None}, "needs labels"),
        ({"loss": {"name": "contrastive", "reducer": "pml/divisor"}}, {}, "states no divisor"),
    ],
)
def test_wrong_batches_are_errors_of_metricreg(spec: Any, inputs: dict[str, Any], said: str) -> None:
    with pytest.raises(metricreg.InputError, match=said):
        metricreg.build(spec)(**{"embeddings": rows(16), "labels": LABELS, **inputs})


@pytest.mark.parametrize("name", ["contrastive", "triplet_margin", "margin", "supcon"])
def test_a_nan_embedding_gives_a_nan(name: str) -> None:
    x = rows(16).detach()
    x[3, 2] = torch.nan
    assert component("loss", name)(x, LABELS).isnan()


def test_half_precision_is_computed_in_float32() -> None:
    x = rows(16).detach()
    for loss in (component("loss", "ntxent"), metricreg.create("loss", "triplet_margin", distance="pml/lp")):
        want = loss(x.half().float(), LABELS)
        assert torch.equal(loss(x.half(), LABELS), want)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(loss(x.half(), LABELS), want)
