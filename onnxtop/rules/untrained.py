"""OT2, what users ask first: whether this was trained at all, and the right weights were loaded."""

from onnxtop.results.report import LayerReport, Report
from onnxtop.rules.rule import Found, Policy, rule
from onnxtop.statistics.facts import Exchangeability

_LAYERS, _FEWEST = 3, 2
_SOURCE = (
    "Johnstone 2001 for the edge of the spectrum; measured on 604 layers of 125 published files; "
    "`onnxtop explain exchangeability`"
)


@rule(
    "OT207",
    "warning",
    what="The weights of a layer have no structure: they look freshly initialised.",
    why="The layer was never trained, never loaded, or was reset, in a network that was trained otherwise.",
    how="Three statistics against the same weights shuffled, none of which finds anything: z of neural "
    "persistence (3), concentration of large weights in rows or columns (4), largest singular value (4). "
    "At least 1,024 weights and 8 rows and columns.",
    false_alarms="2 % of the layers of trained files, mostly small convolutions; layers frozen on purpose.",
    source=_SOURCE,
)
def untrained_layer(report: Report, policy: Policy) -> Found:
    if not _is_untrained(report, policy):
        for layer in _with_verdict(report):
            if _of(layer).exchangeable:
                made_by = _made_by(layer)
                yield layer.name, f"its weights have no structure: they look freshly initialised{made_by}"


@rule(
    "OT208",
    "error",
    what="Nearly all layers of the network look freshly initialised.",
    why="The file holds a network before its training: the checkpoint was never loaded.",
    how="As untrained-layer, for a share of `untrained.share` of the layers that can be judged: "
    "at least 3, or 2 that fit an initialiser.",
    false_alarms="None in 125 published files; a network of random features is meant to be like this.",
    source=_SOURCE,
)
def looks_untrained(report: Report, policy: Policy) -> Found:
    if _is_untrained(report, policy):
        judged = _with_verdict(report)
        alike = [layer for layer in judged if _of(layer).exchangeable]
        yield (
            None,
            f"looks untrained: the weights of {len(alike)} of {len(judged)} layers that can be judged have "
            f"no structure{_made_by(alike[0])}",
        )


def _with_verdict(report: Report) -> list[LayerReport]:
    return [
        layer
        for layer in report.layers
        if layer.copy_of is None and layer.probably_fixed is None and _of(layer).exchangeable is not None
    ]


def _is_untrained(report: Report, policy: Policy) -> bool:
    judged = _with_verdict(report)
    alike = [_of(layer) for layer in judged if _of(layer).exchangeable]
    most = policy.band("untrained.share").max
    if most is None or len(report.layers) < _LAYERS or len(alike) < max(most * len(judged), _FEWEST):
        return False
    return len(judged) >= _LAYERS or all(each.fits for each in alike)


def _of(layer: LayerReport) -> Exchangeability:
    return layer.exchangeability or Exchangeability()


def _made_by(layer: LayerReport) -> str:
    found = _of(layer)
    return f", as by {found.initialiser}" if found.fits else ""
