from __future__ import annotations

import pytest

from metricreg.errors import ExperimentError
from metricreg.training.output import OutputFolder


def test_a_failed_write_leaves_the_old_file(tmp_path):
    folder = OutputFolder(tmp_path / "out")
    folder.write_json("metrics.json", {"a": 1})
    with pytest.raises(KeyError), folder.replacing("metrics.json") as part:  # noqa: PT012 - fails half-way
        part.write_text("half")
        raise KeyError
    assert (tmp_path / "out" / "metrics.json").read_text() == '{\n  "a": 1\n}\n'


def test_nan_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        OutputFolder(tmp_path / "out").write_json("metrics.json", {"a": float("nan")})
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_an_error_in_words_and_leaves_no_part(tmp_path):
    folder = OutputFolder(tmp_path)
    with pytest.raises(ExperimentError, match=r"cannot write .*spec\.json: .*No space"), folder.replacing("spec.json"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_vanished_is_an_error_in_words(tmp_path):
    with pytest.raises(ExperimentError, match="cannot write"), OutputFolder(tmp_path).replacing("spec.json"):
        pass


def test_a_folder_that_cannot_be_made_is_an_error_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExperimentError, match="cannot make the folder"):
        OutputFolder(tmp_path / "file" / "out").write("spec.json", b"")


def test_an_empty_folder_may_be_used(tmp_path):
    OutputFolder(tmp_path).check(resume=False, overwrite=False)
