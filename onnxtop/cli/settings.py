"""Settings of ``check``: each from a flag, else from a file, else the default, and where it is from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

__all__ = ["Settings", "resolve", "shown"]

_JUDGING = (
    "fail-on",
    "baseline",
    "select",
    "ignore",
    "severity",
    "thresholds",
    "tolerances",
    "ignore-layers",
)


@dataclass(frozen=True)
class Settings:
    """Values by key as in the configuration, where each comes from, and the options of the audit."""

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    measured: Mapping[str, Any]


def resolve(context: click.Context, arguments: Mapping[str, Any]) -> Settings:
    """Put flags, file and defaults together.

    Raises
    ------
    UsageError
        The file makes no sense, or a flag names a rule that does not exist.
    """
    from onnxtop.rules.policy import KEYS, check_rules, find_config, read_config

    config = read_config(Path(arguments["config"])) if arguments["config"] else find_config(Path.cwd())
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for key in KEYS:
        name = key.replace("-", "_")
        given = name in arguments and context.get_parameter_source(name) is not ParameterSource.DEFAULT
        if given:
            values[key], sources[key] = arguments[name], f"--{key}"
        elif key in config.values:
            values[key], sources[key] = config.values[key], str(config.path)
        else:
            values[key], sources[key] = arguments.get(name), "default"
    for key in ("select", "ignore"):
        names = (name.strip() for value in values[key] or () for name in value.split(","))
        values[key] = check_rules(filter(None, names))
    for key in ("severity", "thresholds", "tolerances"):
        values[key] = values[key] or {}
    values["ignore-layers"] = values["ignore-layers"] or ()
    return Settings(values, sources, _measured(values, arguments))


def _measured(values: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the audit."""
    from onnxtop.auditing.story import AuditOptions

    names = {field.name for field in fields(AuditOptions)} - {"layers"}
    chosen = {name: value for name, value in arguments.items() if name in names}
    from_file = {key.replace("-", "_"): value for key, value in values.items() if key not in _JUDGING}
    return chosen | {name: value for name, value in from_file.items() if name in names}


def shown(settings: Settings) -> str:
    """Return every setting as a line of TOML with its source behind it."""
    rows = [(f"{key} = {_toml(value)}", settings.sources[key]) for key, value in _rows(settings)]
    width = max(len(text) for text, _ in rows)
    return "".join(f"{text:{width}}  # {source}\n" for text, source in rows)


def _rows(settings: Settings) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in settings.values.items() if value is not None]


def _toml(value: Any) -> str:
    """Write a value as TOML, tables inline."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, float | int):
        return '"inf"' if math.isinf(value) else f"{value:g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    bounds = {"min": value.min, "max": value.max}
    return _toml({key: bound for key, bound in bounds.items() if bound is not None})
