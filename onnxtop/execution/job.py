"""What a process that runs models is told, and what it answers: plain values, written as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxtop.results.run import PairOutput, Parting, RunFailure, RunOutput


@dataclass(frozen=True)
class Given:
    """An input and what it is to be given.

    ``names`` are what the models call it (None where a model has no such input), ``types`` its element types
    there. ``shape`` is as declared; ``tries`` are shapes without open sizes, the likeliest first. Integers
    are drawn below ``bound``, floats within the ``span`` that codes can hold.
    """

    names: tuple[str | None, ...]
    types: tuple[str, ...]
    shape: tuple[int | None, ...] | None
    tries: tuple[tuple[int, ...], ...]
    bound: int | None = None
    span: tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        """What the first model that has it calls it."""
        return next(name for name in self.names if name is not None)


@dataclass(frozen=True)
class Places:
    """Values of two models that should be the same, by name: those of a layer and of what follows it."""

    name: str
    old_name: str
    op_type: str
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """What to do: one model, or two of which ``outputs`` are pairs of names.

    ``embed`` says that the weights are handed over, since they stand outside the model's folder. Outputs of
    two models differ if more than ``limit`` of the spread: the largest difference of rounding, else the root
    of the mean square. ``memory`` is in bytes.
    """

    models: tuple[str, ...]
    inputs: tuple[Given, ...]
    draws: int
    seed: int
    memory: int
    data: str | None = None
    embed: bool = False
    allow_external: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    outputs: tuple[tuple[str, ...], ...] = ()
    limit: float = 0.0
    rounding: bool = True
    places: tuple[Places, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What came of it; ``chosen`` is the number of the shapes that served."""

    runs: int = 0
    chosen: int = 0
    outputs: tuple[RunOutput, ...] = ()
    pairs: tuple[PairOutput, ...] = ()
    parting: Parting | None = None
    failure: RunFailure | None = None
    notes: tuple[str, ...] = ()
    misuse: str | None = None
