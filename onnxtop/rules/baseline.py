"""Baselines: earlier JSON reports, found again for each model, and whether they can be compared at all."""

import contextlib
import itertools
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePath
from typing import Any

from onnxtop.errors import LimitError, ModelError, UsageError, misread, unusable
from onnxtop.options import DeclaredOption, asked, said
from onnxtop.reader.limits import GIB, UNCHANGED, Limits
from onnxtop.results.envelope import read_envelope
from onnxtop.results.outcome import FailedModel, path_of
from onnxtop.results.report import Report, Settings
from onnxtop.work.beside import regular

_SHOWN_ONLY = ("layers", "sortedness")
"""Settings that choose what is told of layers; the other figures do not depend on them."""


@dataclass(frozen=True)
class Baseline:
    """Earlier reports by model path; a model that failed then has a message in its place."""

    path: str
    reports: Mapping[str, Report | str]

    def of(self, model: str, n_models: int) -> Report | str:
        """Return the earlier report on a model, see `counterpart`, or say why there is none."""
        found = counterpart(model, self.reports, n_models, self.path)
        return f"{self.path} has no report on this model" if found is None else self.reports[found]


def counterpart(model: str, known: Collection[str], n_models: int, baseline: str) -> str | None:
    """Return which of the known paths is meant by that of a model, None if none is.

    It is the same path, else one that ends alike, at least in the file's name; of several the one that is
    alike the furthest. A single model goes with a single one.

    Raises
    ------
    ModelError
        Several may be meant.
    """
    if model in known:
        return model
    if n_models == len(known) == 1:
        return next(iter(known))
    alike = {path: _common(path, model) for path in known}
    furthest = [path for path in known if alike[path] == max(alike.values()) > 0]
    if len(furthest) > 1:
        raise ModelError(f"baseline {baseline}: it has several models called {PurePath(model).name}")
    return furthest[0] if furthest else None


def _common(one: str, other: str) -> int:
    """Return how many last parts two paths have in common."""
    pairs = zip(reversed(PurePath(one).parts), reversed(PurePath(other).parts), strict=False)
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))


def read_baseline(
    path: str, limits: Mapping[str, float] = UNCHANGED, known: Mapping[str, DeclaredOption] | None = None
) -> Baseline:
    """Read a JSON report, of one model or several (``-f json`` or ``jsonl``).

    What its settings may be is said by the options that are ``known``, by their names.

    Raises
    ------
    UsageError
        The file cannot be read, is larger than the limit, is not JSON, is no report, has another schema
        version, or settings that no report is made with.
    """
    try:
        asked(Limits, None, limits).check("baseline", regular(path).st_size / GIB)
        text = Path(path).read_text(encoding="utf-8-sig")
    except LimitError as error:
        raise UsageError(f"baseline {path}: {error}") from None
    except OSError as error:
        anew = "" if os.path.exists(path) else "; --write-baseline makes one"
        raise unusable(error, f"baseline {path}: cannot be read: {error.strerror or error}{anew}") from None
    except UnicodeDecodeError:
        raise UsageError(
            f"baseline {path}: this is not JSON: it is not UTF-8 text; the name of a model ends in .onnx"
        ) from None
    try:
        results = [each for data in _parse(text) for each in read_envelope(data)]
        for report in (each for each in results if isinstance(each, Report)):
            _check_settings(report.settings, known or {})
    except UsageError as error:
        raise UsageError(f"baseline {path}: {error}") from None
    if not results:
        raise UsageError(f"baseline {path}: it holds no report; write one with -f json")
    lost = f"{path} holds no figures of this model: it could not be analysed then"
    return Baseline(
        path, {path_of(each): lost if isinstance(each, FailedModel) else each for each in results}
    )


def _check_settings(settings: Settings, known: Mapping[str, DeclaredOption]) -> None:
    """Refuse what nobody could give both reports the same, as messages on other settings tell to."""
    for name in (item.name for item in fields(Settings) if item.name in known):
        try:
            known[name].read(getattr(settings, name))
        except UsageError as error:
            raise UsageError(f"settings: {name}: {error}; make it anew") from None


def _parse(text: str) -> Sequence[Any]:
    """Return the one document, or those of the lines."""
    try:
        return [json.loads(text)]
    except (ValueError, RecursionError) as whole:
        lines = [line for line in text.splitlines() if line.strip()]
        with contextlib.suppress(ValueError, RecursionError):
            if len(lines) > 1:
                return [json.loads(line) for line in lines]
        raise UsageError(f"this is not JSON: {misread(whole)}") from None


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
        return f"the baseline has only layers matching {said(baseline.settings.layers)}"
    return ""


def foreign(report: Report, baseline: Report) -> str:
    """Say that a baseline is of another model if they have no layer in common, by name or weight."""
    names = {layer.name for layer in report.layers} | {layer.weight for layer in report.layers}
    if report.layers and baseline.layers and not any({x.name, x.weight} & names for x in baseline.layers):
        return f"the baseline is of another model, {baseline.model.path}: none of its layers is in this one"
    return ""
