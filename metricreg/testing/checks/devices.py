"""Devices and compilers."""

from __future__ import annotations

import torch

from metricreg.errors import said_by
from metricreg.testing.check import check, fail, skip
from metricreg.testing.example import Example
from metricreg.testing.results import difference, draws, result


@check(mend="make tensors on the device of those that are given, device=x.device, and keep one's own as buffers")
def is_equal_on_the_gpu(example: Example) -> None:
    """On a GPU it makes what it makes on the CPU."""
    if not torch.cuda.is_available():
        skip("there is no GPU here")
    if draws(example.make(), example.inputs):
        skip("it draws at random, which a GPU does in its own way")
    got = result(example.make().to("cuda"), example.inputs.to("cuda"))
    found = difference(got, result(example.make(), example.inputs), 1e-7)
    if found:
        fail(f"on the GPU, {found}")


@check("loss", informative=True, mend="")
def is_one_graph(example: Example) -> None:
    """`torch.compile(fullgraph=True)` makes one graph of it, in the dense plan; it need not, and never fails this."""
    want = result(example.make(), example.inputs)
    torch._dynamo.reset()
    loss = example.make()
    try:
        with torch._dynamo.config.patch(capture_scalar_outputs=True, capture_dynamic_output_shape_ops=True):
            loss.compile(fullgraph=True, backend="eager")
            found = difference(result(loss, example.inputs), want, 1e-9)
    except Exception as error:
        skip(f"torch.compile(fullgraph=True) makes no graph of it: {said_by(error)}")
    if found:
        fail(f"compiled, {found}")
