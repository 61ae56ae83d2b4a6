"""How much a model's functions are, written out: refused beforehand where it is more than allowed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from onnx import FunctionProto, GraphProto, NodeProto

from onnxtop.reader.functions.calls import Key, key_of
from onnxtop.reader.limits import GIB, Limits
from onnxtop.reader.protos import attribute_bodies, nodes_in

COPIES = 4
"""Of what is written out, in memory while onnx does it."""


def check_extent(
    graph: GraphProto, functions: Mapping[Key, FunctionProto], order: Iterable[Key], limits: Limits
) -> None:
    """Refuse what would be more operations, levels or bytes than allowed with all functions written out."""
    bodies: dict[Key, _Body] = {}
    for key in order:
        bodies[key] = _body(functions[key], functions, bodies)
    whole = _Tally(functions, bodies, counts_names=False)
    whole.add(graph.node)
    limits.check("nesting", whole.depth)
    limits.check("nodes", whole.size)
    limits.check("functions", whole.size - sum(1 for _ in nodes_in(graph)))
    limits.check("structure", COPIES * whole.byte_count / GIB)


@dataclass(frozen=True)
class _Default:
    """What a call is given more that leaves an attribute out, wherever the body writes it."""

    size: int = 0
    depth: int = 0
    byte_count: int = 0


@dataclass(frozen=True)
class _Body:
    """What a function is, written out: operations, levels, bytes, and how often it writes what it is given.

    ``values`` counts names of values, ``references`` those of attributes. ``all_defaults`` are the sums of
    ``defaults``: a call takes from them what it gives itself, so that each is not gone through at each call.
    """

    size: int = 0
    depth: int = 0
    byte_count: int = 0
    values: Mapping[str, int] = field(default_factory=dict)
    references: Mapping[str, int] = field(default_factory=dict)
    defaults: Mapping[str, _Default] = field(default_factory=dict)
    all_defaults: _Default = _Default()


_NOTHING = _Body()


def _body(
    function: FunctionProto, functions: Mapping[Key, FunctionProto], known: Mapping[Key, _Body]
) -> _Body:
    tally = _Tally(functions, known)
    tally.add(function.node)
    defaults: dict[str, _Default] = {}
    for item in function.attribute_proto:
        references = tally.references.get(item.name, 0)
        held = _Tally(functions, known, counts_names=False)
        for body in attribute_bodies(item):
            held.add(body.node, max(1, references))
        byte_count = item.ByteSize() * (1 + references) + held.byte_count
        defaults[item.name] = _Default(held.size, held.depth, byte_count)
    return _Body(
        tally.size,
        tally.depth,
        sum(node.ByteSize() for node in function.node) + tally.byte_count,
        tally.values,
        tally.references,
        defaults,
        _Default(
            sum(each.size for each in defaults.values()),
            max((each.depth for each in defaults.values()), default=0),
            sum(each.byte_count for each in defaults.values()),
        ),
    )


class _Tally:
    """Counts what nodes are, written out, and what they write of what is given to the function they are in.

    The graph that a call gives is written as often as the function refers to it, with all that it calls.
    """

    def __init__(
        self,
        functions: Mapping[Key, FunctionProto],
        known: Mapping[Key, _Body],
        *,
        counts_names: bool = True,
    ) -> None:
        self.size = self.depth = self.byte_count = 0
        self.values, self.references = Counter[str](), Counter[str]()
        self._functions, self._known = functions, known
        self._counts_names = counts_names

    def add(self, nodes: Iterable[NodeProto], times: int = 1, level: int = 0) -> None:
        """Count nodes that are written so many times, at a level of bodies."""
        for node in nodes:
            body = self._known.get(key_of(node), _NOTHING)
            self.size += times
            if body is not _NOTHING:
                self._call(node, body, times, level)
            if self._counts_names:
                for name, count in _operands(node, self._functions.get(key_of(node)), body):
                    self.values[name] += times * count
            for item in node.attribute:
                references = body.references.get(item.name, 0)
                if self._counts_names and item.ref_attr_name:
                    self.references[item.ref_attr_name] += times * (1 + references)
                for inner in attribute_bodies(item):
                    self.depth = max(self.depth, level + body.depth + 1)
                    self.add(inner.node, times * max(1, references), level + body.depth + 1)

    def _call(self, node: NodeProto, body: _Body, times: int, level: int) -> None:
        given = {item.name: item.ByteSize() for item in node.attribute}
        own = [body.defaults[name] for name in given if name in body.defaults]
        left_out = body.all_defaults
        self.size += times * (body.size + left_out.size - sum(each.size for each in own))
        self.depth = max(self.depth, level + 1 + body.depth + left_out.depth)
        self.byte_count += times * (
            body.byte_count
            + left_out.byte_count
            - sum(each.byte_count for each in own)
            + sum(size * body.references.get(name, 0) for name, size in given.items())
            + sum(len(name) * count for name, count in _operands(node, self._functions[key_of(node)], body))
        )


def _operands(node: NodeProto, function: FunctionProto | None, body: _Body) -> Iterator[tuple[str, int]]:
    """Yield the names of a node's values, and how often each is written where the node stands."""
    yield from ((name, 1) for name in (*node.input, *node.output))
    if function is not None:
        for outer, own in ((node.input, function.input), (node.output, function.output)):
            yield from ((name, body.values.get(inner, 0)) for name, inner in zip(outer, own, strict=False))
