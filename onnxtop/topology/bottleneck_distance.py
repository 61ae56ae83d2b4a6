"""How far two diagrams are apart, for diagrams whose points are all born together.

Without differing births a point is one number, its persistence, and the best matching needs no search: the k
longest bars of one diagram go to the k longest of the other, in order, and all shorter ones to the diagonal,
for the best k.
"""

import numpy as np

from onnxtop.errors import UsageError
from onnxtop.topology.persistence import Diagram


def bottleneck_distance(first: Diagram, second: Diagram) -> float:
    """Return the bottleneck distance of two diagrams, their essential points left out; exact.

    The largest move, in the maximum norm, of the matching that keeps it smallest; a point may go to the
    diagonal, half its persistence away. Diagrams may have different numbers of points.

    Raises
    ------
    UsageError
        Not all points are born at one value.

    Notes
    -----
    A matching of cost c must match every bar longer than 2c, and gains nothing by matching two bars that are
    both shorter; among the rest, exchanging partners shows that the longest bars may be taken, in order
    (Edelsbrunner and Harer 2010, section VIII.2, for the distance).

    Examples
    --------
    >>> one = Diagram(np.array([[1.0, 0.5], [1.0, 0.75]]), np.zeros((2, 3), np.intp))
    >>> other = Diagram(np.array([[1.0, 0.375]]), np.zeros((1, 3), np.intp))
    >>> bottleneck_distance(one, other)
    0.125
    """
    births = np.concatenate([first.points[:, 0], second.points[:, 0]])
    if births.size and np.ptp(births) > 0:
        raise UsageError("wanted diagrams born at one value, found several births: no exact shortcut")
    n = max(len(first.points), len(second.points))
    one, other = (_longest(diagram, n + 1) for diagram in (first, second))
    matched = np.concatenate([[0.0], np.maximum.accumulate(np.abs(one - other)[:n])])
    to_diagonal = np.maximum(one, other) / 2
    return float(np.maximum(matched, to_diagonal).min())


def _longest(diagram: Diagram, n: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the persistences, longest first, and zeros (points of the diagonal) up to a number of n."""
    lengths = np.zeros(n)
    lengths[: len(diagram.points)] = -np.sort(diagram.points[:, 1] - diagram.points[:, 0])
    return lengths
