"""Weights as safetensors files. An encoder's says which encoder it is of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from torch import Tensor

from metricreg.errors import ExperimentError
from metricreg.training.encoders import AnyEncoder
from metricreg.training.encoders.encoder import Encoder
from metricreg.training.scaled_encoder import ScaledEncoder


def encoder_metadata(section: Encoder, shape: tuple[int, ...]) -> dict[str, str]:
    """What `load_encoder` needs to know, as safetensors wants it: strings."""
    return {"encoder": section.model_dump_json(), "input_shape": json.dumps(shape)}


def pack(state: dict[str, Any], metadata: dict[str, str]) -> bytes:
    """The tensors of a state dict as the bytes of a safetensors file; what is not a tensor is left out."""
    from safetensors.torch import save

    tensors = {name: t.detach().cpu().clone().contiguous() for name, t in state.items() if isinstance(t, Tensor)}
    return save(tensors, metadata)


def load_encoder(path: Path | str) -> ScaledEncoder:
    """The trained encoder of an `encoder.safetensors`, in evaluation mode, on the CPU.

    Rows go in as the data section read them, `[N, *input_shape]`, and embeddings `[N, D]` come out.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            section: Encoder = TypeAdapter[Encoder](AnyEncoder).validate_json(metadata["encoder"])
            shape = tuple(json.loads(metadata["input_shape"]))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        encoder = ScaledEncoder(section.build(shape), shape)
        encoder.to(state["mean"].dtype).load_state_dict(state)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ExperimentError(f"'{path}' does not hold an encoder that metricreg trained: {error}") from error
    return encoder.eval()
