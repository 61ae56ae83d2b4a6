"""Names made safe to show, and numbers made short to read.

Names in a model are data from strangers: they may hold escape sequences, line breaks or characters that
reverse the direction of writing.
"""

import math
from collections.abc import Iterable
from typing import TypeGuard

DASH = "\N{EN DASH}"
"""Stands for a figure that is not defined."""

TIMES = "\N{MULTIPLICATION SIGN}"


def visible(text: str) -> str:
    r"""Return the text with everything that does not print (controls, bidi, odd blanks) as an escape.

    >>> visible("a\x1b[31m\u202e\n")
    'a\\x1b[31m\\u202e\\n'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def defined(value: float | None) -> TypeGuard[float]:
    """Tell whether a figure can be shown as a number."""
    return value is not None and math.isfinite(value)


def known(values: Iterable[float | None]) -> list[float]:
    """Return the figures that are defined."""
    return [value for value in values if defined(value)]


def figure(value: float | None, undefined: str = DASH) -> str:
    """Write a measured figure with four decimals, fewer if it is large.

    >>> figure(0.87654321), figure(12345.678), figure(1e9), figure(None, "none")
    ('0.8765', '12,345.68', '1e+09', 'none')
    """
    if value is None or not math.isfinite(value):
        return undefined
    size = abs(value)
    if size >= 1e6:
        return f"{value:.4g}"
    return f"{value:,.2f}" if size >= 1000 else f"{value:.4f}"


def number(value: float | str) -> str:
    """Write a setting as its user would.

    >>> number(2.0), number(0.5), number("inf"), number(float("inf"))
    ('2', '0.5', 'inf', 'inf')
    """
    return value if isinstance(value, str) else f"{value:.12g}"


def humanised(count: int) -> str:
    """Write a count with three digits and a unit; exact below ten thousand.

    >>> humanised(9408), humanised(25_557_032), humanised(999_999)
    ('9408', '25.6 M', '1 M')
    """
    if count < 10_000:
        return str(count)
    value, unit = count / 1000, "k"
    for larger in ("M", "G", "T"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}" if value < 999.5 else f"{value:.0f} {unit}"
