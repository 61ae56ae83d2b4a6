"""Where two graphs of terms part: from the outputs down, what is shared stops the walk.

Terms that take the same constant, which nothing else takes in either model, are anchors. Where operations
differ, a bounded look-ahead finds the nearest pair below that belongs together; what stands between is
inserted, removed or replaced.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from onnxtop.comparison.constants import Changes, ConstantChange
from onnxtop.reader.terms.call import MARK
from onnxtop.reader.terms.canonical import VERSION
from onnxtop.reader.terms.graph import Whole
from onnxtop.reader.terms.names import operand_name
from onnxtop.reader.terms.table import COMMUTATIVE, CONSTANT, INPUT, GraphTerm

_AHEAD = 60
"""Terms that the look-ahead visits on either side."""
_DEEP = 3
_ALIKE = 0.9
_RELATED = 0.25
_NEXT = 0.02
"""What each step further away takes off a likeness."""
_WORTH = 0.15
"""How much more alike a pair further down must be than two terms of one operation."""
_GAIN = 0.001
"""How much more alike a pair must be than one that was found before it."""
_ANCHOR = 4
"""Constants of fewer elements are no anchors."""
_SHOWN = 4
"""Operations that are named one by one."""

Pairing = tuple[int | None, int | None, int | None, int | None, int]
"""An old and a new term, what takes them on either side, and as which operand."""


@dataclass(frozen=True)
class Difference:
    """One place where the models differ; ``cost`` is how much it takes to explain it.

    ``kind`` is "inserted", "removed", "replaced", "unmatched" (several operations for others), "edge",
    "attribute", "version" or "constant", whose ``change`` says how. ``operations`` are those that only one
    model has there.
    """

    kind: str
    where: str
    what: str
    cost: float = 1.0
    change: ConstantChange | None = None
    operations: tuple[str, ...] = ()


class Walk:
    """Compares the terms of two models; ``found`` are the differences.

    Two constants are compared once, however many operations take them: ``changes`` hands on what was found
    from one level to the next. ``cut`` names the nodes where what only one model has is what a quantiser cuts
    off, by what that is.
    """

    def __init__(self, whole: Whole, changes: Changes) -> None:
        self._table = whole.table
        self._assumed = whole.builder.assumed
        self.found: list[Difference] = []
        self.cut: dict[str, set[str]] = defaultdict(set)
        self._ours: dict[int, int | None] = {}
        self._theirs: dict[int, int | None] = {}
        self._likeness: dict[tuple[int, int, int], float] = {}
        self._compared: set[tuple[int, int, int | None]] = set()
        self._changes = changes
        self._old = self._table.reached(whole.outputs[0])
        self._new = self._table.reached(whole.outputs[1])
        self._anchor_of: dict[int, int] = {}
        self._anchored: dict[int, int] = {}
        self._find_anchors()
        ends = [*enumerate(zip(*whole.outputs, strict=True))]
        self._stack: list[Pairing] = [(a, b, None, None, place) for place, (a, b) in reversed(ends)]
        self._run()

    @property
    def shared(self) -> int:
        """How many operations both models have in common."""
        common = self._old & self._new
        matched = sum(other is not None and other >= 0 for other in self._ours.values())
        return sum(self._table.terms[item].op != CONSTANT for item in common) + matched

    def _find_anchors(self) -> None:
        users = [self._users(side) for side in (self._old, self._new)]
        for constant in sorted(users[0].keys() & users[1].keys()):
            if len(users[0][constant]) == len(users[1][constant]) == 1:
                (ours,), (theirs,) = users[0][constant], users[1][constant]
                if self._term(ours).op == self._term(theirs).op:
                    self._anchor_of[ours], self._anchored[theirs] = theirs, ours

    def _users(self, reached: set[int]) -> dict[int, set[int]]:
        users: dict[int, set[int]] = defaultdict(set)
        for item in reached:
            for operand in self._term(item).operands:
                held = self._table.held(operand)
                if operand is not None and held is not None and held.size >= _ANCHOR:
                    users[operand].add(item)
        return users

    def _term(self, item: int) -> GraphTerm:
        return self._table.terms[item]

    def _run(self) -> None:
        while self._stack:
            old, new, above_old, above_new, place = self._stack.pop()
            if old == new:
                continue
            if old is None or new is None:
                self._one_side(old, new, above_old, above_new, place)
            elif self._term(old).op == self._term(new).op == CONSTANT:
                self._constants(old, new, above_old, above_new, place)
            elif old in self._ours or new in self._theirs:
                if self._ours.get(old) != new and not self._is_cut(old, new):
                    self._edge(old, new, above_old, above_new, place)
            else:
                self._pair(old, new, above_old, place)

    def _one_side(
        self, old: int | None, new: int | None, above_old: int | None, above_new: int | None, place: int
    ) -> None:
        above, side, item = (above_new, 1, new) if old is None else (above_old, 0, old)
        held = self._table.held(item)
        word = "inserted" if old is None else "removed"
        if above is None:
            self._say(word, f"output {place}", "only in one model")
            return
        operand = operand_name(self._term(above).op, place)
        what = "a constant" if held is not None else self._told(side, item or 0)
        self._say("edge", self._name(side, above), f"operand {operand} {word}: {what}")

    def _is_cut(self, old: int, new: int) -> bool:
        """Tell whether two terms differ in nothing but what a quantiser cuts off, and note it."""
        bare = [self._uncut(item) for item in (old, new)]
        if bare == [old, new] or not (bare[0] == bare[1] or self._ours.get(bare[0]) == bare[1]):
            return False
        for side, item in enumerate((old, new)):
            if item in self._assumed:
                self.cut[self._assumed[item]].add(self._name(side, item))
        return True

    def _uncut(self, item: int) -> int:
        source = self._term(item).operands[0] if item in self._assumed else None
        return item if source is None else source

    def _edge(self, old: int, new: int, above_old: int | None, above_new: int | None, place: int) -> None:
        was, now = self._told(0, old), self._told(1, new)
        if above_old is None:
            self._say("edge", f"output {place}", f"taken from {was}, now from {now}")
        else:
            operand = operand_name(self._term(above_old).op, place)
            self._say("edge", self._name(0, above_old), f"operand {operand} taken from {was}, now from {now}")

    def _pair(self, old: int, new: int, above_old: int | None, place: int) -> None:
        ours, theirs = self._term(old), self._term(new)
        below_old, below_new, (value, x, y) = self._best(old, new)
        if (x, y) == (old, new) and ours.op == theirs.op:
            if ours.op == INPUT and _key(ours) == _key(theirs):
                self._ours[old], self._theirs[new] = new, old  # the interface says how they differ
            elif ours.op == INPUT:
                self._edge(old, new, above_old, None, place)
            else:
                self._matched(old, new)
                self._descend(old, new)
        elif value < _RELATED or (x, y) == (old, new):
            self._ours[old], self._theirs[new] = new, old
            what = f"{self._told(0, old)}, now {self._told(1, new)}; nothing before them could be matched"
            self._say("unmatched", self._name(0, old), what, 30)
        else:
            self._region(_path(below_old, x, old), _path(below_new, y, new), x, y)
            self._stack.append((x, y, None, None, 0))

    def _best(
        self, old: int, new: int
    ) -> tuple[dict[int, int | None], dict[int, int | None], tuple[float, int, int]]:
        """Return the most alike pair at or below two terms, and the ways there.

        No two are more alike than a term is to itself, and each step down takes something off: where even
        that would be no gain, nothing further down is looked at.
        """
        ours, theirs = self._term(old), self._term(new)
        value = self._alike(old, new)
        best = (value, old, new)
        swapped = ours.op == theirs.op and _same_set(ours, theirs)
        needed = value + (_WORTH if ours.op == theirs.op else _GAIN)
        if value >= _ALIKE or swapped or needed >= 1.0 - _NEXT:
            return {}, {}, best
        (ways_old, depth_old), (ways_new, depth_new) = (self._below(item, needed) for item in (old, new))
        by_op: dict[str, list[int]] = defaultdict(list)
        for y in depth_new:
            by_op[self._term(y).op].append(y)
        for x, deep_x in depth_old.items():  # nearest first, as are those of the other side
            if 1.0 - _NEXT * deep_x <= needed:
                break
            for y in by_op.get(self._term(x).op, ()):
                deep = deep_x + depth_new[y]
                if 1.0 - _NEXT * deep <= needed:
                    break
                if not deep or not self._may_pair(x, y):
                    continue
                value = self._alike(x, y) - _NEXT * deep
                if value > needed:
                    best, needed = (value, x, y), value + _GAIN
        return ways_old, ways_new, best

    def _may_pair(self, old: int, new: int) -> bool:
        return old == new or (old not in self._ours and new not in self._theirs)

    def _below(self, item: int, needed: float) -> tuple[dict[int, int | None], dict[int, int]]:
        """Return the terms near below one that may gain: by which way they are reached, and how deep."""
        ways: dict[int, int | None] = {item: None}
        depths = {item: 0}
        queue = deque([item])
        while queue and len(ways) < _AHEAD:
            here = queue.popleft()
            if 1.0 - _NEXT * (depths[here] + 1) <= needed:
                break
            for operand in self._term(here).operands:
                if operand is not None and operand not in ways and self._term(operand).op != CONSTANT:
                    ways[operand], depths[operand] = here, depths[here] + 1
                    queue.append(operand)
        return ways, depths

    def _alike(self, old: int | None, new: int | None, depth: int = _DEEP) -> float:
        """Return how alike two terms are, from 0 to 1."""
        if old == new:
            return 1.0
        if old is None or new is None:
            return 0.0
        key = (old, new, depth)
        if key not in self._likeness:
            self._likeness[key] = self._measured(old, new, depth)
        return self._likeness[key]

    def _measured(self, old: int, new: int, depth: int) -> float:
        ours, theirs = self._term(old), self._term(new)
        if ours.constant is not None and theirs.constant is not None:
            return 0.7 if ours.constant.shape == theirs.constant.shape else 0.1
        if ours.op != theirs.op:
            return 0.0
        if self._anchor_of.get(old) == new:
            return 0.98
        if old in self._anchor_of or new in self._anchored:
            return 0.05
        if self._table.skeletons[old] == self._table.skeletons[new]:
            return 0.95
        if not ours.operands and not theirs.operands:
            return 0.1
        if depth == 0:
            return 0.4
        count = max(len(ours.operands), len(theirs.operands), 1)
        pairs = zip(ours.operands, theirs.operands, strict=False)
        mean = sum(self._alike(x, y, depth - 1) for x, y in pairs) / count
        return 0.3 + 0.6 * mean - (0.05 if ours.attributes != theirs.attributes else 0.0)

    def _matched(self, old: int, new: int) -> None:
        """Note that two terms of one operation are each other, and compare their attributes."""
        self._ours[old], self._theirs[new] = new, old
        before, after = dict(self._term(old).attributes), dict(self._term(new).attributes)
        names = sorted(name for name in before.keys() | after.keys() if _differs(before, after, name))
        shown = [name for name in names if not name.startswith(MARK)]
        if names == [VERSION] or names == [f"{MARK}opset"]:
            what = (
                f"as opset {before.get(names[0], 'of today')} has it, now {after.get(names[0], 'of today')}"
            )
            self._say("version", self._name(0, old), what)
        elif names:
            told = [f"{n} {_value(before.get(n))}, now {_value(after.get(n))}" for n in shown or names]
            self._say("attribute", self._name(0, old), "; ".join(told))

    def _descend(self, old: int, new: int) -> None:
        ours, theirs = self._term(old), self._term(new)
        left, right = list(ours.operands), list(theirs.operands)
        if ours.op not in COMMUTATIVE and left != right and _same_set(ours, theirs):
            self._say("edge", self._name(0, old), "its operands in another order")
            return
        count = max(len(left), len(right))
        left += [None] * (count - len(left))
        right += [None] * (count - len(right))
        if ours.op in COMMUTATIVE and count == 2:
            crossed = self._alike(left[0], right[1]) + self._alike(left[1], right[0])
            if crossed > self._alike(left[0], right[0]) + self._alike(left[1], right[1]):
                right.reverse()
        pairs = zip(left, right, strict=True)
        self._stack += [(x, y, old, new, place) for place, (x, y) in enumerate(pairs)][::-1]

    def _region(self, old: Sequence[int], new: Sequence[int], old_end: int, new_end: int) -> None:
        """Compare the operations that stand between two pairs that belong together."""
        self._ours.update(dict.fromkeys(old, -1))
        self._theirs.update(dict.fromkeys(new, -1))
        ours, theirs = ([self._term(item).op for item in items] for items in (old, new))
        steps = SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()
        chain_old, chain_new = [*old, old_end], [*new, new_end]
        for kind, a, b, c, d in steps:
            if kind == "equal":
                for i, j in zip(range(a, b), range(c, d), strict=True):
                    self._link(chain_old, i, chain_new, j)
            else:
                self._parted(old[a:b], new[c:d], {*chain_old}, {*chain_new})

    def _link(self, old: Sequence[int], i: int, new: Sequence[int], j: int) -> None:
        """Match two operations on the way, and go on with their other operands."""
        ours, theirs = self._term(old[i]), self._term(new[j])
        self._matched(old[i], new[j])
        left, right = list(ours.operands), list(theirs.operands)
        places = [left.index(old[i + 1]), right.index(new[j + 1])]
        if ours.op not in COMMUTATIVE and places[0] != places[1]:
            self._say("edge", self._name(0, old[i]), "its operands in another order")
        del left[places[0]], right[places[1]]
        count = max(len(left), len(right))
        left += [None] * (count - len(left))
        right += [None] * (count - len(right))
        for number, (x, y) in enumerate(zip(left, right, strict=True)):
            self._stack.append((x, y, old[i], new[j], number + 1 if places[0] <= number else number))

    def _parted(
        self, old: Sequence[int], new: Sequence[int], chain_old: set[int], chain_new: set[int]
    ) -> None:
        """Tell of operations that only one model has on the way; pair what else they take."""
        only = {*old, *new}
        if only and only <= self._assumed.keys():
            for side, items in enumerate((old, new)):
                for item in items:
                    self.cut[self._assumed[item]].add(self._name(side, item))
            return
        was, now = self._listed(0, old), self._listed(1, new)
        kind = "replaced" if len(old) == len(new) == 1 else "unmatched"
        where = self._name(0, old[0]) if old else self._name(1, new[0])
        what = f"{was}, now {now}"
        if not old or not new:
            kind, what = ("removed", was) if old else ("inserted", now)
        if all(map(self._may_be_idle, only)):
            kind = "unmatched"
        operations = tuple(self._term(item).op for item in (*old, *new))
        self.found.append(Difference(kind, where, what, len(operations), None, operations))
        foreign = any("." in operation for operation in operations)
        left, right = self._taken(old, chain_old, foreign), self._taken(new, chain_new, foreign)
        for x in left:
            if not right:
                break
            y = max(right, key=lambda item: self._alike(x, item))
            if self._alike(x, y) > 0.3:
                right.remove(y)
                self._stack.append((x, y, old[0], new[0], -1))

    def _may_be_idle(self, item: int) -> bool:
        """Tell whether a cast may leave its operand as it is, whose type is not known."""
        term = self._term(item)
        return term.op in ("Cast", "CastLike") and self._table.dtype(term.operands[0]) is None

    def _taken(self, items: Sequence[int], chain: set[int], foreign: bool) -> list[int]:
        """Return what operations take beside each other; where some are of other domains, no constants.

        How those lay out and divide what they store is not known: none of it has a counterpart.
        """
        operands = [operand for item in items for operand in self._term(item).operands]
        return [
            each
            for each in operands
            if each is not None and each not in chain and not (foreign and self._term(each).op == CONSTANT)
        ]

    def _constants(
        self, old: int, new: int, above_old: int | None, above_new: int | None, place: int
    ) -> None:
        if (old, new, above_old) in self._compared:
            return
        self._compared.add((old, new, above_old))
        before, after = self._table.held(old), self._table.held(new)
        assert before is not None
        assert after is not None
        above = above_old
        where = f"output {place}" if above is None else self._name(0, above)
        operand = "" if above is None else operand_name(self._term(above).op, place)
        told = f"constant {operand}".strip()
        if new in self._old and after.size >= _ANCHOR:
            self._say("edge", where, f"{told} is now one that the old model takes elsewhere")
            return
        change = self._changes.of(before, after)
        self._say("constant", where, f"{told}: {change.what}", change=change)

    def _say(
        self, kind: str, where: str, what: str, cost: float = 1.0, change: ConstantChange | None = None
    ) -> None:
        self.found.append(Difference(kind, where, what, cost, change))

    def _name(self, side: int, item: int) -> str:
        origin = self._table.origins[side].get(item)
        return self._term(item).op if origin is None else f"{origin.op} {origin.name}"

    def _told(self, side: int, item: int) -> str:
        """Name a term: its operation, and the node that it was made for if that is another."""
        term, origin = self._term(item), self._table.origins[side].get(item)
        if origin is None or origin.op == term.op:
            return self._name(side, item)
        return origin.name if term.op == INPUT else f"{term.op} ({origin.op} {origin.name})"

    def _listed(self, side: int, items: Iterable[int]) -> str:
        told = [self._told(side, item) for item in items]
        more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
        return ", ".join(told[:_SHOWN]) + more


def _path(ways: dict[int, int | None], end: int, start: int) -> list[int]:
    """Return the terms on the way down to one, itself not included."""
    passed: list[int] = []
    here = ways[end] if end != start else None
    while here is not None:
        passed.append(here)
        here = ways[here]
    return passed[::-1]


def _key(term: GraphTerm) -> object:
    return dict(term.attributes).get("key")


def _same_set(ours: GraphTerm, theirs: GraphTerm) -> bool:
    return sorted(map(str, ours.operands)) == sorted(map(str, theirs.operands))


def _differs(before: dict[str, object], after: dict[str, object], name: str) -> bool:
    return repr(before.get(name)) != repr(after.get(name))


def _value(value: object) -> str:
    return (
        value.decode(errors="replace")
        if isinstance(value, bytes)
        else "unset"
        if value is None
        else f"{value}"
    )
