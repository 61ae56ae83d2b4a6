"""The null model of neural persistence: a layer against the same weights in random places.

Shuffle the entries of a layer over its cells. Which ranks the spanning tree is made of then depends on the
layer's shape alone, and the law of neural persistence follows from that and the layer's own sorted weights:
in closed form (`null_law`), or, of small blocks, with a bias row, and where a few rare bars make the spread,
from draws (`rank_profiles`).

Neural persistence by itself mostly tells how spread out the weights are (Girrbach et al., *Addressing caveats
of neural persistence with deep graph persistence*, TMLR 2023). Its distance from the null model does not.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Blocks, Matrix, strips
from onnxtop.topology.graph import Floats, Indices
from onnxtop.topology.null_law import BAND, NullLaw, Shapes, holds, neurons, null_law, shapes_of
from onnxtop.topology.persistence import Convention, scaled
from onnxtop.topology.rank_profiles import RankProfiles, profiles_of
from onnxtop.topology.spanning import GrowingForest
from onnxtop.topology.strongest import StrongCells, strongest_weights

UNROLLED = "the null model is for flattened or channels graphs"
"""Why an unrolled convolution has none: each of its weights makes many edges."""

NO_SPREAD = "nearly all arrangements of the weights have the same neural persistence"
"""Why there is no z: stars, weights of one magnitude, or so few that are not zero that hardly two meet."""

RARE_BARS = "the null model of a layer whose spread a few rare bars make is for at most"
"""Why a layer has none, with the number of neurons: that of other layers is computed."""

MOST_NEURONS = 1 << 20
"""Neurons up to which a null model is drawn."""
KEPT = 1 << 25
"""Ranks that are remembered for later layers, at 4 bytes each; one shape may have more."""
JOINED = 1 << 20
"""Neurons of draws that biases are joined to at a time."""
SAME = 1e-12
"""Relative spread up to which all arrangements have the same value."""
RARE = 0.01
"""Rings among the weights that are not zero, in the mean, up to which nearly all arrangements are alike."""
MOST_RARITY = 2.0
"""Rarity of what moves the sum of a layer up to which its law is as good as draws."""
RARE_DRAWS = 400
"""Draws of such a layer: what is rare has to be among them."""
RARE_NEURONS = 1 << 12
"""Neurons up to which there are so many, and not as many as of other layers that are drawn."""
MOST_UNEVEN = 0.25
"""Deviation of the sum, as a share of it, up to which its root is nearly lognormal."""

Band = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class StrongestWeights:
    """What the null model keeps of a layer until the scale is known.

    ``strengths`` are the largest ``|w|``, strongest first, in the layer's own precision. There are none where
    ``reason`` says why the layer has no null model. ``row`` is its bias row, if it has one.
    """

    shapes: Shapes = ()
    strengths: Matrix = field(default_factory=lambda: np.empty(0))
    row: "BiasRow | None" = None
    reason: str | None = None


class BiasRow(NamedTuple):
    """The magnitudes of the biases of a layer, and the vertex of a profile that each is joined to."""

    strengths: Floats
    outputs: Indices


@dataclass(frozen=True)
class NullFigures:
    """Normalized neural persistence of the layer in random arrangement, and how far the layer is from it.

    ``mean`` and ``std`` are those of all arrangements; ``excess`` is the layer's value less the mean, ``z``
    that in standard deviations, ``excess_share`` as a share of the layer's value. ``band`` is the null band
    at the bars that were asked for: the ends of the middle 90 % of the lengths of each. What is not defined
    is None, and ``reason`` says why.
    """

    mean: float | None = None
    std: float | None = None
    z: float | None = None
    excess: float | None = None
    excess_share: float | None = None
    reason: str | None = None
    band: Band | None = None


class NullModels:
    """The null models of one audit: what is drawn of a shape is kept for later layers of that shape.

    They depend on the shape, turned or not, and on nothing that was measured before.

    Examples
    --------
    >>> from onnxtop.topology.neural_persistence import layer_persistence
    >>> models = NullModels()
    >>> matrix = np.random.default_rng(0).standard_normal((100, 50))
    >>> matrix[:10] *= 4
    >>> strongest = models.read([matrix])  # while the weights are in memory
    >>> value = layer_persistence(matrix)
    >>> null = models.measure(strongest, value.normalized, scale=value.scale)  # when the scale is known
    >>> null.z > 10
    True
    """

    def __init__(self) -> None:
        self._drawn: OrderedDict[tuple[Shapes, bool], RankProfiles] = OrderedDict()

    def wanted(self, shapes: Shapes, bias: bool = False) -> int:
        """Return how many of the strongest weights of a layer of this shape the null model reads."""
        return 0 if _no_null(shapes, bias) else self._law(shapes, bias).last

    def read(
        self, blocks: Blocks, bias: Floats | None = None, cells: StrongCells | None = None
    ) -> StrongestWeights:
        """Return what is needed of a layer's weights: the strongest of them, some V log V.

        Parameters
        ----------
        blocks
            Matrices (n_in, n_out) that share no neuron, no side empty; entries trade places with those of all
            other blocks. Read in one pass, in place where contiguous.
        bias
            Shape (n_out of all blocks,): a row that is measured with the weights, and stays where it is.
        cells
            What a scan has listed of the weights; if that is enough, they are not read.
        """
        shapes = shapes_of(blocks)
        reason = _no_null(shapes, bias is not None)
        if reason is None:
            wanted = self.wanted(shapes, bias is not None)
            listed = None if cells is None else cells.strongest(wanted)
            strengths = strongest_weights(blocks, wanted) if listed is None else listed
            row = None if bias is None else BiasRow(np.abs(bias, dtype=np.float64), _outputs(blocks))
            if np.isfinite(strengths[0]) and (row is None or np.isfinite(row.strengths).all()):
                return StrongestWeights(shapes, strengths, row)
            reason = "a weight is NaN or infinite"
        return StrongestWeights(reason=reason)

    def measure(
        self,
        strongest: StrongestWeights,
        normalized: float,
        *,
        scale: float,
        convention: Convention = "essential",
        p: float = 2.0,
        at: Indices | None = None,
    ) -> NullFigures:
        """Return the null model of a layer and its distance from it.

        Parameters
        ----------
        strongest
            From `read`.
        normalized
            Normalized neural persistence of the layer, with the same scale, convention and p.
        scale
            What strengths are divided by; larger ones count as 1. 0.0 if all weights that set it are zero.
        at
            Ranks of bars, 1 for the longest, at which to give the null band.
        """
        if strongest.reason is not None:
            return NullFigures(reason=strongest.reason)
        if not (np.isfinite(normalized) and np.isfinite(scale)):
            return NullFigures(reason="the layer has no neural persistence")
        law = self._law(strongest.shapes, strongest.row is not None)
        arrangements = _arrangements(law, strongest, scale)
        moments = arrangements.normalized(convention, p)
        if moments is None:
            if neurons(strongest.shapes) > MOST_NEURONS:
                return NullFigures(reason=f"{RARE_BARS} {MOST_NEURONS} neurons")
            moments = self._by_draws(strongest, scale).normalized(convention, p)
        mean, std = moments
        excess = normalized - mean
        z, reason = (None, NO_SPREAD) if std <= SAME * mean else (excess / std, None)
        share = excess / normalized if normalized > 0 else None
        return NullFigures(mean, std, z, excess, share, reason, None if at is None else arrangements.band(at))

    def _law(self, shapes: Shapes, bias: bool) -> NullLaw | RankProfiles:
        return null_law(shapes) if not bias and holds(shapes) else self._profiles(shapes, bias)

    def _by_draws(self, strongest: StrongestWeights, scale: float) -> "_Drawn":
        draws = RARE_DRAWS if neurons(strongest.shapes) <= RARE_NEURONS else None
        return _Drawn.of(self._profiles(strongest.shapes, ends=False, draws=draws), strongest, scale)

    def _profiles(self, shapes: Shapes, ends: bool, draws: int | None = None) -> RankProfiles:
        key = shapes, ends
        if key not in self._drawn:
            self._drawn[key] = profiles_of(shapes, ends, draws)
        self._drawn.move_to_end(key)
        while len(self._drawn) > 1 and sum(profiles.size for profiles in self._drawn.values()) > KEPT:
            self._drawn.popitem(last=False)
        return self._drawn[key]


def _no_null(shapes: Shapes, with_bias: bool) -> str | None:
    if with_bias or not holds(shapes):
        if not with_bias and all(short == 1 for _, short, _ in shapes):
            return NO_SPREAD
        if neurons(shapes) > MOST_NEURONS:
            return f"the null model of small blocks and of a bias row is for at most {MOST_NEURONS} neurons"
    return None


def _arrangements(
    law: NullLaw | RankProfiles, strongest: StrongestWeights, scale: float
) -> "_Computed | _Drawn":
    if isinstance(law, NullLaw):
        return _Computed(law, 1.0 - scaled(strongest.strengths, scale))
    return _Drawn.of(law, strongest, scale)


class _Computed(NamedTuple):
    """All arrangements of a layer by their law: lengths of the bars that weights of each rank would end."""

    law: NullLaw
    lengths: Floats

    def normalized(self, convention: Convention, p: float) -> tuple[float, float] | None:
        """Return mean and deviation of the normalized value, for the sum of powers is nearly lognormal.

        None if it is not, or if a few rare bars make its deviation: then draws are nearer.
        """
        whole_bars = self.law.n_blocks - 1 + (convention == "essential")
        longest = 1.0 if whole_bars else float(self.lengths.max(initial=0.0))
        if p == np.inf:
            return (1.0, 0.0) if whole_bars else self.law.last_value(self.lengths)
        if longest == 0.0:
            return 0.0, 0.0
        total, deviation, rarity = self.law.sums((self.lengths / longest) ** p)
        total += whole_bars
        spread = deviation / total if total > 0 and not self._alike else 0.0
        if spread > SAME and (rarity > MOST_RARITY or spread > MOST_UNEVEN):
            return None
        variance = np.log1p(spread * spread)
        with np.errstate(over="ignore"):
            value = longest * np.float64(total / (self.law.n_vertices - 1)) ** (1 / p)
            mean = value * np.exp((1 / p - 1) / p * variance / 2)
            return float(mean), float(mean * np.sqrt(np.expm1(variance / p / p)))

    @property
    def _alike(self) -> bool:
        """Whether the weights that are not zero are so few that hardly an arrangement has a ring of them."""
        n_weights = int(np.count_nonzero(self.lengths < 1.0))
        return n_weights < self.law.last and self.law.rings(n_weights) < RARE

    def band(self, at: Indices) -> Band:
        """Return the ends of the null band at the bars of these ranks, 1 for the longest."""
        present = at >= self.law.n_blocks
        ends = np.ones((2, at.size))
        ends[:, present] = self.lengths[np.array(self.law.band(at[present])) - 1]
        low, high = ends.tolist()
        return tuple(low), tuple(high)


class _Drawn(NamedTuple):
    """Some arrangements: lengths of bars, which of them each draw has.

    Those of a draw stand strongest weight first, so shortest bar first; missing pairs are not among them.
    """

    lengths: Floats
    chosen: NDArray[np.integer[Any]]
    n_vertices: int
    n_components: int

    @classmethod
    def of(cls, profiles: RankProfiles, strongest: StrongestWeights, scale: float) -> "_Drawn":
        ranks: NDArray[np.integer[Any]] = profiles.ranks - 1
        if strongest.row is None or profiles.ends is None:
            lengths = 1.0 - scaled(strongest.strengths, scale)
            ranks = np.minimum(ranks, lengths.size - 1)  # as many as a law wants are enough, but for chance
            return cls(lengths, ranks, profiles.n_vertices, profiles.n_blocks)
        n_vertices = profiles.n_vertices + 1
        at_once = max(1, JOINED // n_vertices)
        strengths = np.concatenate([
            _with_row(
                strongest.strengths[ranks[part]].astype(np.float64),
                profiles.ends[part],
                strongest.row,
                n_vertices,
            )
            for part in strips((len(ranks), 1), at_once)
        ])  # fmt: skip
        chosen = np.arange(strengths.size).reshape(strengths.shape)
        return cls(1.0 - scaled(strengths.ravel(), scale), chosen, n_vertices, 1)

    def normalized(self, convention: Convention, p: float) -> tuple[float, float]:
        """Return mean and deviation, with n - 1, of the normalized values."""
        values = self.values(convention, p)
        return float(values.mean()), float(values.std(ddof=1))

    def values(self, convention: Convention, p: float) -> Floats:
        """Return the normalized neural persistence of every draw, as `Diagram.norm` has it."""
        whole_bars = self.n_components - 1 + (convention == "essential")
        longest = 1.0 if whole_bars else float(self.lengths.max(initial=0.0))
        if longest == 0.0:
            return np.zeros(len(self.chosen))
        if p == np.inf:
            return np.full(len(self.chosen), 1.0) if whole_bars else self.lengths[self.chosen].max(axis=1)
        powers = (self.lengths / longest) ** p
        sums = powers[self.chosen].sum(axis=1) + whole_bars
        with np.errstate(over="ignore"):
            values: Floats = longest * (sums / (self.n_vertices - 1)) ** (1 / p)
        return values

    def band(self, at: Indices) -> Band:
        """Return the ends of the null band at the bars of these ranks, 1 for the longest.

        One more arrangement is as likely to be in any place among the n draws: between the k-th smallest and
        the k-th largest of them it is with probability 1 - 2 k / (n + 1).
        """
        draws = len(self.chosen)
        outside = int((1 - BAND) / 2 * (draws + 1))
        places = self.n_vertices - 1 - at
        present = places < self.chosen.shape[1]
        lengths = np.ones((draws, at.size))
        lengths[:, present] = np.sort(self.lengths[self.chosen[:, places[present]]], axis=0)
        low, high = lengths[outside - 1], lengths[draws - outside]
        return tuple(low.tolist()), tuple(high.tolist())


def _with_row(strengths: Floats, ends: NDArray[np.int32], row: BiasRow, n_vertices: int) -> Floats:
    """Return the strengths of the trees of some draws that one vertex more is joined to by the biases."""
    draws = len(strengths)
    offsets = n_vertices * np.arange(draws)[:, None]
    star = np.broadcast_to(row.strengths, (draws, row.strengths.size))
    edges = np.concatenate([strengths, star], axis=1)
    tails = np.concatenate([ends[:, :, 0], np.full(star.shape, n_vertices - 1)], axis=1) + offsets
    heads = np.concatenate([ends[:, :, 1], np.broadcast_to(row.outputs, star.shape)], axis=1) + offsets
    order = np.argsort(-edges, axis=None, kind="stable")
    used = order[GrowingForest(draws * n_vertices).join(tails.ravel()[order], heads.ravel()[order])]
    by_draw = used[np.argsort(used // edges.shape[1], kind="stable")]
    return edges.ravel()[by_draw].reshape(draws, -1)


def _outputs(blocks: Blocks) -> Indices:
    """Return the vertices of a profile that stand for the columns of the blocks, in the order of these."""
    order = sorted(range(len(blocks)), key=lambda b: (max(blocks[b].shape), min(blocks[b].shape)))
    longer, shorter = np.array([(max(blocks[b].shape), min(blocks[b].shape)) for b in order], np.intp).T
    starts = np.cumsum(shorter) - shorter, int(shorter.sum()) + np.cumsum(longer) - longer
    first = {b: starts[blocks[b].shape[1] > blocks[b].shape[0]][slot] for slot, b in enumerate(order)}
    return np.concatenate([first[b] + np.arange(block.shape[1]) for b, block in enumerate(blocks)])
