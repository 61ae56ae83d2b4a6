"""Functions of a model's own, replaced by their bodies; onnx's inliner does it, and converts other opsets.

Two things are added. A call that leaves an attribute out gets the default that the function declares. A
function that cannot be inlined stays an operation that nobody knows, and the constants of its body become
inputs of its calls, so that they are counted like any other constant.
"""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import onnx
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    inliner,
)

from onnxtop.errors import ModelError
from onnxtop.reader.limits import GIB, Limits

__all__ = ["Key", "bodies_in", "inlined", "nodes_in", "rename", "tensors_in", "with_constants_outside"]

Key = tuple[str, str, str]
"""Domain, name and overload: what a call and its function agree in."""

_GUESS = "onnxtop.guess"
_MOST_WAYS = 500
"""In which functions are called that are converted: each takes as long as inlining a thousand calls."""
_SUFFIX = "__"
_INLINED = f"{_SUFFIX}1"
"""What onnx puts behind the names of a body that it inlines once."""
_TRIES, _FREE_TRIES = 16, 2**24
"""How many models, and how many bytes beside them, onnx may fail to inline: it fails on 30 MB a second."""
_COPIES = 4
"""Of what is written out, in memory while onnx does it."""


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
    functions = _by_key(proto)
    inner = {key: _called(function.node, functions) for key, function in functions.items()}
    order = _bottom_up(inner)
    _check_size(proto.graph, functions, order, limits)
    if not functions:
        return proto
    _check_bytes(proto.graph, functions, order, limits)
    result = ModelProto()
    result.CopyFrom(proto)
    imports = _imports(proto)
    _write_imports(result, imports)
    kept: set[Key] = set()
    converter = _Converter(result)
    tries = _Inliner(result)
    aside = _Aside(proto, functions)
    while keys := _called(nodes_in(result.graph), functions) - kept:
        outermost = keys.difference(*(_reached(inner[key], inner) for key in keys))
        _give_defaults(result.graph, functions)
        whole = {key for key in outermost if _is_whole(functions[key])}
        bodies = [_aligned(functions[key], imports) for key in sorted(whole)]
        converted = converter.converts(bodies)
        if converted:
            aside.give_back(result.graph)
        ready = converter.ready(result.graph, bodies)
        result, failed = tries.inline(result, ready, guess=converted)
        converter.give_back(result.graph)
        kept |= {converter.origins.get(key, key) for key in failed} | (outermost - whole) | converter.left
        aside.take(result.graph, functions.keys() - kept)
    aside.give_back(result.graph)
    called = _reached(_called(nodes_in(proto.graph), functions), inner)
    needed = _reached(kept, inner) | (set(functions) - called)
    del result.functions[:]
    result.functions.extend(functions[key] for key in functions if key in needed)
    _check_outside(result.graph, {key: functions[key] for key in needed}, inner, limits)
    return result


def with_constants_outside(proto: ModelProto) -> tuple[ModelProto, Mapping[tuple[str, str], str]]:
    """Return a model without functions, and by domain and name why calls of them remain.

    Every constant of a body is a Constant node of the graph, named after its function, and an input of every
    call; a function that nobody calls leaves constants that nobody uses.
    """
    if not proto.functions:
        return proto, {}
    functions = _by_key(proto)
    inner = {key: _called(function.node, functions) for key, function in functions.items()}
    result = ModelProto()
    result.CopyFrom(proto)
    del result.functions[:]
    outside = {key: list(_constants(key, function)) for key, function in functions.items()}
    for node in nodes_in(result.graph):
        for key in sorted(_reached({_key(node)} & set(functions), inner)):
            node.input.extend(constant.output[0] for constant in outside[key])
    own = [NodeProto.FromString(node.SerializeToString()) for node in result.graph.node]
    del result.graph.node[:]
    result.graph.node.extend([*(constant for nodes in outside.values() for constant in nodes), *own])
    ours = _imports(proto).get("", 0)
    return result, {key[:2]: _why(function, ours) for key, function in functions.items()}


def nodes_in(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the nodes of a graph, each with those of its subgraphs behind it."""
    yield from _everything(graph.node)


def bodies_in(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the subgraphs that a node holds."""
    for attribute in node.attribute:
        yield from [attribute.g] if attribute.HasField("g") else attribute.graphs


def tensors_in(node: NodeProto) -> Iterator[TensorProto]:
    """Yield the tensors that a node's attributes hold, those of sparse ones too, without its bodies'."""
    for attribute in node.attribute:
        yield from [attribute.t] if attribute.HasField("t") else attribute.tensors
        one = attribute.HasField("sparse_tensor")
        for each in [attribute.sparse_tensor] if one else attribute.sparse_tensors:
            yield from (each.values, each.indices)


def rename(node: NodeProto, names: Mapping[str, str]) -> None:
    """Give some values other names, wherever a node and its bodies name them."""
    for side in (node.input, node.output):
        side[:] = [names.get(name, name) for name in side]
    for body in bodies_in(node):
        for value in (*body.input, *body.output, *body.value_info):
            value.name = names.get(value.name, value.name)
        for tensor in body.initializer:
            tensor.name = names.get(tensor.name, tensor.name)
        for inner in body.node:
            rename(inner, names)


def _key(item: NodeProto | FunctionProto) -> Key:
    return item.domain, item.op_type if isinstance(item, NodeProto) else item.name, item.overload


def _by_key(proto: ModelProto) -> dict[Key, FunctionProto]:
    """Return the functions; of those that agree in their keys calls mean the last, others get a free one."""
    last = {_key(function): number for number, function in enumerate(proto.functions)}
    found: dict[Key, FunctionProto] = {}
    for number, function in enumerate(proto.functions):
        domain, name, overload = key = _key(function)
        while key in found or last.get(key, number) != number:
            overload += f"#{number}"
            key = domain, name, overload
        found[key] = function
    return found


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _called(nodes: Iterable[NodeProto], functions: Collection[Key]) -> set[Key]:
    """Return the functions that nodes and the subgraphs that they hold call."""
    return {_key(node) for node in _everything(nodes) if _key(node) in functions}


def _everything(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    for node in nodes:
        yield node
        for body in bodies_in(node):
            yield from nodes_in(body)


def _reached(keys: Iterable[Key], inner: Mapping[Key, set[Key]]) -> set[Key]:
    """Return functions and all that their bodies call."""
    reached: set[Key] = set()
    stack = list(keys)
    while stack:
        key = stack.pop()
        if key not in reached:
            reached.add(key)
            stack += inner[key]
    return reached


def _bottom_up(inner: Mapping[Key, set[Key]]) -> list[Key]:
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


def _check_size(
    graph: GraphProto, functions: Mapping[Key, FunctionProto], order: Iterable[Key], limits: Limits
) -> None:
    """Refuse what would be more operations, or levels, than allowed with all functions written out."""
    extents: dict[Key, tuple[int, int]] = {}
    for key in order:
        extents[key] = _extent(functions[key].node, extents)
    size, depth = _extent(graph.node, extents)
    held = sum(
        1 for nodes in (graph.node, *(each.node for each in functions.values())) for _ in _everything(nodes)
    )
    limits.check("nesting", depth)
    limits.check("nodes", size)
    limits.check("functions", -(-size // max(held, 1)))


def _extent(nodes: Iterable[NodeProto], known: Mapping[Key, tuple[int, int]]) -> tuple[int, int]:
    """Return how many operations nodes are, and how many levels of bodies and functions lie in them."""
    size = depth = 0
    for node in nodes:
        inside = [known[_key(node)]] if _key(node) in known else []
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


def _check_bytes(
    graph: GraphProto, functions: Mapping[Key, FunctionProto], order: Iterable[Key], limits: Limits
) -> None:
    """Refuse what would be more bytes than allowed with all functions written out."""
    bodies: dict[Key, _Body] = {}
    for key in order:
        bodies[key] = _body(functions[key], functions, bodies)
    calls = (node for node in nodes_in(graph) if _key(node) in functions)
    written = sum(_bytes_of(node, functions[_key(node)], bodies[_key(node)]) for node in calls)
    limits.check("structure", _COPIES * written / GIB)


def _body(
    function: FunctionProto, functions: Mapping[Key, FunctionProto], known: Mapping[Key, _Body]
) -> _Body:
    byte_count = sum(node.ByteSize() for node in function.node)
    values, references = Counter[str](), Counter[str]()
    for node in _everything(function.node):
        called = known.get(_key(node), _NOTHING)
        if called is not _NOTHING:
            byte_count += _bytes_of(node, functions[_key(node)], called)
        for name, times in _operands(node, functions.get(_key(node)), called):
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


def _check_outside(
    graph: GraphProto, functions: Mapping[Key, FunctionProto], inner: Mapping[Key, set[Key]], limits: Limits
) -> None:
    """Refuse what `with_constants_outside` would write to more operands, or bytes, than allowed."""
    names = {
        key: [len(_prefix(key)) + len(name) for name, _ in _held_by(function)]
        for key, function in functions.items()
    }
    operands, byte_count = 0, sum(map(sum, names.values()))
    for key, calls in Counter(_key(node) for node in nodes_in(graph) if _key(node) in functions).items():
        given = [names[each] for each in _reached([key], inner)]
        operands += calls * sum(map(len, given))
        byte_count += calls * sum(map(sum, given))
    limits.check("tensors", operands)
    limits.check("structure", _COPIES * byte_count / GIB)


def _give_defaults(graph: GraphProto, functions: Mapping[Key, FunctionProto]) -> None:
    """Write the attributes that calls leave out and functions declare with a default."""
    for node in nodes_in(graph):
        function = functions.get(_key(node))
        given = {attribute.name for attribute in node.attribute}
        if function is not None:
            node.attribute.extend(item for item in function.attribute_proto if item.name not in given)


def _aligned(function: FunctionProto, imports: Mapping[str, int]) -> FunctionProto:
    """Return a function whose imports differ from the model's in ONNX's own operations alone.

    Only those change with their version in a way that matters here, and only those can be converted.
    """
    result = FunctionProto()
    result.CopyFrom(function)
    own = _imports(function)
    for domain, version in own.items():
        if domain or _is_unchanged(function, version, imports.get("", 0)):
            own[domain] = imports.get(domain, version)
    _write_imports(result, own)
    return result


def _imports(item: ModelProto | FunctionProto) -> dict[str, int]:
    """Return versions by domain; the last of two is what runtimes and onnx's checker go by."""
    return {_domain(each.domain): each.version for each in item.opset_import}


def _write_imports(item: ModelProto | FunctionProto, imports: Mapping[str, int]) -> None:
    """Name every domain once: onnx's converter takes no model that names one twice."""
    del item.opset_import[:]
    item.opset_import.extend(helper.make_opsetid(*each) for each in imports.items())


def _is_unchanged(function: FunctionProto, old: int, new: int) -> bool:
    """Tell whether all of ONNX's operations in a body are the same in two of its versions."""
    operations = {node.op_type for node in _everything(function.node) if not _domain(node.domain)}
    return old == new or all(_since(each, old) == _since(each, new) != 0 for each in operations)


@cache
def _since(op_type: str, version: int) -> int:
    """Return the version in which an operation last changed, 0 if there is none."""
    try:
        return int(onnx.defs.get_schema(op_type, version).since_version)
    except (onnx.defs.SchemaError, TypeError):  # a version of 64 bits
        return 0


class _Converter:
    """Brings bodies into the model's opset, each once for each way in which it is called.

    That is with other attributes, or operands left out; the inliner would convert at every call, which takes
    longer than all else.

    Attributes
    ----------
    origins
        Of the functions that were made, by their keys, what they are made of.
    left
        Functions that were called in more ways than are converted.
    """

    def __init__(self, proto: ModelProto) -> None:
        self.origins: dict[Key, Key] = {}
        self.left: set[Key] = set()
        self._proto = proto
        self._own = {item.version for item in proto.opset_import if not _domain(item.domain)}
        self._made: dict[tuple[object, ...], FunctionProto | None] = {}

    def ready(self, graph: GraphProto, functions: Sequence[FunctionProto]) -> list[FunctionProto]:
        """Return what can be inlined; calls in the graph name bodies that were converted.

        What cannot be converted stays what it is.
        """
        odd = {_key(function): function for function in functions if self._differs(function)}
        if not odd:
            return [*functions]
        taken = {*(key[1] for key in odd), *(node.op_type for node in nodes_in(graph))}
        used: dict[Key, FunctionProto] = {}
        for node in nodes_in(graph):
            key = _key(node)
            if key in odd and not any(True for _ in bodies_in(node)):
                variant = self._variant(node, odd[key], taken)
                if variant is not None:
                    used[_key(variant)] = variant
                    node.op_type = variant.name
        return [*(each for each in functions if _key(each) not in self.left), *used.values()]

    def give_back(self, graph: GraphProto) -> None:
        """Give calls that stay the names of what they call again."""
        for node in nodes_in(graph) if self.origins else ():
            node.op_type = self.origins.get(_key(node), _key(node))[1]

    def converts(self, functions: Iterable[FunctionProto]) -> bool:
        """Tell whether functions are of another opset, so that types matter, and what is called how."""
        return any(map(self._differs, functions))

    def _differs(self, function: FunctionProto) -> bool:
        return any(item.version not in self._own for item in function.opset_import if not item.domain)

    def _variant(
        self, node: NodeProto, function: FunctionProto, taken: Collection[str]
    ) -> FunctionProto | None:
        """Return a function as a node calls it, in the model's opset; None if there is none."""
        key = _key(function)
        attributes = sorted(item.SerializeToString(deterministic=True) for item in node.attribute)
        way = (key, *map(bool, node.input), *attributes)
        if way not in self._made:
            if len(self._made) >= _MOST_WAYS:
                self.left.add(key)
                return None
            names = (f"{function.name}#{number}" for number in itertools.count(len(self._made)))
            name = next(name for name in names if name not in taken)
            self._made[way] = made = _converted(node, function, self._proto, name)
            if made is not None:
                self.origins[_key(made)] = key
        return self._made[way]


def _converted(
    node: NodeProto, function: FunctionProto, proto: ModelProto, name: str
) -> FunctionProto | None:
    """Return a function as it is called by a node, in the model's opset; None if it cannot be."""
    if len(node.input) > len(function.input):
        return None
    call = NodeProto()
    call.CopyFrom(node)
    given = [own if outer else "" for own, outer in zip(function.input, node.input, strict=False)]
    call.input[:], call.output[:] = given, function.output
    trial = ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import, functions=[function])
    trial.graph.node.append(call)
    trial.graph.input.extend(map(_guessed, filter(None, given)))
    trial.graph.output.extend(map(_guessed, function.output))
    try:
        result = inliner.inline_local_functions(trial, convert_version=True)
    except Exception:  # the inliner raises bare C++ errors
        return None
    if result.functions or result.graph.initializer:
        return None
    names = {f"{name}{_INLINED}": name for name in _own_names(function)}
    for each in result.graph.node:
        rename(each, names)
    for each in _everything(result.graph.node):
        each.name = names.get(each.name, each.name)
    return FunctionProto(
        domain=function.domain,
        name=name,
        overload=function.overload,
        input=function.input,
        output=function.output,
        node=result.graph.node,
        opset_import=result.opset_import,
    )


def _own_names(function: FunctionProto) -> Iterator[str]:
    """Yield the names in a body that nobody knows outside: of nodes, and of values."""
    outer = {*function.input, *function.output}
    for node in _everything(function.node):
        inner = [name for body in bodies_in(node) for names in _names(body) for name in names]
        yield from (name for name in (node.name, *node.output, *inner) if name and name not in outer)


class _Aside:
    """Keeps nodes that call nothing out of the graph, so that a round of inlining goes through calls alone.

    One node stands for each run of them, and names what onnx must not call anything else by.
    """

    def __init__(self, proto: ModelProto, functions: Mapping[Key, FunctionProto]) -> None:
        nodes = itertools.chain(proto.graph.node, *(function.node for function in functions.values()))
        taken = {node.domain for node in _everything(nodes)}
        self._domain = next(
            name for name in map("onnxtop.run{}".format, itertools.count()) if name not in taken
        )
        self._runs: list[list[GraphProto]] = []

    def take(self, graph: GraphProto, calls: Collection[Key]) -> None:
        """Take the nodes that neither are calls nor hold any."""
        left = GraphProto()
        for called, nodes in itertools.groupby(graph.node, lambda node: bool(_called([node], calls))):
            if called:
                left.node.extend(nodes)
            else:
                left.node.append(self._run([*nodes]))
        del graph.node[:]
        graph.node.extend(left.node)

    def give_back(self, graph: GraphProto) -> None:
        """Put all nodes back to their places."""
        if not self._runs:
            return
        whole = GraphProto()
        for node in graph.node:
            if node.domain == self._domain:
                for run in self._runs[int(node.op_type)]:
                    whole.node.extend(run.node)
            else:
                whole.node.append(node)
        del graph.node[:]
        graph.node.extend(whole.node)
        self._runs.clear()

    def _run(self, nodes: list[NodeProto]) -> NodeProto:
        kept: list[GraphProto] = []
        run = NodeProto(domain=self._domain, op_type=str(len(self._runs)))
        for earlier, some in itertools.groupby(nodes, lambda node: node.domain == self._domain):
            if earlier:
                for node in some:
                    kept += self._runs[int(node.op_type)]
                    run.input.extend(node.input)
            else:
                kept.append(GraphProto(node=some))
                run.input.extend(name for name in _all_names(kept[-1]) if _SUFFIX in name)
        self._runs.append(kept)
        return run


def _all_names(graph: GraphProto) -> Iterator[str]:
    yield from (item.name for items in (graph.input, graph.output, graph.initializer) for item in items)
    for node in graph.node:
        yield from (node.name, *node.input, *node.output)
        for body in bodies_in(node):
            yield from _all_names(body)


class _Inliner:
    """Has onnx inline functions into a graph, in halves if together they fail.

    Every try takes a copy of the whole model. Those that fail may be some times the model, whatever fails:
    then functions that fail together stay calls.
    """

    def __init__(self, proto: ModelProto) -> None:
        self._room = _FREE_TRIES + _TRIES * proto.ByteSize()

    def inline(
        self, proto: ModelProto, functions: list[FunctionProto], *, guess: bool
    ) -> tuple[ModelProto, set[Key]]:
        """Return the model with functions inlined, and those that stay calls."""
        trial = ModelProto()
        trial.CopyFrom(proto)
        del trial.functions[:]
        trial.functions.extend(functions)
        if guess:
            _guess_types(trial.graph)
        try:
            result = inliner.inline_local_functions(trial, convert_version=True)
        except Exception:  # the inliner raises bare C++ errors
            self._room -= trial.ByteSize()
        else:
            if guess:
                _forget_guesses(result.graph)
            return result, {_key(function) for function in result.functions}
        if len(functions) == 1 or self._room < 0:
            return proto, {_key(function) for function in functions}
        half = len(functions) // 2
        proto, failed = self.inline(proto, functions[:half], guess=guess)
        proto, more = self.inline(proto, functions[half:], guess=guess)
        return proto, failed | more


def _is_whole(function: FunctionProto) -> bool:
    """Tell whether all that a body reads and returns is made before: the converter crashes on what is not."""
    return _makes(function.node, function.input, function.output, {""})


def _makes(nodes: Iterable[NodeProto], inputs: Iterable[str], outputs: Iterable[str], made: set[str]) -> bool:
    """Tell it of a body that sees what is ``made`` outside, which is handed back as it was."""
    own = set(inputs) - made
    made |= own
    whole = True
    for node in nodes:
        whole = (
            whole
            and made.issuperset(node.input)
            and all(
                _makes(body.node, itertools.chain(*_names(body)), [item.name for item in body.output], made)
                for body in bodies_in(node)
            )
        )
        new = set(node.output) - made
        made |= new
        own |= new
    whole = whole and made.issuperset(outputs)
    made -= own
    return whole


def _names(body: GraphProto) -> tuple[list[str], list[str]]:
    return [item.name for item in body.input], [item.name for item in body.initializer]


def _guess_types(graph: GraphProto) -> None:
    """Declare what the graph leaves undeclared: the converter wants a type, whatever it is, of all values."""
    declared = {item.name for item in (*graph.input, *graph.output, *graph.value_info)}
    kinds = {sparse.values.name: sparse.values.data_type for sparse in graph.sparse_initializer}
    kinds.update({tensor.name: tensor.data_type for tensor in graph.initializer})
    kinds.update({name: TensorProto.FLOAT for node in graph.node for name in node.output if name})
    missing = sorted(kinds.keys() - declared)
    graph.value_info.extend(_guessed(name, kinds[name]) for name in missing)
    for node in graph.node:
        for body in bodies_in(node):
            _guess_types(body)


def _guessed(name: str, kind: int = TensorProto.FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, None, _GUESS)


def _forget_guesses(graph: GraphProto) -> None:
    kept = [item for item in graph.value_info if item.doc_string != _GUESS]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    for node in graph.node:
        for body in bodies_in(node):
            _forget_guesses(body)


def _constants(key: Key, function: FunctionProto) -> Iterator[NodeProto]:
    """Yield what a body holds as Constant nodes: its own, tensors of subgraphs, of other attributes."""
    prefix = _prefix(key)
    for number, (name, value) in enumerate(_held_by(function)):
        constant = helper.make_node("Constant", [], [f"{prefix}.{name or number}"])
        constant.attribute.append(value)
        yield constant


def _held_by(function: FunctionProto) -> Iterator[tuple[str, AttributeProto]]:
    graph = GraphProto()
    graph.node.extend(function.node)
    return _held(graph)


def _prefix(key: Key) -> str:
    return ".".join(filter(None, key))


def _held(graph: GraphProto) -> Iterator[tuple[str, AttributeProto]]:
    for tensor in graph.initializer:
        yield tensor.name, helper.make_attribute("value", tensor)
    for sparse in graph.sparse_initializer:
        yield sparse.values.name, helper.make_attribute("sparse_value", sparse)
    for node in graph.node:
        for attribute in node.attribute:
            yield from _tensors(node, attribute)
        for body in bodies_in(node):
            yield from _held(body)


def _tensors(node: NodeProto, attribute: AttributeProto) -> Iterator[tuple[str, AttributeProto]]:
    if node.op_type == "Constant" and node.output and attribute.name.startswith(("value", "sparse_value")):
        yield node.output[0], attribute
    elif attribute.HasField("t"):
        yield attribute.name, helper.make_attribute("value", attribute.t)
    elif attribute.floats:
        yield attribute.name, helper.make_attribute("value_floats", list(attribute.floats))


def _why(function: FunctionProto, ours: int) -> str:
    theirs = _imports(function).get("", 0)
    name = f"the function {function.domain}.{function.name}"
    if theirs == ours:
        return f"{name} cannot be written out by onnx"
    return f"{name} is written in opset {theirs}, the model in {ours}, and onnx cannot convert it"
