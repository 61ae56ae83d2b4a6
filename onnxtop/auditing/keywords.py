"""The options of this room as keywords, for type checkers; made by ``tests/keywords.py``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypedDict

from onnxtop.execution.options import RunOptions
from onnxtop.work.options import WorkOptions


class AuditKeywords(TypedDict, total=False):
    """Keywords for `AuditOptions`."""

    convention: Literal["essential", "tree"]
    scale: Literal["global", "layer"] | float
    p: float
    bias: Literal["none", "row"]
    conv: Literal["flattened", "channels", "unrolled", "per-filter"]
    layers: str | None
    input_shapes: Mapping[str, tuple[int, ...]]
    dims: Mapping[str, int]
    allow_external: tuple[str | Path, ...]
    max_download: float
    limits: Mapping[str, float]
    structure: bool
    sortedness: bool
    details: bool
    data: str | Path | None
    minima: int
    topology: bool
    digests: Literal["outline", "whole", "normal"]
    diagrams: bool
    count_fixed: bool
    peepholes: bool
    standardise: bool
    rescale: bool
    skips: Literal["keep", "cut"]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    seed: int
    running: RunOptions
    work: WorkOptions
    execute: bool
    samples: str | Path | None
    draws: int
    memory_limit: float | None
    jobs: int | None
    memory: float | None
    time_limit: float | None
    scheduler: str | None
    cache: str | Path | None
    apart: bool
