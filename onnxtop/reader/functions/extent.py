"""How much a model's functions are, written out: refused beforehand where it is more than allowed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from onnx import FunctionProto, GraphProto, NodeProto

from onnxtop.reader.functions.calls import Key, key_of
from onnxtop.reader.limits import GIB, Limits
from onnxtop.reader.protos import bodies_in, nodes_in, with_inner

COPIES = 4
"""Of what is written out, in memory while onnx does it."""


def check_size(
    graph: GraphProto, functions: Mapping[Key, FunctionProto], order: Iterable[Key], limits: Limits
) -> None:
    """Refuse what would be more operations, or levels, than allowed with all functions written out."""
    extents: dict[Key, tuple[int, int]] = {}
    for key in order:
        extents[key] = _extent(functions[key].node, extents)
    size, depth = _extent(graph.node, extents)
    held = sum(
        1 for nodes in (graph.node, *(each.node for each in functions.values())) for _ in with_inner(nodes)
    )
    limits.check("nesting", depth)
    limits.check("nodes", size)
    limits.check("functions", -(-size // max(held, 1)))


def _extent(nodes: Iterable[NodeProto], known: Mapping[Key, tuple[int, int]]) -> tuple[int, int]:
    """Return how many operations nodes are, and how many levels of bodies and functions lie in them."""
    size = depth = 0
    for node in nodes:
        inside = [known[key_of(node)]] if key_of(node) in known else []
        inside += [_extent(body.node, known) for body in bodies_in(node)]
        size += 1 + sum(count for count, _ in inside)
        depth = max([depth, *(1 + levels for _, levels in inside)])
    return size, depth


@dataclass(frozen=True)
class _Body:
    """What a function is, written out: its bytes, and how often it writes what a call gives it, by name.

    ``values`` counts names of values, ``references`` those of attributes. ``defaults`` are the bytes of
    attributes that have one.
    """

    byte_count: int
    defaults: Mapping[str, int]
    values: Mapping[str, int]
    references: Mapping[str, int]


_NOTHING = _Body(0, {}, {}, {})


def check_bytes(
    graph: GraphProto, functions: Mapping[Key, FunctionProto], order: Iterable[Key], limits: Limits
) -> None:
    """Refuse what would be more bytes than allowed with all functions written out."""
    bodies: dict[Key, _Body] = {}
    for key in order:
        bodies[key] = _body(functions[key], functions, bodies)
    calls = (node for node in nodes_in(graph) if key_of(node) in functions)
    written = sum(_bytes_of(node, functions[key_of(node)], bodies[key_of(node)]) for node in calls)
    limits.check("structure", COPIES * written / GIB)


def _body(
    function: FunctionProto, functions: Mapping[Key, FunctionProto], known: Mapping[Key, _Body]
) -> _Body:
    byte_count = sum(node.ByteSize() for node in function.node)
    values, references = Counter[str](), Counter[str]()
    for node in with_inner(function.node):
        called = known.get(key_of(node), _NOTHING)
        if called is not _NOTHING:
            byte_count += _bytes_of(node, functions[key_of(node)], called)
        for name, times in _operands(node, functions.get(key_of(node)), called):
            values[name] += times
        for item in node.attribute:
            if item.ref_attr_name:
                references[item.ref_attr_name] += 1 + called.references.get(item.name, 0)
    defaults = {item.name: item.ByteSize() for item in function.attribute_proto}
    return _Body(byte_count, defaults, values, references)


def _bytes_of(node: NodeProto, function: FunctionProto, body: _Body) -> int:
    """Return how many bytes are written for a call: the body, and what the call gives, or a default."""
    given = {item.name: item.ByteSize() for item in node.attribute}
    left_out = {name: size for name, size in body.defaults.items() if name not in given}
    return (
        body.byte_count
        + sum(left_out.values())
        + sum(size * body.references.get(name, 0) for name, size in {**given, **left_out}.items())
        + sum(len(name) * times for name, times in _operands(node, function, body))
    )


def _operands(node: NodeProto, function: FunctionProto | None, body: _Body) -> Iterator[tuple[str, int]]:
    """Yield the names of a node's values, and how often each is written where the node stands."""
    yield from ((name, 1) for name in (*node.input, *node.output))
    if function is not None:
        for outer, own in ((node.input, function.input), (node.output, function.output)):
            yield from ((name, body.values.get(inner, 0)) for name, inner in zip(outer, own, strict=False))
