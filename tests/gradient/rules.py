"""One node, differentiated by its rule and by finite differences."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import helper

from onnxtop.gradient.engine import differentiate
from onnxtop.gradient.expansions import EXPANSIONS, expand
from onnxtop.gradient.graph import Array, Graph
from onnxtop.gradient.oracle import relative_error
from onnxtop.gradient.rules import RULES
from onnxtop.loss.prepare.prepared import Prepared
from onnxtop.loss.prepare.sizes import fold
from onnxtop.loss.prepare.upgrade import upgraded
from onnxtop.loss.runtime import Runtime

opened = Runtime().open


def away(*shape: int, seed: int = 0, gap: float = 0.2) -> Array:
    """Return numbers of both signs with distance from 0, where functions have kinks."""
    rng = np.random.default_rng((seed, *shape))
    return np.asarray(rng.uniform(gap, 1.5, shape) * rng.choice([-1, 1], shape), np.float32)


def positive(*shape: int, seed: int = 0) -> Array:
    return np.abs(away(*shape, seed=seed))


def distinct(*shape: int, seed: int = 0) -> Array:
    """Return numbers of which no two are near each other."""
    rng = np.random.default_rng((seed, *shape))
    count = int(np.prod(shape))
    return ((rng.permutation(count) - count / 2) * 0.2 + 0.05).reshape(shape).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """A node: inputs that are floats vary unless ``still`` names their position; None is left out."""

    op: str
    inputs: Sequence[Array | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    still: Sequence[int] = ()
    outputs: int = 1
    used: Sequence[int] = (0,)
    domain: str = ""
    opset: int = 23
    note: str = ""

    def __str__(self) -> str:
        shapes = ",".join("-" if a is None else "x".join(map(str, a.shape)) for a in self.inputs)
        settings = ",".join(f"{k}={v}" for k, v in self.attributes.items())
        return f"{self.op}({shapes}){settings}{self.note}".replace(" ", "")

    @property
    def varying(self) -> dict[str, Array]:
        return {
            f"i{n}": a
            for n, a in enumerate(self.inputs)
            if a is not None and a.dtype.kind == "f" and n not in self.still
        }

    def graph(self) -> Graph:
        graph = Graph(opsets={"": self.opset, "com.microsoft": 1})
        names = ["" if a is None else f"i{n}" for n, a in enumerate(self.inputs)]
        outputs = [f"y{n}" if n in self.used or not self.domain else "" for n in range(self.outputs)]
        graph.nodes.append(
            helper.make_node(self.op, names, outputs, "node", domain=self.domain, **self.attributes)
        )
        for name, array in zip(names, self.inputs, strict=True):
            if name and name not in self.varying:
                graph.constants[name] = array
                graph.declare(name, array.shape, array.dtype)
        if self.domain:
            graph = upgraded(Prepared(graph, (), ())).graph
        return fold(graph, self.varying, Runtime())

    def check(self, seeds: Iterable[int], step: float = 1e-2) -> float:
        """Return the relative error of the rule's gradient, the largest of those along random directions.

        The loss is a sum of the results in random proportions, other ones for each seed, that are fed.
        """
        varying = self.varying
        graph = expand(self.graph(), EXPANSIONS, list(varying))
        names = [f"y{n}" for n in self.used]
        loss = graph.constant(np.float32(0))
        for name in names:
            view = graph.declare(f"view_{name}", graph.shapes[name], np.float32)
            product = graph.tensor(name).cast(np.float32) * view
            loss = loss + product.sum(range(product.rank))
        forward = opened(graph.to_proto(varying, names))
        gradients = [each.name for each in differentiate(graph, loss.name, list(varying), RULES).values()]
        proto = graph.to_proto([*varying, *(f"view_{name}" for name in names)], gradients)
        backward, fed = opened(proto), {value.name for value in proto.graph.input}

        def error(seed: int) -> float:
            rng = np.random.default_rng(seed)
            views = {name: rng.standard_normal(graph.shapes[name]).astype(np.float32) for name in names}
            feeds = {**varying, **{f"view_{name}": view for name, view in views.items()}}
            results = backward.run(gradients, {name: feeds[name] for name in fed})
            gradient = np.concatenate([r.ravel() for r in results]).astype(np.float64)
            point = np.concatenate([a.ravel() for a in varying.values()]).astype(np.float64)

            def function(theta: Array) -> float:
                values = forward.run(names, _cut(theta, varying))
                return sum(
                    float((value.astype(np.float64) * views[name]).sum())
                    for name, value in zip(names, values, strict=True)
                )

            return relative_error(function, point, gradient, seed=seed, step=step)

        return max(map(error, seeds))


def _cut(theta: Array, alike: Mapping[str, Array]) -> dict[str, Array]:
    """Return the parts of a point, in the shapes of other arrays."""
    parts = np.split(theta, np.cumsum([array.size for array in alike.values()])[:-1])
    return {
        name: part.reshape(array.shape).astype(np.float32)
        for (name, array), part in zip(alike.items(), parts, strict=True)
    }
