"""The graphs of a model for one number of samples, and the sessions that run them.

Parameters are fed (one session serves every theta), or the session is built anew for each theta with the
parameters as constants, which lets onnxruntime pack and fuse them: worth it for large convolutions.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from onnxtop.gradient.batchnorm import by_batch, fed, statistics
from onnxtop.gradient.engine import differentiate
from onnxtop.gradient.expansions import EXPANSIONS, expand
from onnxtop.gradient.graph import Array, Graph, Shape
from onnxtop.gradient.rules import RULES
from onnxtop.loss.heads import LOSS, TARGET, WEIGHT, LossHead, attach
from onnxtop.loss.runtime import Runtime, Session

_WORTH_TRYING = 0.05
"""Seconds that a run must take before building sessions anew can pay."""


@dataclass(eq=False)
class Runner:
    """Runs one graph at any theta; finds out once whether to feed the parameters or to build them in."""

    graph: Graph
    inputs: Sequence[str]
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
            return self._rebuilt(parameters).run(self.outputs, feeds)
        return self._fed(parameters, feeds)

    def _fed(self, parameters: Mapping[str, Array], feeds: Mapping[str, Array]) -> list[Array]:
        if self._session is None:
            self._session = self.runtime.open(self.graph.to_proto([*parameters, *self.inputs], self.outputs))
        return self._session.run(self.outputs, {**parameters, **feeds})

    def _rebuilt(self, parameters: Mapping[str, Array]) -> Session:
        mark = b"".join(array.tobytes() for array in parameters.values())
        if self._built is None or self._built[0] != mark:
            graph = replace(self.graph, constants={**self.graph.constants, **parameters})
            self._built = mark, self.runtime.open(graph.to_proto(self.inputs, self.outputs))
        return self._built[1]

    def _try_both(self, parameters: Mapping[str, Array], feeds: Mapping[str, Array]) -> list[Array]:
        self._fed(parameters, feeds)
        fed, results = _timed(lambda: self._fed(parameters, feeds))
        self.execution = "feeds"
        if fed > _WORTH_TRYING:
            built, _ = _timed(lambda: self._rebuilt(parameters).run(self.outputs, feeds))
            self.execution = "rebuild" if built < fed else "feeds"
        self._built = None
        return results


def _timed(work: Callable[[], list[Array]]) -> tuple[float, list[Array]]:
    start = time.perf_counter()
    results = work()
    return time.perf_counter() - start, results


@dataclass(frozen=True, eq=False)
class Compiled:
    """A model with its loss for one number of samples.

    Attributes
    ----------
    graph
        The model with every shape known.
    head, target
        The loss, and the shape of a chunk's target.
    output
        Name of the model's output.
    parameters, inputs
        Names of the values that make up theta, and of the model's inputs.
    batchnorm, execution
        As in `LossOptions`.
    """

    graph: Graph
    head: LossHead
    target: Shape
    output: str
    parameters: tuple[str, ...]
    inputs: tuple[str, ...]
    runtime: Runtime
    batchnorm: str
    execution: str

    def measure(self, parameters: Mapping[str, Array], feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the batch's statistics under the names by which they are fed, if they are to be fed."""
        runner, names = self._measuring
        return dict(zip(names, runner(parameters, feeds), strict=True)) if names else {}

    @cached_property
    def forward(self) -> Runner:
        """What computes the loss and the model's output."""
        return self._runner(self._whole, [LOSS, self.output])

    @cached_property
    def gradient(self) -> Runner:
        """What computes the loss and its gradient, one output a parameter.

        Raises
        ------
        ModelError
            An operation between a parameter and the loss has no rule.
        """
        graph = expand(self._whole, EXPANSIONS, self.parameters)
        found = differentiate(graph, LOSS, self.parameters, RULES)
        return self._runner(graph, [LOSS, *(found[name].name for name in self.parameters)])

    @cached_property
    def _measuring(self) -> tuple[Runner, tuple[str, ...]]:
        names = tuple(statistics(self.graph)) if self.batchnorm == "recalibrate" else ()
        graph = by_batch(self.graph) if names else self.graph
        return Runner(graph, self.inputs, names, self.runtime, self.execution), names

    @cached_property
    def _whole(self) -> Graph:
        """The model with its loss, and BatchNormalization in the form that is asked for."""
        forms: dict[str, Callable[[Graph], Graph]] = {"batch": by_batch, "recalibrate": fed}
        graph = forms.get(self.batchnorm, Graph.copy)(self.graph)
        attach(graph, self.head, self.target)
        return graph

    def _runner(self, graph: Graph, outputs: Sequence[str]) -> Runner:
        inputs = (*self.inputs, TARGET, WEIGHT, *self._measuring[1])
        return Runner(graph, inputs, outputs, self.runtime, self.execution)


def flat(arrays: Sequence[Array]) -> NDArray[np.float32]:
    """Return arrays of float32 as one vector."""
    return np.concatenate([np.ravel(array) for array in arrays]) if arrays else np.zeros(0, np.float32)
