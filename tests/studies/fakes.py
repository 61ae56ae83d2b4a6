"""Records of runs that nobody made, with figures that are known."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from studies import _zoo as zoo, network, variance
from studies._course import Course, LayerEnd, Result
from studies._planting import RESETS, TWINS
from studies._records import Record
from studies._zoo import COLUMNS, Animal
from studies.network import Network, State
from studies.variance import LayerFigures, Layers, Moment

VERSIONS = {"python": "3.14.0", "onnxtop": "0.1.0", "torch": "2.13.0"}


@dataclass(frozen=True)
class Answer:
    value: float
    text: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """A run without training."""

    kind: ClassVar[str] = "question"
    version: ClassVar[int] = 1
    data: str
    seed: int
    fails: bool = False

    @property
    def label(self) -> str:
        return f"{self.data} No. {self.seed}"

    @property
    def seconds(self) -> float:
        return 2.0

    def measure(self) -> Answer:
        if self.fails:
            raise ArithmeticError("out of\nluck")
        return Answer(self.seed / 3, ("a", "b"))

    @staticmethod
    def read(result: Mapping[str, Any]) -> Answer:
        return Answer(result["value"], tuple(result["text"]))


def record(run: Any, result: Any, date: str = "2026-11-27") -> Record:
    return Record(run, result, 60.0, date, VERSIONS)


def course(
    run: Course,
    np: Callable[[int], float] = lambda check: 0.5,
    loss: Callable[[int], float] = lambda check: 1.0,
    accuracy: Callable[[int], float] = lambda check: 0.9,
    largest: float = 0.5,
    stopped: str = "",
) -> Record:
    """Return a record whose series are functions of the number of the check."""
    checks = range(run.checks + 1)
    each = tuple(map(np, checks))
    result = Result(
        source="nowhere",
        digest="0",
        steps=tuple(round(check * run.steps / run.checks) for check in checks),
        np=each,
        np_layer=tuple(value / 2 for value in each),
        largest=tuple(largest * check / run.checks for check in checks),
        dgp=(0.3,) * len(checks),
        valid_loss=tuple(map(loss, checks)),
        valid_accuracy=(0.9,) * len(checks),
        test_accuracy=tuple(map(accuracy, checks)),
        train_loss=0.1,
        train_accuracy=1.0,
        stopped=stopped,
        layers=(LayerEnd("fc1", 0.6, 0.5, 10.0, largest), LayerEnd("fc2", 0.4, 0.4, math.nan, largest / 2)),
        clipped=each[-1] - 0.1,
    )
    return record(run, result)


def layers(run: Layers, lost: float = 0.2) -> Record:
    """Return a record in which NP falls with log variance, and shuffles take a share of it."""
    moments = []
    for number, steps in enumerate(run.moments):
        figures = []
        for place in range(run.depth + 1):
            level = 0.01 * (1 + run.seed + 2 * place + 3 * run.depth + number + run.width / 50)
            np = 0.9 - level
            shuffled = (np * (1 - lost), np, np * (1 - lost / 2))
            figures.append(LayerFigures(np, math.exp(level), np, level, 5.0, lost, shuffled, 0.1 * place))
        moments.append(Moment(steps, 0.9, 0.4, 0.3 + 0.01 * run.width, 0.1 * run.width, tuple(figures)))
    return record(run, variance.Result("nowhere", "0", tuple(moments)))


def trained(
    run: Network,
    accuracy: Callable[[float], float] = lambda progress: 0.1 + 0.2 * progress,
    dgp: Callable[[float, int], float] = lambda progress, seed: 0.2 + 0.05 * progress + 0.01 * seed,
    np: Callable[[float], float] = lambda progress: 0.3 + 0.05 * progress,
    lost: float = 0.1,
) -> Record:
    """Return a record of figures that follow from how far a training has come, between 0 and 4.

    The variance falls with it, and every shuffle takes the same share of DGP.
    """
    states = []
    for steps in run.moments:
        progress = steps / max(run.moments) * (4 + math.log10(run.rate) - 0.01 * run.seed)
        own = dgp(progress, run.seed)
        shuffled = tuple(own * (1 - lost * (1 + 0.01 * each)) for each in range(network.SHUFFLES))
        known = (own, 0.05, np(progress), math.exp(-3 - progress), -2 + 0.1 * progress + 0.02 * run.seed)
        states.append(State(steps, accuracy(progress), 1.0, *known, shuffled))
    return record(run, network.Result("nowhere", "0", tuple(states)))


def animal(
    run: Animal,
    figures: Callable[[float, int], Mapping[str, float]] = lambda progress, place: {},
    test: Callable[[float], float] = lambda progress: 0.1 + 0.8 * progress,
    lost: Callable[[int], float] = lambda place: 0.01 * place,
    findings: Callable[[str], tuple[str, ...]] = lambda name: (f"OT209 {name}",),
) -> Record:
    """Return a record of figures that follow from how far a training has come, between 0 and 1.

    A layer that is reset has those of the start; ``figures`` are other than a half by their names. Twins
    lose by their place, and SQNR says so.
    """
    count = len(run.widths) + 1
    names = tuple(f"fc{1 + place}" for place in range(count))

    def layer(progress: float, place: int) -> tuple[float, ...]:
        known = figures(progress, place)
        return tuple(known.get(column, 0.5 + 0.001 * run.seed) for column in COLUMNS)

    states = []
    for steps in run.moments:
        progress = steps / run.steps
        rows = tuple(layer(progress, place) for place in range(count))
        known = dict.fromkeys(("np", "dgp", "variance"), 0.2 + 0.001 * run.seed)
        found = () if steps else ("OT208",)
        scores = {"train": 1.0, "valid": test(progress), "test": test(progress), "valid_loss": 1 - progress}
        states.append(
            zoo.State(steps, **scores, **known, findings=found, layers=rows, bars=(1 / count,) * count)
        )
    resets = tuple(
        zoo.Reset(
            how,
            place,
            0.1,
            findings(names[place]),
            tuple(layer(0, place) if place == other else () for other in range(count)),
            (1 / count,) * count,
        )
        for how in RESETS
        for place in range(count)
    )
    twins = tuple(
        zoo.Quantised(twin.name, lost(place), lost(place), "CHANGED", (float(place),) * len(zoo.PREDICTORS))
        for place, twin in enumerate(TWINS)
    )
    shapes = ((64, 40),) * count
    return record(run, zoo.Result("nowhere", "0", names, shapes, tuple(states), resets, twins))
