"""onnx's reference operations, and where they give something else than the standard and the runtime.

What they do not heed is refused with a reason: one table says what, and a test compares the rest with
onnxruntime, attribute by attribute.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.helper import make_tensor_value_info, np_dtype_to_tensor_dtype

from onnxtop.reader.bounds import EvaluationBudget
from onnxtop.reader.earlier import Today
from onnxtop.reader.schemas import has_default_activations
from onnxtop.windows import SAME, windows

Array = NDArray[Any]


def referred(call: Today, attributes: Mapping[str, Any], budget: EvaluationBudget | None) -> list[Array]:
    """Ask onnx's reference operation; floats of two bytes are computed in four, and rounded once.

    Raises
    ------
    ValueError
        It has a setting that the reference does not heed.
    """
    from onnx.reference import ReferenceEvaluator  # hundreds of classes, for few models

    check_heeded(call, attributes)
    named = zip(call.proto.input, call.inputs, strict=True)
    feeds = {name: array for name, array in named if array is not None}
    narrow = _narrow(call.proto.op_type, attributes, feeds.values())
    if narrow is not None:
        feeds = {
            name: array.astype(np.float32) if array.dtype == narrow else array
            for name, array in feeds.items()
        }
    typed = [
        make_tensor_value_info(name, np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    results = [onnx.ValueInfoProto(name=name) for name in call.proto.output if name]
    graph = onnx.helper.make_graph([call.proto], "constant", typed, results)
    evaluator = ReferenceEvaluator(graph, opsets={"": call.opset})
    with warnings.catch_warnings(), budget.counted() if budget is not None else nullcontext():
        warnings.simplefilter("ignore")
        made = evaluator.run(None, feeds)
    if any(isinstance(result, list) or result is None for result in made):
        raise ValueError("its result is no tensor")
    arrays = [np.asarray(result) for result in made]
    return arrays if narrow is None else [_rounded(array, narrow) for array in arrays]


def _narrow(op_type: str, attributes: Mapping[str, Any], arrays: Iterable[Array]) -> np.dtype[Any] | None:
    """Return the type of two bytes that an operation is of; None if it is of another, or names one."""
    found = {array.dtype for array in arrays if array.dtype in (np.float16, ml_dtypes.bfloat16)}
    named = op_type in ("CastLike", "QuantizeLinear") or attributes.keys() & {"to", "dtype", "output_dtype"}
    return found.pop() if len(found) == 1 and not named else None


def _rounded(array: Array, dtype: np.dtype[Any]) -> Array:
    return array.astype(dtype) if array.dtype == np.float32 else array


# What the reference does not heed.


@dataclass(frozen=True, eq=False)
class Asked:
    """An operation as it is asked for: its attributes, its operands, the names of its results."""

    op_type: str
    attributes: Mapping[str, Any]
    operands: Sequence[Array | None]
    results: Sequence[str]

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.attributes.get(name, default)

    def operand(self, place: int) -> Array | None:
        """Return an operand, None where it is left out."""
        return self.operands[place] if place < len(self.operands) else None

    def wants(self, place: int) -> bool:
        """Tell whether a result is asked for."""
        return place < len(self.results) and bool(self.results[place])

    @property
    def is_same(self) -> bool:
        """Whether the padding is computed."""
        return self.get("auto_pad") in SAME

    @property
    def is_rounded_up(self) -> bool:
        """Whether a window counts that is not whole."""
        return bool(self.get("ceil_mode"))

    @property
    def is_strided(self) -> bool:
        """Whether windows are further apart than one."""
        return any(step > 1 for step in self.get("strides", ()))

    @property
    def is_dilated(self) -> bool:
        """Whether what a window takes is further apart than one."""
        return any(step > 1 for step in self.get("dilations", ()))


def check_heeded(call: Today, attributes: Mapping[str, Any]) -> None:
    """Raise ValueError where an operation has a setting that the reference does not heed."""
    asked = Asked(call.proto.op_type, attributes, call.inputs, call.proto.output)
    for setting, is_set in UNHEEDED.get(asked.op_type, {}).items():
        if is_set(asked):
            raise ValueError(f"{asked.op_type} with {setting} is not computed")


def _is_short(asked: Asked) -> bool:
    """Tell whether a sequence ends before the last step."""
    steps, lengths = asked.operand(0), asked.operand(4)
    if steps is None or lengths is None:
        return False
    return bool((lengths < steps.shape[1 if asked.get("layout") else 0]).any())


def _has_other_activations(asked: Asked) -> bool:
    return not has_default_activations(asked.op_type, asked.attributes)


def _is_short_of_stride(asked: Asked) -> bool:
    weight = asked.operand(1)
    along = [] if weight is None else windows(asked.attributes, weight.shape[2:])
    return asked.is_same and any(window.span < window.stride for window in along)


def _is_cubic_to_the_border(asked: Asked) -> bool:
    return asked.get("mode") in (b"cubic", b"bicubic") and asked.get("padding_mode") == b"border"


def _factors(asked: Asked) -> list[tuple[int, Fraction]]:
    """Return the size of each axis that a Resize changes, and the factor that it changes by."""
    data, _, scales, sizes = (asked.operand(place) for place in range(4))
    if data is None:
        return []
    before = [data.shape[axis] for axis in asked.get("axes", range(data.ndim))]
    if scales is not None and scales.size:
        return list(zip(before, map(Fraction, scales.astype(float).tolist()), strict=True))
    after = [] if sizes is None else sizes.tolist()
    factors = [Fraction(new, max(old, 1)) for old, new in zip(before, after, strict=True)]
    kept = {b"not_larger": min, b"not_smaller": max}.get(asked.get("keep_aspect_ratio_policy"))
    if kept is not None and factors:
        factors = [kept(factors)] * len(factors)
    return list(zip(before, factors, strict=True))


def _transformed(asked: Asked, *modes: bytes) -> bool:
    return asked.get("coordinate_transformation_mode", b"half_pixel") in modes


def _cuts_sizes(asked: Asked) -> bool:
    """Tell whether a place depends on the size of a result that scales make no whole number of."""
    depends = _transformed(asked, b"align_corners", b"half_pixel_symmetric", b"tf_crop_and_resize")
    sizes = (np.float32(size) * np.float32(factor) for size, factor in _factors(asked))  # as the runtime does
    return depends and not all(size.is_integer() for size in sizes)


def _leaves_one(asked: Asked) -> bool:
    return _transformed(asked, b"pytorch_half_pixel") and any(
        int(size * factor) == 1 != size for size, factor in _factors(asked)
    )


_EXACT = 2**10
"""Scales with a denominator of this or of a power of two below: places are computed without rounding."""


def _rounds_places(asked: Asked) -> bool:
    """Tell whether what is nearest hangs on how a place is rounded."""
    if asked.get("mode", b"nearest") != b"nearest":
        return False
    rounded = any(_EXACT % factor.denominator for _, factor in _factors(asked))
    return rounded or _transformed(asked, b"tf_crop_and_resize")


_Settings = Mapping[str, Callable[[Asked], bool]]

_RECURRENT: _Settings = {
    "activations of its own": _has_other_activations,
    "clip": lambda asked: "clip" in asked.attributes,
    "sequences of several lengths": _is_short,
}

_POOL: _Settings = {
    "auto_pad and dilations": lambda asked: asked.get("auto_pad", b"NOTSET") != b"NOTSET" and asked.is_dilated
}

UNHEEDED: dict[str, _Settings] = {
    "Attention": {
        "softcap and its scores as a result": lambda asked: bool(asked.get("softcap")) and asked.wants(3)
    },
    "AveragePool": {
        **_POOL,
        "ceil_mode and dilations": lambda asked: asked.is_rounded_up and asked.is_dilated,
    },
    "ConvTranspose": {"auto_pad and a kernel smaller than its strides": _is_short_of_stride},
    "GRU": _RECURRENT,
    "GridSample": {"cubic places beyond the border": _is_cubic_to_the_border},
    "LSTM": {**_RECURRENT, "input_forget": lambda asked: bool(asked.get("input_forget"))},
    "LpPool": {**_POOL, "ceil_mode": lambda asked: asked.is_rounded_up},
    "MaxPool": {
        **_POOL,
        "ceil_mode and no strides": lambda asked: asked.is_rounded_up and not asked.is_strided,
        "auto_pad SAME_LOWER and strides": lambda asked: (
            asked.get("auto_pad") == b"SAME_LOWER" and asked.is_strided
        ),
        "places as a result, no strides and no dilations": lambda asked: (
            asked.wants(1) and not asked.is_strided and not asked.is_dilated
        ),
    },
    "MaxUnpool": {"output_shape": lambda asked: asked.operand(2) is not None},
    "RNN": _RECURRENT,
    "Resize": {
        "scales that cut its sizes off": _cuts_sizes,
        "one entry left of an axis": _leaves_one,
        "nearest places that are rounded": _rounds_places,
    },
}
"""Settings under which the reference of an operation gives what neither the standard nor the runtime does."""
