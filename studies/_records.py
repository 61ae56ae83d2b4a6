"""What was measured, a small JSON file for each run: kept in this folder, and what tables are made from.

A run is a frozen dataclass that says everything its result depends on, seed included. Its record is found by
all of that, so a change of any field is another run, and a machine goes on where another one stopped.
"""

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import math
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import onnxtop

RECORDS = Path(__file__).parent / "records"
VERSIONS = ("torch", "numpy", "onnx", "onnxruntime")
"""Distributions that figures depend on, beside Python and onnxtop."""


class Run(Protocol):
    """What is trained and measured at once: a frozen dataclass of plain values.

    Attributes
    ----------
    kind, version
        What is measured, and a number to raise when the same fields would give another result.
    label
        What it is called while it runs.
    seconds
        About how long it takes on one core.
    """

    kind: ClassVar[str]
    version: ClassVar[int]

    @property
    def label(self) -> str: ...

    @property
    def seconds(self) -> float: ...

    def measure(self) -> Any:
        """Return a dataclass of plain values."""

    @staticmethod
    def read(result: Mapping[str, Any]) -> Any:
        """Return that dataclass from what JSON has of it."""


@dataclass(frozen=True)
class Record:
    """A run and its result; how long it took, on which day, and with which versions."""

    run: Any
    result: Any
    seconds: float
    date: str
    versions: Mapping[str, str]


def settings(run: Run) -> dict[str, Any]:
    """Return everything that the result of a run depends on, as JSON gives it back."""
    held: dict[str, Any] = json.loads(json.dumps({**dataclasses.asdict(run), "version": run.version}))
    return held


def file_name(run: Run) -> str:
    """Return the name of a run's record: for people, and a digest of its settings."""
    text = json.dumps(settings(run), sort_keys=True)
    words = re.sub(r"[^a-z0-9]+", "-", run.label.lower()).strip("-")
    return f"{words}-{hashlib.sha256(text.encode()).hexdigest()[:10]}.json"


def rounded(value: Any) -> Any:
    """Return plain values with their numbers to six digits; None for what is no number."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


def restored(value: Any) -> Any:
    """Return plain values with NaN for None."""
    if isinstance(value, Mapping):
        return {key: restored(each) for key, each in value.items()}
    if isinstance(value, list):
        return [restored(each) for each in value]
    return math.nan if value is None else value


def made(run: Run, result: Any, seconds: float) -> Record:
    """Return the record of what was measured just now, as it will be read."""
    plain = rounded(dataclasses.asdict(result))
    return Record(run, run.read(restored(plain)), round(seconds, 1), f"{datetime.date.today()}", versions())


def versions() -> dict[str, str]:
    """Return the versions of what measures; of what is not installed none."""
    found = {"python": platform.python_version(), "onnxtop": onnxtop.__version__}
    for name in VERSIONS:
        for distribution in importlib.metadata.distributions(name=name):
            found[name] = distribution.version
            break
    return found


@dataclass(frozen=True)
class Store:
    """A folder of records."""

    folder: Path = RECORDS

    def path(self, run: Run) -> Path:
        """Return where the record of a run is, or would be."""
        return self.folder / run.kind / file_name(run)

    def read(self, run: Run) -> Record | None:
        """Return the record of a run, or None.

        Raises
        ------
        ValueError
            There is a file, and it is not the record of this run.
        """
        path = self.path(run)
        if not path.exists():
            return None
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            told = {key: held[key] for key in ("settings", "result", "seconds", "date", "versions")}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: wanted a record, found none: remove the file ({error!r})") from error
        if told["settings"] != settings(run):
            raise ValueError(f"{path}: wanted the record of {run.label}, found another's: remove the file")
        return Record(
            run, run.read(restored(told["result"])), told["seconds"], told["date"], told["versions"]
        )

    def write(self, record: Record) -> None:
        """Write a record, whole or not at all."""
        path = self.path(record.run)
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = {
            "settings": settings(record.run),
            "date": record.date,
            "seconds": record.seconds,
            "versions": record.versions,
            "result": rounded(dataclasses.asdict(record.result)),
        }
        lines = (f"{json.dumps(key)}: {json.dumps(part)}" for key, part in parts.items())
        beside = path.with_suffix(".new")
        beside.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        beside.replace(path)
