"""Scores of checkpoints from a table that a training loop wrote."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from onnxtop.errors import UsageError
from onnxtop.results.trace import Checkpoint, OnData
from onnxtop.tracing.series import as_number
from onnxtop.work.beside import read_bytes, usable

_MOST = 2**25  # bytes of a table
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

Row: TypeAlias = Sequence[str]


class ScoreTable:
    """The rows of a CSV file with a header: a column that says of which checkpoint, a loss, an accuracy.

    Raises
    ------
    UsageError
        It cannot be read, or has no column of scores.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with usable(path, "scores as CSV"):
            self.header, self.rows = _table(read_bytes(path, _MOST).decode("utf-8-sig"))
        places = {name.strip().casefold(): place for place, name in enumerate(self.header) if name}
        self.key, self.loss, self.accuracy = (
            next((places[word] for word in words if word in places), None)
            for words in (_STEP, _LOSS, _ACCURACY)
        )
        if not self.rows or (self.loss is None and self.accuracy is None):
            raise UsageError(
                f"{path}: wanted a column of scores ({_LOSS[0]}, {_ACCURACY[0]}, loss, accuracy), found "
                f"{', '.join(places) if self.rows else 'no rows'}"
            )

    def of(self, checkpoint: Checkpoint, number: int) -> Checkpoint:
        """Return a checkpoint with its scores; ``number`` is its place in the series, from 0."""
        rows = self._rows(checkpoint, number)
        loss, accuracy = (self._number(rows, column) for column in (self.loss, self.accuracy))
        if accuracy is not None and not 0 <= accuracy <= 1:
            raise UsageError(
                f"{self.path}: wanted a share from 0 to 1 in column {self._name(self.accuracy)}, found "
                f"{accuracy:g}"
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
            told = _cell(row, self.key)
            if told in known or (checkpoint.step is not None and as_number(told) == checkpoint.step):
                rows.append(row)
        if rows:
            return rows
        raise UsageError(
            f"{self.path}: wanted a row for {checkpoint.name}, found none with it in the column "
            f"{self._name(self.key)}"
            f"{'' if checkpoint.step is not None else '; --label takes steps from names'}"
        )

    def _number(self, rows: Sequence[Row], column: int | None) -> float | None:
        """Return the last number of a column in some rows."""
        told = [cell for row in rows if (cell := _cell(row, column))]
        if not told:
            return None
        value = as_number(told[-1])
        if value is None:
            raise UsageError(
                f"{self.path}: wanted a number in column {self._name(column)}, found {told[-1]!r}"
            )
        return value if math.isfinite(value) else None

    def _name(self, column: int | None) -> str:
        return "" if column is None else self.header[column]


def _cell(row: Row, column: int | None) -> str:
    """Return what stands in a column, "" if a row ends before it."""
    return row[column].strip() if column is not None and column < len(row) else ""


def _table(text: str) -> tuple[Row, list[Row]]:
    """Return the header and the rows; the first of the usual separators in the header is the one.

    A row is as long as it is: short ones below a long header cost nothing.
    """
    header = text.partition("\n")[0]
    sign = next((sign for sign in ",;\t" if sign in header), ",")
    try:
        names, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=sign) if text else ([],)
    except csv.Error as error:
        raise ValueError(str(error)) from None
    return names, [row for row in rows if row]
