"""The graphs of a model for one number of samples, and the sessions that run them.

Parameters are fed (one session serves every theta), or the session is built anew for each theta with the
parameters as constants, which lets onnxruntime pack and fuse them: worth it for large convolutions.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnxtop.errors import UsageError
from onnxtop.gradient.batchnorm import MODES, by_batch, fed, measured
from onnxtop.gradient.engine import differentiate
from onnxtop.gradient.expansions import EXPANSIONS, expand
from onnxtop.gradient.graph import Array, Graph, Shape
from onnxtop.gradient.rules import RULES
from onnxtop.loss.heads import LOSS, Head, attach
from onnxtop.loss.trace import Runtime, Session

__all__ = ["EXECUTION", "Compiled", "Runner", "check_options", "flat"]

EXECUTION = ("auto", "feeds", "rebuild")

_WORTH_TRYING = 0.05
"""Seconds that a run must take before building sessions anew can pay."""


@dataclass(eq=False)
class Runner:
    """Runs one graph at any theta; finds out once whether to feed the parameters or to build them in."""

    graph: Graph
    feeds: Sequence[str]
    outputs: Sequence[str]
    runtime: Runtime
    execution: str
    _session: Session | None = None
    _built: tuple[bytes, Session] | None = None

    def __call__(self, parameters: Mapping[str, Array], feeds: Mapping[str, Array]) -> list[Array]:
        """Compute the outputs."""
        if self.execution == "auto":
            return self._try_both(parameters, feeds)
        if self.execution == "rebuild":
            return self._rebuilt(parameters).run(self.outputs, {name: feeds[name] for name in self.feeds})
        return self._fed(parameters, feeds)

    def _fed(self, parameters: Mapping[str, Array], feeds: Mapping[str, Array]) -> list[Array]:
        if self._session is None:
            self._session = self.runtime(self.graph.to_proto([*parameters, *self.feeds], self.outputs))
        return self._session.run(self.outputs, {**parameters, **{name: feeds[name] for name in self.feeds}})

    def _rebuilt(self, parameters: Mapping[str, Array]) -> Session:
        mark = b"".join(array.tobytes() for array in parameters.values())
        if self._built is None or self._built[0] != mark:
            graph = Graph(
                self.graph.nodes,
                {**self.graph.constants, **parameters},
                self.graph.shapes,
                self.graph.dtypes,
                self.graph.opsets,
            )
            self._built = mark, self.runtime(graph.to_proto(self.feeds, self.outputs))
        return self._built[1]

    def _try_both(self, parameters: Mapping[str, Array], feeds: Mapping[str, Array]) -> list[Array]:
        self._fed(parameters, feeds)
        fed, results = _timed(lambda: self._fed(parameters, feeds))
        self.execution = "feeds"
        if fed > _WORTH_TRYING:
            needed = {name: feeds[name] for name in self.feeds}
            built, _ = _timed(lambda: self._rebuilt(parameters).run(self.outputs, needed))
            self.execution = "rebuild" if built < fed else "feeds"
        self._built = None
        return results


def _timed(work: Callable[[], list[Array]]) -> tuple[float, list[Array]]:
    start = time.perf_counter()
    results = work()
    return time.perf_counter() - start, results


@dataclass(eq=False)
class Compiled:
    """A model with its loss for one number of samples.

    Attributes
    ----------
    folded
        The model's graph with every shape known, in the form that ``batchnorm`` asks for.
    head, target
        The loss, and the shape of a chunk's target.
    output
        Name of the model's output.
    parameters
        Names of the values that make up theta.
    inputs
        Names of what is fed beside them.
    measuring, statistics
        What measures the statistics of BatchNormalization, and which of its outputs is fed as which.
    """

    folded: Graph
    head: Head
    target: Shape
    output: str
    parameters: tuple[str, ...]
    inputs: tuple[str, ...]
    runtime: Runtime
    execution: str
    measuring: Runner | None = None
    statistics: Mapping[str, str] = field(default_factory=dict)
    _forward: Runner | None = None
    _gradient: Runner | None = None
    _graph: Graph | None = None

    @classmethod
    def of(
        cls,
        folded: Graph,
        mode: str,
        head: Head,
        target: Shape,
        output: str,
        parameters: tuple[str, ...],
        inputs: tuple[str, ...],
        runtime: Runtime,
        execution: str,
    ) -> "Compiled":
        """Return a compiled model with BatchNormalization in the form asked for (`MODES`)."""
        rest = (head, target, output, parameters)
        if mode == "batch":
            return cls(by_batch(folded), *rest, inputs, runtime, execution)
        if mode == "recalibrate":
            graph, names = measured(folded)
            measuring = Runner(graph, inputs[:-2], list(names.values()), runtime, execution)
            changed, statistics = fed(folded)
            return cls(changed, *rest, (*inputs, *statistics), runtime, execution, measuring, names)
        return cls(folded, *rest, inputs, runtime, execution)

    def measure(self, parameters: Mapping[str, Array], feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the batch's statistics under the names by which they are fed."""
        if self.measuring is None or not self.statistics:
            return {}
        return dict(zip(self.statistics, self.measuring(parameters, feeds), strict=True))

    def forward(self) -> Runner:
        """Return what computes the loss and the model's output."""
        if self._forward is None:
            outputs = [LOSS, self.output]
            self._forward = Runner(self._with_loss(), self.inputs, outputs, self.runtime, self.execution)
        return self._forward

    def gradient(self) -> Runner:
        """Return what computes the loss and its gradient, one output a parameter.

        Raises
        ------
        ModelError
            An operation between a parameter and the loss has no rule.
        """
        if self._gradient is None:
            graph = expand(self._with_loss(), EXPANSIONS, self.parameters)
            found = differentiate(graph, LOSS, self.parameters, RULES)
            outputs = [LOSS, *(found[name].name for name in self.parameters)]
            self._gradient = Runner(graph, self.inputs, outputs, self.runtime, self.execution)
        return self._gradient

    def _with_loss(self) -> Graph:
        if self._graph is None:
            self._graph = self.folded.copy()
            attach(self._graph, self.head, self.target)
        return self._graph


def flat(arrays: Sequence[Array]) -> NDArray[np.float32]:
    """Return arrays of float32 as one vector."""
    return np.concatenate([np.ravel(array) for array in arrays]) if arrays else np.zeros(0, np.float32)


def check_options(
    batchnorm: str, execution: str, l2: float, batch_size: int | None, threads: int | None
) -> None:
    """Raise UsageError for an option that makes no sense."""
    for name, value, known in (("batchnorm", batchnorm, MODES), ("execution", execution, EXECUTION)):
        if value not in known:
            raise UsageError(f"wanted {name} out of {', '.join(known)}, found {value!r}")
    if not 0 <= l2 < float("inf"):
        raise UsageError(f"wanted l2 of 0 or more, found {l2}")
    for name, number in (("batch_size", batch_size), ("threads", threads)):
        if number is not None and number < 1:
            raise UsageError(f"wanted {name} of 1 or more, found {number}")
