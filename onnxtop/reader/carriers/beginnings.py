"""What lies before a value: the input, or sizes alone, products, what numbers positions."""

from dataclasses import dataclass, field

from onnxtop.reader.carriers.shapes import is_size
from onnxtop.reader.carriers.spanning import is_weighted, mixes
from onnxtop.reader.constants import Constants
from onnxtop.reader.model import Model, Value
from onnxtop.reader.search import gathered

_COUNTERS = frozenset({"CumSum", "NonZero", "Range"})
"""Operations that number positions."""


@dataclass(eq=False)
class Beginnings:
    """Knows of every value what goes into it, whether it carries the value or not."""

    model: Model
    constants: Constants
    _known: dict[Value, frozenset[str]] = field(default_factory=dict)

    def numbers_positions(self, value: Value) -> bool:
        """Tell whether sizes alone make a value, counting."""
        return self.kinds(value) - {"mixed"} == {"size", "counter"}

    def kinds(self, value: Value) -> frozenset[str]:
        """Return which kinds of things go into a value: input, size, product, counter, mixed."""
        return gathered(value, self._made_of, self._own, self._known)

    def _own(self, value: Value) -> frozenset[str]:
        node = self.model.producers.get(value)
        if value in self.constants:
            return frozenset()
        if node is None:
            return frozenset({"input"})
        kinds = {
            "size": is_size(node),
            "product": is_weighted(node),
            "counter": node.op_type in _COUNTERS,
            "mixed": mixes(node),
        }
        return frozenset(kind for kind, holds in kinds.items() if holds)

    def _made_of(self, value: Value) -> list[Value]:
        node = self.model.producers.get(value)
        if value in self.constants or node is None or is_size(node):
            return []
        return [item for item in (*node.inputs, *self.constants.exits(value)) if item is not None]
