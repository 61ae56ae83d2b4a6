"""The calls of a model's own functions replaced by their bodies."""

import itertools
from collections.abc import Iterator, Mapping

from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto

from onnxtop.reader.functions.aside import Aside
from onnxtop.reader.functions.calls import (
    Key,
    bottom_up,
    by_key,
    called,
    imports_of,
    key_of,
    reached,
    write_imports,
)
from onnxtop.reader.functions.converter import Converter, aligned
from onnxtop.reader.functions.extent import check_bytes, check_size
from onnxtop.reader.functions.inliner import Inliner, is_whole
from onnxtop.reader.functions.outside import check_outside, holder_of
from onnxtop.reader.limits import Limits
from onnxtop.reader.protos import nodes_in, stored_in, with_inner


def inlined(proto: ModelProto, limits: Limits) -> ModelProto:
    """Return the model with the calls of its own functions replaced by their bodies, from the outermost in.

    What stays in its functions could not be inlined, is called by one that could not, or is never called.

    Raises
    ------
    ModelError
        A function calls itself.
    LimitError
        Written out, there are more operations or bytes than the limits allow, or deeper ones.
    """
    functions = by_key(proto)
    inner = {key: called(function.node, functions) for key, function in functions.items()}
    order = bottom_up(inner)
    check_size(proto.graph, functions, order, limits)
    if not functions:
        return proto
    check_bytes(proto.graph, functions, order, limits)
    result = ModelProto()
    result.CopyFrom(proto)
    imports = imports_of(proto)
    write_imports(result, imports)
    kept: set[Key] = set()
    converter = Converter(result)
    tries = Inliner(result)
    aside = Aside(proto, functions)
    while keys := called(nodes_in(result.graph), functions) - kept:
        outermost = keys.difference(*(reached(inner[key], inner) for key in keys))
        _give_defaults(result.graph, functions)
        whole = {key for key in outermost if is_whole(functions[key])}
        bodies = [aligned(functions[key], imports) for key in sorted(whole)]
        converted = converter.converts(bodies)
        if converted:
            aside.give_back(result.graph)
        ready = converter.ready(result.graph, bodies)
        result, failed = tries.inline(result, ready, guess=converted)
        converter.give_back(result.graph)
        kept |= {converter.origins.get(key, key) for key in failed} | (outermost - whole) | converter.left
        aside.take(result.graph, functions.keys() - kept)
    aside.give_back(result.graph)
    needed = reached(kept, inner) | (
        functions.keys() - reached(called(nodes_in(proto.graph), functions), inner)
    )
    del result.functions[:]
    result.functions.extend(functions[key] for key in functions if key in needed)
    result.functions.extend([*_not_taken(proto, functions, result)])
    check_outside(result.graph, {key: functions[key] for key in needed}, inner, limits)
    return result


def _give_defaults(graph: GraphProto, functions: Mapping[Key, FunctionProto]) -> None:
    """Write the attributes that calls leave out and functions declare with a default."""
    for node in nodes_in(graph):
        function = functions.get(key_of(node))
        given = {attribute.name for attribute in node.attribute}
        if function is not None:
            node.attribute.extend(item for item in function.attribute_proto if item.name not in given)


def _not_taken(
    proto: ModelProto, functions: Mapping[Key, FunctionProto], result: ModelProto
) -> Iterator[FunctionProto]:
    """Yield functions that hold what calls give, or functions declare, and no body takes: nobody uses it."""
    given: dict[Key, list[AttributeProto]] = {}
    for key, attribute in _given(proto, functions):
        if attribute.floats or any(True for _ in stored_in(attribute)):
            given.setdefault(key, []).append(attribute)
    if not given:
        return
    bodies = (node for function in result.functions for node in function.node)
    nodes = itertools.chain(nodes_in(result.graph), with_inner(bodies))
    taken = {held for node in nodes for attribute in node.attribute for held in _contents(attribute)}
    for key, attributes in given.items():
        left = [item for item in attributes if not taken.issuperset(_contents(item))]
        if left:
            yield holder_of(functions[key], left)


def _given(proto: ModelProto, functions: Mapping[Key, FunctionProto]) -> Iterator[tuple[Key, AttributeProto]]:
    for key, function in functions.items():
        yield from ((key, attribute) for attribute in function.attribute_proto)
    bodies = (node for function in functions.values() for node in function.node)
    for node in itertools.chain(nodes_in(proto.graph), with_inner(bodies)):
        if key_of(node) in functions:
            yield from ((key_of(node), attribute) for attribute in node.attribute)


def _contents(attribute: AttributeProto) -> Iterator[bytes]:
    """Yield what stands for each tensor that an attribute holds, whatever it is called."""
    for stored in stored_in(attribute):
        yield stored.SerializeToString(deterministic=True)
    if attribute.floats:
        yield AttributeProto(floats=attribute.floats).SerializeToString()
