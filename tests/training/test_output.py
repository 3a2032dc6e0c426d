from __future__ import annotations

import sys

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


def test_a_write_that_is_interrupted_leaves_no_part(tmp_path):
    with pytest.raises(KeyboardInterrupt), OutputFolder(tmp_path).replacing("spec.json") as part:  # noqa: PT012
        part.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_looked_into_is_an_error_in_words(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    with pytest.raises(ExperimentError, match=r"cannot look into the output folder .*Permission denied"):
        OutputFolder(tmp_path).check(resume=False, overwrite=False)


def test_a_folder_in_place_of_a_result_is_an_error_in_words(tmp_path):
    (tmp_path / "loss.png").mkdir()
    with pytest.raises(ExperimentError, match=r"cannot remove the results in .*loss\.png"):
        OutputFolder(tmp_path).clear()


def test_overwrite_takes_a_folder_of_other_files_and_one_of_a_run(tmp_path):
    folder = OutputFolder(tmp_path)
    (tmp_path / "mine.txt").write_text("")
    folder.check(resume=False, overwrite=True)
    folder.write_json("labels.json", {"classes": [0, 1], "training_classes": [0, 1]})
    folder.write_json("spec.json", {})
    folder.check(resume=False, overwrite=True)
    folder.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_where_the_system_cannot_lock_a_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with OutputFolder(tmp_path / "out").lock():
        assert (tmp_path / "out").is_dir()
