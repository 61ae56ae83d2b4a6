"""What an engineer asks of a zoo of networks, and how well each measure answers, with intervals."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import onnxtop
from onnxtop.glossary.untrained import SMALLEST_LAYER, SMALLEST_SIDE
from studies import _judging, _plain
from studies._numbers import grouped, left_over, mean
from studies._records import Record
from studies._zoo import COLUMNS, ONNXTOP, PREDICTORS, TOPOLOGY, Quantised, State, rows_of

Array = NDArray[np.float64]
TRAINED, UNDER_TRAINED = 0.95, 0.7
"""Of what a run reaches at its best above chance: at least, and less than."""
CHANCE = 0.1
LEARNED = 0.5
"""Accuracy on its own training labels from which on a network has learned something."""
USABLE = 0.3
"""Test accuracy below which a network has nothing to lose."""
SPOILED = 0.4
"""Share of wrong labels from which on a training is called spoiled."""


@dataclass(frozen=True)
class Measure:
    """A figure of a layer, or of a network by the mean over its layers.

    ``sign`` is 1 if it is expected to be larger after training. ``network`` gives the figure of a whole
    network where that is not the mean. ``group`` is "topology" for persistence, "report" for what else
    onnxtop's report has, or "plain".
    """

    name: str
    column: str
    sign: int
    group: str
    log: bool = False
    network: Callable[[State], float] | None = None

    @property
    def choice(self) -> str:
        """Return what it is called as a rule that chooses a checkpoint."""
        return f"{'most' if self.sign > 0 else 'least'} {self.name}"

    def of_layers(self, rows: Array) -> Array:
        """Return the signed figure of each layer."""
        values = largest_weights(rows) if self.column == "largest" else rows[:, COLUMNS.index(self.column)]
        if self.log:
            values = np.log(np.maximum(values, 1e-12))
        return self.sign * values

    def of_state(self, state: State) -> float:
        """Return the signed figure of a network."""
        if self.network:
            return self.sign * self.network(state)
        return mean(self.of_layers(np.array(state.layers)))


def largest_weights(rows: Array) -> Array:
    """Return the largest |w| of each layer."""
    ends = rows[:, [COLUMNS.index("minimum"), COLUMNS.index("maximum")]]
    found: Array = np.abs(ends).max(axis=1)
    return found


def _log_variance(state: State) -> float:
    return math.log(state.variance) if state.variance > 0 else math.nan


MEASURES = (
    Measure("NP", "np", 1, "topology", network=lambda state: state.np),
    Measure("NP, scale layer", "np_layer", 1, "topology"),
    Measure("z", "z", 1, "topology"),
    Measure("excess", "excess", 1, "topology"),
    Measure("exchangeability", "structure", 1, "report"),
    Measure("initialiser distance", "match", 1, "report"),
    Measure("variance", "variance", -1, "report", True, _log_variance),
    Measure("std of weights", "std", 1, "plain", True),
    Measure("largest weight", "largest", 1, "plain", True),
    Measure("kurtosis", "kurtosis", 1, "plain"),
    Measure("spectral norm", "norm", 1, "plain", True),
    Measure("norm over random edge", "edge", 1, "plain", True),
    Measure("stable rank", "stable_rank", -1, "plain", True),
    Measure("alpha", "alpha", -1, "plain"),
)
"""Of layers and networks."""
DGP = Measure("DGP", "", 1, "topology", network=lambda state: state.dgp)
OF_NETWORKS = (*MEASURES[:6], DGP, *MEASURES[6:])
UNTRAINED = "finding OT208"
"""That a network looks untrained, which is said or not."""
FINDINGS = "onnxtop's findings"
GROUP_OF = {**{each.name: each.group for each in OF_NETWORKS}, UNTRAINED: "report", FINDINGS: "report"}
PLAIN = (*_plain.MOMENTS, *_plain.BIASES)
SETS = {
    "plain statistics": PLAIN,
    "+ topology": (*PLAIN, *TOPOLOGY),
    "+ onnxtop": (*PLAIN, *ONNXTOP),
    "+ spectrum": (*PLAIN, *_plain.SPECTRAL),
    "+ spectrum, topology": (*PLAIN, *_plain.SPECTRAL, *TOPOLOGY),
    "+ spectrum, onnxtop": (*PLAIN, *_plain.SPECTRAL, *ONNXTOP),
    "topology alone": TOPOLOGY,
    "onnxtop alone": ONNXTOP,
    "spectrum alone": _plain.SPECTRAL,
    "variance alone": ("std",),
    "variance + topology": ("std", *TOPOLOGY),
    "variance + onnxtop": ("std", *ONNXTOP),
}
"""What regressions know of each layer, beside its size."""
LOGARITHMIC = {"std", "norm", "edge", "stable_rank", "kurtosis", "bias_std", "match"}


@dataclass(frozen=True, eq=False)
class Answer:
    """What estimates there are of each measure, draws of one sample each; the first is of all runs."""

    of: dict[str, Array]
    rows: int = 0

    def value(self, name: str) -> float:
        return float(self.of[name][0]) if name in self.of else math.nan


# Which states


def last(record: Record) -> State:
    state: State = record.result.states[-1]
    return state


def best(record: Record) -> float:
    """Return the best test accuracy of a run."""
    return max(state.test for state in record.result.states)


def skill(record: Record, state: State) -> float:
    """Return how much a state has of what its run reaches at its best above chance."""
    return (state.test - CHANCE) / (best(record) - CHANCE)


def learned(record: Record) -> bool:
    """Tell whether a network knows its training labels at the end, right or wrong."""
    return last(record).train >= LEARNED


def usable(record: Record) -> bool:
    return best(record) >= USABLE


def trained_states(records: Iterable[Record]) -> Iterator[tuple[Record, State]]:
    """Yield states that are trained: close to the best of a usable run."""
    for record in filter(usable, records):
        for state in record.result.states[1:]:
            if skill(record, state) >= TRAINED:
                yield record, state


def early_states(records: Iterable[Record]) -> Iterator[tuple[Record, State]]:
    """Yield states that have begun, and are far from the best of a usable run."""
    for record in filter(usable, records):
        for state in record.result.states[1:]:
            if skill(record, state) < UNDER_TRAINED:
                yield record, state


Pairs = list[tuple[Record, State]]


def told_apart(positive: Pairs, negative: Pairs) -> Answer:
    """Return the area under the curve of each measure, and of regressions on runs they have not seen."""
    both = positive + negative
    if not positive or not negative:
        return Answer({})
    places = [record.run.seed for record, _ in both]
    weight = _judging.weights(places)
    yes = np.arange(len(both)) < len(positive)
    found = {
        each.name: _judging.auc([each.of_state(state) for _, state in both], yes, weight)
        for each in OF_NETWORKS
    }
    found[UNTRAINED] = _judging.auc(["OT208" not in state.findings for _, state in both], yes, weight)
    for name, columns in SETS.items():
        features = np.array([features_of(state, record, columns) for record, state in both])
        scores = _judging.unseen(features, yes.astype(float), places, _judging.ridge)
        found[f"regression: {name}"] = _judging.auc(scores, yes, weight)
    return Answer(found, len(both))


def features_of(state: State, record: Record, columns: Sequence[str]) -> list[float]:
    """Return the figures of the first layer, of those between and of the last; and the sizes."""
    rows = transformed(np.array(state.layers))
    parts = (rows[:1], rows[1:-1] if len(rows) > 2 else rows[1:], rows[-1:])
    chosen = [COLUMNS.index(each) for each in columns]
    shapes = record.result.shapes
    sizes = [len(shapes), *(math.log(math.prod(shape)) for shape in (shapes[0], shapes[-1]))]
    more = [state.np, state.dgp] if set(TOPOLOGY) <= set(columns) else []
    with np.errstate(invalid="ignore"):
        return [*np.concatenate([_means(part[:, chosen]) for part in parts]), *more, *sizes]


def _means(rows: Array) -> Array:
    good = np.isfinite(rows)
    count = good.sum(axis=0)
    return np.where(count, np.where(good, rows, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def transformed(rows: Array) -> Array:
    """Return figures with logarithms of those that are scales."""
    held = rows.copy()
    for name in LOGARITHMIC:
        place = COLUMNS.index(name)
        held[:, place] = np.log(np.maximum(held[:, place], 1e-6))
    for name in ("z", "structure"):
        place = COLUMNS.index(name)
        held[:, place] = np.arcsinh(held[:, place])
    return held


def untrained(records: Sequence[Record]) -> Answer:
    """Return how well trained networks are told from those before the first step."""
    return told_apart(
        list(trained_states(records)), [(record, record.result.states[0]) for record in records]
    )


def under_trained(records: Sequence[Record]) -> Answer:
    """Return how well trained networks are told from those that have only begun."""
    return told_apart(list(trained_states(records)), list(early_states(records)))


def along(records: Sequence[Record]) -> Answer:
    """Return the same within each run: the share of its pairs that a measure puts in order."""
    units = []
    for record in records:
        good = [state for _, state in trained_states([record])]
        early = [state for _, state in early_states([record])]
        if good and early:
            units.append((record.run.seed, good, early))
    weight = _judging.weights([seed for seed, _, _ in units])
    found = {}
    for each in OF_NETWORKS:
        shares = []
        for _, good, early in units:
            high, low = (np.array([each.of_state(state) for state in side]) for side in (good, early))
            pairs = np.sign(high[:, None] - low)
            shares.append(mean(np.ravel(0.5 + pairs / 2)))
        found[each.name] = _judging.average(shares, weight)
    return Answer(found, len(units)) if units else Answer({})


def faulty(records: Sequence[Record], is_fault: Callable[[Any], bool]) -> Answer:
    """Return how well networks of a fault are told from healthy ones at the end; those are above."""
    healthy = [(record, last(record)) for record in records if record.run.fault == "none" and usable(record)]
    return told_apart(healthy, [(record, last(record)) for record in records if is_fault(record.run)])


FAULTS: dict[str, Callable[[Any], bool]] = {
    f"labels {SPOILED * 100:.0f} % wrong or more": lambda run: run.noise >= SPOILED,
    "over-trained on few samples": lambda run: run.fault == "over-trained",
    "learning rate too large": lambda run: run.fault == "learning rate" and run.rate > 1e-3,
    "learning rate too small": lambda run: run.fault == "learning rate" and run.rate < 1e-3,
}


# Which layer


@dataclass(frozen=True, eq=False)
class Case:
    """A network of which a layer is no longer as it was trained: figures of all layers, and which it is."""

    seed: int
    law: str
    how: str
    place: int
    rows: Array
    findings: tuple[str, ...]
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    bars: tuple[float, ...]
    lost: float

    @property
    def is_large(self) -> bool:
        """Whether the layer is one that onnxtop judges."""
        return is_large(self.shapes[self.place])


def is_large(shape: tuple[int, ...]) -> bool:
    return math.prod(shape) >= SMALLEST_LAYER and min(shape[0], math.prod(shape[1:])) >= SMALLEST_SIDE


def cases(records: Iterable[Record], how: str) -> list[Case]:
    """Return all of them, of networks that have learned something."""
    return [
        Case(
            record.run.seed,
            record.run.law,
            each.how,
            each.place,
            rows_of(each, last(record)),
            each.findings,
            record.result.names,
            record.result.shapes,
            each.bars,
            last(record).test - each.test,
        )
        for record in filter(learned, records)
        for each in record.result.resets
        if each.how == how
    ]


def hit(scores: Sequence[float] | Array, place: int) -> float:
    """Return whether the lowest score is that of the right layer; shared among equals, NaN counts as high."""
    held = np.where(np.isfinite(scores), scores, np.inf)
    lowest = np.flatnonzero(held == held.min())
    return float(place in lowest) / len(lowest)


RULES = ("OT207", "OT209")


def named(findings: Sequence[str], rules: Sequence[str] = RULES) -> list[str]:
    """Return the layers that the first of onnxtop's rules on untrained layers names that fires at all."""
    for rule in rules:
        if layers := [each.removeprefix(f"{rule} ") for each in findings if each.startswith(f"{rule} ")]:
            return layers
    return []


def found_by_rule(case: Case, rules: Sequence[str] = RULES) -> float:
    """Return whether the rules name the right layer; shared among those that they name."""
    layers = named(case.findings, rules)
    return float(case.names[case.place] in layers) / len(layers) if layers else 0.0


def which_layer(those: Sequence[Case]) -> Answer:
    """Return how often each measure puts the reset layer first, and chance."""
    if not those:
        return Answer({})
    weight = _judging.weights([case.seed for case in those])
    hits = {each.name: [hit(each.of_layers(case.rows), case.place) for case in those] for each in MEASURES}
    hits["DGP"] = [hit(case.bars, case.place) for case in those]
    hits[FINDINGS] = [found_by_rule(case) for case in those]
    hits["chance"] = [1 / len(case.names) for case in those]
    return Answer({name: _judging.average(each, weight) for name, each in hits.items()}, len(those))


def which_layer_learned(those: Sequence[Case]) -> Answer:
    """Return how often regressions on layers of other runs put the reset layer first."""
    if not those:
        return Answer({})
    weight = _judging.weights([case.seed for case in those])
    starts = np.cumsum([0, *(len(case.names) for case in those)])
    places = np.repeat([case.seed for case in those], np.diff(starts))
    target = np.concatenate([np.arange(len(case.names)) != case.place for case in those]).astype(float)
    found = {}
    for name, columns in SETS.items():
        chosen = [COLUMNS.index(each) for each in columns]
        features = np.concatenate(
            [np.column_stack([transformed(case.rows)[:, chosen], sizes(case)]) for case in those]
        )
        scores = _judging.unseen(features, target, list(places), _judging.ridge)
        hits = [
            hit(scores[begin:end], case.place) if np.isfinite(scores[begin]) else math.nan
            for case, begin, end in zip(those, starts, starts[1:], strict=False)
        ]
        found[name] = _judging.average(hits, weight)
    return Answer(found, len(those))


def sizes(case: Case) -> Array:
    """Return what there is to know of each layer without its weights."""
    count = len(case.shapes)
    return np.array([
        [math.log(shape[0]), math.log(math.prod(shape[1:])), len(shape) > 2, place == 0, place == count - 1]
        for place, shape in enumerate(case.shapes)
    ], dtype=float)  # fmt: skip


# Quantised twins


def twins_of(records: Iterable[Record]) -> list[tuple[Record, Quantised]]:
    """Return twins of networks that have something to lose."""
    return [
        (record, twin) for record in records if last(record).test >= USABLE for twin in record.result.twins
    ]


@dataclass(frozen=True, eq=False)
class Ranks:
    """How predictors rank what twins lose: within each network, over all, and within beside the noise."""

    within: Answer
    over_all: Answer
    beside: Answer


BASELINE = "SQNR, all"


def twins(records: Sequence[Record], target: str) -> Ranks:
    """Return rank correlations of each predictor with accuracy lost, or with predictions moved."""
    pairs = twins_of(records)
    if not pairs:
        return Ranks(Answer({}), Answer({}), Answer({}))
    weight = _judging.weights([record.run.seed for record, _ in pairs])
    goal = [getattr(twin, target) for _, twin in pairs]
    figures = np.array([twin.figures for _, twin in pairs])
    bases = list(dict.fromkeys(record.run.seed for record, _ in pairs))
    of_bases = _judging.weights(bases)
    place = np.array([record.run.seed for record, _ in pairs])
    one = np.ones((1, len(pairs)))
    within, over_all, beside = {}, {}, {}
    goals = np.array(goal)

    def inside(first: Array, second: Array, base: int) -> float:
        own = place == base
        return float(_judging.correlation(first[own], second[own], one[:, own])[0])

    noise = figures[:, PREDICTORS.index(BASELINE)]
    for column, name in enumerate(PREDICTORS):
        values = figures[:, column]
        over_all[name] = _judging.correlation(values, goals, weight)
        each = np.array([inside(values, goals, base) for base in bases])
        within[name] = _judging.average(each, of_bases)
        left = [
            left_over(each[number], inside(values, noise, base), inside(noise, goals, base))
            for number, base in enumerate(bases)
        ]
        beside[name] = _judging.average(left, of_bases)
    return Ranks(*(Answer(each, len(pairs)) for each in (within, over_all, beside)))


# Which checkpoint


def first_stop(values: Sequence[float]) -> int:
    """Return where onnxtop's stopping rule fires on the checks of a training; the last if it does not."""
    rule = onnxtop.StoppingRule(onnxtop.StoppingOptions(patience=3))
    for number, value in enumerate(values):
        if rule.update(value):
            return number
    return len(values) - 1


def where_largest(values: Sequence[float]) -> int:
    """Return where the largest number is, the last of equals."""
    held = np.where(np.isfinite(values), values, -np.inf)
    return int(len(held) - 1 - np.argmax(held[::-1]))


def choices(record: Record) -> dict[str, int]:
    """Return which checkpoint each rule chooses."""
    states = record.result.states
    found = {each.choice: where_largest([each.of_state(state) for state in states]) for each in OF_NETWORKS}
    return {
        "last": len(states) - 1,
        "NP stopping rule": first_stop([state.np for state in states]),
        "DGP stopping rule": first_stop([state.dgp for state in states]),
        **found,
        "validation accuracy": where_largest([state.valid for state in states]),
        "validation loss": where_largest([-state.valid_loss for state in states]),
    }


WITH_DATA = ("validation accuracy", "validation loss")


def checkpoints(records: Sequence[Record]) -> Answer:
    """Return how many points of accuracy each rule loses against the best checkpoint by test data."""
    held = list(filter(usable, records))
    if not held:
        return Answer({})
    weight = _judging.weights([record.run.seed for record in held])
    chosen = [choices(record) for record in held]
    found = {}
    for name in chosen[0]:
        lost = [
            100 * (best(record) - record.result.states[each[name]].test)
            for record, each in zip(held, chosen, strict=True)
        ]
        found[name] = _judging.average(lost, weight)
    anywhere = [100 * (best(record) - mean(s.test for s in record.result.states)) for record in held]
    found["any, at random"] = _judging.average(anywhere, weight)
    return Answer(found, len(held))


# Generalisation


def gap(record: Record) -> float:
    """Return accuracy on training data minus that on test data, at the end."""
    return last(record).train - last(record).test


def gaps(records: Sequence[Record], apart: bool) -> Answer:
    """Return rank correlations with the gap, over all or as the mean within data and kind of network."""
    held = list(filter(learned, records))
    if len(held) < 3:
        return Answer({})
    weight = _judging.weights([record.run.seed for record in held])
    key = family if apart else lambda record: ""
    groups = grouped(range(len(held)), lambda place: key(held[place])).values()
    goal = np.array([gap(record) for record in held])
    found = {}
    for each in OF_NETWORKS:
        scores = np.array([each.of_state(last(record)) for record in held])
        parts = [_judging.correlation(scores[own], goal[own], weight[:, own]) for own in groups]
        found[each.name] = _judging.pooled(parts, [len(own) for own in groups])
    return Answer(found, len(held))


# Accuracy from statistics


def predicted_accuracy(records: Sequence[Record], model: _judging.Model) -> Answer:
    """Return R2 of test accuracy of all states, predicted from statistics of other runs."""
    pairs = [(record, state) for record in records for state in record.result.states]
    if not pairs:
        return Answer({})
    places = [record.run.seed for record, _ in pairs]
    weight = _judging.weights(places)
    target = np.array([state.test for _, state in pairs])
    found = {}
    for name, columns in SETS.items():
        features = np.array([features_of(state, record, columns) for record, state in pairs])
        predicted = _judging.unseen(features, target, places, model)
        found[name] = _judging.explained(target, predicted, weight)
    return Answer(found, len(pairs))


def family(record: Record) -> str:
    return f"{record.run.data} {record.run.network}"


def families(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Return records by data and kind of network."""
    return dict(sorted(grouped(records, family).items()))
