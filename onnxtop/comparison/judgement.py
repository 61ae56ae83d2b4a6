"""Which differences count: the reasons why a layer is changed, in words."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from onnxtop.results.diff import Change, DiffSettings, Figure, LayerDiff, Verdict, WholeDiff
from onnxtop.results.words import changed_by

_SAME_FACTOR = 0.01
"""A factor this near to 1 is none worth a word."""
_SAME_DIRECTION = 0.999
_ROUNDED = 1e-4
"""A change of weights that casts and codes alone explain is no change of what was compared."""


def judge(layer: LayerDiff, settings: DiffSettings) -> LayerDiff:
    """Return the layer with the reasons why it counts as changed, and with what counts for nothing."""
    notes = list(layer.notes)
    if layer.encoding != layer.old_encoding:
        notes.append(f"encoding {layer.old_encoding}, now {layer.encoding}")
    order = [layer.order] if layer.order else []
    ties = [] if layer.retied is None else [layer.retied]
    changes = [*ties, *_weights(layer, settings), *([] if settings.permuted_ok else order)]
    return replace(layer, changes=tuple(changes), notes=(*notes, *(order if settings.permuted_ok else ())))


def with_layers(
    whole: WholeDiff, layers: Sequence[LayerDiff], settings: DiffSettings, *, recoded: bool
) -> WholeDiff:
    """Return the verdict with what layers say against it, where weights differ at all: topology, and ties.

    Of weights that are ``recoded``, a copy that is rounded by itself says nothing of a tie. Where a layer's
    weights differ by more than any constant of the two models, these were found the same by computing with
    those, as where a normalisation is folded into them: then the figures are of other numbers, those of all
    layers, as they share a scale.
    """
    most = max((change.relative or 0.0 for change in whole.changes), default=0.0)
    if whole.verdict is not Verdict.WITHIN or any(_is_rewritten(layer, most) for layer in layers):
        return whole
    found = []
    for layer in layers:
        moved = _moved(layer, settings)
        if moved is not None:
            found.append(
                Change("layer", layer.name, f"NP changed by {changed_by(moved)}", moved, counts=True)
            )
        if layer.retied is not None and not recoded:
            found.append(Change("layer", layer.name, layer.retied, None, counts=True))
    if not found:
        return whole
    reason = f"{whole.reason}, but not what became of layers"
    return replace(whole, verdict=Verdict.CHANGED, reason=reason, changes=(*found, *whole.changes))


def _is_rewritten(layer: LayerDiff, most: float) -> bool:
    """Tell whether weights differ by more than constants do that were compared, but for rounding."""
    relative = layer.weights.relative
    return relative is not None and relative > (1 + _SAME_FACTOR) * most + _ROUNDED


def _moved(layer: LayerDiff, settings: DiffSettings) -> float | None:
    """Return how far the NP of a layer whose weights differ moved, if that is more than it may."""
    moved = relative(layer.neural_persistence)
    return moved if layer.weights.relative and moved is not None and moved > settings.np_tolerance else None


def relative(figure: Figure) -> float | None:
    """Return the relative change of a figure, None if one of the two is not defined or the old one is 0."""
    if figure.old is None or figure.new is None or figure.old == 0:
        return None
    return abs(figure.new - figure.old) / abs(figure.old)


def _weights(layer: LayerDiff, settings: DiffSettings) -> Iterator[str]:
    change = layer.weights
    if change.reason is not None:
        yield change.reason
    if change.relative is not None and change.relative > settings.tolerance:
        yield f"weights changed by {changed_by(change.relative)}{_how(layer)}"
    moved = _moved(layer, settings)
    if moved is not None:
        yield f"NP changed by {changed_by(moved)}"


def _how(layer: LayerDiff) -> str:
    """Say what kind of change it is, where that is plain."""
    change = layer.weights
    if change.per_output:
        return ": a factor for each output"
    plain = change.cosine is not None and change.cosine > _SAME_DIRECTION and change.factor is not None
    if plain and change.factor is not None and abs(change.factor - 1) > _SAME_FACTOR:
        return f": all of them times {change.factor:.4g}"
    return ""
