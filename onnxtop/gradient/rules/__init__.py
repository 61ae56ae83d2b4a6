"""Gradient rules: one function an operation, named as it, its attributes as keyword defaults.

A rule is given its `RuleCall` and the node's inputs and returns the adjoint of each input, None where
there is none. It never walks the graph, and need not ask which adjoints are wanted: nodes that nobody needs
are left out when the graph is written.
"""

from collections.abc import Iterable
from types import ModuleType

from onnxtop.gradient.engine import Key, Rule, Table
from onnxtop.gradient.rules import (
    convolution,
    elementwise,
    indexing,
    linear,
    movement,
    normalisation,
    pooling,
    reduction,
)


def _family(module: ModuleType, names: Iterable[str]) -> dict[Key, Rule]:
    return {("", name): getattr(module, name) for name in names}


FAMILIES: dict[str, dict[Key, Rule]] = {
    "products": _family(linear, linear.__all__),
    "convolutions": _family(convolution, ("Conv", "ConvTranspose", "Resize")),
    "pooling": _family(pooling, pooling.__all__),
    "normalisation": _family(normalisation, normalisation.__all__),
    "element by element": _family(elementwise, elementwise.__all__),
    "sums and softmax": _family(reduction, reduction.__all__),
    "movement": _family(movement, movement.__all__),
    "picking by index": _family(indexing, indexing.__all__),
}
"""The rules by family, for the page that lists them."""

RULES: Table = {key: rule for family in FAMILIES.values() for key, rule in family.items()}
"""Every rule, by domain and op_type."""

_MICROSOFT, _ML = "com.microsoft", "ai.onnx.ml"

WITHOUT: dict[Key, str] = {
    ("", "DeformConv"): "its derivative by the offsets is not written",
    (_MICROSOFT, "MultiHeadAttention"): "its products are not written out",
    (_MICROSOFT, "MoE"): "which experts are chosen, and how they are weighed, is not written out",
    **dict.fromkeys(
        (
            *(("", name) for name in ("ConvInteger", "MatMulInteger")),
            *((_MICROSOFT, name) for name in ("DynamicQuantizeLSTM", "GatherBlockQuantized")),
            *((_MICROSOFT, name) for name in ("MatMulNBits", "QAttention", "QMoE")),
        ),
        "its weights are codes, which a gradient does not move",
    ),
    **dict.fromkeys(
        ((_ML, f"{kind}{what}") for kind in ("Linear", "SVM") for what in ("Classifier", "Regressor")),
        "its weights are attributes, which are not fed",
    ),
    **dict.fromkeys(
        ((_MICROSOFT, f"{kind}Attention") for kind in ("", "Decoder", "Longformer", "Packed")),
        "projections packed into one weight are not written out",
    ),
}
"""Operations with weights that have no rule, and why."""
