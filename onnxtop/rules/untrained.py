"""OT2, what users ask first: whether this was trained at all, and the right weights were loaded."""

from onnxtop.results.report import LayerReport, Report
from onnxtop.rules import needs
from onnxtop.rules.rule import Found, Policy, rule
from onnxtop.statistics.facts import Exchangeability
from onnxtop.statistics.initialisers import ORTHOGONAL, ORTHONORMAL

_LAYERS, _FEWEST = 3, 2
_SOURCE = (
    "Johnstone 2001 for the edge of the spectrum; counted in docs/rules.md, calibration; "
    "`onnxtop explain exchangeability`"
)


@rule(
    "OT207",
    "warning",
    needs=(needs.statistics,),
    what="The weights of a layer are as an initialiser draws them: it looks freshly initialised.",
    why="The layer was never trained, never loaded, or was reset, in a network that was trained otherwise.",
    how="Three statistics against the same weights shuffled, none of which finds anything: z of neural "
    "persistence (3), concentration of large weights in rows or columns (4), largest singular value (4). "
    "Their distribution is that of an initialiser for a layer of its sides, and the bias is one number or as "
    "PyTorch draws it. Or rows or columns are orthonormal to float precision, up to a factor for each. At "
    "least 1,024 weights and 8 rows and columns for the statistics; of lines that were normalised to one "
    "length, the first two are not asked.",
    false_alarms="Layers frozen on purpose. Of a layer without a bias nothing is said here.",
    source=_SOURCE,
)
def untrained_layer(report: Report, policy: Policy) -> Found:
    if not _is_untrained(report, policy):
        for layer in judged(report):
            if _looks_reset(layer):
                yield (
                    layer.name,
                    f"it looks freshly initialised: its weights are as by {_of(layer).initialiser}",
                )


@rule(
    "OT208",
    "error",
    needs=(needs.statistics,),
    what="Nearly all layers of the network look freshly initialised.",
    why="The file holds a network before its training: the checkpoint was never loaded.",
    how="No structure in the weights, or orthonormal ones, as untrained-layer, for a share of "
    "`untrained.share` of the layers that can be judged: at least 3, or 2 that fit an initialiser. And, "
    "unless all of these are orthonormal, no bias and no parameter of normalisation that training moved: "
    "biases are one number or as PyTorch draws them, the entries of the others are equal.",
    false_alarms="None among the published files and snapshots of training that were counted. A network of "
    "random features is meant to be like this.",
    source=_SOURCE,
)
def looks_untrained(report: Report, policy: Policy) -> Found:
    if _is_untrained(report, policy):
        layers = judged(report)
        alike = [layer for layer in layers if _is_untouched(layer)]
        fits = [_of(layer).initialiser for layer in alike if _is_as_drawn(layer)]
        yield (
            None,
            f"looks untrained: the weights of {len(alike)} of {len(layers)} layers that can be judged have "
            f"no structure{f', as by {fits[0]}' if fits else ''}",
        )


@rule(
    "OT209",
    "note",
    needs=(needs.statistics,),
    what="The weights of a layer cannot be told from their own shuffles.",
    why="Nothing in them shows that the layer was trained; nothing shows that it was not.",
    how="The three statistics of untrained-layer find nothing, and nothing else speaks for a fresh start.",
    false_alarms="Small layers, in which a few hundred steps leave no trace that these statistics see.",
    source=_SOURCE,
)
def no_structure(report: Report, policy: Policy) -> Found:
    if not _is_untrained(report, policy):
        for layer in judged(report):
            if _is_untouched(layer) and not _looks_reset(layer):
                yield layer.name, "its weights cannot be told from their own shuffles: they show no training"


def judged(report: Report) -> list[LayerReport]:
    """Return the layers that can be judged, each weight once."""
    own = [layer for layer in report.layers if layer.copy_of is None and layer.probably_fixed is None]
    return [layer for layer in own if _of(layer).exchangeable is not None or _is_orthonormal(layer)]


def untouched(report: Report) -> list[LayerReport]:
    """Return those of them that show no training."""
    return [layer for layer in judged(report) if _is_untouched(layer)]


def _is_untrained(report: Report, policy: Policy) -> bool:
    layers = judged(report)
    alike = [layer for layer in layers if _is_untouched(layer)]
    most = policy.band("untrained.share").max
    moved = bool(report.network.moved) or any(_of(layer).bias_moved for layer in report.layers)
    if moved and not all(map(_is_orthonormal, alike)):
        return False
    if most is None or len(report.layers) < _FEWEST or len(alike) < max(most * len(layers), _FEWEST):
        return False
    return len(layers) >= _LAYERS or all(map(_is_as_drawn, alike))


def _is_untouched(layer: LayerReport) -> bool:
    return bool(_of(layer).exchangeable) or _is_orthonormal(layer)


def _is_as_drawn(layer: LayerReport) -> bool:
    drawn = bool(_of(layer).exchangeable) and bool(_of(layer).fits) and not _of(layer).bias_moved
    return drawn or _is_orthonormal(layer)


def _looks_reset(layer: LayerReport) -> bool:
    """Tell whether a bias as at the start speaks for it too: few steps leave no trace in small weights."""
    return _is_as_drawn(layer) and (_of(layer).bias_moved is False or _is_orthonormal(layer))


def _is_orthonormal(layer: LayerReport) -> bool:
    """Tell whether rows or columns are orthogonal to float precision, which no training leaves."""
    found = _of(layer)
    return bool(found.fits) and found.initialiser == ORTHOGONAL and (found.distance or 0.0) <= ORTHONORMAL


def _of(layer: LayerReport) -> Exchangeability:
    return layer.exchangeability or Exchangeability()
