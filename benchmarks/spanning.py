"""Neural persistence of one layer.

`layer_persistence` and `layer_forest` as they are called by users. A pass is one `max(W.max(), -W.min())`,
which reads the weights and does nothing else. The hard matrices (`tests/topology/hard_matrices.py`) are
made to defeat the threshold.
"""

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks._measuring import Figure, beside, peak_mib, seconds, worst
from benchmarks._rows import row
from onnxtop.network import Kernel
from onnxtop.topology.convolution import unrolled_forest
from onnxtop.topology.neural_persistence import layer_forest, layer_persistence
from tests.topology.hard_matrices import HARD, random_matrix

LARGE = (4096, 11008)
FORMS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "np": ("float32", lambda matrix: matrix),
    "np-transposed": ("float32, transposed", lambda matrix: matrix.T),
    "np-float16": ("float16", lambda matrix: matrix.astype(np.float16)),
}
TINY = {"shape": (40, 30)}


def in_passes(*, form: str, shape: tuple[int, int] = LARGE) -> Figure:
    """Return the time of a layer in passes over it in float32."""
    matrix = random_matrix("gaussian", *shape)
    same = FORMS[form][1](matrix)
    return beside(lambda: layer_persistence(same), lambda: max(matrix.max(), -matrix.min()), budget=4)


for _form, (_what, _) in FORMS.items():
    row(
        _form, f"NP of 4096 x 11008, {_what}", "passes",
        at_most=4, pace="quick", arguments={"form": _form}, tiny=TINY,
    )(in_passes)  # fmt: skip


@row("np-memory", "its peak of extra memory", "MiB", at_most=64, pace="quick", tiny=TINY)
def memory(shape: tuple[int, int] = LARGE) -> Figure:
    matrix = random_matrix("gaussian", *shape)
    return peak_mib(lambda: layer_persistence(matrix))


def hard(*, names: Sequence[str], shape: tuple[int, int] = LARGE) -> Figure:
    """Return the time of the worst of some hard matrices beside that of a gaussian one."""
    usual = random_matrix("gaussian", *shape)
    return worst({name: _beside(random_matrix(name, *shape), usual) for name in names})


@row("np-long", "NP of gaussian 50257 x 768 and 100000 x 16, over 4096 x 11008", "x", at_most=3, tiny=TINY)
def long(shape: tuple[int, int] = LARGE) -> Figure:
    usual, (n, _) = random_matrix("gaussian", *shape), shape
    shapes = [(50257, 768), (100000, 16)] if shape == LARGE else [(n, 2)]
    return worst(
        {f"{each[0]} x {each[1]}": _beside(random_matrix("gaussian", *each), usual) for each in shapes}
    )


def _beside(matrix: np.ndarray, usual: np.ndarray) -> float:
    both = seconds(lambda: layer_persistence(matrix), lambda: layer_persistence(usual), budget=1)
    return both[0] / both[1]


_OTHERS = [name for name in HARD if name not in ("gaussian", "block_hierarchy")]
for _name, _what, _kinds, _goal in (
    ("np-hard", f"NP of the worst of {len(_OTHERS)} hard matrices, over a gaussian one", _OTHERS, 3),
    ("np-hierarchy", "NP of the hierarchy of blocks, over a gaussian matrix", ["block_hierarchy"], 15),
):
    row(_name, _what, "x", at_most=_goal, limit=400, arguments={"names": _kinds}, tiny=TINY)(hard)


@row(
    "np-blocks", "NP of a depthwise layer, 960 blocks of 9 x 1, each block", "µs",
    at_most=20, pace="quick", tiny={"n": 5},
)  # fmt: skip
def blocks(n: int = 960) -> Figure:
    depthwise = list(np.random.default_rng(0).standard_normal((n, 9, 1), dtype=np.float32))
    return Figure(seconds(lambda: layer_forest(depthwise), budget=0.5)[0] / n * 1e6)


def unrolled(*, shape: tuple[int, ...], size: int, stride: int) -> Figure:
    """Return the time of the forest of an unrolled convolution."""
    weights = np.random.default_rng(0).standard_normal((1, *shape), dtype=np.float32)
    pads, sizes, after = (shape[-1] // 2,) * 2, (size,) * 2, (size // stride,) * 2
    kernel = Kernel(weights, (stride,) * 2, pads, (1, 1), False, sizes, after)
    return Figure(seconds(lambda: unrolled_forest(kernel), least=1, budget=4)[0])


for _kernel, _size, _stride, _goal in (((512, 512, 3, 3), 14, 1, 3), ((64, 3, 7, 7), 224, 2, 5)):
    _shown = " x ".join(map(str, _kernel))
    row(
        f"np-unrolled-{_size}",
        f"NP of {_shown} unrolled at {_size} x {_size}, stride {_stride}",
        "s",
        at_most=_goal,
        arguments={"shape": _kernel, "size": _size, "stride": _stride},
        tiny={"shape": (4, 3, 3, 3), "size": 6},
    )(unrolled)
