"""The stopping rule in a training loop: fed with weights as they are, between two steps.

>>> import numpy as np
>>> import onnxtop
>>> stopping = onnxtop.NeuralPersistenceStopping(patience=2)
>>> weights = {"first": np.array([[1.0, 0.2], [0.1, 0.8]]), "second": np.array([[0.5], [0.9]])}
>>> [stopping.update(weights) for _ in range(3)]
[False, False, True]
>>> [round(value, 4) for value in stopping.values]
[0.771, 0.771, 0.771]
"""

import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from onnxtop.auditing.options import AuditOptions
from onnxtop.errors import UsageError
from onnxtop.network import Kernel, Matrix
from onnxtop.results.report import DGP, NP, NP_MEAN, Report
from onnxtop.topology.deep_graph_persistence import deep_graph_persistence
from onnxtop.topology.neural_persistence import Scale, neural_persistence
from onnxtop.topology.persistence import Convention
from onnxtop.tracing.stopping import CAVEAT, StoppingOptions, StoppingRule

Layer: TypeAlias = ArrayLike | Sequence[ArrayLike]
"""A matrix (n_in, n_out), a kernel (n_out, n_in, taps), or a list of them that share no neuron: groups."""

Weights: TypeAlias = Mapping[str, Layer] | Sequence[Layer] | str | os.PathLike[str] | Report


_HINT = "onnxtop.integrations reads the weights of the common frameworks"


class NeuralPersistenceStopping:
    """Stops training when neural persistence, or deep graph persistence, no longer rises; needs no data.

    Parameters
    ----------
    patience
        Stop after so many checks in a row without a rise.
    min_delta
        A rise is more than this above the best so far.
    burn_in
        Do not count so many checks at the start.
    measure
        'np': the mean of the layers' normalized neural persistence. 'dgp': the network's normalized deep
        graph persistence.
    scale, convention, p
        As in `onnxtop.neural_persistence`; deep graph persistence has no scale.

    Attributes
    ----------
    rule
        The state of the rule: ``best``, ``best_at``, ``waited``, ``checks``, ``stopped_at``.
    values
        What was measured at each check, nan where a weight was NaN or infinite: that is no rise.
    metrics
        The figures of the last check by the names that `onnxtop.Report.metrics` gives them.

    Raises
    ------
    UsageError
        An option that makes no sense.

    Notes
    -----
    Rieck et al., Neural Persistence, ICLR 2019, section 4. The paper itself says that it does not work for
    convolutions: the first check of a network that has some warns. Figures differ from those of the
    exported file where a report leaves layers out of the mean: copies, and layers that were probably never
    trained.
    """

    def __init__(
        self,
        patience: int = 3,
        min_delta: float = 0.0,
        burn_in: int = 0,
        measure: Literal["np", "dgp"] = "np",
        *,
        scale: Scale = "global",
        convention: Convention = "essential",
        p: float = 2.0,
    ) -> None:
        self.rule = StoppingRule(StoppingOptions(patience, min_delta, burn_in, measure))
        self.values: list[float] = []
        self.metrics: dict[str, float] = {}
        self._options = AuditOptions(scale=scale, convention=convention, p=p, structure=False)
        self._warned = False

    @property
    def stopped(self) -> bool:
        """Whether it has told to stop."""
        return self.rule.stopped

    @property
    def name(self) -> str:
        """The name of the metric that is watched."""
        return NP_MEAN if self.rule.options.measure == "np" else DGP

    def figures(self, *, layers: bool = False) -> dict[str, float]:
        """Return what a logger draws of the last check: the figure watched, if asked for those of layers too.

        Before the first check there are none.
        """
        watched = {self.name: self.values[-1]} if self.values else {}
        return (self.metrics | watched) if layers else watched

    def update(self, weights: Weights) -> bool:
        """Check once more, and return whether to stop.

        Parameters
        ----------
        weights
            The layers, by name or in their order: matrices (n_in, n_out), kernels (n_out, n_in, taps), lists
            of either for the groups of a layer. Arrays of fewer dimensions (biases, scales) or of integers
            (counters) are not weights, and are left out, so that a ``state_dict`` may be given as it is; for
            neural persistence it does not matter that it stores (n_out, n_in). Or the path of an ONNX file,
            or its report.

        Raises
        ------
        UsageError
            There are no weights, or for deep graph persistence: they are no stack of matrices.
        ModelError
            The file cannot be read.
        """
        self.metrics, convolves = self._measured(weights)
        if convolves and not self._warned and self.rule.options.measure == "np":
            self._warned = True
            warnings.warn(CAVEAT, stacklevel=2)
        return self._count(self.metrics.get(self.name, math.nan))

    def resume(self, values: Iterable[float]) -> None:
        """Go on from the ``values`` of a run that was interrupted."""
        options = self.rule.options
        self.rule, self.values, self.metrics = StoppingRule(options), [], {}
        for value in values:
            self._count(value)

    def _count(self, value: float) -> bool:
        self.values.append(value)
        return self.rule.update(value)

    def _measured(self, weights: Weights) -> tuple[dict[str, float], bool]:
        """Return the figures, and whether there are convolutions."""
        if isinstance(weights, str | os.PathLike):
            from onnxtop.auditing.story import audit  # loads what reads ONNX, of which arrays need nothing

            weights = audit(weights, self._options)
        if isinstance(weights, Report):
            return figures_of(weights, self.name), weights.has_convolutions
        layers = _layers(weights)
        matrices = {name: [_matrix(block) for block in blocks] for name, blocks in layers.items()}
        convolves = any(block.ndim > 2 for blocks in layers.values() for block in blocks)
        measure = self._persistence if self.name == NP_MEAN else self._deep
        return measure(matrices), convolves

    def _persistence(self, matrices: Mapping[str, list[Matrix]]) -> dict[str, float]:
        asked = self._options
        network = neural_persistence(matrices, scale=asked.scale, convention=asked.convention, p=asked.p)
        layers = {name: layer.normalized for name, layer in network.layers.items() if layer.reason is None}
        mean = {NP_MEAN: network.mean_normalized} if len(layers) == len(matrices) else {}
        return {f"{NP}/{name}": value for name, value in layers.items()} | mean

    def _deep(self, matrices: Mapping[str, list[Matrix]]) -> dict[str, float]:
        several = next((name for name, blocks in matrices.items() if len(blocks) > 1), None)
        try:
            if several is not None:
                raise UsageError(f"wanted one matrix in layer {several!r}, found {len(matrices[several])}")
            stack = {name: blocks[0] for name, blocks in matrices.items()}
            network = deep_graph_persistence(stack, convention=self._options.convention, p=self._options.p)
        except UsageError as error:
            hint = "a network that is no stack of matrices is measured from its ONNX file"
            raise UsageError(f"{error}; {hint}") from None
        return {} if network.reason else {DGP: network.normalized}


def figures_of(report: Report, name: str) -> dict[str, float]:
    """Return the metrics of a report; without that of this name if a weight is not finite.

    Of a network that diverges layer by layer the mean runs over ever fewer layers: that it rises then says
    nothing.

    Raises
    ------
    UsageError
        The network has no such figure.
    """
    figures = report.metrics()
    if any(layer.nonfinite for layer in report.layers):
        return {key: value for key, value in figures.items() if key != name}
    if name not in figures:
        network = report.network
        part = network.neural_persistence if name == NP_MEAN else network.deep_graph_persistence
        raise UsageError(f"{report.model.path}: wanted a network with {name}, found none: {part.reason}")
    return figures


def _layers(weights: Any) -> dict[str, list[np.ndarray[Any, Any]]]:
    """Return the blocks of everything that is a weight."""
    if not isinstance(weights, Mapping):
        parts = weights if isinstance(weights, Iterable) else ()
        weights = {f"layer {number}": layer for number, layer in enumerate(parts)}
    found = {str(name): _blocks(layer, str(name)) for name, layer in weights.items()}
    layers = {name: blocks for name, blocks in found.items() if all(map(_is_weight, blocks)) and blocks}
    if not layers:
        raise UsageError(
            f"wanted the weights of a network, found no array of two dimensions among {len(found)}: "
            f"pass matrices, a mapping of them by layer, or the path of an ONNX file; {_HINT}"
        )
    return layers


def _blocks(layer: Any, name: str) -> list[np.ndarray[Any, Any]]:
    """Return the arrays of one layer: one, or one a group."""
    groups = isinstance(layer, list | tuple) and bool(layer) and all(np.ndim(block) > 1 for block in layer)
    try:
        return [np.asarray(block) for block in (layer if groups else [layer])]
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"wanted an array in layer {name!r}, found {type(layer).__name__}: {error}; {_HINT}"
        ) from None


def _is_weight(block: np.ndarray[Any, Any]) -> bool:
    floats = block.dtype.kind == "f" or block.dtype.name == "bfloat16"
    return floats and block.ndim > 1 and block.size > 0


def _matrix(block: np.ndarray[Any, Any]) -> Matrix:
    """Return a block as a matrix (n_in, n_out); the taps of a kernel are so many inputs: ``flattened``."""
    if block.ndim == 2:
        return block
    n = block.ndim - 2
    return Kernel(block[None], (1,) * n, (0,) * n, (1,) * n).matrices()[0]
