"""The options of this room as keywords, for type checkers; made by ``tests/keywords.py``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypedDict

from onnxtop.loss.options import Pixels


class LossKeywords(TypedDict, total=False):
    """Keywords for `LossOptions`."""

    loss: Literal["auto", "cross-entropy", "binary", "mse", "l1", "huber"]
    output: str | None
    batchnorm: Literal["frozen", "batch", "recalibrate"]
    l2: float
    label_smoothing: float
    untie: bool
    ignore_index: int
    batch_size: int | None
    threads: int | None
    execution: Literal["auto", "feeds", "rebuild"]
    allow_external: tuple[str | Path, ...]
    max_download: float
    limits: Mapping[str, float]


class ProbeKeywords(LossKeywords, total=False):
    """Keywords for `ProbeOptions`."""

    labels: str | Path | None
    split: str | None
    gradient: bool
    profile: bool
    sharpness: bool
    descent: bool
    surface: int
    points: int
    directions: int
    reach: float
    seed: int
    budget: float | None
    differences: bool
    max_loss: float | None
    min_accuracy: float | None
    image: Pixels
    shape: tuple[int, ...] | None
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
