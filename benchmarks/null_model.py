"""What z and the test of exchangeability cost.

Random weights with the shapes of a ResNet-50 (53 matrices and the classifier), and one large matrix. A
fresh matrix in which structure is found is a false alarm.
"""

from collections.abc import Callable

import numpy as np

from benchmarks._measuring import Figure, beside, peak_mib, seconds, shown
from benchmarks._rows import row
from onnxtop.statistics.exchangeability import evidence, verdict
from onnxtop.statistics.initialisers import closest_initialiser
from onnxtop.topology.neural_persistence import layer_forest, layer_persistence
from onnxtop.topology.null_model import NullModels

Shapes = list[tuple[int, int]]
STAGES = [(64, 64, 3), (256, 128, 4), (512, 256, 6), (1024, 512, 3)]
"""Channels that come in, width, blocks."""

RESNET_50: Shapes = [(147, 64), (2048, 1000)]
for _before, _width, _depth in STAGES:
    RESNET_50 += [(_before, _width), (_before, 4 * _width)]
    RESNET_50 += [(9 * _width, _width), (_width, 4 * _width)] * _depth
    RESNET_50 += [(4 * _width, _width)] * (_depth - 1)
"""Matrices of a ResNet-50, flattened, with its classifier."""

LARGE = (4096, 11008)
ALARMED: Shapes = [(64, 64), (128, 32), (288, 64), (512, 128)]
TINY = {"shapes": [(30, 20), (20, 20)]}
TINY_LARGE = {"shape": (60, 40)}

FRESH: dict[str, tuple[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]]] = {
    "normal": ("normal", lambda rng, shape: rng.standard_normal(shape)),
    "uniform": ("uniform", lambda rng, shape: rng.uniform(-1, 1, shape)),
    "student": ("Student's t, 3 degrees", lambda rng, shape: rng.standard_t(3, shape)),
    "int8": (
        "normal, rounded to int8",
        lambda rng, shape: np.round(rng.standard_normal(shape) * 30).clip(-127, 127),
    ),
    "zeros": (
        "normal, 90 % zeros",
        lambda rng, shape: rng.standard_normal(shape) * (rng.random(shape) > 0.9),
    ),
}


def layers(shapes: Shapes) -> list[list[np.ndarray]]:
    """Return Gaussian layers of one block each."""
    rng = np.random.default_rng(0)
    return [[rng.standard_normal(shape, dtype=np.float32)] for shape in shapes]


@row("null-models", "null models of the layers of a ResNet-50", "s", at_most=0.5, pace="quick", tiny=TINY)
def null_models(shapes: Shapes = RESNET_50) -> Figure:
    blocks = layers(shapes)
    values = [layer_persistence(matrix) for (matrix,) in blocks]

    def of_all() -> None:
        models = NullModels()
        read = [models.read(each) for each in blocks]
        for kept, value in zip(read, values, strict=True):
            models.measure(kept, value.normalized, scale=value.scale)

    ours, forests = seconds(of_all, lambda: [*map(layer_forest, blocks)], budget=4)
    return Figure(ours, f"their forests {shown(forests)}")


@row("null-kept", "kept of them until the scale is known", "MiB", at_most=16, pace="quick", tiny=TINY)
def kept_until_the_scale(shapes: Shapes = RESNET_50) -> Figure:
    models = NullModels()
    return Figure(sum(models.read(each).strengths.nbytes for each in layers(shapes)) / 2**20)


@row("exchangeability", "exchangeability of them", "s", at_most=0.5, pace="quick", tiny=TINY)
def exchangeability(shapes: Shapes = RESNET_50) -> Figure:
    blocks = layers(shapes)
    return Figure(seconds(lambda: [*map(evidence, blocks)], budget=4)[0])


@row("initialisers", "closest initialisers of them", "s", at_most=0.5, pace="quick", tiny=TINY)
def initialisers(shapes: Shapes = RESNET_50) -> Figure:
    blocks = layers(shapes)
    return Figure(seconds(lambda: [*map(closest_initialiser, blocks)], budget=4)[0])


@row(
    "null-read", "reading the strongest weights of 4096 x 11008 by themselves", "passes",
    at_most=6, pace="quick", tiny=TINY_LARGE,
)  # fmt: skip
def reading(shape: tuple[int, int] = LARGE) -> Figure:
    matrix, models = layers([shape])[0][0], NullModels()
    return beside(lambda: models.read([matrix]), lambda: max(matrix.max(), -matrix.min()))


@row("null-read-memory", "its peak of extra memory", "MiB", at_most=64, pace="quick", tiny=TINY_LARGE)
def reading_memory(shape: tuple[int, int] = LARGE) -> Figure:
    blocks, models = layers([shape])[0], NullModels()
    models.read(blocks)
    return peak_mib(lambda: models.read(blocks))


@row("exchangeability-large", "exchangeability of 4096 x 11008", "passes", pace="quick", tiny=TINY_LARGE)
def exchangeability_large(shape: tuple[int, int] = LARGE) -> Figure:
    matrix = layers([shape])[0][0]
    return beside(lambda: evidence([matrix]), lambda: max(matrix.max(), -matrix.min()))


@row("exchangeability-memory", "its peak of extra memory", "MiB", at_most=128, pace="quick", tiny=TINY_LARGE)
def exchangeability_memory(shape: tuple[int, int] = LARGE) -> Figure:
    blocks = layers([shape])[0]
    return peak_mib(lambda: evidence(blocks))


def false_alarms(*, kind: str, seeds: int = 100, shapes: Shapes = ALARMED) -> Figure:
    """Return the share of freshly drawn matrices in which structure is found."""
    draw, models = FRESH[kind][1], NullModels()
    matrices = [draw(np.random.default_rng([seed, *each]), each) for each in shapes for seed in range(seeds)]
    alarms = sum(is_structured(matrix, models) for matrix in matrices)
    return Figure(100 * alarms / len(matrices), f"{alarms} of {len(matrices)}")


def is_structured(matrix: np.ndarray, models: NullModels) -> bool:
    """Return whether a layer of one matrix is told from a random arrangement of itself."""
    value = layer_persistence(matrix)
    null = models.measure(models.read([matrix]), value.normalized, scale=value.scale)
    return not verdict(evidence([matrix]), null.z).exchangeable


for _kind, (_what, _) in FRESH.items():
    row(
        f"alarms-{_kind}", f"structure found in fresh matrices, {_what}", "%",
        at_most=4, arguments={"kind": _kind}, tiny={"seeds": 1, "shapes": [(20, 16)]},
    )(false_alarms)  # fmt: skip
