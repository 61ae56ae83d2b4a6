"""What an operation can cost, told from its operands' sizes before it runs: bytes and steps, no clock."""

import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import zip_longest
from types import FrameType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TypeProto, helper, numpy_helper, shape_inference

from onnxtop.reader.earlier import Today
from onnxtop.reader.equation import letters_of
from onnxtop.reader.forms import MOVEMENT
from onnxtop.reader.limits import GIB, Count, Limits
from onnxtop.reader.protos import domain_of
from onnxtop.reader.schemas import schema

Array = NDArray[Any]

_LINE = 2**9
"""What a line of Python counts as: onnx's reference operations that go entry by entry run many."""
_BESIDE = 3
"""What is laid out in between may be so many times what the results may be: it is gone with its operation."""


class OverBudgetError(ValueError):
    """An evaluation would cost more than it may."""


@dataclass(frozen=True)
class EvaluationCost:
    """Bytes of the results, bytes of what is laid out in between, and arithmetic in additions."""

    results: int
    between: int = 0
    work: int = 0


class EvaluationBudget:
    """What one evaluation may still cost."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes = 0
        self._work = 0
        self.lines = limits.work // _LINE

    def spend(self, cost: EvaluationCost) -> None:
        """Take a cost off; raises OverBudgetError where that is more than is left."""
        self._bytes += cost.results
        self._work += cost.work
        needed = max(self._bytes, cost.between // _BESIDE)
        if needed > self._limits.constant_bytes:
            raise self._over("constants", Decimal(needed) / GIB)
        if self._work > self._limits.work:
            raise self._over("work", self._work)

    def _over(self, name: str, count: Count | None = None) -> OverBudgetError:
        return OverBudgetError(f"computing it wants {self._limits.most(name, count)}")

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the lines of Python that run here, and stop them where they are too many.

        A loop over entries is told by what it does, not by a list of operations, and stops at the same place
        on every machine.
        """

        def trace(_: FrameType, event: str, __: Any) -> Any:
            if event == "line":
                self.lines -= 1
                if self.lines < 0:
                    raise _TooLong
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            yield
        except _TooLong:
            raise self._over("work") from None
        finally:
            sys.settrace(before)


class _TooLong(BaseException):
    pass


def cost(call: Today) -> EvaluationCost:
    """Return what a node costs at most; raises ValueError where its size is not known, or it cannot run."""
    arrays = [array for array in call.inputs if array is not None]
    if call.proto.op_type in MOVEMENT:
        return EvaluationCost(0)
    given = sum(array.nbytes for array in arrays)
    results = _own_bytes(call, arrays)
    count = sum(array.size for array in arrays) if results is None else results // 4
    laid_out = work = 0
    if results is None:
        made = _inferred(call)
        results = sum(size * width for size, width in made)
        laid_out, work = _arithmetic(call, arrays, max(size for size, _ in made))
    copies = _COPIES_OF_A_FUNCTION if _is_function(call.proto.op_type) else _COPIES
    between = copies * max(given, results, 8 * laid_out)
    return EvaluationCost(results, between, count + results // 4 + laid_out + work)


_COPIES, _COPIES_OF_A_FUNCTION = 3, 12
"""How many arrays as large as its operands or results an operation holds at once, as measured."""


@cache
def _is_function(op_type: str) -> bool:
    """Tell whether an operation may be computed by others, whose results are all kept until its end."""
    schema = onnx.defs.get_schema(op_type) if onnx.defs.has(op_type) else None
    names = ("has_function", "has_context_dependent_function")
    return any(getattr(schema, name, False) for name in names)


def _own_bytes(call: Today, arrays: Sequence[Array]) -> int | None:
    """Return the bytes of the results where that is quickly told; None where ONNX has to be asked."""
    width = max((array.itemsize for array in arrays), default=8)
    given = sum(array.nbytes for array in arrays)
    attributes = _attributes(call.proto)
    try:
        match call.proto.op_type:
            case "Expand" if len(arrays) == 2:
                own, wanted = arrays[0].shape[::-1], arrays[1].tolist()[::-1]
                return _times(max(sizes) for sizes in zip_longest(own, map(abs, wanted), fillvalue=1)) * width
            case "Tile" if len(arrays) == 2:
                return arrays[0].nbytes * _times(map(abs, arrays[1].tolist()))
            case "ConstantOfShape":
                return int(math.prod(arrays[0].tolist())) * 8
            case "Range":
                start, stop, step = (array.item() for array in arrays)
                return int(abs((stop - start) / step) + 1) * 8
            case "Gather" | "GatherND" | "GatherElements":
                return _gathered(call.proto.op_type, attributes, *arrays[:2]) * width
            case "Cast":
                return arrays[0].size * helper.tensor_dtype_to_np_dtype(attributes["to"]).itemsize
            case "CastLike":
                return arrays[0].size * arrays[1].itemsize
            case "DequantizeLinear":
                return arrays[0].size * max(4, arrays[1].itemsize)
            case (
                "Concat" | "QuantizeLinear" | "Slice" | "Split" | "Compress" | "ScatterND" | "ScatterElements"
            ):
                return given
            case "Pad":
                return _padded(arrays[0], attributes, arrays) * width
            case "GroupNormalization" | "MeanVarianceNormalization":  # functions, which ONNX does not enter
                return arrays[0].nbytes
            case "NonZero" | "Unique":  # as many as there are entries, and the places of each
                return arrays[0].size * 8 * max(8, arrays[0].ndim)
            case "Add" | "And" | "Div" | "Equal" | "Mul" | "Or" | "Pow" | "Sub" | "Where":
                return _broadcast([array.shape for array in arrays]) * width
            case _ if call.proto.domain:  # a quantiser: as large as what it rounds
                return _broadcast([array.shape for array in arrays]) * 8
    except (ValueError, TypeError, LookupError, ZeroDivisionError, OverflowError):
        return given  # such operands make the operation itself fail, with the better message
    return None


def _attributes(proto: NodeProto) -> dict[str, Any]:
    return {item.name: helper.get_attribute_value(item) for item in proto.attribute}


def _times(sizes: Iterable[int]) -> int:
    """Return the product of sizes; a zero among them keeps nobody from making the rest."""
    return math.prod(max(1, size) for size in sizes)


def _broadcast(shapes: Sequence[tuple[int, ...]]) -> int:
    return int(math.prod(np.broadcast_shapes(*shapes)))


def _gathered(op_type: str, attributes: Mapping[str, Any], data: Array, indices: Array) -> int:
    count = int(indices.size)
    if op_type == "GatherElements":
        return count
    if op_type == "Gather":
        return count * data.size // max(1, int(data.shape[attributes.get("axis", 0)]))
    depth = int(indices.shape[-1])
    return count // max(1, depth) * math.prod(data.shape[attributes.get("batch_dims", 0) + depth :])


def _inferred(call: Today) -> list[tuple[int, int]]:
    """Return how many entries each result has, and the bytes of one."""
    operands: list[tuple[tuple[int, ...] | None, int, Array | None]] = []
    for array in call.inputs:
        kind = 0 if array is None else helper.np_dtype_to_tensor_dtype(array.dtype)
        small = array is not None and array.size < 2**14  # shapes, axes: what sizes are told by
        operands.append((None if array is None else array.shape, kind, array if small else None))
    answers = infer(call.proto, operands, call.opset)
    return [_size(answers.get(name)) for name in call.proto.output if name]


def _size(answer: TypeProto | None) -> tuple[int, int]:
    kind = answer.tensor_type if answer is not None else None
    if answer is not None and not answer.HasField("tensor_type"):
        raise ValueError("its result is no tensor")
    if (
        kind is None
        or not kind.HasField("shape")
        or not all(dim.HasField("dim_value") for dim in kind.shape.dim)
    ):
        raise ValueError("its size is not known beforehand")
    sizes = [dim.dim_value for dim in kind.shape.dim]
    if min(sizes, default=0) < 0:
        raise ValueError(f"its size would be {sizes}")
    return _times(sizes), helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize if kind.elem_type else 8


def infer(
    proto: NodeProto,
    operands: Sequence[tuple[tuple[int | None, ...] | None, int, Array | None]],
    opset: int,
    ir_version: int = onnx.IR_VERSION,
) -> dict[str, TypeProto]:
    """Return the types of a node's results as ONNX infers them from its operands' types and numbers."""
    domain = domain_of(proto)
    given = [(name, *operand) for name, operand in zip(proto.input, operands, strict=True) if name]
    refuse_deadly(proto)
    return shape_inference.infer_node_outputs(
        schema(proto.op_type, opset, domain),
        proto,
        {name: helper.make_tensor_type_proto(kind, _sane(shape)) for name, shape, kind, _ in given},
        {
            name: numpy_helper.from_array(np.asarray(array, order="C"), name)
            for name, _, _, array in given
            if array is not None and array.dtype.kind in "iufb"
        },
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=ir_version,
    )


def _sane(shape: tuple[int | None, ...] | None) -> tuple[int | None, ...] | None:
    """Return a shape without negative sizes, which end the process too: they are not known."""
    return None if shape is None else tuple(None if (size or 0) < 0 else size for size in shape)


def refuse_deadly(proto: NodeProto) -> None:
    """Refuse what ends the process in ONNX's inference, or never ends there.

    That is more memory than there is, negative places, and an equation with anything else than letters,
    commas, an arrow, and three dots once in a term.

    Raises
    ------
    ValueError
        It would.
    """
    if proto.op_type not in ("Einsum", "GatherND", "Split"):
        return
    attributes = _attributes(proto)
    equation = attributes.get("equation", b"")
    text = equation.decode("latin-1") if isinstance(equation, bytes) else str(equation)
    places, outputs = attributes.get("batch_dims", 0), attributes.get("num_outputs", 0)
    if places < 0 or outputs > 2 * len(proto.output) or not _EQUATION.fullmatch(text.replace(" ", "")):
        raise ValueError(f"{proto.op_type} with attributes {attributes}")


_TERM = r"[A-Za-z]*(?:\.\.\.[A-Za-z]*)?"  # letters are read in one way only: else there are 2^n of n terms
_EQUATION = re.compile(f"{_TERM}(?:,{_TERM})*(?:->{_TERM})?")


def _arithmetic(call: Today, arrays: Sequence[Array], count: int) -> tuple[int, int]:
    """Return how many numbers an operation lays out in between, and its arithmetic beyond a step an entry."""
    attributes = _attributes(call.proto)
    dilations = attributes.get("dilations", ())
    match call.proto.op_type:
        case "MatMul" | "Gemm":
            depth = arrays[0].shape[0 if attributes.get("transA") else -1] if arrays[0].ndim else 1
            fast = all(array.dtype.kind == "f" for array in arrays)
            return 0, count * depth // (32 if fast else 1)
        case "MatMulInteger" | "QLinearMatMul":
            return 0, count * max(arrays[0].shape[-1:], default=1)
        case "Einsum":
            steps = _einsum_steps(attributes["equation"].decode(), arrays)
            return (0 if len(arrays) < 3 else steps), steps
        case "Conv" | "ConvInteger" | "DeformConv" | "CausalConvWithState":
            return _padded(arrays[0], attributes) + count * _per_output(arrays[1], dilations), 0
        case "QLinearConv":
            return _padded(arrays[0], attributes) + count * _per_output(arrays[3], dilations), 0
        case "ConvTranspose":
            return arrays[0].size * _per_output(arrays[1], dilations), 0
        case "AveragePool" | "LpPool" | "MaxPool":
            return _padded(arrays[0], attributes), count * math.prod(map(abs, attributes["kernel_shape"]))
        case "LSTM" | "GRU" | "RNN":
            return 0, 2 * math.prod(arrays[0].shape[:2]) * sum(array.size for array in arrays[1:3])
        case "Attention" | "LinearAttention":
            return arrays[0].size * sum(array.size for array in arrays[1:3]), 0
        case "Det":
            return 0, arrays[0].size * arrays[0].shape[-1]
        case "LRN":
            return 0, arrays[0].size * min(attributes["size"], arrays[0].shape[1])
        case "TopK":
            return 0, arrays[0].size * 16
    return 0, 0


def _per_output(kernel: Array, dilations: Sequence[int] = ()) -> int:
    """Return how many products make an output; the reference writes out the zeros between dilated taps."""
    steps = [*map(abs, dilations), *[1] * kernel.ndim]
    taps = [(size - 1) * step + 1 for size, step in zip(kernel.shape[2:], steps, strict=False)]
    return int(math.prod([*kernel.shape[1:2], *taps]))


def _padded(data: Array, attributes: Mapping[str, Any], operands: Sequence[Array] = ()) -> int:
    """Return how many numbers an image has with its padding, at most."""
    given = operands[1].ravel().tolist() if len(operands) > 1 else attributes.get("pads", ())
    pads = [abs(size) for size in given or attributes.get("paddings", ())]
    around = [a + b for a, b in zip(pads, pads[len(pads) // 2 :], strict=False)]
    if len(operands) > 3 or (len(around) < data.ndim and operands):  # along axes that are chosen
        return int(math.prod(size + sum(pads) for size in data.shape))
    space = data.shape[data.ndim - len(around) :] if around else ()
    padded = [size + pad for size, pad in zip(space, around, strict=False)]
    return int(math.prod([*data.shape[: data.ndim - len(space)], *padded]))


def _einsum_steps(equation: str, arrays: Sequence[Array]) -> int:
    """Return the product of the sizes of all indices."""
    sizes: dict[str, int] = {}
    operands, _ = letters_of(equation, [array.ndim for array in arrays])
    for letters, array in zip(operands, arrays, strict=True):
        if len(letters) != array.ndim:
            raise ValueError(f"the equation {equation} for {array.ndim} axes")
        for letter, size in zip(letters, array.shape, strict=True):
            sizes[letter] = max(sizes.get(letter, 1), size)
    return math.prod(sizes.values())
