"""The whole story of a comparison on one page: audit both models, judge them, match their layers."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Unpack

import numpy as np

from onnxtop.auditing.apart import apart, inside
from onnxtop.auditing.layers import Progress
from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.recall import Question
from onnxtop.auditing.story import audited
from onnxtop.auditing.tool import ALGORITHMS
from onnxtop.comparison.alignment import EXPLAINED, align
from onnxtop.comparison.judgement import judge, with_layers
from onnxtop.comparison.keywords import DiffKeywords
from onnxtop.comparison.matching import Candidate, Holders, Pair, match
from onnxtop.comparison.measures import topology_change, weight_change
from onnxtop.comparison.options import DiffOptions, shared
from onnxtop.comparison.running import PROVED, Side, decided, is_rounded, places
from onnxtop.comparison.verdict import judge_whole, same_bytes
from onnxtop.errors import NothingToAnalyseError, named
from onnxtop.options import asked
from onnxtop.reader.address import called
from onnxtop.reader.layer import Layer
from onnxtop.reader.loading import file_of, load
from onnxtop.reader.model import Model, ModelSource
from onnxtop.reader.model_file import ModelFile
from onnxtop.reader.skeleton import check_sizes
from onnxtop.reader.terms.graph import Graphs
from onnxtop.results.diff import (
    Diff,
    Figure,
    LayerDiff,
    NetworkDiff,
    Unmatched,
    Verdict,
    WeightChange,
    WholeDiff,
)
from onnxtop.results.report import LayerReport, Report, this_tool
from onnxtop.results.run import PairRun

DIFF_ALGORITHM = 5
"""Raised whenever the same files and options may give another comparison."""

_FOLDED = (
    "every output of some layers has a factor of its own, as where one exporter folded a BatchNorm into the "
    "weights before it: NP and DGP then differ without any training"
)


@dataclass(frozen=True, eq=False)
class _Side:
    """One of the two models."""

    report: Report
    model: Model
    candidates: Sequence[Candidate]
    layers: Sequence[Layer]

    @property
    def scale(self) -> float | None:
        return self.report.network.neural_persistence.scale


def diff(
    old: ModelSource,
    new: ModelSource,
    options: DiffOptions | None = None,
    *,
    progress: Progress | None = None,
    **changes: Unpack[DiffKeywords],
) -> Diff:
    """Compare two ONNX models: as wholes, then layer by layer, in weights and in topology.

    Parameters
    ----------
    old, new
        The models, as `onnxtop.audit` takes them.
    options
        Tolerances, how the models are read, and whether they are run.
    progress
        Called after each layer of either model's audit.
    **changes
        Or single options as keywords, see `DiffOptions`: ``tolerance=0.01``, ``execute=True``.

    Returns
    -------
    Diff
        Everything that differs; ``changed`` says whether something does beyond the tolerances.

    Raises
    ------
    onnxtop.errors.ModelError
        A file cannot be read, is not an ONNX model, or its external data is missing or unsafe.
    onnxtop.errors.NothingToAnalyseError
        One of the models has weights and the other has none.
    """
    options = asked(DiffOptions, options, changes)
    if options.work.apart:
        here = partial(diff, old, new, replace(options, work=inside(options.work)))
        return apart(here, [old, new], options.work, progress, runs=options.running.asked)
    question = _question("diff", Diff, old, new, options)
    if question is None:
        return _diff(old, new, options, progress)
    found = question.answered(lambda: _diff(old, new, options, progress))
    names = [called(path) for path in question.models]
    return replace(found, old=replace(found.old, path=names[0]), new=replace(found.new, path=names[1]))


def _question(
    about: str, kind: type, old: ModelSource, new: ModelSource, options: DiffOptions
) -> Question | None:
    """Return what a comparison asks; None where its answer is never remembered."""
    folders = {Path(each).parent.resolve() for each in (old, new) if isinstance(each, str | os.PathLike)}
    more = (DIFF_ALGORITHM, len(folders))  # see `_same`
    return Question.of_files(about, [old, new], options, kind, more=more)


@np.errstate(all="ignore")  # what overflows or is no number is a difference, and no concern of NumPy's
def _diff(old: ModelSource, new: ModelSource, options: DiffOptions, progress: Progress | None) -> Diff:
    files = _files(old, new, options)
    same = _same(*files, options) if _hold_the_same(*files) else None
    if same is not None:
        return same
    before, after = (_side(file, options, progress) for file in files)
    if bool(before.candidates) != bool(after.candidates):
        _check_weights(before, after)
    pairs = match(before.candidates, after.candidates)
    layers = tuple(judge(_layer(pair, before, after), options.settings) for pair in pairs)
    layers = _with_holders(layers, pairs, before, after)
    whole = judge_whole(before.model, after.model, options.settings)
    encodings = [{layer.encoding for layer in side.report.layers} for side in (before, after)]
    whole = with_layers(whole, layers, options.settings, recoded=encodings[0] != encodings[1])
    run = _run(before, after, pairs, whole, options) if options.running.asked else None
    return Diff(
        tool=_TOOL,
        old=before.report.model,
        new=after.report.model,
        settings=options.settings,
        whole=decided(whole, run),
        network=_network(before.report, after.report, layers),
        layers=layers,
        appeared=_unmatched(after.report, {pair.new for pair in pairs}),
        vanished=_unmatched(before.report, {pair.old for pair in pairs}),
        run=run,
    )


def _run(
    before: _Side, after: _Side, pairs: Sequence[Pair], whole: WholeDiff, options: DiffOptions
) -> PairRun:
    """Run both models on the same inputs; what computes with codes may differ by the tolerance."""
    from onnxtop.execution.story import RunFrame, run_pair  # loads what reads data

    old, new = (Side(side.model, side.layers) for side in (before, after))
    exact = whole.verdict in PROVED or not (
        whole.verdict is Verdict.WITHIN or is_rounded(old) or is_rounded(new)
    )
    frame = RunFrame(
        options.settings.seed,
        options.input_shapes,
        options.dims,
        options.allow_external,
        options.work.run_seconds,
    )
    return run_pair(
        Graphs(before.model, after.model),
        options.running,
        frame,
        places(old, new, [(pair.old, pair.new) for pair in pairs]),
        None if exact else options.settings.tolerance,
    )


def verdict(
    old: ModelSource,
    new: ModelSource,
    options: DiffOptions | None = None,
    *,
    progress: Progress | None = None,
) -> WholeDiff:
    """Return what `diff` says of two models as wholes; layers are measured only where that decides."""
    options = options or DiffOptions()
    question = _question("verdict", WholeDiff, old, new, options)
    if question is None:
        return _verdict(old, new, options, progress)
    return question.answered(lambda: _verdict(old, new, options, progress))


def _verdict(
    old: ModelSource, new: ModelSource, options: DiffOptions, progress: Progress | None
) -> WholeDiff:
    files = _files(old, new, options)
    same = _same(*files, options) if _hold_the_same(*files) else None
    if same is not None:
        return same.whole
    whole = judge_whole(_loaded(files[0], options), _loaded(files[1], options), options.settings)
    return _diff(*files, options, progress).whole if whole.verdict is Verdict.WITHIN else whole


def _files(old: ModelSource, new: ModelSource, options: DiffOptions) -> tuple[ModelFile, ModelFile]:
    most, limits = options.max_download, options.limits
    first, second = (file_of(each, max_download=most, limits=limits) for each in (old, new))
    return first, second


def _loaded(file: ModelFile, options: DiffOptions) -> Model:
    with named(file.name):
        model = load(file, allow_external=options.allow_external, limits=options.limits)
        check_sizes(model, options.input_shapes, options.dims)
        return model


_TOOL = this_tool({**ALGORITHMS, "diff": DIFF_ALGORITHM})


_CHUNK = 2**20


def _hold_the_same(old: ModelFile, new: ModelFile) -> bool:
    chunks = range(0, old.byte_count, _CHUNK)
    return old.byte_count == new.byte_count and all(
        old.content[start : start + _CHUNK] == new.content[start : start + _CHUNK] for start in chunks
    )


def _same(old: ModelFile, new: ModelFile, options: DiffOptions) -> Diff | None:
    """Return what is told at once of files that hold the same bytes; no layer is measured.

    None if weights stand in other files: those may differ.
    """
    side = _side(old, options, None, topology=False)
    folders = [[folder.resolve() for folder in file.folders] for file in (old, new)]
    if side.model.has_files_beside and folders[0] != folders[1]:  # a link has data of its own
        return None
    parameters = (side.report.coverage.parameters_analysed,) * 2
    return Diff(
        tool=_TOOL,
        old=side.report.model,
        new=replace(side.report.model, path=new.name),
        settings=options.settings,
        whole=same_bytes(),
        network=NetworkDiff(Figure(None, None), Figure(None, None), parameters),
        layers=(),
    )


def _check_weights(before: _Side, after: _Side) -> None:
    """Refuse to compare a model that has weights with one that has none."""
    for side in (before, after):
        if not side.report.coverage.parameters_total:
            raise NothingToAnalyseError(
                f"{side.report.model.path}: nothing to compare: it has no weight tensor that can be read"
            )


def _side(
    file: ModelFile, options: DiffOptions, progress: Progress | None, *, topology: bool = True
) -> _Side:
    settings = AuditOptions(seed=options.settings.seed, topology=topology, **shared(options))
    with named(file.name):
        found = audited(file, settings, progress=progress)
    return _Side(found.report, found.model, [_candidate(layer) for layer in found.layers], found.layers)


def _candidate(layer: Layer) -> Candidate:
    sides = tuple((int(block.shape[0]), int(block.shape[1])) for block in layer.blocks())
    return Candidate(layer.name, layer.op_type, layer.weight, sides, layer.blocks)


def _layer(pair: Pair, before: _Side, after: _Side) -> LayerDiff:
    old, new = before.report.layers[pair.old], after.report.layers[pair.new]
    ours, theirs = before.candidates[pair.old], after.candidates[pair.new]
    base = LayerDiff(
        name=new.name,
        old_name=old.name,
        matched_by=pair.by,
        op_type=new.op_type,
        parameters=new.parameters,
        shape=new.shape,
        old_shape=old.shape,
        encoding=new.encoding,
        old_encoding=old.encoding,
        order="",
        weights=WeightChange(),
        neural_persistence=Figure(old.neural_persistence.normalized, new.neural_persistence.normalized),
        retied=_tie_change(old, new),
    )
    if old.apart or new.apart:
        return _compare_directions(base, ours, theirs, alone=not (old.apart and new.apart))
    return _compare_weights(base, ours, theirs, before.scale, after.scale)


def _compare_directions(base: LayerDiff, old: Candidate, new: Candidate, *, alone: bool) -> LayerDiff:
    """Compare weights that have no common unit, up to the factor that brings them nearest."""
    found = _compare_weights(base, old, new, None, None)
    factor = found.weights.factor
    if factor and found.weights.relative:
        nearest = replace(new, read=lambda: [block / block.dtype.type(factor) for block in new.read()])
        found = _compare_weights(base, old, nearest, None, None)
    return replace(found, neural_persistence=Figure(None, None)) if alone else found


def _compare_weights(
    base: LayerDiff, old: Candidate, new: Candidate, old_scale: float | None, new_scale: float | None
) -> LayerDiff:
    """Compare the weights of a pair, put into one order."""
    target = new.read()
    aligned = align(old.read(), target)
    if [block.shape for block in aligned.blocks] != [block.shape for block in target]:
        sizes = " to ".join(_sizes(each.sides) for each in (old, new))
        return replace(base, weights=WeightChange(reason=f"size changed from {sizes}"), same_size=False)
    tree_kept, bottleneck = topology_change(aligned.blocks, target, old_scale, new_scale)
    return replace(
        base,
        order=aligned.order,
        weights=weight_change(aligned.blocks, target),
        tree_kept=tree_kept,
        bottleneck=bottleneck,
    )


def _sizes(sides: Sequence[tuple[int, int]]) -> str:
    rows, columns = sides[0]
    return f"{rows} x {columns}" if len(sides) == 1 else f"{len(sides)} of {rows} x {columns}"


def _tie_change(old: LayerReport, new: LayerReport) -> str | None:
    """Say whether the weights are now shared by more or fewer nodes or layers.

    Copies that are rounded to codes one by one are no copies any more, which says nothing of a tie.
    """
    if len(old.uses) != len(new.uses):
        return f"tie changed: weights used by {_nodes(old)}, now by {_nodes(new)}"
    if (old.copy_of is None) != (new.copy_of is None) and old.encoding == new.encoding:
        return f"tie changed: {_copy(old)}, now {_copy(new)}"
    return None


def _nodes(layer: LayerReport) -> str:
    return "1 node" if len(layer.uses) == 1 else f"{len(layer.uses)} nodes"


def _copy(layer: LayerReport) -> str:
    return "weights of its own" if layer.copy_of is None else f"a copy of {layer.copy_of}"


def _with_holders(
    layers: Sequence[LayerDiff], pairs: Sequence[Pair], before: _Side, after: _Side
) -> tuple[LayerDiff, ...]:
    """Name, for layers whose weights are altogether others, the old layer that held them."""
    lost = [_is_other(layer) for layer in layers]
    pool = Holders(before.candidates[pair.old] for pair, is_lost in zip(pairs, lost, strict=True) if is_lost)
    result = []
    for layer, pair, is_lost in zip(layers, pairs, lost, strict=True):
        held = pool.holder(after.candidates[pair.new], before.candidates[pair.old]) if is_lost else None
        if held is not None:
            change = f"holds the weights that {held.name} had"
            layer = replace(layer, holds=held.name, changes=(*layer.changes, change))
        result.append(layer)
    return tuple(result)


def _is_other(layer: LayerDiff) -> bool:
    relative = layer.weights.relative
    return relative is not None and relative >= EXPLAINED and not layer.order


def _unmatched(report: Report, taken: set[int]) -> tuple[Unmatched, ...]:
    return tuple(
        Unmatched(layer.name, layer.op_type, layer.shape, layer.parameters)
        for number, layer in enumerate(report.layers)
        if number not in taken
    )


def _network(old: Report, new: Report, layers: Sequence[LayerDiff]) -> NetworkDiff:
    folded = any(layer.weights.per_output for layer in layers)
    means = [report.network.neural_persistence.mean_normalized for report in (old, new)]
    deep = [report.network.deep_graph_persistence.normalized for report in (old, new)]
    return NetworkDiff(
        neural_persistence=Figure(*means),
        deep_graph_persistence=Figure(*deep),
        parameters=(old.coverage.parameters_analysed, new.coverage.parameters_analysed),
        notes=(_FOLDED,) if folded else (),
    )
