"""What two models take and give: which input is which, and what differs in names, order, types and shapes."""

from collections.abc import Sequence
from dataclasses import dataclass

from onnxtop.reader.declared import Declared, Shape
from onnxtop.reader.terms.constant import is_float


@dataclass(frozen=True)
class Remark:
    """A difference of the interface; ``counts`` if it changes what the model may be given, or gives."""

    where: str
    what: str
    counts: bool


@dataclass(frozen=True)
class Ports:
    """Inputs or outputs of two models: their places in pairs, and what differs.

    ``exact`` says whether they are declared alike, but for names.
    """

    kind: str
    old: tuple[Declared, ...]
    new: tuple[Declared, ...]
    pairs: tuple[tuple[int, int], ...]
    remarks: tuple[Remark, ...]

    @property
    def exact(self) -> bool:
        """Whether they are declared alike, but for names."""
        return all(_agree(self.old[a], self.new[b]) for a, b in self.pairs)


def ports(kind: str, old: Sequence[Declared], new: Sequence[Declared]) -> Ports:
    """Pair inputs or outputs: by name those that both have, the others in their order."""
    pairs = _pairs([item.name for item in old], [item.name for item in new])
    remarks = []
    if len(old) != len(new):
        names = [", ".join(item.name for item in items) for items in (old, new)]
        remarks.append(Remark(f"{kind}s", f"{len(old)} ({names[0]}), now {len(new)} ({names[1]})", True))
    elif any(a != b for a, b in pairs):
        names = [", ".join(item.name for item in items) for items in (old, new)]
        remarks.append(Remark(f"{kind}s", f"in another order: {names[0]}, now {names[1]}", True))
    for a, b in pairs:
        remarks += _compared(kind, old[a], new[b])
    return Ports(kind, tuple(old), tuple(new), tuple(pairs), tuple(remarks))


def _pairs(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    in_old, in_new = _first_places(old), _first_places(new)
    left = [place for place, name in enumerate(new) if name not in in_old]
    rest = [place for place, name in enumerate(old) if name not in in_new]
    named = [(in_old[name], in_new[name]) for name in old if name in in_new]
    return sorted([*named, *zip(rest, left, strict=False)])


def _first_places(names: Sequence[str]) -> dict[str, int]:
    return {name: place for place, name in reversed([*enumerate(names)])}


def _compared(kind: str, old: Declared, new: Declared) -> list[Remark]:
    where = f"{kind} {old.name}"
    remarks = [] if old.name == new.name else [Remark(where, f"is called {new.name}", False)]
    if (old.data_type, old.kind) != (new.data_type, new.kind):
        remarks.append(Remark(where, f"{old}, now {new}", True))
    elif not _agree(old, new):
        remarks.append(Remark(where, f"{old}, now {new}", not fits(old.shape, new.shape)))
    return remarks


def _agree(old: Declared, new: Declared) -> bool:
    return (old.data_type, old.shape, old.kind) == (new.data_type, new.shape, new.kind)


def fits(old: Shape | None, new: Shape | None) -> bool:
    """Tell whether some shape is one of both."""
    if old is None or new is None:
        return True
    return len(old) == len(new) and all(
        a is None or b is None or a == b for a, b in zip(old, new, strict=True)
    )


def is_recast(old: Declared, new: Declared) -> bool:
    """Tell whether two differ in nothing but the type of their floats."""
    kinds = old.dtype, new.dtype
    if kinds[0] is None or kinds[1] is None or kinds[0] == kinds[1]:
        return False
    return is_float(kinds[0]) and is_float(kinds[1]) and fits(old.shape, new.shape)
