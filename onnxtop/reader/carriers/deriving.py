"""Which weights can be computed: what else is on the way is constant, or the same whatever sizes stay open.

How many copies are made makes no difference, if copies are all that more of them give; of a table of matrices
that the input chooses from, each is computed for itself.
"""

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

import numpy as np

from onnxtop.reader.carriers.chains import Chain, Chains
from onnxtop.reader.carriers.choices import choice_count, choosing, is_choice
from onnxtop.reader.carriers.shapes import Setting
from onnxtop.reader.constants import UnreadableConstantError, tells
from onnxtop.reader.declared import Shape
from onnxtop.reader.evaluate import is_computed
from onnxtop.reader.model import Node, Value
from onnxtop.reader.search import folded

_EXPERTS = 4096
"""Matrices of one table that are read as layers of their own."""


@dataclass(frozen=True)
class _Hindrance:
    """Why a value cannot be computed, and how far away that is; else whether it is chosen or copied."""

    distance: float = math.inf
    reason: str = ""
    varies: bool = False


@dataclass(eq=False)
class Deriving:
    """Computes what the chains of one claim carry."""

    chains: Chains
    _hindered: dict[Value, _Hindrance] = field(default_factory=dict)
    _hindering: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.constants, self.shapes = self.chains.constants, self.chains.spanning.shapes

    def derived(self, value: Value) -> dict[str, Value]:
        """Return the constants that a weight comes to, the matrices of a table by their names."""
        chain = self.chains.chain(value)
        if chain is None:
            return {}
        given = self._given(chain)
        experts = self._experts(chain)
        if not experts:
            return {"": self.constants.derive(value, given)}
        (count,) = {choice_count(expert, self.shapes) for expert in experts}
        form = self._form(chain)
        return {
            f"expert{entry}": self.constants.derive(
                value, given | choosing(entry, experts, self.shapes), form
            )
            for entry in range(count)
        }

    def _form(self, chain: Chain) -> Hashable:
        """Return what makes a value of its leaves: two top experts are chosen from one table in one way."""
        return tuple(
            (
                node.op_type,
                str(node.attributes()),
                *(value in self.constants and value for value in node.inputs),
            )
            for node in chain.nodes
        )

    def _experts(self, chain: Chain) -> list[Node]:
        return [node for node in chain.nodes if is_choice(node, self.shapes)]

    # What hinders.

    def reason(self, value: Value) -> str:
        """Return why a weight cannot be computed, "" if it can."""
        chain = self.chains.chain(value)
        if chain is None:
            return ""
        hindrance = folded(value, self._followed, self._nearest, self._hindered)
        if hindrance.reason or not hindrance.varies:
            return hindrance.reason
        experts = self._experts(chain)
        copied = [node for node in chain.nodes if self._is_copied(node)]
        if copied and not experts and not self._is_repeated(value, chain, copied):
            return f"changes with the input in {copied[0].op}"
        counts = {choice_count(expert, self.shapes) for expert in experts}
        if len({expert.inputs[1] for expert in experts}) > 1 or len(counts) > 1 or not all(counts):
            return f"changes with the input in {experts[0].op}"
        if counts and max(counts) > _EXPERTS:
            return f"{experts[0].op} chooses from {max(counts)} matrices, more than {_EXPERTS}"
        return ""

    def _followed(self, value: Value) -> list[Value]:
        return [] if self._hinders(value) else self.chains.followed(value)

    def _nearest(self, value: Value, beyond: list[_Hindrance]) -> _Hindrance:
        """Return what is nearest that hinders a value from being computed, as if the chain were walked."""
        reason = self._hinders(value)
        if reason:
            return _Hindrance(0, reason)
        node = self.chains.between(value)
        varies = node is not None and (is_choice(node, self.shapes) or self._is_copied(node))
        nearest = min(beyond, key=lambda each: each.distance, default=_Hindrance())
        varies = varies or any(each.varies for each in beyond)
        return _Hindrance(nearest.distance + 1, nearest.reason, varies)

    def _hinders(self, value: Value) -> str:
        """Return why what makes a value cannot be computed, "" if it can."""
        node = self.chains.between(value)
        if node is None:
            return ""
        if node.index not in self._hindering:
            self._hindering[node.index] = self._hindrance(node)
        return self._hindering[node.index]

    def _hindrance(self, node: Node) -> str:
        if self.chains.spanning.is_made(node):
            return ""
        if node.op_type != "If" and not is_computed(node):
            return f"goes through {node.op}, which is not computed"
        if node.op_type == "If" or any(setting is None for setting in self._settings_of(node).values()):
            return f"changes with the input in {node.op}"
        return ""

    # Settings: what is on the way besides.

    def _given(self, chain: Chain) -> dict[Value, Setting]:
        """Return the settings on a chain, which no size of the input changes."""
        made = self.chains.spanning.is_made
        moving = [self._settings_of(node) for node in chain.nodes if not made(node)]
        return {value: held for own in moving for value, held in own.items() if held is not None}

    def _settings_of(self, node: Node) -> dict[Value, Setting | None]:
        """Return the inputs that neither are constant nor carry the weight, None where they change."""
        if is_choice(node, self.shapes):
            return {}
        carriers = self.chains.followed(node.outputs[0])
        settings: dict[Value, Setting | None] = {}
        for place, value in enumerate(node.inputs):
            if value is None or not tells(node, place) or value in self.constants or value in carriers:
                continue
            settings[value] = self.shapes.setting(value)
            if settings[value] is None and _copies(node):
                settings[value] = np.ones(_length(self.shapes.dims(value)), np.int64)  # one copy
        return settings

    def _is_copied(self, node: Node) -> bool:
        """Tell whether how many copies a node makes depends on the input."""
        count = node.inputs[1] if _copies(node) and len(node.inputs) > 1 else None
        return count is not None and count not in self.constants and self.shapes.setting(count) is None

    def _is_repeated(self, value: Value, chain: Chain, copied: Iterable[Node]) -> bool:
        """Tell whether several copies on the way give several copies of an operand, and nothing else."""
        given = self._given(chain)
        try:
            one = self.constants.compute(value, given)
            several = self.constants.compute(value, given | dict(map(self._twice, copied)))
            times = [new // old for new, old in zip(several.shape, one.shape, strict=True)]
            return np.tile(one, times).tobytes() == several.tobytes()
        except (UnreadableConstantError, ValueError, ZeroDivisionError):
            return False

    def _twice(self, node: Node) -> tuple[Value, Setting]:
        """Return how many copies a node makes where every size that is not known is 2."""
        count = node.inputs[1]
        assert count is not None
        try:
            return count, self.shapes.with_sizes(count, 2)
        except (UnreadableConstantError, ValueError, IndexError, KeyError):
            length = _length(self.shapes.dims(count))
            dims = (self.shapes.dims(node.inputs[0]) if node.inputs[0] is not None else None) or ()
            own = (1,) * (length - len(dims)) + dims
            one = [size if node.op_type == "Expand" else 1 for size in own[:length]]
            return count, np.array([2 if size == 1 else 1 for size in one], np.int64)


def _copies(node: Node) -> bool:
    """Tell whether a node makes copies of its first input, as many as its second says."""
    return node.domain == "" and node.op_type in ("Expand", "Tile")


def _length(dims: Shape | None) -> int:
    """Return how many entries a vector has, 0 if that is not known."""
    return (dims[0] or 0) if dims else 0
