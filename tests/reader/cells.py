"""One recurrent cell in NumPy, as the ONNX standard writes it down: x @ W + h @ R, gate by gate.

The matrices come from the reader's parts (``name.W.i``); the answer has to be the runtime's.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

GATES = {"LSTM": "iofc", "GRU": "zrh", "RNN": "i"}


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def lstm(
    x: Array,
    h: Array,
    c: Array,
    w: Mapping[str, Array],
    r: Mapping[str, Array],
    b: Mapping[str, Array],
    p: Mapping[str, Array] | None = None,
) -> tuple[Array, Array, Array]:
    """Return all hidden states (steps, batch, hidden), the last one, and the last cell."""
    p = p or dict.fromkeys("iof", np.zeros(h.shape[-1]))
    states = []
    for step in x:
        gate = {name: step @ w[name] + h @ r[name] + b[name] for name in "iofc"}
        i, f = sigmoid(gate["i"] + p["i"] * c), sigmoid(gate["f"] + p["f"] * c)
        c = f * c + i * np.tanh(gate["c"])
        h = sigmoid(gate["o"] + p["o"] * c) * np.tanh(c)
        states.append(h)
    return np.array(states), h, c


def gru(
    x: Array,
    h: Array,
    w: Mapping[str, Array],
    r: Mapping[str, Array],
    wb: Mapping[str, Array],
    rb: Mapping[str, Array],
    *,
    linear_before_reset: int = 0,
) -> tuple[Array, Array]:
    states = []
    for step in x:
        z = sigmoid(step @ w["z"] + h @ r["z"] + wb["z"] + rb["z"])
        reset = sigmoid(step @ w["r"] + h @ r["r"] + wb["r"] + rb["r"])
        inner = reset * (h @ r["h"] + rb["h"]) if linear_before_reset else (reset * h) @ r["h"] + rb["h"]
        new = np.tanh(step @ w["h"] + inner + wb["h"])
        h = (1 - z) * new + z * h
        states.append(h)
    return np.array(states), h


def rnn(x: Array, h: Array, w: Array, r: Array, b: Array) -> tuple[Array, Array]:
    states = []
    for step in x:
        h = np.tanh(step @ w + h @ r + b)
        states.append(h)
    return np.array(states), h
