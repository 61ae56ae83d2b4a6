"""OT2, what users ask first: whether this was trained at all, and the right weights were loaded.

What makes a layer, and a network, look untrained is said in `onnxtop.glossary.untrained`, once.
"""

from onnxtop.glossary.untrained import ENOUGH_LAYERS, ENOUGH_WEIGHTS, FRESH, FRESH_NETWORK, STRUCTURE
from onnxtop.results.report import LOOKS_UNTRAINED, LayerReport, Report
from onnxtop.rules import needs
from onnxtop.rules.rule import Found, Policy, rule
from onnxtop.statistics.facts import Exchangeability
from onnxtop.statistics.initialisers import ORTHOGONAL, is_bounded
from onnxtop.statistics.orthonormal import ORTHONORMAL

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
    how=f"{STRUCTURE} {FRESH}",
    false_alarms="Layers frozen on purpose; none in small networks once they had begun "
    "(docs/studies/usefulness.md).",
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
    LOOKS_UNTRAINED,
    "error",
    needs=(needs.statistics,),
    what="Nearly all layers of the network look freshly initialised.",
    why="The file holds a network before its training: the checkpoint was never loaded.",
    how=FRESH_NETWORK,
    false_alarms="None among the published files and snapshots of training that were counted. A network of "
    "random features is meant to be like this.",
    source=_SOURCE,
)
def looks_untrained(report: Report, policy: Policy) -> Found:
    if _is_untrained(report, policy):
        layers = judged(report)
        if len(layers) < ENOUGH_LAYERS:
            layers = own_weights(report)
        alike = [layer for layer in layers if _is_untouched(layer) or _is_as_drawn(layer)]
        fits = [_of(layer).initialiser for layer in alike if _of(layer).fits and _is_as_drawn(layer)]
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
    how=f"{STRUCTURE} No structure, and nothing else that speaks for a fresh start.",
    false_alarms="Small layers, in which a few hundred steps leave no trace that these statistics see: in "
    "the small networks of docs/studies/usefulness.md one layer in six once they are trained, four in five "
    "when they have only begun; layers that training with normalisations made even.",
    source=_SOURCE,
)
def no_structure(report: Report, policy: Policy) -> Found:
    if not _is_untrained(report, policy):
        for layer in judged(report):
            if _is_untouched(layer) and not _looks_reset(layer):
                yield layer.name, f"its weights {_without_structure(_of(layer).mark)}"


def _without_structure(mark: str | None) -> str:
    if mark is None:
        return "cannot be told from their own shuffles: they show no training"
    return f"have no structure, and show no training: {mark}, as an initialiser or a mask leaves it"


def own_weights(report: Report) -> list[LayerReport]:
    """Return the layers that may have been trained, each weight once."""
    return [layer for layer in report.layers if layer.copy_of is None and layer.probably_fixed is None]


def judged(report: Report) -> list[LayerReport]:
    """Return those that are large enough to be judged by themselves, or orthonormal."""
    return [
        layer
        for layer in own_weights(report)
        if (_of(layer).exchangeable is not None and not _of(layer).is_small) or _is_orthonormal(layer)
    ]


def untouched(report: Report) -> list[LayerReport]:
    """Return those of them that show no training."""
    return [layer for layer in judged(report) if _is_untouched(layer)]


def _is_untrained(report: Report, policy: Policy) -> bool:
    """Tell whether nothing in a network shows training, as the glossary has it."""
    most, layers, large = policy.band("untrained.share").max, own_weights(report), judged(report)
    alike = [layer for layer in large if _is_untouched(layer)]
    proven = bool(alike) and all(map(_is_orthonormal, alike))
    small = any(_of(layer).is_small and _of(layer).exchangeable is False for layer in layers)
    if most is None or small or (_was_moved(report) and not proven):
        return False
    if len(large) >= ENOUGH_LAYERS:
        shows = proven or report.coverage.normalisation or any(map(_shows_a_step, layers))
        return len(alike) >= most * len(large) and bool(shows)
    return (proven and len(alike) == len(layers) > 1) or (
        not report.coverage.skipped and all(map(_is_as_drawn, layers)) and any(map(_shows_a_step, layers))
    )


def _was_moved(report: Report) -> bool:
    return bool(report.network.moved) or any(_of(layer).bias_moved for layer in report.layers)


def _shows_a_step(layer: LayerReport) -> bool:
    """Tell whether a layer as drawn would be another after the first step of training.

    Of the orthonormal ones a small one is no proof alone: so are the principal components of some data.
    """
    found = _of(layer)
    if _is_orthonormal(layer):
        return bool(found.exchangeable)
    return layer.parameters >= ENOUGH_WEIGHTS and not found.is_zero and _is_at_the_start(found)


def _is_at_the_start(found: Exchangeability) -> bool:
    """Tell whether the bias is as at the start, or the weights are by an initialiser that has a bound."""
    return found.bias_moved is False or (found.fits is not False and is_bounded(found.initialiser))


def _is_untouched(layer: LayerReport) -> bool:
    return bool(_of(layer).exchangeable) or _is_orthonormal(layer)


def _is_as_drawn(layer: LayerReport) -> bool:
    found = _of(layer)
    drawn = found.is_zero or bool(found.fits)
    return drawn and found.exchangeable is not False and not found.bias_moved


def _looks_reset(layer: LayerReport) -> bool:
    """Tell whether a layer is as drawn, and a step of training would have shown."""
    found = _of(layer)
    fresh = _is_as_drawn(layer) and not found.is_small and _is_at_the_start(found)
    return fresh or _is_orthonormal(layer)


def _is_orthonormal(layer: LayerReport) -> bool:
    """Tell whether rows or columns are orthogonal to float precision, which no training leaves."""
    found = _of(layer)
    return bool(found.fits) and found.initialiser == ORTHOGONAL and (found.distance or 0.0) <= ORTHONORMAL


def _of(layer: LayerReport) -> Exchangeability:
    return layer.exchangeability or Exchangeability()
