"""Records of runs that nobody made, with figures that are known."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from studies import _exports, _twins, _zoo as zoo, network, obstructions, variance
from studies._course import Course, LayerEnd, Result
from studies._planting import RESETS, TWINS
from studies._records import Record
from studies._zoo import COLUMNS, Animal
from studies.network import Network, State
from studies.obstructions import Bars, Bottom, Landscape
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


def export(run: Any, rise: Callable[[str], float] = lambda twin: 0.1 if "int2" in twin else 0.0) -> Record:
    """Return a record of a run on an export: the loss of a twin rises, and its accuracy falls as much.

    A twin of fewer bits is further away in all that files tell.
    """
    if isinstance(run, _exports.Sharp):
        return record(run, _exports.AtRest("nowhere", "0", 0.1, 0.2, 3.0, 9, True))
    twins = [(twin.name, twin.family) for twin in _twins.twins(3)]
    twins += [(how, "runtime") for how in _twins.RUNTIME]
    if isinstance(run, _exports.Losses):
        scores = tuple(
            _exports.Score(name, family, 0.5 + rise(name), 0.9 - rise(name), 1 - rise(name))
            for name, family in twins
        )
        steps = tuple(sorted({0.0, 1.0, *_exports.STEPS}))
        lines = (
            _exports.Line(twin, 2.0, steps, tuple(0.5 + 0.1 * step**2 for step in steps))
            for twin in _exports.LINES
        )
        return record(run, _exports.OnSamples("nowhere", "0", scores, tuple(lines)))
    found = []
    for place, (name, family) in enumerate(twins):
        changed = () if name == "float" else (0.001 * place, 0.2 + rise(name), 0.0)
        passes = not any(change > 0.1 for change in changed)
        verdict = "SAME" if not changed else "WITHIN TOLERANCE" if passes else "CHANGED"
        plain = tuple(0.5 + change / 10 for change in changed)
        found.append(
            _exports.Differs(
                name, family, verdict, passes, changed, plain, changed, plain, 0.4, ("OT514",), not passes
            )
        )
    ran = (_exports.Ran(name, "CHANGED", 0.5, 0.5, "Sub a/b/c") for name in _exports.RUN)
    traced = (_exports.Traced(name, 0.5, 0.4, 0.1) for name in ("float", "int8 per tensor"))
    return record(
        run,
        _exports.OfFiles(
            "nowhere",
            "0",
            ("one", "two", "three"),
            tuple(found),
            tuple(ran),
            tuple(traced),
            "learning",
            "learning: mean NP went up",
        ),
    )


def landscape(
    run: Landscape,
    length: Callable[[Landscape, int], float] = lambda run, place: place * run.depth / run.width,
    error: Callable[[int], float] = lambda place: 0.1 + 0.01 * (place % 3),
    effort: float = 0.9,
) -> Record:
    """Return a record whose bars are as long as said by the place of their minimum, lowest first.

    Straight lines are four times as long, half of that aligned; other searches start from these, and every
    budget leaves a share of them.
    """
    minima = tuple(
        Bottom(0.1 + 0.01 * place, 1e-8, 900, "minimum", 1.0, error(place), 0.5 + error(place))
        for place in range(run.minima)
    )
    bars = []
    for number, (search, budget, _) in enumerate(run.asked()):
        share = (2 if search.aligned else 4) * (effort**number if budget else 1)
        lengths = (math.nan, *(share * length(run, place) for place in range(1, run.minima)))
        mean = sum(lengths[1:]) / (run.minima - 1)
        bars.append(Bars(search.name, budget, 5 * budget, mean, mean / 2, lengths))
    return record(run, obstructions.Result("nowhere", "0", 310, minima, tuple(bars)))


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
