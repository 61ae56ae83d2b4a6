"""What the null model and the test of exchangeability cost, and, given folders of models, what they find.

python benchmarks/null_model.py                 # the benchmark
python benchmarks/null_model.py DIR [DIR ...]   # the census: verdicts on every *.onnx below some folders
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from _measure import Row, median_seconds, peak_mib, report

from onnxtop.auditing.story import audit
from onnxtop.errors import OnnxtopError
from onnxtop.rules.untrained import judged
from onnxtop.statistics.exchangeability import evidence, verdict
from onnxtop.statistics.facts import Exchangeability
from onnxtop.statistics.initialisers import closest_initialiser
from onnxtop.topology.neural_persistence import layer_forest, layer_persistence
from onnxtop.topology.null_law import null_law
from onnxtop.topology.null_model import NullModels

STAGES = [(64, 64, 3), (256, 128, 4), (512, 256, 6), (1024, 512, 3)]
"""Channels that come in, width, blocks."""

RESNET_50 = [(147, 64), (2048, 1000)]
for before, width, depth in STAGES:
    RESNET_50 += [(before, width), (before, 4 * width)]
    RESNET_50 += [(9 * width, width), (width, 4 * width)] * depth
    RESNET_50 += [(4 * width, width)] * (depth - 1)
"""Matrices of a ResNet-50, flattened, with its classifier."""

FRESH = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "uniform": lambda rng, shape: rng.uniform(-1, 1, shape),
    "Student's t, 3 degrees": lambda rng, shape: rng.standard_t(3, shape),
    "normal, rounded to int8": lambda rng, shape: np.round(rng.standard_normal(shape) * 30).clip(-127, 127),
    "normal, 90 % zeros": lambda rng, shape: rng.standard_normal(shape) * (rng.random(shape) > 0.9),
}


# The benchmark


def seconds(run: object) -> float:
    """Processor time: what a busy machine does beside does not count."""
    times = []
    for _ in range(3):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return float(np.median(times))


def resnet() -> list[Row]:
    rng = np.random.default_rng(0)
    layers = [[rng.standard_normal(shape, dtype=np.float32)] for shape in RESNET_50]
    values = [layer_persistence(matrix) for (matrix,) in layers]
    shapes = {(max(shape), min(shape), 1) for shape in RESNET_50}

    def null_models() -> NullModels:
        models = NullModels()
        kept = [models.read(blocks) for blocks in layers]
        for item, value in zip(kept, values, strict=True):
            models.measure(item, value.normalized, scale=value.scale)
        return models

    models = null_models()
    laws = seconds(lambda: [null_law.__wrapped__((shape,)) for shape in shapes])
    read = sum(kept.strengths.nbytes for kept in map(models.read, layers)) / 2**20
    return [
        Row("forests of the layers of a ResNet-50", seconds(lambda: [*map(layer_forest, layers)]), "s"),
        Row("their null models", seconds(null_models), "s", 0.5),
        Row(f"of that, the laws of {len(shapes)} shapes", laws, "s", 0.05),
        Row("kept until the scale is known", read, "MiB", 16.0),
        Row("exchangeability", seconds(lambda: [*map(evidence, layers)]), "s", 2.0),
        Row("closest initialisers", seconds(lambda: [*map(closest_initialiser, layers)]), "s", 1.0),
    ]


def large() -> list[Row]:
    matrix = np.random.default_rng(0).standard_normal((4096, 11008), dtype=np.float32)
    models = NullModels()
    models.read([matrix])
    read, tested, anchor = median_seconds(
        lambda: models.read([matrix]),
        lambda: evidence([matrix]),
        lambda: max(matrix.max(), -matrix.min()),
        repeat=5,
    )
    law = seconds(lambda: null_law.__wrapped__(((11008, 4096, 1),)))
    return [
        Row("4096 x 11008 float32, max(W.max(), -W.min())", anchor * 1e3, "ms"),
        Row("reading the strongest weights, as multiple of that", read / anchor, "x", 6.0),
        Row("exchangeability, as multiple of that", tested / anchor, "x"),
        Row("the law of its shape", law * 1e3, "ms", 5.0),
        Row("peak of extra memory of reading", peak_mib(lambda: models.read([matrix])), "MiB", 64.0),
        Row(
            "peak of extra memory of exchangeability",
            peak_mib(lambda: evidence([matrix])),
            "MiB",
            128.0,
        ),
    ]


def fresh() -> list[Row]:
    """Share of freshly drawn matrices in which structure is found, a false alarm each."""
    shapes = [(64, 64), (128, 32), (288, 64), (512, 128)]
    rows = []
    for name, draw in FRESH.items():
        found = [
            verdict_on([draw(np.random.default_rng([seed, *shape]), shape)])
            for shape in shapes
            for seed in range(100)
        ]
        share = sum(not item.exchangeable for item in found) / len(found)
        rows.append(Row(f"structure found in {len(found)} fresh matrices, {name}", 100 * share, "%", 4.0))
    return rows


def verdict_on(blocks: list[np.ndarray]) -> Exchangeability:
    models = NullModels()
    kept, value = models.read(blocks), layer_persistence(blocks[0])
    return verdict(evidence(blocks), models.measure(kept, value.normalized, scale=value.scale).z)


# The census


def census(folders: list[Path]) -> None:
    totals: Counter[str] = Counter()
    print("judged exchangeable untrained file")
    for folder in folders:
        for path in sorted(folder.rglob("*.onnx")):
            try:
                report = audit(path)
            except OnnxtopError as error:
                print(f"{path.relative_to(folder)}: {error}")
                continue
            told = [layer.exchangeability for layer in judged(report) if layer.exchangeability]
            alike = [each for each in told if each.exchangeable]
            untrained = any(finding.rule == "OT208" for finding in report.findings)
            totals.update(name for each in told for name in each.structured)
            totals.update(
                {"layers judged": len(told), "exchangeable": len(alike), "files untrained": untrained}
            )
            if told:
                answer = "yes" if untrained else "no"
                print(f"{len(told):6} {len(alike):12} {answer:>9} {path.relative_to(folder)}")
            names = Counter(each.initialiser if each.fits else "none" for each in alike)
            for initialiser, count in names.most_common():
                print(f"{'':30}{count} x initialiser: {initialiser}")
    for what, count in totals.items():
        print(f"{what:<20} {count:6}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        census([Path(argument) for argument in sys.argv[1:]])
        sys.exit(0)
    sys.exit(int(sum(report(section()) for section in (resnet, large, fresh)) > 0))
