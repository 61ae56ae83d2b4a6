"""Could the entries of a layer be shuffled and nothing would change? Then it was probably never trained.

Freshly drawn weights are *exchangeable*: no place in the matrix differs from another. Training puts structure
into the places. Two statistics look for it here, a third is the z of neural persistence; each has its own
null, and none needs data.

Concentration
    Whether large ``|w|`` gather in some rows or columns. With N entries in M rows, row r of n_r entries with
    mean x_r, and all of mean x and variance v (with N - 1), the ratio of sum_r n_r (x_r - x)^2 / (M - 1) to v
    is 1 on average over all shuffles, with variance about 2 / (M - 1): the analysis of variance. So
    ``z_rows = (ratio - 1) sqrt((M - 1) / 2)``, likewise for columns.
Spectrum
    Whether rows or columns go together. The largest singular value s of an m x n matrix of independent
    entries of mean 0 and variance 1 lies at the Tracy-Widom edge: with a = sqrt(m - 1) + sqrt(n),
    ``(s^2 - a^2) / (a (1 / sqrt(m - 1) + 1 / sqrt(n))^(1/3))`` has mean -1.2 and deviation 1.3 (I. Johnstone,
    *On the distribution of the largest eigenvalue in principal components analysis*, Annals of Statistics
    2001). Large entries raise the edge. So where tails are heavier than normal, the outer 2 % on either side
    are cut off first, which leaves exchangeable what is exchangeable. What has heavy tails even then (mostly
    zeros) is measured from the mean edge of a few shuffles.

All three are evidence in one direction only. What gathers more than chance allows is structure; what is more
even than chance allows was made so, by an initialiser or a mask: orthogonal lines, lines of one length, as
many zeros in each.

Groups of a convolution, or matrices of a batched product, are one layer: their rows and columns are pooled
for the concentration; each has an edge of its own, and their distances from it are added as independent ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.glossary.untrained import (
    CONCENTRATION,
    EMPTY,
    LIMITS,
    NEARLY_EMPTY,
    PERSISTENCE,
    SMALLEST_LAYER,
    SMALLEST_SIDE,
    SPECTRUM,
    TOLD,
    TOO_SMALL,
    ZERO,
)
from onnxtop.network import Blocks, Matrix, extremes, strips, widened
from onnxtop.statistics.facts import Exchangeability
from onnxtop.statistics.initialisers import InitialiserMatch
from onnxtop.statistics.laws import FITTED
from onnxtop.statistics.numbers import six_digits, spread_evenly
from onnxtop.statistics.products import sum_of_squares
from onnxtop.statistics.sums import Lines, Sums, add_up

Floats = NDArray[np.float64]

EVEN = 1e-5
"""Relative difference of lengths that float32 leaves of none."""
_FEW = 8

CHUNK = 1 << 18
"""Cells worked on at a time."""
LONGER, SHORTER = 2048, 256
"""Sides of a matrix of which the spectrum is taken; of a larger one, evenly spaced rows and columns."""
MOST_BLOCKS = 16
"""Blocks of which the spectrum is taken, evenly spaced among all."""
OUTER = 0.02
"""Share of entries that are cut off on either side."""
NORMAL = 3.5
"""Fourth moment of standardised entries (normal: 3) above which the outer ones are cut off."""
HEAVY, SHUFFLES, UNSURE = 4.0, 4, 8.0
"""Fourth moment of what is left above which the edge is that of shuffles: of so many, or of fewer as soon as
the spectrum is farther than this from its limit, six deviations of its law."""
SMALL_GRAM, STEPS, CHECKED, CLOSE = 64, 256, 12, 1e-4
"""Side up to which a matrix is decomposed whole; of larger ones the steps of Lanczos' method, at most and
from check to check, and the relative change at which they end, a hundredth of the law's deviation."""
EDGE_MEAN = -1.2065
"""Mean of the Tracy-Widom law of real matrices."""


@dataclass(frozen=True)
class Evidence:
    """What tells a layer from its own shuffles.

    Attributes
    ----------
    largest
        The largest ``|w|``.
    mean, variance
        Of ``|w|`` divided by that, or 0 where all are zero.
    row_share, column_share
        Share of that variance that the means of rows, of columns, explain.
    z_rows, z_columns
        The same against the shuffled layer, in standard deviations.
    spectrum
        Largest singular value against the Tracy-Widom edge.
    even
        Whether all rows or all columns are of one length, as a normalisation of the weights makes them; then
        there is no concentration of that kind.
    masked
        Whether all rows or all columns have as many zeros, as sparse initialisation and masks leave them.
    mark
        What in the weights is more even than chance allows, or None.
    reason
        Why figures are None, or None.
    """

    largest: float | None = None
    mean: float | None = None
    variance: float | None = None
    row_share: float | None = None
    column_share: float | None = None
    z_rows: float | None = None
    z_columns: float | None = None
    spectrum: float | None = None
    even: bool = False
    masked: bool = False
    mark: str | None = None
    reason: str | None = None


def verdict(
    found: Evidence,
    z: float | None,
    made_by: InitialiserMatch | None = None,
    bias_moved: bool | None = None,
) -> Exchangeability:
    """Put the two statistics and the z of neural persistence together, by the limits of the glossary.

    A layer is exchangeable if none of the three is above its limit. A statistic that is None is not; if the
    first two are, as in a layer that is too small, it is never called exchangeable, though z may find
    structure. Of weights that were normalised the z says nothing: lines that were shorter have larger
    entries now.

    Examples
    --------
    >>> verdict(Evidence(z_rows=0.5, z_columns=-9.0, spectrum=9.0), z=-5.0).structured
    ('spectrum',)
    >>> small = Evidence(reason="too small")
    >>> [verdict(small, z).exchangeable for z in (5.0, 1.0, -5.0)]
    [False, None, None]
    """
    lines = [value for value in (found.z_rows, found.z_columns) if value is not None]
    above = {
        PERSISTENCE: None if found.even else z,
        CONCENTRATION: max(lines, default=None),
        SPECTRUM: found.spectrum,
    }
    structured = tuple(name for name, value in above.items() if value is not None and value > LIMITS[name])
    silent = found.spectrum is None and not lines
    even = _EVEN_PLACES if z is not None and z < -LIMITS[PERSISTENCE] else None
    return Exchangeability(
        exchangeable=None if silent and not structured else not structured,
        structured=structured,
        row_share=found.row_share,
        column_share=found.column_share,
        z_rows=found.z_rows,
        z_columns=found.z_columns,
        spectrum=found.spectrum,
        mark=found.mark or even,
        initialiser=made_by.name if made_by else None,
        distance=made_by.distance if made_by else None,
        fits=made_by.fits and made_by.name not in FITTED if made_by else None,
        bias_moved=bias_moved,
        reason=found.reason or ("all its weights are equal, as far as float32 tells" if silent else None),
    )


def evidence(blocks: Blocks, sums: Sums | None = None) -> Evidence:
    """Measure what tells a layer from its own shuffles, as far as it takes to find structure.

    The spectrum is the dearest, and only asked where the concentration finds none.

    Parameters
    ----------
    blocks
        Matrices (n_in, n_out) that share no neuron, float16, float32 or float64, no side empty.
    sums
        What `add_up` gives of them, if it is known.

    Returns
    -------
    Evidence
        Of layers too small to tell, the sizes of weights alone. Where all ``|w|`` are equal there is no
        concentration, where all weights are, no spectrum. A NaN or an infinity leaves nothing.

    Examples
    --------
    >>> matrix = np.random.default_rng(0).standard_normal((64, 32))
    >>> verdict(evidence([matrix]), z=0.0).exchangeable
    True
    >>> matrix[:5] *= 2
    >>> evidence([matrix]).z_rows > 10
    True
    >>> evidence([np.linalg.qr(matrix)[0]]).mark
    'its columns are of one length'
    """
    sums = sums or add_up(blocks)
    if not sums.ends.finite:
        return Evidence(reason="a weight is NaN or infinite")
    if sums.ends.largest == 0.0:
        return Evidence(0.0, 0.0, 0.0, reason=ZERO)
    measured = _concentration(sums)
    if sums.size < SMALLEST_LAYER or min(min(block.shape) for block in blocks) < SMALLEST_SIDE:
        masked = _are_masked(sums.rows) or _are_masked(sums.columns)
        return _tidy(
            Evidence(measured.largest, measured.mean, measured.variance, masked=masked, reason=TOO_SMALL)
        )
    return _tidy(_with_mark(_with_spectrum(_with_evenness(measured, blocks, sums), blocks)))


def _with_spectrum(found: Evidence, blocks: Blocks) -> Evidence:
    """Ask for the spectrum, unless the concentration tells."""
    if any(z is not None and z > LIMITS[CONCENTRATION] for z in (found.z_rows, found.z_columns)):
        return replace(found, reason=TOLD)
    spectrum = _spectrum(blocks)
    empty = spectrum is None and found.row_share is not None
    return replace(found, spectrum=spectrum, reason=EMPTY if empty else None)


# What was made even

_EVEN_PLACES = "its large weights are spread more evenly than chance would have it"
_NEAR = "its singular values are closer together than chance would have it"
_FAR_BELOW = -5.0
"""Distance below the edge of the spectrum that independent entries hardly ever have."""


def _with_evenness(found: Evidence, blocks: Blocks, sums: Sums) -> Evidence:
    """Leave out the concentration in lines of one length, and name what is exactly even."""
    largest = sums.ends.largest
    even = {"rows": _is_even([block.T for block in blocks], largest), "columns": _is_even(blocks, largest)}
    masked = {"rows": _are_masked(sums.rows), "columns": _are_masked(sums.columns)}
    marks = [
        f"its {name} are of one length" if even[name] else f"all {name} have as many zeros"
        for name in even
        if even[name] or masked[name]
    ]
    return replace(
        found,
        z_rows=None if even["rows"] else found.z_rows,
        z_columns=None if even["columns"] else found.z_columns,
        even=any(even.values()),
        masked=any(masked.values()),
        mark=", ".join(marks) or None,
    )


def _with_mark(found: Evidence) -> Evidence:
    """Name what is more even than chance allows, where nothing is exactly."""
    if found.mark:
        return found
    lines = {"rows": found.z_rows, "columns": found.z_columns}
    marks = [
        f"its large weights are spread over the {name} more evenly than chance would have it"
        for name, z in lines.items()
        if z is not None and z < -LIMITS[CONCENTRATION]
    ]
    if not marks and found.spectrum is not None and found.spectrum < _FAR_BELOW:
        marks = [_NEAR]
    return replace(found, mark=", ".join(marks) or None)


def _are_masked(sides: Sequence[Lines]) -> bool:
    """Tell whether all lines have as many zeros, and any."""
    filled = np.concatenate([lines.filled / lines.length for lines in sides])
    return filled.size >= _FEW and bool(filled[0] < 1 and (filled == filled[0]).all())


def _is_even(blocks: Blocks, largest: float) -> bool:
    """Tell whether all columns are of one length to float precision; a few tell whether to look at all."""
    few = [block[:, :_FEW] for block in blocks[:_FEW]]
    return _are_even(few, largest) and _are_even(blocks, largest)


def _are_even(blocks: Blocks, largest: float) -> bool:
    squares = np.concatenate([_squares(block, largest) for block in blocks])
    return bool(np.ptp(squares) <= 2 * EVEN * squares.max())


def _squares(block: Matrix, largest: float) -> Floats:
    """Return the squared lengths of columns, in units of the largest, a strip of rows at a time."""
    found = np.zeros(block.shape[1])
    for part in strips(block.shape, CHUNK):
        strip = block[part].astype(np.float64) / largest
        found += np.einsum("ij,ij->j", strip, strip)
    return found


def _tidy(measured: Evidence) -> Evidence:
    """Cut figures off at six digits."""
    return replace(
        measured,
        mean=_cut(measured.mean),
        variance=_cut(measured.variance),
        row_share=_cut(measured.row_share),
        column_share=_cut(measured.column_share),
        z_rows=_cut(measured.z_rows),
        z_columns=_cut(measured.z_columns),
        spectrum=_cut(measured.spectrum),
    )


def _cut(value: float | None) -> float | None:
    return None if value is None else six_digits(value)


# Concentration


def _concentration(sums: Sums) -> Evidence:
    unit = sums.ends.largest / sums.unit
    total = sums.squares - sums.size * sums.mean**2
    mean, variance = (sums.mean + sums.centre) / unit, max(total / sums.size / unit**2, 0.0)
    if variance <= 1e-12:  # of numbers up to 1, most near the same: what float32 leaves of it
        return Evidence(sums.ends.largest, mean, variance)
    shares: list[float] = []
    z: list[float] = []
    for sides in (sums.rows, sums.columns):
        widths = np.repeat([lines.length for lines in sides], [lines.sums.size for lines in sides])
        means = np.concatenate([lines.sums for lines in sides]) / widths
        between = float(np.sum(widths * (means - sums.mean) ** 2))
        lines = max(widths.size - 1, 1)
        shares.append(between / total)
        z.append((between / lines / (total / (sums.size - 1)) - 1) * float(np.sqrt(lines / 2)))
    return Evidence(sums.ends.largest, mean, variance, shares[0], shares[1], z[0], z[1])


# Spectrum


def _spectrum(blocks: Blocks) -> float | None:
    chosen = spread_evenly(len(blocks), MOST_BLOCKS).tolist()
    found = [above for above in (_above_edge(blocks[b]) for b in chosen) if above is not None]
    if not found:
        return None
    return EDGE_MEAN + sum(above - EDGE_MEAN for above in found) / float(np.sqrt(len(found)))


def _above_edge(block: Matrix) -> float | None:
    """Return how far the largest singular value lies above the edge; None where there is none."""
    entries = _standardised(_part(block if block.shape[0] >= block.shape[1] else block.T))
    if entries is None:
        return None
    above = _johnstone(entries)
    if above <= LIMITS[SPECTRUM] or _fourth_moment(entries) <= HEAVY:
        return above
    rng, value = np.random.default_rng(entries.shape), above
    shuffled: list[float] = []
    while len(shuffled) < SHUFFLES and (not shuffled or abs(value - LIMITS[SPECTRUM]) < UNSURE):
        shuffled.append(_johnstone(rng.permutation(entries.ravel()).reshape(entries.shape)))
        value = above - float(np.mean(shuffled)) + EDGE_MEAN
    return value


def _johnstone(entries: Matrix) -> float:
    """Return the standardised largest singular value of a matrix with at least as many rows as columns."""
    m, n = len(entries) - 1.0, float(entries.shape[1])
    edge = np.sqrt(m) + np.sqrt(n)
    unit = edge * (1 / np.sqrt(m) + 1 / np.sqrt(n)) ** (1 / 3)
    return float((_largest_eigenvalue(entries.T @ entries) - edge**2) / unit)


def _part(block: Matrix) -> Matrix:
    """Return evenly spaced rows and columns of a block that has more than enough of them."""
    rows, columns = (
        spread_evenly(side, most) for side, most in zip(block.shape, (LONGER, SHORTER), strict=True)
    )
    if block.shape == (rows.size, columns.size):
        return block
    part: Matrix = block[rows] if columns.size == block.shape[1] else block[rows[:, None], columns]
    return part


def _standardised(block: Matrix) -> Matrix | None:
    """Return entries of mean 0 and variance 1 as float32, without their outer part if tails are heavy.

    None if all are equal, or nearly all zero.
    """
    entries = _scaled(block, *extremes([block]))
    if entries is None or _fourth_moment(entries) <= NORMAL:
        return entries
    sample = block.ravel()[:: max(1, block.size >> 16)].astype(np.float64)
    if all(np.count_nonzero(part) < NEARLY_EMPTY * part.size for part in (sample, block)):
        return None
    low, high = np.quantile(sample, (OUTER, 1 - OUTER)).tolist()
    return _scaled(block, low, high) if low < high else entries


def _scaled(block: Matrix, low: float, high: float) -> Matrix | None:
    """Return entries between the limits at mean 0 and variance 1; None if they are all equal."""
    largest = max(abs(low), abs(high))
    if low == high:
        return None
    wide = widened(block)
    entries: Matrix = (np.clip(wide, low, high) / wide.dtype.type(largest)).astype(np.float32, copy=False)
    entries -= np.float32(entries.mean(axis=1).mean(dtype=np.float64))
    deviation = float(np.sqrt(sum_of_squares(entries) / entries.size))
    if deviation < 1e-6:
        return None
    entries /= np.float32(deviation)
    return entries


def _fourth_moment(entries: Matrix) -> float:
    return sum_of_squares(np.square(entries)) / entries.size


def _largest_eigenvalue(gram: NDArray[np.floating[Any]]) -> float:
    """Return the largest eigenvalue of a symmetric matrix: by Lanczos' method where the matrix is large.

    Written out because ARPACK draws random vectors of its own, and the same file must give the same report.
    All vectors are kept orthogonal, so a value only ever rises from step to step.
    """
    n = len(gram)
    if n <= SMALL_GRAM:
        return float(np.linalg.eigvalsh(gram)[-1])
    basis = np.empty((min(n, STEPS), n))
    step = np.random.default_rng(n).standard_normal(n)
    diagonal, beside, value = np.zeros(len(basis)), np.zeros(len(basis)), 0.0
    for k in range(len(basis)):
        beside[k] = np.linalg.norm(step)
        if beside[k] <= 1e-6 * np.abs(diagonal[:k]).max(initial=0.0):  # the rank is k
            return _tridiagonal(diagonal[:k], beside[1:k])
        basis[k] = step / beside[k]
        step = (gram @ basis[k].astype(gram.dtype)).astype(np.float64)
        diagonal[k] = basis[k] @ step
        for _ in range(2):
            step -= (basis[: k + 1] @ step) @ basis[: k + 1]
        if (k + 1) % CHECKED == 0 or k == len(basis) - 1:
            before, value = value, _tridiagonal(diagonal[: k + 1], beside[1 : k + 1])
            if value - before <= CLOSE * value:
                break
    return value


def _tridiagonal(diagonal: Floats, beside: Floats) -> float:
    from scipy.linalg import eigvalsh_tridiagonal

    last = diagonal.size - 1
    return float(eigvalsh_tridiagonal(diagonal, beside, select="i", select_range=(last, last))[0])
