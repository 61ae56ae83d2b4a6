"""LSTM, GRU, RNN: input weights, and recurrent weights as a cycle through the hidden neurons."""

from typing import Any

import numpy as np

from onnxtop.reader.lanes.arrays import Ids, Misfit, Unclear, compressed
from onnxtop.reader.lanes.step import Result, Step


def recurrent(step: Step, *, layout: int = 0, **_: Any) -> Result:
    """Every gate's matrices feed the hidden neurons, one run for each direction.

    An initial state that carries neurons joins them. Peepholes join a cell to itself and say nothing here.
    """
    uses = [use for use in step.uses if use.part[:2] in ("W.", "R.")]
    if not {"W", "R"} <= {use.part[0] for use in uses}:
        raise Unclear("its weights are no constants")
    for place in step.with_lanes():
        if place in (0, 5, 6):
            step.builder.alike(step.ids(place), [0, 1])
    size = uses[0].matrices[0][1]
    directions = 2 if any(use.part.endswith(".reverse") for use in uses) else 1
    ids = step.ids(0)
    data = step.reduce(ids, [0, 1]).reshape(-1)
    hidden = step.new(directions * size, name=step.name).reshape(directions, size)
    for use in uses:
        own = hidden[int(use.part.endswith(".reverse"))]
        n_in, n_out = use.matrices[0]
        if n_out != size or (use.part[0] == "R" and n_in != size):
            raise Misfit(f"{size} neurons meet {use.part} of {n_in} x {n_out} weights")
        rows = np.broadcast_to(data, n_in) if use.part[0] == "W" else own
        step.builder.block(use.layer, 0, rows, own)
    for place in (5, 6):
        if step.lanes(place) is not None:
            _begin(step, step.ids(place), hidden, layout)
    return results(hidden, layout)


def _begin(step: Step, ids: Ids, hidden: Ids, layout: int) -> None:
    state = step.reduce(ids, [0 if layout else 1])
    step.builder.connect(state.reshape(state.shape[1:] if layout else (state.shape[0], -1)), hidden)


def results(hidden: Ids, layout: int) -> list[Ids]:
    """Return the lanes of the sequence, of the last state and of the last cell; ``hidden``: (runs, units)."""
    if layout:
        state = hidden[np.newaxis]
        return [compressed(hidden[np.newaxis, np.newaxis]), compressed(state), compressed(state)]
    state = compressed(hidden[:, np.newaxis])
    return [compressed(hidden[np.newaxis, :, np.newaxis]), state, state]
