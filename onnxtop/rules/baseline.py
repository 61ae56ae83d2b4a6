"""Baselines: earlier JSON reports, found again for each model, and whether they can be compared at all."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePath
from typing import Any

from onnxtop.errors import ModelError, UsageError
from onnxtop.results.envelope import read_envelope
from onnxtop.results.outcome import FailedModel, path_of
from onnxtop.results.report import Report, Settings

_SHOWN_ONLY = ("layers",)
"""Settings that choose what is shown, not what is measured."""


@dataclass(frozen=True)
class Baseline:
    """Earlier reports by model path; a model that failed then has a message in its place."""

    path: str
    reports: Mapping[str, Report | str]

    def of(self, model: str, n_models: int) -> Report | str:
        """Return the earlier report on a model, or say why there is none.

        A model is found by its path, else by its file name; a single model goes with a single report.

        Raises
        ------
        ModelError
            Several reports may be meant.
        """
        if model in self.reports:
            return self.reports[model]
        if n_models == len(self.reports) == 1:
            return next(iter(self.reports.values()))
        named = [path for path in self.reports if PurePath(path).name == PurePath(model).name]
        if len(named) == 1:
            return self.reports[named[0]]
        if named:
            raise ModelError(f"baseline {self.path}: it has several reports on {PurePath(model).name}")
        return f"{self.path} has no report on this model"


def read_baseline(path: str) -> Baseline:
    """Read a JSON report, of one model or several (``-f json`` or ``jsonl``).

    Raises
    ------
    UsageError
        The file cannot be read, is not JSON, is no report, or has another schema version.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"baseline {path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"baseline {path}: this is not JSON: it is not UTF-8 text") from None
    try:
        results = [each for data in _parse(text) for each in read_envelope(data)]
    except UsageError as error:
        raise UsageError(f"baseline {path}: {error}") from None
    if not results:
        raise UsageError(f"baseline {path}: it holds no report; write one with -f json")
    lost = f"{path} holds no figures of this model: it could not be analysed then"
    return Baseline(
        path, {path_of(each): lost if isinstance(each, FailedModel) else each for each in results}
    )


def _parse(text: str) -> Sequence[Any]:
    """Return the one document, or those of the lines."""
    try:
        return [json.loads(text)]
    except (ValueError, RecursionError) as whole:
        lines = [line for line in text.splitlines() if line.strip()]
        with contextlib.suppress(ValueError, RecursionError):
            if len(lines) > 1:
                return [json.loads(line) for line in lines]
        raise UsageError(f"this is not JSON: {whole}") from None


_DEFAULTS = {item.name: item.default for item in fields(Settings)}


def _differs(flag: str, mine: object, theirs: object, default: object) -> str:
    """Say how a setting differs; what can only be given or not is called by its flag alone."""
    if isinstance(mine, bool):
        made = "with" if theirs != default else "without"
        return f"the baseline was made {made} {flag}, this report {'without' if made == 'with' else 'with'}"
    return f"{flag} is {mine!r}, in the baseline {theirs!r}"


def incomparable(report: Report, baseline: Report, flags: Mapping[str, str] | None = None) -> str:
    """Say why two reports cannot be compared, empty if they can; ``flags`` are those of settings, by name."""
    new, old = report.tool.algorithms, baseline.tool.algorithms
    for name in sorted({*new, *old}):
        if new.get(name) != old.get(name):
            return (
                f"{name} has version {new.get(name)}, in the baseline {old.get(name)}: their figures differ "
                "by definition; make a new baseline"
            )
    for setting in (item.name for item in fields(Settings) if item.name not in _SHOWN_ONLY):
        mine, theirs = getattr(report.settings, setting), getattr(baseline.settings, setting)
        if mine != theirs:
            flag = (flags or {}).get(setting, setting)
            return f"{_differs(flag, mine, theirs, _DEFAULTS.get(setting))}: give both the same"
    if baseline.settings.layers is not None:
        return f"the baseline has only layers matching {baseline.settings.layers!r}"
    names = {layer.name for layer in report.layers} | {layer.weight for layer in report.layers}
    if report.layers and baseline.layers and not any({x.name, x.weight} & names for x in baseline.layers):
        return f"the baseline is of another model, {baseline.model.path}: none of its layers is in this one"
    return ""
