"""What the statistics of one layer say: plain data, part of the report, no NumPy needed to read it."""

from dataclasses import dataclass

from onnxtop.glossary.untrained import TOO_SMALL, ZERO

LISTED = 64
"""So many indices of units are kept, the first."""


@dataclass(frozen=True)
class Units:
    """Some of a layer's inputs or outputs: how many, and the first of their indices."""

    count: int = 0
    indices: tuple[int, ...] = ()


@dataclass(frozen=True)
class Histogram:
    """How many weights there are in each of some bins of one width, from ``low`` to ``high``.

    The ends are the smallest and the largest weight; there is one bin if all are equal.
    """

    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Codes:
    """What the codes of a quantised layer look like.

    Attributes
    ----------
    bits
        Width of a code.
    distinct
        How many different codes occur.
    reach
        The largest distance of a code from the zero point, as a share of the largest possible.
    clipped
        Share of the codes that are the largest or the smallest possible.
    zero_scales, odd_scales
        How many scales are zero or so small that they vanish; how many are not finite.
    scale_spread
        The largest scale over the median scale; None for a single scale.
    """

    bits: int
    distinct: int
    reach: float
    clipped: float
    zero_scales: int = 0
    odd_scales: int = 0
    scale_spread: float | None = None


@dataclass(frozen=True)
class LayerStatistics:
    """Statistics of one layer's weights.

    Attributes
    ----------
    n_in, n_out
        Rows and columns of the weights, over all blocks.
    minimum, maximum
        Of the weights.
    rms
        Root of the mean square, to six digits.
    zeros
        How many weights are exactly zero.
    dead_inputs, dead_outputs
        Rows and columns of nothing but zeros, numbered over all blocks.
    duplicate_inputs, duplicate_outputs
        Rows and columns that repeat an earlier one of the same block, entry by entry.
    near_duplicate_outputs
        Columns that differ from an earlier one by less than a thousandth of its length, and are not equal.
    rank, rank_limit
        Numerical rank as far as it was looked for, and how high it could have come out: min(sides, 32), where
        sides are the rows and columns that are not all zero.
    subnormal, saturated
        How many weights stored as float16 are too small for full precision, and how many are the largest
        finite number.
    at_limit
        How many weights are as large as the largest, by magnitude; copies of a whole line count once.
    varied
        Whether a sample of the weights has more than a few different values.
    precision
        The narrower float type that holds every weight exactly, None if the type stored is needed.
    codes
        Of a quantised layer.
    sketch
        The weights in short: 64 random projections that only depend on the shape, as text. Two sketches give
        the cosine of two layers to about 0.1; a transposed layer has the transposed sketch.
    """

    n_in: int
    n_out: int
    minimum: float
    maximum: float
    rms: float
    zeros: int
    dead_inputs: Units = Units()
    dead_outputs: Units = Units()
    duplicate_inputs: Units = Units()
    duplicate_outputs: Units = Units()
    near_duplicate_outputs: Units = Units()
    rank: int | None = None
    rank_limit: int | None = None
    subnormal: int = 0
    saturated: int = 0
    at_limit: int = 0
    varied: bool = True
    precision: str | None = None
    codes: Codes | None = None
    sketch: str | None = None


@dataclass(frozen=True)
class Exchangeability:
    """Whether the weights of a layer could be shuffled and nothing would change: it looks untrained.

    ``structured`` names the statistics that found structure, ``mark`` what is more even than chance allows,
    as initialisers and masks leave it. ``row_share`` and ``column_share`` are the shares of the variance of
    |w| that the means of rows and of columns explain, ``z_rows`` and ``z_columns`` the same against the
    shuffled layer; ``spectrum`` is the largest singular value against its edge.
    ``initialiser`` is the nearest of the common initialisers, at this ``distance`` of the two distributions;
    it ``fits`` if chance alone explains that and its scale follows from the layer's sides. It is only looked
    for where no structure was found, or where its lines are orthonormal. ``bias_moved`` says whether the
    layer's bias is other than training starts with, None without a bias. ``reason`` says why there is no
    verdict, or why a statistic was not asked.
    """

    exchangeable: bool | None = None
    structured: tuple[str, ...] = ()
    row_share: float | None = None
    column_share: float | None = None
    z_rows: float | None = None
    z_columns: float | None = None
    spectrum: float | None = None
    mark: str | None = None
    initialiser: str | None = None
    distance: float | None = None
    fits: bool | None = None
    bias_moved: bool | None = None
    reason: str | None = None

    @property
    def is_small(self) -> bool:
        """Whether the layer is too small to be called exchangeable; z may still find structure."""
        return self.reason == TOO_SMALL

    @property
    def is_zero(self) -> bool:
        """Whether all weights are zero, as some initialisers leave the last layer."""
        return self.reason == ZERO
