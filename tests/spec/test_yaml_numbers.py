"""Numbers with an exponent and no point, which YAML 1.1 takes for text."""

from __future__ import annotations

from pathlib import Path

import pytest

import metricreg


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "+1e-3", "-1e-3", "1.e-3", ".1e-3", "1.0e-3", "12e3"])
def test_an_exponent_makes_a_number(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(f"loss: {{name: ntxent, temperature: {text}}}\n")
    found = metricreg.load(path)["loss"]["temperature"]
    assert isinstance(found, float)
    assert found == float(text)


@pytest.mark.parametrize("text", ["1e", "e3", "1e-3x", "0x1e3g", "'1e-3'"])
def test_what_is_no_number_stays_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(f"loss: {{name: {text}}}\n")
    assert metricreg.load(path) == {"loss": {"name": text.strip("'")}}
