"""How much a model may ask for: every limit with its default, its unit and what it counts, once.

What a file says costs nothing to say. Each number in it is held against a limit before anything is allocated
or gone through by it; healthy models stay far below all of them. A limit is raised, or lowered, by its name:
``--limit nodes=2000000``, ``limits={"nodes": 2_000_000}``, or in the configuration under ``[limits]``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Annotated

from onnxtop.errors import LimitError
from onnxtop.options import Checked, Option, declared

GIB = 2**30
"""Bytes in the unit of sizes."""


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
    nesting: Annotated[
        int, Option("Bodies within bodies, and functions that call functions.", metavar="levels", least=0)
    ] = 100
    elements: Annotated[
        int, Option("Numbers that all tensors together declare.", metavar="elements", least=0)
    ] = 2**40
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
            "Vertices of the graph of all neurons; beyond, layers are joined whole.",
            metavar="neurons",
            least=0,
        ),
    ] = 2**22

    def check(self, name: str, count: float) -> None:
        """Refuse what is more than a limit.

        Raises
        ------
        LimitError
            It is.
        """
        if count > getattr(self, name):
            raise LimitError(f"wanted {self.most(name, count)}")

    def most(self, name: str, count: float) -> str:
        """Say what is wanted at most of something, how much there is, and how the limit is raised."""
        limit, found = getattr(self, name), _above(count)
        unit = declared(Limits)[name].option.metavar
        return (
            f"at most {limit:.15g} {unit}, found {found}; raise it with --limit {name}={found} if you trust "
            "the file"
        )


def _above(count: float) -> str:
    """Write a number that is at least as large: a whole one as it is, gibibytes with two digits.

    >>> _above(7), _above(1.2345), _above(10**30)
    ('7', '1.24', '1e+30')
    """
    if isinstance(count, int):
        return str(count) if count < 10**18 else f"{count:.1g}"
    return f"{math.ceil(count * 100) / 100:.15g}"


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
