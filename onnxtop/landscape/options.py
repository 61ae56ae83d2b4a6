"""What may be asked of a loss barcode: of one path, of training, of all; nothing heavy is imported."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from onnxtop.errors import OptionError, UsageError
from onnxtop.loss.options import LossOptions
from onnxtop.options import Checked, Option, Seed
from onnxtop.work.options import processors

Finder: TypeAlias = Literal["neb", "bezier", "authors", "line"]
Optimiser: TypeAlias = Literal["adam", "sgd-1", "sgd-2", "lbfgs"]
Pairs: TypeAlias = Literal["tree", "all", "direct"]
Start: TypeAlias = Literal["fresh", "perturbed"]

_SECONDS = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class PathOptions(Checked):
    """How a path is looked for.

    What the option of a field says is not said twice.

    Attributes
    ----------
    finder
        ``neb``: nudged elastic band with redistribution, inserted pivots and a climbing top. ``bezier``: the
        quadratic Bezier curve of lowest mean loss. ``authors``: the step of arXiv:2012.15834. ``line``: the
        straight line, without a gradient.
    points
        Of the chain at the start, both ends included.
    most_points
        Pivots are inserted up to this number (``neb``).
    rate
        Learning rate of the authors' step (theirs is 2e-3). The other finders choose their own.
    """

    finder: Annotated[
        Finder,
        Option("How a path is found: elastic band, Bezier curve, the papers' step, straight line."),
    ] = "neb"
    points: int = 11
    most_points: int = 19
    gradients: Annotated[int, Option("At most so many gradients for one path.", least=0)] = 2000
    rate: float = 2e-3

    def __post_init__(self) -> None:
        """Refuse what makes no path."""
        super().__post_init__()
        if self.points < 3 or self.most_points < self.points:
            raise UsageError(f"wanted 3 points or more on a path, found {self.points} to {self.most_points}")


@dataclass(frozen=True)
class Training(Checked):
    """How a minimum is sought.

    Attributes
    ----------
    optimiser
        ``adam`` with a rate that falls like a cosine; ``sgd-1`` and ``sgd-2``, momentum 0.9 and the authors'
        two schedules; ``lbfgs`` on all data at once.
    epochs
        Passes over the data (of L-BFGS: iterations); None for 60, the authors' 2001, 200 or 1000.
    batch
        Rows a step; more than there are means all.
    rate
        The first rate of Adam. The authors' schedules have their own.
    """

    optimiser: Annotated[
        Optimiser,
        Option("How to train; sgd-1 and sgd-2 are the papers' schedules.", needs=("minima",)),
    ] = "adam"
    epochs: Annotated[
        int | None,
        Option(
            "Passes over the data, or iterations of lbfgs: 60, 2001, 200, 1000 if not given.",
            least=1,
            needs=("minima",),
        ),
    ] = None
    batch: int = 64
    rate: float = 5e-3

    def __post_init__(self) -> None:
        """Refuse what is no training."""
        super().__post_init__()
        if self.batch < 1:
            raise OptionError.of("batch", f"wanted at least one row, found {self.batch}")

    @property
    def length(self) -> int:
        """Epochs, or iterations of L-BFGS."""
        usual = {"adam": 60, "sgd-1": 2001, "sgd-2": 200, "lbfgs": 1000}
        return usual[self.optimiser] if self.epochs is None else self.epochs

    def rate_at(self, epoch: float) -> float:
        """Return the learning rate when so many epochs have passed.

        >>> [round(Training("sgd-2", epochs=20).rate_at(epoch), 6) for epoch in (0, 10, 20)]
        [0.05, 0.05, 0.0001]
        """
        if self.optimiser == "sgd-1":
            return 1e-4
        if self.optimiser == "sgd-2":
            fallen = (epoch - 10) / max(self.length - 10, 1)
            return 5e-2 + (1e-4 - 5e-2) * min(max(fallen, 0.0), 1.0)
        return self.rate * 0.5 * (1 + math.cos(math.pi * epoch / self.length))


@dataclass(frozen=True)
class Budget:
    """What all paths together may cost: gradients, or seconds."""

    gradients: float = math.inf
    seconds: float = math.inf

    @classmethod
    def read(cls, text: str | int | None) -> "Budget":
        """Read a number of gradients, or of seconds, minutes or hours.

        >>> Budget.read("20000").gradients, Budget.read("90s").seconds, Budget.read("5min").seconds
        (20000.0, 90.0, 300.0)
        """
        if text is None:
            return cls()
        words = str(text).strip().replace("_", "")
        number = words.rstrip("abcdefghijklmnopqrstuvwxyz")
        unit = words[len(number) :]
        try:
            amount = float(number)
        except ValueError:
            amount = math.nan
        if not 0 <= amount < math.inf or (unit and unit not in _SECONDS):
            raise UsageError(f"wanted a budget like 20000 (gradients), 90s, 5min or 2h, found {str(text)!r}")
        return cls(seconds=amount * _SECONDS[unit]) if unit else cls(gradients=amount)


@dataclass(frozen=True)
class BarcodeOptions(Checked):
    """How the minima of a model are found and joined.

    What the option of a field says is not said twice.

    Attributes
    ----------
    start
        ``fresh``: from new random weights; ``perturbed``: from the model's own, moved by ``perturbation``
        times the norm of each tensor.
    polish
        For each minimum, trained or given; with 0 it stays where it is, and a short look says how far down it
        goes from there.
    pairs
        ``tree``: the pairs that can shorten a bar; ``all``: every pair; ``direct``: every pair, and bars that
        end at the lowest direct path to a lower minimum, as the papers' code has it.
    budget
        Of all paths together: gradients (20000) or time (``90s``, ``5min``); training and polishing are not
        counted. Without one, the tree gets twice its edges. At most a third is set aside to refine passes.
    jobs
        Paths looked for at a time; None for the number of cores, at most 4. The result does not depend on
        it, but for the rounding of models so large that a run has several threads.
    """

    minima: Annotated[int, Option("Train so many more minima, each with a seed of its own.", least=0)] = 0
    start: Annotated[
        Start,
        Option("Train from new random weights, or from the model's own, perturbed.", needs=("minima",)),
    ] = "fresh"
    perturbation: float = 0.5
    training: Training = field(default_factory=Training)
    polish: Annotated[
        int, Option("Descend from each minimum, with at most so many gradients, until it rests.", least=0)
    ] = 5000
    path: PathOptions = field(default_factory=lambda: PathOptions(gradients=4000))
    align: Annotated[
        bool,
        Option("Do not renumber hidden units to lie near each other first.", flag="--no-align"),
    ] = True
    pairs: Annotated[
        Pairs,
        Option(
            "Join the pairs that can shorten a bar, or all; direct: all, and bars as in the papers' code."
        ),
    ] = "tree"
    refine: Annotated[
        int | None,
        Option(
            "At most so many gradients to refine each pass that ends a bar. Default: as many as --gradients.",
            least=0,
        ),
    ] = None
    probe: LossOptions = field(default_factory=lambda: LossOptions(batchnorm="batch"))
    budget: Annotated[
        str | int | None,
        Option(
            "All paths together cost at most so many gradients (20000) or so much time (90s, 5min).",
            metavar="NUMBER|TIME",
        ),
    ] = None
    seed: Seed = 0
    curvature: Annotated[bool, Option("Also find the lowest eigenvalue of the Hessian at each minimum.")] = (
        False
    )
    jobs: Annotated[
        int | None,
        Option("Paths looked for at a time. Default: one a core, at most 4.", short="-j", least=1),
    ] = None
    state: Annotated[
        str | Path | None,
        Option("Keep what is found here, and go on from it if it exists.", metavar="FILE", form="file"),
    ] = None

    def __post_init__(self) -> None:
        """Refuse what cannot be done, before any work."""
        super().__post_init__()
        Budget.read(self.budget)

    @property
    def limit(self) -> Budget:
        """What all paths together may cost."""
        return Budget.read(self.budget)

    @property
    def workers(self) -> int:
        """Paths looked for at a time."""
        return self.jobs or min(processors(), 4)

    def shared(self, passes: int) -> tuple["BarcodeOptions", int]:
        """Return the options of the search, and how many gradients may refine each of so many passes.

        >>> plan, each = BarcodeOptions(budget=3000).shared(passes=4)
        >>> plan.budget, each
        (2000, 250)
        """
        each = 0 if self.path.finder == "line" else self.path.gradients
        each = each if self.refine is None else self.refine
        limit = self.limit
        if limit == Budget() or not each * passes:
            return self, each
        if limit.seconds < math.inf:
            return replace(self, budget=f"{limit.seconds * 2 / 3}s"), each
        aside = min(each * passes, int(limit.gradients) // 3)
        return replace(self, budget=int(limit.gradients) - aside), aside // passes
