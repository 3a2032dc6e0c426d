"""Components: construction, what is recorded of it, and the spec that it gives back."""

from __future__ import annotations

import copy
import enum
import inspect
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

import metricreg
from metricreg import (
    Batch,
    Distance,
    Loss,
    LossSlots,
    MetricregError,
    Reducer,
    Registry,
    SpecError,
    Term,
    create,
    register,
)
from metricreg.components.component import Component
from metricreg.components.loss import Terms
from metricreg.distances import CosineSimilarity, LpDistance
from metricreg.errors import RegistrationError
from metricreg.losses import ArcFaceLoss, ContrastiveLoss, MultipleLosses, NTXentLoss, ProxyAnchorLoss
from metricreg.reducers import ClassWeightedReducer, MeanReducer, MultipleReducers, ThresholdReducer
from metricreg.registry.entry_points import load_entry_points
from metricreg.spec.describe import describe
from tests.components.plugin import Sum


class Scaled(Sum):
    """The sum, scaled."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def finalize(self, *statistics: Tensor) -> Tensor:
        return statistics[0] * self.scale


class Learned(Distance):
    """A distance with a parameter."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(size))

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.cdist(x * self.weight, y * self.weight)


class Shade(enum.Enum):
    DARK = "dark"


class Holder(Scaled):
    def __init__(
        self,
        shade: Shade = Shade.DARK,
        pair: tuple[float, float] = (0.0, 1.0),
        parts: dict[str, list[Reducer]] | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__(scale)
        self.parts = parts


@pytest.fixture(name="registry")
def _registry() -> Registry:
    """Everything installed, for a test to add to."""
    registry = Registry(loader=load_entry_points)
    for cls in (Scaled, Learned, Holder):
        register(cls, registry=registry)
    return registry


REGISTERED = [(entry.kind, entry.name) for entry in metricreg.default_registry()]


def _parameters(kind: str, name: str) -> dict[str, Any]:
    """What the example on a component's page gives it."""
    example = describe(kind, name).example
    return {} if isinstance(example, str) else {key: value for key, value in example.items() if key != "name"}


# -- round trips ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), REGISTERED)
def test_every_registered_component_round_trips(kind: str, name: str) -> None:
    made = create(kind, name, **_parameters(kind, name))
    assert type(made) is metricreg.default_registry().get(kind, name)
    spec = made.to_spec()
    assert spec == {"name": name, **_parameters(kind, name)}
    assert _again(kind, spec).to_spec() == spec
    whole = made.to_spec(defaults=True)
    assert {"name", *inspect.signature(type(made)).parameters} - {"slots"} <= set(whole)
    assert _again(kind, whole).to_spec(defaults=True) == whole


def _again(kind: str, spec: dict[str, Any]) -> Any:
    spec = json.loads(json.dumps(spec))
    return create(kind, spec.pop("name"), **spec)


def test_a_component_made_by_hand_gives_the_same_spec_as_one_made_by_name() -> None:
    by_hand = ContrastiveLoss(0.1, distance=LpDistance(p=1), reducer=MultipleReducers({"pos_loss": MeanReducer()}))
    by_name = create(
        "loss", "contrastive", pos_margin=0.1, distance={"name": "lp", "p": 1},
        reducer={"name": "multiple", "reducers": {"pos_loss": "mean"}},
    )  # fmt: skip
    expected = {
        "name": "contrastive",
        "pos_margin": 0.1,
        "distance": {"name": "lp", "p": 1.0},
        "reducer": {"name": "multiple", "reducers": {"pos_loss": "mean"}},
    }
    assert by_hand.to_spec() == by_name.to_spec() == expected


def test_a_spec_holds_plain_json_only(registry: Registry) -> None:
    made = Holder(Shade.DARK, (1, 2), {"a": [Scaled(torch.tensor(2.0)), MeanReducer()]})
    expected = {
        "name": "local/holder",
        "shade": "dark",
        "pair": [1.0, 2.0],
        "parts": {"a": [{"name": "local/scaled", "scale": 2.0}, "mean"]},
    }
    assert made.to_spec(registry=registry) == expected
    whole = made.to_spec(registry=registry, defaults=True)
    assert whole["parts"]["a"][1] == {"name": "mean"}
    assert json.loads(json.dumps(whole)) == whole


def test_defaults_name_the_distance_and_reducer_in_use() -> None:
    whole = NTXentLoss().to_spec(defaults=True)
    assert whole["distance"] == {"name": "cosine", "power": 1.0}
    assert whole["reducer"] == {"name": "mean"}
    assert whole["embedding_reg_weight"] == 1.0
    assert ArcFaceLoss(2, 2).to_spec(defaults=True)["weight_init"] is not None


def test_a_loss_without_slots_does_not_state_them(registry: Registry) -> None:
    class Plain(Loss):
        def __init__(self, m: float = 1.0) -> None:
            super().__init__()

        def terms(self, batch: metricreg.Batch) -> Terms:
            return {}

    register(Plain, registry=registry)
    assert Plain().to_spec(registry=registry, defaults=True) == {"name": "local/plain", "m": 1.0}


def test_later_assignments_do_not_change_the_spec() -> None:
    loss = ContrastiveLoss(neg_margin=0.5)
    before, whole = loss.to_spec(), loss.to_spec(defaults=True)
    loss.neg_margin = 9.0
    loss.distance = CosineSimilarity()
    loss.reducer = MeanReducer()
    assert loss.to_spec() == before == {"name": "contrastive", "neg_margin": 0.5}
    assert loss.to_spec(defaults=True) == whole


def test_changing_a_container_that_was_passed_does_not_change_the_spec(registry: Registry) -> None:
    weights = [1.0, 2.0]
    reducer = ClassWeightedReducer(weights)
    parts: dict[str, list[Reducer]] = {"a": []}
    holder = Holder(parts=parts)
    weights.append(3.0)
    parts["b"] = [MeanReducer()]
    assert holder.parts is not None
    holder.parts["c"] = []
    assert reducer.to_spec()["weights"] == [1.0, 2.0]
    assert holder.to_spec(registry=registry)["parts"] == {"a": []}
    holder.to_spec(registry=registry)["parts"]["d"] = []
    assert holder.to_spec(registry=registry)["parts"] == {"a": []}


def test_an_unregistered_component_inside_is_named_and_located() -> None:
    class Unregistered(Scaled):
        pass

    loss = ContrastiveLoss(reducer=MultipleReducers({"neg_loss": Unregistered()}))
    with pytest.raises(SpecError, match=r"Unregistered at '/reducer/reducers/neg_loss' is not registered"):
        loss.to_spec()


def test_a_component_that_was_not_called_into_being_has_no_spec() -> None:
    with pytest.raises(SpecError, match="was not constructed by calling its class"):
        MeanReducer.__new__(MeanReducer).to_spec()


# -- sharing ----------------------------------------------------------------------------------------------------------


def test_a_component_with_state_in_two_places_is_an_error(registry: Registry) -> None:
    shared = Learned()
    losses = MultipleLosses([ContrastiveLoss(distance=shared), NTXentLoss(distance=shared)])
    with pytest.raises(SpecError, match=r"stands at '/losses/0/distance' and at '/losses/1/distance'"):
        losses.to_spec(registry=registry)
    weighted = ClassWeightedReducer([1.0])
    with pytest.raises(SpecError, match="one class_weighted with parameters or buffers"):
        ContrastiveLoss(reducer=MultipleReducers({"a": weighted, "b": weighted})).to_spec()


def test_a_pipeline_whose_loss_and_miner_share_state_has_no_spec(registry: Registry) -> None:
    shared = Learned()
    pipeline = metricreg.Pipeline(ContrastiveLoss(distance=shared), metricreg.miners.BatchHardMiner(distance=shared))
    with pytest.raises(SpecError, match=r"stands at '/loss/distance' and at '/miner/distance'"):
        pipeline.to_spec(registry=registry)


def test_a_component_without_state_may_stand_in_two_places() -> None:
    lp = LpDistance(p=1)
    spec = MultipleLosses([ContrastiveLoss(distance=lp), NTXentLoss(distance=lp)]).to_spec()
    assert [part["distance"] for part in spec["losses"]] == [{"name": "lp", "p": 1.0}] * 2


# -- construction -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: ContrastiveLoss(neg_margn=1), "unexpected argument 'neg_margn'; did you mean 'neg_margin'"),
        (lambda: ContrastiveLoss(1, 2, 3, 4), "ContrastiveLoss: too many positional"),
        (lambda: ContrastiveLoss(1, pos_margin=1), "multiple values for argument 'pos_margin'"),
        (lambda: ArcFaceLoss(3), "missing a required argument: 'embedding_size'|misses the argument 'embedding_size'"),
        (lambda: ArcFaceLoss(embedding_size=3), "misses the argument 'num_classes'"),
        (lambda: ArcFaceLoss(), "misses the arguments 'num_classes', 'embedding_size'"),
        (lambda: Distance(), "abstract"),
    ],
)
def test_wrong_arity_is_a_type_error(call: Callable[[], object], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        call()


def test_a_rule_across_parameters_is_a_spec_error_with_its_cause() -> None:
    with pytest.raises(SpecError, match=r"invalid arguments of ThresholdReducer: .*low must be under high") as caught:
        ThresholdReducer(low=2, high=1)
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(ValueError, match="low must be under high"):
        ThresholdReducer(low=2, high=1)


def test_another_exception_of_init_passes_unchanged() -> None:
    class Broken(Scaled):
        def __init__(self, scale: float = 1.0) -> None:
            super().__init__(scale)
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        Broken()


def test_forgetting_super_init_is_said() -> None:
    class Forgetful(Scaled):
        def __init__(self) -> None:
            pass

    with pytest.raises(MetricregError, match=r"Forgetful.__init__ does not call super\(\).__init__\(\)"):
        Forgetful()


def test_inheritance_and_mixins_are_declared_by_the_final_init(registry: Registry) -> None:
    class Mixin:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.mixed = True

    class Child(Mixin, Scaled):
        def __init__(self, scale: float = 3.0, shift: float = 0.0) -> None:
            super().__init__(scale)
            self.shift = shift

    class Grandchild(Child):
        pass

    class Outer(Loss):
        def __init__(self, part: Scaled | None = None, **slots: Unpack[LossSlots]) -> None:
            super().__init__(**slots)

        def terms(self, batch: metricreg.Batch) -> Terms:
            return {}

    for cls in (Child, Grandchild, Outer):
        register(cls, registry=registry)
    made = Grandchild(shift=2)
    assert (made.mixed, made.scale, made.shift) == (True, 3.0, 2.0)
    assert made.to_spec(registry=registry) == {"name": "local/grandchild", "shift": 2.0}
    spec = {"name": "local/outer", "part": {"name": "local/child", "shift": 1.0}}
    assert create("loss", "local/outer", part=spec["part"], registry=registry).to_spec(registry=registry) == spec
    with pytest.raises(SpecError, match="should be a Scaled, and 'mean' is MeanReducer"):
        create("loss", "local/outer", part="mean", registry=registry)


def test_the_recorded_class_is_the_one_called_though_the_instance_changes_its_class() -> None:
    loss = NTXentLoss(temperature=0.5)
    loss.__class__ = type("FSDPNTXentLoss", (NTXentLoss,), {})
    assert loss.to_spec() == {"name": "ntxent", "temperature": 0.5}
    proxies = ProxyAnchorLoss(3, 4)
    torch.nn.utils.parametrizations.orthogonal(proxies, "proxies")
    assert proxies.to_spec() == {"name": "proxy_anchor", "num_classes": 3, "embedding_size": 4}


# -- copying and storing ----------------------------------------------------------------------------------------------


def _loss() -> MultipleLosses:
    return MultipleLosses(
        {
            "proxies": ProxyAnchorLoss(3, 4, distance=CosineSimilarity()),
            "pairs": ContrastiveLoss(reducer=ClassWeightedReducer([1, 2, 3])),
        }
    )


def _saved(loss: torch.nn.Module) -> torch.nn.Module:
    import io

    buffer = io.BytesIO()
    torch.save(loss, buffer)
    buffer.seek(0)
    loaded: torch.nn.Module = torch.load(buffer, weights_only=False)
    return loaded


@pytest.mark.parametrize("travel", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), _saved])
def test_copies_have_the_same_spec_and_weights_and_are_their_own(travel: Callable[[Any], Any]) -> None:
    loss = _loss()
    again = travel(loss)
    assert again.to_spec(defaults=True) == loss.to_spec(defaults=True)
    x, labels = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3
    assert torch.equal(again(x, labels), loss(x, labels))
    assert not {id(p) for p in again.parameters()} & {id(p) for p in loss.parameters()}
    ours = [module for module in again.modules() if isinstance(module, Component)]
    assert len(ours) == len([module for module in loss.modules() if isinstance(module, Component)])
    recorded = again._construction[1]["losses"]["proxies"]
    assert recorded is again.losses["proxies"]


def test_a_checkpoint_of_spec_and_state_loads_with_weights_only(tmp_path: Path) -> None:
    pipeline = metricreg.Pipeline(_loss())
    torch.save({"spec": pipeline.to_spec(), "state_dict": pipeline.state_dict()}, tmp_path / "x.pt")
    stored = torch.load(tmp_path / "x.pt", weights_only=True)
    again = metricreg.build(stored["spec"])
    again.load_state_dict(stored["state_dict"])
    x, labels = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3
    assert torch.equal(again(x, labels), pipeline(x, labels))
    assert list(pipeline.state_dict()) == ["loss.losses.proxies.proxies", "loss.losses.pairs.reducer.weights"]


# -- create and register ----------------------------------------------------------------------------------------------


def test_create_takes_values_instances_and_specs() -> None:
    lp = LpDistance(p=1)
    assert create("loss", "contrastive", distance=lp).distance is lp
    assert isinstance(create("loss", "contrastive", distance="cosine").distance, CosineSimilarity)
    assert create("loss", "contrastive", distance={"name": "lp", "p": 3}).distance.p == 3
    assert create("loss", "multiple", losses=[NTXentLoss(), "contrastive"]).to_spec() == {
        "name": "multiple",
        "losses": ["ntxent", "contrastive"],
    }


@pytest.mark.parametrize(
    ("kind", "name", "parameters", "pointer", "says"),
    [
        ("loss", "contrastive", {"distance": {"name": "lp", "P": 1}}, "/distance/P", "known: p, power, normalize"),
        ("reducer", "threshold", {}, "", "give low, high, or both"),
        ("loss", "ntxent", {"reducer": {"name": "threshold"}}, "/reducer", "give low, high, or both"),
        ("reducer", "mean", {"x": 1}, "/x", "none is allowed here"),
    ],
)
def test_create_locates_what_is_wrong(
    kind: str, name: str, parameters: dict[str, Any], pointer: str, says: str
) -> None:
    with pytest.raises(SpecError) as caught:
        create(kind, name, **parameters)
    assert caught.value.title == f"invalid parameters of the {kind} '{name}'"
    assert [p.pointer for p in caught.value.problems] == [pointer]
    assert says in caught.value.problems[0].message


def test_a_parameter_may_be_called_kind(registry: Registry) -> None:
    class Kinded(Scaled):
        def __init__(self, kind: str = "x") -> None:
            super().__init__()

    register(Kinded, registry=registry)
    made = create("reducer", "local/kinded", kind="y", registry=registry)
    assert made.to_spec(registry=registry) == {"name": "local/kinded", "kind": "y"}


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("ClippedMean", "local/clipped_mean"),
        ("ClippedMeanReducer", "local/clipped_mean"),
        ("HTTPMean2", "local/http_mean2"),
        ("X", "local/x"),
    ],
)
def test_a_registered_class_gets_its_name_in_snake_case(class_name: str, name: str) -> None:
    registry = Registry()
    register(type(class_name, (Scaled,), {}), registry=registry)
    assert registry.names("reducer") == (name,)


def test_register_takes_a_name_and_returns_the_class() -> None:
    registry = Registry()
    assert register(Scaled, "other", registry=registry) is Scaled
    assert registry.names("reducer") == ("local/other",)
    assert registry.entry("reducer", "local/other").distribution == "this process"


@pytest.mark.parametrize("name", ["Other", "local/x", "a-b", "", "1a", "a b", "é"])
def test_register_refuses_other_names(name: str) -> None:
    with pytest.raises(RegistrationError, match="is no name for a component"):
        register(Scaled, name, registry=Registry())


@pytest.mark.parametrize(
    "thing", [dict, 3, "metricreg.reducers.mean:MeanReducer", torch.nn.Linear, MeanReducer(), Component]
)
def test_register_refuses_what_is_no_component(thing: Any) -> None:
    with pytest.raises(RegistrationError, match="is not a component"):
        register(thing, registry=Registry())


@pytest.mark.parametrize(
    ("base", "says"),
    [
        (Distance, "abstract: it does not implement matrix"),
        (Loss, "abstract: it does not implement terms"),
        (Reducer, "reduces nothing: implement statistics and finalize, or reduce"),
        (metricreg.Miner, "mines nothing: implement select, or mine"),
        (metricreg.Regularizer, "abstract: it does not implement terms"),
    ],
)
def test_register_refuses_a_class_that_implements_nothing(base: type[Any], says: str) -> None:
    with pytest.raises(RegistrationError, match=says):
        register(type("Nothing", (base,), {"__init__": lambda self: None}), registry=Registry())


def _cell(scale: float) -> type[Scaled]:
    """A class, as running a notebook cell defines it."""

    class FromCell(Scaled):
        def __init__(self, scale: Annotated[float, Field(ge=0)] = scale) -> None:
            super().__init__(scale)

    return FromCell


def test_registering_a_class_again_replaces_it() -> None:
    registry = Registry()
    first, second = _cell(1.0), _cell(2.0)
    register(first, registry=registry)
    register(second, registry=registry)
    assert registry.get("reducer", "local/from_cell") is second
    assert create("reducer", "local/from_cell", registry=registry).scale == 2.0
    assert first().to_spec(registry=registry) == {"name": "local/from_cell"}


def test_two_classes_with_one_name_are_refused_and_both_named() -> None:
    registry = Registry()
    register(Scaled, "mine", registry=registry)
    with pytest.raises(RegistrationError, match=r"registered twice: as .*:Scaled .* and as .*:Holder"):
        register(Holder, "mine", registry=registry)
    assert registry.get("reducer", "local/mine") is Scaled


@pytest.fixture(name="_default_registry")
def _restored() -> Iterator[None]:
    registry = metricreg.default_registry()
    entries, names = dict(registry._entries), {kind: dict(of) for kind, of in registry._names.items()}
    yield
    registry._entries, registry._names = entries, names


@pytest.mark.usefixtures("_default_registry")
def test_a_registered_class_works_in_specs_of_this_process() -> None:
    @metricreg.register
    class Tenfold(Scaled):
        def __init__(self, scale: float = 10.0) -> None:
            super().__init__(scale)

    spec = {"version": 1, "loss": {"name": "contrastive", "reducer": {"name": "local/tenfold", "scale": 20.0}}}
    assert metricreg.build(spec).to_spec() == spec
    assert "reducer.local.tenfold" in metricreg.json_schema()["$defs"]


# -- declarations that would not be what they say -----------------------------------------------------------------------


def test_a_slot_that_init_does_not_hand_on_is_refused(registry: Registry) -> None:
    class Deaf(Loss):
        def __init__(self, margin: float = 1.0, **slots: Unpack[LossSlots]) -> None:
            super().__init__()
            self.margin = margin

        def terms(self, batch: Batch) -> dict[str, Term]:
            return {"loss": Term(batch.anchors.sum(1))}

    register(Deaf, registry=registry)
    says = r"Deaf\.__init__ takes 'reducer' and does not use it; hand it on: super\(\).__init__\(\*\*slots\)"
    with pytest.raises(RegistrationError, match=says):
        Deaf(reducer=Scaled())
    register(Scaled, "known", registry=registry)
    with pytest.raises(SpecError, match=says):
        create("loss", "local/deaf", reducer="local/known", registry=registry)
    assert Deaf(margin=2.0).margin == 2.0


class OldMatches(Loss):
    """Has another `match`, as a parameter."""

    def __init__(self, match: str = "exact") -> None:
        super().__init__()

    def terms(self, batch: Batch) -> Terms:
        return {}


class Measuring(metricreg.Miner):
    """Has another `distance`, as a method."""

    def distance(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return x @ y.T

    def mine(self, batch: Batch) -> metricreg.Pairs:
        raise NotImplementedError


class Counting(metricreg.Regularizer):
    """Has another `reducer`, of another kind."""

    def __init__(self, reducer: Distance | None = None) -> None:
        super().__init__()

    def terms(self, x: Tensor) -> Terms:
        return {}


@pytest.mark.parametrize(
    ("cls", "says"),
    [
        (OldMatches, r"OldMatches has a 'match' of its own, which in every loss is the Match that it was given"),
        (Measuring, r"Measuring has a 'distance' of its own, which in every miner is the Distance"),
        (Counting, r"Counting has a 'reducer' of its own, which in every regularizer is the Reducer"),
    ],
)
def test_something_else_in_the_place_of_a_slot_is_refused(cls: type[Component], says: str) -> None:
    with pytest.raises(RegistrationError, match=says):
        register(cls, registry=Registry())


def test_what_init_does_to_its_containers_does_not_change_the_spec(registry: Registry) -> None:
    class Popping(Scaled):
        def __init__(self, weights: dict[str, float]) -> None:
            super().__init__(weights.pop("main", 1.0))

    register(Popping, registry=registry)
    given = {"main": 5.0, "other": 1.0}
    made = Popping(given)
    assert made.scale == 5.0
    assert made.to_spec(registry=registry)["weights"] == {"main": 5.0, "other": 1.0}


@pytest.mark.parametrize(
    ("base", "name"), [(Loss, "width"), (Loss, "batch_terms"), (Distance, "margin"), (Reducer, "additive")]
)
def test_a_parameter_may_not_take_the_name_of_what_its_kind_does(base: type[Any], name: str) -> None:
    source = f"class Taken(base):\n    def __init__(self, {name}: float = 1.0) -> None:\n        super().__init__()\n"
    methods = {method: lambda self, *args: None for method in getattr(base, "__abstractmethods__", ())}
    scope: dict[str, Any] = {"base": base}
    exec(source, scope)
    taken = type("Taken", (scope["Taken"],), {**methods, "reduce": lambda self, term: None})
    with pytest.raises(RegistrationError, match=f"parameter name '{name}' is taken by specs or by every {base.kind}"):
        register(taken, registry=Registry())


def test_a_loss_made_of_losses_says_how_each_is_evaluated(registry: Registry) -> None:
    class Sum(Loss):
        def __init__(self, losses: dict[str, Loss], extra: list[Loss | None] | None = None) -> None:
            super().__init__()
            self.losses = torch.nn.ModuleDict(losses)

        def terms(self, batch: Batch) -> dict[str, Any]:
            return {}

    with pytest.raises(RegistrationError, match=r"made of losses \('losses'\) and does not implement evaluate"):
        register(Sum, registry=registry)
