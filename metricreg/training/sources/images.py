"""A folder of images with a subfolder for each class."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from metricreg.errors import ExperimentError
from metricreg.training.dataset import Dataset
from metricreg.training.extras import require
from metricreg.training.section import Integer
from metricreg.training.sources.source import PathText, Source, existing

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


class ImagesSource(Source):
    """Images, each in the folder of its class: `path/cat/1.png`. All are held in memory at the size asked for.

    Args:
        path: the folder, relative to the experiment file.
        size: height and width in pixels that every image is resized to.
        channels: `rgb` (3) or `grayscale` (1).
    """

    name: Literal["images"] = "images"
    path: PathText
    size: Annotated[Integer, Field(ge=2, le=4096)] = 32
    channels: Literal["grayscale", "rgb"] = "rgb"

    def load(self, folder: Path) -> Dataset:
        """Read every image, in the order of class and file name, to grey or colour values in [0, 1]."""
        require("PIL")
        root = existing(folder, self.path, "folder")
        classes = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        if not classes:
            raise ExperimentError(f"data: '{self.path}' has no subfolders; put the images of each class in one")
        ignored = sum(entry.is_file() and not entry.name.startswith(".") for entry in root.iterdir())
        images, labels = [], []
        for class_folder in classes:
            found = sorted(entry for entry in class_folder.iterdir() if not entry.name.startswith("."))
            usable = [entry for entry in found if entry.is_file() and entry.suffix.lower() in EXTENSIONS]
            ignored += len(found) - len(usable)
            if not usable:
                raise ExperimentError(
                    f"data: the class folder '{class_folder.name}' of '{self.path}' holds no image "
                    f"({', '.join(EXTENSIONS)}); remove it or fill it"
                )
            images += [self._pixels(file) for file in usable]
            labels += [class_folder.name] * len(usable)
        notes = [f"{ignored} files or folders that are not images of a class were left out"] if ignored else []
        pixels = np.stack(images).astype(np.float32)
        pixels /= 255
        return Dataset.of(pixels, labels, self.path, notes=notes)

    def _pixels(self, file: Path) -> NDArray[np.uint8]:
        """One image, `[channels, size, size]`, 0 to 255."""
        from PIL import Image, ImageOps

        try:
            with warnings.catch_warnings(), Image.open(file) as image:
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                upright: Image.Image = ImageOps.exif_transpose(image)
                if upright.mode == "F" or (upright.mode == "I" and image.format != "PNG"):
                    raise ValueError("its values are of 32 bits, of unknown range; save it with 8 or 16 bits")
                if upright.mode.startswith("I"):  # convert() would cut 16 bits at 255 instead of scaling them
                    upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
                converted = upright.convert("L" if self.channels == "grayscale" else "RGB")
                pixels = np.asarray(converted.resize((self.size, self.size), Image.Resampling.BILINEAR))
        except Exception as error:  # decoders of damaged files raise almost anything
            raise ExperimentError(f"data: the image '{file}' cannot be read: {error}") from error
        return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
