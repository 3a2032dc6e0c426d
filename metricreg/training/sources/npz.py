"""Arrays that a user saved with `numpy.savez`."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

import numpy as np

from metricreg.errors import ExperimentError
from metricreg.training.dataset import Dataset
from metricreg.training.sources.source import PathText, Scale, Source, existing


class NpzSource(Source):
    """A NumPy archive with `labels` and either `embeddings` or `features`; anything else in it is ignored.

    Args:
        path: the `.npz` file, relative to the experiment file.
        scale: `standard` brings each feature to mean 0 and deviation 1 (of the training rows), `none` leaves it.
    """

    name: Literal["npz"] = "npz"
    path: PathText
    scale: Scale = "none"

    @property
    def standardized(self) -> bool:
        """As `scale` says."""
        return self.scale == "standard"

    def load(self, folder: Path) -> Dataset:
        """Read the arrays. Pickled objects are never unpickled."""
        path = existing(folder, self.path, "file")
        if path.suffix.lower() != ".npz":
            raise ExperimentError(f"data: '{self.path}' has the extension '{path.suffix}'; npz reads .npz files")
        try:
            archive = np.load(path, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ExperimentError(
                    f"data: '{self.path}' is a single array, not an archive; save with "
                    "numpy.savez(path, features=..., labels=...)"
                )
            with archive:
                present = [key for key in ("embeddings", "features") if key in archive]
                if "labels" not in archive or len(present) != 1:
                    raise ExperimentError(
                        f"data: '{self.path}' holds {', '.join(archive.files) or 'nothing'}; needed are 'labels' and "
                        "exactly one of 'embeddings' and 'features'"
                    )
                features, labels = archive[present[0]], archive["labels"]
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            if isinstance(error, ExperimentError):
                raise
            objects = "it holds Python objects, which are never unpickled; save numbers, and labels as numbers or text"
            said = objects if "pickle" in str(error) else error
            raise ExperimentError(f"data: '{self.path}' cannot be read as npz: {said}") from error
        if np.ndim(labels) == 0 or np.ndim(features) == 0:  # NumPy hands out as bytes what is no array
            raise ExperimentError(f"data: '{self.path}' holds single values, not arrays with a row a sample")
        return Dataset.of(features, labels, self.path)
