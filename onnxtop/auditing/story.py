"""The whole story of an audit on one page: read a model, measure its layers, report."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any, Literal, Unpack

from onnxtop.auditing import network
from onnxtop.auditing.apart import apart, inside
from onnxtop.auditing.constants import bad_constants, moved_normalisation
from onnxtop.auditing.describing import coverage_of, layer_report, model_info
from onnxtop.auditing.details import NamedNeurons, details_of
from onnxtop.auditing.keywords import AuditKeywords
from onnxtop.auditing.layers import Measured, Memory, Progress, outlined, quiet
from onnxtop.auditing.options import AuditOptions, settings_of
from onnxtop.auditing.pieces import hashings, measure_layers, shelved
from onnxtop.auditing.recall import finished, renamed, report_question
from onnxtop.auditing.tool import TOOL
from onnxtop.network import Blocks
from onnxtop.options import asked
from onnxtop.reader.account import Account, account
from onnxtop.reader.connectivity import Connected
from onnxtop.reader.constants import Constants
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.layers import find_layers
from onnxtop.reader.loading import load
from onnxtop.reader.model import Model, ModelSource
from onnxtop.reader.skeleton import check_sizes
from onnxtop.reader.terms.digests import digests_of
from onnxtop.reader.terms.facts import Function
from onnxtop.results.graph import LayerGraph
from onnxtop.results.plain import finite_or_none
from onnxtop.results.report import (
    NOT_ASKED,
    Connectivity,
    DeepGraphPersistence,
    Network,
    NetworkPersistence,
    Report,
)
from onnxtop.results.run import ModelRun
from onnxtop.rules.rule import Policy
from onnxtop.statistics.copies import find_copies
from onnxtop.topology import neural_persistence
from onnxtop.topology.null_model import NullModels
from onnxtop.topology.spread import together
from onnxtop.work.shelf import Shelf
from onnxtop.work.store import store_of


def audit(
    model: ModelSource,
    options: AuditOptions | None = None,
    *,
    policy: Policy | None = None,
    progress: Progress | None = None,
    **changes: Unpack[AuditKeywords],
) -> Report:
    """Audit one ONNX model.

    Parameters
    ----------
    model
        Its path, its bytes, a binary file object, or a ModelProto. What is in memory has no folder: name that
        of its external weights with ``allow_external``.
    options
        What to measure and how; the papers' definitions by default.
    policy
        Which rules run, and what they are judged by; all of them, without a baseline, by default.
    progress
        Called after each layer.
    **changes
        Or single options as keywords, see `AuditOptions`: ``convention="tree"``, ``execute=True``.

    Returns
    -------
    Report
        Everything found. A model without weights gives a report without layers; a figure that is not
        defined is None, with its reason beside it.

    Raises
    ------
    onnxtop.UsageError
        Options that make no sense, or do not fit the model.
    onnxtop.ModelError
        The file cannot be read, is not an ONNX model, or its external data is missing or unsafe. Where there
        is no file it is a FileNotFoundError too.

    Examples
    --------
    ::

        report = onnxtop.audit("model.onnx", convention="tree")
        report.network.neural_persistence.mean_normalized
    """
    options = asked(AuditOptions, options, changes)
    if options.work.apart:
        here = partial(audit, model, replace(options, work=inside(options.work)), policy=policy)
        return apart(here, [model], options.work, progress, runs=options.running.asked)
    question = report_question(model, options)
    if question is None:
        return audited(model, options, policy=policy, progress=progress).report
    memory = Memory(question.store)
    report = question.answered(lambda: _audited(model, options, progress, memory).report)
    return finished(renamed(report, question.models[0]), options, policy)


@dataclass(frozen=True, eq=False)
class Audited:
    """A report, and the model and layers it is about, for those who go on from there.

    ``measured`` is what the layers left behind, ``figures`` what came of it; in a series with diagrams.
    """

    report: Report
    model: Model
    layers: Sequence[Layer]
    measured: Shelf[Measured]
    figures: neural_persistence.NeuralPersistence
    options: AuditOptions

    def mean(self, scale: Literal["global", "layer"]) -> float | None:
        """Return the mean NP of the network in another scale."""
        copies = [layer.name for layer in self.report.layers if layer.copy_of is not None]
        figures = _persistence(self.measured, copies, replace(self.options, scale=scale))
        return finite_or_none(figures.mean_normalized)


def audited(
    source: ModelSource,
    options: AuditOptions | None = None,
    *,
    policy: Policy | None = None,
    progress: Progress | None = None,
    memory: Memory | None = None,
) -> Audited:
    """Audit one ONNX model as `audit` does, and keep its layers; the audits of a series share a memory.

    It is read in any case; of layers that are remembered no more than that.
    """
    options = options or AuditOptions()
    memory = memory or Memory(store_of(options.work))
    found = _audited(source, options, progress, memory)
    return replace(found, report=finished(found.report, options, policy))


@quiet()
def _audited(
    source: ModelSource, options: AuditOptions, progress: Progress | None, memory: Memory
) -> Audited:
    """Audit a model, and judge nothing yet."""
    model = load(
        source,
        allow_external=options.allow_external,
        max_download=options.max_download,
        limits=options.limits,
    )
    check_sizes(model, options.input_shapes, options.dims)
    constants = Constants(model)
    found = find_layers(model, constants, peepholes=options.peepholes)
    layers = [layer for layer in found if isinstance(layer, Layer)]
    connected = network.neurons(model, constants, found, options) if options.topology else None
    scanned = network.measured_layers(connected, options)
    # of a model at an address no weight is fetched before one is measured
    outline = model.file.remote is not None and not options.topology
    if outline:
        measured = shelved(map(outlined, layers))
    else:
        model.file.announce()
        beside = hashings(model, constants=options.digests != "outline") if options.topology else ()
        measured = measure_layers(model, layers, options, memory, progress, scanned, beside)
    counts = account(model, constants, found)
    coverage = coverage_of(counts, found)
    copies = find_copies({item.row.name: item.mark for item in measured}, _reader(layers))
    shown = options.diagrams or options.details or memory.series
    persistence = _persistence(measured, copies, options, diagrams=shown)
    figures = _figures(measured, copies, persistence, connected, memory.nulls, options)
    moved = None if outline else moved_normalisation(constants, counts)
    figures["network"] = replace(figures["network"], moved=moved)
    report = Report(
        tool=TOOL,
        model=model_info(model, coverage, _function(model, counts, options), outline=outline),
        settings=settings_of(options),
        coverage=coverage,
        constants=() if outline else bad_constants(model, constants, found, counts),
        run=_run(model, options),
        graph=_graph(model, connected, found) if options.details and connected else None,
        **figures,
        **_on_data(model, options),
    )
    return Audited(report, model, layers, measured, persistence, options)


def _graph(model: Model, connected: Connected, found: Sequence[Layer | Skipped]) -> LayerGraph:
    from onnxtop.auditing.layer_graph import describe  # loads networkx

    return describe(model.file.name, connected, found)


def _function(model: Model, counts: Account, options: AuditOptions) -> Function | None:
    return digests_of(model, counts, options.digests) if options.topology else None


def _persistence(
    measured: Shelf[Measured], copies: Container[str], options: AuditOptions, *, diagrams: bool = False
) -> neural_persistence.NeuralPersistence:
    numbers = {item.row.name: number for number, item in enumerate(measured) if item.forest is not None}
    return neural_persistence.network_persistence(
        measured.view(numbers, attrgetter("forest")),
        scale=options.scale,
        convention=options.convention,
        p=options.p,
        counted=_counting(measured, copies, options),
        apart=[item.row.name for item in measured if item.row.apart],
        diagrams=diagrams,
    )


def _figures(
    measured: Shelf[Measured],
    copies: Mapping[str, str],
    figures: neural_persistence.NeuralPersistence,
    connected: Connected | None,
    nulls: NullModels,
    options: AuditOptions,
) -> dict[str, Any]:
    """Return what is reported of the network and its layers, from what the layers left behind."""
    numbers = {number: number for number in range(len(measured))}
    scanned = {number: number for number, item in enumerate(measured) if item.scan is not None}
    scans = measured.view(scanned, attrgetter("scan"))
    filled = measured.view(numbers, attrgetter("filled"))
    whole = network.measure(connected, scans, filled, options) if options.topology else _NOT_MEASURED
    neurons = NamedNeurons(connected, whole.diagram)
    rows = (
        layer_report(
            item,
            figures.layers.get(name),
            nulls,
            copies.get(name),
            whole.roles.get(name),
            partial(details_of, number, neurons),
            diagrams=options.diagrams,
        )
        for number, item in enumerate(measured)
        for name in (item.row.name,)
    )
    return {"network": _network(measured, copies, figures, whole, options), "layers": tuple(rows)}


_NOT_MEASURED = network.DeepGraph(DeepGraphPersistence(reason=NOT_ASKED), Connectivity(reason=NOT_ASKED))


def _run(model: Model, options: AuditOptions) -> ModelRun | None:
    """Run the model in a process of its own, if that is asked for."""
    if not options.running.asked:
        return None
    from onnxtop.execution.story import RunFrame, run_model  # loads what reads data

    frame = RunFrame(
        options.seed, options.input_shapes, options.dims, options.allow_external, options.work.run_seconds
    )
    return run_model(model, options.running, frame)


def _on_data(model: Model, options: AuditOptions) -> dict[str, Any]:
    """Measure the loss on the data that was given, if any: here and in `_run` alone an audit runs a model."""
    if options.data is None:
        return {}
    from onnxtop.landscape.story import loss_barcode  # loads onnxruntime
    from onnxtop.loss.options import ProbeOptions
    from onnxtop.loss.summary import probe

    quick = ProbeOptions(
        profile=False,
        sharpness=False,
        descent=False,
        seed=options.seed,
        output=options.outputs[0] if options.outputs else None,
    )
    found = {"loss_probe": probe(model, options.data, quick).to_dict()}
    if options.minima:
        landscape = loss_barcode(model, options.data, minima=options.minima, seed=options.seed)
        found["loss_landscape"] = landscape.to_dict()
    return found


def _reader(layers: Sequence[Layer]) -> Callable[[str], Blocks]:
    by_name = {layer.name: layer for layer in layers}
    return lambda name: by_name[name].blocks()


def _counting(measured: Sequence[Measured], copies: Container[str], options: AuditOptions) -> list[str]:
    """Return the layers that set the scale and enter the network's figures."""
    return [
        item.row.name
        for item in measured
        if item.forest is not None
        and item.row.name not in copies
        and not item.row.apart
        and (item.row.probably_fixed is None or options.count_fixed)
    ]


def _network(
    measured: Sequence[Measured],
    copies: Mapping[str, str],
    figures: neural_persistence.NeuralPersistence,
    whole: network.DeepGraph,
    options: AuditOptions,
) -> Network:
    if not options.topology:
        return Network(NetworkPersistence(None, None, reason=NOT_ASKED), whole.figures)
    undefined = sum(item.forest is None or item.forest.nonfinite > 0 for item in measured)
    fixed = 0 if options.count_fixed else sum(item.row.probably_fixed is not None for item in measured)
    apart = sum(item.row.apart is not None for item in measured)
    left_out = {
        "not defined": undefined,
        "copies": len(copies),
        "probably fixed": fixed,
        "of unknown scale": apart,
    }
    named = ", ".join(f"{count} {what}" for what, count in left_out.items() if count)
    reason = figures.reason or (f"left out of {len(measured)} layers: {named}" if named else None)
    return Network(
        NetworkPersistence(
            mean_normalized=finite_or_none(figures.mean_normalized),
            total=finite_or_none(figures.total),
            scale=finite_or_none(figures.scale),
            largest=figures.largest,
            reason=reason,
        ),
        whole.figures,
        whole.cut_off,
        variance=_variance(measured, _counting(measured, copies, options)),
    )


def _variance(measured: Sequence[Measured], counted: Sequence[str]) -> float | None:
    """Return the variance of the network's weights over the largest; None without structure or layers."""
    names = frozenset(counted)
    held = [item.spread for item in measured if item.row.name in names]
    known = [spread for spread in held if spread is not None]
    return together(known).variance if known else None
