"""Everything that a probe of a model tells, as one frozen result: what ``onnxtop probe`` shows.

The work is a list of steps, each done whole or not at all; a budget or an interrupt ends the list early, and
what was done stands.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Unpack

import numpy as np

from onnxtop.errors import ModelError, UsageError
from onnxtop.loss.data import Data, left_out, read_data
from onnxtop.loss.descent import Gradient, descend, extreme_eigenvalue
from onnxtop.loss.directions import Profile, Surface, along, filter_normalised, over
from onnxtop.loss.keywords import ProbeKeywords
from onnxtop.loss.options import Pixels, ProbeOptions
from onnxtop.loss.probe import Probe
from onnxtop.loss.scores import ClassScore, Scores
from onnxtop.options import asked
from onnxtop.reader.declared import inputs_of
from onnxtop.reader.loading import load
from onnxtop.reader.model import Model, ModelSource
from onnxtop.results.plain import plain
from onnxtop.results.words import MAIN_SPLIT
from onnxtop.shown import Tabular

Progress = Callable[[str, int, int], None]
"""Called with what is done next, and how many steps are done and to do."""

_GRADIENTS, _LITTLE = 30, 0.01
"""Of the short descent, and the share of the loss that one from a minimum may gain."""


@dataclass(frozen=True)
class LayerGradient:
    """The gradient of one layer's parameters: its length, and as a share of the whole gradient's."""

    name: str
    parameters: int
    gradient_norm: float
    share: float
    weight_norm: float


@dataclass(frozen=True)
class Sharpness:
    """The largest eigenvalue of the Hessian; ``products`` is how many Hessian-vector products it took.

    ``converged`` False means that the value is a lower bound.
    """

    largest_eigenvalue: float
    products: int
    converged: bool


@dataclass(frozen=True)
class ShortDescent:
    """What a short descent (L-BFGS) from the point gains.

    ``loss`` is the loss after it, ``gain`` the loss before minus that, ``gradients`` how many gradients it
    took, ``distance`` how far it went. ``minimum`` says whether the gain is below one percent of the loss.
    """

    loss: float
    gain: float
    gradients: int
    distance: float
    minimum: bool


@dataclass(frozen=True)
class Split:
    """Loss and scores on another split of the data."""

    name: str
    samples: int
    loss: float | None
    accuracy: float | None
    top5: float | None
    rmse: float | None


@dataclass(frozen=True, repr=False)
class LossProbeResult(Tabular):
    """What a probe found; None where it was not asked for, not reached, or not defined.

    ``reason`` says why there is no loss, ``gradient_reason`` why there is no gradient. ``failed`` says of
    every figure that is not what it has to be why it is not, in a sentence. ``stopped`` is "budget" or
    "interrupt" where the work ended early.
    """

    loss: float | None = None
    reason: str | None = None
    loss_name: str = ""
    samples: int = 0
    split: str = ""
    parameters: int = 0
    accuracy: float | None = None
    top5: float | None = None
    rmse: float | None = None
    gradient_norm: float | None = None
    gradient_reason: str = ""
    batchnorm: str = "frozen"
    l2: float = 0.0
    seed: int = 0
    layers: tuple[LayerGradient, ...] = ()
    classes: tuple[ClassScore, ...] = ()
    splits: tuple[Split, ...] = ()
    profiles: tuple[Profile, ...] = ()
    sharpness: Sharpness | None = None
    descent: ShortDescent | None = None
    surface: Surface | None = None
    ties: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    stopped: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: floats with 12 significant digits, None for what is not finite."""
        values: dict[str, Any] = plain(self)
        return values


Change = dict[str, Any]
Step = tuple[str, Callable[[LossProbeResult], Change]]


@np.errstate(all="ignore")  # what is not finite is told as that
def probe(
    model: ModelSource,
    data: Mapping[str, Any] | str | os.PathLike[str],
    options: ProbeOptions | None = None,
    *,
    progress: Progress | None = None,
    **changes: Unpack[ProbeKeywords],
) -> LossProbeResult:
    """Measure the loss of a model on data, and the loss around its weights.

    Parameters
    ----------
    model
        Its path, its bytes, a binary file object, or a ModelProto.
    data
        Arrays as `onnxtop.Probe` takes them, or where they lie.
    options
        What to measure, and how.
    progress
        Called after each step.
    **changes
        Or single options as keywords, see `ProbeOptions`: ``profile=False``, ``split="test"``.

    Returns
    -------
    LossProbeResult
        Loss, scores, gradient by layer, sharpness, profiles.

    Raises
    ------
    onnxtop.UsageError
        The data cannot be read or does not fit the model.
    onnxtop.ModelError
        The model cannot be read or run.
    """
    options = asked(ProbeOptions, options, changes)
    loaded = load(
        model, allow_external=options.allow_external, max_download=options.max_download, limits=options.limits
    )
    whole = read_data(data, options.labels, _fitting(options.image, loaded))
    name, arrays = whole.split(options.split)
    probe = Probe(loaded, arrays, options)
    result = LossProbeResult(
        loss_name=probe.loss_name,
        samples=probe.samples,
        split=name,
        parameters=len(probe.theta0),
        batchnorm=options.batchnorm,
        l2=options.l2,
        seed=options.seed,
        ties=dict(probe.ties),
        notes=(*whole.notes, *probe.notes),
    )
    return _worked(result, list(_steps(loaded, probe, whole, name, options)), options, progress)


def _fitting(image: Pixels, model: Model) -> Pixels:
    """Return how images become numbers: in the size that the model takes, if it takes one."""
    inputs = inputs_of(model)
    shape = inputs[0].shape[1:] if inputs and inputs[0].shape else ()
    known = tuple(size for size in shape if size is not None)
    fits = image.shape is None and known and len(known) == len(shape)
    return replace(image, shape=known) if fits else image


def _worked(
    result: LossProbeResult, steps: list[Step], options: ProbeOptions, progress: Progress | None
) -> LossProbeResult:
    end = math.inf if options.budget is None else time.monotonic() + options.budget
    try:
        for number, (what, step) in enumerate(steps):
            if number and time.monotonic() > end:
                return replace(result, stopped="budget")
            if progress is not None:
                progress(what, number, len(steps))
            result = replace(result, **step(result))
    except KeyboardInterrupt:
        return replace(result, stopped="interrupt")
    return result


def _steps(model: Model, probe: Probe, data: Data, name: str, options: ProbeOptions) -> Iterator[Step]:
    yield "loss", partial(_scored, probe, options)
    for other, arrays in data.splits.items():
        if other != name:
            yield f"split {other or MAIN_SPLIT}", partial(_other, model, other, arrays, options)
    if options.gradient:
        yield "gradient", partial(_gradient, probe, options)
    if options.descent and options.gradient:
        yield "descent", partial(_descended, probe)
    if options.sharpness and options.gradient:
        yield "sharpness", partial(_sharpness, probe, options.seed)
    if options.profile:
        steps = np.linspace(-options.reach, options.reach, options.points).tolist()
        for number in range(options.directions):
            line = f"random {number + 1}"
            yield f"direction {number + 1}", partial(_random, probe, steps, options.seed + number, line)
        if options.gradient:
            yield "along the gradient", partial(_along_gradient, probe, steps)
    if options.surface:
        yield "surface", partial(_surface, probe, options)


def _scored(probe: Probe, options: ProbeOptions, result: LossProbeResult) -> Change:
    loss, reason = _finite_loss(probe)
    scores = {} if loss is None else vars(probe.scores(probe.theta0))
    reasons = {"reason": reason, "gradient_reason": "there is no finite loss"} if loss is None else {}
    failed = tuple(_failed(loss, reason, scores.get("accuracy"), options))
    return {"loss": loss, **scores, **reasons, "failed": failed}


def _finite_loss(probe: Probe) -> tuple[float | None, str]:
    """Return the loss; None if it is not finite, and what makes it so."""
    loss = probe.loss(probe.theta0)
    if math.isfinite(loss):
        return loss, ""
    outputs = probe.outputs(probe.theta0)
    sound = np.isfinite(outputs.astype(np.float64)).reshape(len(outputs), -1)
    count = len(outputs) - int(np.count_nonzero(sound.all(axis=1)))
    shares = f"for {count:,} of {len(outputs):,} rows"
    told = f"the output is not finite {shares}" if count else "outputs are too large"
    return None, f"the loss is {'NaN' if math.isnan(loss) else 'infinite'}: {told}"


def _failed(loss: float | None, reason: str, accuracy: float | None, options: ProbeOptions) -> Iterator[str]:
    """Yield what is not as it has to be."""
    if loss is None:
        yield reason
    elif options.max_loss is not None and loss > options.max_loss:
        yield f"loss {loss:.6g} is above {options.max_loss:g} (--max-loss)"
    if options.min_accuracy is None:
        return
    if accuracy is None:
        yield f"there is no accuracy, wanted at least {options.min_accuracy:g} (--min-accuracy)"
    elif accuracy < options.min_accuracy:
        yield f"accuracy {accuracy:.6g} is below {options.min_accuracy:g} (--min-accuracy)"


def _other(
    model: Model, name: str, arrays: Mapping[str, Any], options: ProbeOptions, result: LossProbeResult
) -> Change:
    """Measure another split; one that does not fit the model is left out, and one that it fails on told."""
    try:
        probe = Probe(model, arrays, options)
        loss, reason = _finite_loss(probe)
        found = Scores() if loss is None else probe.scores(probe.theta0)
    except UsageError as error:
        return {"notes": (*result.notes, left_out(name, error))}
    except ModelError as error:
        return {"failed": (*result.failed, f"split {name or MAIN_SPLIT}: {error}")}
    split = Split(name, probe.samples, loss, found.accuracy, found.top5, found.rmse)
    told = loss is not None or result.loss is None  # that there is no loss is said once
    failed = () if told else (f"split {name or MAIN_SPLIT}: {reason}",)
    return {"splits": (*result.splits, split), "failed": (*result.failed, *failed)}


def _gradient(probe: Probe, options: ProbeOptions, result: LossProbeResult) -> Change:
    if result.loss is None:
        return {}
    try:
        if options.differences and not probe.has_rules:
            gradient = probe.gradient_by_differences(probe.theta0)
        else:
            _, gradient = probe.loss_and_gradient(probe.theta0)
    except ModelError as error:
        return {"gradient_reason": str(error)}
    if not np.isfinite(gradient).all():
        odd = [p.name for p in probe.parameters if not np.isfinite(gradient[p.slice]).all()]
        shares = f"{len(odd)} of {len(probe.parameters)} parameters, the first {odd[0]}"
        return {"gradient_reason": f"it is not finite for {shares}"}
    norm = float(np.linalg.norm(gradient.astype(np.float64)))
    return {"gradient_norm": norm, "layers": tuple(_by_layer(probe, gradient, norm))}


def _by_layer(probe: Probe, gradient: np.ndarray[Any, Any], whole: float) -> Iterator[LayerGradient]:
    groups: dict[str, list[slice]] = {}
    for parameter in probe.parameters:
        groups.setdefault(parameter.layer, []).append(parameter.slice)
    for name, parts in groups.items():
        own = np.concatenate([gradient[part] for part in parts]).astype(np.float64)
        weights = np.concatenate([probe.theta0[part] for part in parts]).astype(np.float64)
        length = float(np.linalg.norm(own))
        share = (length / whole) ** 2 if whole else 0.0
        yield LayerGradient(name, len(own), length, share, float(np.linalg.norm(weights)))


def _descended(probe: Probe, result: LossProbeResult) -> Change:
    if result.gradient_norm is None:
        return {}
    start = probe.theta0.astype(np.float64)
    down = descend(_by_rules_or_not(probe), start, gradients=_GRADIENTS)
    distance = float(np.linalg.norm(down.point - start))
    minimum = down.gain <= _LITTLE * abs(down.before)
    return {"descent": ShortDescent(down.before - down.gain, down.gain, down.gradients, distance, minimum)}


def _sharpness(probe: Probe, seed: int, result: LossProbeResult) -> Change:
    if result.gradient_norm is None:
        return {}
    found = extreme_eigenvalue(_by_rules_or_not(probe), probe.theta0, "largest", seed=seed)
    return {"sharpness": Sharpness(found.value, found.products, found.converged)}


def _by_rules_or_not(probe: Probe) -> Gradient:
    """Return loss and gradient, by rules or by differences, whichever served before."""
    if probe.has_rules:
        return probe.loss_and_gradient
    return lambda theta: (probe.loss(theta), probe.gradient_by_differences(theta))


def _random(probe: Probe, steps: list[float], seed: int, name: str, result: LossProbeResult) -> Change:
    if result.loss is None:
        return {}
    direction = filter_normalised(probe.theta0, probe.parameters, seed)
    return {"profiles": (*result.profiles, along(probe.loss, probe.theta0, direction, steps, name))}


def _along_gradient(probe: Probe, steps: list[float], result: LossProbeResult) -> Change:
    """Go along the gradient as far as along a random direction; positive steps go downhill."""
    if result.gradient_norm is None:
        return {}
    _, gradient = _by_rules_or_not(probe)(probe.theta0)
    length = result.profiles[0].length if result.profiles else float(np.linalg.norm(probe.theta0))
    direction = -gradient * np.float32(length / max(result.gradient_norm, 1e-30))
    return {"profiles": (*result.profiles, along(probe.loss, probe.theta0, direction, steps, "gradient"))}


def _surface(probe: Probe, options: ProbeOptions, result: LossProbeResult) -> Change:
    if result.loss is None:
        return {}
    steps = np.linspace(-1.0, 1.0, options.surface).tolist()
    first, second = (filter_normalised(probe.theta0, probe.parameters, options.seed + n) for n in (0, 1))
    return {"surface": over(probe.loss, probe.theta0, first, second, steps)}
