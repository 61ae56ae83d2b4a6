"""Arrays matched to a model's inputs: names, shapes and types checked before anything runs."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxtop.errors import ModelError, UsageError
from onnxtop.gradient.graph import Array
from onnxtop.reader.declared import Declared

TARGETS = ("labels", "target")
"""Names under which data holds what a model should give."""

_MOST_PADDED = 2**28  # bytes that samples are repeated to, for a model that takes no fewer
_FEW = 20  # names that are told
_PASS = 2**16  # numbers looked at in one go, so that mapped data never comes into memory as a whole


@dataclass(frozen=True, eq=False)
class Samples:
    """Data as a model takes it, first axis: samples.

    ``still`` are inputs that are the same for all samples (scalars such as a sampling rate). ``shapes`` and
    ``dtypes`` say what each input is given, which may be another view of the array; ``notes`` say so.
    """

    count: int
    inputs: Mapping[str, Array]
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, np.dtype[Any]]
    still: Mapping[str, Array]
    target: Array
    notes: tuple[str, ...]

    def number(self, shapes: Mapping[str, Sequence[int | None] | None]) -> int | None:
        """Return how many samples inputs of these shapes take at a time, None if they leave it open.

        Raises
        ------
        UsageError
            They take different numbers.
        """
        numbers = {shape[0] for name, shape in shapes.items() if shape and name in self.inputs} - {None}
        if len(numbers) > 1:
            raise UsageError(f"wanted inputs with one number of samples, found {sorted(map(str, numbers))}")
        return next(iter(numbers), None)

    def rows(self, rows: Array | slice, size: int) -> dict[str, Array]:
        """Return the inputs of some samples, padded with the last of them to ``size``.

        Raises
        ------
        ModelError
            The model takes so many at a time that there is no room for them.
        """
        each = sum(math.prod(self.shapes[name]) * self.dtypes[name].itemsize for name in self.inputs)
        if size > self.count and size * each > _MOST_PADDED:
            raise ModelError(
                f"wanted a model that takes {_MOST_PADDED // max(each, 1):,} samples at a time at most, "
                f"found one that takes {size:,}; export it with an open number"
            )
        feeds = dict(self.still)
        for name, array in self.inputs.items():
            taken = _padded(np.asarray(array[rows]), size)
            feeds[name] = np.ascontiguousarray(taken, self.dtypes[name]).reshape(size, *self.shapes[name])
        return feeds


def _padded(array: Array, size: int) -> Array:
    missing = size - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array


def match(data: Mapping[str, Any], declared: Sequence[Declared], *, labelled: bool = True) -> Samples:
    """Match arrays to a model's inputs.

    Parameters
    ----------
    data
        Arrays by input name, and ``labels`` or ``target``. The only input of a model may also be called
        ``x``. What has another name is left out.
    declared
        The model's inputs.
    labelled
        Whether there have to be labels; without them the target is nothing.

    Raises
    ------
    UsageError
        An array is missing, or has a wrong shape, count or type, or holds NaN.
    """
    arrays = {name: array if hasattr(array, "dtype") else np.asarray(array) for name, array in data.items()}
    target_name = next((name for name in TARGETS if name in arrays), None)
    target = _target(arrays, target_name) if labelled else None
    for name in () if labelled else TARGETS:
        if name not in {value.name for value in declared}:
            arrays.pop(name, None)
    notes: list[str] = []
    chosen = _by_name(arrays, declared, notes)
    still = {name: array for name, array in chosen.items() if array.ndim == 0}
    inputs = {name: array for name, array in chosen.items() if array.ndim}
    if not inputs:
        raise UsageError("wanted at least one input with samples along its first axis, found none")
    if target is None:
        target_name = next(iter(inputs))
        target = np.zeros(len(inputs[target_name]), np.int64)
    _check_counts(inputs, target, str(target_name))
    kinds = {value.name: value for value in declared}
    shapes, dtypes = {}, {}
    for name, array in inputs.items():
        shapes[name] = _sample_shape(name, array.shape[1:], kinds[name], notes)
        dtypes[name] = _type(name, array, kinds[name].array_type, notes)
    for name, array in inputs.items():
        _check_numbers(name, array, dtypes[name])
    if labelled:
        _check_numbers(str(target_name), target, _of_targets(target))
    still = {name: np.asarray(array, kinds[name].array_type) for name, array in still.items()}
    return Samples(len(target), inputs, shapes, dtypes, still, target, tuple(notes))


def _target(arrays: dict[str, Array], name: str | None) -> Array:
    if name is None:
        raise UsageError(f"wanted an array 'labels' or 'target' in the data, found {_listed(arrays)}")
    target = arrays.pop(name)
    if target.ndim == 0:
        raise UsageError(f"wanted {name!r} with one entry a sample, found a single number")
    if target.dtype.kind not in "fiub":
        raise UsageError(f"wanted numbers in {name!r}, found {target.dtype}")
    return target


def _listed(names: Mapping[str, Any]) -> str:
    few = ", ".join(map(repr, itertools.islice(names, _FEW)))
    return (f"{few} and {len(names) - _FEW:,} more" if len(names) > _FEW else few) or "no arrays"


def _by_name(arrays: Mapping[str, Array], declared: Sequence[Declared], notes: list[str]) -> dict[str, Array]:
    chosen = {value.name: arrays[value.name] for value in declared if value.name in arrays}
    missing = [value.name for value in declared if value.name not in arrays]
    if len(missing) == 1 and len(declared) == 1:
        others = ["x"] if "x" in arrays else list(arrays)
        if len(others) == 1:
            chosen[missing[0]] = arrays[others[0]]
            notes.append(f"array {others[0]!r} is taken for input {missing[0]!r}")
            missing = []
    if missing:
        raise UsageError(
            f"wanted an array {missing[0]!r} for the model's input of that name, found {_listed(arrays)}; "
            "rename it"
        )
    return chosen


def _check_counts(inputs: Mapping[str, Array], target: Array, target_name: str) -> None:
    counts = {name: len(array) for name, array in inputs.items()}
    for name, count in counts.items():
        if count != len(target):
            raise UsageError(
                f"wanted one entry of {target_name!r} for each sample, found {len(target)} for {count} "
                f"samples of {name!r}"
            )
    if not len(target):
        raise UsageError("wanted at least one sample, found none")


def _sample_shape(name: str, found: tuple[int, ...], declared: Declared, notes: list[str]) -> tuple[int, ...]:
    """Return the shape of one sample as the model takes it."""
    if declared.shape is None:
        return found
    wanted = declared.shape[1:]
    if not declared.shape:
        raise UsageError(f"wanted a single number for input {name!r}, found an array of samples")
    if len(wanted) == len(found) and all(w in (None, f) for w, f in zip(wanted, found, strict=True)):
        return found
    known = [size for size in wanted if size is not None]
    open_axes = len(wanted) - len(known)
    total, rest = math.prod(found), math.prod(known)
    fits = rest and (total == rest if not open_axes else open_axes == 1 and total % rest == 0)
    filled = tuple(total // rest if size is None else size for size in wanted) if fits else ()
    same_order = [n for n in filled if n != 1] == [n for n in found if n != 1]
    if fits and (same_order or len(found) != len(filled)):
        notes.append(f"{name}: samples of shape {_shape(found)} are reshaped to {_shape(filled)}")
        return filled
    shown = tuple("?" if size is None else size for size in wanted)
    hint = _layout_hint(found, wanted)
    raise UsageError(
        f"wanted samples of shape {_shape(shown)} for input {name!r}, found {_shape(found)}{hint}"
    )


def _layout_hint(found: tuple[int, ...], wanted: tuple[int | None, ...]) -> str:
    if len(found) == len(wanted) == 3:
        for order, words in (((2, 0, 1), "channels last (NHWC)"), ((1, 2, 0), "channels first (NCHW)")):
            if all(w in (None, found[axis]) for w, axis in zip(wanted, order, strict=True)):
                axes = (0, *(axis + 1 for axis in order))
                return f"; the data looks {words}: transpose it with axes {axes}"
    return ""


def _shape(shape: Sequence[object]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _type(name: str, array: Array, wanted: np.dtype[Any], notes: list[str]) -> np.dtype[Any]:
    kinds = array.dtype.kind, wanted.kind
    if wanted.hasobject:
        raise UsageError(f"wanted inputs that are tensors, found {name!r}, which is none")
    numbers = all(kind in "fiubV" for kind in kinds) and array.dtype.type is not np.void
    if not numbers or (kinds[0] == "f" and kinds[1] in "iub"):
        raise UsageError(f"wanted {wanted} for input {name!r}, found {array.dtype}")
    if kinds[0] in "iu" and kinds[1] == "f":
        notes.append(f"{name}: {array.dtype} is converted to {wanted} without scaling")
    return wanted


def _of_targets(target: Array) -> np.dtype[Any]:
    """Return the type in which targets are used."""
    return np.dtype(np.float32 if target.dtype.kind == "f" else np.int64)


def _check_numbers(name: str, array: Array, wanted: np.dtype[Any]) -> None:
    """Refuse what the type that is wanted cannot hold; images are sound."""
    if not isinstance(array, np.ndarray) or {array.dtype.kind, wanted.kind} - set("fiu"):
        return
    low, high = _shared_range(array.dtype, wanted)
    start = 0
    for part in np.nditer(array, ["external_loop", "buffered", "zerosize_ok"], order="C", buffersize=_PASS):
        sound = (part >= low) & (part <= high)  # false for NaN
        if not sound.all():
            place = int(np.argmin(sound))
            row, value = (start + place) // (array.size // len(array)), part[place]
            if not np.isfinite(value):
                raise UsageError(f"wanted finite numbers, found NaN or infinity in {name!r}, sample {row}")
            raise UsageError(
                f"wanted numbers that {wanted} can hold, found {value} in {name!r}, sample {row}"
            )
        start += len(part)


def _shared_range(one: np.dtype[Any], two: np.dtype[Any]) -> tuple[Any, Any]:
    """Return the least and the greatest number that both types hold, as the first."""
    limits = [np.finfo(each) if each.kind == "f" else np.iinfo(each) for each in (one, two)]
    return one.type(max(each.min for each in limits)), one.type(min(each.max for each in limits))


def parts(count: int, most: int) -> Iterator[slice]:
    """Yield runs of at most ``most`` samples, as equal as can be."""
    pieces = -(-count // most)
    size = -(-count // pieces)
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
