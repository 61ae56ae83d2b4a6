"""How much a model may ask for: every limit with its default, its unit and what it counts, once.

What a file says costs nothing to say. Each number in it is held against a limit before anything is allocated
or gone through by it; healthy models stay far below all of them. A limit is raised, or lowered, by its name:
``--limit nodes=2000000``, ``limits={"nodes": 2_000_000}``, or in the configuration under ``[limits]``.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import ROUND_CEILING, Decimal
from types import MappingProxyType
from typing import Annotated, TypeAlias

from onnxtop.errors import LimitError
from onnxtop.options import Checked, Option, declared

GIB = 2**30
"""Bytes in the unit of sizes."""
_SENSIBLE = 10**18
"""What somebody may have meant: damaged files say numbers of a thousand digits."""

Count: TypeAlias = float | Decimal

UNCHANGED: Mapping[str, float] = MappingProxyType({})
"""No limit but the defaults."""


@dataclass(frozen=True)
class Limits(Checked):
    """What a model may ask for at most; a file that asks for more is refused, or that much of it left out."""

    file: Annotated[
        float, Option("The model's own file, without weights beside it.", metavar="GiB", least=0)
    ] = 64.0
    structure: Annotated[
        float,
        Option("What a file holds beside the numbers of its large tensors.", metavar="GiB", least=0),
    ] = 1.0
    nodes: Annotated[
        int,
        Option("Operations, those of all bodies, with all functions written out.", metavar="nodes", least=0),
    ] = 2**20
    functions: Annotated[
        int,
        Option(
            "Operations that functions are written out to wherever they are called.",
            metavar="operations written out of functions",
            least=0,
        ),
    ] = 2**16
    tensors: Annotated[
        int, Option("Constants: initialisers, and tensors that nodes hold.", metavar="tensors", least=0)
    ] = 2**20
    nesting: Annotated[
        int, Option("Bodies within bodies, and functions that call functions.", metavar="levels", least=0)
    ] = 100
    elements: Annotated[
        int, Option("Numbers that all constants together declare.", metavar="elements", least=0)
    ] = 2**38
    constants: Annotated[
        float,
        Option(
            "What computing one constant lays out; four times the model where that is more.",
            metavar="GiB",
            least=0,
        ),
    ] = 0.25
    work: Annotated[
        int,
        Option("Additions, or what takes as long, in computing one constant.", metavar="steps", least=0),
    ] = 2**30
    neurons: Annotated[
        int,
        Option(
            "Vertices of the graph of all neurons; beyond, lanes share one.",
            metavar="neurons",
            least=0,
        ),
    ] = 2**22

    baseline: Annotated[float, Option("A baseline, or another earlier report.", metavar="GiB", least=0)] = (
        0.25
    )

    def check(self, name: str, count: Count) -> None:
        """Refuse what is more than a limit.

        Raises
        ------
        LimitError
            It is.
        """
        if count > getattr(self, name):
            raise LimitError(f"wanted {self.most(name, count)}")

    def most(self, name: str, count: Count | None = None) -> str:
        """Say what there may be at most, what there is (more, where nobody counted on), and what to do."""
        limit = getattr(self, name)
        unit = declared(Limits)[name].option.metavar
        found, enough = ("more", _above(2 * limit)) if count is None else (_above(count),) * 2
        advice = f"raise it with --limit {name}={enough} if you trust the file"
        if count is not None and count > _SENSIBLE:
            advice = "the file is damaged: export or copy it again"
        return f"at most {_above(limit)} {unit}, found {found}; {advice}"

    def with_room(self, largest: int) -> "Limits":
        """Return limits by which constants of four times so many bytes may be computed."""
        return replace(self, constants=max(self.constants, 4 * largest / GIB))

    @property
    def constant_bytes(self) -> int:
        """What computing a constant may lay out."""
        return int(self.constants * GIB)


def _above(count: Count) -> str:
    """Write a number that is no smaller: a whole one as it is, others and very large ones with three digits.

    >>> _above(7), _above(1.2345), _above(0.25), _above(2.0**80), _above(2**1020 * 8**999)
    ('7', '1.24', '0.25', '1.21e+24', '1.73e+1209')
    """
    if isinstance(count, int) and count <= _SENSIBLE:
        return str(count)
    exact = Decimal(count)
    above = exact.quantize(Decimal(1).scaleb(exact.adjusted() - 2), ROUND_CEILING) if exact else exact
    return f"{float(above):.3g}" if above < sys.float_info.max else f"{above:.3g}"


DEFAULTS = Limits()
"""The limits of a model of which nobody says anything."""

LimitValues = Annotated[
    Mapping[str, float],
    Option(
        "Let a model ask for so much: " + ", ".join(each.name for each in fields(Limits)) + ".",
        flag="--limit",
        metavar="NAME=NUMBER",
        in_file=True,
        among=Limits,
    ),
]
"""The option of every verb that opens a model."""
