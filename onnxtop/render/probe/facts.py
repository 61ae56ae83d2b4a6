"""What the formats for people say about a probe, in plain words and before any markup."""

import math
from collections.abc import Iterable, Iterator, Sequence

from onnxtop.loss.directions import Profile
from onnxtop.loss.summary import LossProbeResult, ShortDescent
from onnxtop.render.probe import Probed
from onnxtop.render.text import humanised
from onnxtop.results.headline import Headline, Tone
from onnxtop.results.outcome import FailedModel
from onnxtop.results.words import MAIN_SPLIT, counted, of_each, samples_of


def verdict(found: Probed | FailedModel) -> Headline:
    """Say in few words how good a model is on the data."""
    if isinstance(found, FailedModel):
        return Headline(Tone.BAD, f"not probed: {found.message}")
    result = found.result
    words = "; ".join([*(["failed"] if result.failed else []), ", ".join(figures(result))])
    if result.failed:
        return Headline(Tone.BAD, words)
    return Headline(Tone.DOUBT if result.stopped or result.loss is None else Tone.GOOD, words)


def verdict_of_all(results: Sequence[Probed | FailedModel]) -> Headline:
    """Say how good one model is, or how many of many were probed and failed."""
    if len(results) == 1:
        return verdict(results[0])
    missed = sum(isinstance(each, FailedModel) for each in results)
    failed = sum(bool(each.result.failed) for each in results if isinstance(each, Probed))
    told = ((failed, "failed"), (missed, "not probed"), (len(results) - missed - failed, "probed"))
    return Headline(
        Tone.BAD if failed or missed else Tone.GOOD, f"{counted(len(results), 'model')}: {of_each(told)}"
    )


def described(result: LossProbeResult) -> Iterator[str]:
    """Yield phrases of what the figures depend on."""
    yield samples(result)
    yield f"{humanised(result.parameters)} parameters"
    yield result.loss_name
    if result.batchnorm != "frozen":
        yield f"BatchNorm by {'batch' if result.batchnorm == 'batch' else 'recalibration'}"
    if result.l2:
        yield f"l2 {result.l2:g}"


def samples(result: LossProbeResult) -> str:
    """Say on how many samples the figures of the whole are, and of which split."""
    return samples_of(result.samples, result.split, alone=not result.splits)


def figures(result: LossProbeResult) -> Iterator[str]:
    """Yield the figures of the whole, each with its name."""
    yield f"loss {number(result.loss)}"
    for name, value in (("accuracy", result.accuracy), ("top-5", result.top5)):
        if value is not None:
            yield f"{name} {value:.4f}"
    if result.rmse is not None:
        yield f"root mean squared error {number(result.rmse)}"
    if result.gradient_norm is not None:
        yield f"gradient norm {number(result.gradient_norm)}"


def number(value: float | None) -> str:
    """Write a loss, a gradient, a curvature."""
    if value is None or not math.isfinite(value):
        return "not finite"
    return f"{value:.4f}" if 0.01 <= abs(value) < 1e5 or value == 0 else f"{value:.3g}"


def sentences(result: LossProbeResult) -> Iterator[str]:
    """Yield what else is to be said: other splits, a descent, sharpness, ties, notes."""
    yield from splits(result)
    if result.descent is not None:
        gain, spent = number(result.descent.gain), counted(result.descent.gradients, "gradient")
        yield f"a short descent gains {gain} ({spent}): {at_rest(result.descent)}"
    if result.sharpness is not None:
        sign = "" if result.sharpness.converged else "at least "
        yield f"sharpness (largest Hessian eigenvalue) {sign}{number(result.sharpness.largest_eigenvalue)}"
    yield from remarks(result)


def at_rest(descent: ShortDescent) -> str:
    """Say whether a descent gained so little that it began at a minimum."""
    return "a minimum, as far as this tells" if descent.minimum else "not a minimum"


def splits(result: LossProbeResult) -> Iterator[str]:
    """Yield a sentence for each other split."""
    for split in result.splits:
        scores = [f"loss {number(split.loss)}"]
        scores += [f"accuracy {split.accuracy:.4f}"] if split.accuracy is not None else []
        scores += [f"error {number(split.rmse)}"] if split.rmse is not None else []
        yield f"split {split.name or MAIN_SPLIT}: {counted(split.samples, 'sample')}, {', '.join(scores)}"


def remarks(result: LossProbeResult) -> Iterator[str]:
    """Yield what is no figure: why there is no gradient, ties, notes."""
    if result.gradient_reason and result.loss is not None:
        yield f"no gradient: {result.gradient_reason}"
    if result.ties:
        names = ", ".join(f"{name} ({count} uses)" for name, count in list(result.ties.items())[:3])
        yield f"tied: {names}{', ...' if len(result.ties) > 3 else ''}"
    yield from result.notes


def cut_short(result: LossProbeResult) -> str:
    """Say that a probe ended early, and why."""
    return f"stopped early: {why_early(result)}; what is above was finished"


def why_early(result: LossProbeResult) -> str:
    """Say why a probe ended early."""
    return "the budget is spent" if result.stopped == "budget" else "interrupted"


def profile_name(profile: Profile) -> str:
    """Name a direction."""
    return "downhill: gradient" if profile.name == "gradient" else profile.name


def span(losses: Iterable[Sequence[float]]) -> tuple[float, float, bool]:
    """Return the least and the greatest loss of several rows, and whether to draw their logarithm."""
    finite = [loss for row in losses for loss in row if math.isfinite(loss)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    return low, high, low > 0 and high > 20 * low
