"""What a model should give, prepared for a loss: types, one-hot rows, what does not count."""

from dataclasses import dataclass

import numpy as np

from onnxtop.errors import UsageError
from onnxtop.gradient.graph import Array, Shape
from onnxtop.loss.heads import LossHead


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of all samples.

    Attributes
    ----------
    values
        int64 labels or float32 values, first axis samples.
    counts
        Which of them count, same shape; None if all do.
    notes
        What was assumed.
    """

    values: Array
    counts: Array | None
    notes: tuple[str, ...] = ()

    def total(self, rows: Array | slice) -> int:
        """Return how many elements of some samples count."""
        return int(np.size(self.values[rows]) if self.counts is None else np.count_nonzero(self.counts[rows]))

    def chunk(self, rows: Array | slice, size: int, total: int) -> tuple[Array, Array]:
        """Return targets and weights of some samples, padded to ``size``; weights are 1 / total or 0."""
        values = np.asarray(self.values[rows])
        weights = np.full(values.shape, 1 / total, np.float32)
        if self.counts is not None:
            weights = np.where(self.counts[rows], weights, np.float32(0))
        width = [(0, size - len(values)), *[(0, 0)] * (values.ndim - 1)]
        return np.pad(values, width), np.pad(weights, width)

    def shape(self, size: int) -> Shape:
        """Return the shape of a chunk's target."""
        return (size, *self.values.shape[1:])


def prepare(target: Array, head: LossHead, output: Shape, ignore_index: int) -> Targets:
    """Prepare a target for a loss.

    Raises
    ------
    UsageError
        A label is out of range, or nothing counts.
    """
    if not np.size(target):
        raise UsageError(
            f"wanted something to compare the output with, found a target of shape {np.shape(target)}"
        )
    if head.class_axis is None:
        return Targets(np.asarray(target, np.float32), None)
    labels = np.asarray(target).astype(np.int64)
    classes = output[head.class_axis]
    counts = labels != ignore_index
    wrong = labels[counts & ((labels < 0) | (labels >= classes))]
    if wrong.size:
        raise UsageError(
            f"wanted labels from 0 to {classes - 1}, as the output has {classes} classes, found "
            f"{int(wrong[0])}; a label that does not count is told with --ignore-index of "
            "onnxtop probe"
        )
    if not counts.any():
        raise UsageError(f"wanted labels that count, found {ignore_index} everywhere")
    if counts.all():
        return Targets(labels, None)
    note = f"{int(np.count_nonzero(~counts))} of {labels.size} labels are {ignore_index} and do not count"
    return Targets(np.where(counts, labels, 0), counts, (note,))
