"""The checks as tests of pytest, which the core does not depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from metricreg.components.component import Component
from metricreg.components.validation_errors import nearest
from metricreg.testing.check import Check, CheckError
from metricreg.testing.checks import CHECKS
from metricreg.testing.component import checks_of
from metricreg.testing.example import Example

Item: TypeAlias = type[Component] | Component | tuple[type[Component], Mapping[str, Any]] | Example
F = TypeVar("F", bound=Callable[..., Any])
ExpectedFailures: TypeAlias = Mapping[str, str] | Callable[[Example], Mapping[str, str]]


def parametrize_with_checks(
    components: Iterable[Item], *, expected_failures: ExpectedFailures | None = None
) -> Callable[[F], F]:
    """Make a test of every check of every component.

    The test takes `component` and `check`, and calls one with the other:

        @parametrize_with_checks([MyLoss, (MyReducer, {"cap": 0.3})])
        def test_component(component: Example, check: Check) -> None:
            check(component)

    A check that has nothing to look at is skipped, with the reason.

    Args:
        components: classes, tuples of a class and parameters, or instances.
        expected_failures: name of a check → why it fails; or a function from a component to such a mapping. A test that
            is expected to fail and passes is a failure.

    Raises:
        ImportError: pytest is not installed.
        ValueError: a check of another name is expected to fail.
    """
    pytest = imported_pytest()
    if not isinstance(components, Iterable) or isinstance(components, Component):
        raise TypeError(f"give a list of components, such as [{getattr(components, '__name__', 'MyLoss')}]")
    parameters = [
        pytest.param(example, PytestCheck(**vars(check)), id=f"{example!r}-{check.name}", marks=marks)
        for example in map(as_example, components)
        for check, marks in _marked(pytest, example, expected_failures)
    ]
    made: Callable[[F], F] = pytest.mark.parametrize(("component", "check"), parameters)
    return made


def as_example(item: Item) -> Example:
    """An example of what a caller lists."""
    if isinstance(item, Example):
        return item
    if isinstance(item, tuple):
        if len(item) != 2 or not isinstance(item[1], Mapping):
            raise TypeError(f"{item!r} is no component: give (class, parameters), such as (MyLoss, {{'margin': 0.5}})")
        return Example(*item)
    return Example(item)


def _marked(
    pytest: Any, example: Example, expected_failures: ExpectedFailures | None
) -> Iterator[tuple[Check, tuple[Any, ...]]]:
    reasons = expected_failures(example) if callable(expected_failures) else expected_failures or {}
    for name in reasons:
        if name not in CHECKS:
            raise ValueError(f"expected_failures names no check: '{name}'; {nearest(name, CHECKS)}")
    for check in checks_of(example.kind):
        reason = reasons.get(check.name)
        marks = () if reason is None else (pytest.mark.xfail(reason=reason, strict=True, raises=CheckError),)
        yield check, marks


class PytestCheck(Check):
    """A check that tells pytest what it skips."""

    def __call__(self, component: Item) -> None:
        """Try it on a component."""
        __tracebackhide__ = True
        example = as_example(component)
        found = self.outcome(example)
        if found.status == "skipped":
            imported_pytest().skip(found.reason)
        if found.status == "failed":
            raise CheckError(repr(example), {found.check: found.reason}) from found.error


def imported_pytest() -> Any:
    """The module pytest.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import pytest
    except ImportError as error:
        raise ImportError(
            "parametrize_with_checks makes tests for pytest, which is not installed: pip install pytest. Without it, "
            "metricreg.testing.check_component(MyLoss) makes the same checks"
        ) from error
    return pytest
