"""What neural persistence tells beside the variance of the weights.

Claim of Girrbach et al. (2023): NP is driven by the variance of the weights and the spatial concentration of
the large ones, and later layers have no relevant spatial structure.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import onnxtop
from studies._data import INPUTS
from studies._numbers import explained, grouped, mean, number, spearman, told
from studies._pages import Page, Picture, joined, sources, table
from studies._records import Record

NUMBER = 3
SHUFFLES = 5
KINDS = ("all", "rows", "columns")
"""Where weights may go when a layer is shuffled: anywhere, within their row (an input), their column."""
ROLES = ("only", "first", "hidden", "last")
MATTERS = 5
"""Percent of NP that shuffles have to take for structure to be called some."""
FOUND_BEFORE = -0.94
"""Spearman's correlation of NP and log variance, by hand."""


@dataclass(frozen=True)
class LayerFigures:
    """A layer at one moment of a training.

    ``np`` is normalized neural persistence over the layer's own largest weight, ``variance`` that of its
    strengths, ``np_global`` and ``variance_global`` the same over the largest of the network. ``z`` and
    ``share`` compare with random places by the closed form; ``shuffled`` are means of NP after real shuffles,
    of each kind. ``sortedness`` is onnxtop's.
    """

    np: float
    variance: float
    np_global: float
    variance_global: float
    z: float
    share: float
    shuffled: tuple[float, ...]
    sortedness: float


@dataclass(frozen=True)
class Moment:
    """A network after so many steps; ``layers`` from inputs to outputs."""

    steps: int
    accuracy: float
    loss: float
    dgp: float
    variance: float
    layers: tuple[LayerFigures, ...]


@dataclass(frozen=True)
class Result:
    """What was seen while one network was trained, on which data."""

    source: str
    digest: str
    moments: tuple[Moment, ...]


@dataclass(frozen=True)
class Layers:
    """A fully connected network of equally wide hidden layers, ReLU, Adam; looked at after so many steps."""

    kind: ClassVar[str] = "variance"
    version: ClassVar[int] = 1

    data: str
    depth: int
    width: int
    seed: int
    moments: tuple[int, ...]
    rate: float = 1e-3
    batch: int = 32

    @property
    def label(self) -> str:
        hidden = f"{self.depth} x {self.width}" if self.depth else "linear"
        return f"{self.data} {hidden} rate {self.rate:g} seed {self.seed}"

    @property
    def seconds(self) -> float:
        inputs = INPUTS[self.data]
        weights = inputs * self.width + (self.depth - 1) * self.width**2 if self.depth else 10 * inputs
        return (
            1 + max(self.moments) * (3e-4 + 1.5e-4 * self.depth + 2.5e-9 * weights) + 0.3 * len(self.moments)
        )

    def measure(self) -> Result:
        import torch  # an environment of its own has it

        from studies import _data, _networks

        data = _data.load(self.data)
        torch.manual_seed(self.seed)
        sizes = (data.x.shape[1], *[self.width] * self.depth, 10)
        network = _networks.mlp(sizes)
        schedule = _networks.Schedule(self.seed, self.rate, self.batch)
        moments = []
        for steps in _networks.training(network, data, schedule, self.moments):
            loss, accuracy = _networks.scores(network, data.x_test, data.labels_test)
            content = _networks.exported(network, data, check=True)
            moments.append(moment(content, self.seed, steps=steps, accuracy=accuracy, loss=loss))
        return Result(data.source, data.digest, tuple(moments))

    @staticmethod
    def read(result: Mapping[str, Any]) -> Result:
        moments = (
            Moment(
                **{
                    **each,
                    "layers": tuple(
                        LayerFigures(**{**layer, "shuffled": tuple(layer["shuffled"])})
                        for layer in each["layers"]
                    ),
                }
            )
            for each in result["moments"]
        )
        return Result(**{**result, "moments": tuple(moments)})


def moment(content: bytes, seed: int, **known: Any) -> Moment:
    """Measure a network from its ONNX file."""
    alone = onnxtop.audit(content, scale="layer", sortedness=True)
    whole = onnxtop.audit(content)
    matrices = onnxtop.matrices(content)
    layers = tuple(
        LayerFigures(
            number(own.neural_persistence.normalized),
            number(own.variance),
            number(among.neural_persistence.normalized),
            number(among.variance),
            number(own.neural_persistence.z),
            number(own.neural_persistence.excess_share),
            tuple(shuffled(matrices[own.name], kind, seed) for kind in KINDS),
            number(own.sortedness),
        )
        for own, among in zip(alone.layers, whole.layers, strict=True)
    )
    dgp = whole.network.deep_graph_persistence
    return Moment(
        dgp=number(dgp.normalized if dgp else None),
        variance=number(onnxtop.network_variance(matrices)),
        layers=layers,
        **known,
    )


def shuffled(matrix: NDArray[np.floating[Any]], kind: str, seed: int) -> float:
    """Return the mean NP of a matrix whose weights have been moved."""
    rng = np.random.default_rng([seed, KINDS.index(kind), *matrix.shape])
    moved = {
        "all": lambda: rng.permutation(matrix.ravel()).reshape(matrix.shape),
        "rows": lambda: rng.permuted(matrix, axis=1),
        "columns": lambda: rng.permuted(matrix, axis=0),
    }[kind]
    return mean(onnxtop.layer_persistence(moved()).normalized for _ in range(SHUFFLES))


MOMENTS = (0, 100, 1000, 10000)
LINEAR_RATES = (3e-4, 1e-3, 1e-2)
"""A linear classifier has no size to vary."""


def runs(quick: bool = False) -> list[Layers]:
    """Return linear classifiers, and networks over data, depth and width."""
    if quick:
        moments, seeds, data, depths, widths = (0, 30, 150), range(2), ("digits", "mnist1d"), (1, 3), (16, 24)
    else:
        moments, seeds, data = MOMENTS, range(5), ("mnist", "mnist1d", "digits")
        depths, widths = (1, 2, 4), (50, 100, 250)
    linear = [
        Layers(name, 0, 0, seed, moments, rate) for name in data for rate in LINEAR_RATES for seed in seeds
    ]
    deep = [
        Layers(name, depth, width, seed, moments)
        for name in data
        for depth in depths
        for width in widths
        for seed in seeds
    ]
    return linear + deep


@dataclass(frozen=True)
class Row:
    """A layer at one moment, with what it is part of."""

    run: Layers
    steps: int
    place: int
    figures: LayerFigures

    @property
    def role(self) -> str:
        """Whether it is the only layer, or the first, a hidden or the last of several."""
        if not self.run.depth:
            return "only"
        return "first" if not self.place else "last" if self.place == self.run.depth else "hidden"

    @property
    def log_variance(self) -> float:
        return log(self.figures.variance)

    def lost(self, kind: str) -> float:
        """Return by how many percent NP is smaller after shuffles."""
        return 100 * (1 - self.figures.shuffled[KINDS.index(kind)] / self.figures.np)


def rows_of(records: Sequence[Record]) -> list[Row]:
    """Return all layers at all moments."""
    return [
        Row(record.run, each.steps, place, layer)
        for record in records
        for each in record.result.moments
        for place, layer in enumerate(each.layers)
    ]


def log(variance: float) -> float:
    """Return a logarithm, NaN where there is none."""
    return math.log(variance) if variance > 0 else math.nan


Statistic = Callable[[Sequence[Row]], float]


def over_seeds(rows: Sequence[Row], statistic: Statistic, digits: int = 2, unit: str = "") -> str:
    """Return a statistic of the networks of each seed: mean ± standard deviation."""
    return told((statistic(own) for own in grouped(rows, lambda row: row.run.seed).values()), digits, unit)


def log_variance_correlation(rows: Sequence[Row]) -> float:
    return spearman([row.figures.np for row in rows], [row.log_variance for row in rows])


def correlation_in_network(rows: Sequence[Row]) -> float:
    """Return the same with the largest weight of the network as the scale of both."""
    figures = [row.figures for row in rows]
    return spearman([each.np_global for each in figures], [log(each.variance_global) for each in figures])


def average_loss(kind: str) -> Statistic:
    return lambda rows: mean(row.lost(kind) for row in rows)


def structured(rows: Sequence[Row]) -> float:
    """Return the share of layers, in percent, whose z is above 3."""
    return 100 * mean(float(row.figures.z > 3) for row in rows if math.isfinite(row.figures.z))


def mean_z(rows: Sequence[Row]) -> float:
    return mean(row.figures.z for row in rows)


def mean_share(rows: Sequence[Row]) -> float:
    """Return by how many percent NP is above its null model."""
    return 100 * mean(row.figures.share for row in rows)


def by_variance(rows: Sequence[Row]) -> float:
    return explained([row.figures.np for row in rows], [row.log_variance for row in rows])


def by_variance_and_sortedness(rows: Sequence[Row]) -> float:
    known = [row.log_variance for row in rows], [row.figures.sortedness for row in rows]
    return explained([row.figures.np for row in rows], *known)


def lost_and_z(rows: Sequence[Row]) -> list[str]:
    """Return what shuffles take, and how sure that is."""
    return [
        over_seeds(rows, average_loss("all"), 1, " %"),
        over_seeds(rows, structured, 0, " %"),
        over_seeds(rows, mean_z, 1),
    ]


def within_shapes(rows: Sequence[Row]) -> float:
    """Return the mean rank correlation among layers of one shape and place."""
    groups = grouped(rows, lambda row: (row.run.data, row.run.depth, row.run.width, row.place))
    return mean(log_variance_correlation(own) for own in groups.values())


def by_role_and_steps(rows: Sequence[Row]) -> Iterator[tuple[str, int, list[Row]]]:
    """Yield layers of one place after so many steps, by both."""
    for role in ROLES:
        own = [row for row in rows if row.role == role]
        for steps, those in grouped(own, lambda row: row.steps).items():
            yield role, steps, those


def correlations(rows: Sequence[Row]) -> str:
    """Return how NP and log variance go together, by role and length of training."""
    lines = []
    for role, steps, those in by_role_and_steps(rows):
        lines.append([
            role,
            f"{steps}",
            f"{len(those)}",
            over_seeds(those, log_variance_correlation),
            over_seeds(those, correlation_in_network),
            over_seeds(those, by_variance),
            over_seeds(those, by_variance_and_sortedness),
        ])  # fmt: skip
    head = [
        "layer",
        "steps",
        "layers",
        "Spearman, NP and log variance",
        "scale global",
        "R2, log variance",
        "R2, with sortedness",
    ]
    return table(head, lines)


def shuffling(rows: Sequence[Row]) -> str:
    """Return what shuffles take, by role and length of training."""
    lines = []
    for role, steps, those in by_role_and_steps(rows):
        lines.append([
            role,
            f"{steps}",
            *(over_seeds(those, average_loss(kind), 1, " %") for kind in KINDS),
            over_seeds(those, mean_share, 1, " %"),
            over_seeds(those, structured, 0, " %"),
            over_seeds(those, mean_z, 1),
        ])  # fmt: skip
    lost = ("lost, anywhere", "lost, within rows", "lost, within columns")
    return table(["layer", "steps", *lost, "closed form", "z above 3", "mean z"], lines)


def by_size(rows: Sequence[Row]) -> str:
    """Return what shuffles take of hidden layers at the end, by data, depth and width."""
    last = max((row.steps for row in rows), default=0)
    own = [row for row in rows if row.role == "hidden" and row.steps == last]
    groups = grouped(own, lambda row: (row.run.data, row.run.depth, row.run.width))
    lines = [[*map(str, size), *lost_and_z(those)] for size, those in groups.items()]
    return table(["data", "hidden layers", "width", "lost, anywhere", "z above 3", "mean z"], lines)


def by_place(rows: Sequence[Row]) -> str:
    """Return z and what shuffles take, by the place of a layer, in the deepest networks at the end."""
    last, deepest = max(row.steps for row in rows), max(row.run.depth for row in rows)
    own = [row for row in rows if row.run.depth == deepest and row.steps == last]
    groups = grouped(own, lambda row: (row.run.data, row.place))
    lines = [
        [data, f"{place + 1} of {deepest + 1}", *lost_and_z(those)] for (data, place), those in groups.items()
    ]
    return table(["data", "layer", "lost, anywhere", "z above 3", "mean z"], lines)


def networks(records: Sequence[Record]) -> str:
    """Return how DGP and the variance of a network go together at the end, and how well networks do."""
    lines = []
    for data, own in grouped(records, lambda record: record.run.data).items():
        ends = [(record.run.seed, record.result.moments[-1]) for record in own if record.run.depth]
        seeds = grouped(ends, lambda pair: pair[0]).values()
        correlation = (
            spearman([each.dgp for _, each in those], [each.variance for _, each in those]) for those in seeds
        )
        accuracy = (100 * mean(each.accuracy for _, each in those) for those in seeds)
        linear = (100 * record.result.moments[-1].accuracy for record in own if not record.run.depth)
        lines.append([data, told(accuracy, 1, " %"), told(linear, 1, " %"), told(correlation, 2)])
    return table(["data", "accuracy, deep", "accuracy, linear", "Spearman, DGP and variance"], lines)


def scatter(rows: Sequence[Row]) -> Picture:
    """Draw NP against log variance at the end."""

    def draw(figure: Any) -> None:
        last = max(row.steps for row in rows)
        panels = figure.subplots(1, 2, sharey=True)
        for axes, steps, title in zip(panels, (0, last), ("untrained", f"after {last} steps"), strict=True):
            for role in ROLES:
                own = [row for row in rows if row.role == role and row.steps == steps]
                axes.plot(
                    [row.log_variance for row in own], [row.figures.np for row in own], ".", ms=3, label=role
                )
            axes.set(title=title, xlabel="log variance of |w| / largest")
        panels[0].set_ylabel("NP")
        panels[1].legend()

    return Picture("variance-scatter", "NP of layers against the log variance of their weights", (7, 3), draw)


def curves(rows: Sequence[Row]) -> Picture:
    """Draw what shuffles take along training."""

    def draw(figure: Any) -> None:
        data = list(grouped(rows, lambda row: row.run.data))
        for axes, name in zip(np.ravel(figure.subplots(1, len(data), sharey=True)), data, strict=True):
            for number_, role in enumerate(ROLES):
                own = [row for row in rows if row.role == role and row.run.data == name]
                steps = grouped(own, lambda row: row.steps)
                x = range(len(steps))
                axes.plot(
                    x,
                    [average_loss("all")(each) for each in steps.values()],
                    "o-",
                    ms=3,
                    color=f"C{number_}",
                    label=role,
                )
                axes.plot(
                    x, [average_loss("columns")(each) for each in steps.values()], ":", color=f"C{number_}"
                )
                axes.set_xticks(x, [f"{each}" for each in steps])
            axes.set(title=name, xlabel="steps")
        figure.axes[0].set_ylabel("NP lost by shuffling, %")
        figure.axes[-1].legend()

    alt = "Percent of NP that shuffling takes, along training; dotted: within columns"
    return Picture("variance-shuffling", alt, (7.5, 3), draw)


def page(records: Sequence[Record], expected: int) -> Page:
    """Return the page."""
    if not records:
        return Page(joined(TITLE, "variance", [CLAIM], records, expected))
    rows = rows_of(records)
    pictures = (scatter(rows), curves(rows))
    parts = [
        CLAIM,
        set_up(records),
        "## NP and variance",
        verdict_on_variance(rows),
        correlations(rows),
        pictures[0].link,
        "## NP before and after shuffling",
        verdict_on_shuffling(rows),
        shuffling(rows),
        SHUFFLING_READ,
        pictures[1].link,
        "Hidden layers at the end of training, by data and size:",
        by_size(rows),
        "By depth, in the deepest networks at the end:",
        by_place(rows),
        "## Networks",
        networks(records),
        meaning(rows),
    ]
    return Page(joined(TITLE, "variance", parts, records, expected), pictures)


TITLE = "What NP tells beside variance"

CLAIM = """
## Claim

[Girrbach et al. (TMLR 2023)](https://arxiv.org/abs/2307.10865): neural persistence of a layer is driven
by the variance of its weights and by the spatial concentration of the large ones. Linear classifiers have
spatial structure; in later layers of deep networks there is none that matters, and NP tells no more than
the variance. Published or measured before: Spearman's correlation of NP with log variance in hidden
layers -0.94 (ours, by hand, one small set of networks); shuffling took 15 % off NP in hidden layers and 9
% in last ones (ours), where the paper sees no relevant change.
"""


def meaning(rows: Sequence[Row]) -> str:
    """Return what it means for a user."""
    last = max(row.steps for row in rows)
    own = [row for row in rows if row.steps == last]
    found = mean(map(log_variance_correlation, grouped(own, lambda row: row.role).values()))
    much = "mostly" if found < -0.8 else "in part" if found < -0.5 else "hardly"
    said = (
        f"NP by itself {much} says how far the largest weight of a layer stands above the others (it goes "
        f"with log variance by {found:z.2f}, the mean over places of layers). "
    )
    return f"""
## What it means for a user

{said if math.isfinite(found) else ""}Compare NP only with NP of the same layer, at another moment or in
another export, and look at `variance` and `largest` beside it. What is left when the distribution of the
weights is taken out is z and the excess of NP over its null model, which every report has: the columns above
that say what shuffles take.
"""


SHUFFLING_READ = """
*Lost* is the mean over five real shuffles of each layer: weights go anywhere, only to other places in
their row (so that every input keeps its weights), or only in their column (every output keeps its own).
What is lost anywhere and not within columns, say, is structure that lies between outputs. *Closed form*
is the same loss by onnxtop's null model, without shuffling. Spreads are standard deviations over seeds.
"""


def set_up(records: Sequence[Record]) -> str:
    """Return what was trained."""
    deep = [record.run for record in records if record.run.depth]
    run = records[0].run
    linear, own = (
        ", ".join(
            f"{rate:g}" for rate in sorted({r.run.rate for r in records if bool(r.run.depth) is is_deep})
        )
        for is_deep in (False, True)
    )
    moments = ", ".join(map(str, run.moments))
    sizes = f"{', '.join(str(each) for each in sorted({r.depth for r in deep}))} hidden layers of width "
    sizes += f"{', '.join(str(each) for each in sorted({r.width for r in deep}))}" if deep else "none"
    return f"""
## Set-up

Linear classifiers (rates {linear or "none"}), and fully connected networks of {sizes}, ReLU (rates
{own or "none"}); Adam, batches of {run.batch}, {len({record.run.seed for record in records})} seeds, looked
at after {moments} steps.
Data: {sources(records)}. Each network is written as an ONNX file, which onnxruntime has to predict the
same from, and measured by `onnxtop.audit`, `onnxtop.matrices` and
`onnxtop.layer_persistence`. Unless it says otherwise NP is divided by the largest weight of the
layer, weights only. The paper has larger networks and more data.
"""


def verdict_on_variance(rows: Sequence[Row]) -> str:
    """Return whether NP and log variance go together as published."""
    last = max(row.steps for row in rows)
    hidden = [row for row in rows if row.role == "hidden" and row.steps == last]
    if not hidden:
        return ""
    found = mean(map(correlation_in_network, grouped(hidden, lambda row: row.run.seed).values()))
    word = "agrees with" if found < -0.8 else "is weaker than" if found < -0.5 else "does not agree with"
    return f"""
In hidden layers at the end of training, with scale global as in a report, the correlation is
{over_seeds(hidden, correlation_in_network)} over seeds, which {word} what was found before ({FOUND_BEFORE}).
With the largest weight of each layer as the scale it is {over_seeds(hidden, log_variance_correlation)}, and
among layers of one shape and place alone {told([within_shapes(hidden)], 2)}. R2 says how much of the
variation of NP a line explains, without and with sortedness beside log variance.
"""


def verdict_on_shuffling(rows: Sequence[Row]) -> str:
    """Return whether later layers have spatial structure."""
    last = max(row.steps for row in rows)
    said = []
    for role in ("only", "hidden", "last"):
        own = [row for row in rows if row.role == role and row.steps == last]
        if not own:
            continue
        lost = [average_loss("all")(each) for each in grouped(own, lambda row: row.run.seed).values()]
        is_some = mean(lost) > MATTERS
        agrees = is_some == (role == "only")  # the paper finds structure in linear classifiers alone
        name = "linear classifiers" if role == "only" else f"{role} layers"
        said.append(
            f"{name} lose {told(lost, 1)} % at the end of training ({'some' if is_some else 'little'}, "
            f"{'as in' if agrees else 'against'} the paper), and {told([structured(own)], 0)} % of them have "
            "z above 3"
        )
    return (
        f"Structure, by a limit of ours of {MATTERS} % of NP: {'; '.join(said) or 'none measured yet'}. "
        f"{where_it_lies(rows)}"
    )


def where_it_lies(rows: Sequence[Row]) -> str:
    """Return whether what layers lose lies between their inputs, between their outputs, or elsewhere."""
    last = max(row.steps for row in rows)
    own = [row for row in rows if row.steps == last]
    anywhere, inside, down = (average_loss(kind)(own) for kind in KINDS)
    said = (
        f"Of all layers at the end, shuffles anywhere take {anywhere:.1f} %, within rows {inside:.1f} % and "
        f"within columns {down:.1f} %"
    )
    if anywhere <= 1:
        return f"{said}: hardly anything."
    if inside < anywhere / 4:
        return f"{said}: what NP sees is mostly that some inputs have larger weights than others."
    if down < anywhere / 4:
        return f"{said}: what NP sees is mostly that some outputs have larger weights than others."
    return f"{said}: neither inputs nor outputs of different strength explain it alone."
