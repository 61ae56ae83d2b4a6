"""What the formats for people say about a probe, in plain words and before any markup."""

import math
from collections.abc import Iterator, Sequence

from onnxtop.loss.directions import Profile
from onnxtop.loss.summary import LossProbeResult
from onnxtop.render.text import counted, humanised


def described(result: LossProbeResult) -> Iterator[str]:
    """Yield phrases of what the figures depend on."""
    yield f"{counted(result.samples, 'sample')}{f' of split {result.split}' if result.split else ''}"
    yield f"{humanised(result.parameters)} parameters"
    yield result.loss_name
    if result.batchnorm != "frozen":
        yield f"BatchNorm by {'batch' if result.batchnorm == 'batch' else 'recalibration'}"
    if result.l2:
        yield f"l2 {result.l2:g}"


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
    for split in result.splits:
        scores = [f"loss {number(split.loss)}"]
        scores += [f"accuracy {split.accuracy:.4f}"] if split.accuracy is not None else []
        scores += [f"error {number(split.rmse)}"] if split.rmse is not None else []
        yield f"split {split.name}: {counted(split.samples, 'sample')}, {', '.join(scores)}"
    if result.descent is not None:
        verdict = "a minimum, as far as this tells" if result.descent.minimum else "not a minimum"
        yield (
            f"a short descent gains {number(result.descent.gain)} "
            f"({counted(result.descent.gradients, 'gradient')}): "
            f"{verdict}"
        )
    if result.sharpness is not None:
        sign = "" if result.sharpness.converged else "at least "
        yield f"sharpness (largest Hessian eigenvalue) {sign}{number(result.sharpness.largest_eigenvalue)}"
    if result.gradient_reason and result.loss is not None:
        yield f"no gradient: {result.gradient_reason}"
    if result.ties:
        names = ", ".join(f"{name} ({count} uses)" for name, count in list(result.ties.items())[:3])
        yield f"tied: {names}{', ...' if len(result.ties) > 3 else ''}"
    yield from result.notes


def cut_short(result: LossProbeResult) -> str:
    """Say why a probe ended early."""
    why = "the budget is spent" if result.stopped == "budget" else "interrupted"
    return f"stopped early: {why}; what is above was finished"


def profile_name(profile: Profile) -> str:
    """Name a direction."""
    return "downhill: gradient" if profile.name == "gradient" else profile.name


def span(profiles: Sequence[Profile]) -> tuple[float, float, bool]:
    """Return the least and the greatest loss of profiles, and whether their logarithm is to be drawn."""
    finite = [loss for profile in profiles for loss in profile.losses if math.isfinite(loss)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    return low, high, low > 0 and high > 20 * low
