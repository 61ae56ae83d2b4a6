"""The pass that comes before all others: it refuses nodes that are no call of their operation.

onnxruntime would refuse them too, but only once a model is whole.
"""

from collections.abc import Iterable, Mapping

from onnx import AttributeProto, NodeProto
from onnx.defs import OpSchema

from onnxtop.errors import ModelError
from onnxtop.gradient.engine import described
from onnxtop.reader.protos import bodies_in
from onnxtop.reader.schemas import schema

_NEEDED = OpSchema.FormalParameterOption.Single


def refuse_unsound(nodes: Iterable[NodeProto], opsets: Mapping[str, int]) -> None:
    """Refuse what has too few or too many operands or results, or attributes missing or of other types.

    Raises
    ------
    ModelError
        A node of the ONNX standard has; it is named.
    """
    for node in nodes:
        domain = "" if node.domain == "ai.onnx" else node.domain
        try:
            known = schema(node.op_type, opsets.get(domain, 1), domain)
        except KeyError:
            continue
        if reason := _unsound(node, known):
            raise ModelError(f"wanted {described(node)} {reason}; the file is damaged: export it again")
        for body in bodies_in(node):
            refuse_unsound(body.node, opsets)


def _unsound(node: NodeProto, known: OpSchema) -> str:
    """Return what is wrong with a node, "" if nothing is."""
    for what, names, least, most in (
        ("operands", node.input, known.min_input, known.max_input),
        ("results", node.output, known.min_output, known.max_output),
    ):
        if not least <= len(names) <= most:
            return f"with {least} to {most} {what}, found {len(names)}"
    for number, (formal, name) in enumerate(zip(known.inputs, node.input, strict=False)):
        if formal.option == _NEEDED and not name:
            return f"with its operand {number} ({formal.name}), found none"
    kinds = {each.name: AttributeProto.AttributeType.Name(each.type) for each in node.attribute}
    for name, attribute in known.attributes.items():
        wanted = str(attribute.type).rpartition(".")[2]
        if kinds.get(name, "" if attribute.required else wanted) != wanted:
            return f"with an attribute {name} of the type {wanted}, found {kinds.get(name, 'none')}"
    return ""
