"""Penalties on the weights, biases and outputs of the layers of any module, as Keras' layers have them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, RootModel, StrictStr, ValidationError
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from metricreg.components import Regularizer
from metricreg.components.component import specs_of
from metricreg.components.renamed import renamings_in, warn_renamed
from metricreg.components.resolve import Resolution, TooMuchError, UnbuiltComponent, cause_of
from metricreg.components.validation_errors import nearest, pointer, problems_of
from metricreg.errors import MetricregError, Problem, SpecError
from metricreg.registry import Registry, default_registry
from metricreg.spec.document import plain

Penalty = Callable[[Tensor], Any]
Slot = Literal["kernel", "bias", "activity"]
SLOTS: tuple[Slot, ...] = ("kernel", "bias", "activity")
WORDS = {"kernel": "weight", "bias": "bias"}


class Rule(BaseModel):
    """One rule of a spec: which modules, and what is penalised in them."""

    model_config = ConfigDict(extra="forbid")

    pattern: StrictStr = Field(description="names of modules, with the wildcards *, ? and []")
    kernel: Regularizer | None = Field(None, description="on each weight")
    bias: Regularizer | None = Field(None, description="on each bias")
    activity: Regularizer | None = Field(None, description="on each output, over its number of rows")


class LayerRegularization:
    """Adds up penalties on the weights, biases and outputs of the layers of a module.

    A rule names modules by a pattern, as `module.named_modules()` has them: `*` stands for anything, dots too, `?` for
    a character, `[ab]` for one of some. The module itself has the empty name, which `*` matches too. `kernel` is on
    each of a module's own parameters called weight, `bias` on those called bias (`weight_ih_l0` of an LSTM is one too),
    as torch has them: `[out, in]` for a linear layer. Those that do not want a gradient cost nothing. `activity` is on
    each floating tensor that the module returns, over its number of rows, at every call of the last forward pass. Where
    two rules match, both count; a module or parameter in several places counts once a rule.

    The module is left as it was but for hooks, which `remove`, or leaving a `with` block, takes away. A copy of the
    module alone has no penalties; `copy.deepcopy` and `pickle` of this object take the module along.

    Example:
        `penalties = LayerRegularization(encoder, [{"pattern": "*", "kernel": "l2"}])` and, after each forward pass,
        `loss + penalties()`.

    Args:
        module: any module.
        rules: objects with a `pattern`, and a regularizer as `kernel`, `bias` or `activity`: its name, an object with
            its name and parameters, an instance, or any callable that makes a scalar of a tensor.
        registry: where names are looked up; the default registry if None.

    Raises:
        SpecError: rules that are not of this form, or that match nothing; each problem has a JSON pointer.
    """

    def __init__(
        self, module: nn.Module, rules: Sequence[Mapping[str, Any]], *, registry: Registry | None = None
    ) -> None:
        self.module = module
        self.rules = [dict(rule) for rule in _resolved(rules, registry)]
        self._found = _matches(module, self.rules)
        self._outputs: list[tuple[int, Tensor]] = []  # the module's id, and a penalty
        self._running = 0
        self._watched: dict[int, list[tuple[Penalty, str]]] = {}
        for at, (rule, modules) in enumerate(zip(self.rules, self._found, strict=True)):
            for part in modules if "activity" in rule else ():
                self._watched.setdefault(id(part), []).append((rule["activity"], pointer((at, "activity"))))
        self._hooks = list(self._hooked()) if self._watched else []
        self._removed = False

    def __call__(self) -> Tensor:
        """The sum of all penalties, a scalar; 0 if there are none."""
        found = self.losses()
        if found:
            return torch.stack([loss.to(found[0].device) for loss in found]).sum()
        return next((p.new_zeros(()) for p in self.module.parameters()), torch.zeros(()))

    def losses(self) -> list[Tensor]:
        """All penalties, each a scalar: on the outputs of the last forward pass, then on the weights as they are now.

        Raises:
            MetricregError: after `remove`.
        """
        if self._removed:
            raise MetricregError("this LayerRegularization was removed from its module; make another")
        found = [value for _, value in self._outputs]
        for at, (rule, modules) in enumerate(zip(self.rules, self._found, strict=True)):
            for slot in ("kernel", "bias"):
                if slot not in rule:
                    continue
                tensors = {id(t): t for part in modules for t in _trained(part, WORDS[slot])}
                found += [_scalar(rule[slot], tensor, pointer((at, slot))) for tensor in tensors.values()]
        return found

    def remove(self) -> None:
        """Take the hooks off the module."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._outputs, self._removed = [], [], True

    def to_spec(self, *, defaults: bool = False, registry: Registry | None = None) -> list[dict[str, Any]]:
        """The rules as a spec.

        Args:
            defaults: give every parameter, also those left at their defaults.
            registry: whose names are used; the default registry if None.

        Raises:
            SpecError: a callable that is no regularizer, or a regularizer that is not registered.
        """
        spec = []
        for at, rule in enumerate(self.rules):
            given: dict[str, Any] = {slot: rule[slot] for slot in SLOTS if slot in rule}
            for slot, penalty in given.items():
                if not isinstance(penalty, Regularizer):
                    raise SpecError([Problem(pointer((at, slot)), "is a Python callable, which no spec can name")])
            spec.append({"pattern": rule["pattern"], **specs_of(given, registry, defaults)})
        return spec

    def __enter__(self) -> LayerRegularization:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def __reduce__(self) -> tuple[Any, ...]:
        return LayerRegularization, (self.module, self.rules)

    def __repr__(self) -> str:
        return f"LayerRegularization({type(self.module).__name__}, {self.rules})"

    # -- outputs ------------------------------------------------------------------------------------------------------

    def _hooked(self) -> Iterator[Any]:
        for part in {id(m): m for m in (self.module, *(m for found in self._found for m in found))}.values():
            yield part.register_forward_pre_hook(_Hook(self, "_begin"))
            yield part.register_forward_hook(_Hook(self, "_end"), always_call=True)

    def _begin(self, part: nn.Module, *_: Any) -> None:
        """Forget the outputs of the forward pass before, at the outermost call."""
        if not self._running:
            inside = {id(module) for module in part.modules()}
            self._outputs = [(key, value) for key, value in self._outputs if key not in inside]
        self._running += 1

    def _end(self, part: nn.Module, _: Any, output: Any = None) -> None:
        self._running -= 1
        for penalty, where in self._watched.get(id(part), ()):
            for tensor in _tensors_in(output):
                value = _scalar(penalty, tensor, where)
                rows = tensor.shape[0] if tensor.ndim else 1
                self._outputs.append((id(part), value / rows if rows else value * 0.0))


class _Hook:
    """A method of its owner, for the module's own hooks; in a copy of the module it does nothing."""

    def __init__(self, owner: LayerRegularization | None = None, method: str = "") -> None:
        self.owner = (lambda: None) if owner is None else weakref.ref(owner)
        self.method = method

    def __call__(self, *arguments: Any) -> None:
        owner = self.owner()
        if owner is not None:
            getattr(owner, self.method)(*arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Hook, ()


# -- rules ------------------------------------------------------------------------------------------------------------


def _resolved(rules: Any, registry: Registry | None) -> list[dict[str, Any]]:
    """The rules with penalties in the places of names, after checking all of them."""
    if not isinstance(rules, list | tuple) or not all(isinstance(rule, Mapping) for rule in rules):
        raise SpecError('a list of objects is expected: [{"pattern": "*", "kernel": "l2"}]', "invalid rules")
    given = [dict(rule) for rule in rules]
    ready = [{slot: rule[slot] for slot in SLOTS if _is_penalty(rule.get(slot))} for rule in given]
    document = plain([{k: v for k, v in rule.items() if k not in r} for rule, r in zip(given, ready, strict=True)])
    registry = default_registry() if registry is None else registry
    context = Resolution(registry)
    try:
        parsed = RootModel[list[Rule]].model_validate(document, context=context).root
    except TooMuchError as error:
        raise SpecError(str(error), "invalid rules") from None
    except ValidationError as error:
        keys = list(Rule.model_fields)
        known = problems_of(error, document, lambda n: keys if any(n is d for d in document) else context.known_keys(n))
        raise SpecError(known, "invalid rules") from cause_of(error)
    unbuilt = [{slot: getattr(rule, slot) for slot in SLOTS} for rule in parsed]
    warn_renamed(renamings_in(unbuilt, document, registry), stacklevel=3)
    found = []
    for at, (rule, instances) in enumerate(zip(parsed, ready, strict=True)):
        made: dict[str, Any] = {"pattern": rule.pattern}
        for slot in SLOTS:
            stated: Any = getattr(rule, slot)
            penalty = stated.construct((at, slot)) if isinstance(stated, UnbuiltComponent) else instances.get(slot)
            made |= {} if penalty is None else {slot: penalty}
        if len(made) == 1:
            raise SpecError(
                [Problem(pointer((at,)), "penalises nothing; give a kernel, bias or activity")], "invalid rules"
            )
        found.append(made)
    return found


def _is_penalty(value: Any) -> bool:
    return isinstance(value, Regularizer) or (callable(value) and not isinstance(value, type))


def _matches(module: nn.Module, rules: Sequence[Mapping[str, Any]]) -> list[list[nn.Module]]:
    """The modules that each rule is for, each once.

    Raises:
        SpecError: rules that match none, or none that has what is to be penalised.
    """
    if not isinstance(module, nn.Module):
        raise SpecError(f"a torch.nn.Module is expected; got {type(module).__name__}", "invalid module")
    named = list(module.named_modules(remove_duplicate=False))
    scripted = next((name for name, part in named if isinstance(part, torch.jit.ScriptModule)), None)
    if scripted is not None:
        raise SpecError(f"the module '{scripted}' is a ScriptModule, which takes no hooks", "invalid module")
    matches, problems = [], []
    for at, rule in enumerate(rules):
        pattern: str = rule["pattern"]
        found = {id(part): part for name, part in named if fnmatchcase(name, pattern)}
        if not found:
            hint = nearest(pattern, [name for name, _ in named if name])
            problems.append(Problem(pointer((at, "pattern")), f"matches no module; {hint}", repr(pattern)))
        for slot, word in WORDS.items():
            if found and slot in rule and not any(_called(part, word) for part in found.values()):
                message = f"no module that matches '{pattern}' has a parameter called {word}"
                problems.append(Problem(pointer((at, slot)), message))
        matches.append(list(found.values()))
    if problems:
        raise SpecError(problems, "invalid rules")
    return matches


# -- tensors ----------------------------------------------------------------------------------------------------------


def _called(part: nn.Module, word: str) -> list[str]:
    """The names of a module's own parameters that have a word in them, parametrised ones included."""
    return [name for name in (*part._parameters, *_parametrised(part)) if word in name.split("_")]


def _parametrised(part: nn.Module) -> dict[str, nn.Module]:
    found: Any = part.parametrizations if is_parametrized(part) else {}
    return dict(found)


def _trained(part: nn.Module, word: str) -> Iterator[Tensor]:
    """Those that want a gradient."""
    made = _parametrised(part)
    for name in _called(part, word):
        tensor = getattr(part, name)
        if tensor is not None and any(p.requires_grad for p in (made[name].parameters() if name in made else [tensor])):
            yield tensor


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors_in(item)


def _scalar(penalty: Penalty, tensor: Tensor, where: str) -> Tensor:
    value = penalty(tensor)
    if isinstance(value, int | float):
        return tensor.new_tensor(float(value))
    if not isinstance(value, Tensor) or value.numel() != 1:
        given = f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise MetricregError(
            f"the penalty at '{where}' made {given} of a tensor {list(tensor.shape)}; expected a scalar"
        )
    return value.reshape(())
