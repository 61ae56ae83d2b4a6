"""One checkpoint measured, and what moved since the one before."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest

from onnxtop.auditing.layers import Memory, Progress
from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import Audited, audited
from onnxtop.comparison.measures import weight_change
from onnxtop.errors import NothingToAnalyseError, UsageError
from onnxtop.reader.model_file import opened
from onnxtop.results.report import LOOKS_UNTRAINED, LayerReport, Report
from onnxtop.results.trace import Checkpoint, LayerStep, OnData
from onnxtop.results.words import MAIN_SPLIT
from onnxtop.rules.untrained import judged, untouched
from onnxtop.topology.bottleneck_distance import bottleneck_distance
from onnxtop.tracing.series import CheckpointFile


@dataclass(frozen=True, eq=False)
class MeasuredFile:
    """A file to measure, read only when that is needed; ``file`` is where its bytes are."""

    place: CheckpointFile
    file: str
    options: AuditOptions
    memory: Memory
    progress: Progress | None = None

    @cached_property
    def audited(self) -> Audited:
        """The audit of the file, and what it leaves behind.

        Raises
        ------
        ModelError, UsageError
            As for an audit.
        NothingToAnalyseError
            No weight of the model can be read.
        """
        file = opened(
            self.file,
            self.place.path,
            max_download=self.options.max_download,
            limits=self.options.limits,
        )
        found = audited(file, self.options, progress=self.progress, memory=self.memory)
        if not found.layers:
            raise NothingToAnalyseError("the model has no weight tensors that can be read")
        return found

    def release(self) -> None:
        """Forget the audit: nothing comes after that is compared with it."""
        self.__dict__.pop("audited", None)


def checkpoint(source: MeasuredFile, before: MeasuredFile | None, first: Checkpoint | None) -> Checkpoint:
    """Return what is told of a checkpoint; ``before`` is the one that training came from.

    Raises
    ------
    UsageError
        It is of another architecture than the first.
    """
    found = source.audited
    now = _standing(source, found)
    if first is not None:
        check_architecture(first, now)
    if before is None:
        return now
    layers = _moved(now.layers, found, before.audited)
    changes = [layer.relative for layer in layers if layer.relative is not None]
    return replace(now, layers=layers, moved=sum(changes) / len(changes) if changes else None)


def _standing(source: MeasuredFile, found: Audited) -> Checkpoint:
    """Return what is told of a checkpoint by itself."""
    report = found.report
    network = report.network
    untrained = {layer.name for layer in untouched(report)}
    can_be_judged = {layer.name for layer in judged(report)}
    digests = [item.digest for item in found.measured]
    layers = (
        _layer(layer, digest, layer.name in untrained if layer.name in can_be_judged else None)
        for layer, digest in zip(report.layers, digests, strict=True)
    )
    return Checkpoint(
        path=source.place.path,
        name=source.place.name,
        step=source.place.step,
        sha256=found.model.file.sha256(),
        neural_persistence=network.neural_persistence.mean_normalized,
        scale_global=found.mean("global"),
        scale_layer=found.mean("layer"),
        scale=max((layer.largest for layer in report.layers if layer.largest is not None), default=None),
        deep_graph_persistence=network.deep_graph_persistence.normalized,
        untrained=len(untrained) / len(can_be_judged) if can_be_judged else None,
        judged=len(can_be_judged),
        looks_untrained=_looks_untrained(report),
        moved=None,
        convolutions=sum(layer.is_convolution for layer in found.layers),
        operations=dict(report.model.function.operations) if report.model.function else {},
        layers=tuple(layers),
        data=_on_data(report),
    )


def _layer(layer: LayerReport, digest: str, untouched: bool | None) -> LayerStep:
    return LayerStep(
        name=layer.name,
        op_type=layer.op_type,
        shape=layer.shape,
        neural_persistence=layer.neural_persistence.normalized,
        z=layer.neural_persistence.z,
        largest=layer.largest,
        nonfinite=layer.nonfinite,
        untouched=untouched,
        digest=digest,
    )


def _looks_untrained(report: Report) -> bool | None:
    if LOOKS_UNTRAINED not in report.rules.run:
        return None
    return any(finding.rule == LOOKS_UNTRAINED for finding in report.findings)


def _moved(layers: Sequence[LayerStep], now: Audited, before: Audited) -> tuple[LayerStep, ...]:
    """Add what changed: in the weights, and in the diagrams, each in the unit of its own checkpoint."""
    earlier = [item.digest for item in before.measured]
    return tuple(
        _change(layer, number, now, before, same=layer.digest == earlier[number])
        for number, layer in enumerate(layers)
    )


def _change(layer: LayerStep, number: int, now: Audited, before: Audited, *, same: bool) -> LayerStep:
    one, other = (each.figures.layers.get(each.layers[number].name) for each in (before, now))
    if one is None or other is None or layer.nonfinite or before.measured[number].row.nonfinite:
        return layer
    apart = bottleneck_distance(one.diagram, other.diagram)
    if same:
        return replace(layer, relative=0.0, cosine=1.0, bottleneck=apart)
    old, new = (each.layers[number].blocks() for each in (before, now))
    if [block.shape for block in old] != [block.shape for block in new]:
        return replace(layer, bottleneck=apart)  # one tensor that the operation takes from the other side
    moved = weight_change(old, new)
    return replace(layer, relative=moved.relative, cosine=moved.cosine, bottleneck=apart)


def check_architecture(first: Checkpoint, other: Checkpoint) -> None:
    """Refuse checkpoints whose layers or operations differ; names may, as exporters number them anew.

    Raises
    ------
    UsageError
        The architectures differ; the first difference is named.
    """
    for number, (one, two) in enumerate(zip_longest(first.layers, other.layers), start=1):
        if one is None or two is None or (one.op_type, one.shape) != (two.op_type, two.shape):
            raise UsageError(
                f"wanted checkpoints of one architecture, found a difference at layer {number}: "
                f"{_told(one)} in {first.path}, {_told(two)} in {other.path}"
            )
    for op in sorted({*first.operations, *other.operations}):
        counts = [each.operations.get(op, 0) for each in (first, other)]
        if counts[0] != counts[1]:
            raise UsageError(
                f"wanted checkpoints of one architecture, found the same layers and other operations: "
                f"{counts[0]} {op} in {first.path}, {counts[1]} in {other.path}"
            )


def _told(layer: LayerStep | None) -> str:
    if layer is None:
        return "no such layer"
    return f"{layer.name!r} {layer.op_type} {' x '.join(map(str, layer.shape))}"


def _on_data(report: Report) -> tuple[OnData, ...]:
    """Return the loss and the accuracy of every split, the main one first."""
    found = report.loss_probe
    if found is None:
        return ()
    splits = ({**found, "name": found["split"]}, *found["splits"])
    return tuple(
        OnData(split["name"] or MAIN_SPLIT, split["samples"], split["loss"], split["accuracy"])
        for split in splits
    )
