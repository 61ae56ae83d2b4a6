"""What the topology of a layer says, and where a weight is: plain data that needs no NumPy to be read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where a weight is: ``row`` and ``column`` of its layer's matrix, counted from 0.

    Rows are inputs and columns outputs of the graph that was measured, one group of a convolution after the
    other; a bias is the row after the last.
    """

    layer: str
    row: int
    column: int


@dataclass(frozen=True)
class LayerRole:
    """What a layer does in the network's deep graph persistence.

    ``bars`` of the network end at a weight of this layer. ``active`` is the share of its outputs on a way
    from an input to an output. ``alpha`` is the range, over its outputs, of the strength of the best way from
    an input; ``beta``, over its inputs, that of the best way to an output.
    """

    bars: int
    active: float | None
    alpha: tuple[float, ...] | None
    beta: tuple[float, ...] | None
