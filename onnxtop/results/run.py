"""What became of models that were run: of one by itself, and of two on the same inputs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunFailure:
    """Why a run did not end well, in the words of whoever stopped it.

    ``kind`` is "refused" (onnxruntime does not open the model), "failed" (it fails on these inputs), "died"
    (its process was ended by a signal or ended itself), "time" or "memory" (it went beyond a limit), or
    "inputs" (it was not given what it wants: sizes or values were guessed, which says nothing of the model).
    ``number`` is which of the models was worked on.
    """

    kind: str
    reason: str
    number: int = 0


@dataclass(frozen=True)
class RunInput:
    """An input and what it was given; ``assumed`` are the sizes that nothing tells, as ``batch=1``.

    ``guessed`` says that nothing tells which values it wants.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    given: str
    assumed: tuple[str, ...] = ()
    guessed: bool = False


@dataclass(frozen=True)
class RunOutput:
    """An output over all runs.

    ``shape`` is that of the first run. ``nan`` and ``infinite`` count elements of all runs, ``unsound`` the
    runs that have a NaN or a positive infinity. ``constant`` says that all runs (on data: all samples) gave
    the same. ``follows`` names the inputs whose values lead to it by the graph, ``ignores`` those of them
    that did not change it. ``random`` says that the same inputs gave something else; then nothing
    else is judged.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    nan: int = 0
    infinite: int = 0
    unsound: int = 0
    constant: bool = False
    follows: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()
    random: bool = False


@dataclass(frozen=True)
class ModelRun:
    """One model run in a process of its own, ``runs`` times on the given ``source`` of inputs.

    ``chance`` names the nodes that may be why some output is random.
    """

    source: str
    runs: int = 0
    inputs: tuple[RunInput, ...] = ()
    outputs: tuple[RunOutput, ...] = ()
    failure: RunFailure | None = None
    chance: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PairOutput:
    """An output of both models on the same inputs.

    ``largest`` and ``mean`` are of the absolute difference. ``largest_relative`` is the largest against the
    spread of the old output (its standard deviation, or a twentieth of its size if that is more), in the run
    where that is most, ``relative`` the root of the mean square against that of all runs; of whole numbers
    and words both are the share that differs. ``top`` is the share of ``rows`` whose largest entry stands in
    the same place, None where the output does not look like classes.
    ``differs`` says that the difference is more than the limit allows; ``reason`` why, or why there is no
    figure.
    """

    name: str
    old_name: str
    largest: float | None = None
    mean: float | None = None
    largest_relative: float | None = None
    relative: float | None = None
    top: float | None = None
    rows: int = 0
    differs: bool = False
    reason: str | None = None


@dataclass(frozen=True)
class Parting:
    """The first place, in the order of the new graph, whose values differ: a layer or another node."""

    name: str
    old_name: str
    op_type: str
    largest: float | None
    relative: float | None
    compared: int


@dataclass(frozen=True)
class PairRun:
    """Two models run on the same inputs, in a process of their own.

    ``limit`` says in words what outputs may differ by. ``parting`` is None where none was found. The old
    model goes first in all; ``failed_new`` says that it was the new one that failed.
    """

    source: str
    limit: str
    runs: int = 0
    inputs: tuple[RunInput, ...] = ()
    outputs: tuple[PairOutput, ...] = ()
    parting: Parting | None = None
    failure: RunFailure | None = None
    failed_new: bool = False
    notes: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether some output differs by more than it may."""
        return any(output.differs for output in self.outputs)
