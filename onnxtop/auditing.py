"""The whole story of an audit on one page: read a model, measure its layers, report."""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from onnxtop import deep_graph
from onnxtop._version import __version__
from onnxtop.errors import UsageError
from onnxtop.network import Blocks, Matrix
from onnxtop.reader.constants import Constants
from onnxtop.reader.copies import Fingerprint, find_copies, fingerprint
from onnxtop.reader.coverage import account
from onnxtop.reader.fixed import probably_fixed
from onnxtop.reader.layers import Layer, Skipped, find_layers
from onnxtop.reader.model import Model, load
from onnxtop.reader.names import source_line
from onnxtop.reader.skeleton import Shape, check_sizes, checker_note, infer_shapes, placed
from onnxtop.report import (
    NOT_ASKED,
    Connectivity,
    Coverage,
    DeepGraphPersistence,
    LayerPersistence,
    LayerReport,
    ModelInfo,
    Network,
    NetworkPersistence,
    Report,
    Settings,
    SkippedWeight,
    ToolInfo,
)
from onnxtop.rules import catalogue
from onnxtop.structure import NO_VARIANCE, Structure, examine, null_figures, told, variance
from onnxtop.topology import convolution, neural_persistence
from onnxtop.topology.graph import Forest
from onnxtop.topology.null_model import NullModels

__all__ = ["ALGORITHMS", "AuditOptions", "Progress", "audit"]

ALGORITHMS = {"neural_persistence": 1, "deep_graph_persistence": 1}
"""Version of each measure: raised whenever the same file and options may give another value."""

Progress = Callable[[str, int, int], None]
"""Called with the layer just measured, and how many weights are done and to do."""

_UNROLLED_NEURONS = 2**24  # a forest takes some 160 bytes a neuron
_SIZE_UNKNOWN = "its input size is not known; give --input-shape NAME=1,3,224,224"


@dataclass(frozen=True)
class AuditOptions:
    """What to measure and how.

    Attributes
    ----------
    convention
        ``essential`` counts the essential class as the point (1, 0), as the papers' code does; ``tree`` does
        not.
    scale
        ``global`` divides every |w| by the largest of the network, ``layer`` by the largest of its layer, a
        number by that number.
    p
        The norm: any number above 0, or infinity.
    bias
        ``none``, or ``row``: the bias takes part as one more vertex joined to every output.
    conv
        Which graph a convolution is: ``flattened``, ``channels`` or ``unrolled``.
    layers
        Regular expression; only layers whose name it finds are shown. Figures of the network stay those of
        all layers.
    input_shapes, dims
        Shapes of inputs and sizes of named dimensions that the model leaves open (``unrolled`` needs them).
    allow_external
        Folders beside the model's own from which external weights may be read.
    topology
        Whether to measure; if not, the layers are only read, and every figure is None.
    peepholes
        Whether the peephole weights of an LSTM are layers of their own; they count as biases if not.
    count_fixed
        Whether layers whose weights were probably never trained count in the network's figures.
    skips
        ``keep`` follows the skip connections of residual networks, as the definition has it; ``cut`` leaves
        out the identity branch. Both totals are reported; this one chooses the figures of the layers.
    inputs, outputs
        Names of the inputs and outputs between which deep graph persistence is measured; all if empty. An
        output may be any value.
    seed
        Seed of everything random.
    """

    convention: str = "essential"
    scale: str | float = "global"
    p: float = 2.0
    bias: str = "none"
    conv: str = "flattened"
    layers: str | None = None
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)
    allow_external: tuple[str, ...] = ()
    topology: bool = True
    peepholes: bool = False
    count_fixed: bool = False
    skips: str = "keep"
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    seed: int = 0


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
    >>> report = onnxtop.audit("sample_models/mlp_torch_dynamo.onnx")  # doctest: +SKIP
    >>> report.network.neural_persistence.mean_normalized  # doctest: +SKIP
    """
    options = options or AuditOptions()
    shown = _check(options)
    model = load(os.fspath(path), allow_external=options.allow_external)
    check_sizes(model, options.input_shapes, options.dims)
    constants = Constants(model)
    found = find_layers(model, constants, peepholes=options.peepholes)
    layers = [layer for layer in found if isinstance(layer, Layer)]
    whole = _whole(model, constants, found, options)
    nulls = NullModels(options.seed)
    measured = _measure(model, layers, nulls, options, progress)
    copies = find_copies({item.layer.name: item.mark for item in measured}, _reader(layers))
    figures = neural_persistence.network_persistence(
        {item.layer.name: item.forest for item in measured if item.forest is not None},
        scale=options.scale,  # type: ignore[arg-type]
        convention=options.convention,  # type: ignore[arg-type]
        p=options.p,
        counted=_counted(measured, copies, options),
    )
    coverage = _coverage(model, constants, found)
    report = Report(
        tool=ToolInfo("onnxtop", __version__, ALGORITHMS),
        model=_model_info(path, model, coverage),
        settings=_settings(options),
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
        layers=tuple(layer for layer in report.layers if shown.search(layer.name)),
        findings=tuple(f for f in findings if f.layer is None or shown.search(f.layer)),
    )


def _check(options: AuditOptions) -> re.Pattern[str]:
    """Refuse options that make no sense before any work; return the pattern of the layers shown."""
    for name, allowed in (
        ("bias", ("none", "row")),
        ("conv", ("flattened", "channels", "unrolled")),
        ("skips", ("keep", "cut")),
    ):
        if getattr(options, name) not in allowed:
            raise UsageError(f"wanted {name} one of {', '.join(allowed)}, found {getattr(options, name)!r}")
    neural_persistence.network_persistence(  # the measure's own checks, on a network without layers
        {},
        scale=options.scale,  # type: ignore[arg-type]
        convention=options.convention,  # type: ignore[arg-type]
        p=options.p,
    )
    try:
        return re.compile(options.layers or "")
    except re.error as error:
        raise UsageError(
            f"wanted a regular expression for layers, found {options.layers!r}: {error}"
        ) from None


@dataclass(frozen=True, eq=False)
class _Measured:
    """A layer and the forest of the graph that was measured; no forest where ``reason`` says why."""

    layer: Layer
    n_in: int
    n_out: int
    forest: Forest | None
    reason: str | None = None
    mark: Fingerprint | None = None
    fixed: str | None = None
    structure: Structure | None = None


def _measure(
    model: Model,
    layers: Sequence[Layer],
    nulls: NullModels,
    options: AuditOptions,
    progress: Progress | None,
) -> list[_Measured]:
    """Make the forest of every layer, holding one layer's weights at a time."""
    unrolled = options.topology and options.conv == "unrolled"
    shapes = infer_shapes(model, options.input_shapes, options.dims) if unrolled else {}
    total = sum(layer.parameters for layer in layers)
    done = 0
    measured = []
    for number, layer in enumerate(layers):
        if not options.topology:
            measured.append(_read_only(layer))
        elif layer.is_convolution and unrolled:
            measured.append(_unrolled(layer, number, shapes, nulls, options))
        else:
            measured.append(_dense(layer, number, nulls, options))
        done += layer.parameters
        if progress is not None:
            progress(layer.name, done, total)
    return measured


def _read_only(layer: Layer) -> _Measured:
    blocks = layer.blocks()
    marks = fingerprint(blocks), probably_fixed(blocks)
    return _Measured(layer, layer.n_in, layer.n_out, None, NOT_ASKED, *marks)


def _dense(layer: Layer, number: int, nulls: NullModels, options: AuditOptions) -> _Measured:
    weights = layer.blocks()
    kernel = layer.kernel() if options.conv == "channels" else None
    blocks = weights if kernel is None else convolution.channels(kernel)
    bias = _bias(layer, options)
    forest = neural_persistence.layer_forest(blocks, bias=bias, layer=number)
    n_in, n_out = (sum(block.shape[axis] for block in blocks) for axis in (0, 1))
    return _Measured(
        layer,
        n_in,
        n_out,
        forest,
        mark=fingerprint(blocks),
        fixed=None if forest.nonfinite else probably_fixed(blocks),
        structure=None
        if forest.nonfinite
        else _examined(layer, weights, blocks, nulls, bias=bias is not None),
    )


def _examined(
    layer: Layer, weights: Blocks, measured: Blocks | None, nulls: NullModels, *, bias: bool
) -> Structure:
    half = layer.encoding == "float16"
    return examine(weights, measured, layer.codes(), nulls, bias=bias, half=half)


def _unrolled(
    layer: Layer, number: int, shapes: Mapping[str, Shape], nulls: NullModels, options: AuditOptions
) -> _Measured:
    kernel = placed(layer, shapes)
    if kernel is None or kernel.in_size is None or kernel.out_size is None:
        return _Measured(layer, layer.n_in, layer.n_out, None, _SIZE_UNKNOWN)
    groups, c_out, c_in = kernel.weights.shape[:3]
    n_in, n_out = groups * c_in * math.prod(kernel.in_size), groups * c_out * math.prod(kernel.out_size)
    if not n_in or not n_out:
        return _Measured(layer, n_in, n_out, None, "one side of its unrolled graph is empty")
    if n_in + n_out > _UNROLLED_NEURONS:
        return _Measured(layer, n_in, n_out, None, f"its unrolled graph has over {_UNROLLED_NEURONS} neurons")
    forest = convolution.unrolled_forest(kernel, bias=_bias(layer, options), layer=number)
    blocks = layer.blocks()
    return _Measured(
        layer,
        n_in,
        n_out,
        forest,
        mark=fingerprint(blocks),
        fixed=None if forest.nonfinite else probably_fixed(blocks),
        structure=None if forest.nonfinite else _examined(layer, blocks, None, nulls, bias=False),
    )


def _bias(layer: Layer, options: AuditOptions) -> NDArray[np.float64] | None:
    return layer.bias() if options.bias == "row" else None


def _reader(layers: Sequence[Layer]) -> Callable[[str], Sequence[Matrix]]:
    by_name = {layer.name: layer for layer in layers}
    return lambda name: by_name[name].blocks()


def _counted(measured: Sequence[_Measured], copies: Mapping[str, str], options: AuditOptions) -> list[str]:
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
) -> deep_graph.DeepGraph:
    if options.topology:
        return deep_graph.measure(
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
    return deep_graph.DeepGraph(DeepGraphPersistence(reason=NOT_ASKED), Connectivity(reason=NOT_ASKED))


def _layer_report(
    measured: _Measured,
    copies: Mapping[str, str],
    figures: neural_persistence.LayerPersistence | None,
    nulls: NullModels,
) -> LayerReport:
    layer, forest = measured.layer, measured.forest
    structure = measured.structure
    null = null_figures(structure, figures, nulls)
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
            reason=measured.reason or (figures.reason if figures else None) or null.reason,
        ),
        copy_of=copies.get(layer.name),
        probably_fixed=measured.fixed,
        largest=None if forest is None or forest.nonfinite else forest.strongest,
        nonfinite=forest.nonfinite if forest else 0,
        variance=spread,
        exchangeability=told(structure, null.z),
        statistics=structure.statistics if structure else None,
        reason=None if spread is not None else measured.reason or NO_VARIANCE,
        source=source_line(layer.source.node),
    )


def _network(
    measured: Sequence[_Measured],
    copies: Mapping[str, str],
    figures: neural_persistence.NetworkPersistence,
    whole: deep_graph.DeepGraph,
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


def _coverage(model: Model, constants: Constants, found: Sequence[Layer | Skipped]) -> Coverage:
    counts = account(model, constants, found)
    skipped = [item for item in found if isinstance(item, Skipped)]
    total = counts.analysed + sum(counts.skipped)
    return Coverage(
        parameters_total=total,
        parameters_analysed=counts.analysed,
        fraction=counts.analysed / total if total else None,
        biases=counts.biases,
        normalisation=counts.normalisation,
        other_constants=sum(counts.other.values()),
        other_kinds=counts.other,
        unused=counts.unused,
        skipped=tuple(
            SkippedWeight(item.name, item.op_type, item.reason, share)
            for item, share in zip(skipped, counts.skipped, strict=True)
        ),
    )


def _model_info(path: str | os.PathLike[str], model: Model, coverage: Coverage) -> ModelInfo:
    return ModelInfo(
        path=os.fspath(path),
        sha256=model.sha256(),
        bytes=model.byte_count,
        producer=model.producer,
        ir_version=model.proto.ir_version,
        opset=model.opset,
        parameters=coverage.parameters_total + coverage.biases + coverage.normalisation,
        complaint=checker_note(model),
    )


def _settings(options: AuditOptions) -> Settings:
    return Settings(
        convention=options.convention,
        scale=options.scale,
        p="inf" if math.isinf(options.p) else options.p,
        bias=options.bias,
        conv=options.conv,
        topology=options.topology,
        peepholes=options.peepholes,
        count_fixed=options.count_fixed,
        skips=options.skips,
        inputs=options.inputs,
        outputs=options.outputs,
        seed=options.seed,
        layers=options.layers,
        input_shapes=options.input_shapes,
        dims=options.dims,
    )


def _defined(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
