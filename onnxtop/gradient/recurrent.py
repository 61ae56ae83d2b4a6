"""LSTM, GRU and RNN unrolled: one step of ordinary operations a position of the sequence.

Names and layouts are those of the ONNX operators: X (time, batch, features), W (directions, gates * hidden,
features), R (directions, gates * hidden, hidden), B (directions, 2 * gates * hidden): W's bias, then R's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from onnxtop.errors import ModelError
from onnxtop.gradient.engine import RuleCall
from onnxtop.gradient.graph import Tensor

__all__ = ["GRU", "LSTM", "RNN"]

_ACTIVATIONS = ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus", "Elu", "LeakyRelu", "HardSigmoid")

State = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class _Direction:
    """One direction of a recurrent node.

    ``moved`` is X W^T plus the biases that are added to it, for all times, shape (time, batch, gates *
    hidden); ``recurrent`` is R^T, shape (hidden, gates * hidden); ``bias`` is R's bias where it is added
    elsewhere; ``activations`` are names of operations.
    """

    moved: Tensor
    recurrent: Tensor
    bias: Tensor | None
    peephole: Tensor | None
    activations: Sequence[str]
    reverse: bool

    @property
    def hidden(self) -> int:
        return self.recurrent.shape[0]

    def activate(self, number: int, x: Tensor) -> Tensor:
        return x.apply(self.activations[number])

    def gates(self, x: Tensor, count: int) -> list[Tensor]:
        """Split the last axis into gates."""
        return [x.slice(-1, i * self.hidden, (i + 1) * self.hidden) for i in range(count)]


def LSTM(
    call: RuleCall,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    initial_h: Tensor | None = None,
    initial_c: Tensor | None = None,
    p: Tensor | None = None,
    *,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    activations: Sequence[bytes] = (),
    clip: float = 0.0,
    direction: str = "forward",
    hidden_size: int = 0,
    input_forget: int = 0,
    layout: int = 0,
) -> list[Tensor | None]:
    """Gates in, out, forget, cell: C = f C + i c, H = o h(C)."""
    _refuse(call, activation_alpha or activation_beta, clip)
    names = _names(activations, ("Sigmoid", "Tanh", "Tanh"), direction)
    step = partial(_lstm_step, coupled=bool(input_forget))
    runs = _directions(x, w, r, b, p, names, direction, layout, both=True)
    return _run(call, runs, step, [initial_h, initial_c], lengths, layout)


def _lstm_step(run: _Direction, moved: Tensor, state: State, *, coupled: bool) -> State:
    h, c = state
    i, o, f, g = run.gates(moved + h @ run.recurrent, 4)
    peep = run.gates(run.peephole, 3) if run.peephole is not None else None
    if peep is not None:
        i, f = i + peep[0] * c, f + peep[2] * c
    i = run.activate(0, i)
    f = 1.0 - i if coupled else run.activate(0, f)
    c = f * c + i * run.activate(1, g)
    o = run.activate(0, o if peep is None else o + peep[1] * c)
    return o * run.activate(2, c), c


def GRU(
    call: RuleCall,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    activations: Sequence[bytes] = (),
    clip: float = 0.0,
    direction: str = "forward",
    hidden_size: int = 0,
    layout: int = 0,
    linear_before_reset: int = 0,
) -> list[Tensor | None]:
    """Gates update, reset, hidden: H = (1 - z) h + z H."""
    _refuse(call, activation_alpha or activation_beta, clip)
    names = _names(activations, ("Sigmoid", "Tanh"), direction)
    step = partial(_gru_step, linear=bool(linear_before_reset))
    runs = _directions(x, w, r, b, None, names, direction, layout, both=False)
    return _run(call, runs, step, [initial_h], lengths, layout)


def _gru_step(run: _Direction, moved: Tensor, state: State, *, linear: bool) -> State:
    (h,) = state
    n = run.hidden
    first, last = run.recurrent.slice(1, 0, 2 * n), run.recurrent.slice(1, 2 * n, 3 * n)
    bias = None if run.bias is None else run.gates(run.bias, 3)
    z, s = (moved.slice(-1, i * n, (i + 1) * n) for i in range(2))
    inner = h @ first
    z, s = z + inner.slice(-1, 0, n), s + inner.slice(-1, n, 2 * n)
    if bias is not None:
        z, s = z + bias[0], s + bias[1]
    z, s = run.activate(0, z), run.activate(0, s)
    candidate = h @ last if linear else (s * h) @ last
    if bias is not None:
        candidate = candidate + bias[2]
    candidate = run.activate(1, moved.slice(-1, 2 * n, 3 * n) + (s * candidate if linear else candidate))
    return ((1.0 - z) * candidate + z * h,)


def RNN(
    call: RuleCall,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    activations: Sequence[bytes] = (),
    clip: float = 0.0,
    direction: str = "forward",
    hidden_size: int = 0,
    layout: int = 0,
) -> list[Tensor | None]:
    """H = f(X W^T + H R^T)."""
    _refuse(call, activation_alpha or activation_beta, clip)
    names = _names(activations, ("Tanh",), direction)

    def step(run: _Direction, moved: Tensor, state: State) -> State:
        return (run.activate(0, moved + state[0] @ run.recurrent),)

    runs = _directions(x, w, r, b, None, names, direction, layout, both=True)
    return _run(call, runs, step, [initial_h], lengths, layout)


def _refuse(call: RuleCall, parameters: Sequence[float], clip: float) -> None:
    found = ""
    if parameters:
        found = "activations with parameters"
    elif clip:
        found = "clip"
    if found:
        raise ModelError(
            f"wanted a gradient, but {call.node.op_type} {call.node.name!r} has {found}, which is not "
            "unrolled; the loss can still be computed"
        )


def _names(given: Sequence[bytes], default: Sequence[str], direction: str) -> list[str]:
    count = 2 if direction == "bidirectional" else 1
    names = [name.decode() for name in given] or [*default] * count
    known = {name.lower(): name for name in _ACTIVATIONS}
    if unknown := [name for name in names if name.lower() not in known]:
        raise ModelError(f"wanted a gradient, but the activation {unknown[0]!r} is not unrolled")
    return [known[name.lower()] for name in names]


def _directions(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    p: Tensor | None,
    names: Sequence[str],
    direction: str,
    layout: int,
    *,
    both: bool,
) -> list[_Direction]:
    """Prepare each direction; ``both`` adds R's bias where W's is added."""
    steps = x.transpose((1, 0, 2)) if layout else x
    time, batch, features = steps.shape
    wide = w.shape[1]
    each = len(names) // w.shape[0]
    runs = []
    for d in range(w.shape[0]):
        weights = w.slice(0, d, d + 1).reshape(w.shape[1:])
        recurrent = r.slice(0, d, d + 1).reshape(r.shape[1:]).mT
        moved = steps.reshape((time * batch, features)) @ weights.mT
        rest = None
        if b is not None:
            row = b.slice(0, d, d + 1).reshape((2 * wide,))
            own, rest = row.slice(0, 0, wide), row.slice(0, wide, 2 * wide)
            moved = moved + (own + rest if both else own)
        peephole = None if p is None else p.slice(0, d, d + 1).reshape(p.shape[1:])
        runs.append(
            _Direction(
                moved.reshape((time, batch, wide)),
                recurrent,
                None if both else rest,
                peephole,
                names[d * each : (d + 1) * each],
                direction == "reverse" or d == 1,
            )
        )
    return runs


def _run(
    call: RuleCall,
    runs: Sequence[_Direction],
    step: Callable[[_Direction, Tensor, State], State],
    initial: Sequence[Tensor | None],
    lengths: Tensor | None,
    layout: int,
) -> list[Tensor | None]:
    """Walk all directions along time; return all outputs H, and the last state."""
    sequences: list[list[Tensor]] = []
    last: list[State] = []
    for d, run in enumerate(runs):
        state = tuple(_start(call, run, item, d, layout) for item in initial)
        outputs = _walk(run, step, state, lengths)
        last.append(outputs[-1][1])
        found = [h for h, _ in outputs]
        sequences.append(found[::-1] if run.reverse else found)
    time, batch, hidden = len(sequences[0]), *sequences[0][0].shape
    parts = [h.reshape((1, 1, batch, hidden)) for step_ in zip(*sequences, strict=True) for h in step_]
    y = _join(parts, 0).reshape((time, len(runs), batch, hidden))
    finals = [_join([state[i].reshape((1, batch, hidden)) for state in last], 0) for i in range(len(initial))]
    if layout:
        return [y.transpose((2, 0, 1, 3)), *(state.transpose((1, 0, 2)) for state in finals)]
    return [y, *finals]


def _start(call: RuleCall, run: _Direction, given: Tensor | None, d: int, layout: int) -> Tensor:
    shape = run.moved.shape[1], run.hidden
    if given is None:
        return call.graph.constant(0.0, run.moved.dtype).expand(shape)
    return given.slice(1 if layout else 0, d, d + 1).reshape(shape)


def _walk(
    run: _Direction, step: Callable[[_Direction, Tensor, State], State], state: State, lengths: Tensor | None
) -> list[tuple[Tensor, State]]:
    """Return output and state after each step, in the order of the walk.

    Beyond its length a sequence keeps its state and gives 0; read backwards, it keeps its first state until
    its own end comes.
    """
    time = run.moved.shape[0]
    found = []
    for t in range(time - 1, -1, -1) if run.reverse else range(time):
        new = step(run, run.moved.slice(0, t, t + 1).reshape(run.moved.shape[1:]), state)
        if lengths is None:
            state, output = new, new[0]
        else:
            going = lengths.reshape((-1, 1)) > float(t)
            state = tuple(after.where(going, before) for after, before in zip(new, state, strict=True))
            output = new[0].where(going, 0.0)
        found.append((output, state))
    return found


def _join(parts: Sequence[Tensor], axis: int) -> Tensor:
    if len(parts) == 1:
        return parts[0]
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return parts[0].graph.emit("Concat", *parts, shape=shape, axis=axis)
