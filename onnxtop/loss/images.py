"""A folder with one folder of images a class, read image by image when a run needs them (needs Pillow)."""

import contextlib
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxtop.errors import MissingLibraryError, OptionError, UsageError
from onnxtop.gradient.graph import Array
from onnxtop.loss.options import Pixels
from onnxtop.work.beside import regular, usable

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""What these may hold: of all others Pillow would run programs for some."""
_MOST_PIXELS = 2**26
"""Of one image: some kilobytes may declare as many as they like."""
_LABEL = 18  # digits of a class's number


@dataclass(frozen=True, eq=False)
class Images:
    """An array (images, channels, height, width) that reads its rows from files."""

    files: tuple[Path, ...]
    look: Pixels
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self.files)

    def __getitem__(self, rows: Array | slice) -> Array:
        """Read some images."""
        chosen = np.arange(len(self))[rows]
        return np.stack([_read(self.files[row], self.shape[1:], self.look) for row in chosen])


def read_images(folder: Path, look: Pixels) -> tuple[Images, Array, tuple[str, ...]]:
    """Find the images of a folder; return them, their labels, and what was assumed.

    A class is numbered as its folder is called if all folders are numbers, else by the order of the names.

    Raises
    ------
    UsageError
        There is no folder of images, or Pillow is not installed.
    """
    _pillow()
    classes = classes_in(folder)
    if not classes:
        raise UsageError(f"{folder}: wanted .npy files, or one folder of images a class, found neither")
    names = [path.name for path in classes]
    numbered = all(name.isdecimal() and len(name) <= _LABEL for name in names)
    numbers = list(map(int, names)) if numbered else list(range(len(names)))
    files = [
        (file, number) for path, number in zip(classes, numbers, strict=True) for file in images_in(path)
    ]
    shape = look.shape or _own_shape(files[0][0])
    _check_channels(shape, look)
    images = Images(tuple(file for file, _ in files), look, (len(files), *shape), np.dtype(np.float32))
    shown = ", ".join(f"{number} is {name}" for number, name in zip(numbers[:5], names[:5], strict=True))
    note = f"{len(files)} images of {len(classes)} classes ({shown}{', ...' if len(names) > 5 else ''})"
    return images, np.array([number for _, number in files], np.int64), (note,)


def classes_in(folder: Path) -> list[Path]:
    """Return the folders of images in a folder, in the order of their names."""
    return sorted(path for path in folder.iterdir() if os.path.isdir(path) and images_in(path))


def images_in(folder: Path) -> list[Path]:
    """Return the images in a folder, in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)


def _pillow() -> Any:
    try:
        from PIL import Image  # type: ignore[import-not-found,unused-ignore]  # an extra
    except ImportError:
        raise MissingLibraryError.of("Pillow for reading images", "'onnxtop[images]'") from None
    return Image


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Open an image that is small enough to be decoded.

    Raises
    ------
    UsageError
        It is none, or too large, or damaged.
    """
    library = _pillow()
    with usable(file, "an image"), warnings.catch_warnings():
        regular(file)
        warnings.simplefilter("ignore")  # of odd tags, and of sizes: the limit here is lower
        try:
            with library.open(file, formats=_FORMATS) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise ValueError(f"{image.width} x {image.height} pixels are too many: make it smaller")
                yield image
        except OSError:
            raise
        except Exception as error:  # what Pillow's decoders raise has no base of its own
            raise ValueError(str(error) or type(error).__name__) from None


def _own_shape(file: Path) -> tuple[int, int, int]:
    with _opened(file) as image:
        return (1 if image.mode in ("1", "L") else 3), image.height, image.width


def _layout(shape: Sequence[int]) -> tuple[int, int, int, bool]:
    """Return height, width, channels, and whether the channels come first."""
    if math.prod(shape) > 4 * _MOST_PIXELS:
        raise UsageError(
            f"wanted a model of images of at most {_MOST_PIXELS:,} pixels, found {_shown(shape)}"
        )
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return shape[1], shape[2], shape[0], True
    if len(shape) == 3 and shape[2] in (1, 3, 4):
        return shape[0], shape[1], shape[2], False
    raise UsageError(
        "wanted a model of images (channels x height x width, 1, 3 or 4 channels first or last), found an "
        f"input of shape {_shown(shape)}"
    )


def _check_channels(shape: Sequence[int], look: Pixels) -> None:
    """Refuse a mean or a deviation that is neither one for all channels nor one for each.

    Raises
    ------
    OptionError
        It is of other channels.
    """
    *_, channels, _ = _layout(shape)
    for name in ("mean", "deviation"):
        if (count := len(getattr(look, name))) not in (1, channels):
            each = "" if channels == 1 else f", or {channels}, one a channel"
            raise OptionError.of(name, f"wanted one number for all pixels{each}, found {count}")


def _shown(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _read(file: Path, shape: Sequence[int], look: Pixels) -> Array:
    height, width, channels, first = _layout(shape)
    with _opened(file) as image:
        converted = image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
        if converted.size != (width, height):
            converted = converted.resize((width, height))
        pixels = np.asarray(converted, np.float32).reshape(height, width, channels) / 255
    pixels = (pixels - np.asarray(look.mean, np.float32)) / np.asarray(look.deviation, np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1) if first else pixels, np.float32)
