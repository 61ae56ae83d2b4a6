"""Scores of checkpoints from a table that a training loop wrote."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from onnxtop.errors import UsageError, unusable
from onnxtop.results.trace import Checkpoint, OnData
from onnxtop.tracing.series import as_number

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
                self.rows = _table(file)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise unusable(
                error, f"{path}: wanted scores as CSV, found a file that cannot be read: {error}"
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
        rows = self._rows(checkpoint, number)
        loss, accuracy = (self._number(rows, column) for column in (self.loss, self.accuracy))
        if accuracy is not None and not 0 <= accuracy <= 1:
            raise UsageError(
                f"{self.path}: wanted a share from 0 to 1 in column {self.accuracy}, found {accuracy:g}"
            )
        return replace(checkpoint, data=(OnData(Path(self.path).name, 0, loss, accuracy),))

    def _rows(self, checkpoint: Checkpoint, number: int) -> list[Row]:
        """Return the rows of a checkpoint: by its step or name, or in order where no column says which.

        Loggers write several of one step, each with some of the columns filled.
        """
        if self.key is None:
            if number < len(self.rows):
                return [self.rows[number]]
            raise UsageError(f"{self.path}: wanted a row for each checkpoint, found {len(self.rows)}")
        known = (checkpoint.name, checkpoint.path, Path(checkpoint.path).name)
        rows = []
        for row in self.rows:
            told = (row[self.key] or "").strip()
            if told in known or (checkpoint.step is not None and as_number(told) == checkpoint.step):
                rows.append(row)
        if rows:
            return rows
        raise UsageError(
            f"{self.path}: wanted a row for {checkpoint.name}, found none with it in the column {self.key}"
            f"{'' if checkpoint.step is not None else '; --label takes steps from names'}"
        )

    def _number(self, rows: Sequence[Row], column: str | None) -> float | None:
        """Return the last number of a column in some rows."""
        told = [row[column] for row in rows if (row[column] or "").strip()] if column is not None else []
        if not told:
            return None
        value = as_number(told[-1])
        if value is None:
            raise UsageError(f"{self.path}: wanted a number in column {column}, found {told[-1]!r}")
        return value if math.isfinite(value) else None


def _table(file: TextIO) -> list[Row]:
    """Read rows by their header, of which the first of the usual separators in it is the one."""
    header = file.readline()
    file.seek(0)
    return list(csv.DictReader(file, delimiter=next((sign for sign in ",;\t" if sign in header), ",")))
