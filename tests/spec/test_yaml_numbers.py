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


@pytest.mark.parametrize("text", ["010", "-010", "0_1", "00", "0b11", "1:30", "+1:30", "1:30.5", "190:20:30"])
def test_a_number_of_another_base_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.yaml"
    for where in (f"loss: {{name: ntxent, temperature: {text}}}", f"loss: {{name: x, a: [0.5, {{b: {text}}}]}}"):
        path.write_text(where)
        with pytest.raises(metricreg.SpecError, match=r"another base in YAML 1\.1.*write it in decimal"):
            metricreg.load(path)
    path.write_text(f"loss: {{name: ntxent, temperature: '{text}'}}")
    assert metricreg.load(path)["loss"]["temperature"] == text


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("-0", 0), ("0.5", 0.5), ("10", 10), ("0x10", 16), ("1_000", 1000)]
)
def test_other_numbers_are_what_they_look_like(tmp_path: Path, text: str, value: float) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(f"loss: {{a: {text}}}")
    assert metricreg.load(path)["loss"]["a"] == value


@pytest.mark.parametrize("text", ["1e", "e3", "1e-3x", "0x1e3g", "'1e-3'"])
def test_what_is_no_number_stays_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(f"loss: {{name: {text}}}\n")
    assert metricreg.load(path) == {"loss": {"name": text.strip("'")}}
