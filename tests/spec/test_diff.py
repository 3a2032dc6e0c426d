"""`diff`: what two specs say differently once every default is written out."""

from __future__ import annotations

from typing import Any

import pytest

import metricreg
from metricreg.errors import SpecError
from metricreg.spec.diff import differences, with_defaults
from tests.components.renamed import registry, spec_with


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"loss": "ntxent"}, {"loss": "ntxent"}),
        ({"loss": "ntxent"}, {"loss": {"name": "ntxent"}, "version": 1}),
        (
            {"loss": "ntxent"},
            {"loss": {"name": "ntxent", "temperature": 0.07, "distance": {"name": "cosine", "power": 1}}},
        ),
        ({"loss": "ntxent"}, {"loss": {"name": "ntxent", "match": None}, "miner": None, "requires": {}}),
        ({"loss": "ntxent"}, {"loss": "ntxent", "execution": {"plan": "auto", "tile": None}, "$schema": "x.json"}),
        ({"loss": "ntxent", "execution": {"tile": 4.0}}, {"loss": "ntxent", "execution": {"tile": 4}}),
        (
            {"loss": {"name": "contrastive", "pos_margin": 0, "neg_margin": 1}},
            {"loss": {"neg_margin": 1.0, "pos_margin": 0.0, "name": "contrastive"}},
        ),
    ],
)
def test_specs_that_say_the_same_do_not_differ(a: Any, b: Any) -> None:
    assert metricreg.diff(a, b) == metricreg.diff(b, a) == ()


@pytest.mark.parametrize("kind", ["distance", "loss", "reducer", "regularizer", "miner", "match"])
def test_former_names_are_no_difference(kind: str) -> None:
    old, new = spec_with(kind, {"name": "acme/old", "limit": 1}), spec_with(kind, "acme/new")
    assert metricreg.diff(old, new, registry=registry()) == ()
    (found,) = metricreg.diff(old, spec_with(kind, {"name": "acme/new", "cap": 2}), registry=registry())
    assert found.pointer.endswith("/cap")
    assert (found.old, found.new) == (1, 2)


def test_each_difference_has_its_pointer_and_both_values() -> None:
    a = {"loss": {"name": "multiple", "losses": {"a/b": "ntxent", "c": "contrastive"}, "weights": {"a/b": 1, "c": 2}}}
    b = {
        "loss": {
            "name": "multiple",
            "losses": {"a/b": {"name": "ntxent", "temperature": 0.1}, "d": "contrastive"},
            "weights": {"a/b": 1, "d": 2},
        },
        "miner": "multi_similarity",
        "requires": {"metricreg": ">=0.1"},
        "execution": {"plan": "tiled"},
    }
    found = {each.pointer: each for each in metricreg.diff(a, b)}
    assert {pointer: each.change for pointer, each in found.items()} == {
        "/loss/losses/a~1b/temperature": "changed",
        "/loss/losses/c": "removed",
        "/loss/losses/d": "added",
        "/loss/weights/c": "removed",
        "/loss/weights/d": "added",
        "/miner": "changed",
        "/requires/metricreg": "added",
        "/execution/plan": "changed",
    }
    assert str(found["/loss/losses/a~1b/temperature"]) == "/loss/losses/a~1b/temperature: 0.07 -> 0.1"
    assert str(found["/requires/metricreg"]) == '/requires/metricreg: added ">=0.1"'
    assert str(found["/loss/weights/c"]) == "/loss/weights/c: removed 2.0"
    assert found["/miner"].old is None
    assert found["/miner"].new["name"] == "multi_similarity"
    back = {each.pointer: each for each in metricreg.diff(b, a)}
    assert back.keys() == found.keys()
    assert all((back[p].old, back[p].new) == (found[p].new, found[p].old) for p in found)


def test_lists_are_compared_item_by_item() -> None:
    found = list(differences({"x": [1, {"y": 2}, 3]}, {"x": [1, {"y": 4}]}))
    assert [str(each) for each in found] == ["/x/1/y: 2 -> 4", "/x/2: removed 3"]
    assert [str(each) for each in differences([1], [True])] == ["/0: 1 -> true"]
    assert [str(each) for each in differences({"x": [1]}, {"x": {"0": 1}})] == ['/x: [1] -> {"0": 1}']
    assert list(differences([1.0, None], [1, None])) == []


@pytest.mark.parametrize("spec", [{"loss": "nothing"}, {"loss": "ntxent", "version": 2}, 3])
def test_what_is_no_spec_is_an_error(spec: Any) -> None:
    for a, b in ((spec, {"loss": "ntxent"}), ({"loss": "ntxent"}, spec)):
        with pytest.raises(SpecError):
            metricreg.diff(a, b)


def test_defaults_are_those_of_the_pipeline_that_is_built() -> None:
    for name in metricreg.default_registry().names("loss"):
        from metricreg.spec.describe import describe

        if "/" in name:
            continue
        spec = {"loss": describe("loss", name).example}
        built = metricreg.build(spec).to_spec(defaults=True)
        filled = with_defaults(spec)
        assert filled["loss"] == built["loss"], name


def test_values_that_a_validator_transforms_are_compared_as_they_are_written() -> None:
    learned = {"loss": {"name": "ntxent", "temperature": {"learned": 0.07}}}
    assert metricreg.diff(learned, learned) == ()
    assert [str(each) for each in metricreg.diff({"loss": "ntxent"}, learned)] == [
        '/loss/temperature: 0.07 -> {"learned": 0.07}'
    ]


def test_a_component_that_cannot_be_tried_on_the_meta_device_is_constructed(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Counts(metricreg.Reducer):
        """Looks at a value in its constructor."""

        def __init__(self, n: int = 2) -> None:
            super().__init__()
            self.n = int(torch.ones(n).sum().item())

        def reduce(self, term: Any) -> Any:
            return term.sum()

    from metricreg.registry import Entry

    known = registry()
    known.add(Entry("reducer", "acme/counts", Counts, "acme-losses"))
    a, b = (spec_with("reducer", {"name": "acme/counts", "n": n}) for n in (2, 3))
    assert metricreg.validate(a, registry=known).unchecked
    assert [str(each) for each in metricreg.diff(a, b, registry=known)] == ["/loss/reducer/n: 2 -> 3"]
