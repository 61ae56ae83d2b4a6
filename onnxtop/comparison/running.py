"""What a run of both models says about the verdict, and where to look for the first difference."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from onnxtop.execution.job import Places
from onnxtop.reader.layer import Layer
from onnxtop.reader.model import Model, Node
from onnxtop.reader.terms.lossy import CODING
from onnxtop.results.diff import Verdict, WholeDiff
from onnxtop.results.run import PairRun

_EXACT = ("float32", "float64")
_ALIKE = 0.8
"""Two models call their values alike if they share so many of the names of the smaller."""
_FOLLOWING = 2
"""So many operations behind a layer may be part of it in the other model: a bias, a change of layout."""
_ENDED = ("refused", "failed", "died")
PROVED = (Verdict.SAME, Verdict.EQUIVALENT)
"""Verdicts that nothing but rounding may speak against."""


@dataclass(frozen=True, eq=False)
class Side:
    """One of two models, with its layers in the order in which they are matched."""

    model: Model
    layers: Sequence[Layer]


def is_rounded(side: Side) -> bool:
    """Tell whether a model computes with codes or narrow floats, which round more than float32 does."""
    narrow = any(not str(layer.encoding).startswith(_EXACT) for layer in side.layers)
    return narrow or any(node.op_type in CODING or "Q" in node.op_type for node in side.model.nodes)


def places(old: Side, new: Side, pairs: Sequence[tuple[int, int]]) -> tuple[Places, ...]:
    """Return where values can be compared, in new order: at the layers in pairs, at values of one name."""
    ours, theirs = _made(old.model), _made(new.model)
    of_layer = {
        new.layers[b].used_by[0].node.index: (old.layers[a], new.layers[b])
        for a, b in pairs
        if old.layers[a].used_by and new.layers[b].used_by
    }
    alike = len(ours.keys() & theirs.keys()) >= _ALIKE * max(1, min(len(ours), len(theirs)))
    found = []
    for node in new.model.scope.nodes:
        names = _named(node, ours) if alike else ()
        if node.index in of_layer:
            before, after = of_layer[node.index]
            behind = (
                tuple(_behind(old.model, before.used_by[0].node, ours)),
                tuple(_behind(new.model, node, theirs)),
            )
            if all(behind):
                found.append(Places(after.name, before.name, after.op_type, *behind))
                continue
        found += [
            Places(node.name or name, ours[name].name or name, node.op, (name,), (name,)) for name in names
        ]
    return tuple(found)


def _made(model: Model) -> Mapping[str, Node]:
    """Return the nodes of the main graph by the values that they make, as the file has them."""
    written = {name for node in model.proto.graph.node for name in node.output}
    return {value.name: node for node in model.scope.nodes for value in node.outputs if value.name in written}


def _named(node: Node, others: Mapping[str, Node]) -> tuple[str, ...]:
    return tuple(
        value.name
        for value in node.outputs[:1]
        if value.name in others and others[value.name].op_type == node.op_type
    )


def _behind(model: Model, node: Node, made: Mapping[str, Node]) -> Iterator[str]:
    """Yield what a node makes, and what is made of that alone by the next few."""
    for _ in range(1 + _FOLLOWING):
        if not node.outputs:
            return
        value = node.outputs[0]
        if value.name in made:
            yield value.name
        uses = model.users.get(value, ())
        if len(uses) != 1:
            return
        node = uses[0].node


def decided(whole: WholeDiff, run: PairRun | None) -> WholeDiff:
    """Return the verdict after a run: one that says against it, decides it, or has nothing to say."""
    if run is None:
        return whole
    if run.failure is not None:
        return _with_failure(whole, run)
    compared = [output for output in run.outputs if output.largest is not None]
    if not compared:
        return whole
    if not run.differs:
        if whole.verdict is Verdict.UNPROVEN:
            reason = f"on these inputs; {whole.reason}"
            return replace(whole, verdict=Verdict.NONE_FOUND, reason=reason)
        return whole
    if whole.verdict in PROVED:
        reason = (
            f"the outputs differ on the same inputs, although the graphs were found {whole.verdict} "
            f"({whole.reason}): one of the two is wrong, please report this"
        )
        return replace(whole, verdict=Verdict.CHANGED, reason=reason)
    if whole.verdict is Verdict.WITHIN:
        reason = f"the outputs differ by more than the tolerance; {whole.reason}"
        return replace(whole, verdict=Verdict.CHANGED, reason=reason)
    if whole.verdict is Verdict.UNPROVEN:
        return replace(whole, verdict=Verdict.CHANGED, reason=f"the outputs differ; {whole.reason}")
    return whole


def _with_failure(whole: WholeDiff, run: PairRun) -> WholeDiff:
    """Let the new model's failure be a change: the old one, which always goes first, did not fail there."""
    failure = run.failure
    assert failure is not None
    if failure.kind not in _ENDED or not run.failed_new or whole.verdict is Verdict.CHANGED:
        return whole
    reason = f"the new model does not run: {failure.reason}; {whole.reason}"
    return replace(whole, verdict=Verdict.CHANGED, reason=reason)
