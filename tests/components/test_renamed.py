"""Former names: specs, `create` and constructors go on taking them, and say what to write now."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
from jsonschema import Draft202012Validator

import metricreg
from metricreg.components.renamed import Renaming
from metricreg.errors import RegistrationError, RenamedWarning, SpecError
from metricreg.registry import KINDS, Entry, Registry
from metricreg.spec.describe import describe
from tests.components.renamed import CLASSES, PLACES, New, NewLoss, batch, registry, spec_with

KIND = pytest.mark.parametrize("kind", KINDS)


def warned(make: Callable[[], Any]) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = make()
    assert all(w.category is RenamedWarning and w.filename == __file__ for w in caught)
    return made, [str(w.message) for w in caught]


def at(document: Any, pointer: str) -> tuple[Any, str]:
    """What holds the place that a JSON pointer leads to, and the last step; it has to be there."""
    *path, last = pointer.removeprefix("/").split("/")
    for step in path:
        document = document[int(step) if isinstance(document, list) else step]
    assert last in document if isinstance(document, dict) else int(last) < len(document)
    return document, last


# -- specs ------------------------------------------------------------------------------------------------------------


@KIND
@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("form", ["bare", "object"])
def test_a_spec_with_the_former_name_of_a_component_builds(kind: str, lazy: bool, form: str) -> None:
    known = registry(lazy)
    old = spec_with(kind, "acme/older" if form == "bare" else {"name": "acme/older"})
    new = spec_with(kind, "acme/new")
    pipeline, said = warned(lambda: metricreg.build(old, registry=known))
    where = "/" + "/".join(PLACES[kind]) + ("" if form == "bare" else "/name")
    key = PLACES[kind][-1] if form == "bare" else "name"
    assert said == [
        f"{where}: 'acme/older', a {kind} of acme-losses, is called 'acme/new' since version 1.3; "
        f'write "{key}": "acme/new" in place of "{key}": "acme/older"'
    ]
    assert pipeline.to_spec(registry=known) == {"version": 1, **new}
    assert float(pipeline(*batch())) == float(metricreg.build(new, registry=known)(*batch()))


@KIND
def test_a_spec_with_the_former_name_of_a_parameter_builds(kind: str) -> None:
    known = registry()
    old, new = (spec_with(kind, {"name": "acme/new", name: 0.5}) for name in ("limit", "cap"))
    pipeline, said = warned(lambda: metricreg.build(old, registry=known))
    assert said == [
        f"/{'/'.join(PLACES[kind])}/limit: 'limit', a parameter of the {kind} 'acme/new' of acme-losses, is called 'cap' "
        'since version 1.3; write "cap": 0.5 in place of "limit": 0.5'
    ]
    assert pipeline.to_spec(registry=known) == {"version": 1, **new}
    assert float(pipeline(*batch())) == float(metricreg.build(new, registry=known)(*batch()))


@KIND
def test_validate_notes_former_names_where_they_stand_and_finds_no_problem(kind: str) -> None:
    old = spec_with(kind, {"name": "acme/old", "limit": 0.5})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = metricreg.validate(old, registry=registry())
    assert not report
    assert not report.unchecked
    assert [(each.what, each.former, each.current, each.since) for each in report.renamed] == [
        ("component", "acme/old", "acme/new", None),
        ("parameter", "limit", "cap", "1.3"),
    ]
    for each in report.renamed:
        holder, last = at(old, each.pointer)
        assert each.former == (last if each.what == "parameter" else holder[last])


def test_former_names_deep_inside_are_located() -> None:
    reducer = {
        "name": "acme/old",
        "limit": 1,
        "old_inner": {"name": "acme/new", "limit": 2, "old_inner": {"name": "multiple", "reducers": {"a": "acme/old"}}},
    }
    spec = {
        "loss": {
            "name": "multiple",
            "losses": {"a/b": {"name": "acme/new", "reducer": reducer}, "c": "acme/old"},
            "weights": {"a/b": 1, "c": 2},
        },
    }
    known = registry()
    report = metricreg.validate(spec, registry=known)
    inside = "/loss/losses/a~1b/reducer"
    assert [each.pointer for each in report.renamed] == [
        f"{inside}/name",
        f"{inside}/limit",
        f"{inside}/old_inner",
        f"{inside}/old_inner/limit",
        f"{inside}/old_inner/old_inner",
        f"{inside}/old_inner/old_inner/reducers/a",
        "/loss/losses/c",
    ]
    pipeline, said = warned(lambda: metricreg.build(spec, registry=known))
    assert said == [str(each) for each in report.renamed]
    written = json.dumps(pipeline.to_spec(registry=known))
    assert not any(old in written for old in ("acme/old", "limit", "old_inner"))
    listed = {"loss": {"name": "multiple", "losses": ["acme/old", {"name": "acme/new", "limit": 2}]}}
    assert [r.pointer for r in metricreg.validate(listed, registry=known).renamed] == [
        "/loss/losses/0",
        "/loss/losses/1/limit",
    ]
    assert metricreg.validate(listed, registry=known).renamed[0].write == '"acme/new"'


@pytest.mark.parametrize(
    ("component", "pointer", "message"),
    [
        ({"name": "acme/old", "limit": "x"}, "/limit", "should be a valid number"),
        (
            {"name": "acme/new", "old_inner": {"name": "acme/new", "limit": "x"}},
            "/old_inner/limit",
            "should be a valid",
        ),
        ({"name": "acme/new", "old_inner": "nothing"}, "/old_inner", "unknown reducer 'nothing'"),
        ({"name": "acme/new", "old_inner": {"name": "threshold"}}, "/old_inner", "give low, high, or both"),
        ({"name": "acme/new", "limit": 1, "cap": 1}, "/limit", "'limit' is called 'cap' now, and 'cap' is given too"),
        ({"name": "acme/old", "limitt": 1}, "/limitt", "unknown parameter 'limitt'"),
    ],
)
def test_problems_of_what_has_a_former_name_are_located(component: Any, pointer: str, message: str) -> None:
    spec = spec_with("reducer", component)
    report = metricreg.validate(spec, registry=registry())
    (problem,) = report
    assert problem.pointer == f"/loss/reducer{pointer}"
    assert problem.message.startswith(message)
    at(spec, problem.pointer)
    with pytest.raises(SpecError, match=message):
        metricreg.build(spec, registry=registry())


def test_a_component_that_no_batch_satisfies_is_located_by_its_former_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metricreg.spec.trial.SECONDS", 60)  # also on a busy machine

    class Held(metricreg.WrapperLoss):
        """A loss with a miner."""

        former_parameters: ClassVar = {"old_miner": "miner"}

        def __init__(self, loss: metricreg.Loss, miner: metricreg.Miner | None = None) -> None:
            super().__init__()
            self.loss, self.miner = loss, miner

        def evaluate(self, batch: Any, execution: Any) -> Any:
            selection = None if self.miner is None else self.miner.selection(batch)
            return self.loss(batch if selection is None else batch.replace(selection=selection), execution=execution)

        def all_terms(self, batch: Any) -> Any:
            return self.loss.all_terms(batch)

    known = registry()
    known.add(Entry("loss", "acme/held", Held, "acme-losses"))
    memory = {"name": "cross_batch_memory", "loss": "contrastive", "embedding_size": 4, "memory_size": 32}
    spec = {"loss": {"name": "acme/held", "loss": memory, "old_miner": "multi_similarity"}}
    (note,) = metricreg.validate(spec, registry=known).unchecked
    assert note.pointer == "/loss/old_miner"
    assert "takes no tuples" in note.message


def test_an_error_in_construction_is_located_by_former_names() -> None:
    class Breaks(metricreg.Reducer):
        """Cannot be constructed."""

        def __init__(self) -> None:
            super().__init__()
            raise RuntimeError("broken")

        def reduce(self, term: Any) -> Any:
            return term.sum()

    known = registry()
    known.add(Entry("reducer", "acme/breaks", Breaks, "acme-losses"))
    with pytest.raises(SpecError) as caught, pytest.warns(RenamedWarning):
        metricreg.build(spec_with("reducer", {"name": "acme/new", "old_inner": "acme/breaks"}), registry=known)
    assert caught.value.problems[0].pointer == "/loss/reducer/old_inner"


def test_rules_for_layers_take_former_names() -> None:
    import torch

    rules = [{"pattern": "*", "bias": "l2"}, {"pattern": "*", "kernel": {"name": "acme/old", "limit": 2}}]
    layer = torch.nn.Linear(2, 2)
    made, said = warned(lambda: metricreg.LayerRegularization(layer, rules, registry=registry()))
    assert [text.partition(":")[0] for text in said] == ["/1/kernel/name", "/1/kernel/limit"]
    assert made.to_spec(registry=registry())[1]["kernel"] == {"name": "acme/new", "cap": 2.0}


# -- calls ------------------------------------------------------------------------------------------------------------


@KIND
def test_create_takes_former_names(kind: str) -> None:
    known = registry()
    made, said = warned(lambda: metricreg.create(kind, "acme/older", registry=known, limit=0.5))
    assert said == [
        f"'acme/older', a {kind} of acme-losses, is called 'acme/new' since version 1.3; "
        f"write create('{kind}', 'acme/new', ...) in place of create('{kind}', 'acme/older', ...)",
        f"/limit: 'limit', a parameter of the {kind} 'acme/new' of acme-losses, is called 'cap' since version 1.3; "
        "write cap=0.5 in place of limit=0.5",
    ]
    assert made.to_spec(registry=known) == {"name": "acme/new", "cap": 0.5}
    assert type(made) is CLASSES[kind]
    with pytest.raises(SpecError, match=r"/limit: 'limit' is called 'cap' now, and 'cap' is given too"):
        metricreg.create(kind, "acme/new", registry=known, limit=0.5, cap=0.5)


def test_create_locates_former_names_inside_its_arguments() -> None:
    known = registry()
    inner = {"name": "acme/old", "limit": 2}
    _, said = warned(lambda: metricreg.create("reducer", "acme/new", registry=known, old_inner=inner))
    assert [text.partition(":")[0] for text in said] == ["/old_inner", "/old_inner/name", "/old_inner/limit"]


@KIND
def test_constructors_take_former_names_of_parameters(kind: str) -> None:
    cls = CLASSES[kind]
    made, said = warned(lambda: cls(limit=0.5))
    assert said == [
        f"/limit: 'limit', a parameter of the {kind} '{cls.__name__}', is called 'cap' since version 1.3; "
        "write cap=0.5 in place of limit=0.5"
    ]
    assert made.cap == 0.5
    assert made.to_spec(registry=registry()) == {"name": "acme/new", "cap": 0.5}
    for copied in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert copied.to_spec(registry=registry()) == {"name": "acme/new", "cap": 0.5}
    with pytest.raises(
        SpecError, match=r"/limit: 'limit' is called 'cap' now, and 'cap' is given too; give 'cap' alone"
    ):
        cls(limit=0.5, cap=0.5)
    with pytest.raises(SpecError, match=r"/limit: .*'cap' is given too"):
        cls(0.5, limit=0.5)
    with pytest.raises(SpecError, match=r"/limit: should be a valid number"):
        cls(limit="much")
    with pytest.raises(TypeError, match="unexpected argument 'limitt'"):
        cls(limitt=1)


def test_a_constructor_names_the_distribution_of_a_registered_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metricreg.registry.registry._default", registry())
    _, said = warned(lambda: NewLoss(limit=2))  # type: ignore[call-arg]
    assert "a parameter of the loss 'acme/new' of acme-losses, is called" in said[0]
    inner = New()
    made, said = warned(lambda: New(old_inner=inner))  # type: ignore[call-arg]
    assert made.inner is inner
    assert "write inner=New" in said[0]


def test_a_required_parameter_may_be_given_by_a_former_name() -> None:
    class Sized(metricreg.Reducer):
        """Of a size."""

        former_parameters: ClassVar = {"n": "size", "count": "size"}

        def __init__(self, size: int, scale: float = 1.0) -> None:
            super().__init__()
            self.size = size

        def reduce(self, term: Any) -> Any:
            return term.sum()

    with pytest.warns(RenamedWarning, match="write size=3 in place of n=3"):
        assert Sized(n=3).size == 3  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="misses the argument 'size'"):
        Sized()  # type: ignore[call-arg]
    with pytest.raises(
        SpecError, match="'n' is called 'size' now, and 'count' is given too; give 'size' alone"
    ) as both:
        Sized(n=3, count=3)  # type: ignore[call-arg]
    assert [problem.pointer for problem in both.value.problems] == ["/n"]


def test_the_warning_is_an_error_where_warnings_are() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RenamedWarning, match="/loss/limit"):
            metricreg.build({"loss": {"name": "acme/new", "limit": 1}}, registry=registry())
        with pytest.raises(RenamedWarning, match="/limit"):
            New(limit=1)  # type: ignore[call-arg]


def test_a_warning_is_shown_without_being_asked_for() -> None:
    assert issubclass(metricreg.RenamedWarning, FutureWarning)


# -- what is shown of it ----------------------------------------------------------------------------------------------


@KIND
def test_the_json_schema_takes_former_names_and_marks_them(kind: str) -> None:
    known = registry()
    schema = metricreg.json_schema(known)
    Draft202012Validator.check_schema(schema)
    valid = Draft202012Validator(schema).is_valid
    for component in (
        "acme/old",
        "acme/oldest",
        {"name": "acme/old"},
        {"name": "acme/older", "limit": 1},
        {"name": "acme/new", "limit": "x"},
        {"name": "acme/new", "limit": 1, "cap": 1},
        {"name": "acme/new", "cap": 1},
    ):
        spec = spec_with(kind, component)
        assert valid(spec) == (not metricreg.validate(spec, registry=known)), component
    properties = schema["$defs"][f"{kind}.acme.new"]["properties"]
    assert properties["limit"]["deprecated"] is True
    assert "deprecated" not in properties["cap"]
    names = schema["$defs"][kind]["oneOf"][-1]["properties"]["name"]["anyOf"]
    assert {each["const"] for each in names if each.get("deprecated")} == {"acme/old", "acme/older"}


def test_the_json_schema_wants_a_required_parameter_by_one_of_its_names() -> None:
    class Sized(metricreg.Reducer):
        """Of a size."""

        former_names = ("sized_before",)
        former_parameters: ClassVar = {"n": "size"}

        def __init__(self, size: int) -> None:
            super().__init__()

        def reduce(self, term: Any) -> Any:
            return term.sum()

    known = registry()
    known.add(Entry("reducer", "acme/sized", Sized, "acme-losses"))
    valid = Draft202012Validator(metricreg.json_schema(known)).is_valid
    for name in ("acme/sized", "acme/sized_before"):
        for parameters in ({}, {"n": 1}, {"size": 1}, {"n": 1, "size": 1}):
            spec = spec_with("reducer", {"name": name, **parameters})
            assert valid(spec) == (len(parameters) == 1) == (not metricreg.validate(spec, registry=known))
        assert not valid(spec_with("reducer", name))


@KIND
def test_describe_shows_the_names_of_now_and_mentions_former_ones(kind: str) -> None:
    found = describe(kind, "acme/old", registry())
    assert found == describe(kind, "acme/new", registry())
    assert (found.name, found.former_names) == ("acme/new", ("acme/old", "acme/older"))
    (cap,) = [p for p in found.parameters if p.name == "cap"]
    assert cap.former_names == ("limit",)
    assert "limit" not in [p.name for p in found.parameters]
    assert "acme/old" not in registry().names(kind)


# -- declarations -----------------------------------------------------------------------------------------------------


def declared(**attributes: Any) -> type[metricreg.Reducer]:
    def __init__(self: Any, cap: float = 1.0) -> None:
        metricreg.Reducer.__init__(self)

    body = {"__init__": __init__, "__doc__": "It.", "reduce": lambda self, term: term.sum(), **attributes}
    return type("Declared", (metricreg.Reducer,), body)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"former_names": "old"}, r"former_names is old; write a tuple: \(\"clamped_mean\",\)"),
        ({"former_names": ("acme/old",)}, "has 'acme/old'; a name is .*, without a namespace"),
        ({"former_names": ("Old",)}, "has 'Old'; a name is"),
        ({"former_names": ("old", ("old", "1.3"))}, "has 'old' twice"),
        ({"former_names": (3,)}, "has 3; expected a name, or a name and a version"),
        ({"former_names": (("old", "1.3", "x"),)}, "expected a name, or a name and a version"),
        ({"former_parameters": ("limit",)}, "is no mapping of former names to those of now"),
        ({"former_parameters": {"limit": "cup"}}, "there is no parameter 'cup', which 'limit' should be now"),
        ({"former_parameters": {"cap": "cap"}}, "'cap' is the name of a parameter now"),
        ({"former_parameters": {"limit": 3}}, "has 3; expected a name, or a name and a version"),
        ({"former_parameters": {"a limit": "cap"}}, "'a limit' cannot have been the name of a parameter"),
        ({"former_parameters": {"name": "cap"}}, "'name' cannot have been the name of a parameter"),
        ({"former_parameters": {3: "cap"}}, "'3' cannot have been the name of a parameter"),
    ],
)
def test_declarations_that_cannot_be_meant_are_refused(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(RegistrationError, match=message):
        metricreg.register(declared(**attributes), "declared", registry=Registry())


def test_former_names_of_a_base_are_not_those_of_a_class_derived_from_it() -> None:
    class Derived(New):
        """Another."""

    known = registry()
    known.add(Entry("reducer", "acme/derived", Derived, "acme-losses"))
    assert known.current_name("reducer", "acme/old") == "acme/new"
    with pytest.warns(RenamedWarning, match="write cap=2 in place of limit=2"):
        assert Derived(limit=2).cap == 2  # type: ignore[call-arg]


def test_former_parameters_of_a_base_go_as_far_as_a_class_has_what_they_are_now() -> None:
    class Fixed(New):
        """Without parameters, or with one of a name that another had."""

        def __init__(self, limit: float = 1.0) -> None:
            super().__init__()
            self.limit = limit

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Fixed(limit=2).limit == 2
    with pytest.raises(TypeError, match="unexpected argument 'old_inner'"):
        Fixed(old_inner=None)  # type: ignore[call-arg]


def test_a_renaming_says_what_it_is_on_one_line() -> None:
    renaming = Renaming("/a\n", "component", "old", "new", "loss", "", None, '"old"', '"new"')
    assert str(renaming) == "/a\\n: 'old', a loss, is called 'new' now; write \"new\" in place of \"old\""


def test_a_mapping_of_a_plugins_own_that_raises_is_refused() -> None:
    with pytest.raises(RegistrationError, match="is no mapping of former names"):
        metricreg.register(declared(former_parameters=UserMapping()), "declared", registry=Registry())


class UserMapping(Mapping):  # type: ignore[type-arg]
    """Raises whatever it is asked."""

    def __getitem__(self, key: Any) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Any:
        raise RuntimeError("no")

    def __len__(self) -> int:
        return 1
