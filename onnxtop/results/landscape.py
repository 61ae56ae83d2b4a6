"""What a loss barcode found: plain frozen dataclasses that mirror the JSON key by key.

Every height is the height of a path that was found, so deaths are upper bounds: write "<=". A birth may lie
above the bottom that it stands for, by the gain of a further descent: a length or a score is an upper bound
where that is nothing beside it, an interval otherwise. Figures that are not defined are None.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from onnxtop.results.plain import plain
from onnxtop.shown import Tabular


@dataclass(frozen=True)
class Minimum:
    """A minimum and its bar.

    Attributes
    ----------
    name
        The model's path, or which seed it was trained from.
    loss
        Its birth: the loss where polishing ended.
    given_loss, moved, polishing
        The loss of the point as it came, how far polishing moved it, and the gradients that this took.
    accuracy, test_accuracy
        Share of right classes on the data and on its test split; None where there is none.
    gradient_norm, gain, curvature
        Length of the gradient, what a further descent as long as all before wins, and the lowest eigenvalue
        of the Hessian (None if it was not asked for).
    verdict
        ``verdict`` is "minimum", "unfinished", "saddle" or "falls for ever".
    reason
        Why the point is no minimum; None if it is one.
    death, length
        Of its bar; None for the lowest minimum, whose bar never ends, and where no path is known.
    length_most
        The length from the bottom that a further descent may find, ``length`` plus ``gain``; None where there
        is no bottom.
    bound
        ``bound`` is "upper" where the gain is nothing beside the length, "interval" where the length lies
        between ``length`` and ``length_most``, "none" where the loss falls for ever. None without a length.
    partner
        Name of the minimum at the bottom of what it is lost to.
    """

    name: str
    loss: float
    given_loss: float
    moved: float
    polishing: int
    accuracy: float | None
    test_accuracy: float | None
    gradient_norm: float | None
    gain: float | None
    curvature: float | None
    verdict: str
    reason: str | None
    death: float | None
    length: float | None
    length_most: float | None
    bound: str | None
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
    """TO-score in onnxtop's own reading: mean, longest and sum of the finite lengths.

    ``scale_free`` is the mean divided by the distance of the reference loss from the lowest minimum.
    ``direct_mean`` is the mean with each bar ended by its lowest direct path to a lower minimum, as the
    papers' code has it; it is never smaller. None where there are no finite bars.

    ``bound`` is "upper" where the gains are nothing beside the mean, "interval" where each figure lies
    between itself and the one that ends in ``_most``, with every birth lower by its gain, "none" where a loss
    falls for ever.
    """

    mean: float | None
    longest: float | None
    total: float | None
    scale_free: float | None
    direct_mean: float | None
    n_minima: int
    n_bars: int
    mean_most: float | None = None
    longest_most: float | None = None
    total_most: float | None = None
    scale_free_most: float | None = None
    direct_mean_most: float | None = None
    bound: str = "upper"
    definition: str = "onnxtop: mean length of the finite bars"


@dataclass(frozen=True, repr=False)
class LossLandscape(Tabular):
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
    batchnorm, l2, label_smoothing, polish, finder, aligned, pairs, budget, seed
        What was asked for.
    units
        Hidden units that alignment may renumber.
    gradients, evaluations
        Spent on paths; what polishing took stands with each minimum.
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
    label_smoothing: float
    polish: int
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
