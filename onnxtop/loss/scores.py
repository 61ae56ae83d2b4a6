"""How good a model's answers are: accuracy for classes, error for numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxtop.gradient.graph import Array
from onnxtop.loss.targets import Targets


@dataclass(frozen=True)
class ClassScore:
    """One class: how many samples it has, and the shares found (recall) and rightly named (precision)."""

    label: int
    samples: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True)
class Scores:
    """Accuracy and top-5 accuracy for classes, else root of the mean squared error; None where undefined."""

    accuracy: float | None = None
    top5: float | None = None
    rmse: float | None = None
    classes: tuple[ClassScore, ...] = ()


def scores(
    outputs: Array, targets: Targets, class_axis: int | None, binary: bool, threshold: float
) -> Scores:
    """Compare outputs with targets. Of equal outputs the class that comes first counts as the higher.

    Parameters
    ----------
    outputs
        The model's own, first axis samples.
    targets
        What it should give.
    class_axis
        Axis of the outputs that holds the classes, None if there are none.
    binary
        Whether targets are zeros and ones of the outputs' shape.
    threshold
        Above which an output means 1, where ``binary``.
    """
    counts = np.ones(targets.values.shape, bool) if targets.counts is None else targets.counts
    wanted = targets.values[counts]
    if class_axis is None:
        found = np.asarray(outputs, np.float64).reshape(targets.values.shape)
        if binary:
            return _binary((found > threshold).astype(np.int64), targets.values.astype(np.int64))
        return Scores(rmse=float(np.sqrt(np.mean(np.square(found - targets.values)))))
    last = np.moveaxis(np.asarray(outputs, np.float64), class_axis, -1).reshape(-1, outputs.shape[class_axis])
    rows = last[counts.ravel()]
    named = rows.argmax(axis=1)
    top5 = None
    if rows.shape[1] > 5:
        own, label = rows[np.arange(len(rows)), wanted][:, None], wanted[:, None]
        before = (rows > own) | ((rows == own) & (np.arange(rows.shape[1]) < label))
        top5 = float(np.mean(np.count_nonzero(before, axis=1) < 5))
    return Scores(float(np.mean(named == wanted)), top5, None, _classes(named, wanted, rows.shape[1]))


def _binary(named: NDArray[np.int64], wanted: NDArray[np.int64]) -> Scores:
    return Scores(float(np.mean(named == wanted)), classes=_classes(named.ravel(), wanted.ravel(), 2))


def _classes(named: NDArray[np.intp], wanted: Array, count: int) -> tuple[ClassScore, ...]:
    right = np.bincount(wanted[named == wanted], minlength=count)
    there, said = np.bincount(wanted, minlength=count), np.bincount(named, minlength=count)
    return tuple(
        ClassScore(
            label, int(there[label]), _share(right[label], there[label]), _share(right[label], said[label])
        )
        for label in range(count)
        if there[label] or said[label]
    )


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
