"""What a layer's weights say beside their topology: null model, exchangeability, units and codes.

A layer is examined while its weights are in memory; what depends on the network's scale is told later.
"""

import math
from dataclasses import dataclass

from onnxtop.network import Blocks, RawCodes
from onnxtop.results.report import Exchangeability
from onnxtop.statistics import exchangeability, initialisers
from onnxtop.statistics.facts import LayerStatistics
from onnxtop.statistics.layer import layer_statistics
from onnxtop.topology.neural_persistence import LayerPersistence
from onnxtop.topology.null_model import BIAS_ROW, UNROLLED, NullFigures, NullModels, StrongestWeights

__all__ = ["LEFT_OUT", "NO_VARIANCE", "Structure", "examine", "null_figures", "told", "variance"]

NO_VARIANCE = "no finite weight that is not zero sets the scale"
"""Why the variance of a layer is not defined."""


LEFT_OUT = "left out: a quick report was asked for"
"""Why there is neither null model nor statistics of a layer that has a figure."""


@dataclass(frozen=True, eq=False)
class Structure:
    """What is kept of a layer; ``no_null`` says why there is no null model, where there is none."""

    statistics: LayerStatistics | None
    shuffled: exchangeability.Exchangeability
    initialiser: initialisers.InitialiserMatch | None
    strongest: StrongestWeights | None
    no_null: str | None


def examine(
    weights: Blocks,
    measured: Blocks | None,
    codes: RawCodes | None,
    nulls: NullModels,
    *,
    bias: bool,
    half: bool,
) -> Structure:
    """Examine a layer.

    Parameters
    ----------
    weights
        Its matrices.
    measured
        The matrices of the graph whose neural persistence is measured; None for an unrolled convolution.
    codes
        The codes behind the weights, if they are quantised.
    nulls
        The null models of this audit.
    bias
        Whether the bias takes part in the graph: then there is no null model.
    half
        Whether the weights are stored as float16.
    """
    shuffled = exchangeability.exchangeability(weights)
    untrained = exchangeability.verdict(shuffled, None).exchangeable
    no_null = UNROLLED if measured is None else BIAS_ROW if bias else None
    return Structure(
        statistics=layer_statistics(weights, codes, half=half),
        shuffled=shuffled,
        initialiser=initialisers.closest_initialiser(weights) if untrained else None,
        strongest=nulls.read(measured) if measured is not None and no_null is None else None,
        no_null=no_null,
    )


def null_figures(
    structure: Structure | None, figures: LayerPersistence | None, nulls: NullModels
) -> NullFigures:
    """Compare a layer's neural persistence with its null model."""
    if structure is None or structure.strongest is None or figures is None or figures.reason is not None:
        return NullFigures(reason=structure.no_null if structure else None)
    return nulls.measure(
        structure.strongest,
        figures.normalized,
        scale=figures.scale,
        convention=figures.convention,
        p=figures.p,
    )


def variance(structure: Structure | None, figures: LayerPersistence | None) -> float | None:
    """Return the variance of |w| in units of the scale, None where it is not defined."""
    raw = structure.shuffled.variance if structure else None
    if raw is None or figures is None or not figures.scale > 0:
        return None
    scaled = raw / figures.scale / figures.scale
    return scaled if math.isfinite(scaled) else None


def told(structure: Structure | None, z: float | None) -> Exchangeability | None:
    """Return the verdict on a layer, as the report tells it."""
    if structure is None:
        return None
    measured, made = structure.shuffled, structure.initialiser
    verdict = exchangeability.verdict(measured, z)
    return Exchangeability(
        exchangeable=verdict.exchangeable,
        structured=verdict.structured,
        row_share=measured.row_share,
        column_share=measured.column_share,
        z_rows=measured.z_rows,
        z_columns=measured.z_columns,
        spectrum=measured.spectrum,
        initialiser=made.name if made else None,
        distance=made.distance if made else None,
        fits=made.fits and made.name not in initialisers.FITTED if made else None,
        reason=verdict.reason,
    )
