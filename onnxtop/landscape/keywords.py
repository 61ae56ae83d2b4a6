"""The options of this room as keywords, for type checkers; made by ``tests/keywords.py``."""

from pathlib import Path
from typing import Literal

from onnxtop.landscape.options import PathOptions, Training
from onnxtop.loss.keywords import LossKeywords
from onnxtop.loss.options import LossOptions


class BarcodeKeywords(LossKeywords, total=False):
    """Keywords for `BarcodeOptions`."""

    minima: int
    start: Literal["fresh", "perturbed"]
    perturbation: float
    training: Training
    polish: int
    path: PathOptions
    align: bool
    pairs: Literal["tree", "all", "direct"]
    refine: int | None
    probe: LossOptions
    budget: str | int | None
    seed: int
    curvature: bool
    jobs: int | None
    state: str | Path | None
    optimiser: Literal["adam", "sgd-1", "sgd-2", "lbfgs"]
    epochs: int | None
    batch: int
    finder: Literal["neb", "bezier", "authors", "line"]
    points: int
    most_points: int
    gradients: int
