"""Whether two whole models are one function: the verdict, by what it was proved, and what differs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from onnxtop.comparison.coders import Coders
from onnxtop.comparison.constants import Changes
from onnxtop.comparison.walk import Difference, Walk
from onnxtop.reader.model import Model
from onnxtop.reader.skeleton import types_note
from onnxtop.reader.terms import lossy
from onnxtop.reader.terms.graph import Graphs, Whole
from onnxtop.reader.terms.interface import Remark, is_recast
from onnxtop.reader.terms.sizes import PINNED, Pins
from onnxtop.results.diff import Change, DiffSettings, Verdict, WholeDiff

_ORDER = ("removed", "inserted", "replaced", "unmatched", "edge", "attribute", "version", "constant")
"""What differs, the most important first."""
_UNCERTAIN = ("unmatched", "version")
_REMARK = 100
"""What a difference of the interface costs: no reading of the graphs explains it away."""
_LEVELS = (
    "the same operations on the same constants",
    "equal in real arithmetic",
    "equal but for rounding",
)


@dataclass(frozen=True, eq=False)
class _Attempt:
    """The models compared at one level."""

    level: int
    whole: Whole
    walk: Walk
    found: tuple[Difference, ...]
    counting: tuple[Difference, ...]
    remarks: int
    told: tuple[str, ...]

    @property
    def cost(self) -> float:
        return sum(each.cost for each in self.counting) + _REMARK * self.remarks


def judge_whole(old: Model, new: Model, settings: DiffSettings) -> WholeDiff:
    """Compare two models as functions; what is not proved is never called the same."""
    whole = _compared(old, new, settings)
    if whole.verdict.passes and whole.level:  # operations were written anew, as if their types were right
        notes = {word: types_note(model) for word, model in (("old", old), ("new", new))}
        refused = [(word, note) for word, note in notes.items() if note]
        if len(refused) == 1:
            reason = f"only the {refused[0][0]} model is refused by ONNX's type inference: {refused[0][1]}"
            return replace(whole, verdict=Verdict.UNPROVEN, reason=reason)
    return whole


def _compared(old: Model, new: Model, settings: DiffSettings) -> WholeDiff:
    graphs, changes = Graphs(old, new), Changes()
    attempts: list[_Attempt] = []
    for level, pinned in _levels(graphs):
        if level > 1 and not _rounds(graphs, attempts[-1].whole):
            break
        whole = graphs.terms(level, pinned)
        for other in PINNED[1:] if pinned else ():  # against what holds at the first sizes alone
            if whole.is_equal:
                whole = graphs.terms(level, other)
        coders = Coders(whole, attempts[-1].whole, changes, settings.tolerance) if level > 1 else None
        recoded = coders.found if coders else ()
        told = coders.told if coders else ()
        if whole.is_equal and not recoded:
            return _equal(graphs, level, whole, told)
        walk = Walk(whole, changes)
        found = (*walk.found, *recoded)
        remarks = sum(each.counts for each in _remarks(graphs, level))
        attempts.append(_Attempt(level, whole, walk, found, tuple(_counting(found, settings)), remarks, told))
    plain = attempts[0]
    best = plain if _is_decisive(plain) else min(attempts, key=lambda each: each.cost)
    return _different(graphs, best)


def _is_decisive(plain: _Attempt) -> bool:
    """Tell whether models differ in constants of floats alone as they stand, which computing may hide."""
    changes = [each.change for each in plain.counting]
    return bool(changes) and all(each is not None and each.relative < float("inf") for each in changes)


def same_bytes() -> WholeDiff:
    """Return what is said of two files that hold the same bytes."""
    return WholeDiff(verdict=Verdict.SAME, reason="the files hold the same bytes")


def _levels(graphs: Graphs) -> Iterator[tuple[int, Pins | None]]:
    first = PINNED[0] if graphs.is_open else None
    yield from ((0, None), (1, None))
    if first:
        yield 1, first
    yield 2, first


def _rounds(graphs: Graphs, whole: Whole) -> bool:
    """Tell whether the models differ in what level 2 leaves out, or multiplies into weights."""
    kinds = [_rounding(whole, side) for side in (0, 1)]
    pairs = ((graphs.inputs.old[a], graphs.inputs.new[b]) for a, b in graphs.inputs.pairs)
    return kinds[0] != kinds[1] or any(is_recast(a, b) for a, b in pairs)


def _rounding(whole: Whole, side: int) -> Counter[str]:
    """Count casts, codes, normalisations and factors of a model, and note the types of its floats."""
    found: Counter[str] = Counter()
    for item in whole.table.reached(whole.outputs[side]):
        term = whole.table.terms[item]
        if lossy.rounds(whole.builder, term):
            found[term.op] += 1
        if term.constant is not None and term.constant.is_float:
            found[str(term.constant.dtype)] = 1
    return found


def _counting(found: Sequence[Difference], settings: DiffSettings) -> Iterator[Difference]:
    """Yield the differences that count."""
    for each in found:
        change = each.change
        small = change is not None and change.is_within(settings.tolerance)
        ordered = change is not None and bool(change.order) and settings.permuted_ok
        if not small and not ordered:
            yield each


def _remarks(graphs: Graphs, level: int) -> list[Remark]:
    """Return what differs in the interface; level 2 lets the type of floats pass."""
    remarks = [*graphs.inputs.remarks, *graphs.outputs.remarks]
    if level < 2:
        return remarks
    recast = {
        f"{ports.kind} {ports.old[a].name}"
        for ports in (graphs.inputs, graphs.outputs)
        for a, b in ports.pairs
        if is_recast(ports.old[a], ports.new[b])
    }
    return [Remark(each.where, each.what, each.counts and each.where not in recast) for each in remarks]


def _equal(graphs: Graphs, level: int, whole: Whole, told: Sequence[str]) -> WholeDiff:
    remarks = _remarks(graphs, level)
    dropped = _dropped(whole, told)
    lossless = level < 2
    reason = _LEVELS[level]
    verdict = Verdict.SAME if level == 0 else Verdict.EQUIVALENT if lossless else Verdict.WITHIN
    if verdict is Verdict.SAME and not (graphs.inputs.exact and _fused(graphs)):
        verdict, reason = Verdict.EQUIVALENT, _LEVELS[0]
    if any(each.counts for each in remarks):
        verdict, reason = Verdict.CHANGED, f"the interface changed; {reason}"
    return WholeDiff(
        verdict=verdict,
        reason=reason,
        level=level,
        interface=tuple(map(_interface, remarks)),
        dropped=dropped,
        operations=_operations(whole),
        matched=_operations(whole)[0],
    )


def _fused(graphs: Graphs) -> bool:
    """Tell whether both models hold the same fused operations: those are written out when a model is read."""
    counts = [
        Counter(node.op for node in model.nodes if node.origin is not node.proto) for model in graphs.models
    ]
    return counts[0] == counts[1]


def _dropped(whole: Whole, coders: Sequence[str], walk: Walk | None = None) -> tuple[str, ...]:
    """Name what was assumed and what was left out."""
    told = [f"{what} ({count})" for what, count in sorted(whole.builder.dropped.items())]
    told += coders
    if walk is not None:
        told += [f"{what}: {', '.join(sorted(names))}" for what, names in sorted(walk.cut.items())]
    if whole.defaults:
        told.append(f"that nothing overrides the defaults of {', '.join(whole.defaults)}")
    if whole.sizes:
        names = ", ".join(sorted(whole.sizes))
        one, two, *more = (str(pins.first) for pins in PINNED)
        first = f"first axes of {' and '.join(more)}"
        equal = "; those that an operation takes only if they are equal are equal" if whole.joined else ""
        told.append(f"open sizes of {names}: tried from {one} and from {two} on, and {first}{equal}")
    return tuple(told)


def _operations(whole: Whole) -> tuple[int, int]:
    """Return how many operations each model consists of, each counted once."""
    counts = [
        sum(whole.table.terms[item].constant is None for item in whole.table.reached(outputs))
        for outputs in whole.outputs
    ]
    return counts[0], counts[1]


def _different(graphs: Graphs, best: _Attempt) -> WholeDiff:
    remarks = _remarks(graphs, best.level)
    found = sorted(best.found, key=lambda each: (_ORDER.index(each.kind), -_size(each)))
    counting = set(map(id, best.counting))
    verdict, reason = _judged(best, any(each.counts for each in remarks))
    return WholeDiff(
        verdict=verdict,
        reason=reason,
        level=best.level,
        changes=tuple(_change(each, id(each) in counting) for each in found),
        interface=tuple(map(_interface, remarks)),
        dropped=_dropped(best.whole, best.told, best.walk),
        operations=_operations(best.whole),
        matched=best.walk.shared,
    )


def _judged(best: _Attempt, interface: bool) -> tuple[Verdict, str]:
    kinds = Counter(each.kind for each in best.counting)
    told = ", ".join(_counted(kind, kinds[kind]) for kind in _ORDER if kinds[kind])
    if interface:
        return Verdict.CHANGED, "the interface changed" + (f"; {told}" if told else "")
    if not best.counting:
        if best.found or best.walk.cut:
            return Verdict.WITHIN, "the same operations; their constants differ within the tolerance"
        return Verdict.UNPROVEN, "no place was found where the models part"
    if _is_open(best.counting, kinds) or _is_written_out(best.whole, kinds):
        return Verdict.UNPROVEN, f"what differs may still be the same function: {told}"
    return Verdict.CHANGED, told


def _is_open(counting: Sequence[Difference], kinds: Counter[str]) -> bool:
    """Tell whether what differs may be one function written in two ways."""
    alone = {operation for each in counting for operation in each.operations}
    closed = any("." in operation for operation in alone) or bool(alone & lossy.CODING)
    rearranged = bool(kinds["removed"] and kinds["inserted"])
    if not (closed or rearranged or any(kinds[kind] for kind in _UNCERTAIN)):
        return False
    return not any(each.change is not None and _size(each) < float("inf") for each in counting)


def _is_written_out(whole: Whole, kinds: Counter[str]) -> bool:
    """Tell whether the models differ in an operation that one of them may hold as several others."""
    old, new = _operations(whole)
    return set(+kinds) == {"replaced"} and old != new


def _size(difference: Difference) -> float:
    return difference.cost if difference.change is None else difference.change.relative


_WORDS = {
    "removed": "removed operation",
    "inserted": "inserted operation",
    "replaced": "replaced operation",
    "unmatched": "region that cannot be matched",
    "edge": "changed edge",
    "attribute": "operation with other attributes",
    "version": "operation of another opset",
    "constant": "changed constant",
}


def _counted(kind: str, count: int) -> str:
    word = _WORDS[kind]
    if count == 1:
        return f"1 {word}"
    first, _, rest = word.partition(" ") if kind in ("unmatched", "attribute", "version") else (word, "", "")
    return f"{count:,} {first}s {rest}".strip()


def _change(each: Difference, counts: bool) -> Change:
    relative = each.change.relative if each.change is not None else None
    finite = relative if relative is not None and relative < float("inf") else None
    return Change(each.kind, each.where, each.what, finite, counts)


def _interface(remark: Remark) -> Change:
    return Change("interface", remark.where, remark.what, None, remark.counts)
