"""Scores of checkpoints from a table that a training loop wrote."""

import csv
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from onnxtop.errors import UsageError
from onnxtop.results.trace import Checkpoint, OnData

_STEP = ("step", "global_step", "epoch", "checkpoint", "name", "path")
_LOSS = ("val_loss", "validation_loss", "eval_loss", "valid_loss", "test_loss", "loss")
_ACCURACY = (
    "val_accuracy",
    "validation_accuracy",
    "val_acc",
    "eval_accuracy",
    "test_accuracy",
    "accuracy",
    "acc",
)

Row = Mapping[str, str]


class Scores:
    """The rows of a CSV file with a header: a column that says of which checkpoint, a loss, an accuracy.

    Raises
    ------
    UsageError
        It cannot be read, or has no column of scores.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            with Path(path).open(encoding="utf-8-sig", newline="") as file:
                self.rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UsageError(
                f"{path}: wanted scores as CSV, found a file that cannot be read: {error}"
            ) from None
        names = {name.strip().casefold(): name for name in (self.rows[0] if self.rows else {}) if name}
        self.key, self.loss, self.accuracy = (
            next((names[word] for word in words if word in names), None)
            for words in (_STEP, _LOSS, _ACCURACY)
        )
        if self.loss is None and self.accuracy is None:
            raise UsageError(
                f"{path}: wanted a column of scores ({_LOSS[0]}, {_ACCURACY[0]}, loss, accuracy), found "
                f"{', '.join(names) or 'no rows'}"
            )

    def of(self, checkpoint: Checkpoint, number: int) -> Checkpoint:
        """Return a checkpoint with its scores; ``number`` is its place in the series, from 0."""
        row = self._row(checkpoint, number)
        scores = OnData(
            Path(self.path).name, 0, self._number(row, self.loss), self._number(row, self.accuracy)
        )
        return replace(checkpoint, data=(scores,))

    def _row(self, checkpoint: Checkpoint, number: int) -> Row:
        """Return the row of a checkpoint: by its step or name, or in order where no column says which."""
        if self.key is None:
            if number < len(self.rows):
                return self.rows[number]
            raise UsageError(f"{self.path}: wanted a row for each checkpoint, found {len(self.rows)}")
        known = (checkpoint.name, checkpoint.path, Path(checkpoint.path).name)
        for row in self.rows:
            told = (row[self.key] or "").strip()
            if told in known or (checkpoint.step is not None and _as_number(told) == checkpoint.step):
                return row
        raise UsageError(
            f"{self.path}: wanted a row for {checkpoint.name}, found none with it in the column {self.key}"
            f"{'' if checkpoint.step is not None else '; --label takes steps from names'}"
        )

    def _number(self, row: Row, column: str | None) -> float | None:
        if column is None or not (row[column] or "").strip():
            return None
        value = _as_number(row[column])
        if value is None:
            raise UsageError(f"{self.path}: wanted a number in column {column}, found {row[column]!r}")
        return value if math.isfinite(value) else None


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
