"""Training runs made by hand: what happens in each is known beforehand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.random import Generator

from tests.models import Array, model, node, save

SIDES = ((48, 40), (40, 32), (32, 32))


def fresh(rng: Generator, sides: Sequence[tuple[int, int]] = SIDES) -> list[Array]:
    """Return weights as an initialiser draws them."""
    return [rng.uniform(-1, 1, side) / np.sqrt(side[0]) for side in sides]


def stepped(rng: Generator, weights: Sequence[Array], size: float) -> list[Array]:
    """Move every layer along one direction, as training does."""
    ends = [(rng.standard_normal((len(w), 1)), rng.standard_normal((1, w.shape[1]))) for w in weights]
    return [w + size * np.abs(w).mean() * (u @ v) for w, (u, v) in zip(weights, ends, strict=True)]


def course(count: int, seed: int = 3) -> list[list[Array]]:
    """Return the weights of a run whose steps become smaller, from the first draw on."""
    rng = np.random.default_rng(seed)
    run = [fresh(rng)]
    for number in range(1, count):
        run.append(stepped(rng, run[-1], 0.5 / number))
    return run


def written(folder: Path, run: Sequence[Sequence[Array]], act: str = "Relu") -> list[str]:
    """Write a run as ``step_0.onnx``, ``step_100.onnx``, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        str(write(folder, f"step_{100 * number}.onnx", weights, act)) for number, weights in enumerate(run)
    ]


def write(folder: Path, name: str, weights: Sequence[Array], act: str = "Relu") -> Path:
    nodes, value = [], "x"
    for number in range(len(weights)):
        last = number == len(weights) - 1
        result = "y" if last else f"h{number}"
        nodes.append(node("MatMul", f"{value} w{number}", result, name=f"layer{number}"))
        if not last:
            value = f"a{number}"
            nodes.append(node(act, result, value))
    held = {f"w{number}": array.astype(np.float32) for number, array in enumerate(weights)}
    return save(model(nodes, held, {"x": ["n", len(weights[0])]}), folder, name)
