"""The barcode of any function whose gradient is known: the way from starts over minima and paths to bars."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from threading import Event
from typing import Unpack

import numpy as np

from onnxtop.errors import UsageError
from onnxtop.landscape.chain import Meter
from onnxtop.landscape.keywords import BarcodeKeywords
from onnxtop.landscape.minima import Point
from onnxtop.landscape.options import BarcodeOptions, PathOptions
from onnxtop.landscape.paths import LossPath, find_path
from onnxtop.landscape.polish import polish, rest
from onnxtop.landscape.result import assembled
from onnxtop.landscape.saddle import refine_path
from onnxtop.landscape.search import Found, join
from onnxtop.loss.descent import Floats, Gradient
from onnxtop.loss.options import LossOptions
from onnxtop.options import asked
from onnxtop.results.landscape import LossLandscape


def function_barcode(
    function: Gradient,
    starts: Mapping[str, Floats],
    options: BarcodeOptions | None = None,
    *,
    reference: float | None = None,
    **changes: Unpack[BarcodeKeywords],
) -> LossLandscape:
    """Find the minima below some starts, low paths between them, and the barcode.

    Parameters
    ----------
    function
        The value and its gradient at a point, shape (d,).
    starts
        By name, each of shape (d,). Several may lead to one minimum, whose bars then have length 0.
    options
        How to go about it; the function is called from ``jobs`` threads. What is asked of models, of training
        and of data is of no use here, and a note says so.
    reference
        A value to compare lengths with.
    **changes
        Or single options as keywords, as for `onnxtop.loss_barcode`.

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
    options = asked(BarcodeOptions, options, changes)

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

    def refine(path: LossPath, meter: Meter) -> LossPath:
        return refine_path(value, function, path, int(meter.gradients), meter)

    def distance(i: int, j: int) -> float:
        return float(np.linalg.norm(points[i].theta - points[j].theta))

    found: list[Found] = []
    stop = Event()
    losses = [point.loss for point in points]
    notes = join(losses, distance, search, refine, options, found=found, stop=stop)
    return assembled(
        points,
        found,
        reference,
        replace(options, probe=LossOptions()),
        interrupted=stop.is_set(),
        notes=[*_unused(options), *notes],
        loss="function",
        samples=0,
        parameters=points[0].theta.size,
        aligned=False,
        units=0,
    )


def _unused(options: BarcodeOptions) -> Iterator[str]:
    """Note what was asked for and has no meaning for a function."""
    usual = BarcodeOptions()
    names = [name for name in _OF_MODELS if getattr(options, name) != getattr(usual, name)]
    if names:
        yield f"what was asked of {', '.join(names)} is of no use for a function"


_OF_MODELS = ("minima", "start", "perturbation", "training", "align", "probe", "state")
"""Options that a function has no use for."""
