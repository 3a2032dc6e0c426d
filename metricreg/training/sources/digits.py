"""scikit-learn's handwritten digits: the data that is always there."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from metricreg.training.dataset import Dataset
from metricreg.training.sources.source import Source


class DigitsSource(Source):
    """1797 images of handwritten digits, 8 by 8 pixels, 10 classes, shipped inside scikit-learn.

    Features are grey values in [0, 1], `[1797, 1, 8, 8]`.
    """

    name: Literal["digits"] = "digits"

    def load(self, folder: Path) -> Dataset:
        """Read the digits; needs no network."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        return Dataset.of(np.asarray(digits.images) / 16.0, np.asarray(digits.target), "digits")
