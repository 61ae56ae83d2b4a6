"""Neural persistence: how far a layer's weights are from joining its neurons all at once.

Rieck et al., *Neural Persistence: A Complexity Measure for Deep Neural Networks Using Algebraic Topology*,
ICLR 2019 (arXiv 1812.09764), section 3. What is computed here is what the paper's public code computes.

A value means nothing without its convention, scale and p, so results carry them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from onnxtop.errors import UsageError
from onnxtop.network import Blocks
from onnxtop.shown import Shown
from onnxtop.topology.arguments import as_bias, as_blocks, as_matrix, check_options, check_scale
from onnxtop.topology.dense import dense_forest
from onnxtop.topology.facts import Place
from onnxtop.topology.filters import FilterForests
from onnxtop.topology.graph import Forest
from onnxtop.topology.persistence import NO_DIAGRAM, Convention, Diagram, forest_diagram
from onnxtop.topology.strongest import StrongCells

Scale = Literal["global", "layer"] | float

Graphs = Forest | FilterForests
"""What is kept of a layer: the forest of its graph, or those of a convolution's filters and channels."""


@dataclass(frozen=True, eq=False, repr=False)
class MatrixPersistence(Shown):
    """Neural persistence of one layer.

    Attributes
    ----------
    total
        p-norm of the persistences; nan if a weight is not finite.
    normalized
        ``total / (n_vertices - 1) ** (1 / p)``. Can exceed 1, up to ``(n_vertices / (n_vertices - 1)) ** (1 /
        p)``.
    diagram
        The points, in the unit of ``scale``; empty if a weight is not finite, or the layer was measured
        filter by filter: then ``total`` and ``normalized`` are means over its graphs.
    n_vertices
        Neurons of the graph, in and out, with the bias vertex if there is one.
    scale
        What strengths were divided by; 0.0 where every weight that could set it is zero, nan where none is
        finite.
    convention, p
        As asked for.
    reason
        Why there is no value, or None.
    """

    total: float
    normalized: float
    diagram: Diagram
    n_vertices: int
    scale: float
    convention: Convention
    p: float
    reason: str | None = None


@dataclass(frozen=True, eq=False, repr=False)
class NeuralPersistence(Shown):
    """Neural persistence of a network.

    Attributes
    ----------
    layers
        Every layer by name, also those that are not counted or not finite.
    total
        Sum of the totals of the finite counted layers; nan if there are none.
    mean_normalized
        Mean of their normalized values, which the paper calls the neural persistence of the network.
    scaling
        'global', 'layer' or 'given'.
    scale
        What all strengths were divided by; None if each layer has its own.
    largest
        Where the weight is that set a global scale; None if the scale is another, or 0.
    convention, p
        As asked for.
    reason
        Why there is no mean, or None.
    """

    layers: Mapping[str, MatrixPersistence]
    total: float
    mean_normalized: float
    scaling: Literal["global", "layer", "given"]
    scale: float | None
    largest: Place | None
    convention: Convention
    p: float
    reason: str | None = None


def layer_persistence(
    matrix: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    scale: float | None = None,
    convention: Convention = "essential",
    p: float = 2.0,
) -> MatrixPersistence:
    """Return the neural persistence of one weight matrix.

    Parameters
    ----------
    matrix
        Shape (n_in, n_out); transposing it, or changing signs, changes nothing. float16, float32 and float64
        are read in place if C- or F-contiguous; integers and booleans are read as float64, bfloat16 as
        float32.
    bias
        Shape (n_out,), in the unit of the weights: one more input, joined to every output, as the paper's own
        code has it; None for weights only.
    scale
        What |w| is divided by, at least the largest |w|, biases included; None for the largest |w| itself.
    convention
        'essential' counts the component that never ends as a bar from 1 to 0, as the paper's code does;
        'tree' counts the edges of the spanning tree only.
    p
        Order of the norm, above 0; may be inf.

    Returns
    -------
    MatrixPersistence
        Between 0 and V ** (1 / p), V = n_in + n_out; all zeros give V ** (1 / p) ('tree': (V - 1) ** (1 /
        p)). A NaN or an infinity gives nan and a reason.

    Raises
    ------
    UsageError
        A ValueError: not a matrix of real numbers, an empty side, a bias of another length, a scale below the
        largest |w|, or an option that makes no sense.

    Notes
    -----
    Rieck et al. 2019, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> result = layer_persistence(np.array([[1.0, 0.5], [0.25, -0.5]]))
    >>> result.diagram.points[:, 1].tolist()
    [1.0, 0.5, 0.5]
    >>> round(result.total, 6), round(result.normalized, 6)
    (1.224745, 0.707107)

    The bias is the third row of the matrix.

    >>> layer_persistence(np.array([[1.0, 0.5], [0.25, -0.5]]), bias=[0.0, 0.75]).diagram.generators.tolist()
    [[0, 0, 0], [0, 2, 1], [0, 0, 1], [0, 1, 1]]
    """
    check_options(convention, p)
    forest = layer_forest([as_matrix(matrix, "matrix")], bias=bias)
    if scale is None:
        return _layer(forest, _own_scale(forest), convention, p)
    check_scale(scale, forest.strongest)
    return _layer(forest, float(scale), convention, p)


def neural_persistence(
    matrices: Mapping[str, ArrayLike | Sequence[ArrayLike]],
    *,
    bias: Mapping[str, ArrayLike] | None = None,
    scale: Scale = "global",
    convention: Convention = "essential",
    p: float = 2.0,
) -> NeuralPersistence:
    """Return the neural persistence of a network given as weight matrices by layer name.

    Parameters
    ----------
    matrices
        For each layer a matrix as in `layer_persistence`, or a list of matrices that share no neuron (the
        groups of a convolution). Layers are fetched one at a time.
    bias
        Vectors as in `layer_persistence`, by layer name; a layer without one is measured by its weights. Of
        several matrices a vector has the outputs of all, and its one vertex joins them.
    scale
        'global': the largest |w| of all finite layers, as in the paper. 'layer': each layer's own. A number:
        that, at least the largest |w|.
    convention, p
        As in `layer_persistence`.

    Returns
    -------
    NeuralPersistence
        Layers that are not finite count neither for the scale nor for the mean; without any other the mean is
        nan.

    Raises
    ------
    UsageError
        As for `layer_persistence`; the message names the layer.

    Notes
    -----
    Rieck et al. 2019, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> network = neural_persistence({"first": np.full((2, 4), -1.0), "second": np.full((2, 2), -1.0)})
    >>> round(network.layers["first"].normalized, 6), round(network.mean_normalized, 6)
    (0.447214, 0.512282)
    >>> network.largest
    Place(layer='first', row=0, column=0)
    """
    check_options(convention, p)
    bias = bias or {}
    if unknown := sorted(set(bias) - set(matrices)):
        raise UsageError(f"wanted names of layers in bias, found {', '.join(unknown)}: leave them out")
    forests = {
        name: layer_forest(as_blocks(matrices[name], name), bias=bias.get(name), layer=layer, name=name)
        for layer, name in enumerate(matrices)
    }
    return network_persistence(forests, scale=scale, convention=convention, p=p)


def layer_forest(
    blocks: Blocks,
    *,
    bias: ArrayLike | None = None,
    layer: int = 0,
    name: str | None = None,
    cells: StrongCells | None = None,
) -> Forest:
    """Return the forest of one layer: all that `network_persistence` needs to keep of it.

    Parameters
    ----------
    blocks
        Matrices (n_in, n_out) that share no neuron, float16, float32 or float64.
    bias
        Shape (n_out of all blocks,), in the unit of the weights: one more vertex, joined to every output.
    layer
        First entry of the generators.
    name
        What the layer is called in a message.
    cells
        The strongest of the weights, where a scan has listed them: then hardly a weight is read.

    Returns
    -------
    Forest
        Without edges if a weight is not finite.

    Raises
    ------
    UsageError
        No blocks, a block that is not a matrix, an empty side, or a bias of another length.

    Examples
    --------
    >>> import numpy as np
    >>> forest = layer_forest([np.array([[1.0, -3.0]])], bias=np.array([2.0, 0.0]), layer=7)
    >>> forest.strengths.tolist(), forest.generators.tolist()
    ([3.0, 2.0, 1.0], [[7, 0, 1], [7, 1, 0], [7, 0, 0]])
    """
    checked = [as_matrix(block, "a block") for block in blocks]
    if not checked:
        raise UsageError("wanted the blocks of a layer, found none: pass at least one matrix")
    if bias is not None:
        what = "a bias" if name is None else f"the bias of layer {name!r}"
        bias = as_bias(bias, sum(block.shape[1] for block in checked), what)
    return dense_forest(checked, bias=bias, layer=layer, cells=cells)


def network_persistence(
    forests: Mapping[str, Graphs],
    *,
    scale: Scale = "global",
    convention: Convention = "essential",
    p: float = 2.0,
    counted: Collection[str] | None = None,
    apart: Collection[str] = (),
    diagrams: bool = True,
) -> NeuralPersistence:
    """Return the neural persistence of a network from the forests of its layers.

    Parameters
    ----------
    forests
        One for each layer, by name; of a convolution measured filter by filter those of its graphs. They are
        asked for one at a time.
    scale, convention, p
        As in `neural_persistence`.
    counted
        Names of the layers that set the global scale and enter total and mean; None for all. Strengths of the
        others are cut off at the scale. Layers that are not finite never count.
    apart
        Names of layers whose weights have no common unit with the others: each has its own scale, and none of
        them counts.
    diagrams
        Whether the layers' diagrams are kept, which take more than the forests; else they are empty.

    Raises
    ------
    UsageError
        A given scale below the largest |w| of the counted layers, a name in `counted` that is no layer, or an
        option that makes no sense.

    Examples
    --------
    >>> import numpy as np
    >>> weights = {"a": 1.0, "b": 0.5, "copy of a": 9.0}
    >>> forests = {name: layer_forest([np.array([[w]])]) for name, w in weights.items()}
    >>> network = network_persistence(forests, counted=["a", "b"])
    >>> network.scale, network.layers["copy of a"].total, round(network.layers["b"].total, 6)
    (1.0, 1.0, 1.118034)
    >>> network_persistence(forests, apart=["copy of a"]).layers["copy of a"].scale
    9.0
    """
    check_options(convention, p)
    if counted is not None and set(counted) - set(forests):
        unknown = ", ".join(sorted(set(counted) - set(forests)))
        raise UsageError(f"wanted names of layers in counted, found {unknown}: leave them out")
    chosen, apart = frozenset(forests if counted is None else counted), frozenset(apart)
    names = [name for name in forests if name in chosen and name not in apart]
    finite = {name: forests[name].strongest for name in names if not forests[name].nonfinite}
    common = _common_scale(scale, list(finite.values()))
    layers = {}
    for name, forest in forests.items():
        unit = _own_scale(forest) if common is None or name in apart else common
        layer = _layer(forest, unit, convention, p)
        layers[name] = layer if diagrams else replace(layer, diagram=NO_DIAGRAM)
    total = mean = float("nan")
    if finite:
        total = sum(layers[name].total for name in finite)
        mean = sum(layers[name].normalized for name in finite) / len(finite)
    return NeuralPersistence(
        layers=layers,
        total=total,
        mean_normalized=mean,
        scaling=scale if isinstance(scale, str) else "given",
        scale=common,
        largest=_largest(forests, finite) if scale == "global" else None,
        convention=convention,
        p=float(p),
        reason=None if finite else _no_mean(len(names)),
    )


def _largest(forests: Mapping[str, Graphs], strongest: Mapping[str, float]) -> Place | None:
    """Return the place of the strongest of all weights, the first of several."""
    name = max(strongest, key=lambda name: strongest[name], default=None)
    at = None if name is None else forests[name].strongest_at
    return None if name is None or at is None else Place(name, *at)


def _no_mean(n_counted: int) -> str:
    return f"none of the {n_counted} counted layers is finite" if n_counted else "no layer is counted"


def _common_scale(scale: Scale, strongest: Sequence[float]) -> float | None:
    """Return what all strengths are divided by; None if every layer has its own scale."""
    if scale == "layer":
        return None
    if scale == "global":
        return max(strongest, default=float("nan"))
    check_scale(scale, max(strongest, default=0.0))
    return float(scale)


def _own_scale(forest: Graphs) -> float:
    return float("nan") if forest.nonfinite else forest.strongest


def _layer(forest: Graphs, scale: float, convention: Convention, p: float) -> MatrixPersistence:
    reason = _no_value(forest, scale)
    diagram = forest_diagram(forest, scale) if isinstance(forest, Forest) else NO_DIAGRAM
    total = normalized = float("nan")
    if reason is None:
        total, normalized = (
            diagram.norm(p, convention, n)
            if isinstance(forest, Forest)
            else forest.norm(scale, p, convention, n)
            for n in (1, forest.n_vertices - 1)
        )
    return MatrixPersistence(
        total, normalized, diagram, forest.n_vertices, scale, convention, float(p), reason
    )


def _no_value(forest: Graphs, scale: float) -> str | None:
    """Say why a layer has no value, if it has none."""
    if forest.nonfinite:
        are = "weight is" if forest.nonfinite == 1 else "weights are"
        return f"{forest.nonfinite} {are} NaN or infinite, the first at {forest.first_nonfinite}"
    return "no finite layer sets the scale" if np.isnan(scale) else None
