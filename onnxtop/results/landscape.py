"""What a loss barcode found: plain frozen dataclasses that mirror the JSON key by key.

Every height is the height of a path that was found, so deaths, lengths and scores are upper bounds: write
"<=". Figures that are not defined are None.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from onnxtop.results.plain import plain


@dataclass(frozen=True)
class Minimum:
    """A minimum and its bar.

    Attributes
    ----------
    name
        The model's path, or which seed it was trained from.
    loss
        Its birth.
    accuracy, test_accuracy
        Share of right classes on the data and on its test split; None where there is none.
    gradient_norm, gain, curvature
        Length of the gradient, what a short further descent wins, and the lowest eigenvalue of the Hessian
        (None if it was not asked for).
    reason
        Why the point is no minimum; None if it passes for one.
    death, length
        Of its bar, upper bounds; None for the lowest minimum, whose bar never ends, and where no path is
        known.
    partner
        Name of the minimum at the bottom of what it is lost to.
    """

    name: str
    loss: float
    accuracy: float | None
    test_accuracy: float | None
    gradient_norm: float | None
    gain: float | None
    curvature: float | None
    reason: str | None
    death: float | None
    length: float | None
    partner: str | None


class Top(StrEnum):
    """What the highest point of a path was shown to be.

    A pass: the gradient is short and a direction leads down. Flat: the gradient is short and none does.
    Level: no point is higher than the higher end, so there is nothing to pass. Beside: a pass was found, but
    no path through it is as low. Stuck, budget out: no step led on, or the gradients were spent.
    """

    SADDLE = "pass"
    FLAT = "flat"
    LEVEL = "level"
    BESIDE = "beside"
    STUCK = "stuck"
    BUDGET = "budget out"
    UNREFINED = "not refined"


@dataclass(frozen=True)
class Pass:
    """The best path found between two minima.

    ``height`` is its largest loss and ``straight`` that of the straight line, None if not finite;
    ``positions`` (0 to 1) and ``losses`` are its profile; ``in_tree`` says that it ends a bar.
    ``top`` says what its highest point was shown to be; ``gradient_norm`` is the length of the gradient
    there, ``curvature`` and ``second_curvature`` are the two lowest curvatures of the loss.
    """

    first: str
    second: str
    finder: str
    height: float | None
    straight: float | None
    gradients: int
    evaluations: int
    in_tree: bool
    top: Top
    gradient_norm: float | None
    curvature: float | None
    second_curvature: float | None
    positions: tuple[float, ...]
    losses: tuple[float | None, ...]


@dataclass(frozen=True)
class Score:
    """TO-score in onnxtop's own reading: mean, longest and sum of the finite lengths, upper bounds.

    ``scale_free`` is the mean divided by the distance of the reference loss from the lowest minimum.
    ``direct_mean`` is the mean with each bar ended by its lowest direct path to a lower minimum, as the
    papers' code has it; it is never smaller. None where there are no finite bars.
    """

    mean: float | None
    longest: float | None
    total: float | None
    scale_free: float | None
    direct_mean: float | None
    n_minima: int
    n_bars: int
    bound: str = "upper"
    definition: str = "onnxtop: mean length of the finite bars"


@dataclass(frozen=True)
class LossLandscape:
    """The loss barcode of a network, with everything that it depends on.

    Attributes
    ----------
    score
        TO-score of the network.
    minima
        Lowest first.
    passes
        In the order in which they were looked for.
    loss, reference_loss
        Which loss, and its value for a predictor that knows nothing (uniform, or the constant mean).
    samples, parameters
        How many.
    batchnorm, l2, finder, aligned, pairs, budget, seed
        What was asked for.
    units
        Hidden units that alignment may renumber.
    gradients, evaluations
        Spent on paths.
    complete
        False if it was interrupted or ran out of budget before every minimum had its path.
    notes
        What was assumed or went wrong.
    paths, weights
        Beside ``passes``, the points of each (`onnxtop.LossPath`), and which weights their
        columns are (`onnxtop.loss.parameters.Parameter`). In memory only.
    """

    score: Score
    minima: tuple[Minimum, ...]
    passes: tuple[Pass, ...]
    loss: str
    reference_loss: float | None
    samples: int
    parameters: int
    batchnorm: str
    l2: float
    finder: str
    aligned: bool
    units: int
    pairs: str
    budget: str | None
    seed: int
    gradients: int
    evaluations: int
    complete: bool
    notes: tuple[str, ...] = ()
    paths: tuple[Any, ...] = field(default=(), repr=False, compare=False)
    weights: tuple[Any, ...] = field(default=(), repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; floats have 12 significant digits, None stands for what is not finite."""
        values: dict[str, Any] = plain(self)
        return values
