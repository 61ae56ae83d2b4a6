"""What deep graph persistence tells of a network beside the variance of its weights.

Claim of Girrbach et al. (2023): DGP takes in the paths through the whole network, and standardisation frees
it from the variance that drives NP.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import onnxtop
from studies import stopping, variance
from studies._course import Course
from studies._data import INPUTS
from studies._numbers import (
    between,
    grouped,
    interval,
    mean,
    number,
    partial,
    spearman,
    told,
    unseen,
    with_interval,
)
from studies._pages import Page, Picture, joined, sources, table
from studies._records import Record
from studies.variance import log

NUMBER = 4
BY_HAND = 0.03
"""Spearman's correlation of DGP and the variance of the network over all depths, before this study."""
SHUFFLES = 9
"""So that a network that is like its shuffles is above all of them in one case of ten."""


@dataclass(frozen=True)
class State:
    """A network after so many steps.

    ``dgp`` and ``np`` are normalized, as in a report; ``saturated`` is the share of bars of DGP that are as
    strong as the strongest, ``variance`` that of all strengths. ``magnitude`` is the mean log of the standard
    deviation of the weights of a layer, with no scale taken out. ``shuffled`` are DGP after the weights of
    each layer have been moved within it.
    """

    steps: int
    accuracy: float
    loss: float
    dgp: float
    saturated: float
    np: float
    variance: float
    magnitude: float
    shuffled: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """What was seen while one network was trained, on which data."""

    source: str
    digest: str
    states: tuple[State, ...]


@dataclass(frozen=True)
class Network:
    """A fully connected network of equally wide hidden layers, ReLU, Adam; looked at after so many steps."""

    kind: ClassVar[str] = "network"
    version: ClassVar[int] = 1

    data: str
    depth: int
    width: int
    rate: float
    seed: int
    moments: tuple[int, ...]
    batch: int = 32

    @property
    def label(self) -> str:
        return f"{self.data} {self.depth} x {self.width} rate {self.rate:g} seed {self.seed}"

    @property
    def seconds(self) -> float:
        weights = INPUTS[self.data] * self.width + (self.depth - 1) * self.width**2
        training = max(self.moments) * (3e-4 + 1.5e-4 * self.depth + 2.5e-9 * weights)
        return 0.2 + training + len(self.moments) * (0.1 + 1e-6 * weights)

    def measure(self) -> Result:
        import torch  # an environment of its own has it

        from studies import _data, _networks

        data = _data.load(self.data)
        torch.manual_seed(self.seed)
        network = _networks.mlp((data.x.shape[1], *[self.width] * self.depth, 10))
        schedule = _networks.Schedule(self.seed, self.rate, self.batch)
        states = []
        for steps in _networks.training(network, data, schedule, self.moments):
            loss, accuracy = _networks.scores(network, data.x_test, data.labels_test)
            content = _networks.exported(network, data, check=True)
            states.append(state(content, self.seed, steps=steps, accuracy=accuracy, loss=loss))
        return Result(data.source, data.digest, tuple(states))

    @staticmethod
    def read(result: Mapping[str, Any]) -> Result:
        states = (State(**{**each, "shuffled": tuple(each["shuffled"])}) for each in result["states"])
        return Result(**{**result, "states": tuple(states)})


def state(content: bytes, seed: int, **known: Any) -> State:
    """Measure a network from its ONNX file."""
    whole = onnxtop.audit(content, structure=False).network
    matrices = onnxtop.matrices(content)
    dgp = whole.deep_graph_persistence
    return State(
        dgp=number(dgp.normalized if dgp else None),
        saturated=number(dgp.saturated if dgp else None),
        np=number(whole.neural_persistence.mean_normalized),
        variance=number(onnxtop.network_variance(matrices)),
        magnitude=mean(log(float(np.std(each))) for each in matrices.values()),
        shuffled=shuffled(matrices, seed),
        **known,
    )


def shuffled(matrices: Mapping[str, NDArray[np.floating[Any]]], seed: int) -> tuple[float, ...]:
    """Return DGP of networks whose weights have been moved, each within its layer."""
    rng = np.random.default_rng(seed)
    return tuple(
        number(
            onnxtop.deep_graph_persistence({
                name: rng.permutation(each.ravel()).reshape(each.shape) for name, each in matrices.items()
            }).normalized
        )
        for _ in range(SHUFFLES)
    )  # fmt: skip


MOMENTS = (0, 30, 300, 3000)


def own_runs(quick: bool = False) -> list[Network]:
    """Return networks over data, depth and width, whose accuracy differs by rate and length of training."""
    if quick:
        moments, seeds, depths, widths, rates = (0, 20, 100), range(2), (1, 3), (16,), (1e-3, 1e-2)
    else:
        moments, seeds, depths, widths = MOMENTS, range(3), (1, 2, 3, 4), (32, 64, 128, 256)
        rates = (1e-4, 1e-3, 1e-2)
    return [
        Network(data, depth, width, rate, seed, moments)
        for data in ("digits", "mnist1d")
        for depth in depths
        for width in widths
        for rate in rates
        for seed in seeds
    ]


def runs(quick: bool = False) -> list[Network | variance.Layers | Course]:
    """Return the networks of this study, deep ones of that of variance, and all training courses."""
    deep = [run for run in variance.runs(quick) if run.depth]
    return [*own_runs(quick), *deep, *stopping.runs(quick)]


@dataclass(frozen=True)
class Model:
    """A network at one moment, and the run that it is from."""

    run: Network
    state: State

    @property
    def architecture(self) -> tuple[int, int]:
        return self.run.depth, self.run.width

    @property
    def dgp(self) -> float:
        return self.state.dgp

    @property
    def np(self) -> float:
        return self.state.np

    @property
    def log_variance(self) -> float:
        return log(self.state.variance)

    @property
    def magnitude(self) -> float:
        return self.state.magnitude

    @property
    def accuracy(self) -> float:
        """In points."""
        return 100 * self.state.accuracy

    @property
    def lost(self) -> float:
        """How many percent of DGP shuffles take."""
        return 100 * (1 - mean(self.state.shuffled) / self.dgp) if self.dgp else math.nan

    @property
    def above(self) -> bool:
        """Whether DGP is above that of every shuffle."""
        return self.dgp > max(self.state.shuffled, default=math.nan)


MEASURES = {
    "DGP": lambda model: model.dgp,
    "DGP over its shuffles": lambda model: model.lost,
    "NP": lambda model: model.np,
    "log variance": lambda model: model.log_variance,
    "log magnitude": lambda model: model.magnitude,
}


def models_of(records: Iterable[Record]) -> list[Model]:
    """Return the networks of this study at all moments."""
    return [Model(record.run, each) for record in records for each in record.result.states]


def complete(models: Iterable[Model]) -> list[Model]:
    """Return trained models that have every figure, so that all regressions are on the same ones."""
    return [each for each in trained(models) if all(math.isfinite(measured(name)(each)) for name in MEASURES)]


def others_of(records: Iterable[Record]) -> list[Model]:
    """Return the same of networks of the study of variance, as far as that has measured it."""
    found = []
    for record in records:
        for each in record.result.moments:
            average = mean(layer.np_global for layer in each.layers)
            known = State(
                each.steps, each.accuracy, each.loss, each.dgp, math.nan, average, each.variance, math.nan, ()
            )
            found.append(Model(record.run, known))
    return found


def trained(models: Iterable[Model]) -> list[Model]:
    """Return models that have been trained at all."""
    return [each for each in models if each.state.steps]


def last(models: Iterable[Model]) -> list[Model]:
    """Return models at the end of their training."""
    return [each for each in models if each.state.steps == max(each.run.moments)]


def by_run(models: Sequence[Model]) -> list[list[Model]]:
    """Return models that are one network at several moments together: they are not independent."""
    return list(grouped(models, lambda each: each.run).values())


def by_architecture(models: Sequence[Model]) -> list[list[Model]]:
    return list(grouped(models, lambda each: each.architecture).values())


def correlation(first: str, second: str) -> Callable[[Sequence[Model]], float]:
    """Return what correlates two measures, by rank."""
    return lambda models: spearman(
        [measured(first)(each) for each in models], [measured(second)(each) for each in models]
    )


def measured(name: str) -> Callable[[Model], float]:
    """Return a measure by its name, accuracy among them."""
    return MEASURES.get(name, lambda model: model.accuracy)


def over_all(models: Sequence[Model], first: str, second: str) -> str:
    """Return what correlates two measures of all models, by rank, with an interval over runs."""
    units = [
        np.array([(measured(first)(each), measured(second)(each)) for each in own]) for own in by_run(models)
    ]
    return with_interval(units, lambda drawn: spearman(*np.concatenate(drawn).T))


def within(models: Sequence[Model], statistic: Callable[[Sequence[Model]], float]) -> str:
    """Return the mean of a statistic over architectures, with an interval over these."""
    return with_interval([statistic(own) for own in by_architecture(models)], mean)


def beside(groups: Mapping[str, Sequence[Model]]) -> str:
    """Return how DGP, NP and log variance go together."""
    lines = []
    for name, own in groups.items():
        those = trained(own)
        pairs = (("DGP", "log variance"), ("NP", "log variance"), ("DGP", "NP"))
        lines.append([
            name,
            f"{len(those)}",
            *(over_all(those, *pair) for pair in pairs),
            *(within(those, correlation(*pair)) for pair in pairs[:2]),
        ])  # fmt: skip
    head = [
        "networks", "models", "DGP, log variance", "NP, log variance", "DGP, NP",
        "DGP, log variance, one architecture", "NP, log variance, one architecture",
    ]  # fmt: skip
    return table(head, lines)


def along(models: Sequence[Model]) -> str:
    """Return what becomes of the figures as networks are trained."""
    lines = []
    groups = grouped(models, lambda each: (each.run.data, each.run.rate, each.state.steps))
    for (data, rate, steps), own in sorted(groups.items()):
        lines.append([
            data, f"{rate:g}", f"{steps}",
            over_seeds(own, lambda each: each.accuracy, 1),
            over_seeds(own, lambda each: each.dgp, 3),
            over_seeds(own, lambda each: 100 * each.state.saturated, 0),
            over_seeds(own, lambda each: each.np, 3),
            over_seeds(own, lambda each: each.log_variance, 2),
        ])  # fmt: skip
    head = ["data", "rate", "steps", "accuracy, %", "DGP", "saturated, %", "NP", "log variance"]
    return table(head, lines)


def over_seeds(models: Sequence[Model], value: Callable[[Model], float], digits: int, unit: str = "") -> str:
    """Return a mean over networks, with its standard deviation over seeds."""
    seeds = grouped(models, lambda each: each.run.seed).values()
    return told((mean(map(value, own)) for own in seeds), digits, unit)


def sizes(models: Sequence[Model]) -> str:
    """Return DGP before and after training, by depth and width."""
    widths = sorted({each.run.width for each in models})
    lines = []
    for (data, depth), own in grouped(models, lambda each: (each.run.data, each.run.depth)).items():
        cells = []
        for width in widths:
            those = [each for each in own if each.run.width == width]
            untrained = [each for each in those if not each.state.steps]
            cells.append(
                f"{over_seeds(untrained, lambda each: each.dgp, 2)} → "
                f"{over_seeds(last(those), lambda each: each.dgp, 2)}"
            )
        saturated = over_seeds(last(own), lambda each: 100 * each.state.saturated, 0, " %")
        lines.append([data, f"{depth}", *cells, saturated])
    head = ["data", "hidden layers", *(f"width {width}" for width in widths), "saturated, at the end"]
    return table(head, lines)


def shuffling(models: Sequence[Model]) -> str:
    """Return what shuffles take of DGP, by depth and length of training."""
    lines = []
    groups = grouped(models, lambda each: (each.run.data, each.run.depth, each.state.steps))
    for (data, depth, steps), own in groups.items():
        lines.append([
            data, f"{depth}", f"{steps}",
            over_seeds(own, lambda each: each.lost, 1, " %"),
            over_seeds(own, lambda each: 100 * each.above, 0, " %"),
        ])  # fmt: skip
    return table(["data", "hidden layers", "steps", "lost", f"above all {SHUFFLES} shuffles"], lines)


def ranks(models: Sequence[Model]) -> str:
    """Return how measures rank trained models by accuracy."""
    lines = []
    for data, own in grouped(trained(models), lambda each: each.run.data).items():
        for name in MEASURES:
            found = correlation(name, "accuracy")
            end = last(own)
            given = "-" if name == "log variance" else within(own, beside_variance(name))
            lines.append([
                data, name, over_all(own, name, "accuracy"), within(own, found),
                over_all(end, name, "accuracy"), within(end, found), given,
            ])  # fmt: skip
    head = [
        "data", "measure", "all models", "one architecture", "all, at the end",
        "one architecture, at the end", "one architecture, beside log variance",
    ]  # fmt: skip
    return table(head, lines)


def beside_variance(name: str) -> Callable[[Sequence[Model]], float]:
    """Return what correlates a measure with accuracy, by rank, with log variance taken out of both."""
    return lambda models: partial(
        [measured(name)(each) for each in models],
        [each.accuracy for each in models],
        [each.log_variance for each in models],
    )


def picks(models: Sequence[Model]) -> str:
    """Return what is lost by who takes the model with the highest or lowest figure of an architecture."""
    lines = []
    for data, own in grouped(trained(models), lambda each: each.run.data).items():
        architectures = by_architecture(own)
        for name in MEASURES:
            ends = (
                with_interval([lost(each, name, end) for each in architectures], mean, 1)
                for end in (max, min)
            )
            lines.append([data, name, *ends])
        lines.append(
            [data, "any at random", *[with_interval([lost_at_random(e) for e in architectures], mean, 1)] * 2]
        )
    return table(["data", "measure", "points lost by the highest", "by the lowest"], lines)


def lost(models: Sequence[Model], name: str, end: Callable[..., Model]) -> float:
    """Return by how many points the model at one end of a measure is worse than the best."""
    known = [each for each in models if math.isfinite(measured(name)(each))]
    if not known:
        return math.nan
    return max(each.accuracy for each in models) - end(known, key=measured(name)).accuracy


def lost_at_random(models: Sequence[Model]) -> float:
    """Return the same of a model that is drawn."""
    return max(each.accuracy for each in models) - mean(each.accuracy for each in models)


PREDICTORS = (
    (),
    ("log variance",),
    ("log variance", "NP"),
    ("log variance", "DGP"),
    ("log variance", "NP", "DGP"),
    ("log variance", "DGP over its shuffles"),
    ("DGP",),
    ("log magnitude",),
    ("log magnitude", "log variance"),
    ("log magnitude", "log variance", "DGP"),
)
"""Of accuracy, each with its square, beside depth and log width."""
FOLDS = {"new seeds": lambda model: model.run.seed, "new architectures": lambda model: model.architecture}


@dataclass(frozen=True, eq=False)
class Fit:
    """A regression of accuracy on folds that it has not seen: squared errors of each run, and of the mean."""

    errors: NDArray[np.float64]
    plain: NDArray[np.float64]

    @property
    def rows(self) -> list[NDArray[np.float64]]:
        """Both of each run."""
        return list(np.column_stack([self.errors, self.plain]))


def share(rows: Sequence[NDArray[np.float64]]) -> float:
    """Return squared errors, in the first column, as a share of those of the mean."""
    errors, plain = np.sum(rows, axis=0)
    return float(errors) / float(plain) if plain > 0 else math.nan


def explained_unseen(rows: Sequence[NDArray[np.float64]]) -> float:
    """Return R2: 1 if all is predicted, 0 if no more than by the mean, less if worse."""
    return 1 - share(rows)


def fitted(models: Sequence[Model], names: Sequence[str], fold: Callable[[Model], Any]) -> Fit:
    """Return a regression of accuracy, held out fold by fold."""
    columns = [[float(each.run.depth) for each in models], [math.log(each.run.width) for each in models]]
    for name in names:
        values = np.array([measured(name)(each) for each in models])
        centred = values - mean(values)  # so that it and its square are different things
        columns += [list(centred), list(centred**2)]
    errors, plain = unseen([each.accuracy for each in models], [fold(each) for each in models], *columns)
    places = grouped(range(len(models)), lambda place: models[place].run).values()
    return Fit(*(np.array([each[own].sum() for own in places]) for each in (errors, plain)))


def regressions(models: Sequence[Model]) -> str:
    """Return how much of accuracy is predicted from what."""
    lines = []
    for data, own in grouped(complete(models), lambda each: each.run.data).items():
        for names in PREDICTORS:
            fits = (fitted(own, names, fold) for fold in FOLDS.values())
            cells = (with_interval(fit.rows, explained_unseen) for fit in fits)
            lines.append([data, ", ".join(names) or "depth and width alone", *cells])
    return table(["data", "predicted from", *(f"R2, {name}" for name in FOLDS)], lines)


def added(
    models: Sequence[Model], name: str, fold: Callable[[Model], Any]
) -> tuple[float, tuple[float, float]]:
    """Return by how much R2 rises when a measure stands beside log variance, and its interval over runs."""
    before, after = (fitted(models, names, fold) for names in (("log variance",), ("log variance", name)))
    rows = list(np.column_stack([before.errors - after.errors, before.plain]))
    return share(rows), interval(rows, share)


def courses(records: Sequence[Record]) -> str:
    """Return how DGP moves along training courses."""
    lines = []
    for name, own in grouped(records, lambda record: stopping.name_of(record.run)).items():
        held = [record.result for record in own]
        lines.append([
            name, f"{len(own)}",
            told((each.dgp[0] for each in held), 3), told((each.dgp[-1] for each in held), 3),
            told((spearman(each.dgp, each.steps) for each in held), 2),
            told((spearman(each.dgp, each.test_accuracy) for each in held), 2),
            told((spearman(each.np, each.test_accuracy) for each in held), 2),
        ])  # fmt: skip
    head = [
        "networks", "runs", "DGP, untrained", "at the end", "Spearman, DGP and steps", "DGP and accuracy",
        "NP and accuracy",
    ]  # fmt: skip
    return table(head, lines)


def scatter(models: Sequence[Model]) -> Picture:
    """Draw DGP of trained models against log variance, and accuracy against DGP."""

    def draw(figure: Any) -> None:
        data = grouped(trained(models), lambda each: each.run.data)
        panels = figure.subplots(2, len(data), squeeze=False)
        for (upper, lower), (name, own) in zip(panels.T, data.items(), strict=True):
            for depth, those in sorted(grouped(own, lambda each: each.run.depth).items()):
                dgp = [each.dgp for each in those]
                look = {"ms": 3, "alpha": 0.6, "label": f"{depth}"}
                upper.plot([each.log_variance for each in those], dgp, ".", **look)
                lower.plot(dgp, [each.accuracy for each in those], ".", **look)
            upper.set(title=name, xlabel="log variance of |w| / largest", ylabel="DGP")
            lower.set(xlabel="DGP", ylabel="accuracy, %")
        panels[0, 0].legend(title="hidden layers")

    alt = "DGP of trained models against log variance, and their accuracy against DGP"
    return Picture("network-scatter", alt, (7, 5), draw)


def curves(models: Sequence[Model]) -> Picture:
    """Draw DGP along training by depth, before and after shuffling."""

    def draw(figure: Any) -> None:
        data = grouped(models, lambda each: each.run.data)
        panels = np.ravel(figure.subplots(1, len(data), sharey=True))
        for axes, (name, own) in zip(panels, data.items(), strict=True):
            for place, (depth, those) in enumerate(sorted(grouped(own, lambda e: e.run.depth).items())):
                steps = grouped(those, lambda each: each.state.steps)
                dgp = [mean(each.dgp for each in at) for at in steps.values()]
                moved = [mean(mean(each.state.shuffled) for each in at) for at in steps.values()]
                axes.plot(range(len(steps)), dgp, "o-", ms=3, color=f"C{place}", label=f"{depth}")
                axes.plot(range(len(steps)), moved, ":", color=f"C{place}")
                axes.set_xticks(range(len(steps)), [f"{each}" for each in steps])
            axes.set(title=name, xlabel="steps")
        panels[0].set_ylabel("DGP")
        panels[-1].legend(title="hidden layers")

    alt = "DGP along training by depth; dotted: after shuffling the weights of each layer"
    return Picture("network-training", alt, (7, 3), draw)


def page(records: Sequence[Record], expected: int) -> Page:
    """Return the page."""
    kinds = grouped(records, lambda record: record.run.kind)
    own = kinds.get(Network.kind, [])
    others = [each for each in kinds.get(variance.Layers.kind, []) if each.run.depth]
    models = models_of(own)
    pictures = (scatter(models), curves(models)) if models else ()
    parts = [CLAIM]
    if records:
        parts += [set_up(records), *beside_part(models, others_of(others))]
    if models:
        parts += [pictures[0].link, *own_part(models, pictures[1])]
    if held := kinds.get(Course.kind):
        parts += ["## Along training courses", COURSES_READ, courses(held)]
    if records:
        parts.append(MEANING)
    return Page(joined(TITLE, "network", parts, records, expected), pictures)


def beside_part(models: Sequence[Model], others: Sequence[Model]) -> list[str]:
    """Return what is said of DGP and variance."""
    groups = {
        f"{data}, {name}": those
        for name, held in (("this study", models), ("study of variance", others))
        for data, those in grouped(held, lambda each: each.run.data).items()
    }
    if not groups:
        return []
    return ["## DGP, NP and variance", verdict_on_variance(groups), beside(groups), BESIDE_READ]


def own_part(models: Sequence[Model], drawn: Picture) -> list[str]:
    """Return what is said of the networks of this study alone."""
    return [
        "## What it adds to predict accuracy",
        verdict_on_addition(models),
        regressions(models),
        REGRESSIONS_READ,
        "## Ranks of models",
        verdict_on_ranks(models),
        ranks(models),
        RANKS_READ,
        picks(models),
        "## Along training",
        along(models),
        drawn.link,
        "## Depth and width",
        verdict_on_size(models),
        sizes(models),
        "## Before and after shuffling",
        verdict_on_shuffling(models),
        shuffling(models),
        SHUFFLING_READ,
    ]


def verdict_on_variance(groups: Mapping[str, Sequence[Model]]) -> str:
    """Return whether DGP follows variance less than NP does, group by group."""
    sure, lines, strong = 0, [], []
    for name, own in groups.items():
        pairs = [follows_variance(those) for those in by_architecture(trained(own))]
        dgp, np_ = (mean(pair[side] for pair in pairs) for side in range(2))
        sure += interval(pairs, less_than_np)[0] > 0
        if math.isfinite(dgp + np_):
            lines.append(f"{name} {dgp:z.2f} against {np_:z.2f}")
            strong.append(abs(dgp))
    word = (
        "agrees with" if sure == len(groups) else "does not agree with" if not sure else "agrees in part with"
    )
    least = min(strong, default=math.nan)
    much = f" DGP still follows variance {strength(least)} ({least:.2f} or more)." if strong else ""
    return f"""
Within one architecture, DGP surely goes with log variance less than NP does in {sure} of {len(groups)} sets
of networks (by intervals of the difference over architectures), which {word} the paper.{much} Mean rank
correlations, DGP against NP: {"; ".join(lines)}. {beside_before(groups)}
"""


def follows_variance(models: Sequence[Model]) -> tuple[float, float]:
    """Return how DGP and NP go with log variance, by rank."""
    dgp, np_ = (correlation(each, "log variance")(models) for each in ("DGP", "NP"))
    return dgp, np_


def less_than_np(pairs: Sequence[tuple[float, float]]) -> float:
    """Return by how much less DGP goes with log variance than NP does."""
    dgp, np_ = (mean(pair[side] for pair in pairs) for side in range(2))
    return abs(np_) - abs(dgp)


def strength(value: float) -> str:
    """Return in a word how strong a correlation is."""
    return "well" if value > 0.7 else "to some degree" if value > 0.3 else "hardly"


def beside_before(groups: Mapping[str, Sequence[Model]]) -> str:
    """Return what became of the correlation over all depths that was found by hand."""
    found = [correlation("DGP", "log variance")(trained(own)) for own in groups.values()]
    held = [each for each in found if math.isfinite(each)]
    if not held:
        return ""
    low, high = min(held), max(held)
    word = "was found again" if max(abs(low - BY_HAND), abs(high - BY_HAND)) < 0.2 else "was not found again"
    return f"The {BY_HAND:.2f} by hand over all depths {word}: here it is {low:z.2f} to {high:z.2f}."


def verdict_on_addition(models: Sequence[Model]) -> str:
    """Return whether DGP tells anything of accuracy that log variance does not."""
    said = []
    for data, own in grouped(complete(models), lambda each: each.run.data).items():
        for name, fold in FOLDS.items():
            dgp, ends = added(own, "DGP", fold)
            np_, np_ends = added(own, "NP", fold)
            if not math.isfinite(dgp + sum(ends)):
                continue
            said.append(
                f"- {data}, {name}: by {amount(dgp, ends)} with DGP; by {amount(np_, np_ends)} with NP."
            )
    return "\n".join([WITH_EACH.strip(), "", *said]) if said else ""


def amount(value: float, ends: tuple[float, float]) -> str:
    """Return what a measure does to R2, and whether that is sure."""
    low, high = ends
    word = "more is predicted" if low > 0 else "less is predicted" if high < 0 else "nothing sure"
    return f"{between(value, ends)}, {word},"


def verdict_on_ranks(models: Sequence[Model]) -> str:
    """Return which measure ranks trained models best, and which way."""
    said = []
    for data, own in grouped(trained(models), lambda each: each.run.data).items():
        found = {name: mean(map(correlation(name, "accuracy"), by_architecture(own))) for name in MEASURES}
        held = {name: each for name, each in found.items() if math.isfinite(each)}
        if "DGP" not in held:
            continue
        best = max(held, key=lambda name: abs(held[name]))
        word = strength(abs(held["DGP"]))
        whole = correlation("DGP", "accuracy")(own)
        turned = ", the other way round" if whole * held["DGP"] < 0 else ""
        other = f"the best is {best} ({held[best]:z.2f})" if best != "DGP" else "no other measure is better"
        said.append(
            f"- {data}: within one architecture DGP ranks models by accuracy {word} "
            f"({held['DGP']:z.2f}); {other}. Over all architectures it is {whole:z.2f}{turned}."
        )
    return "\n".join(said)


def verdict_on_size(models: Sequence[Model]) -> str:
    """Return which way DGP goes with depth and with width at the end."""
    said = []
    for data, own in grouped(last(models), lambda each: each.run.data).items():
        dgp = [each.dgp for each in own]
        depth, width = (spearman(dgp, [getattr(each.run, key) for each in own]) for key in ("depth", "width"))
        ways = (("depth", depth), ("width", width))
        words = [f"{way(each)} with {name} ({each:z.2f})" for name, each in ways if math.isfinite(each)]
        if words:
            said.append(f"{data}: {' and '.join(words)}")
    text = f"At the end of training DGP goes, by rank: {'; '.join(said)}." if said else ""
    return f"{text} Untrained → at the end, over all rates; spreads are standard deviations over seeds."


def way(value: float) -> str:
    """Return which way a correlation goes."""
    return "nowhere" if abs(value) < 0.2 else "up" if value > 0 else "down"


def verdict_on_shuffling(models: Sequence[Model]) -> str:
    """Return whether DGP sees where the weights of a layer are."""
    said = []
    for data, own in grouped(models, lambda each: each.run.data).items():
        before = [each for each in own if not each.state.steps]
        shares = [100 * mean(float(each.above) for each in those) for those in (before, last(own))]
        taken = mean(each.lost for each in last(own))
        word = "structure that is learned" if shares[1] > shares[0] + 20 else "no more than before training"
        said.append(
            f"{data}: {shares[0]:.0f} % of untrained networks and {shares[1]:.0f} % of those at the end are "
            f"above all their shuffles ({word}), which take {taken:z.1f} % at the end"
        )
    return f"{'; '.join(said)}. By chance {100 / (SHUFFLES + 1):.0f} % would be."


TITLE = "What DGP adds"

CLAIM = f"""
## Claim

[Girrbach et al. (TMLR 2023)](https://arxiv.org/abs/2307.10865): averages of neural persistence over layers
follow the variance of weights and leave out how layers work together; deep graph persistence (DGP) takes in
persistent paths through the whole network, and alleviates what comes from variance by standardisation. Of
accuracy its abstract says nothing: whether DGP ranks models is our question.
Measured before, by hand: Spearman's correlation of DGP with the variance of the network {BY_HAND} over all
depths, and -0.45 in hidden layers, where that of NP and log variance was -0.94.
"""

BESIDE_READ = """
Spearman's rank correlations of models that have been trained at all, at every moment looked at, with 95 %
intervals by bootstrap: over all, whole runs are drawn again, and for *one architecture*, which is the mean
over data, depth and width held fixed, architectures are.
"""

WITH_EACH = """
R2 of accuracy predicted from log variance, depth and width changes, when one more measure is known:
"""

REGRESSIONS_READ = """
R2 of test accuracy on networks that the regression has not seen, each measure with its square, beside depth
and log width: either every seed in turn is left out, or every architecture. Intervals (95 %) draw runs
again. *Log magnitude* is the mean log standard deviation of the weights of a layer, as they are in the file:
the plainest statistic there is. Below 0 is worse than the mean of the others.
"""

RANKS_READ = """
Spearman's rank correlation with test accuracy; within one architecture rate, length of training and seed
differ, at the end rate and seed alone. *Beside log variance* is the partial correlation, with what goes with
log variance taken out of both ranks. Who takes the model with the highest or the lowest figure of each
architecture loses so many points against its best one, on the average:
"""

SHUFFLING_READ = """
*Lost* is by how much DGP is smaller, on the average, after all weights have been moved at random within their
layers, which keeps every layer's mean and standard deviation, and so all strengths. Less than nothing means
that DGP is higher when weights lie at random.
"""

COURSES_READ = """
Networks of the studies of [regularisation](regularisation.md) and [stopping](stopping.md), at each of their
checks: rank correlations along a run, mean and standard deviation over seeds. Where a measure goes steadily
with the number of steps, its correlation with accuracy along the run says that something is trained, and not
how well.
"""

MEANING = """
## What it means for a user

Compare DGP among networks of one shape, and with its own shuffles, which have the same weights in other
places. Where the tables above say that it adds nothing sure to the variance, or that plain magnitudes of
weights predict as much, take it for a description of where the network is narrow, and not for a grade.
"""


def set_up(records: Sequence[Record]) -> str:
    """Return what was trained."""
    own = [record.run for record in records if record.run.kind == Network.kind]
    said = f"{len(records) - len(own)} runs are shared with the other studies. Data: {sources(records)}."
    if own:
        depths, widths, rates, moments = (
            ", ".join(f"{each:g}" for each in sorted(held))
            for held in (
                {run.depth for run in own},
                {run.width for run in own},
                {run.rate for run in own},
                {each for run in own for each in run.moments},
            )
        )
        said = f"""
Fully connected networks of {depths} hidden layers of width {widths}, ReLU, Adam ({rates}), batches of
{own[0].batch}, {len({run.seed for run in own})} seeds, looked at after {moments} steps, so that accuracy
differs. {said}"""
    return f"""
## Set-up

{said} Each network is written as an ONNX file, which onnxruntime has to predict the same from, and measured
by `onnxtop.audit`, `onnxtop.matrices` and `onnxtop.deep_graph_persistence`. NP is the mean over layers, over
the largest weight of the network, and variance that of all weights over it, as in a report.
"""
