"""Which functions a model has, who calls whom, and which versions of operations they are written in."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from onnx import FunctionProto, ModelProto, NodeProto, helper

from onnxtop.errors import ModelError
from onnxtop.reader.protos import attribute_bodies, with_inner

Key = tuple[str, str, str]
"""Domain, name and overload: what a call and its function agree in."""


def key_of(item: NodeProto | FunctionProto) -> Key:
    """Return what a call and its function agree in."""
    return item.domain, item.op_type if isinstance(item, NodeProto) else item.name, item.overload


def by_key(proto: ModelProto) -> dict[Key, FunctionProto]:
    """Return the functions; of those that agree in their keys calls mean the last, others get a free one."""
    last = {key_of(function): number for number, function in enumerate(proto.functions)}
    found: dict[Key, FunctionProto] = {}
    for number, function in enumerate(proto.functions):
        domain, name, overload = key = key_of(function)
        while key in found or last.get(key, number) != number:
            overload += f"#{number}"
            key = domain, name, overload
        found[key] = function
    return found


def domain_of(name: str) -> str:
    """Return a domain by the name that it has in the file: ONNX's own has two."""
    return "" if name == "ai.onnx" else name


def called(nodes: Iterable[NodeProto], functions: Collection[Key]) -> set[Key]:
    """Return the functions that nodes and the subgraphs that they hold call."""
    return {key_of(node) for node in with_inner(nodes) if key_of(node) in functions}


def own_nodes(function: FunctionProto) -> Iterator[NodeProto]:
    """Yield the nodes of a function's body, and of the graphs that calls get which leave an attribute out."""
    yield from function.node
    for attribute in function.attribute_proto:
        for body in attribute_bodies(attribute):
            yield from body.node


def all_nodes(proto: ModelProto, functions: Mapping[Key, FunctionProto]) -> Iterator[NodeProto]:
    """Yield the nodes of a model's graph and those of its functions."""
    yield from proto.graph.node
    for function in functions.values():
        yield from own_nodes(function)


def bottom_up(inner: Mapping[Key, set[Key]]) -> list[Key]:
    """Return the functions, each behind those that it calls; raises ModelError where one calls itself."""
    done: dict[Key, None] = {}
    opened: set[Key] = set()
    stack = sorted(inner, reverse=True)
    while stack:
        key = stack[-1]
        waiting = sorted(inner[key].difference(done))
        if not waiting:
            done[stack.pop()] = None
            opened.discard(key)
            continue
        opened.add(key)
        if opened.intersection(waiting):
            raise ModelError(
                f"wanted functions that can be written out, found that {key[0]}.{key[1]} calls itself; "
                "export the model again"
            )
        stack += waiting
    return list(done)


def imports_of(item: ModelProto | FunctionProto) -> dict[str, int]:
    """Return versions by domain; the last of two is what runtimes and onnx's checker go by."""
    return {domain_of(each.domain): each.version for each in item.opset_import}


def write_imports(item: ModelProto | FunctionProto, imports: Mapping[str, int]) -> None:
    """Name every domain once: onnx's converter takes no model that names one twice."""
    del item.opset_import[:]
    item.opset_import.extend(helper.make_opsetid(*each) for each in imports.items())
