"""A command line whose audits are planted: what a model gives is told by its file's name."""

import dataclasses
import importlib
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import onnxtop
from onnxtop.cli import app
from onnxtop.errors import ExternalDataError, FormatError, UsageError
from onnxtop.results.envelope import read_envelope
from onnxtop.results.report import Coverage, Finding, Report
from onnxtop.rules.catalogue import judged
from onnxtop.rules.rule import Policy

TYPICAL = Path(__file__).parent.parent / "render" / "golden" / "typical.json"

ERRORS = {
    "format": FormatError("cut off"),
    "external": ExternalDataError("weights.bin is missing"),
    "usage": UsageError("the scale is too small"),
    "bug": ZeroDivisionError("by \x1b[31mzero"),
    "memory": MemoryError(),
    "denied": PermissionError(13, "Permission denied"),
    "interrupt": KeyboardInterrupt(),
}


def read_typical() -> Report:
    """Return the typical report as it stands on disk."""
    (report,) = read_envelope(json.loads(TYPICAL.read_text(encoding="utf-8")))
    assert isinstance(report, Report)
    return report


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a subprocess find onnxtop from any folder, installed or not."""
    monkeypatch.setenv("PYTHONPATH", str(Path(onnxtop.__file__).parents[1]))


class PlantedAudit:
    """Stands in for ``onnxtop.auditing.story.audit`` and keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def __call__(
        self, path: str, options: Any, *, policy: Policy | None, progress: Callable[[str, int, int], None]
    ) -> Report:
        self.calls.append((path, options))
        kind = Path(path).stem.split("-")[0]
        if kind in ERRORS:
            raise ERRORS[kind]
        progress("layer", 1, 2)
        report = read_typical()
        findings = {"clean": (), "warned": (Finding("OT001", "warning", None, "odd", "00"),)}.get(
            kind, report.findings
        )
        if kind == "empty":
            nothing = Coverage(0, 0, None, 0, 0, 0, 0, 0)
            report = dataclasses.replace(report, coverage=nothing, layers=())
            findings = ()
        model = dataclasses.replace(report.model, path=path)
        report = dataclasses.replace(report, model=model, findings=findings)
        return judged(report, policy) if policy else report


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PlantedAudit:
    audit = PlantedAudit()
    monkeypatch.setattr(importlib.import_module("onnxtop.auditing.story"), "audit", audit)
    monkeypatch.chdir(tmp_path)
    return audit


@pytest.fixture
def models(tmp_path: Path) -> Callable[..., None]:
    def make(*names: str) -> None:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"onnx")

    return make


@pytest.fixture
def run(planted: PlantedAudit) -> Callable[..., Result]:
    return lambda *args: CliRunner().invoke(app, ["report", *args])


@pytest.fixture
def heard() -> Iterator[None]:
    """Let processes that a test starts hear Ctrl-C; behind a shell's ``&`` they would ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
