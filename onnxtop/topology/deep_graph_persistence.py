"""Deep graph persistence: neural persistence of a whole network, by the paths through it.

Girrbach, Christensen, Winther, Akata, Koepke, *Addressing caveats of neural persistence with deep graph
persistence*, TMLR 2023 (arXiv 2307.10865). Input i and output j are joined as strongly as the weakest weight
on the best path from i to j; this matrix S, d_0 x d_L, is measured as a layer is. The authors form S from
arrays d_0 x d_1 x d_2; here S is never formed, and the time is that of a few passes over the weights
(`onnxtop.topology.bottleneck` has the theorem, which is ours, and the algorithm).

The paper has stacks of matrices. Any other network graph, with skips, shared weights or cycles, is our
extension: S is defined by paths alone.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from onnxtop.errors import UsageError
from onnxtop.network import Block, NetworkGraph, Weights
from onnxtop.shown import Shown
from onnxtop.topology.arguments import check_options
from onnxtop.topology.bottleneck import Bundle, Listed, Paths, bottleneck_tree, widest_paths
from onnxtop.topology.facts import LayerRole
from onnxtop.topology.graph import Floats, Indices, distinct
from onnxtop.topology.layer_scan import LayerScan, Strength, scan_layer
from onnxtop.topology.network_graphs import Skips, layers_on_paths, stack, with_separate_ends, with_skips
from onnxtop.topology.persistence import NO_DIAGRAM, Convention, Diagram
from onnxtop.topology.spanning import strongest_first
from onnxtop.topology.strongest import BlockCells

HELD = 1 << 20
"""Listed edges of a network that are held, at 16 bytes each; those of later layers are made where wanted."""


@dataclass(frozen=True, eq=False, repr=False)
class DeepPersistence(Shown):
    """Deep graph persistence of a network.

    Attributes
    ----------
    total
        p-norm of the persistences; nan if there is a reason.
    normalized
        ``total / (n_inputs + n_outputs - 1) ** (1 / p)``.
    diagram
        n_inputs + n_outputs - 1 points; generators are (layer, row, column) of the weight that limits each
        bar, -1 where a path is structural throughout or there is none. Empty if there is a reason.
    alpha, beta
        Strength of the strongest path to each output, and from each input: the column and row maxima of S.
        In [0, 1], before S is rescaled.
    strongest
        The largest entry of S, before it is rescaled.
    n_inputs, n_outputs
        All of them, also those that no path reaches.
    saturated
        Share of the bars that are as strong as `strongest`; nan if `strongest` is 0.
    layers
        What each layer does, in the order of the network's layers; None for one that joins no neurons.
    constant_layers
        Names of the layers whose weights are all equal: standardised, they are 0. Empty without
        standardisation.
    standardise, rescale, convention, p, skips
        As asked for.
    reason
        Why there is no total, or None.
    """

    total: float
    normalized: float
    diagram: Diagram
    alpha: Floats
    beta: Floats
    strongest: float
    n_inputs: int
    n_outputs: int
    saturated: float
    layers: tuple[LayerRole | None, ...]
    constant_layers: tuple[str, ...]
    standardise: bool
    rescale: bool
    convention: Convention
    p: float
    skips: Skips
    reason: str | None = None


def deep_graph_persistence(
    network: Sequence[ArrayLike] | Mapping[str, ArrayLike] | NetworkGraph,
    *,
    standardise: bool = True,
    rescale: bool = True,
    convention: Convention = "essential",
    p: float = 2.0,
    skips: Skips = "keep",
) -> DeepPersistence:
    """Return the deep graph persistence of a network.

    Parameters
    ----------
    network
        A stack of matrices (n_in, n_out), by name or not, each as wide as the one before it is long; or a
        network graph. Layers are read one at a time, in place where they are contiguous.
    standardise
        Whether the strength of a weight is ``|w - mean| / std`` with the mean and std of its layer, as in the
        paper, or ``|w|``, its vanilla variant; both are divided by the largest value in the network.
    rescale
        Whether S is divided by its largest entry, as in the paper.
    convention, p
        As in `layer_persistence`.
    skips
        'cut' leaves out the skips of a network graph.

    Returns
    -------
    DeepPersistence
        If no path has a strength above 0, S is 0 and total is (n_inputs + n_outputs) ** (1 / p) ('tree':
        (n_inputs + n_outputs - 1) ** (1 / p)). Without inputs or outputs, or with a weight on a path that is
        not finite, there are nan and a reason.

    Raises
    ------
    UsageError
        A ValueError: no matrices, matrices that are none or do not fit each other, or an option that makes no
        sense.

    Notes
    -----
    Girrbach et al. 2023, section 5; `dnp_exact_norm` of their code is `normalized`, and `dnp_prev` is `total`
    without ``rescale``. Their `vanilla_dnp` is not `normalized` without ``standardise``: it looks for the
    path whose smallest signed weight is largest, and takes magnitudes of what it finds, where we take them
    first. Takes a few passes over the weights and the memory of about V log V edges for a layer of V neurons.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> stack = [rng.standard_normal(shape) for shape in [(6, 5), (5, 4)]]
    >>> result = deep_graph_persistence(stack)
    >>> result.n_inputs, result.n_outputs, round(result.normalized, 6)
    (6, 4, 0.493188)

    One layer is measured as its standardised matrix.

    >>> matrix = np.array([[1.0, -1.0], [3.0, 5.0]])
    >>> deep_graph_persistence([matrix]).diagram.points[:, 1].round(6).tolist()
    [1.0, 1.0, 0.333333]
    """
    check_options(convention, p)
    if skips not in ("keep", "cut"):
        raise UsageError(f"wanted skips 'keep' or 'cut', found {skips!r}: choose one of them")
    graph = network if isinstance(network, NetworkGraph) else stack(network)
    return _measure(graph, _Options(standardise, rescale, convention, p, skips))


def kept_and_cut(
    graph: NetworkGraph,
    *,
    standardise: bool = True,
    rescale: bool = True,
    convention: Convention = "essential",
    p: float = 2.0,
    scans: Mapping[int, LayerScan] | None = None,
) -> tuple[DeepPersistence, DeepPersistence]:
    """Return the deep graph persistence with skips kept and with skips cut, reading the weights once.

    Both are as `deep_graph_persistence` gives them; without skips they are one and the same. ``scans`` are
    those of layers, by number, that were scanned already, standardised or not as is asked for here. They are
    asked for one at a time, and again where their cells are wanted, so that they may be on a disk.
    """
    check_options(convention, p)
    options = _Options(standardise, rescale, convention, p)
    ends = graph.inputs.size and graph.outputs.size
    known = _Scans.of(graph if ends else replace(graph, blocks=()), options, scans)
    edges = _Edges.of(graph, known)
    kept = _measure(graph, options, known, edges)
    return kept, _measure(graph, replace(options, skips="cut"), known, edges) if graph.skips.size else kept


@dataclass(frozen=True)
class _Options:
    standardise: bool = True
    rescale: bool = True
    convention: Convention = "essential"
    p: float = 2.0
    skips: Skips = "keep"
    n_wanted: int | None = None
    """Weights listed of each layer; None for as many as are useful."""

    def asked(self) -> dict[str, Any]:
        """Return what a result tells of them."""
        return {name: value for name, value in vars(self).items() if name != "n_wanted"}


class _Scans(NamedTuple):
    """The scans of the layers that are in a graph: without their cells, and whole when one is asked for."""

    heads: Mapping[int, LayerScan]
    whole: Callable[[int], LayerScan]

    @classmethod
    def of(
        cls, graph: NetworkGraph, options: _Options, known: Mapping[int, LayerScan] | None = None
    ) -> "_Scans":
        """Scan every layer that is in the graph, or take what is known of it."""
        layers = sorted({block.layer for block in graph.blocks})
        known = {} if known is None else known
        new = {
            k: scan_layer(graph.layers[k].read(), standardise=options.standardise, n_wanted=options.n_wanted)
            for k in layers
            if k not in known
        }

        def whole(layer: int) -> LayerScan:
            return new[layer] if layer in new else known[layer]

        return cls({k: whole(k).bare for k in layers}, whole)


class _Edges(NamedTuple):
    """The weights of a network that are finite, towards the outputs and towards the inputs."""

    forward: Sequence[Bundle]
    backward: Sequence[Bundle]

    @classmethod
    def of(cls, graph: NetworkGraph, scans: _Scans) -> "_Edges":
        """Return those of a graph; of its skips they do not depend."""
        forward = list(_bundles(graph, scans))
        return cls(forward, [bundle.reversed for bundle in reversed(forward)])


def _measure(
    graph: NetworkGraph,
    options: _Options,
    scans: _Scans | None = None,
    edges: _Edges | None = None,
) -> DeepPersistence:
    if not (graph.inputs.size and graph.outputs.size):
        side = "inputs" if not graph.inputs.size else "outputs"
        return _without_value(graph, options, f"the network has no {side} with neurons")
    graph = with_separate_ends(with_skips(graph, options.skips))
    scans = scans or _Scans.of(graph, options)
    bad = {k for k, scan in scans.heads.items() if not scan.finite}
    broken = bad & layers_on_paths(graph) if bad else set()
    if broken:
        name = graph.layers[min(broken)].name
        return _without_value(graph, options, f"layer {name!r} has weights that are NaN or infinite")
    bundles, backward = edges or _Edges.of(graph, scans)
    alpha = widest_paths(graph.n_vertices, bundles, graph.structural, graph.inputs)
    beta = widest_paths(graph.n_vertices, backward, graph.structural[:, ::-1], graph.outputs)
    bars = _bars(graph, bundles, alpha, beta)
    constant = tuple(graph.layers[k].name for k, scan in scans.heads.items() if scan.std == 0)
    return _result(graph, options, bars, alpha, beta, constant)


def _bundles(graph: NetworkGraph, scans: _Scans) -> Iterator[Bundle]:
    """Return the edges of the network, small blocks of one layer that follow each other together."""
    heads = {k: head for k, head in scans.heads.items() if head.finite}
    top = max((head.largest for head in heads.values()), default=0.0)
    blocks = (block for block in graph.blocks if block.layer in heads)
    room = HELD
    for layer, together in groupby(blocks, key=lambda block: block.layer):
        head = heads[layer]
        shapes = np.array(head.shapes)
        places = np.cumsum(shapes, axis=0) - shapes
        bundles = [_bundle(block, head, scans.whole, top, graph.layers[layer], places) for block in together]
        room -= sum(cells.positions.size for cells in scans.whole(layer).blocks) if room >= 0 else 0
        for bundle in [_join(bundles)] if head.complete else bundles:
            yield bundle if room < 0 else replace(bundle, listed=cache(bundle.listed))


def _bundle(
    block: Block,
    head: LayerScan,
    scan: Callable[[int], LayerScan],
    top: float,
    weights: Weights,
    places: Indices,
) -> Bundle:
    strength = head.strength(top)
    first_row, first_col = places[block.matrix].tolist()
    return Bundle(
        tails=block.rows,
        heads=block.columns,
        listed=lambda: _listed(scan(block.layer).blocks[block.matrix], strength),
        layer=block.layer,
        row_lines=_lines(first_row, block.rows.size),
        col_lines=_lines(first_col, block.columns.size),
        limit=head.limit(top, block.matrix),
        read=lambda: weights.read()[block.matrix],
        strength=strength,
    )


@lru_cache(maxsize=16)
def _lines(first: int, count: int) -> Indices:
    """Return lines of a layer's matrix; those of the whole matrix are the same in many layers."""
    return np.arange(first, first + count)


def _listed(cells: BlockCells, strength: Strength) -> Listed:
    return Listed(*cells.places, strength(cells.weights))


def _join(bundles: Sequence[Bundle]) -> Bundle:
    """Return complete bundles of one layer as one."""
    if len(bundles) == 1:
        return bundles[0]
    return replace(
        bundles[0],
        tails=np.concatenate([b.tails for b in bundles]),
        heads=np.concatenate([b.heads for b in bundles]),
        listed=lambda: _joined(bundles),
        row_lines=np.concatenate([b.row_lines for b in bundles]),
        col_lines=np.concatenate([b.col_lines for b in bundles]),
    )


def _joined(bundles: Sequence[Bundle]) -> Listed:
    """Return the listed edges of several bundles, by the rows and columns of all."""
    row, column, parts = 0, 0, []
    for bundle in bundles:
        rows, cols, strengths = bundle.listed()
        parts.append((rows + row, cols + column, strengths))
        row, column = row + bundle.tails.size, column + bundle.heads.size
    return Listed(*(np.concatenate(part) for part in zip(*parts, strict=True)))


class _Bars(NamedTuple):
    """Strengths of the tree of S with what limits them, strongest first, without missing pairs."""

    strengths: Floats
    generators: Indices


def _bars(graph: NetworkGraph, bundles: Sequence[Bundle], alpha: Paths, beta: Paths) -> _Bars:
    """Return the tree of S: one bar for each end that is no root, and those of the tree of the roots."""
    to_outputs = graph.outputs.size <= graph.inputs.size
    tree = bottleneck_tree(bundles, graph.structural, alpha, beta, to_outputs=to_outputs)
    paths, ends = (beta, graph.inputs) if to_outputs else (alpha, graph.outputs)
    strengths = np.concatenate([paths.widths[ends], tree.strengths])
    generators = np.concatenate([paths.generators[ends], tree.generators])
    order = strongest_first(strengths)
    order = order[strengths[order] > 0]
    return _Bars(strengths[order], generators[order])


def _result(
    graph: NetworkGraph,
    options: _Options,
    bars: _Bars,
    alpha: Paths,
    beta: Paths,
    constant_layers: tuple[str, ...],
) -> DeepPersistence:
    n_inputs, n_outputs = graph.inputs.size, graph.outputs.size
    between = n_inputs + n_outputs - 1
    strongest = float(bars.strengths[0]) if bars.strengths.size else 0.0
    diagram = _diagram(bars, between, strongest if options.rescale else 1.0)
    saturated = np.count_nonzero(bars.strengths == strongest) / between
    return DeepPersistence(
        total=diagram.norm(options.p, options.convention),
        normalized=diagram.norm(options.p, options.convention, between),
        diagram=diagram,
        alpha=alpha.widths[graph.outputs],
        beta=beta.widths[graph.inputs],
        strongest=strongest,
        n_inputs=n_inputs,
        n_outputs=n_outputs,
        saturated=saturated if strongest else float("nan"),
        layers=_roles(graph, bars, alpha.widths[:-1], beta.widths[:-1]),
        constant_layers=constant_layers,
        **options.asked(),
    )


def _diagram(bars: _Bars, n_points: int, scale: float) -> Diagram:
    """Return the diagram of S divided by a scale; pairs that no path joins are points (1, 0)."""
    points = np.column_stack([np.ones(n_points), np.zeros(n_points)])
    generators = np.full((n_points, 3), -1)
    if bars.strengths.size:
        points[: bars.strengths.size, 1] = bars.strengths / scale
        generators[: bars.strengths.size] = bars.generators
    return Diagram(points, generators)


def _roles(graph: NetworkGraph, bars: _Bars, alpha: Floats, beta: Floats) -> tuple[LayerRole | None, ...]:
    limiting = bars.generators[:, 0]
    counts = np.bincount(limiting[limiting >= 0], minlength=len(graph.layers)).tolist()
    by_layer = defaultdict(list)
    for block in graph.blocks:
        by_layer[block.layer].append(block)
    return tuple(_role(by_layer[layer], count, alpha, beta) for layer, count in enumerate(counts))


def _role(blocks: Sequence[Block], bars: int, alpha: Floats, beta: Floats) -> LayerRole | None:
    ins, outs = _neurons([b.rows for b in blocks]), _neurons([b.columns for b in blocks])
    if not (ins.size and outs.size):
        return None
    return LayerRole(
        bars=bars,
        active=float(np.mean(np.minimum(alpha[outs], beta[outs]) > 0)),
        alpha=(float(alpha[outs].min()), float(alpha[outs].max())),
        beta=(float(beta[ins].min()), float(beta[ins].max())),
    )


def _neurons(ids: Sequence[Indices]) -> Indices:
    """Return each vertex once, without padding."""
    every = distinct(np.concatenate([*ids, np.empty(0, np.intp)]))
    return every[every >= 0]


def _without_value(graph: NetworkGraph, options: _Options, reason: str) -> DeepPersistence:
    return DeepPersistence(
        total=float("nan"),
        normalized=float("nan"),
        diagram=NO_DIAGRAM,
        alpha=np.full(graph.outputs.size, np.nan),
        beta=np.full(graph.inputs.size, np.nan),
        strongest=float("nan"),
        n_inputs=graph.inputs.size,
        n_outputs=graph.outputs.size,
        saturated=float("nan"),
        layers=(None,) * len(graph.layers),
        constant_layers=(),
        **options.asked(),
        reason=reason,
    )
