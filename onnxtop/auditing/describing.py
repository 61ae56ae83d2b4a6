"""What a model file is, what of it was read, and what was measured of each layer, in the report's words."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from onnxtop.auditing.details import Band, Glance, ranks_of
from onnxtop.auditing.layers import Measured, Structure
from onnxtop.reader.account import Account, Role
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.model import Model
from onnxtop.reader.skeleton import checker_note
from onnxtop.reader.terms.facts import Function
from onnxtop.results.details import LayerDetails
from onnxtop.results.plain import finite_or_none
from onnxtop.results.report import Coverage, LayerPersistence, LayerReport, ModelInfo, SkippedWeight
from onnxtop.statistics.exchangeability import verdict
from onnxtop.statistics.facts import Exchangeability
from onnxtop.topology import neural_persistence
from onnxtop.topology.facts import LayerRole
from onnxtop.topology.null_model import NullFigures, NullModels
from onnxtop.topology.persistence import NO_DIAGRAM, Diagram

_LEFT_OUT = "left out: a quick report was asked for"
"""Why there is neither null model nor statistics of a layer that has a figure."""

_NO_VARIANCE = "no finite weight that is not zero sets the scale"
"""Why the variance of a layer is not defined."""


def coverage_of(counts: Account, found: Sequence[Layer | Skipped]) -> Coverage:
    """Say where every element of the model's constants went."""
    skipped = [item for item in found if isinstance(item, Skipped)]
    analysed = counts.total(Role.ANALYSED)
    total = analysed + counts.total(Role.SKIPPED)
    return Coverage(
        parameters_total=total,
        parameters_analysed=analysed,
        fraction=analysed / total if total else None,
        biases=counts.total(Role.BIAS),
        normalisation=counts.total(Role.NORMALISATION),
        other_constants=counts.total(Role.OTHER),
        other_kinds=counts.other,
        unused=counts.total(Role.UNUSED),
        constants=sum(entry.elements for entry in counts.entries),
        skipped=tuple(
            SkippedWeight(item.name, item.op_type, item.reason, counts.skipped(item)) for item in skipped
        ),
    )


def model_info(model: Model, coverage: Coverage, function: Function | None, *, outline: bool) -> ModelInfo:
    """Say what the file is; of an ``outline`` its bytes have no digest."""
    return ModelInfo(
        path=model.file.name,
        sha256=None if outline else model.file.sha256(),
        bytes=model.byte_count,
        producer=model.producer,
        ir_version=model.proto.ir_version,
        opset=model.opset,
        parameters=coverage.parameters_total + coverage.biases + coverage.normalisation,
        complaint=checker_note(model),
        function=function,
    )


def layer_report(
    measured: Measured,
    figures: neural_persistence.MatrixPersistence | None,
    nulls: NullModels,
    copy_of: str | None,
    role: LayerRole | None,
    details: Callable[[Glance, Diagram, Band | None], LayerDetails],
    *,
    diagrams: bool,
) -> LayerReport:
    """Complete a layer's row by what depends on the network: its scale, its other layers, its ways.

    ``details`` makes its details, where they were asked for; ``diagrams`` says whether to keep the diagram.
    """
    structure, forest = measured.structure, measured.forest
    diagram = figures.diagram if figures else NO_DIAGRAM
    null = _null_figures(measured, figures, nulls)
    left_out = _LEFT_OUT if structure is None and forest is not None and not forest.nonfinite else None
    spread = _variance(measured, figures)
    return replace(
        measured.row,
        neural_persistence=LayerPersistence(
            total=finite_or_none(figures.total if figures else None),
            normalized=finite_or_none(figures.normalized if figures else None),
            null_mean=null.mean,
            null_std=null.std,
            z=null.z,
            excess=null.excess,
            excess_share=null.excess_share,
            reason=measured.reason or (figures.reason if figures else None) or null.reason or left_out,
            diagram=diagram if diagrams else None,
        ),
        deep_graph_persistence=role,
        copy_of=copy_of,
        variance=spread,
        exchangeability=_exchangeability(structure, null.z) if structure else None,
        reason=None if spread is not None else measured.reason or left_out or _NO_VARIANCE,
        details=details(measured.seen, diagram, null.band) if measured.seen else None,
    )


def _exchangeability(structure: Structure, z: float | None) -> Exchangeability:
    return verdict(structure.evidence, z, structure.made_by, structure.bias_moved)


def _null_figures(
    measured: Measured, figures: neural_persistence.MatrixPersistence | None, nulls: NullModels
) -> NullFigures:
    """Compare a layer's neural persistence with its null model."""
    if measured.structure is None or figures is None:
        return NullFigures()
    return nulls.measure(
        measured.structure.strongest,
        figures.normalized,
        scale=figures.scale,
        convention=figures.convention,
        p=figures.p,
        at=ranks_of(figures.diagram) if measured.seen else None,
    )


def _variance(measured: Measured, figures: neural_persistence.MatrixPersistence | None) -> float | None:
    """Return the variance of |w| in units of the scale, None where it is not defined."""
    spread = measured.spread
    if spread is None or figures is None or not figures.scale > 0:
        return None
    unit = spread.largest / figures.scale
    scaled = spread.variance * unit * unit
    return scaled if math.isfinite(scaled) else None
