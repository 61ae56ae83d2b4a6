"""What is said of random matrices, and of small networks while they are trained.

480 random matrices of each kind, and networks from four common starts: the rules OT207 to OT209, as
[docs/rules.md](../docs/rules.md#while-a-network-is-trained) counts them.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

import onnxtop
from benchmarks._measuring import Figure
from benchmarks._rows import row
from benchmarks.studies.calibration import MATRICES, SHAPES, STARTS, counted


def exchangeable(*, kind: str, seeds: int = 120, shapes: Sequence[tuple[int, int]] = SHAPES) -> Figure:
    """Return the share of random matrices that are called exchangeable."""
    draw = MATRICES[kind][0]
    verdicts = [
        onnxtop.exchangeability(draw(np.random.default_rng([seed, *shape]), shape).astype(np.float32))
        for shape in shapes
        for seed in range(seeds)
    ]
    alike = sum(bool(each.exchangeable) for each in verdicts)
    structured = Counter(what for each in verdicts for what in each.structured)
    said = [f"{alike} of {len(verdicts)}", *(f"{what} {n}" for what, n in structured.items())]
    return Figure(100 * alike / len(verdicts), ", ".join(said))


for _kind, (_, _share) in MATRICES.items():
    row(
        f"random-{_kind.replace(' %', '').replace(' ', '-')}", f"called exchangeable: {_kind}", "%",
        at_least=100 * _share, arguments={"kind": _kind}, tiny={"seeds": 1, "shapes": [(20, 16)]},
    )(exchangeable)  # fmt: skip


def training(*, start: str) -> Figure:
    """Return how many networks are called untrained after their first step, or one later."""
    rows = list(counted(start))
    return Figure(sum(each["wrong"] for each in rows), f"of {sum(each['networks'] for each in rows)}")


for _start in STARTS:
    row(
        f"training-{_start.lower().replace(' ', '-')}",
        f"networks from {_start}'s start that are called untrained after a step or more",
        at_most=0,
        pace="long",
        limit=900,
        arguments={"start": _start},
    )(training)
