"""What a series of checkpoints tells of a training run: frozen dataclasses that mirror the JSON key by key.

A figure that is not defined, or was not asked for, is None.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from onnxtop.results.envelope import failure
from onnxtop.results.outcome import FailedModel
from onnxtop.results.plain import plain
from onnxtop.results.report import DGP, NP, NP_MEAN, Settings, ToolInfo, Z
from onnxtop.shown import Tabular


class Course(StrEnum):
    """How training went, up to the last checkpoint."""

    UNTRAINED = "still untrained"
    LEARNING = "learning"
    SETTLED = "settled"
    DIVERGED = "diverged"
    UNMOVED = "nothing moved"
    UNKNOWN = "too short to tell"


@dataclass(frozen=True)
class LayerStep:
    """One layer at one checkpoint, and how it got there from the checkpoint before.

    ``neural_persistence`` is normalized, ``z`` its distance from the null model. ``largest`` is the largest
    |w|, None if one of ``nonfinite`` weights is NaN or infinite. ``untouched`` says that nothing in the
    weights shows training, None where that cannot be judged. ``digest`` is equal where the weights are equal.
    ``relative`` is the norm of the change against that of the weights before, ``cosine`` that of the angle
    between them, ``bottleneck`` the distance of the two diagrams.
    """

    name: str
    op_type: str
    shape: tuple[int, ...]
    neural_persistence: float | None
    z: float | None
    largest: float | None
    nonfinite: int
    untouched: bool | None
    digest: str
    relative: float | None = None
    cosine: float | None = None
    bottleneck: float | None = None


@dataclass(frozen=True)
class OnData:
    """Loss and accuracy on one ``split`` of the data."""

    split: str
    samples: int
    loss: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Checkpoint:
    """The network at one moment of its training.

    ``name`` is the file's as far as it tells, ``step`` the number in it if that was asked for.
    ``neural_persistence`` is the mean over the layers with the chosen scale, ``scale_global`` and
    ``scale_layer`` the same divided by the largest |w| of the network, which is ``scale``, and by that of
    each layer. ``untrained`` is the share that still looks untrained of the ``judged`` layers;
    ``looks_untrained`` is what the rule of this name says of the whole. ``moved`` is the mean relative change
    of the layers since the checkpoint before, ``convolutions`` counts layers of this kind, ``operations``
    those that outputs depend on. ``waited`` are the checks in a row without a rise, ``stop`` says that the
    stopping rule has fired here or before.
    """

    path: str
    name: str
    step: float | None
    sha256: str
    neural_persistence: float | None
    scale_global: float | None
    scale_layer: float | None
    scale: float | None
    deep_graph_persistence: float | None
    untrained: float | None
    judged: int
    looks_untrained: bool | None
    moved: float | None
    convolutions: int
    operations: Mapping[str, int]
    layers: tuple[LayerStep, ...]
    data: tuple[OnData, ...] = ()
    waited: int = 0
    stop: bool = False

    @property
    def judged_on(self) -> OnData | None:
        """The split that says how good the network is: one that was held out, else the main one."""
        return next((each for each in self.data[1:]), self.data[0] if self.data else None)

    def metrics(self) -> dict[str, float | None]:
        """Return the figures by the names that they have in a logger; a layer called mean gives way."""
        scores = self.judged_on
        whole = {
            NP_MEAN: self.neural_persistence,
            "scale_global": self.scale_global,
            "scale_layer": self.scale_layer,
            DGP: self.deep_graph_persistence,
            "largest": self.scale,
            "untrained": self.untrained,
            "moved": self.moved,
            "loss": scores.loss if scores else None,
            "accuracy": scores.accuracy if scores else None,
        }
        return {
            **whole,
            **{f"{NP}/{layer.name}": layer.neural_persistence for layer in self.layers},
            **{f"{Z}/{layer.name}": layer.z for layer in self.layers},
            **{f"moved/{layer.name}": layer.relative for layer in self.layers},
            **{f"bottleneck/{layer.name}": layer.bottleneck for layer in self.layers},
            **whole,
        }


Step: TypeAlias = Checkpoint | FailedModel


@dataclass(frozen=True)
class Event:
    """Something that happened to a layer, or to all of them, in a sentence.

    ``kind`` is "frozen", "reset", "zeroed", "restored", "replaced", "not finite" or "exploded". ``layer`` is
    None for the whole network; ``checkpoint`` is the name of the first that shows it, None if all do.
    """

    kind: str
    layer: str | None
    checkpoint: str | None
    what: str


@dataclass(frozen=True)
class TraceVerdict:
    """How training went: in a word, in a sentence, and what happened on the way.

    ``since`` is the name of the checkpoint from which on it is so, where that is part of it.
    """

    course: Course
    since: str | None
    sentence: str
    events: tuple[Event, ...] = ()


@dataclass(frozen=True)
class Cost:
    """What stopping early costs in accuracy, by the scores of ``source``.

    ``stopped`` is the accuracy where the rule fired, ``last`` that of the last checkpoint,
    ``validation_stopped`` that where the same rule on a falling loss would have fired, at the checkpoint
    ``validation``; that is None, and the accuracy is the last, if it never did, or None if no loss is known.
    """

    source: str
    stopped: float | None
    last: float | None
    validation: str | None
    validation_stopped: float | None


@dataclass(frozen=True)
class Stopping:
    """Where training would have stopped by the rule of Rieck et al.

    ``measure`` is what was watched, "np" or "dgp"; ``patience``, ``min_delta`` and ``burn_in`` are the
    rule's. ``checks`` counts checkpoints that were looked at, ``best`` names the one with the last rise and
    ``value`` is its figure. ``stopped`` names the one where the rule fired, None if it did not; ``saved``
    counts those after it. ``caveat`` says where the rule is known not to work.
    """

    measure: str
    patience: int
    min_delta: float
    burn_in: int
    checks: int
    best: str | None
    value: float | None
    stopped: str | None
    saved: int
    caveat: str | None = None
    cost: Cost | None = None


@dataclass(frozen=True, repr=False)
class Trace(Tabular):
    """A training run, checkpoint by checkpoint; in the place of one that cannot be read stands its failure.

    ``complete`` is False if an interrupt kept checkpoints from being measured.
    """

    tool: ToolInfo
    settings: Settings
    verdict: TraceVerdict
    stopping: Stopping
    checkpoints: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    complete: bool = True

    @property
    def measured(self) -> tuple[Checkpoint, ...]:
        """The checkpoints that could be read."""
        return tuple(each for each in self.checkpoints if isinstance(each, Checkpoint))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; floats have 12 significant digits, None stands for what is not finite."""
        values: dict[str, Any] = plain(self)
        values["checkpoints"] = [
            failure(each) if isinstance(each, FailedModel) else plain(each) for each in self.checkpoints
        ]
        return values

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row a checkpoint: what it is, then its figures by the names that they have in a logger."""
        for each in self.checkpoints:
            if isinstance(each, FailedModel):
                yield {"path": each.path, "error": each.message}
            else:
                told = {"checkpoint": each.name, "step": each.step, "path": each.path, "error": None}
                yield {**told, **plain(each.metrics()), "waited": each.waited, "stop": each.stop}
