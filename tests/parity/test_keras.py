"""Regularizers and layer penalties against Keras 3 on torch, value and gradient."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import metricreg
from metricreg import LayerRegularization
from tests.oracle import assert_close, value_and_gradients

os.environ["KERAS_BACKEND"] = "torch"
os.environ.setdefault("KERAS_HOME", os.path.join(tempfile.gettempdir(), "keras"))  # where it writes its settings
keras: Any = pytest.importorskip("keras", minversion="3.15")

REGULARIZERS: list[tuple[Any, Any]] = [
    ("l1", keras.regularizers.L1()),
    ({"name": "l1", "l1": 0.3}, keras.regularizers.L1(0.3)),
    ("l2", keras.regularizers.L2()),
    ({"name": "l2", "l2": 2.0}, keras.regularizers.L2(2.0)),
    ("l1_l2", keras.regularizers.L1L2(l1=0.01, l2=0.01)),
    ({"name": "l1_l2", "l1": 0.0, "l2": 0.5}, keras.regularizers.L1L2(l2=0.5)),
    ({"name": "l1_l2", "l1": 0.25, "l2": 0.0}, keras.regularizers.L1L2(l1=0.25)),
    ("orthogonal", keras.regularizers.OrthogonalRegularizer()),
    ({"name": "orthogonal", "factor": 3.0}, keras.regularizers.OrthogonalRegularizer(3.0)),
    (
        {"name": "orthogonal", "factor": 0.5, "mode": "columns"},
        keras.regularizers.OrthogonalRegularizer(0.5, mode="columns"),
    ),
]
every_regularizer = pytest.mark.parametrize(("spec", "theirs"), REGULARIZERS, ids=[str(s) for s, _ in REGULARIZERS])


def made(spec: Any) -> Any:
    named = {"name": spec} if isinstance(spec, str) else dict(spec)
    return metricreg.create("regularizer", named.pop("name"), **named)


def rows(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@every_regularizer
@pytest.mark.parametrize("shape", [(5, 5), (2, 7), (6, 3), (4,), (3, 2, 2, 4)])
def test_a_regularizer_agrees(spec: Any, theirs: Any, shape: tuple[int, ...]) -> None:
    x, ours = rows(*shape), made(spec)
    if len(shape) != 2 and not ours.any_shape:
        with pytest.raises(ValueError, match="must have rank 2"):
            theirs(x)
        with pytest.raises(metricreg.InputError, match="penalises a matrix"):
            ours(x)
        return
    assert_close(value_and_gradients(ours(x), [x]), value_and_gradients(theirs(x), [x]), 1e-5)
    ones = torch.ones(shape)
    torch.testing.assert_close(ours(ones), theirs(ones))


@pytest.mark.parametrize("name", ["l1", "l2", "orthogonal"])
def test_a_name_alone_has_the_defaults_of_keras(name: str) -> None:
    theirs = keras.regularizers.get({"orthogonal": "orthogonal_regularizer"}.get(name, name))
    spec = made(name).to_spec(defaults=True)
    assert spec.pop("name") == name
    config = theirs.get_config()
    assert set(spec) == set(config)
    for key, value in config.items():
        assert spec[key] == (value if isinstance(value, str) else pytest.approx(value))


def test_l1_l2_by_name_has_the_defaults_that_keras_documents_and_does_not_have() -> None:
    assert "`l1=0.01` and `l2=0.01`" in keras.regularizers.L1L2.__doc__.replace("\n", " ")
    with pytest.raises(ValueError, match="Could not interpret"):
        keras.regularizers.get("l1_l2")
    assert keras.regularizers.get("l1l2").get_config() == {"l1": 0.0, "l2": 0.0}
    assert made("l1_l2").to_spec(defaults=True) == {"name": "l1_l2", "l1": 0.01, "l2": 0.01}


def test_a_single_row_is_nan_in_keras() -> None:
    assert keras.regularizers.OrthogonalRegularizer()(torch.ones(1, 3)).isnan()
    assert made("orthogonal")(torch.ones(1, 3)) == 0.0


# -- layers -----------------------------------------------------------------------------------------------------------


def twin(layer: nn.Linear | nn.Conv2d) -> Any:
    """The same layer in Keras, without its regularizers: a function that makes it with them."""
    kernel = layer.weight.detach()
    bias = keras.initializers.Constant(0.0) if layer.bias is None else None

    def make(**regularizers: Any) -> Any:
        if isinstance(layer, nn.Linear):
            dense = keras.layers.Dense(layer.out_features, use_bias=layer.bias is not None, **regularizers)
            dense.build((None, layer.in_features))
            weights = [kernel.T]
        else:
            size = layer.kernel_size
            dense = keras.layers.Conv2D(
                layer.out_channels, size, use_bias=bias is None, data_format="channels_last", **regularizers
            )
            dense.build((None, 9, 9, layer.in_channels))
            weights = [kernel.permute(2, 3, 1, 0)]
        dense.set_weights([w.numpy() for w in [*weights, *([] if layer.bias is None else [layer.bias.detach()])]])
        return dense

    return make


def back(layer: nn.Module, gradients: list[Tensor]) -> list[Tensor]:
    """Keras' gradients in the shape of torch's parameters."""
    kernel, *rest = gradients
    return [kernel.T if isinstance(layer, nn.Linear) else kernel.permute(3, 2, 0, 1), *rest]


def turned(spec: Any) -> Any:
    """The rows of a torch weight are the columns of a Keras kernel."""
    if isinstance(spec, dict) and "mode" in spec:
        return {**spec, "mode": "rows"}
    return {"name": spec, "mode": "columns"} if spec == "orthogonal" else {**spec, "mode": "columns"}


@every_regularizer
@pytest.mark.parametrize("bias", [True, False])
def test_a_dense_layer_agrees(spec: Any, theirs: Any, bias: bool) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(4, 6, bias=bias), rows(5, 4)
    orthogonal = "orthogonal" in str(spec)
    dense = twin(layer)(
        kernel_regularizer=theirs, activity_regularizer=theirs, bias_regularizer=None if orthogonal else theirs
    )
    rule = {"pattern": "", "kernel": turned(spec) if orthogonal else spec, "activity": spec}
    if bias and not orthogonal:
        rule["bias"] = spec
    penalties = LayerRegularization(layer, [rule])
    for _ in range(2):
        y, z = layer(x), dense(x)
        torch.testing.assert_close(y, z)
        assert len(penalties.losses()) == len(dense.losses)
        want = value_and_gradients(sum(dense.losses), [x, *(w.value for w in dense.trainable_weights)])
        got = value_and_gradients(penalties(), [x, *layer.parameters()])
        assert_close(got, [*want[:2], *back(layer, want[2:])], 1e-5)


@pytest.mark.parametrize(
    ("spec", "theirs"),
    [pair for pair in REGULARIZERS if "orthogonal" not in str(pair[0])],
    ids=lambda value: str(value) if isinstance(value, str | dict) else type(value).__name__,
)
def test_a_convolution_agrees(spec: Any, theirs: Any) -> None:
    torch.manual_seed(0)
    layer, x = nn.Conv2d(2, 3, 2), rows(4, 2, 9, 9)
    conv = twin(layer)(kernel_regularizer=theirs, bias_regularizer=theirs, activity_regularizer=theirs)
    penalties = LayerRegularization(layer, [{"pattern": "", "kernel": spec, "bias": spec, "activity": spec}])
    y, z = layer(x), conv(x.permute(0, 2, 3, 1))
    torch.testing.assert_close(y, z.permute(0, 3, 1, 2), rtol=1e-4, atol=1e-5)
    want = value_and_gradients(sum(conv.losses), [x, *(w.value for w in conv.trainable_weights)])
    got = value_and_gradients(penalties(), [x, *layer.parameters()])
    assert_close(got, [*want[:2], *back(layer, want[2:])], 1e-4)


def test_a_model_agrees_whose_layer_is_called_twice_and_another_frozen() -> None:
    torch.manual_seed(0)
    first, second, x = nn.Linear(4, 4), nn.Linear(4, 4), rows(5, 4)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = first, second

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(self.first(x)))  # type: ignore[no-any-return]

    model = Model()
    a = twin(first)(kernel_regularizer="l2", activity_regularizer="l1")
    b = twin(second)(kernel_regularizer="l1", bias_regularizer="l2", activity_regularizer="l2")
    given = keras.Input((4,))
    theirs = keras.Model(given, b(a(a(given))))
    rules = [
        {"pattern": "first", "kernel": "l2", "activity": "l1"},
        {"pattern": "second", "kernel": "l1", "bias": "l2", "activity": "l2"},
    ]
    penalties = LayerRegularization(model, rules)
    for frozen in (False, True):
        second.requires_grad_(not frozen)
        b.trainable = not frozen
        for _ in range(2):
            torch.testing.assert_close(model(x), theirs(x))
            assert len(penalties.losses()) == len(theirs.losses) == (4 if frozen else 6)
            want = value_and_gradients(sum(theirs.losses), [x, a.kernel.value])
            got = value_and_gradients(penalties(), [x, first.weight])
            assert_close(got, [*want[:2], want[2].T], 1e-5)
