"""What a comparison found: frozen dataclasses that mirror its JSON key by key.

A figure that is not defined is None, and a ``reason`` stands beside it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from onnxtop.options import Checked, Option, Seed
from onnxtop.results.plain import plain
from onnxtop.results.report import ModelInfo, ToolInfo
from onnxtop.results.run import PairRun
from onnxtop.shown import Tabular


@dataclass(frozen=True)
class DiffSettings(Checked):
    """What counts as changed: a relative change of weights, or of a layer's NP, above a tolerance."""

    tolerance: Annotated[
        float,
        Option(
            "Relative change of a layer's weights that is still the same; 0.1 is 20 dB.",
            metavar="SHARE",
            least=0,
        ),
    ] = 0.1
    np_tolerance: Annotated[
        float, Option("Relative change of a layer's NP that is still the same.", metavar="SHARE", least=0)
    ] = 0.1
    permuted_ok: Annotated[bool, Option("Let the same weights in another order count as the same.")] = False
    seed: Seed = 0


class Verdict(StrEnum):
    """What was found of two whole models: from the strongest claim to none, and after a run of both."""

    SAME = "SAME"
    EQUIVALENT = "EQUIVALENT"
    WITHIN = "WITHIN TOLERANCE"
    CHANGED = "CHANGED"
    UNPROVEN = "UNPROVEN"
    NONE_FOUND = "NO DIFFERENCE FOUND"

    @property
    def passes(self) -> bool:
        """Whether the exit code is 0."""
        return self not in (Verdict.CHANGED, Verdict.UNPROVEN)


@dataclass(frozen=True)
class Change:
    """One difference of the whole models.

    ``kind`` is "interface", "removed", "inserted", "replaced", "unmatched", "edge", "attribute", "version",
    "constant" or "layer"; ``where`` the operation it is at, by the name of its node; ``relative`` how far a
    constant moved against its norm. One that does not count stands within the tolerances.
    """

    kind: str
    where: str
    what: str
    relative: float | None
    counts: bool


@dataclass(frozen=True)
class WholeDiff:
    """Two whole models compared as functions: every operation, attribute, edge and constant.

    ``level`` is how they were written for it: 0 as they stand, 1 in one normal form, 2 without what rounds;
    None where the bytes are the same. ``changes`` stand in the order of their importance, ``interface`` are
    the differences of inputs and outputs. ``dropped`` names what was left out or assumed. ``operations`` are
    those that outputs depend on, in that writing, and ``matched`` those of the old model found in the new.
    """

    verdict: Verdict
    reason: str
    level: int | None = None
    changes: tuple[Change, ...] = ()
    interface: tuple[Change, ...] = ()
    dropped: tuple[str, ...] = ()
    operations: tuple[int, ...] = ()
    matched: int = 0


@dataclass(frozen=True)
class Figure:
    """One figure of both models."""

    old: float | None
    new: float | None


@dataclass(frozen=True)
class WeightChange:
    """How the weights of a layer differ, after the old ones were put into the order of the new.

    ``relative`` is the norm of the difference against that of the old weights, ``snr_db`` the same in
    decibels (None if nothing differs), ``cosine`` that of the angle between them, ``share`` the share of
    weights whose value differs, ``factor`` the number that brings the old weights nearest to the new.
    ``per_output`` says that each output has a factor of its own, and that explains the rest.
    """

    relative: float | None = None
    snr_db: float | None = None
    cosine: float | None = None
    share: float | None = None
    factor: float | None = None
    per_output: bool = False
    reason: str | None = None


@dataclass(frozen=True)
class LayerDiff:
    """One layer of both models.

    ``matched_by`` is "name", "module path", "weight name", "content" or "place". ``order`` says how the old
    weights had to be rearranged, empty if they had not; ``holds`` names another layer of the old model whose
    weights the new one holds; ``retied`` says who shares its weights now and did not, or the other way round.
    Without ``same_size`` the two cannot be compared weight by weight. ``tree_kept`` is the share of the old
    spanning tree's edges in the new one; ``bottleneck`` the distance of the two diagrams. ``changes`` are the
    reasons why the layer counts as changed, empty if it does not; ``notes`` are differences that count for
    nothing.
    """

    name: str
    old_name: str
    matched_by: str
    op_type: str
    parameters: int
    shape: tuple[int, ...]
    old_shape: tuple[int, ...]
    encoding: str
    old_encoding: str
    order: str
    weights: WeightChange
    neural_persistence: Figure
    tree_kept: float | None = None
    bottleneck: float | None = None
    holds: str | None = None
    retied: str | None = None
    same_size: bool = True
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether nothing at all differs in weights and order."""
        return self.weights.relative == 0 and not self.order and not self.changes


@dataclass(frozen=True)
class Unmatched:
    """A layer that only one of the models has."""

    name: str
    op_type: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class NetworkDiff:
    """Figures of both networks; ``notes`` say where they differ for a reason other than training."""

    neural_persistence: Figure
    deep_graph_persistence: Figure
    parameters: tuple[int, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Diff(Tabular):
    """Everything that differs between two models; ``run`` is there only if both were run."""

    tool: ToolInfo
    old: ModelInfo
    new: ModelInfo
    settings: DiffSettings
    whole: WholeDiff
    network: NetworkDiff
    layers: tuple[LayerDiff, ...]
    appeared: tuple[Unmatched, ...] = ()
    vanished: tuple[Unmatched, ...] = ()
    run: PairRun | None = None

    @property
    def changed(self) -> bool:
        """Whether anything changed beyond the tolerances, or nothing was proved."""
        return not self.whole.verdict.passes

    @property
    def same_architecture(self) -> bool:
        """Whether every layer has its counterpart, of the same shape."""
        return not (self.appeared or self.vanished or not all(each.same_size for each in self.layers))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; floats have 12 significant digits."""
        values: dict[str, Any] = plain(self)
        verdict = {
            "verdict": self.whole.verdict.value,
            "changed": self.changed,
            "same_architecture": self.same_architecture,
        }
        return {"tool": values.pop("tool"), **verdict, **values}
