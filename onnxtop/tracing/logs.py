"""Loggers that draw figures over time: TensorBoard, MLflow, or a CSV file; metrics are called alike in all.

Each library is imported only when its log is opened. wandb, aim and others read TensorBoard's files.
"""

import contextlib
import csv
import io
import os
import posixpath
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from onnxtop.errors import MissingLibraryError, UsageError
from onnxtop.options import did_you_mean
from onnxtop.work.files import GrowingFile, why_unwritable


class Log(Protocol):
    """Where metrics go, step by step; a logger that knows whole steps alone rounds them."""

    def write(self, step: float, metrics: Mapping[str, float], at: float | None = None) -> None:
        """Log the metrics of one step, at a time in seconds since 1970: now, if none is given."""

    def close(self) -> None:
        """Say that there is no more."""


def open_log(text: str) -> Log:
    """Open a log, given as its kind and its place.

    Parameters
    ----------
    text
        ``csv:FILE``, ``tensorboard:DIR`` or ``mlflow:URI``.

    Raises
    ------
    MissingLibraryError
        A UsageError: the library that writes it is not installed.
    UsageError
        There is no such kind, or nothing can be written there.
    """
    kind, _, place = text.partition(":")
    if kind not in LOGS or not place:
        hint = "" if kind in LOGS else did_you_mean(kind, LOGS)
        raise UsageError(f"wanted csv:FILE, tensorboard:DIR or mlflow:URI, found {text!r}{hint}")
    try:
        return LOGS[kind](place)
    except OSError as error:
        raise UsageError(_unwritable(text, error)) from None


class CsvLog:
    """A file with one row a step and one column a metric.

    A step with a metric that none had before writes the file anew, with one more column. So does the first
    step: until then the file is as it was.
    """

    def __init__(self, path: str) -> None:
        self.rows: list[dict[str, float]] = []
        self.columns: list[str] = []
        if reason := why_unwritable(path):  # else the first step would find out
            raise OSError(reason)
        self.file = GrowingFile(path)

    def write(self, step: float, metrics: Mapping[str, float], at: float | None = None) -> None:
        """Add a row."""
        row = {"step": int(step) if step == int(step) else step, **metrics}
        self.rows.append(row)
        if new := [name for name in row if name not in self.columns]:
            self.columns += new
            self.file.begin(self._written(self.rows, header=True))
        else:
            self.file.add(self._written([row]))

    def close(self) -> None:
        """End the file."""
        self.file.close()

    def _written(self, rows: Iterable[Mapping[str, float]], *, header: bool = False) -> bytes:
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, self.columns, restval="")
        if header:
            table.writeheader()
        table.writerows(rows)
        return text.getvalue().encode("utf-8", "backslashreplace")


class TensorBoardLog:
    """A run of TensorBoard: one file of events in a folder, written by TensorBoard's own writer."""

    def __init__(self, folder: str) -> None:
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError:
            raise MissingLibraryError.of("TensorBoard", "'onnxtop[tensorboard]'") from None
        self.event: Callable[..., Any] = Event
        self.summary: Any = Summary
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.writer = EventFileWriter(folder)

    def write(self, step: float, metrics: Mapping[str, float], at: float | None = None) -> None:
        """Add an event."""
        values = [self.summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        summary = self.summary(value=values)
        self.writer.add_event(
            self.event(wall_time=time.time() if at is None else at, step=round(step), summary=summary)
        )
        self.writer.flush()

    def close(self) -> None:
        """End the file."""
        self.writer.close()


class MlflowLog:
    """A run of MLflow, by the tracking server or database of a URI.

    It is a new run of the experiment that ``MLFLOW_EXPERIMENT_NAME`` names (``onnxtop`` without it), or the
    run ``MLFLOW_RUN_ID``. MLflow takes fewer signs in names than models do: others become ``_``.
    """

    batch = 1000
    """The most metrics that MLflow takes at a time."""

    def __init__(self, uri: str) -> None:
        try:
            from mlflow.entities import Metric
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
        except ImportError:
            raise MissingLibraryError.of("MLflow", "'onnxtop[mlflow]'") from None
        self.uri = uri
        self.metric: Callable[..., Any] = Metric
        self.error: type[Exception] = MlflowException
        self.client = self._asked(lambda: MlflowClient(tracking_uri=uri))
        given = os.environ.get("MLFLOW_RUN_ID")
        self.run: str = given or self._asked(self._new_run)
        self.own = not given

    def write(self, step: float, metrics: Mapping[str, float], at: float | None = None) -> None:
        """Log a batch of metrics, or several."""
        moment = round(1000 * (time.time() if at is None else at))
        values = [
            self.metric(mlflow_name(name), value, moment, round(step)) for name, value in metrics.items()
        ]
        for start in range(0, len(values), self.batch):
            part = values[start : start + self.batch]
            self._asked(lambda part=part: self.client.log_batch(self.run, metrics=part))  # type: ignore[misc]

    def close(self) -> None:
        """End the run, if it was begun here."""
        if self.own:
            self._asked(lambda: self.client.set_terminated(self.run))

    def _new_run(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "onnxtop")
        known = self.client.get_experiment_by_name(name)
        number = known.experiment_id if known else self.client.create_experiment(name)
        run: str = self.client.create_run(number, run_name="onnxtop trace").info.run_id
        return run

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except self.error as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"mlflow:{self.uri}: cannot be written: {reason}") from None


def mlflow_name(name: str) -> str:
    """Return a name as MLflow takes it: no empty part, and of signs only ``_ - . : /`` and the space.

    >>> mlflow_name("np//block.1/conv[0]")
    'np/block.1/conv_0_'
    """
    return posixpath.normpath(re.sub(r"[^\w./: -]", "_", name))


class Logs:
    """Several logs as one; one that fails gets no more, and is told of at the end.

    Raises
    ------
    UsageError
        At first: one cannot be opened. At the end: one could not be written.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.failures: list[str] = []
        self.open: dict[str, Log] = {}
        with contextlib.ExitStack() as opened:
            for text in texts:
                self.open[text] = open_log(text)
                opened.callback(self.open[text].close)
            opened.pop_all()

    def write(self, step: float, metrics: Mapping[str, float | None], at: float | None = None) -> None:
        """Log what is defined of the metrics of one step."""
        values = {name: value for name, value in metrics.items() if value is not None}
        for text, log in tuple(self.open.items()):
            if not self._done(text, lambda log=log: log.write(step, values, at)):  # type: ignore[misc]
                del self.open[text]
                with contextlib.suppress(OSError, UsageError):  # that it fails has been told
                    log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        for text, log in self.open.items():
            self._done(text, log.close)
        if self.failures and (error is None or isinstance(error, UsageError)):
            raise UsageError("; ".join([*([str(error)] if error else []), *self.failures])) from None

    def _done(self, text: str, act: Callable[[], object]) -> bool:
        """Do it, or keep the reason why not."""
        try:
            act()
        except UsageError as error:
            self.failures.append(str(error))
        except OSError as error:
            self.failures.append(_unwritable(text, error))
        else:
            return True
        return False


def files_of(texts: Iterable[str]) -> list[str]:
    """Return the files among the places of logs.

    >>> files_of(["csv:log.csv", "tensorboard:runs"])
    ['log.csv']
    """
    return [place for kind, _, place in (text.partition(":") for text in texts) if kind == "csv" and place]


def _unwritable(text: str, error: OSError) -> str:
    return f"{text}: cannot be written: {error.strerror or error}"


LOGS: Mapping[str, Callable[[str], Log]] = {
    "csv": CsvLog,
    "tensorboard": TensorBoardLog,
    "mlflow": MlflowLog,
}
"""The kinds of logs."""
