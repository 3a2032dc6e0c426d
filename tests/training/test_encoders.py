from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from metricreg.errors import ExperimentError
from metricreg.training.encoders import ConvEncoder, LinearEncoder, MlpEncoder
from metricreg.training.scaled_encoder import ScaledEncoder
from metricreg.training.weights import encoder_metadata, load_encoder, pack

ALL = [
    LinearEncoder(embedding_size=3, bias=False),
    MlpEncoder(embedding_size=3, hidden=[]),
    MlpEncoder(embedding_size=3, hidden=[5, 4], dropout=0.5, normalization="batch"),
    MlpEncoder(embedding_size=3, normalization="layer"),
    ConvEncoder(embedding_size=3, channels=[2, 3, 4, 5], dropout=0.1),
]


@pytest.mark.parametrize("section", ALL)
@pytest.mark.parametrize("shape", [(1, 2, 2), (3, 9, 16)])
def test_rows_become_embeddings_of_the_size_asked_for(section, shape):
    assert section.build(shape)(torch.rand(4, *shape)).shape == (4, 3)


def test_conv_refuses_flat_rows():
    with pytest.raises(ExperimentError, match="conv needs images"):
        ConvEncoder().build((7,))


@pytest.mark.parametrize("section", ALL)
def test_saved_encoder_loads_to_the_same_function(section, tmp_path):
    shape = (1, 4, 4)
    encoder = ScaledEncoder(section.build(shape), shape).eval()
    encoder.fit_scale(torch.rand(20, *shape))
    (tmp_path / "e.safetensors").write_bytes(pack(encoder.state_dict(), encoder_metadata(section, shape)))
    rows = torch.rand(5, *shape)
    assert torch.equal(load_encoder(tmp_path / "e.safetensors")(rows), encoder(rows))


def test_a_file_without_an_encoder_is_refused(tmp_path):
    (tmp_path / "no").write_bytes(b"nothing")
    (tmp_path / "other").write_bytes(pack({"x": torch.ones(1), "note": "not a tensor"}, {}))
    about = {"encoder": json.dumps({"name": "linear"}), "input_shape": "[2]"}
    (tmp_path / "wrong").write_bytes(pack({"mean": torch.ones(2)}, about))
    for name in ("no", "other", "wrong", "missing"):
        with pytest.raises(ExperimentError, match="does not hold an encoder"):
            load_encoder(tmp_path / name)


def test_scale_brings_features_to_mean_zero_and_deviation_one_and_constants_to_zero():
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 3)) * 1000 + 5e4).float()
    rows[:, 2] = 0.1
    encoder = ScaledEncoder(torch.nn.Identity(), (3,))
    assert torch.equal(encoder(rows), rows)
    encoder.fit_scale(rows)
    torch.testing.assert_close(encoder(rows).mean(0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(encoder(rows)[:, :2].std(0, correction=0), torch.ones(2))
    assert encoder(rows + 1)[:, 2].eq(0).all()
