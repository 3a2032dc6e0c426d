"""Former names: one name a class, no former name that is another's, and found only when a name is unknown."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import metricreg
from metricreg.errors import RegistrationError, SpecError
from metricreg.registry import Entry, Registry

Install = Callable[..., tuple[Registry, str]]

REDUCER = '''
class {name}(metricreg.Reducer):
    """It."""

    former_names = {former}

    def reduce(self, term):
        return term.sum()
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A plugin `acme` with a module a class and a hook; its registry, and what became of it."""

    def install(components: dict[str, str], eager: bool = False, **classes: Any) -> tuple[Registry, str]:
        for name, former in classes.items():
            module = tmp_path / f"acme_{name.lower()}.py"
            body = former if isinstance(former, str) else REDUCER.format(name=name, former=former)
            module.write_text(f"import metricreg\n{body}")
        imports = "".join(f"from acme_{name.lower()} import {name}\n" for name in classes) if eager else ""
        given = {name: target.rpartition(":")[2] if eager else repr(target) for name, target in components.items()}
        mapping = ", ".join(f"{name!r}: {target}" for name, target in given.items())
        (tmp_path / "acme_hooks.py").write_text(
            f"{imports}from metricreg import hookimpl\n\n@hookimpl\ndef metricreg_reducers():\n    return {{{mapping}}}\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            registry = Registry.from_plugins({"acme": "acme_hooks"}, only=["acme"], strict=False)
        (report,) = (each for each in registry.reports if each.name == "acme")
        return registry, report.problem or ""

    yield install
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]


# -- two names for one class ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eager", [True, False])
def test_two_names_for_one_class_are_refused_with_the_way_out(install: Install, eager: bool) -> None:
    registry, problem = install({"half": "acme_half:Half", "halved": "acme_half:Half"}, eager, Half=())
    assert problem == (
        "'acme/half' and 'acme/halved' are two names for one reducer, acme_half:Half; keep one, and let the class say "
        'what it was called: former_names = ("halved",)'
    )
    assert not [name for name in registry.names("reducer") if name.startswith("acme/")]


def test_two_names_for_one_class_are_refused_when_a_module_that_re_exports_it_is_found_out(install: Install) -> None:
    again = "from acme_half import Half\n"
    registry, problem = install({"half": "acme_half:Half", "halved": "acme_again:Half"}, Half=(), Again=again)
    assert problem == ""
    with pytest.raises(RegistrationError, match="'acme/half' and 'acme/halved' are two names for one reducer"):
        registry.get("reducer", "acme/halved")
    assert registry.get("reducer", "acme/half").__name__ == "Half"


def test_one_class_may_have_a_name_of_this_process_too() -> None:
    registry = Registry()
    registry.add(Entry("reducer", "mean", "metricreg.reducers.mean:MeanReducer", "metricreg"))
    metricreg.register(metricreg.reducers.MeanReducer, "mine", registry=registry)
    assert registry.get("reducer", "local/mine") is registry.get("reducer", "mean")


# -- former names that are something else's ---------------------------------------------------------------------------


def test_a_former_name_that_another_component_has_is_refused_at_load(install: Install) -> None:
    _, problem = install({"a": "acme_a:A", "b": "acme_b:B"}, True, A=("b",), B=())
    assert problem == "acme_a:A says that it was called 'b', and 'acme/b' is the reducer acme_b:B now"


def test_a_former_name_that_is_its_own_name_is_refused_at_load(install: Install) -> None:
    _, problem = install({"a": "acme_a:A"}, True, A=("a",))
    assert problem == "acme_a:A says that it was called 'a', and 'acme/a' is its own name now"


def test_a_former_name_that_another_component_has_is_refused_when_a_lazy_class_is_first_used(install: Install) -> None:
    registry, problem = install({"a": "acme_a:A", "b": "acme_b:B"}, A=("b",), B=())
    assert problem == ""
    with pytest.raises(RegistrationError, match="acme_a:A says that it was called 'b', and 'acme/b' is the reducer"):
        registry.get("reducer", "acme/a")
    assert registry.get("reducer", "acme/b").__name__ == "B"
    (found,) = metricreg.validate({"loss": {"name": "contrastive", "reducer": "acme/a"}}, registry=registry)
    assert "says that it was called 'b'" in found.message


@pytest.mark.parametrize("eager", [True, False])
def test_a_former_name_that_two_components_claim_is_refused(install: Install, eager: bool) -> None:
    registry, problem = install({"a": "acme_a:A", "b": "acme_b:B"}, eager, A=("old",), B=(("old", "1.3"),))
    said = "the reducer 'acme/a' and the reducer 'acme/b' both say that they were called 'acme/old'"
    if eager:
        assert problem.startswith(said)
        return
    with pytest.raises(RegistrationError, match=said):
        registry.now_called("reducer", "acme/old")
    (found,) = metricreg.validate({"loss": {"name": "contrastive", "reducer": "acme/old"}}, registry=registry)
    assert found.pointer == "/loss/reducer"
    assert found.message.startswith(said)
    with pytest.raises(RegistrationError, match=said):
        metricreg.create("reducer", "acme/old", registry=registry)
    assert registry.current_name("reducer", "acme/a") == "acme/a"


def test_register_refuses_a_former_name_that_is_a_name_now() -> None:
    class First(metricreg.Reducer):
        """It."""

        def reduce(self, term: Any) -> Any:
            return term.sum()

    class Second(First):
        """Another."""

        former_names = ("first",)

    registry = Registry()
    metricreg.register(First, registry=registry)
    with pytest.raises(RegistrationError, match=r"says that it was called 'first', and 'local/first' is the reducer"):
        metricreg.register(Second, registry=registry)
    assert registry.names("reducer") == ("local/first",)


# -- looking for one --------------------------------------------------------------------------------------------------


def test_a_former_name_is_looked_for_in_its_own_namespace_and_kind_and_only_if_a_name_is_unknown(
    install: Install,
) -> None:
    registry, _ = install({"a": "acme_a:A", "b": "acme_b:B"}, A=("old",), B=())
    registry.add(Entry("reducer", "other/c", "acme_gone:C", "other"), Entry("loss", "acme/c", "acme_gone:C", "other"))
    assert registry.current_name("reducer", "acme/a") == "acme/a"
    assert registry.current_name("reducer", "other/old") == "other/old"
    assert registry.current_name("loss", "acme/old") == "acme/old"
    assert not [name for name in sys.modules if name in ("acme_a", "acme_b")]
    now = registry.now_called("reducer", "acme/old")
    assert now is not None
    assert now == ("acme/a", None)
    assert registry.now_called("reducer", "acme/unknown") is None


def test_a_component_that_cannot_be_imported_is_passed_over_once(install: Install) -> None:
    counted = "import sys\nsys.acme_tries = getattr(sys, 'acme_tries', 0) + 1\nraise RuntimeError('no')\n"
    registry, _ = install({"broken": "acme_broken:Broken", "b": "acme_b:B"}, Broken=counted, B=("old",))
    assert registry.current_name("reducer", "acme/old") == "acme/b"
    assert registry.current_name("reducer", "acme/older") == "acme/older"
    assert sys.acme_tries == 1  # type: ignore[attr-defined]
    del sys.acme_tries  # type: ignore[attr-defined]


def test_what_is_registered_later_is_looked_at_too(install: Install) -> None:
    registry, _ = install({"a": "acme_a:A"}, A=("old",))
    assert registry.now_called("reducer", "acme/older") is None
    Path(sys.path[0], "acme_late.py").write_text("import metricreg\n" + REDUCER.format(name="Late", former=("older",)))
    registry.add(Entry("reducer", "acme/late", "acme_late:Late", "acme-renamed"))
    assert registry.current_name("reducer", "acme/older") == "acme/late"
    registry.add(Entry("reducer", "acme/older", "acme_a:A", "acme-renamed"), replace=True)
    assert registry.current_name("reducer", "acme/older") == "acme/older"


def test_who_asks_for_a_former_name_is_told_the_name_of_now(install: Install) -> None:
    registry, _ = install({"a": "acme_a:A"}, A=("old",))
    with pytest.raises(SpecError, match="unknown reducer 'acme/old'; it is called 'acme/a' now"):
        registry.get("reducer", "acme/old")


def test_a_name_that_somebody_else_gives_to_a_class_does_not_make_it_unusable(install: Install) -> None:
    registry, _ = install({"a": "acme_a:A"}, A=("old",))
    registry.add(
        Entry("reducer", "acme/again", "acme_a:A", "somebody else"),
        Entry("reducer", "total", "metricreg.reducers.sum:SumReducer", "somebody else"),
    )
    for name in ("acme/again", "acme/a", "total", "sum"):
        assert registry.get("reducer", name).__name__ in ("A", "SumReducer")


def test_the_first_name_of_a_class_goes_on_working(install: Install) -> None:
    again = "from acme_half import Half\n"
    for order in (["half", "halved"], ["halved", "half"]):
        targets = {"half": "acme_half:Half", "halved": "acme_again:Half"}
        registry = Registry()
        if order == ["half", "halved"]:
            install(targets, Half=(), Again=again)
        registry.add(*(Entry("reducer", f"acme/{name}", targets[name], "this process") for name in order))
        first, second = (f"acme/{name}" for name in order)
        assert registry.get("reducer", first).__name__ == "Half"
        with pytest.raises(RegistrationError, match="are two names for one reducer"):
            registry.get("reducer", second)
