"""Configuration: ``onnxtop.toml``, or ``[tool.onnxtop]`` of ``pyproject.toml``; the nearest parent wins.

::

    fail-on = "warning"                      # what makes `check` fail: error, warning or never
    select = ["OT1", "OT2"]                  # rules that run: names, codes or beginnings of codes
    ignore = ["duplicated-weights"]          # rules that do not
    baseline = "baseline.json"               # beside the file that says so
    compare = "structure"                    # shapes, encodings, findings: for a model trained anew
    [severity]
    dead-outputs = "error"                   # error, warning, note or off
    [thresholds]
    np.normalized = {min = 0.05}             # figures of `onnxtop.rules.rule.THRESHOLDS`
    [tolerances]
    "np.normalized" = 0.2                    # relative changes against the baseline
    [ignore-layers]
    untrained-layer = ["head.*"]             # a rule, and patterns of layer names

In ``pyproject.toml`` the tables are ``[tool.onnxtop.severity]`` and so on. Options that decide what is
measured may stand there as well, spelled like the flags: those that are declared so (`onnxtop.options`).
"""

import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxtop.errors import UsageError, misread, unusable
from onnxtop.options import DeclaredOption, at_least, declared, did_you_mean, number, one_of, said
from onnxtop.results.report import Report
from onnxtop.results.words import SEVERITIES
from onnxtop.rules.catalogue import RULES
from onnxtop.rules.options import CONFIGURATION_BYTES, CheckOptions
from onnxtop.rules.rule import THRESHOLDS, TOLERANCES, Band, Policy
from onnxtop.work.beside import read_bytes

FILE = "onnxtop.toml"
_PROJECT = "pyproject.toml"
_MOST_DOTS = 1000
"""On a line: the time to read a key grows with the square of its parts."""


@dataclass(frozen=True)
class Config:
    """What a file sets: values by key, checked; ``path`` is None if there is no file."""

    path: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


def find_config(folder: Path, options: Mapping[str, DeclaredOption]) -> Config:
    """Read the configuration of the folder or of its nearest parent that has one; empty if none has.

    Those of the options that may stand in it can be set beside `KEYS`.

    Raises
    ------
    UsageError
        The file is not TOML, or holds an unknown key or a value that makes no sense.
    """
    for place in (folder, *folder.parents):
        if os.path.isfile(place / FILE):
            return read_config(place / FILE, options)
        project = place / _PROJECT
        if os.path.isfile(project) and "onnxtop" in _table(_parsed(project), "tool"):
            return read_config(project, options)
    return Config()


def read_config(path: Path, options: Mapping[str, DeclaredOption]) -> Config:
    """Read one configuration file, see `find_config`; of a ``pyproject.toml`` its table ``tool.onnxtop``.

    Raises
    ------
    UsageError
        The file cannot be read, is not TOML, or holds an unknown key or a value that makes no sense.
    """
    data = _parsed(path)
    if path.name == _PROJECT:
        data = _table(_table(data, "tool"), "onnxtop")
    known = {**KEYS, **{each.key: each.read for each in options.values() if each.option.in_file}}
    values = {}
    for key, value in data.items():
        if key not in known:
            raise UsageError(f"{path}: unknown key {said(key)}{_what_instead(key, known, options)}")
        try:
            values[key] = known[key](value)
        except UsageError as error:
            raise UsageError(f"{path}: {key}: {error}") from None
    if "baseline" in values:
        values["baseline"] = str(path.parent / values["baseline"])
    return Config(path, values)


def _what_instead(key: str, known: Iterable[str], options: Mapping[str, DeclaredOption]) -> str:
    """Say what to do instead of setting an unknown key."""
    if any(f"--{key}" == each.flag and not each.option.in_file for each in options.values()):
        return f": the flag --{key} has none, give it on the command line"
    if any(figure.split(".")[0] == key for figure in (*THRESHOLDS, *TOLERANCES)):
        return ": figures stand under [thresholds] or [tolerances]"
    return did_you_mean(key, known) or f"; known are {', '.join(known)}"


def _parsed(path: Path) -> Mapping[str, Any]:
    try:
        text = read_bytes(path, CONFIGURATION_BYTES).decode("utf-8-sig")
        if max((line.count(".") for line in text.splitlines()), default=0) > _MOST_DOTS:
            raise ValueError(f"a line has more than {_MOST_DOTS} dots")
        return tomllib.loads(text, parse_float=_float)
    except OSError as error:
        raise unusable(error, f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:  # also of numbers of more digits than Python reads
        raise UsageError(f"{path}: this is not TOML: {misread(error)}") from None


def _float(text: str) -> float | str:
    """Return a number; TOML's own ``inf`` as the word that options take, unlike one too large for a float."""
    return text.removeprefix("+") if "inf" in text else float(text)


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key, {})
    return value if isinstance(value, Mapping) else {}


def check_rules(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names, each a rule's name, its code, or the beginning of codes, as rules spell them.

    Raises
    ------
    UsageError
        One is not.
    """
    return tuple(_rule(name, prefixes=True) for name in names)


def policy_of(values: Mapping[str, Any], baseline: Report | None = None, unknown: str = "") -> Policy:
    """Return the policy that checked values make; ``unknown`` says why there is no baseline of the model."""
    return Policy(
        severities=values.get("severity", {}),
        thresholds=values.get("thresholds", {}),
        tolerances=values.get("tolerances", {}),
        ignores=values.get("ignore-layers", ()),
        select=tuple(values.get("select", ())),
        ignore=tuple(values.get("ignore", ())),
        baseline=baseline,
        structure_only=values.get("compare") == "structure",
        unknown=unknown,
    )


def values_of(options: CheckOptions) -> dict[str, Any]:
    """Return what options say as a configuration would that says the same, checked.

    Raises
    ------
    UsageError
        They name a rule or a figure that does not exist, or give one a value that makes no sense.
    """
    values = {}
    for key, checked in KEYS.items():
        value = getattr(options, key.replace("-", "_"))
        if value and key != "baseline":
            try:
                values[key] = checked(list(value) if isinstance(value, tuple) else value)
            except UsageError as error:
                raise UsageError(f"{key.replace('-', '_')}: {error}") from None
    return values


def _rule(name: str, *, prefixes: bool) -> str:
    """Return a rule's name, its code or the beginning of codes, given in any case."""
    codes, names = [rule.code for rule in RULES], [rule.name for rule in RULES]
    upper, lower = name.upper(), name.lower()
    if upper in codes or (prefixes and name and any(code.startswith(upper) for code in codes)):
        return upper
    if lower not in names:
        hint = did_you_mean(name, [*names, *codes]) or "; `onnxtop rules` lists them"
        raise UsageError(f"there is no rule {said(name)}{hint}")
    return lower


# One function a kind of value: it returns what the program wants, or says what is wrong.


def _string(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise UsageError(f"wanted a string, found {said(value)}")
    return value


def _rules(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"wanted a list of rules, found {said(value)}")
    return check_rules(value)


def _entries(value: Any, known: Iterable[str] | None, convert: Callable[[Any], Any]) -> dict[str, Any]:
    """Check a table whose keys are known names, or rules where ``known`` is None."""
    if not isinstance(value, Mapping):
        raise UsageError(f"wanted a table, found {said(value)}")
    checked = {}
    for name, entry in _joined(value, known or ()):
        if known is None:
            name = _rule(name, prefixes=convert is _patterns)
        elif name not in known:
            raise UsageError(f"unknown figure {said(name)}{did_you_mean(name, known)}")
        try:
            checked[name] = convert(entry)
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from None
    return checked


def _joined(value: Mapping[str, Any], known: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a table; TOML makes tables of names with a dot that are not quoted."""
    for name, entry in value.items():
        inner = entry.items() if isinstance(entry, Mapping) and name not in known else ()
        parts = [(f"{name}.{part}", held) for part, held in inner]
        if parts and any(joined in known for joined, _ in parts):
            yield from parts
        else:
            yield name, entry


def _band(value: Any) -> Band:
    if not isinstance(value, Mapping) or not value:
        raise UsageError(f"wanted a table such as {{min = 0.05}}, found {said(value)}")
    for key in value:
        if key not in ("min", "max"):
            raise UsageError(f"wanted min or max, found {said(key)}")
    band = Band(**{key: float(number(bound)) for key, bound in value.items()})
    if band.min is not None and band.max is not None and band.min > band.max:
        raise UsageError(f"its min {band.min:g} is above its max {band.max:g}")
    return band


def _patterns(value: Any) -> tuple[str, ...]:
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, list):
        raise UsageError(f"wanted a list of patterns of layer names, found {said(value)}")
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern:
            raise UsageError(f"wanted a pattern such as 'head.*', found {said(pattern)}")
        if pattern.count("[") > pattern.count("]"):
            found = said(pattern)
            raise UsageError(f"the pattern {found} has a bracket that is not closed; [[] stands for one")
    return tuple(patterns)


def _ignored_layers(value: Any) -> tuple[tuple[str, str], ...]:
    return tuple((rule, one) for rule, many in _entries(value, None, _patterns).items() for one in many)


KEYS: Mapping[str, Callable[[Any], Any]] = {
    "fail-on": declared(CheckOptions)["fail_on"].checked,
    "select": _rules,
    "ignore": _rules,
    "baseline": _string,
    "compare": declared(CheckOptions)["compare"].checked,
    "severity": lambda value: _entries(value, None, lambda entry: one_of(entry, (*SEVERITIES, "off"))),
    "thresholds": lambda value: _entries(value, THRESHOLDS, _band),
    "tolerances": lambda value: _entries(value, TOLERANCES, lambda entry: at_least(entry, 0)),
    "ignore-layers": _ignored_layers,
}
"""Every key of the configuration that says how to judge, and what checks its value."""
