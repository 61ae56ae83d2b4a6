"""What may be asked of a loss barcode."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from onnxtop.errors import UsageError
from onnxtop.landscape.minima import Training
from onnxtop.landscape.networks import ProbeOptions
from onnxtop.landscape.paths import PathOptions
from onnxtop.landscape.search import Pairs

__all__ = ["BarcodeOptions", "check"]


@dataclass(frozen=True)
class BarcodeOptions:
    """How the minima of a model are found and joined.

    Attributes
    ----------
    minima
        How many more minima are trained, each with a seed of its own.
    start
        ``fresh``: from new random weights; ``perturbed``: from the model's own, moved by ``perturbation``
        times the norm of each tensor.
    training
        How they are trained.
    path
        How one path is looked for.
    align
        Whether hidden units are renumbered first, so that the two ends lie near each other.
    pairs
        ``tree``: the pairs that can shorten a bar; ``all``: every pair; ``direct``: every pair, and bars that
        end at the lowest direct path to a lower minimum, as the papers' code has it.
    probe
        The loss.
    budget
        Of all paths together: gradients (20000) or time (``90s``, ``5min``); training is not counted. Without
        one, the tree gets twice its edges.
    seed
        Of everything random.
    curvature
        Whether to look for the lowest eigenvalue of the Hessian at each minimum.
    jobs
        Paths looked for at a time; None for the number of cores, at most 4. The result does not depend on
        it, but for the rounding of models so large that a run has several threads.
    state
        A file that keeps what is found, for another run to go on from.
    """

    minima: int = 0
    start: Literal["fresh", "perturbed"] = "fresh"
    perturbation: float = 0.5
    training: Training = field(default_factory=Training)
    path: PathOptions = field(default_factory=lambda: PathOptions(gradients=1000))
    align: bool = True
    pairs: Pairs = "tree"
    probe: ProbeOptions = field(default_factory=ProbeOptions)
    budget: str | int | None = None
    seed: int = 0
    curvature: bool = False
    jobs: int | None = None
    state: str | Path | None = None

    def changed(self, **changes: Any) -> "BarcodeOptions":
        """Return other options; those of ``path``, ``probe`` and ``training`` are called by their own names.

        Raises
        ------
        UsageError
            There is no such option.

        Examples
        --------
        >>> BarcodeOptions().changed(minima=6, finder="line", l2=1e-3).path.finder
        'line'
        """
        parts: dict[str, Any] = {"path": self.path, "probe": self.probe, "training": self.training}
        own: dict[str, Any] = {}
        for name, value in changes.items():
            owner = next((part for part, held in parts.items() if hasattr(held, name)), None)
            if owner is not None:
                parts[owner] = replace(parts[owner], **{name: value})
            elif hasattr(self, name) and name != "changed":
                own[name] = value
            else:
                raise UsageError(f"wanted an option of the loss barcode, found {name!r}")
        return replace(self, **{**parts, **own})


def check(models: Sequence[str], options: BarcodeOptions) -> None:
    """Refuse what cannot be done before any work."""
    if options.minima < 0 or options.seed < 0:
        raise UsageError(f"wanted minima >= 0 and a seed >= 0, found {options.minima} and {options.seed}")
    if len(models) + options.minima < 2:
        raise UsageError(
            f"wanted two minima or more, found {len(models)} and none to train: name more files of one "
            "architecture, or train some with --minima N"
        )
    if options.start not in ("fresh", "perturbed") or not options.perturbation > 0:
        raise UsageError("wanted a start that is fresh, or perturbed by more than 0")
    if options.jobs is not None and options.jobs < 1:
        raise UsageError(f"wanted at least one job, found {options.jobs}")
