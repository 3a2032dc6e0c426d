"""What a component says of itself: its parameters, its docstring, its spec and its schema."""

from __future__ import annotations

import inspect
import json
import re
from functools import partial
from typing import Any

import torch

from metricreg.components.component import Component
from metricreg.components.resolve import Resolution, checked
from metricreg.components.signature import parameter_docs, parameters_of, summary
from metricreg.components.wrapper_loss import WrapperLoss
from metricreg.errors import InputError
from metricreg.registry import Registry
from metricreg.spec.describe import takes
from metricreg.spec.json_schema import json_schema
from metricreg.testing.check import check, fail, skip
from metricreg.testing.example import Example, NoExampleError
from metricreg.testing.results import call, difference, not_finite, result

SHAPE = re.compile(r"\[[^\[\]\n]{0,40}\b[A-Z]\b[^\[\]\n]{0,40}\]")
EDGES = (0, -1)
"""Numbers at which a range ends that most parameters have and some do not say."""


@check(mend="the message says what JSON could not give, or what is not implemented; or give (class, parameters)")
def can_be_registered(example: Example) -> None:
    """It has a signature that a spec can give, implements what its kind asks for, and can be constructed."""
    example.cls.check_declaration(example.kind)
    try:
        example.make()
    except NoExampleError as reason:
        fail(str(reason))


@check(mend="keep to operations on tensors in __init__: no .item(), no float(tensor), no data that is looked at")
def runs_on_the_meta_device(example: Example) -> None:
    """Its `__init__` runs on the meta device, where `metricreg.validate` tries rules across parameters."""
    example.make()
    unbuilt = checked(example.cls, example.arguments, Resolution(example.registry, check=True))
    unbuilt.check()
    if unbuilt.unchecked is not None:
        fail(unbuilt.unchecked)


@check(
    mend="write `Args:` into the docstring of the class, with a line `name: what it is, its unit and range.` for each"
)
def describes_its_parameters(example: Example) -> None:
    """Its docstring says in a first paragraph what it does, and under `Args:` what each parameter is."""
    example.make()
    if not summary(example.cls):
        fail(f"{example.cls.__name__} has no docstring of its own")
    known, told = parameters_of(example.cls), parameter_docs(example.cls)
    missing = [name for name in known if not told.get(name)]
    if missing:
        fail(f"nothing is said of {', '.join(missing)}")
    _, _, section = inspect.cleandoc(example.cls.__doc__ or "").partition("\nArgs:\n")
    other = [name for name in re.findall(r"^ {4}(\w+):", section, re.MULTILINE) if name not in known]
    if other:
        fail(f"{', '.join(other)} is described, and is no parameter; those are {', '.join(known) or 'none'}")


@check("loss", "distance", "regularizer", "match", mend="say in the docstring which shape is made of which: `[A, M]`")
def states_shapes(example: Example) -> None:
    """The docstring of the class, or of a method that it implements, says the shapes of tensors, such as `[A, M]`."""
    if issubclass(example.cls, WrapperLoss):
        skip("it is made of losses, which state theirs")
    kind = next(cls for cls in example.cls.__mro__ if "kind" in vars(cls))
    own = [cls for cls in example.cls.__mro__ if cls is not kind and issubclass(cls, kind)]
    methods = [method for cls in own for method in vars(cls).values() if inspect.isfunction(method)]
    if not any(SHAPE.search(written.__doc__ or "") for written in (*own, *methods)):
        fail(f"no docstring of {example.cls.__name__} has a shape in brackets")


@check(mend="say the range in the hint, Annotated[float, Field(gt=0)], or raise a ValueError in __init__ that says it")
def declares_its_ranges(example: Example) -> None:
    """Numbers at the edge, 0 and -1, that the hint of a parameter lets through are refused by a ValueError, or work."""
    example.inputs  # noqa: B018 - which skips where there are none
    for name, parameter in parameters_of(example.cls).items():
        for value in filter(partial(takes, parameter.hint), EDGES):
            given = f"{name}={value} is let through, and"
            try:
                found = example.constructed(example.arguments | {name: value}).to(torch.float64)
            except ValueError:  # a rule across parameters
                continue
            except Exception as error:
                fail(f"{given} __init__ raises", error)
            try:
                wrong = not_finite(call(found, example.inputs))
            except InputError:  # which says what it is for
                continue
            except Exception as error:
                fail(f"{given} a batch raises", error)
            if wrong:
                fail(f"{given} of usual inputs {wrong}")


@check(mend="keep every parameter, hand `**slots` on to super().__init__, and change no argument in place")
def survives_the_round_trip(example: Example) -> None:
    """`to_spec` gives JSON that builds the same component again, with the arguments given, and with all of them."""
    first = example.make()
    for defaults in (False, True):
        spec = spec_of(first, example, defaults)
        arguments = {key: value for key, value in json.loads(json.dumps(spec)).items() if key != "name"}
        second = example.constructed(arguments).to(torch.float64)
        again = spec_of(second, example, defaults)
        if again != spec:
            fail(f"{spec} builds {again}")
        second.load_state_dict(first.state_dict())
        if example.refusal is None:
            found = difference(result(second, example.inputs), result(example.make(), example.inputs), 1e-12)
            if found:
                fail(f"built again from {spec}, {found}")


@check(
    mend="give the hint constraints that JSON Schema has too, and defaults and examples that keep to them",
    after=("survives_the_round_trip",),
)
def fits_its_schema(example: Example) -> None:
    """The JSON Schema of the component takes its own spec, with and without defaults, and the examples in its hints."""
    try:
        import jsonschema
    except ImportError:
        skip("jsonschema is not installed: pip install jsonschema")
    registry, component = Registry(), example.make()
    for cls in {type(part) for part in component.modules() if isinstance(part, Component)}:
        name = example.registry.name_of(cls.kind, cls)
        if name is not None:
            registry.add(example.registry.entry(cls.kind, name))
    definitions = json_schema(registry)["$defs"]
    kind = {"$ref": f"#/$defs/{example.kind}", "$defs": definitions}
    jsonschema.Draft202012Validator.check_schema(kind)
    for defaults in (False, True):
        spec = spec_of(component, example, defaults)
        for error in jsonschema.Draft202012Validator(kind).iter_errors(spec):
            fail(f"the schema refuses {spec}: {_deepest(error).message}")
    own = definitions[f"{example.kind}.{spec['name'].replace('/', '.')}"]
    for name, parameter in own["properties"].items():
        for given in parameter.get("examples", ()):
            for error in jsonschema.Draft202012Validator(parameter | {"$defs": definitions}).iter_errors(given):
                fail(f"the schema of '{name}' refuses its example {given!r}: {_deepest(error).message}")


def spec_of(component: Any, example: Example, defaults: bool) -> dict[str, Any]:
    """The spec of a component, with the names that the example's registry has."""
    found: dict[str, Any] = component.to_spec(defaults=defaults, registry=example.registry)
    return found


def _deepest(error: Any) -> Any:
    """Of the errors that a schema error consists of, one that says what is wrong."""
    while error.context:
        error = max(error.context, key=lambda each: len(each.absolute_path))
    return error
