from __future__ import annotations

import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from metricreg.errors import ExperimentError
from metricreg.training.sources import DigitsSource, ImagesSource, NpzSource, TableSource


def test_digits_are_images_between_zero_and_one(tmp_path):
    digits = DigitsSource().load(tmp_path)
    assert digits.features.shape == (1797, 1, 8, 8)
    assert digits.features.dtype == np.float32
    assert (digits.features.min(), digits.features.max()) == (0, 1)
    assert digits.classes == list(range(10))
    assert digits.shape == (1, 8, 8)


class TestNpz:
    def load(self, folder, name="x.npz", **arrays):
        np.savez(folder / "x.npz", **arrays)
        return NpzSource(path=name).load(folder)

    @pytest.mark.parametrize("key", ["features", "embeddings"])
    def test_reads_features_or_embeddings(self, tmp_path, key):
        dataset = self.load(tmp_path, **{key: np.eye(4), "labels": [5, 5, -2, -2]}, other=np.ones(1))
        assert dataset.classes == [-2, 5]
        assert dataset.labels.tolist() == [1, 1, 0, 0]

    @pytest.mark.parametrize(
        ("labels", "classes"),
        [
            (np.array(["b", "a", "b"]), ["a", "b"]),
            (np.array([b"b", b"a", b"b"]), ["a", "b"]),
            (np.array([True, False, True]), ["False", "True"]),
            (np.array([2.0, 1.0, 2.0]), [1, 2]),
            (np.array([2.0, 1.0, 2.0], np.float16), [1, 2]),
            (np.array([2**63, 1, 2**63], dtype=np.uint64), [1, 2**63]),
        ],
    )
    def test_labels_of_any_kind_are_numbered(self, tmp_path, labels, classes):
        dataset = self.load(tmp_path, features=np.eye(3), labels=labels)
        assert dataset.classes == classes
        assert dataset.labels.tolist() == [1, 0, 1]

    def test_the_same_content_has_the_same_digest(self, tmp_path):
        one = self.load(tmp_path, features=np.eye(3), labels=[1, 2, 2])
        assert one.sha256() == self.load(tmp_path, embeddings=np.eye(3), labels=[1, 2, 2]).sha256()
        assert one.sha256() != self.load(tmp_path, features=np.eye(3), labels=[1, 3, 3]).sha256()

    @pytest.mark.parametrize(
        ("arrays", "said"),
        [
            ({"features": np.eye(3)}, "holds features; needed are 'labels'"),
            ({"labels": [0, 1]}, "exactly one of 'embeddings' and 'features'"),
            ({"features": np.eye(2), "embeddings": np.eye(2), "labels": [0, 1]}, "exactly one"),
            ({"features": np.eye(3), "labels": [0, 1]}, "3 rows of features but 2 labels"),
            ({"features": np.ones(3), "labels": [0, 1, 1]}, r"shape \[3\]; needed is"),
            ({"features": np.ones((3, 0)), "labels": [0, 1, 1]}, r"none of them 0"),
            ({"features": np.float64(1), "labels": [0]}, "single values"),
            ({"features": np.eye(3), "labels": np.ones((3, 1))}, r"labels have shape \[3, 1\]"),
            ({"features": np.eye(3), "labels": [1, 1, 1]}, "all rows have the label 1"),
            ({"features": np.eye(3), "labels": [1, 2, 3]}, "no class has two rows"),
            ({"features": np.eye(3), "labels": [0.5, 1, 1]}, "numbers with fractions"),
            ({"features": np.eye(3), "labels": [np.nan, 1, 1]}, "1 labels are missing"),
            ({"features": np.eye(3), "labels": np.ones(3, complex)}, "labels are of type complex128"),
            ({"features": np.eye(3) * 1j, "labels": [0, 1, 1]}, "features are of type complex128"),
            ({"features": np.array([["a"]] * 3), "labels": [0, 1, 1]}, "numbers are needed"),
            ({"features": np.array([[1, 2], [1, np.nan], [np.inf, 1]]), "labels": [0, 1, 1]}, "2 of 3 .* is row 1 "),
            ({"features": np.array([[1.0], [1e300], [1]]), "labels": [0, 1, 1]}, "1 of 3 rows .* infinite in float32"),
            (
                {"features": np.array([[None]] * 3), "labels": [0, 1, 1]},
                "holds Python objects, which are never unpickled",
            ),
            ({"features": np.eye(3), "labels": [1e300, 1, 1]}, "too large for whole floats"),
            ({"features": np.eye(3), "labels": [b"\xff", b"\xfe", b"\xff"]}, "bytes that are not UTF-8"),
        ],
    )
    def test_unusable_arrays_are_refused(self, tmp_path, arrays, said):
        with pytest.raises(ExperimentError, match=said):
            self.load(tmp_path, **arrays)

    def test_missing_damaged_or_other_files_are_refused(self, tmp_path):
        (tmp_path / "bad.npz").write_bytes(b"PK not really")
        (tmp_path / "x.npy").write_bytes(b"")
        (tmp_path / "folder.npz").mkdir()
        with (tmp_path / "one.npz").open("wb") as file:
            np.save(file, np.eye(3))
        with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
            archive.writestr("features", "no array")
            archive.writestr("labels", "no array")
        for name, said in [
            ("gone.npz", "is not there"),
            ("folder.npz", "is not a file"),
            ("bad.npz", "cannot be read"),
            ("one.npz", r"a single array, not an archive; save with numpy\.savez"),
            ("text.npz", "single values"),
            ("x.npy", "extension '.npy'"),
        ]:
            with pytest.raises(ExperimentError, match=said):
                NpzSource(path=name).load(tmp_path)


class TestTable:
    TABLE = pd.DataFrame(
        {"height": [1.0, 2.0, 3.0, 4.0], "kind": list("abab"), "width": [1, 2, 3, 4], "note": list("wxyz")}
    )

    def save(self, folder, table, name="t.csv"):
        table.to_csv(folder / name, index=False) if name.endswith("csv") else table.to_parquet(folder / name)

    @pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
    def test_numeric_columns_but_the_label_are_features(self, tmp_path, name):
        self.save(tmp_path, self.TABLE, name)
        dataset = TableSource(path=name, label="kind").load(tmp_path)
        assert dataset.columns == ["height", "width"]
        assert dataset.classes == ["a", "b"]
        assert dataset.notes == ["2 feature columns: height, width", "columns not used: note"]

    def test_features_can_be_chosen_and_labels_be_numbers(self, tmp_path):
        self.save(tmp_path, self.TABLE.assign(kind=[7, 9, 7, 9]))
        dataset = TableSource(path="t.csv", label="kind", features=["width"]).load(tmp_path)
        assert dataset.features.tolist() == [[1], [2], [3], [4]]
        assert dataset.classes == [7, 9]

    def test_features_are_standardized_unless_told_otherwise(self):
        assert TableSource(path="t.csv", label="kind").standardized
        assert not TableSource(path="t.csv", label="kind", scale="none").standardized
        assert NpzSource(path="x.npz", scale="standard").standardized

    @pytest.mark.parametrize(
        ("changes", "options", "said"),
        [
            ({}, {"label": "knd"}, "no column 'knd'; did you mean 'kind'"),
            ({}, {"label": "zzzzzz"}, "it has height, kind"),
            ({}, {"label": "kind", "features": ["weight", "width"]}, "no column 'weight'; did you mean"),
            ({}, {"label": "kind", "features": ["note"]}, "'note' .* is not numeric, for example 'w'"),
            ({}, {"label": "kind", "features": ["kind"]}, "also listed in features"),
            ({}, {"label": "kind", "features": ["width", "width"]}, "lists width more than once"),
            ({"height": list("pqrs"), "width": list("pqrs")}, {"label": "kind"}, "no numeric column"),
            (
                {"kind": ["a", None, "b", "b"]},
                {"label": "kind"},
                "1 rows .* no label .*, the first is row 1 .* NA, None",
            ),
            ({"width": [1, None, 2, None]}, {"label": "kind"}, "2 of 4 rows .* the first is row 1 .*, in width; "),
        ],
    )
    def test_unusable_tables_are_refused(self, tmp_path, changes, options, said):
        self.save(tmp_path, self.TABLE.assign(**changes))
        with pytest.raises(ExperimentError, match=said):
            TableSource(path="t.csv", **options).load(tmp_path)

    def test_many_columns_are_not_all_named(self, tmp_path):
        self.save(tmp_path, pd.DataFrame({"y": [1, 1, 2], **{f"c{i}": [1, 2, 3] for i in range(20)}}))
        assert TableSource(path="t.csv", label="y").load(tmp_path).notes[0].endswith("c11 and 8 more")

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("x,x,y\n1,2,a\n3,4,a\n5,6,b\n", "same name: x"),
            ("y,x\na,1,\na,2,\nb,3,\n", "more values than its header has names"),
            ("x;y\n1;a\n2;a\n3;b\n", "it has x;y; are the values separated by commas"),
        ],
    )
    def test_csv_whose_columns_cannot_be_told_apart_is_refused(self, tmp_path, content, said):
        (tmp_path / "t.csv").write_text(content)
        with pytest.raises(ExperimentError, match=said):
            TableSource(path="t.csv", label="y").load(tmp_path)

    def test_row_numbers_are_no_feature_unless_asked_for(self, tmp_path):
        self.TABLE.to_csv(tmp_path / "t.csv")  # the index becomes a column without a name
        dataset = TableSource(path="t.csv", label="kind").load(tmp_path)
        assert dataset.columns == ["height", "width"]
        assert dataset.notes[1] == "columns not used: Unnamed: 0, note"
        asked = TableSource(path="t.csv", label="kind", features=["Unnamed: 0"]).load(tmp_path)
        assert asked.features.tolist() == [[0], [1], [2], [3]]

    def test_lists_are_no_labels(self, tmp_path):
        self.save(tmp_path, self.TABLE.assign(kind=[[1], [2], [1], [2]]), "t.parquet")
        with pytest.raises(ExperimentError, match=r"'kind' .* holds ndarray, for example array\(\[1\]\); classes are"):
            TableSource(path="t.parquet", label="kind").load(tmp_path)

    @pytest.mark.parametrize(("name", "content"), [("t.csv", b""), ("t.csv", b"\xff\xfe\xff"), ("t.parquet", b"PAR")])
    def test_damaged_tables_are_refused(self, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ExperimentError, match="cannot be read as a table"):
            TableSource(path=name, label="y").load(tmp_path)

    def test_other_extensions_are_refused(self, tmp_path):
        (tmp_path / "t.xlsx").write_bytes(b"")
        with pytest.raises(ExperimentError, match=r"'.xlsx'; a table is one of .csv, .parquet"):
            TableSource(path="t.xlsx", label="y").load(tmp_path)


class TestImages:
    @pytest.fixture
    def folder(self, tmp_path):
        generator = np.random.default_rng(0)
        for name in ("cat", "dog"):
            (tmp_path / "pets" / name).mkdir(parents=True)
            for number, mode in enumerate(["RGB", "L", "RGBA", "P"]):
                pixels = Image.fromarray(generator.integers(0, 255, (9, 7, 3)).astype(np.uint8))
                pixels.convert(mode).save(tmp_path / "pets" / name / f"{number}.png")
        return tmp_path

    @pytest.mark.parametrize(("channels", "depth"), [("rgb", 3), ("grayscale", 1)])
    def test_every_mode_becomes_the_shape_asked_for(self, folder, channels, depth):
        dataset = ImagesSource(path="pets", size=5, channels=channels).load(folder)
        assert dataset.features.shape == (8, depth, 5, 5)
        assert dataset.classes == ["cat", "dog"]
        assert dataset.features.min() >= 0
        assert dataset.features.max() <= 1

    def test_sixteen_bit_images_are_scaled_not_cut(self, folder):
        Image.fromarray(np.full((6, 6), 32768, np.uint16)).save(folder / "pets" / "cat" / "0.png")
        dataset = ImagesSource(path="pets", size=4, channels="grayscale").load(folder)
        np.testing.assert_allclose(dataset.features[0], 128 / 255)

    def test_other_files_are_left_out_and_counted(self, folder):
        (folder / "pets" / "cat" / "notes.txt").write_text("x")
        (folder / "pets" / ".hidden").mkdir()
        (folder / "pets" / "stray.png").write_bytes((folder / "pets" / "cat" / "0.png").read_bytes())
        (folder / "pets" / "cat" / "nested").mkdir()
        said = "3 files or folders that are not images of a class were left out"
        assert ImagesSource(path="pets").load(folder).notes == [said]

    def test_image_of_unknown_range_is_refused(self, folder):
        Image.fromarray(np.full((6, 6), 0.5, np.float32)).save(folder / "pets" / "cat" / "0.tif")
        with pytest.raises(ExperimentError, match=r"0\.tif' cannot be read: its values are of 32 bits"):
            ImagesSource(path="pets").load(folder)

    def test_corrupt_image_is_named(self, folder):
        (folder / "pets" / "dog" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
        with pytest.raises(ExperimentError, match=r"dog.1\.png' cannot be read"):
            ImagesSource(path="pets").load(folder)

    def test_oversized_image_is_refused(self, folder, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
        with pytest.raises(ExperimentError, match="exceeds limit"):
            ImagesSource(path="pets").load(folder)

    def test_folders_without_classes_or_images_are_refused(self, folder):
        with pytest.raises(ExperimentError, match="no subfolders"):
            ImagesSource(path="pets/cat").load(folder)
        (folder / "pets" / "emu").mkdir()
        with pytest.raises(ExperimentError, match="'emu' of 'pets' holds no image"):
            ImagesSource(path="pets").load(folder)
        with pytest.raises(ExperimentError, match="the folder 'birds' is not there"):
            ImagesSource(path="birds").load(folder)
