"""What the topology of one layer says: plain data, part of the report, no NumPy needed to read it."""

from dataclasses import dataclass


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
