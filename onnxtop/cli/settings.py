"""Settings of ``check``: each from a flag, else from a file, else the default, and where it is from."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from onnxtop.auditing.options import AuditOptions
from onnxtop.errors import UsageError
from onnxtop.options import declared
from onnxtop.render.json import strict
from onnxtop.rules.options import CONFIGURATION_BYTES
from onnxtop.work.beside import read_bytes


@dataclass(frozen=True)
class ConfiguredValues:
    """Values by key as in the configuration, and where each comes from."""

    values: Mapping[str, Any]
    sources: Mapping[str, str]


def use_configuration(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Make the values of the configuration the defaults of the command line.

    Raises
    ------
    UsageError
        The file makes no sense.
    """
    from onnxtop.rules.policy import find_config, read_config  # loads numpy: not for help

    known = declared(AuditOptions)
    ctx.obj = read_config(Path(value), known) if value else find_config(Path.cwd(), known)
    ctx.default_map = {key.replace("-", "_"): setting for key, setting in ctx.obj.values.items()}


def use_measures(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """As `use_configuration`, but only for what is measured: a report fails nothing by itself."""
    if value is None and not any(_may_configure(folder) for folder in (Path.cwd(), *Path.cwd().parents)):
        return
    use_configuration(ctx, param, value)
    measured = {each.name for each in declared(AuditOptions).values() if each.option.in_file}
    ctx.default_map = {name: held for name, held in (ctx.default_map or {}).items() if name in measured}


def _may_configure(folder: Path) -> bool:
    """Tell whether a folder may hold a configuration, without what reads it: so that usage stays quick."""
    if os.path.isfile(folder / "onnxtop.toml"):
        return True
    project = folder / "pyproject.toml"
    try:
        return os.path.isfile(project) and b"tool.onnxtop" in read_bytes(project, CONFIGURATION_BYTES)
    except OSError:
        return True  # what reads it says why it cannot be read


def resolve(ctx: click.Context) -> ConfiguredValues:
    """Put flags, file and defaults together.

    Raises
    ------
    UsageError
        A flag names a rule that does not exist.
    """
    from onnxtop.rules.policy import KEYS, check_rules

    measured = (each.key for each in declared(AuditOptions).values() if each.option.in_file)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for key in (*KEYS, *measured):
        name = key.replace("-", "_")
        values[key] = ctx.params[name] if name in ctx.params else ctx.obj.values.get(key)
        given = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        flag = f"--no-{key}" if values[key] is False else f"--{key}"
        sources[key] = flag if given else str(ctx.obj.path) if key in ctx.obj.values else "default"
    for key in ("select", "ignore"):
        values[key] = check_rules(name for value in values[key] for name in _names(key, value))
    for key in ("severity", "thresholds", "tolerances"):
        values[key] = values[key] or {}
    values["ignore-layers"] = values["ignore-layers"] or ()
    return ConfiguredValues(values, sources)


def _names(key: str, value: str) -> Sequence[str]:
    """Return names with commas between; no name at all would mean every rule, or none, unasked."""
    names = [name for each in value.split(",") if (name := each.strip())]
    if not names:
        raise UsageError(f"--{key}: wanted rules, found {value!r}; leave it out if none is meant")
    return names


def shown(settings: ConfiguredValues) -> str:
    """Return every setting as a line of TOML with its source behind it."""
    ignored: dict[str, list[str]] = {}
    for rule, pattern in settings.values["ignore-layers"]:
        ignored.setdefault(rule, []).append(pattern)
    rows = [
        (f"{key} = {_toml(value)}", settings.sources[key])
        for key, value in {**settings.values, "ignore-layers": ignored}.items()
        if value is not None
    ]
    width = max(len(text) for text, _ in rows)
    return "".join(f"{text:{width}}  # {source}\n" for text, source in rows)


def _toml(value: Any) -> str:
    """Write a value as TOML, tables inline."""
    if isinstance(value, bool | str):
        return strict(value)  # TOML writes these as JSON does
    if isinstance(value, float | int):
        return '"inf"' if math.isinf(value) else repr(value).removesuffix(".0")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    bounds = {"min": value.min, "max": value.max}
    return _toml({key: bound for key, bound in bounds.items() if bound is not None})
