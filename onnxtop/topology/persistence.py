"""Persistence diagrams of graphs whose vertices are born together and whose edges enter strongest first.

All components are born at 1. An edge that joins two of them ends one, at its own scaled strength. The
component that never ends is the essential class, a bar from 1 to 0.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from onnxtop.shown import Shown
from onnxtop.topology.graph import Floats, Forest, Indices

Convention = Literal["essential", "tree"]
"""Whether the essential point is counted (as the paper's code does) or only the edges of the tree."""


@dataclass(frozen=True, eq=False, repr=False)
class Diagram(Shown):
    """Points of dimension 0, earliest death (strongest edge) first.

    Attributes
    ----------
    points
        Shape (k, 2), birth and death in [0, 1]; k is the number of vertices less one. Each missing edge that
        a spanning tree would need is a point (1, 0).
    generators
        Shape (k, 3), (layer, row, column) of the weight that ended the bar; (-1, -1, -1) for a missing edge.
    essential
        Birth and death of the essential class, which is not among the points.
    """

    points: Floats
    generators: Indices
    essential: tuple[float, float] = (1.0, 0.0)

    def norm(self, p: float = 2.0, convention: Convention = "essential", n: float = 1) -> float:
        """Return the p-norm of the persistences, their sum divided by n before the root is taken.

        p in (0, inf]. No points give 0.0; what is too large for a float (p near 0) is inf.

        Examples
        --------
        >>> diagram = Diagram(np.array([[1.0, 1.0], [1.0, 0.25]]), np.zeros((2, 3), np.intp))
        >>> diagram.norm(), diagram.norm(convention="tree")
        (1.25, 0.75)
        """
        points = np.vstack([self.points, self.essential]) if convention == "essential" else self.points
        persistences = points[:, 0] - points[:, 1]
        longest = float(persistences.max(initial=0.0))
        if longest == 0.0 or p == np.inf:
            return longest
        with np.errstate(over="ignore"):
            return float(longest * (np.sum((persistences / longest) ** p) / n) ** (1 / p))


NO_DIAGRAM = Diagram(np.empty((0, 2)), np.empty((0, 3), np.intp))
"""Of what has none."""


def scaled(strengths: NDArray[np.floating[Any]], scale: float) -> Floats:
    """Return strengths in float64 divided by a scale and cut off at 1; by a scale of 0, any is 1."""
    if scale > 0:
        within: Floats = np.minimum(np.divide(strengths, scale, dtype=np.float64), 1.0)
        return within
    return (strengths > 0).astype(np.float64)


def forest_diagram(forest: Forest, scale: float) -> Diagram:
    """Return the diagram of a forest, strengths divided by a scale and cut off at 1.

    A scale of 0 belongs to a network of zeros: strength 0 stays 0, and anything above is 1. The diagram of a
    forest that is not finite is empty.
    """
    if forest.nonfinite:
        return NO_DIAGRAM
    k = forest.n_vertices - 1
    points = np.column_stack([np.ones(k), np.zeros(k)])
    points[: forest.strengths.size, 1] = scaled(forest.strengths, scale)
    missing = np.full((k - len(forest.generators), 3), -1)
    generators = np.concatenate([forest.generators, missing]) if len(missing) else forest.generators
    return Diagram(points, generators)
