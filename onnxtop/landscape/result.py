"""From minima and paths to the finished landscape."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from onnxtop.landscape.minima import Point
from onnxtop.landscape.options import BarcodeOptions
from onnxtop.landscape.polish import NEGLIGIBLE, judged, rest
from onnxtop.landscape.search import Found, barcode_of
from onnxtop.results.landscape import LossLandscape, Minimum, Pass, Score, Top
from onnxtop.topology.barcode import Barcode, to_score


def assembled(
    points: Sequence[Point],
    found: Sequence[Found],
    reference: float | None,
    options: BarcodeOptions,
    *,
    interrupted: bool,
    notes: Sequence[str],
    **about: Any,
) -> LossLandscape:
    """Build the result; minima come lowest first, paths by their numbers; ``about`` is what no option says.

    It is complete if nothing interrupted it and the finder was tried on the path behind every bar, or on none
    of the pairs because only lines were asked for.
    """
    names = [point.name for point in points]
    losses = [point.loss for point in points]
    barcode, direct = barcode_of(losses, found, options.pairs), barcode_of(losses, found, "direct")
    gaps = [
        f"a loss is not finite on the path from {names[item.first]} to {names[item.second]}"
        for item in found
        if not math.isfinite(item.path.height)
    ]
    ends = set(barcode.edges.tolist())
    reached = {
        number for item in found if item.finder == options.path.finder for number in (item.first, item.second)
    }
    return LossLandscape(
        score=_score(points, barcode, direct, reference),
        minima=tuple(_minimum(number, points, barcode, reference) for number in range(len(points))),
        passes=tuple(_pass(item, names, number in ends) for number, item in enumerate(found)),
        paths=tuple(item.path for item in found),
        reference_loss=reference,
        gradients=sum(item.path.gradients for item in found),
        evaluations=sum(item.path.evaluations for item in found),
        complete=not interrupted and len(reached) == len(names),
        notes=tuple(dict.fromkeys([*notes, *gaps])),
        batchnorm=options.probe.batchnorm,
        l2=options.probe.l2,
        label_smoothing=options.probe.label_smoothing,
        polish=options.polish,
        finder=options.path.finder,
        pairs=options.pairs,
        budget=None if options.budget is None else str(options.budget),
        seed=options.seed,
        **about,
    )


def _score(points: Sequence[Point], barcode: Barcode, direct: Barcode, reference: float | None) -> Score:
    """Return the score, and what it is with every birth lower by its gain."""
    score, most = to_score(barcode, reference), to_score(_lowered(barcode, points), reference)
    bound = "interval"
    if any(point.certificate.verdict == "falls for ever" for point in points):
        bound = "none"
    elif score.mean is None or most.mean is None or most.mean - score.mean <= NEGLIGIBLE * score.mean:
        bound = "upper"
    return Score(
        **vars(score),
        direct_mean=to_score(direct).mean,
        mean_most=most.mean,
        longest_most=most.longest,
        total_most=most.total,
        scale_free_most=most.scale_free,
        direct_mean_most=to_score(_lowered(direct, points)).mean,
        bound=bound,
    )


def _lowered(barcode: Barcode, points: Sequence[Point]) -> Barcode:
    """Return the barcode with finite bars that begin where a further descent may end."""
    gains = [points[number].certificate.gain for number in barcode.minima.tolist()]
    bars = barcode.bars - np.array([[gain, 0.0] for gain in gains]).reshape(-1, 2)
    return replace(barcode, bars=bars)


def _minimum(number: int, points: Sequence[Point], barcode: Barcode, reference: float | None) -> Minimum:
    point, bars = points[number], barcode.minima.tolist()
    certificate = point.certificate
    bar = bars.index(number) if number in bars else None
    length = None if bar is None else float(barcode.lengths[bar])
    verdict, reason = judged(certificate, max(rest(reference), NEGLIGIBLE * _shortest(barcode, reference)))
    endless = verdict == "falls for ever"
    bound = None
    if length is not None:
        small = certificate.gain <= NEGLIGIBLE * length
        bound = "none" if endless else "upper" if small else "interval"
    return Minimum(
        name=point.name,
        loss=point.loss,
        given_loss=certificate.given,
        moved=certificate.moved,
        polishing=certificate.gradients,
        accuracy=point.accuracy,
        test_accuracy=point.test_accuracy,
        gradient_norm=_finite(certificate.gradient_norm),
        gain=_finite(certificate.gain),
        curvature=_finite(certificate.curvature),
        verdict=verdict,
        reason=reason,
        death=None if bar is None else float(barcode.bars[bar, 1]),
        length=length,
        length_most=None if length is None or endless else length + certificate.gain,
        bound=bound,
        partner=None if bar is None else points[int(barcode.partners[bar])].name,
    )


def _shortest(barcode: Barcode, reference: float | None) -> float:
    """Return the length of the shortest bar that is one, 0 if there is none."""
    lengths = barcode.longer_than(rest(reference)).lengths
    return float(lengths.min()) if lengths.size else 0.0


def _pass(item: Found, names: Sequence[str], in_tree: bool) -> Pass:
    path, saddle = item.path, item.path.saddle
    return Pass(
        first=names[item.first],
        second=names[item.second],
        finder=item.finder,
        height=_finite(path.height),
        straight=_finite(path.straight),
        gradients=path.gradients,
        evaluations=path.evaluations,
        in_tree=in_tree,
        top=Top.UNREFINED if saddle is None else saddle.outcome,
        gradient_norm=None if saddle is None else saddle.gradient_norm,
        curvature=None if saddle is None else saddle.curvature,
        second_curvature=None if saddle is None else saddle.second,
        positions=tuple(path.positions.tolist()),
        losses=tuple(_finite(loss) for loss in path.losses.tolist()),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
