"""Operations that work element by element: arithmetic, activations, choices.

Formulas are the derivatives of the operations as ONNX defines them. Where a function has a kink, the value
there is PyTorch's: 0 for Relu and Abs, 1 on the bounds of Clip, equal shares among equal arguments of Max.
"""

import math

from onnxtop.gradient.engine import Adjoints, RuleCall
from onnxtop.gradient.graph import Tensor

__all__ = [
    "Abs", "Add", "Atan", "Cast", "CastLike", "Celu", "Clip", "Cos", "Div", "Elu", "Erf", "Exp",
    "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Max", "Mean", "Min", "Mish", "Mul", "Neg",
    "PRelu", "Pow", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sin", "Softplus", "Softsign",
    "Sqrt", "Sub", "Sum", "Swish", "Tanh", "ThresholdedRelu", "Where",
]  # fmt: skip

_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875  # ONNX's defaults


def _step(condition: Tensor, dy: Tensor) -> Tensor:
    """Let an adjoint pass where a condition holds."""
    return dy.where(condition, 0.0)


# Arithmetic


def Add(call: RuleCall, a: Tensor, b: Tensor) -> Adjoints:
    """Hand the adjoint of a sum to both."""
    return call.dy.sum_to(a.shape), call.dy.sum_to(b.shape)


def Sub(call: RuleCall, a: Tensor, b: Tensor) -> Adjoints:
    """Hand the adjoint on with opposite signs."""
    return call.dy.sum_to(a.shape), -call.dy.sum_to(b.shape)


def Mul(call: RuleCall, a: Tensor, b: Tensor) -> Adjoints:
    """Give each factor the adjoint times the other."""
    return (call.dy * b).sum_to(a.shape), (call.dy * a).sum_to(b.shape)


def Div(call: RuleCall, a: Tensor, b: Tensor) -> Adjoints:
    """Of a / b: 1 / b and -y / b."""
    quotient = call.dy / b
    return quotient.sum_to(a.shape), -(quotient * call.y).sum_to(b.shape)


def Neg(call: RuleCall, x: Tensor) -> Adjoints:
    """Change the adjoint's sign."""
    return (-call.dy,)


def Sum(call: RuleCall, *inputs: Tensor) -> Adjoints:
    """Give every summand the adjoint."""
    return [call.dy.sum_to(x.shape) for x in inputs]


def Mean(call: RuleCall, *inputs: Tensor) -> Adjoints:
    """Give every argument its share of the adjoint."""
    share = call.dy * (1.0 / len(inputs)) if len(inputs) > 1 else call.dy
    return [share.sum_to(x.shape) for x in inputs]


def Pow(call: RuleCall, x: Tensor, exponent: Tensor) -> Adjoints:
    """Of x^p: p x^(p - 1) and y ln x; the exponent's counts 0 where x is not positive."""
    p = exponent.cast(x.dtype)
    if exponent.value is not None and exponent.size == 1 and exponent.value.ravel()[0] == 2:
        dx = call.dy * x * 2.0
    else:
        dx = call.dy * p * x.with_("Pow", p - 1.0)
    positive = x > 0.0
    logarithm = x.where(positive, 1.0).log()
    dp = None if exponent.dtype.kind != "f" else (call.dy * call.y * logarithm).sum_to(exponent.shape)
    return dx.sum_to(x.shape), dp


def Sqrt(call: RuleCall, x: Tensor) -> Adjoints:
    """Of the root: 1 / (2 y)."""
    return (call.dy * 0.5 / call.y,)


def Reciprocal(call: RuleCall, x: Tensor) -> Adjoints:
    """Of 1 / x: -y^2."""
    return (-(call.dy * call.y * call.y),)


def Exp(call: RuleCall, x: Tensor) -> Adjoints:
    """Of e^x: y."""
    return (call.dy * call.y,)


def Log(call: RuleCall, x: Tensor) -> Adjoints:
    """Of ln x: 1 / x."""
    return (call.dy / x,)


def Sin(call: RuleCall, x: Tensor) -> Adjoints:
    """Of sin x: cos x."""
    return (call.dy * x.apply("Cos"),)


def Cos(call: RuleCall, x: Tensor) -> Adjoints:
    """Of cos x: -sin x."""
    return (-(call.dy * x.apply("Sin")),)


def Atan(call: RuleCall, x: Tensor) -> Adjoints:
    """Of arctan x: 1 / (1 + x^2)."""
    return (call.dy / (x * x + 1.0),)


def Abs(call: RuleCall, x: Tensor) -> Adjoints:
    """Of |x|: its sign."""
    return (call.dy * x.apply("Sign"),)


def Cast(call: RuleCall, x: Tensor, *, to: int, saturate: int = 1, round_mode: str = "up") -> Adjoints:
    """Convert the adjoint back."""
    return (call.dy.cast(x.dtype),)


def CastLike(
    call: RuleCall, x: Tensor, like: Tensor, *, saturate: int = 1, round_mode: str = "up"
) -> Adjoints:
    """Convert the adjoint back; of the other operand, the type alone counts."""
    return call.dy.cast(x.dtype), like.zeros()


# Activations


def Relu(call: RuleCall, x: Tensor) -> Adjoints:
    """Of max(x, 0): 1 where y > 0."""
    return (_step(call.y > 0.0, call.dy),)


def LeakyRelu(call: RuleCall, x: Tensor, *, alpha: float = 0.01) -> Adjoints:
    """Of x or alpha x: 1 or alpha."""
    return (call.dy.where(x > 0.0, call.dy * alpha),)


def PRelu(call: RuleCall, x: Tensor, slope: Tensor) -> Adjoints:
    """Of x or slope x: 1 or slope, and x for the slope where x is negative."""
    positive = x > 0.0
    dslope = (call.dy * x).zeros().where(positive, call.dy * x)
    return call.dy.where(positive, call.dy * slope), dslope.sum_to(slope.shape)


def ThresholdedRelu(call: RuleCall, x: Tensor, *, alpha: float = 1.0) -> Adjoints:
    """Of x above alpha, else 0: 1 or 0."""
    return (_step(x > alpha, call.dy),)


def Elu(call: RuleCall, x: Tensor, *, alpha: float = 1.0) -> Adjoints:
    """Of alpha (e^x - 1) below 0: y + alpha."""
    return (call.dy.where(x > 0.0, call.dy * (call.y + alpha)),)


def Celu(call: RuleCall, x: Tensor, *, alpha: float = 1.0) -> Adjoints:
    """Of alpha (e^(x / alpha) - 1) below 0: y / alpha + 1."""
    return (call.dy.where(x > 0.0, call.dy * (call.y / alpha + 1.0)),)


def Selu(call: RuleCall, x: Tensor, *, alpha: float = _SELU_ALPHA, gamma: float = _SELU_GAMMA) -> Adjoints:
    """Of gamma alpha (e^x - 1) below 0: y + gamma alpha; gamma above."""
    return ((call.dy * gamma).where(x > 0.0, call.dy * (call.y + gamma * alpha)),)


def Sigmoid(call: RuleCall, x: Tensor) -> Adjoints:
    """Of the logistic function: y (1 - y)."""
    return (call.dy * (call.y * (1.0 - call.y)),)


def Tanh(call: RuleCall, x: Tensor) -> Adjoints:
    """Of tanh x: 1 - y^2."""
    return (call.dy * (1.0 - call.y * call.y),)


def Softplus(call: RuleCall, x: Tensor) -> Adjoints:
    """Of ln(1 + e^x): the logistic function."""
    return (call.dy * x.apply("Sigmoid"),)


def Softsign(call: RuleCall, x: Tensor) -> Adjoints:
    """Of x / (1 + |x|): 1 / (1 + |x|)^2."""
    below = x.apply("Abs") + 1.0
    return (call.dy / (below * below),)


def HardSigmoid(call: RuleCall, x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Adjoints:
    """Of alpha x + beta cut off at 0 and 1: alpha between them."""
    inside = (call.y > 0.0).with_("And", call.y < 1.0)
    return (_step(inside, call.dy * alpha),)


def HardSwish(call: RuleCall, x: Tensor) -> Adjoints:
    """Of x max(0, min(1, x / 6 + 1/2)): 0, x / 3 + 1/2, 1."""
    middle = (call.dy * (x * (1 / 3) + 0.5)).where(x < 3.0, call.dy)
    return (_step(x > -3.0, middle),)


def Swish(call: RuleCall, x: Tensor, *, alpha: float = 1.0) -> Adjoints:
    """Of x s(alpha x), s the logistic function: s + alpha y (1 - s)."""
    s = (x * alpha).apply("Sigmoid")
    return (call.dy * (s + call.y * alpha * (1.0 - s)),)


def Mish(call: RuleCall, x: Tensor) -> Adjoints:
    """Of x t, t = tanh ln(1 + e^x): t + x (1 - t^2) s, s the logistic function."""
    t = x.apply("Softplus").apply("Tanh")
    return (call.dy * (t + x * (1.0 - t * t) * x.apply("Sigmoid")),)


def Erf(call: RuleCall, x: Tensor) -> Adjoints:
    """Of the error function: 2 / sqrt(pi) e^(-x^2)."""
    return (call.dy * ((-(x * x)).exp() * (2 / math.sqrt(math.pi))),)


def Gelu(call: RuleCall, x: Tensor, *, approximate: str = "none") -> Adjoints:
    """Of x P(x), P the normal distribution or its approximation by tanh: P + x P'."""
    if approximate == "tanh":
        c = math.sqrt(2 / math.pi)
        t = ((x + x * x * x * 0.044715) * c).apply("Tanh")
        inner = (x * x * (3 * 0.044715) + 1.0) * c
        return (call.dy * ((t + 1.0) * 0.5 + x * 0.5 * (1.0 - t * t) * inner),)
    below = ((x * math.sqrt(0.5)).apply("Erf") + 1.0) * 0.5
    density = (x * x * -0.5).exp() * (1 / math.sqrt(2 * math.pi))
    return (call.dy * (below + x * density),)


# Choices


def Clip(call: RuleCall, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Adjoints:
    """Let the adjoint pass between the bounds, bounds included."""
    dx = call.dy
    if low is not None:
        dx = _step(x >= low, dx)
    if high is not None:
        dx = _step(x <= high, dx)
    return dx, None, None


def Where(call: RuleCall, condition: Tensor, a: Tensor, b: Tensor) -> Adjoints:
    """Give each side the adjoint where it was chosen."""
    zeros = call.dy.like(0.0)
    chosen = call.dy.where(condition, zeros)
    other = call.graph.emit("Where", condition, zeros, call.dy, shape=call.dy.shape, dtype=call.dy.dtype)
    return None, chosen.sum_to(a.shape), other.sum_to(b.shape)


def Max(call: RuleCall, *inputs: Tensor) -> Adjoints:
    """Give the adjoint to the largest argument; equal ones share it."""
    if len(inputs) == 1:
        return (call.dy,)
    chosen = [x.equals(call.y).cast(call.dy.dtype) for x in inputs]
    count = chosen[0]
    for mask in chosen[1:]:
        count = count + mask
    share = call.dy / count
    return [(share * mask).sum_to(x.shape) for x, mask in zip(inputs, chosen, strict=True)]


def Min(call: RuleCall, *inputs: Tensor) -> Adjoints:
    """Give the adjoint to the smallest argument; equal ones share it."""
    return Max(call, *inputs)
