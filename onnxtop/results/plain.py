"""Results as plain JSON values: the one way in which every report writes its numbers."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any


def finite_or_none(value: float | None) -> float | None:
    """Return a figure as a float, None where it is not defined or not finite."""
    return None if value is None or not math.isfinite(value) else float(value)


def plain(value: Any) -> Any:
    """Return dicts, lists, strings and numbers for a value of dataclasses, mappings and tuples.

    Floats are rounded to 12 significant digits; NaN and infinity become None.

    Examples
    --------
    >>> plain({"third": 1 / 3, "none": float("nan"), "pair": (1, "a")})
    {'third': 0.333333333333, 'none': None, 'pair': [1, 'a']}
    """
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return value
