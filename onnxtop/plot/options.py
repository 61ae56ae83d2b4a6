"""What to draw: the options of a picture."""

from dataclasses import dataclass
from typing import Annotated, Literal

from onnxtop.options import Checked, Option

DETAILED = ("bars", "histogram", "graph")
"""Kinds that draw the details of layers, or their graph."""


@dataclass(frozen=True)
class PlotOptions(Checked):
    """What to draw, and how much of it."""

    kind: Annotated[
        Literal["layers", "diagram", "bars", "histogram", "graph"],
        Option(
            "Neural persistence of all layers; of each layer its persistence diagram, its bars beside those "
            "of chance or its weights; the graph of layers."
        ),
    ] = "layers"
    most: Annotated[
        int, Option("Draw at most so many layers one by one, the first.", metavar="N", least=1)
    ] = 12
