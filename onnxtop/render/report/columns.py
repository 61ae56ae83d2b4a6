"""The columns of a table of layers, by their names: the same in CSV, in Markdown and for ``--columns``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from onnxtop.errors import UsageError
from onnxtop.options import did_you_mean
from onnxtop.results.plain import plain
from onnxtop.results.report import LayerReport

USUAL = "default"
"""Stands for the columns that are there unless others are asked for."""

_LAYER = ("op_type", "weight", "encoding", "shape", "n_in", "n_out", "parameters", "uses")
_PERSISTENCE = ("total", "normalized", "null_mean", "null_std", "z", "excess_share", "reason")
_ROLE = ("bars", "active", "alpha_low", "alpha_high", "beta_low", "beta_high")
_REST = ("copy_of", "probably_fixed", "apart", "largest", "nonfinite", "variance", "sortedness", "reason")
_COUNTS = ("subnormal", "saturated", "at_limit")
_UNITS = (
    *("dead_inputs", "dead_outputs", "duplicate_inputs", "duplicate_outputs"),
    "near_duplicate_outputs",
)
_STATISTICS = ("minimum", "maximum", "rms", "zeros", *_UNITS, "rank", "rank_limit", *_COUNTS, "precision")

FIRST = ("model", "error", "layer")
"""What every row of CSV begins with, whatever is asked for."""

SETTINGS = ("convention", "scale", "p", "bias", "conv", "standardise", "rescale", "skips")
"""What CSV holds of the run beside them, where no other columns are asked for."""

IN_CSV = (
    *_LAYER,
    *(f"np_{name}" for name in _PERSISTENCE),
    *(f"dgp_{name}" for name in _ROLE),
    *_REST,
)
"""What CSV holds of every layer."""

COLUMNS = (*IN_CSV, *_STATISTICS, "source")
"""Everything that can be asked for."""

WORDS = (
    *("op_type", "weight", "encoding", "shape", "uses", "np_reason", "copy_of"),
    *("probably_fixed", "apart", "reason", "precision", "source"),
)
"""Those of them that hold words, not numbers."""


def check_columns(names: Iterable[str]) -> None:
    """Refuse names that are no column's.

    Raises
    ------
    UsageError
        There is no such column.
    """
    for name in names:
        if name in SETTINGS:
            raise UsageError(f"{name!r} is the same for all layers: leave it out, or ask for {USUAL}")
        if name not in (*FIRST, *COLUMNS, USUAL):
            hint = did_you_mean(name, COLUMNS) or f": wanted {USUAL}, or some of {', '.join(COLUMNS)}"
            raise UsageError(f"there is no column {name!r}{hint}")


def chosen(names: Sequence[str], usual: Sequence[str]) -> list[str]:
    """Return the columns to show, those that are usual in their place; these alone if none were asked for."""
    check_columns(names)
    each = [usual if name == USUAL else (name,) for name in names or (USUAL,) if name not in FIRST]
    return list(dict.fromkeys(name for some in each for name in some))


def asked_for(names: Sequence[str]) -> list[str]:
    """Return the columns that were asked for by name."""
    return [name for name in chosen(names, ()) if name != USUAL]


def values(layer: LayerReport) -> dict[str, Any]:
    """Return what the columns hold of a layer: the numbers of the JSON report, None for what is not there."""
    found = plain(layer)
    persistence, role = found["neural_persistence"], found["deep_graph_persistence"] or {}
    statistics = found["statistics"] or {}
    return {
        **{name: found[name] for name in (*_LAYER, *_REST, "source")},
        **{f"np_{name}": persistence[name] for name in _PERSISTENCE},
        **{f"dgp_{name}": role.get(name) for name in _ROLE},
        **_ranges(role),
        **{name: statistics.get(name) for name in _STATISTICS},
        **{name: statistics[name]["count"] for name in _UNITS if statistics},
        "shape": "x".join(map(str, found["shape"])),
        "uses": "; ".join(found["uses"]),
    }


def _ranges(role: Mapping[str, Any]) -> dict[str, Any]:
    """Spread the ranges of a layer's part in the network's deep graph persistence over two columns each."""
    return {
        f"dgp_{name}_{end}": value
        for name in ("alpha", "beta")
        for end, value in zip(("low", "high"), role.get(name) or (None, None), strict=True)
    }


def told(value: Any) -> str:
    """Write a value for people, nothing for what is not there.

    >>> told(0.000123456), told(12345), told("int8"), told(None)
    ('0.0001235', '12,345', 'int8', '')
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
