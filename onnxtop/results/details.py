"""What is drawn of a layer: its bars beside what chance gives, its weights as a histogram, single weights.

There are details only where they are asked for: they are as long as the rest of the report.
"""

from dataclasses import dataclass

from onnxtop.statistics.facts import Histogram


@dataclass(frozen=True)
class StrongWeight:
    """A weight by its ``row`` and ``column``, counted from 0, and its ``value``, sign and all.

    ``source`` and ``target`` name the neurons that it joins: ``x[12]``, ``hidden1[18]``. ``bars`` of the
    network's deep graph persistence end at it.
    """

    row: int
    column: int
    value: float
    source: str
    target: str
    bars: int = 0


@dataclass(frozen=True)
class LayerDetails:
    """What is drawn of a layer.

    Its diagram has ``n_bars``, the essential class apart. ``bars`` are the lengths, birth less death, of
    those at ``ranks``, 1 being the longest: all of them up to 64, else 64 spread over all. Between
    ``null_low`` and ``null_high`` lie, rank by rank, the bars of the same weights in random places, in 9 of
    10 arrangements; None without a null model. ``histogram`` is that of the weights, None if one is not
    finite. ``strongest`` are the largest weights, largest first; ``bottlenecks`` those at which bars of the
    network's deep graph persistence end, in the order of these; of both the first 10. Rows and columns are
    those of the stored weights' matrix.
    """

    n_bars: int
    ranks: tuple[int, ...]
    bars: tuple[float, ...]
    null_low: tuple[float, ...] | None = None
    null_high: tuple[float, ...] | None = None
    histogram: Histogram | None = None
    strongest: tuple[StrongWeight, ...] = ()
    bottlenecks: tuple[StrongWeight, ...] = ()
