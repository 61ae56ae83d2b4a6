"""What models are fed: samples of data, or inputs drawn from a seed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes  # noqa: F401 (gives NumPy the names of its types)
import numpy as np
from numpy.typing import NDArray

from onnxtop.execution.job import Given, Job
from onnxtop.gradient.graph import onnx_type
from onnxtop.loss.data import read_data
from onnxtop.loss.options import Pixels
from onnxtop.loss.samples import Samples, match
from onnxtop.reader.declared import Declared

Array = NDArray[Any]

MOST_SAMPLES = 256
_BATCH = 16
_UNIT = 0.0
SCALES = (1.0, _UNIT, 10.0)
"""Of the normal draws of floats, in turn; that from 0 to 1 has none."""
MORE_SCALES = (0.01, 0.1, 100.0)
"""Where all of those give one answer: what is saturated in the middle need not be so everywhere."""


@dataclass(frozen=True, eq=False)
class Feed:
    """The inputs of one run by the first name each has, drawn in one ``scale``, integers below ``most``.

    If they are data, ``rows`` of ``size`` samples count.
    """

    arrays: Mapping[str, Array]
    scale: float = 1.0
    most: int | None = None
    rows: int | None = None
    size: int | None = None

    def of(self, inputs: Sequence[Given], model: int) -> dict[str, Array]:
        """Return the inputs as one of the models calls them, in its types."""
        return {
            name: self.arrays[each.name].astype(_dtype(each.types[model]), copy=False)
            for each in inputs
            if (name := each.names[model]) is not None
        }

    def other(self, inputs: Sequence[Given], name: str, job: Job, turn: int) -> "Feed | None":
        """Return the same with one input drawn again, or its samples moved on by some; None if no other."""
        now = self.arrays[name]
        if self.rows is None:
            place = [each.name for each in inputs].index(name)
            again = draw(inputs[place], now.shape, [job.seed, place, 1 + turn, 1], self.scale, self.most)
        else:
            again = np.concatenate([np.roll(now[: self.rows], turn + 1, axis=0), now[self.rows :]])
        if np.array_equal(again, now):
            return None
        return Feed({**self.arrays, name: again}, self.scale, self.most, self.rows, self.size)


class Seeded:
    """Inputs drawn from a seed: normal, from 0 to 1, wide, and again, in the ``chosen`` of the shapes."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.tries = max((len(each.tries) for each in job.inputs), default=1)
        self.notes: tuple[str, ...] = ()

    def feeds(self, chosen: int) -> Iterator[Feed]:
        """Yield what each run is fed."""
        for number in range(self._job.draws):
            yield self._feed(chosen, number, SCALES[number % len(SCALES)])

    def more(self, chosen: int) -> Iterator[Feed]:
        """Yield inputs of other scales."""
        for number, scale in enumerate(MORE_SCALES, start=self._job.draws):
            yield self._feed(chosen, number, scale)

    def _feed(self, chosen: int, number: int, scale: float) -> Feed:
        most = None if not chosen else 1 if chosen == self.tries - 1 else 2
        arrays = {
            each.name: draw(each, each.tries[chosen], [self._job.seed, place, number], scale, most)
            for place, each in enumerate(self._job.inputs)
        }
        return Feed(arrays, scale, most)


class Sampled:
    """Samples of data, so many at once, the first of them."""

    def __init__(self, job: Job) -> None:
        self._samples = _read(job)
        fixed = self._samples.number({each.name: each.shape for each in job.inputs})
        self._used = min(self._samples.count, MOST_SAMPLES)
        self._sizes = [min(self._used, _BATCH), 1] if fixed is None else [fixed]
        self.tries = len(self._sizes)
        left_out = f"the first {self._used:,} of {self._samples.count:,} samples were used"
        self.notes = (*self._samples.notes, *([left_out] if self._used < self._samples.count else []))

    def feeds(self, chosen: int) -> Iterator[Feed]:
        """Yield what each run is fed; the last samples are repeated to fill it."""
        size = self._sizes[chosen] or 1
        for start in range(0, self._used, size):
            rows = min(size, self._used - start)
            yield Feed(self._samples.rows(slice(start, start + rows), size), rows=rows, size=size)

    def more(self, chosen: int) -> Iterator[Feed]:
        """Yield nothing: the data is what it is."""
        yield from ()


def source(job: Job) -> Seeded | Sampled:
    """Return where the feeds of a job come from."""
    return Sampled(job) if job.data is not None else Seeded(job)


def _read(job: Job) -> Samples:
    first = next((each.shape for each in job.inputs if each.shape), ())
    known = tuple(size for size in first[1:] if size is not None)
    look = Pixels(known) if known and len(known) == len(first) - 1 and len(known) == 3 else None
    assert job.data is not None
    data = read_data(job.data, look=look, labelled=False)
    declared = [Declared(each.name, onnx_type(_dtype(each.types[0])), each.shape) for each in job.inputs]
    return match(data.split(None)[1], declared, labelled=False)


def _dtype(name: str) -> np.dtype[Any]:
    return np.dtype(name)


def draw(
    each: Given, shape: tuple[int, ...], key: Sequence[int], scale: float, most: int | None = None
) -> Array:
    """Return one draw of an input; integers are below ``most``, if that is given."""
    rng, number = np.random.default_rng(key), key[2]
    dtype = _dtype(each.types[0])
    if dtype.kind == "b":
        return np.ones(shape, bool) if number == 0 else rng.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu" or "int" in dtype.name:
        return _integers(rng, each, dtype, shape, number, most)
    if dtype.hasobject:
        words = np.array(["a", "onnx", "2", "the model"], object)
        return np.asarray(words[rng.integers(0, len(words), shape)], object)
    if dtype.kind == "c":
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    if each.span is not None:
        low, high = each.span
        return np.asarray(rng.uniform(low, high, shape) * (min(scale, 1.0) or 1.0)).astype(dtype)
    values = rng.random(shape) if scale == _UNIT else rng.normal(size=shape) * scale
    return np.asarray(values).astype(dtype)


def _integers(
    rng: np.random.Generator,
    each: Given,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    number: int,
    most: int | None,
) -> Array:
    """Draw below the bound; without one all of a narrow type, else small numbers, and first nothing but 1."""
    low, high = 0, 2 + number % 3
    if most is not None:
        high = min(most, each.bound or most)
    elif each.bound is not None:
        high = each.bound
    elif dtype.kind in "iu" and dtype.itemsize == 1:
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max) + 1
    elif number == 0:
        return np.ones(shape, np.int64).astype(dtype)
    return np.asarray(rng.integers(low, high, shape)).astype(dtype)
