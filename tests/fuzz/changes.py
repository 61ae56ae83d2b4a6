"""What is done to a model to break it: to its bytes, its protobuf fields, or to what they mean.

A change of meaning is a function of a model, which it changes, and a source of chance; it raises
``NothingThereError`` where the model has nothing of the kind. ``CHANGES`` names them by kind.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

import onnx
from google.protobuf.message import DecodeError
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    ValueInfoProto,
    helper,
)

from tests.fuzz.values import ATTRIBUTES, FLOATS, INTS, OPERATIONS, OTHERS, PLACES, TEXTS
from tests.fuzz.wire import Field, bytes_field, fields_of, message, number_field

Item = TypeVar("Item")
_INT64 = 2**63


class NothingThereError(Exception):
    """A model has nothing that a change is made to."""


def pick(rng: Random, items: Sequence[Item] | Iterator[Item]) -> Item:
    """Return one of some items."""
    items = list(items)
    if not items:
        raise NothingThereError
    return rng.choice(items)


def whole(rng: Random) -> int:
    """Return a whole number of 64 bits."""
    drawn = rng.choice(INTS) if rng.random() < 0.8 else rng.randrange(-9, 99)
    return (drawn + _INT64) % 2**64 - _INT64


def graphs(model: ModelProto) -> Iterator[GraphProto]:
    """Yield the graph of a model and those in its nodes."""
    waiting = [model.graph]
    while waiting:
        graph = waiting.pop()
        yield graph
        waiting += [
            item
            for node in graph.node
            for each in node.attribute
            for item in (each.g, *each.graphs)
            if item.node
        ]


def nodes(model: ModelProto) -> list[NodeProto]:
    """Return all nodes, those of bodies and functions among them."""
    inner = [node for function in model.functions for node in function.node]
    return [node for graph in graphs(model) for node in graph.node] + inner


def names(model: ModelProto) -> list[str]:
    """Return the names of values, sorted."""
    made = {name for node in nodes(model) for name in (*node.input, *node.output)}
    held = {item.name for graph in graphs(model) for item in (*graph.initializer, *graph.input)}
    return sorted(name for name in made | held if isinstance(name, str))  # what is no UTF-8 comes as bytes


def declared(model: ModelProto) -> list[ValueInfoProto]:
    return [item for graph in graphs(model) for item in (*graph.input, *graph.output, *graph.value_info)]


def attributes(model: ModelProto) -> list[AttributeProto]:
    return [each for node in nodes(model) for each in node.attribute]


def tensors(model: ModelProto) -> list[TensorProto]:
    held = [tensor for graph in graphs(model) for tensor in graph.initializer]
    return held + [each.t for each in attributes(model) if each.type == AttributeProto.TENSOR]


def size_of(tensor: TensorProto) -> int:
    """Return how many bytes the elements of a tensor have that its file holds."""
    return len(tensor.raw_data) or 4 * max(
        len(tensor.float_data), len(tensor.int32_data), 2 * len(tensor.int64_data)
    )


# Bytes, and fields whatever they mean


def struck(data: bytes, rng: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 30)) if data else 0):
        changed[rng.randrange(len(changed))] = rng.choice((0, 127, 128, 255, rng.randrange(256)))
    return bytes(changed)


def cut_off(data: bytes, rng: Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def doubled(data: bytes, rng: Random) -> bytes:
    one, two = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:two] + data[one:two] * rng.choice((1, 5)) + data[two:]


def taken_out(data: bytes, rng: Random) -> bytes:
    one, two = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:one] + data[two:]


BYTES = (struck, struck, struck, cut_off, doubled, taken_out)


def in_fields(data: bytes, rng: Random) -> bytes:
    """Change one field, as deep in the messages as chance goes."""
    fields = fields_of(data)
    if not fields:
        return struck(data, rng)
    at = rng.randrange(len(fields))
    field = fields[at]
    if field.fields and rng.random() < 0.85:
        fields[at] = bytes_field(field.number, in_fields(field.body, rng))
    else:
        pick(rng, FIELDS)(fields, at, rng)
    return message(fields)


def _without(fields: list[Field], at: int, rng: Random) -> None:
    del fields[at]


def _twice(fields: list[Field], at: int, rng: Random) -> None:
    fields[at:at] = [fields[at]] * rng.choice((1, 1, 20))


def _elsewhere(fields: list[Field], at: int, rng: Random) -> None:
    fields.insert(rng.randrange(len(fields)), fields.pop(at))


def _renumbered(fields: list[Field], at: int, rng: Random) -> None:
    fields[at] = Field(rng.randrange(1, 30), fields[at].kind, fields[at].body)


def _number(fields: list[Field], at: int, rng: Random) -> None:
    fields[at] = number_field(fields[at].number, whole(rng))


def _text(fields: list[Field], at: int, rng: Random) -> None:
    fields[at] = bytes_field(fields[at].number, rng.choice(TEXTS).encode())


def _no_text(fields: list[Field], at: int, rng: Random) -> None:
    fields[at] = bytes_field(
        fields[at].number, rng.choice((b"\xff", b"\xc0\x80", b"\xed\xa0\x80a", b"\x80" * 9))
    )


def _swapped(fields: list[Field], at: int, rng: Random) -> None:
    other = rng.randrange(len(fields))
    one, two = fields[at], fields[other]
    fields[at], fields[other] = Field(one.number, two.kind, two.body), Field(two.number, one.kind, one.body)


FIELDS = (_without, _twice, _elsewhere, _renumbered, _number, _number, _text, _no_text, _swapped)


# The graph


def without_one(model: ModelProto, rng: Random) -> None:
    graph = pick(rng, graphs(model))
    items = getattr(
        graph, pick(rng, ("node", "node", "initializer", "input", "output", "sparse_initializer"))
    )
    items.remove(pick(rng, items))


def repeated(model: ModelProto, rng: Random) -> None:
    graph = pick(rng, graphs(model))
    items = getattr(
        graph, pick(rng, ("node", "initializer", "input", "output", "value_info", "sparse_initializer"))
    )
    items.extend([pick(rng, items)] * rng.choice((1, 2)))


def out_of_order(model: ModelProto, rng: Random) -> None:
    graph = pick(rng, graphs(model))
    copies = [NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    rng.shuffle(copies)
    del graph.node[:]
    graph.node.extend(copies)


def rewired(model: ModelProto, rng: Random) -> None:
    node = pick(rng, nodes(model))
    ends = pick(rng, [ends for ends in (node.input, node.input, node.output) if ends])
    ends[rng.randrange(len(ends))] = pick(rng, [*names(model), *node.output, "", "nobody"])


def more_ends(model: ModelProto, rng: Random) -> None:
    node = pick(rng, nodes(model))
    ends = pick(rng, (node.input, node.output))
    ends.extend(rng.choices(["", "more", *names(model)], k=rng.choice((1, 1, 3, 50))))


def fewer_ends(model: ModelProto, rng: Random) -> None:
    node = pick(rng, nodes(model))
    ends = pick(rng, (node.input, node.output))
    del ends[rng.randrange(len(ends) + 1) :]


def other_ends_first(model: ModelProto, rng: Random) -> None:
    ends = pick(rng, nodes(model)).input
    ends[:] = rng.sample(list(ends), len(ends))


def another_operation(model: ModelProto, rng: Random) -> None:
    node = pick(rng, nodes(model))
    if rng.random() < 0.6:
        node.op_type, node.domain = rng.choice(OPERATIONS), rng.choice(("", "", "ai.onnx"))
    else:
        node.domain = rng.choice(sorted(OTHERS))
        node.op_type = rng.choice((*OTHERS[node.domain], *OPERATIONS[:5]))


def in_between(model: ModelProto, rng: Random) -> None:
    """Put an operation before a use of a value, with constants of odd numbers for its other inputs."""
    graph = pick(rng, graphs(model))
    node = pick(rng, [node for node in graph.node if node.input])
    at, made = rng.randrange(len(node.input)), f"between{len(names(model))}"
    more = []
    for place in range(rng.choice((0, 1, 1, 2, 3))):
        more.append(f"{made}.{place}")
        graph.initializer.append(_small(more[-1], rng))
    first = [node.input[at]] * rng.choice((1, 1, 1, 2, 40))
    known = {name: _value_of(name, rng) for name in rng.sample(ATTRIBUTES, rng.choice((0, 1, 1, 3)))}
    new = helper.make_node(rng.choice(OPERATIONS), [*first, *more], [made], made)
    new.attribute.extend(helper.make_attribute(name, value) for name, value in known.items())
    node.input[at] = made
    graph.node.insert(rng.randrange(len(graph.node)), new)


def _small(name: str, rng: Random) -> TensorProto:
    """Return a tensor of few elements: positions, sizes, flags, floats, texts."""
    kind = rng.choice(
        (TensorProto.INT64,) * 5 + (TensorProto.INT32, TensorProto.FLOAT, TensorProto.BOOL, TensorProto.UINT8)
    )
    dims = rng.choice(([], [0], [1], [1], [2], [3], [4], [2, 2], [1, 0]))
    count = math.prod(dims)
    if kind == TensorProto.FLOAT:
        return helper.make_tensor(name, kind, dims, rng.choices(FLOATS, k=count))
    small = rng.choices(range(-3, 6), k=count)
    if kind != TensorProto.INT64:
        return helper.make_tensor(name, kind, dims, [abs(each) % 2 for each in small])
    return helper.make_tensor(
        name, kind, dims, [whole(rng) for _ in range(count)] if rng.random() < 0.4 else small
    )


def deeper(model: ModelProto, rng: Random) -> None:
    """Move all nodes into a body, and that into another, up to sixty times."""
    graph, op = model.graph, rng.choice(("If", "Loop", "Scan", "SequenceMap", "Unheard"))
    results = [item.name for item in graph.output]
    for depth in range(rng.choice((1, 1, 2, 3, 15, 60))):
        body = GraphProto(name=f"deep{depth}", node=graph.node, output=graph.output)
        if op != "If":
            entries = rng.sample(names(model), min(2, len(names(model)))) if rng.random() < 0.3 else []
            body.input.extend(
                ValueInfoProto(name=name)
                for name in [*entries, *(f"in{depth}.{i}" for i in range(rng.randrange(3)))]
            )
        outer = helper.make_node(op, rng.choices(names(model) or [""], k=rng.randrange(4)), results, "outer")
        outer.attribute.append(helper.make_attribute("then_branch" if op == "If" else "body", body))
        if op == "Scan" and rng.random() < 0.8:
            outer.attribute.append(
                helper.make_attribute("num_scan_inputs", rng.choice((0, 1, 2, 50, -3, whole(rng))))
            )
        if op == "If" and depth < 6 and rng.random() < 0.7:
            outer.attribute.append(helper.make_attribute("else_branch", body))
        del graph.node[:]
        graph.node.append(outer)


def as_function(model: ModelProto, rng: Random) -> None:
    """Make a node the body of a function, and call it; it may call itself, or there be two of its name."""
    node = pick(rng, nodes(model))
    inputs, outputs = (list(dict.fromkeys(filter(None, ends))) for ends in (node.input, node.output))
    body = [NodeProto.FromString(node.SerializeToString())]
    inner = rng.choices(("Made", "Other"), k=rng.choice((0, 0, 1, 30)))
    body += [helper.make_node(name, inputs, outputs, domain="made") for name in inner]
    function = helper.make_function(
        "made", rng.choice(("Made", "Made", "")), inputs, outputs, body, list(model.opset_import)
    )
    if rng.random() < 0.3:
        function.attribute.append(rng.choice(ATTRIBUTES))
        for each in function.node[0].attribute:
            each.ref_attr_name = rng.choice((each.name, function.attribute[0], "nothing"))
    model.functions.extend([function] * rng.choice((1, 1, 2)))
    if rng.random() < 0.3 and len(model.functions) > 1:
        model.functions[0].name = "Other"
    node.op_type, node.domain = "Made", "made"
    if rng.random() < 0.8:
        model.opset_import.add(domain="made", version=1)


def doubling(model: ModelProto, rng: Random) -> None:
    """Add functions each of which calls the one before it twice: what is written out doubles each time."""
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("made", 1)]
    inner = [helper.make_node("Relu", ["a"], ["b"])]
    levels = rng.choice((3, 20, 40, 400))
    for level in range(levels):
        model.functions.append(helper.make_function("made", f"D{level}", ["a"], ["b"], inner, imports))
        inner = [
            helper.make_node(f"D{level}", [one], [two], domain="made")
            for one, two in (("a", "c"), ("c", "b"))
        ]
    graph = pick(rng, graphs(model))
    node = pick(rng, [node for node in graph.node if node.input])
    graph.node.insert(0, helper.make_node(f"D{levels - 1}", [node.input[0]], ["doubled"], domain="made"))
    node.input[0] = "doubled"
    model.opset_import.add(domain="made", version=1)


def versions(model: ModelProto, rng: Random) -> None:
    what = rng.randrange(3)
    if what == 0:
        model.ir_version = rng.choice((0, 1, 3, 4, 10, whole(rng)))
    elif what == 1:
        pick(rng, model.opset_import).version = rng.choice((*range(1, 27), whole(rng)))
    else:
        domain = rng.choice((*OTHERS, "", "ai.onnx", rng.choice(TEXTS)))
        model.opset_import.add(domain=domain, version=rng.choice((1, 3, 22, whole(rng))))


def declared_anew(model: ModelProto, rng: Random) -> None:
    """Change what is said of the type and the sizes of a value."""
    item = pick(rng, declared(model))
    kind = item.type.tensor_type
    what = rng.randrange(6)
    if what == 0:
        kind.elem_type = rng.choice((*TensorProto.DataType.values(), 99))
    elif what == 1:
        item.type.sequence_type.elem_type.tensor_type.elem_type = 1
    elif what == 2:
        kind.ClearField("shape")
    elif what == 3:
        kind.shape.dim.add().dim_value = whole(rng)
    elif what == 4:
        pick(rng, kind.shape.dim).dim_param = rng.choice(TEXTS)
    else:
        for dim in kind.shape.dim:
            if rng.random() < 0.5:
                dim.dim_value = whole(rng)


# Attributes


def _value_of(name: str, rng: Random) -> Any:
    """Return a value that an attribute may have, or of another type."""
    return rng.choice(
        (
            whole(rng),
            rng.randrange(-2, 5),
            [whole(rng) for _ in range(rng.choice((1, 2, 4)))],
            [rng.randrange(-1, 4) for _ in range(rng.choice((1, 2, 3, 4, 70)))],
            rng.choice(FLOATS),
            list(rng.choices(FLOATS, k=3)),
            rng.choice((*TEXTS, "NOTSET", "VALID", "SAME_UPPER", "bidirectional", "reverse", "constant")),
            rng.choice(
                ("ij,jk->ik", "ii->i", "...,...->...", "i,j,k->ijk", "ab->", "->", "a\0,b", "i" * 60, ",,,->")
            ),
            [rng.choice(TEXTS)],
            _small("t", rng),
            helper.make_graph([], name, [], []),
        )
    )


def attribute_changed(model: ModelProto, rng: Random) -> None:
    each = pick(rng, attributes(model))
    new = helper.make_attribute(each.name, _value_of(each.name, rng))
    if rng.random() < 0.2:
        new.type = rng.choice((0, *AttributeProto.AttributeType.values()))
    each.CopyFrom(new)


def number_changed(model: ModelProto, rng: Random) -> None:
    each = pick(rng, [each for each in attributes(model) if each.ints or each.type == AttributeProto.INT])
    if each.ints:
        each.ints[rng.randrange(len(each.ints))] = whole(rng)
    else:
        each.i = whole(rng)


def attribute_added(model: ModelProto, rng: Random) -> None:
    name = rng.choice(ATTRIBUTES)
    pick(rng, nodes(model)).attribute.append(helper.make_attribute(name, _value_of(name, rng)))


def attribute_left_out(model: ModelProto, rng: Random) -> None:
    items = pick(rng, [node for node in nodes(model) if node.attribute]).attribute
    items.remove(pick(rng, items))


def attribute_renamed(model: ModelProto, rng: Random) -> None:
    pick(rng, attributes(model)).name = rng.choice((*ATTRIBUTES, *TEXTS[:6]))


# Tensors


def dims_changed(model: ModelProto, rng: Random) -> None:
    tensor = pick(rng, tensors(model))
    count = math.prod(tensor.dims)
    if tensor.dims and rng.random() < 0.5:
        tensor.dims[rng.randrange(len(tensor.dims))] = whole(rng)
        return
    forms = (
        [],
        [count],
        [1, count],
        [count, 1],
        [1] * 65 + [count],
        [2**32, 2**32],
        [count, 0, 2**60],
        [-1, -count],
        [0],
    )
    tensor.dims[:] = rng.choice(forms)


def type_changed(model: ModelProto, rng: Random) -> None:
    pick(rng, tensors(model)).data_type = rng.choice((*TensorProto.DataType.values(), 99, -1))


def elements_changed(model: ModelProto, rng: Random) -> None:
    tensor = pick(rng, [tensor for tensor in tensors(model) if tensor.raw_data])
    held = bytearray(tensor.raw_data)
    odd = (
        b"\0\0\xc0\x7f",
        b"\0\0\x80\xff",
        b"\xff\xff\x7f\x7f",
        b"\1\0\0\0",
        b"\0\0\0\x80",
        b"\xff\xff\xff\xff",
    )
    if rng.random() < 0.2:
        held = bytearray(rng.choice(odd) * (len(held) // 4))
    for _ in range(rng.choice((1, 2, 50)) if held else 0):
        at = rng.randrange(len(held)) // 4 * 4
        held[at : at + 4] = rng.choice(odd)[: len(held) - at]
    tensor.raw_data = bytes(held)


def elements_missing(model: ModelProto, rng: Random) -> None:
    tensor = pick(rng, tensors(model))
    what = rng.randrange(3)
    if what == 0:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
    elif what == 1:
        tensor.raw_data += b"\1" * rng.choice((1, 4, 5000))
    else:
        pick(rng, (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data)).extend(
            [1] * rng.choice((1, 9))
        )


def external(model: ModelProto, rng: Random) -> None:
    """Say that a tensor stands in another file."""
    tensor = pick(rng, tensors(model))
    size = size_of(tensor)
    tensor.data_location = rng.choice((TensorProto.EXTERNAL,) * 9 + (TensorProto.DEFAULT,))
    if rng.random() < 0.85:
        tensor.ClearField("raw_data")
    entries = {
        "location": rng.choice(PLACES),
        "offset": str(
            rng.choice((0, 0, 1, 4096, size, -1, 2**63, 2**64, "", "0x4", "\uff11", "1e3", "9" * 5000))
        ),
        "length": str(rng.choice((size, size, size, 0, 1, -1, 2**40, 2**63, "", "x", " 4 ", "+4"))),
        "checksum": rng.choice(("", "0" * 40, rng.choice(TEXTS))),
        rng.choice(TEXTS): rng.choice(TEXTS),
    }
    del tensor.external_data[:]
    for key in rng.choices(list(entries), k=rng.choice((0, 1, 5))) + (
        ["location"] if rng.random() < 0.9 else []
    ):
        tensor.external_data.add(key=key, value=entries[key])


def made_sparse(model: ModelProto, rng: Random) -> None:
    graph = pick(rng, graphs(model))
    tensor = pick(rng, graph.initializer)
    dims = rng.choice(
        (
            list(tensor.dims),
            list(tensor.dims),
            [],
            [0],
            [2**40],
            [2**20, 2**20],
            [2**62, 4],
            [-1, 2],
            [1] * 70,
        )
    )
    count = rng.choice((0, 1, 2, 5))
    kind = rng.choice(
        (TensorProto.FLOAT,) * 5
        + (TensorProto.INT64, TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.INT4)
    )
    values = TensorProto(
        name=tensor.name, data_type=kind, dims=[count], raw_data=b"\0\0\x80\x3f" * (2 * count)
    )
    shape = rng.choice(([count], [count], [count, len(dims)], [1, count], [count + 1]))
    numbers = [whole(rng) if rng.random() < 0.2 else place for place in range(min(math.prod(shape), 400))]
    places = helper.make_tensor("places", TensorProto.INT64, shape, numbers)
    if rng.random() < 0.15:
        places.data_type = rng.choice(TensorProto.DataType.values())
    made = SparseTensorProto(values=values, indices=places, dims=dims)
    if rng.random() < 0.6:
        graph.sparse_initializer.append(made)
    else:
        node = NodeProto(op_type="Constant", output=[tensor.name])
        node.attribute.append(helper.make_attribute("sparse_value", made))
        graph.node.insert(0, node)
    if rng.random() < 0.85:
        graph.initializer.remove(tensor)


def sparse_changed(model: ModelProto, rng: Random) -> None:
    item = pick(rng, [item for graph in graphs(model) for item in graph.sparse_initializer])
    if item.dims and rng.random() < 0.5:
        item.dims[rng.randrange(len(item.dims))] = whole(rng)
    else:
        part = pick(rng, (item.values, item.indices))
        part.dims[:] = rng.choice(([], [0], [1], [2, 2], [2**40]))


# Names


def renamed(model: ModelProto, rng: Random) -> None:
    """Give a value another name wherever it is named."""
    old, new = pick(rng, names(model)), rng.choice(TEXTS)
    for node in nodes(model):
        for ends in (node.input, node.output):
            ends[:] = [new if name == old else name for name in ends]
    for graph in graphs(model):
        for item in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            item.name = new if item.name == old else item.name


def nodes_named(model: ModelProto, rng: Random) -> None:
    new = rng.choice(TEXTS)
    for node in nodes(model):
        if rng.random() < 0.5:
            node.name = new


def remarks(model: ModelProto, rng: Random) -> None:
    """Write odd texts where a writer says what it was and where a node came from."""
    field = rng.choice(("producer_name", "producer_version", "domain", "doc_string"))
    setattr(model, field, rng.choice(TEXTS))
    node, text = pick(rng, nodes(model)), rng.choice(TEXTS)
    node.doc_string = rng.choice(TEXTS)
    key = rng.choice(("pkg.torch.onnx.stack_trace", "pkg.torch.onnx.name_scopes", "namespace", text))
    sources = (
        f'File "{text}", line 7, in f',
        f'File "/etc/{text}", line {10**400}, in g\n  x = 1',
        f"['', {text!r}]",
        text,
    )
    node.metadata_props.add(key=key, value=rng.choice(sources))


Change = Callable[[ModelProto, Random], None]

CHANGES: Mapping[str, Sequence[Change]] = {
    "graph": (
        *(without_one, repeated, out_of_order, rewired, rewired, more_ends, fewer_ends, other_ends_first),
        *(
            another_operation,
            another_operation,
            in_between,
            in_between,
            in_between,
            deeper,
            as_function,
            doubling,
        ),
        *(versions, declared_anew, declared_anew),
    ),
    "attributes": (
        *(
            attribute_changed,
            attribute_changed,
            number_changed,
            number_changed,
            attribute_added,
            attribute_added,
        ),
        *(attribute_left_out, attribute_renamed),
    ),
    "tensors": (dims_changed, type_changed, elements_changed, elements_missing),
    "external": (external,),
    "sparse": (made_sparse, made_sparse, sparse_changed),
    "names": (renamed, renamed, nodes_named, remarks),
}
"""Changes of meaning, by kind; one that is there twice is as likely as two."""

_LIKELY = {
    "none": 1,
    "bytes": 2,
    "fields": 4,
    "graph": 8,
    "attributes": 6,
    "tensors": 4,
    "external": 2,
    "sparse": 2,
    "names": 2,
}


def broken(data: bytes, rng: Random) -> tuple[bytes, list[str]]:
    """Return a model broken in up to four ways, of one kind or of several, and what was done."""
    done: list[str] = []
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        (kind,) = rng.choices(list(_LIKELY), list(_LIKELY.values()))
        if kind == "none":
            continue
        if kind in ("bytes", "fields"):
            change = rng.choice(BYTES) if kind == "bytes" else in_fields
            data = change(data, rng)
            done.append(change.__name__)
        else:
            data, name = _changed(data, rng.choice(CHANGES[kind]), rng)
            done += name
    return data, done


def _changed(data: bytes, change: Change, rng: Random) -> tuple[bytes, list[str]]:
    """Return a file whose meaning is changed, as it was where it has none or nothing of the kind."""
    try:
        model = onnx.ModelProto.FromString(data)
        change(model, rng)
    except (
        NothingThereError,
        DecodeError,
        UnicodeDecodeError,
    ):  # the last of names, only where they are read
        return data, []
    return model.SerializeToString(), [change.__name__]
