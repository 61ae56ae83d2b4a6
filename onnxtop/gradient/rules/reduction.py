"""Operations that sum up along axes, and those whose elements share a sum: softmax and its like."""

from collections.abc import Callable

import numpy as np

from onnxtop.gradient.engine import Adjoints, RuleCall, constant_of
from onnxtop.gradient.graph import Tensor

__all__ = [
    "CumSum", "LogSoftmax", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Softmax",
]  # fmt: skip


def _axes(x: Tensor, axes: Tensor | None, noop: int) -> list[int]:
    given = None if axes is None else np.asarray(constant_of(axes)).ravel().tolist()
    if not given:
        return [] if noop else list(range(x.rank))
    return sorted(axis % x.rank for axis in given)


def _kept(value: Tensor, x: Tensor, axes: list[int]) -> Tensor:
    """Give the reduced axes back, with length 1."""
    return value.reshape([1 if axis in axes else size for axis, size in enumerate(x.shape)])


def _reduction(
    slope: Callable[[Tensor, Tensor, Tensor, int], Tensor], name: str, what: str
) -> Callable[..., Adjoints]:
    """Make the rule of a reduction from its slope: (dy, y, x, elements a sum) to the adjoint of x."""

    def rule(
        call: RuleCall,
        x: Tensor,
        axes: Tensor | None = None,
        *,
        keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> Adjoints:
        along = _axes(x, axes, noop_with_empty_axes)
        count = int(np.prod([x.shape[axis] for axis in along], dtype=int))
        dy, y = _kept(call.dy, x, along), _kept(call.y, x, along)
        return slope(dy, y, x, count).expand(x.shape), None

    rule.__name__ = rule.__qualname__ = name
    rule.__doc__ = what
    return rule


def _chosen(dy: Tensor, y: Tensor, x: Tensor, count: int) -> Tensor:
    mask = x.equals(y).cast(x.dtype)
    along = [axis for axis, (short, long) in enumerate(zip(y.shape, x.shape, strict=True)) if short != long]
    return mask * (dy / mask.sum(along, keepdims=True))


ReduceSum = _reduction(lambda dy, y, x, n: dy, "ReduceSum", "Give every summand the adjoint.")
ReduceMean = _reduction(lambda dy, y, x, n: dy * (1 / n), "ReduceMean", "Give every element its share.")
ReduceMax = _reduction(_chosen, "ReduceMax", "Give the adjoint to the largest; equal ones share it.")
ReduceMin = _reduction(_chosen, "ReduceMin", "Give the adjoint to the smallest; equal ones share it.")
ReduceProd = _reduction(lambda dy, y, x, n: dy * y / x, "ReduceProd", "Of a product: y / x; x must not be 0.")
ReduceL1 = _reduction(lambda dy, y, x, n: dy * x.apply("Sign"), "ReduceL1", "Of a sum of |x|: the sign.")
ReduceL2 = _reduction(lambda dy, y, x, n: dy / y * x, "ReduceL2", "Of a length: x / y; y must not be 0.")
ReduceSumSquare = _reduction(lambda dy, y, x, n: dy * 2.0 * x, "ReduceSumSquare", "Of a sum of x^2: 2 x.")
ReduceLogSum = _reduction(lambda dy, y, x, n: dy / y.exp(), "ReduceLogSum", "Of ln sum x: e^-y.")
ReduceLogSumExp = _reduction(
    lambda dy, y, x, n: dy * (x - y).exp(), "ReduceLogSumExp", "Of ln sum e^x: e^(x - y)."
)


def Softmax(call: RuleCall, x: Tensor, *, axis: int = -1) -> Adjoints:
    """Of e^x / sum e^x: y (dy - sum y dy)."""
    weighted = call.dy * call.y
    return (weighted - call.y * weighted.sum([axis], keepdims=True),)


def LogSoftmax(call: RuleCall, x: Tensor, *, axis: int = -1) -> Adjoints:
    """Of ln softmax: dy - e^y sum dy."""
    return (call.dy - call.y.exp() * call.dy.sum([axis], keepdims=True),)


def CumSum(call: RuleCall, x: Tensor, axis: Tensor, *, exclusive: int = 0, reverse: int = 0) -> Adjoints:
    """Take the running sum from the other end."""
    dx = call.graph.emit(
        "CumSum", call.dy, axis, shape=x.shape, exclusive=exclusive, reverse=int(not reverse)
    )
    return dx, None
