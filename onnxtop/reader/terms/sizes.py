"""Sizes that stand for open ones, while both models are written at them.

Each open size has one of its own, so that what is equal at them is no coincidence. Two that an operation
takes only if they are one are one, as batches are that no name ties; and where nothing is left of a value,
as of a short sequence under a long window, all but first axes are tried longer: nothing tells apart what
holds no element.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

from onnxtop.reader.declared import Declared, Shape
from onnxtop.reader.terms.table import Table
from onnxtop.reader.terms.types import takes


class Pins(NamedTuple):
    """Sizes that stand for open ones: of a first axis, mostly the batch, and of others; from each on."""

    first: int
    other: int


PINNED = (Pins(13, 13), Pins(29, 29), Pins(1, 128), Pins(100, 16))
"""What is equal at one size may be a coincidence; one entry, or many, may be treated otherwise."""


_LONGER = (128, 1024, 8192, 0)
"""What is added to sizes while something is lost, one after the other; nothing if it is so at any."""
_REFITS = 16
"""So often at most other sizes are looked for."""


class OpenSizes:
    """The sizes of two models' inputs at which these are written, by the places of the inputs."""

    def __init__(self) -> None:
        self._same: dict[Hashable, Hashable] = {}
        self._pinned: dict[int, Hashable] = {}
        self._longer = 0
        self._lengths = iter(_LONGER)
        self._refits = 0

    @property
    def joined(self) -> bool:
        """Whether some sizes are one that need not be called so."""
        return bool(self._same)

    def pin(
        self, shapes: Mapping[int, Shape | None], ports: Sequence[Declared], start: Pins
    ) -> dict[str, Shape]:
        """Return the shapes of inputs that have open sizes, with numbers in place of these."""
        pins: dict[Hashable, int] = {}
        sizes: dict[str, Shape] = {}
        for place, shape in shapes.items():
            item = ports[place]
            if shape is None or None not in shape:
                continue
            names = item.names if item.shape is not None else [""] * len(shape)
            sizes[item.name] = tuple(
                self._size(name or (place, axis), self._start(start, axis, len(shape)), pins)
                if size is None
                else size
                for axis, (size, name) in enumerate(zip(shape, names, strict=True))
            )
        self._pinned = {size: key for key, size in pins.items()}
        return sizes

    def _start(self, start: Pins, axis: int, rank: int) -> int:
        return start.other + self._longer if axis or rank == 1 < start.first else start.first

    def _size(self, key: Hashable, start: int, pins: dict[Hashable, int]) -> int:
        root = self._root(key)
        return root if isinstance(root, int) else pins.setdefault(root, start + 2 * len(pins))

    def _root(self, key: Hashable) -> Hashable:
        while key in self._same:
            key = self._same[key]
        return key

    def refit(self, table: Table, outputs: Sequence[int | None]) -> bool:
        """Tell whether terms made at the last sizes ask for others, which are the next."""
        if self._refits == _REFITS:
            return False
        self._refits += 1
        return self._lengthen(table, outputs) or self._join(table, outputs)

    def _lengthen(self, table: Table, outputs: Sequence[int | None]) -> bool:
        if not any(_is_lost(table, item) for item in table.reached(outputs)):
            return False
        longer = next(self._lengths, None)
        self._longer = longer or 0
        return longer is not None

    def _join(self, table: Table, outputs: Sequence[int | None]) -> bool:
        """Make sizes one that some operation takes only then; tell whether there were such."""
        before = len(self._same)
        for item in sorted(table.reached(outputs)):
            for other, one in self._that_fit(table, item).items() if _is_misfit(table, item) else ():
                root = self._root(self._pinned.get(one, one))
                if self._pinned[other] not in self._same and self._pinned[other] != root:
                    self._same[self._pinned[other]] = root
        return len(self._same) > before

    def _that_fit(self, table: Table, item: int) -> Mapping[int, int]:
        """Return which sizes have to be which others, along no more axes than needed."""
        along = [each for each in self._along_axes(table, item) if each]
        if not along or not takes(table, item, _merged(along)):
            return {}
        for each in list(along):
            fewer = [other for other in along if other is not each]
            if fewer and takes(table, item, _merged(fewer)):
                along = fewer
        return _merged(along)

    def _along_axes(self, table: Table, item: int) -> Iterator[Mapping[int, int]]:
        """Yield for each axis, from the last on, what its open sizes are if all operands have one there."""
        shapes = [(table.shape(operand) or ())[::-1] for operand in table.terms[item].operands]
        for sizes in zip_longest(*shapes):
            known = dict.fromkeys(size for size in sizes if size is not None and size > 1)
            fixed = [size for size in known if size not in self._pinned]
            one = next(iter(fixed or known), 0)
            yield {size: one for size in known if size in self._pinned and size != one}


def _merged(mappings: Iterable[Mapping[int, int]]) -> Mapping[int, int]:
    return {size: one for mapping in mappings for size, one in mapping.items()}


def _is_lost(table: Table, item: int) -> bool:
    """Tell whether nothing is left of operands that hold something."""
    sizes = table.sizes(item)
    if table.held(item) is not None or sizes is None or min(sizes, default=1) > 0:
        return False
    before = [table.sizes(operand) for operand in table.terms[item].operands]
    return not any(each is not None and min(each, default=1) < 1 for each in before)


def _is_misfit(table: Table, item: int) -> bool:
    """Tell whether a term alone has no type, which all of its operands have."""
    term = table.terms[item]
    kinds = [table.terms[operand].type for operand in term.operands if operand is not None]
    return term.type is None and len(kinds) > 1 and None not in kinds
