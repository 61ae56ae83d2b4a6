"""From minima and paths to the finished landscape."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from onnxtop.landscape.minima import Certificate
from onnxtop.landscape.search import Found
from onnxtop.results.landscape import LossLandscape, Minimum, Pass, Score
from onnxtop.topology.barcode import Barcode, direct_barcode, merge_tree_barcode, to_score

__all__ = ["assembled"]


def assembled(
    *,
    names: Sequence[str],
    certificates: Sequence[Certificate],
    found: Sequence[Found],
    accuracies: Sequence[float | None],
    test_accuracies: Sequence[float | None],
    reference: float | None,
    direct: bool,
    interrupted: bool,
    settings: Mapping[str, Any],
    notes: Sequence[str],
) -> LossLandscape:
    """Build the result; minima come lowest first, paths by their numbers.

    It is complete if nothing interrupted it and the finder was tried on the path behind every bar, or on none
    of the pairs because only lines were asked for.
    """
    losses = [certificate.loss for certificate in certificates]
    rows = [(item.first, item.second, item.height) for item in found]
    merged, straight = merge_tree_barcode(losses, rows), direct_barcode(losses, rows)
    barcode = straight if direct else merged
    scores, direct_scores = to_score(barcode, reference), to_score(straight)
    gaps = [
        f"a loss is not finite on the path from {names[item.first]} to {names[item.second]}"
        for item in found
        if not math.isfinite(item.height)
    ]
    ends = set(barcode.edges.tolist())
    tried = {(item.first, item.second) for item in found if item.finder == settings["finder"]}
    reached = {number for pair in tried for number in pair}
    return LossLandscape(
        score=Score(
            mean=scores.mean,
            longest=scores.longest,
            total=scores.total,
            scale_free=scores.scale_free,
            direct_mean=direct_scores.mean,
            n_minima=len(names),
            n_bars=scores.n_bars,
        ),
        minima=tuple(
            _minimum(
                number, names, certificates[number], barcode, accuracies[number], test_accuracies[number]
            )
            for number in range(len(names))
        ),
        passes=tuple(_pass(item, names, number in ends) for number, item in enumerate(found)),
        reference_loss=reference,
        gradients=sum(item.gradients for item in found),
        evaluations=sum(item.evaluations for item in found),
        complete=not interrupted and len(reached) == len(names),
        notes=tuple(dict.fromkeys([*notes, *gaps])),
        **settings,
    )


def _minimum(
    number: int,
    names: Sequence[str],
    certificate: Certificate,
    barcode: Barcode,
    accuracy: float | None,
    test_accuracy: float | None,
) -> Minimum:
    bars = barcode.minima.tolist()
    bar = bars.index(number) if number in bars else None
    return Minimum(
        name=names[number],
        loss=certificate.loss,
        accuracy=accuracy,
        test_accuracy=test_accuracy,
        gradient_norm=_finite(certificate.gradient_norm),
        gain=_finite(certificate.gain),
        curvature=None if certificate.curvature is None else _finite(certificate.curvature),
        reason=certificate.reason,
        death=None if bar is None else float(barcode.bars[bar, 1]),
        length=None if bar is None else float(barcode.lengths[bar]),
        partner=None if bar is None else names[int(barcode.partners[bar])],
    )


def _pass(item: Found, names: Sequence[str], in_tree: bool) -> Pass:
    return Pass(
        first=names[item.first],
        second=names[item.second],
        finder=item.finder,
        height=_finite(item.height),
        straight=_finite(item.straight),
        gradients=item.gradients,
        evaluations=item.evaluations,
        in_tree=in_tree,
        positions=tuple(item.positions.tolist()),
        losses=tuple(_finite(loss) for loss in item.losses.tolist()),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
