"""LayerRegularization: which layers, which of their tensors, and when."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import metricreg
from metricreg import InputError, LayerRegularization, MetricregError, Registry, Regularizer, Scalar, SpecError
from metricreg.registry.entry_points import load_entry_points
from metricreg.regularizers import L1Regularizer, L2Regularizer


def encoder() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 6), nn.ReLU(), nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))
    ).double()


def inputs(rows: int = 5, width: int = 4) -> Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def weight(module: nn.Sequential, *path: int) -> Tensor:
    part: Any = module
    for step in path:
        part = part[step]
    found: Tensor = part.weight
    return found


def test_weights_biases_and_outputs_are_penalised_with_gradient() -> None:
    module, x = encoder(), inputs()
    rules = [
        {"pattern": "2.*", "kernel": {"name": "l1", "l1": 0.5}, "bias": "l2"},
        {"pattern": "0", "activity": {"name": "l2", "l2": 3.0}},
    ]
    penalties = LayerRegularization(module, rules)
    module(x)
    inner: Any = module[2]
    want = [3.0 * module[0](x).square().sum() / 5, *(0.5 * part.weight.abs().sum() for part in (inner[0], inner[2]))]
    want += [0.01 * part.bias.square().sum() for part in (inner[0], inner[2])]
    module(x)  # what the direct call above left is forgotten
    torch.testing.assert_close(penalties.losses(), want)
    torch.testing.assert_close(penalties(), torch.stack(want).sum())
    parameters = list(module.parameters())
    got = torch.autograd.grad(penalties(), parameters, allow_unused=True)
    expected = torch.autograd.grad(torch.stack(want).sum(), parameters, allow_unused=True)
    torch.testing.assert_close(got, expected)
    assert [g is not None for g in got] == [True] * 6


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("*", ["0", "2.0", "2.2"]), ("?", ["0"]), ("2*", ["2.0", "2.2"]), ("2.[01]", ["2.0"]), ("2.2", ["2.2"])],
)
def test_patterns_choose_modules_by_name(pattern: str, names: list[str]) -> None:
    module = encoder()
    found = LayerRegularization(module, [{"pattern": pattern, "kernel": torch.sum}]).losses()
    torch.testing.assert_close(found, [module.get_submodule(name).weight.sum() for name in names])  # type: ignore[operator]


def test_the_module_itself_has_the_empty_name() -> None:
    module = nn.Linear(2, 3)
    for pattern in ("", "*"):
        penalties = LayerRegularization(module, [{"pattern": pattern, "activity": "l1"}])
        y = module(torch.ones(4, 2))
        torch.testing.assert_close(penalties(), 0.01 * y.abs().sum() / 4)
        penalties.remove()


def test_each_forward_pass_begins_anew_and_calls_in_it_add_up() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = self.again = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.again(self.layer(x))  # type: ignore[no-any-return]

    module, x = Twice(), torch.randn(5, 3)
    for pattern in ("*ayer", "again", "?*"):
        penalties = LayerRegularization(module, [{"pattern": pattern, "activity": "l2", "kernel": "l1"}])
        for _ in range(2):
            module(x)
            once, twice = module.layer(x), module.layer(module.layer(x))
            module(x)
            outputs = [0.01 * y.square().sum() / 5 for y in (once, twice)]
            torch.testing.assert_close(penalties.losses(), [*outputs, 0.01 * module.layer.weight.abs().sum()])
        penalties.remove()


def test_a_part_that_is_called_alone_begins_anew_for_itself() -> None:
    module, x = encoder(), inputs()
    penalties = LayerRegularization(module, [{"pattern": "[02]", "activity": torch.sum}])
    module(x)
    first, second = penalties.losses()
    module[0](2 * x)
    torch.testing.assert_close(penalties.losses(), [second, module[0](2 * x).sum() / 5])
    assert not torch.isclose(first, penalties.losses()[1])


def test_an_error_in_the_forward_pass_does_not_confuse_the_next() -> None:
    module, x = encoder(), inputs()
    penalties = LayerRegularization(module, [{"pattern": "*", "activity": "l2"}])
    module(x)
    want = penalties.losses()
    for _ in range(2):
        with pytest.raises(RuntimeError):
            module(x[:, :3])
        module(x)
        torch.testing.assert_close(penalties.losses(), want)


def test_outputs_may_be_nested_and_of_any_shape() -> None:
    class Many(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return {"a": [x, (2 * x.sum(), x[:0])], "b": x.argmax(1), "c": None, "d": x.reshape(4, 1, 2, 1)}

    module, x = Many(), torch.randn(4, 2)
    penalties = LayerRegularization(module, [{"pattern": "", "activity": "l1"}])
    module(x)
    want = [x.abs().sum() / 4, 2 * x.sum().abs(), torch.tensor(0.0), x.abs().sum() / 4]
    torch.testing.assert_close(penalties.losses(), [0.01 * value for value in want])


def test_frozen_weights_cost_nothing_and_a_module_without_penalties_zero() -> None:
    module = encoder()
    penalties = LayerRegularization(module, [{"pattern": "*", "kernel": "l2", "bias": "l2"}])
    assert len(penalties.losses()) == 6
    weight(module, 0).requires_grad_(False)
    assert len(penalties.losses()) == 5
    module.requires_grad_(False)
    assert penalties.losses() == []
    assert (penalties(), penalties().dtype) == (0.0, torch.float64)


def test_tied_weights_count_once_a_rule() -> None:
    module = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    module[1].weight = module[0].weight
    rule = {"pattern": "?", "kernel": "l2"}
    assert len(LayerRegularization(module, [rule]).losses()) == 1
    assert len(LayerRegularization(module, [rule, rule]).losses()) == 2


def test_parametrised_and_recurrent_layers_have_their_weights_and_biases() -> None:
    linear = parametrizations.weight_norm(nn.Linear(3, 2))
    penalties = LayerRegularization(linear, [{"pattern": "", "kernel": "l2"}])
    torch.testing.assert_close(penalties(), 0.01 * linear.weight.square().sum())
    penalties().backward()
    assert all(p.grad is not None for p in linear.parametrizations.parameters())  # type: ignore[union-attr]
    with torch.no_grad():
        assert penalties() > 0
    linear.requires_grad_(False)
    assert penalties() == 0
    lstm = nn.LSTM(3, 2, num_layers=2)
    for slot, word in (("kernel", "weight"), ("bias", "bias")):
        found = LayerRegularization(lstm, [{"pattern": "", slot: "l1"}]).losses()
        want = [0.01 * p.abs().sum() for name, p in lstm.named_parameters() if word in name]
        torch.testing.assert_close(found, want)
        assert len(found) == 4


def test_half_precision_is_penalised_in_float32() -> None:
    module = nn.Linear(300, 300).half()
    nn.init.constant_(module.weight, 10.0)
    assert LayerRegularization(module, [{"pattern": "", "kernel": {"name": "l2", "l2": 1.0}}])() == 9e6


# -- what it leaves of the module -------------------------------------------------------------------------------------


def test_the_module_keeps_its_state_and_loses_the_hooks() -> None:
    module, x = encoder(), inputs()
    state, hooks = (
        set(module.state_dict()),
        [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules()],
    )
    with LayerRegularization(module, [{"pattern": "*", "activity": "l2"}]) as penalties:
        module(x)
        assert penalties() > 0
        assert set(module.state_dict()) == state
        assert sum(len(m._forward_hooks) for m in module.modules()) > 0
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules()] == hooks
    module(x)
    with pytest.raises(MetricregError, match="was removed"):
        penalties()
    LayerRegularization(module, [{"pattern": "*", "kernel": "l2"}])
    assert sum(len(m._forward_hooks) for m in module.modules()) == 0  # where no output is looked at


@pytest.mark.parametrize("again", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copy_has_a_module_of_its_own(again: Any) -> None:
    module, x = encoder(), inputs()
    penalties = LayerRegularization(module, [{"pattern": "0", "activity": "l2", "kernel": L1Regularizer(0.5)}])
    module(x)
    twin = again(penalties)
    assert twin.module is not module
    twin.module.load_state_dict({key: 2 * value for key, value in module.state_dict().items()})
    before = penalties.losses()
    twin.module(x)
    torch.testing.assert_close(penalties.losses(), before)
    torch.testing.assert_close(twin.losses(), [4 * before[0], 2 * before[1]])
    assert twin.to_spec() == penalties.to_spec()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copy_of_the_module_alone_is_penalised_nowhere(again: Any) -> None:
    module, x = encoder(), inputs()
    penalties = LayerRegularization(module, [{"pattern": "*", "activity": "l2"}])
    module(x)
    before = penalties.losses()
    torch.testing.assert_close(again(module)(2 * x), module(2 * x))
    module(x)
    again(module)(2 * x)
    torch.testing.assert_close(penalties.losses(), before)


def test_a_module_whose_penalties_nobody_holds_goes_on() -> None:
    module, x = encoder(), inputs()
    want = module(x)
    LayerRegularization(module, [{"pattern": "*", "activity": "l2"}])
    torch.testing.assert_close(module(x), want)


@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0")
def test_a_compiled_module_is_penalised_too() -> None:
    torch._dynamo.reset()
    module, x = encoder(), inputs()
    penalties = LayerRegularization(module, [{"pattern": "2.*", "activity": "l2", "kernel": "l1"}])
    module(x)
    want, compiled = penalties.losses(), torch.compile(module, backend="eager")
    for _ in range(2):
        compiled(x)
        torch.testing.assert_close(penalties.losses(), want)


# -- rules ------------------------------------------------------------------------------------------------------------


class Cubes(Regularizer):
    """A plugin's: the sum of cubes."""

    any_shape = True

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def terms(self, x: Tensor) -> dict[str, Scalar]:
        return {"loss": Scalar((self.factor * x.pow(3).sum(),), lambda total: total)}


def test_rules_come_from_json_and_go_back() -> None:
    registry = Registry(loader=load_entry_points)
    metricreg.register(Cubes, registry=registry)
    rules = json.loads(
        '[{"pattern": "0", "kernel": {"name": "local/cubes", "factor": 2}, "bias": "l1"},'
        ' {"pattern": "2.*", "kernel": "orthogonal", "activity": {"name": "l1_l2", "l2": 0.5}}]'
    )
    penalties = LayerRegularization(encoder(), rules, registry=registry)
    assert penalties.to_spec(registry=registry) == rules
    torch.testing.assert_close(penalties.losses()[0], 2 * weight(encoder(), 0).pow(3).sum())
    whole = penalties.to_spec(defaults=True, registry=registry)
    assert whole[1]["activity"] == {"name": "l1_l2", "l1": 0.01, "l2": 0.5}
    assert LayerRegularization(encoder(), whole, registry=registry).to_spec(defaults=True, registry=registry) == whole


def test_instances_and_callables_stand_beside_names() -> None:
    module = encoder()
    rule = {"pattern": "0", "kernel": L2Regularizer(0.5), "bias": lambda b: b.abs().max(), "activity": None}
    penalties = LayerRegularization(module, [rule, {"pattern": "0", "kernel": lambda _: 2.5}])
    linear: Any = module[0]
    want = [0.5 * linear.weight.square().sum(), linear.bias.abs().max(), torch.tensor(2.5).double()]
    torch.testing.assert_close(penalties.losses(), want)
    with pytest.raises(SpecError, match="/0/bias: is a Python callable, which no spec can name"):
        penalties.to_spec()
    instance = LayerRegularization(module, [{"pattern": "0", "kernel": L2Regularizer(0.5)}])
    assert instance.to_spec() == [{"pattern": "0", "kernel": {"name": "l2", "l2": 0.5}}]


@pytest.mark.parametrize("module", [None, 3, torch.zeros(2), nn.Linear])
def test_what_is_no_module_is_refused(module: Any) -> None:
    with pytest.raises(SpecError, match=r"a torch.nn.Module is expected; got (NoneType|int|Tensor|type)"):
        LayerRegularization(module, [{"pattern": "*", "kernel": "l2"}])


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
@pytest.mark.parametrize("slot", ["kernel", "activity"])
def test_a_scripted_module_is_refused(slot: str) -> None:
    module = nn.Sequential(torch.jit.script(nn.Linear(2, 2)))
    with pytest.raises(SpecError, match="the module '0' is a ScriptModule"):
        LayerRegularization(module, [{"pattern": "*", slot: "l2"}])


def test_a_penalty_is_one_number() -> None:
    module = encoder()
    for bad, said in ((lambda w: w.sum(0), r"a tensor \[4\]"), (lambda w: "x", "str"), (lambda w: None, "NoneType")):
        with pytest.raises(MetricregError, match=rf"'/0/kernel' made {said} of a tensor \[6, 4\]"):
            LayerRegularization(module, [{"pattern": "0", "kernel": bad}])()
    loss = LayerRegularization(module, [{"pattern": "0", "kernel": lambda w: w.sum().reshape(1, 1)}])()
    assert loss.shape == ()
    assert LayerRegularization(module, [{"pattern": "0", "kernel": lambda w: math.nan}])().isnan()


@pytest.mark.parametrize(
    ("rules", "problems"),
    [
        ([{"pattern": "encdoer", "kernel": "l2"}], {"/0/pattern": "matches no module; did you mean 'encoder'"}),
        ([{"pattern": "head", "kernel": "l2"}, {"pattern": "x", "bias": "l2"}], {"/1/pattern": "known: encoder, head"}),
        (
            [{"pattern": "act", "kernel": "l2"}],
            {"/0/kernel": "no module that matches 'act' has a parameter called weight"},
        ),
        ([{"pattern": "act", "bias": torch.sum}], {"/0/bias": "has a parameter called bias"}),
        ([{"pattern": "*", "kernel": "l3"}], {"/0/kernel": "unknown regularizer 'l3'"}),
        ([{"pattern": "*", "kernel": "ntxent"}], {"/0/kernel": "unknown regularizer 'ntxent'"}),
        ([{"pattern": "*", "kernel": {"name": "l1", "l2": 1}}], {"/0/kernel/l2": "unknown parameter 'l2'"}),
        ([{"pattern": "*", "activity": {"name": "l2", "l2": -1}}], {"/0/activity/l2": "greater than or equal to 0"}),
        ([{"pattern": "*", "kernal": "l2"}], {"/0/kernal": "did you mean 'kernel'"}),
        ([{"kernel": "l2"}], {"/0": "'pattern' is required"}),
        ([{"pattern": 3, "kernel": "l2"}], {"/0/pattern": "should be a valid string"}),
        ([{"pattern": "*"}], {"/0": "penalises nothing"}),
        ([{"pattern": "*", "kernel": L1Regularizer}], {"/0/kernel": "no JSON type"}),
        (
            [{"pattern": "*", "kernel": "l1x"}, {"pattern": "*", "bias": 2}],
            {"/0/kernel": "l1x", "/1/bias": "the name of"},
        ),
        ({"pattern": "*", "kernel": "l2"}, {"": "a list of objects is expected"}),
        (["l2"], {"": "a list of objects is expected"}),
        (
            [{"pattern": "a", "kernel": "l1"}, {"pattern": "b", "bias": "l1"}],
            {"/0/pattern": "'a'", "/1/pattern": "'b'"},
        ),
    ],
)
def test_rules_that_are_wrong_are_refused_with_their_place(rules: Any, problems: dict[str, str]) -> None:
    module = nn.ModuleDict({"encoder": nn.Linear(2, 2), "head": nn.Linear(2, 2), "act": nn.ReLU()})
    with pytest.raises(SpecError) as caught:
        LayerRegularization(module, rules)
    assert [problem.pointer for problem in caught.value.problems] == list(problems)
    for problem, message in zip(caught.value.problems, problems.values(), strict=True):
        assert message in str(problem)
    assert not any(part._forward_hooks for part in module.modules())


def test_a_penalty_on_matrices_says_so_where_there_is_none() -> None:
    for module, slot in ((nn.Conv2d(2, 3, 2), "kernel"), (nn.Linear(2, 3), "bias")):
        for name in ("orthogonal", "lp", "zero_mean"):
            with pytest.raises(InputError, match=r"penalises a matrix \[N, D\]; got a tensor \["):
                LayerRegularization(module, [{"pattern": "", slot: name}])()
        for name in ("l1", "l2", "l1_l2"):
            assert LayerRegularization(module, [{"pattern": "", slot: name}])() > 0
