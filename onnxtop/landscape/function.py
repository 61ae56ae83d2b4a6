"""The barcode of any function whose gradient is known: the way from starts over minima and paths to bars."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from onnxtop.errors import UsageError
from onnxtop.landscape.chain import Meter
from onnxtop.landscape.minima import Point
from onnxtop.landscape.options import BarcodeOptions, PathOptions
from onnxtop.landscape.paths import LossPath, find_path
from onnxtop.landscape.polish import polish, rest
from onnxtop.landscape.result import assembled, barcode_of
from onnxtop.landscape.saddle import refine_path
from onnxtop.landscape.search import connect
from onnxtop.loss.descent import Floats, Gradient
from onnxtop.results.landscape import LossLandscape


def function_barcode(
    function: Gradient,
    starts: Mapping[str, Floats],
    options: BarcodeOptions | None = None,
    *,
    reference: float | None = None,
    **changes: Any,
) -> LossLandscape:
    """Find the minima below some starts, low paths between them, and the barcode.

    Parameters
    ----------
    function
        The value and its gradient at a point, shape (d,).
    starts
        By name, each of shape (d,). Several may lead to one minimum, whose bars then have length 0.
    options
        How to go about it; what it says of models, of training and of data does not matter here.
    reference
        A value to compare lengths with.
    **changes
        Single options instead or on top, as for `onnxtop.loss_barcode`.

    Returns
    -------
    LossLandscape
        As of a model.

    Raises
    ------
    onnxtop.errors.UsageError
        There are fewer than two starts of finite values.

    Examples
    --------
    >>> double_well = lambda x: (float(x[0] ** 4 - x[0] ** 2 + 0.1 * x[0]), 4 * x**3 - 2 * x + 0.1)
    >>> found = function_barcode(double_well, {"left": np.array([-1.0]), "right": np.array([0.5])}, jobs=1)
    >>> [(each.name, each.verdict) for each in found.minima], round(found.score.mean, 5)
    ([('left', 'minimum'), ('right', 'minimum')], 0.18309)
    """
    options = (options or BarcodeOptions()).changed(**changes)

    def value(point: Floats) -> float:
        return function(point)[0]

    points = []
    for name, start in starts.items():
        theta, certificate = polish(
            function, start, tolerance=rest(reference), budget=options.polish, curvature=options.curvature
        )
        points.append(Point(name, theta, value(theta), certificate))
    points = sorted(
        (point for point in points if np.isfinite(point.loss)),
        key=lambda point: (point.loss, point.theta.tobytes()),
    )
    if len(points) < 2:
        raise UsageError(f"wanted two starts or more of finite values, found {len(points)}")

    def search(i: int, j: int, chosen: PathOptions, meter: Meter) -> LossPath:
        return find_path(value, function, points[i].theta, points[j].theta, chosen, meter)

    def distance(i: int, j: int) -> float:
        return float(np.linalg.norm(points[i].theta - points[j].theta))

    losses = [point.loss for point in points]
    plan, each = options.shared(passes=len(points) - 1)
    found, notes = connect(losses, distance, search, plan)
    for number in barcode_of(losses, found, options.pairs).edges.tolist() if each else ():
        path = refine_path(value, function, found[number].path, each, Meter(each))
        found[number] = replace(found[number], path=path)
    return assembled(
        points,
        found,
        reference,
        interrupted=False,
        notes=notes,
        loss="function",
        samples=0,
        parameters=points[0].theta.size,
        batchnorm=options.probe.batchnorm,
        l2=0.0,
        label_smoothing=0.0,
        polish=options.polish,
        finder=options.path.finder,
        aligned=False,
        units=0,
        pairs=options.pairs,
        budget=None if options.budget is None else str(options.budget),
        seed=options.seed,
    )
