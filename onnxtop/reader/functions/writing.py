"""The calls of a model's own functions replaced by their bodies."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto

from onnxtop.reader.functions.aside import Aside
from onnxtop.reader.functions.calls import (
    Key,
    all_nodes,
    bottom_up,
    by_key,
    called,
    imports_of,
    key_of,
    own_nodes,
    write_imports,
)
from onnxtop.reader.functions.converter import Converter, aligned
from onnxtop.reader.functions.extent import check_extent
from onnxtop.reader.functions.inliner import Inliner, is_whole
from onnxtop.reader.functions.outside import check_outside, holder_of
from onnxtop.reader.limits import Limits
from onnxtop.reader.protos import attribute_bodies, nodes_in, stored_in, with_inner
from onnxtop.reader.search import reached


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
    inner = {key: called(own_nodes(function), functions) for key, function in functions.items()}
    order = bottom_up(inner)
    check_extent(proto.graph, functions, order, limits)
    if not functions:
        return proto
    result = ModelProto()
    result.CopyFrom(proto)
    imports = imports_of(proto)
    write_imports(result, imports)
    kept: set[Key] = set()
    converter = Converter(result, functions)
    tries = Inliner(result)
    aside = Aside(proto, functions)
    while keys := called(nodes_in(result.graph), functions) - kept:
        outermost = keys.difference(*(reached(inner[key], inner.__getitem__) for key in keys))
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
    live = reached(called(nodes_in(proto.graph), functions), inner.__getitem__)
    needed = functions.keys() - live | set(reached(kept, inner.__getitem__))
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
    """Yield functions that hold what was lost of what stood in attributes: nobody uses it.

    A call gives, or a function declares, what no body takes; a body holds beside a reference what the
    reference replaces. Each is told by its contents, as often as these stood in the file.
    """
    held: dict[Key, list[AttributeProto]] = {}
    for key, attribute in _replaceable(proto, functions):
        if any(True for _ in _contents(attribute)):
            held.setdefault(key, []).append(attribute)
    if not held:
        return
    defaults = [item for function in functions.values() for item in function.attribute_proto]
    lost = Counter(item for attribute in defaults for item in _contents(attribute))
    lost.update(_contents_of_nodes(proto.graph, functions.values()))
    lost.subtract(_contents_of_nodes(result.graph, result.functions))
    for key, attributes in held.items():
        left = []
        for attribute in attributes:
            contents = [item for item in _contents(attribute) if lost[item] > 0]
            if contents:
                left.append(attribute)
                lost.subtract(contents)
        if left:
            yield holder_of(functions[key], left)


def _replaceable(
    proto: ModelProto, functions: Mapping[Key, FunctionProto]
) -> Iterator[tuple[Key, AttributeProto]]:
    """Yield the attributes that need not stand in what is written out, each with a function it belongs to."""
    for key, function in functions.items():
        yield from ((key, attribute) for attribute in function.attribute_proto)
        for node in with_inner(own_nodes(function)):
            yield from ((key, attribute) for attribute in node.attribute if attribute.ref_attr_name)
    nodes = all_nodes(proto, functions)
    for node in with_inner(nodes):
        if key_of(node) in functions:
            yield from ((key_of(node), attribute) for attribute in node.attribute)


def _contents_of_nodes(graph: GraphProto, functions: Iterable[FunctionProto]) -> Iterator[bytes]:
    """Yield what stands for each tensor that nodes hold."""
    for node in itertools.chain(graph.node, *(function.node for function in functions)):
        for attribute in node.attribute:
            yield from _contents(attribute)


def _contents(attribute: AttributeProto) -> Iterator[bytes]:
    """Yield what stands for each tensor that an attribute holds, however deep, whatever it is called."""
    for stored in stored_in(attribute):
        yield stored.SerializeToString(deterministic=True)
    nodes = (node for body in attribute_bodies(attribute) for node in with_inner(body.node))
    for each in itertools.chain([attribute], *(node.attribute for node in nodes)):
        if each.floats:
            yield AttributeProto(floats=each.floats).SerializeToString()
