"""The whole story of an audit on one page: read a model, measure its layers, report."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from onnxtop._version import __version__
from onnxtop.auditing import network
from onnxtop.auditing.describing import coverage_of, model_info
from onnxtop.auditing.layers import Measured, Progress, measure_layers
from onnxtop.auditing.options import AuditOptions, check_options, settings_of
from onnxtop.auditing.traits import LEFT_OUT, NO_VARIANCE, null_figures, told, variance
from onnxtop.network import Matrix
from onnxtop.reader.constants import Constants
from onnxtop.reader.layers import Layer, Skipped, find_layers
from onnxtop.reader.model import Model, load
from onnxtop.reader.names import source_line
from onnxtop.reader.skeleton import check_sizes
from onnxtop.results.report import (
    NOT_ASKED,
    Connectivity,
    DeepGraphPersistence,
    LayerPersistence,
    LayerReport,
    Network,
    NetworkPersistence,
    Report,
    ToolInfo,
)
from onnxtop.rules import catalogue
from onnxtop.statistics.copies import find_copies
from onnxtop.topology import neural_persistence
from onnxtop.topology.null_model import NullModels

__all__ = ["ALGORITHMS", "AuditOptions", "Progress", "audit"]

ALGORITHMS = {"neural_persistence": 1, "deep_graph_persistence": 1}
"""Version of each measure: raised whenever the same file and options may give another value."""


def audit(
    path: str | os.PathLike[str], options: AuditOptions | None = None, *, progress: Progress | None = None
) -> Report:
    """Audit one ONNX file.

    Parameters
    ----------
    path
        The file.
    options
        What to measure and how; the papers' definitions by default.
    progress
        Called after each layer.

    Returns
    -------
    Report
        Everything found. A model without weights gives a report without layers; a figure that is not
        defined is None, with its reason beside it.

    Raises
    ------
    onnxtop.errors.UsageError
        Options that make no sense, or do not fit the model.
    onnxtop.errors.ModelError
        The file cannot be read, is not an ONNX model, or its external data is missing or unsafe.

    Examples
    --------
    ::

        report = onnxtop.audit("model.onnx")
        report.network.neural_persistence.mean_normalized
    """
    options = options or AuditOptions()
    shown = check_options(options)
    model = load(os.fspath(path), allow_external=options.allow_external)
    check_sizes(model, options.input_shapes, options.dims)
    constants = Constants(model)
    found = find_layers(model, constants, peepholes=options.peepholes)
    layers = [layer for layer in found if isinstance(layer, Layer)]
    whole = _whole(model, constants, found, options)
    nulls = NullModels(options.seed)
    measured = measure_layers(model, layers, nulls, options, progress)
    copies = find_copies({item.layer.name: item.mark for item in measured}, _reader(layers))
    figures = neural_persistence.network_persistence(
        {item.layer.name: item.forest for item in measured if item.forest is not None},
        scale=options.scale,  # type: ignore[arg-type]
        convention=options.convention,  # type: ignore[arg-type]
        p=options.p,
        counted=_counted(measured, copies, options),
    )
    coverage = coverage_of(model, constants, found)
    report = Report(
        tool=ToolInfo("onnxtop", __version__, ALGORITHMS),
        model=model_info(path, model, coverage),
        settings=settings_of(options),
        coverage=coverage,
        network=_network(measured, copies, figures, whole, options),
        layers=tuple(
            replace(
                _layer_report(item, copies, figures.layers.get(item.layer.name), nulls),
                deep_graph_persistence=whole.roles.get(item.layer.name),
            )
            for item in measured
        ),
    )
    findings = catalogue.apply(report)
    return replace(
        report,
        **_on_data(model, options),
        layers=tuple(layer for layer in report.layers if shown.search(layer.name)),
        findings=tuple(f for f in findings if f.layer is None or shown.search(f.layer)),
    )


def _on_data(model: Model, options: AuditOptions) -> dict[str, Any]:
    """Run the model on the data that was given, if any: the only place where an audit runs a model."""
    if options.data is None:
        return {}
    from onnxtop.landscape.story import loss_barcode  # loads onnxruntime
    from onnxtop.loss.options import ProbeOptions
    from onnxtop.loss.summary import probe_summary

    quick = ProbeOptions(
        profile=False,
        sharpness=False,
        descent=False,
        seed=options.seed,
        output=options.outputs[0] if options.outputs else None,
    )
    found = {"loss_probe": probe_summary(model, options.data, quick).to_dict()}
    if options.minima:
        landscape = loss_barcode(model, options.data, minima=options.minima, seed=options.seed)
        found["loss_landscape"] = landscape.to_dict()
    return found


def _reader(layers: Sequence[Layer]) -> Callable[[str], Sequence[Matrix]]:
    by_name = {layer.name: layer for layer in layers}
    return lambda name: by_name[name].blocks()


def _counted(measured: Sequence[Measured], copies: Mapping[str, str], options: AuditOptions) -> list[str]:
    """Return the layers that set the scale and enter the network's figures."""
    return [
        item.layer.name
        for item in measured
        if item.forest is not None
        and item.layer.name not in copies
        and (item.fixed is None or options.count_fixed)
    ]


def _whole(
    model: Model, constants: Constants, found: Sequence[Layer | Skipped], options: AuditOptions
) -> network.DeepGraph:
    if options.topology:
        return network.measure(
            model,
            constants,
            found,
            convention=options.convention,  # type: ignore[arg-type]
            p=options.p,
            skips=options.skips,  # type: ignore[arg-type]
            input_shapes=options.input_shapes,
            dims=options.dims,
            inputs=options.inputs,
            outputs=options.outputs,
            conv=options.conv,
        )
    return network.DeepGraph(DeepGraphPersistence(reason=NOT_ASKED), Connectivity(reason=NOT_ASKED))


def _layer_report(
    measured: Measured,
    copies: Mapping[str, str],
    figures: neural_persistence.LayerPersistence | None,
    nulls: NullModels,
) -> LayerReport:
    layer, forest = measured.layer, measured.forest
    structure = measured.structure
    null = null_figures(structure, figures, nulls)
    left_out = LEFT_OUT if structure is None and forest is not None and not forest.nonfinite else None
    spread = variance(structure, figures)
    return LayerReport(
        name=layer.name,
        op_type=layer.op_type,
        weight=layer.weight,
        encoding=layer.encoding,
        shape=layer.shape,
        n_in=measured.n_in,
        n_out=measured.n_out,
        parameters=layer.parameters,
        uses=layer.uses,
        neural_persistence=LayerPersistence(
            total=_defined(figures.total if figures else None),
            normalized=_defined(figures.normalized if figures else None),
            null_mean=null.mean,
            null_std=null.std,
            z=null.z,
            excess=null.excess,
            draws=null.draws,
            reason=measured.reason or (figures.reason if figures else None) or null.reason or left_out,
        ),
        copy_of=copies.get(layer.name),
        probably_fixed=measured.fixed,
        largest=None if forest is None or forest.nonfinite else forest.strongest,
        nonfinite=forest.nonfinite if forest else 0,
        variance=spread,
        exchangeability=told(structure, null.z),
        statistics=structure.statistics if structure else None,
        reason=None if spread is not None else measured.reason or left_out or NO_VARIANCE,
        source=source_line(layer.source.node),
    )


def _network(
    measured: Sequence[Measured],
    copies: Mapping[str, str],
    figures: neural_persistence.NetworkPersistence,
    whole: network.DeepGraph,
    options: AuditOptions,
) -> Network:
    if not options.topology:
        return Network(NetworkPersistence(None, None, reason=NOT_ASKED), whole.figures)
    undefined = sum(item.forest is None or item.forest.nonfinite > 0 for item in measured)
    fixed = 0 if options.count_fixed else sum(item.fixed is not None for item in measured)
    left_out = {"not defined": undefined, "copies": len(copies), "probably fixed": fixed}
    named = ", ".join(f"{count} {what}" for what, count in left_out.items() if count)
    reason = figures.reason or (f"left out of {len(measured)} layers: {named}" if named else None)
    return Network(
        NetworkPersistence(
            mean_normalized=_defined(figures.mean_normalized),
            total=_defined(figures.total),
            scale=_defined(figures.scale),
            reason=reason,
        ),
        whole.figures,
        whole.cut_off,
    )


def _defined(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
