"""The loss barcode falls with the depth and the width of a network.

Claim of Barannikov et al. (2020): bars, and with them the TO-score, get shorter as networks get deeper and
wider, and in certain situations the length of a minimum's bar goes with its error on test data.
"""

import itertools
import math
import tempfile
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

import onnxtop
from studies import _data, _exporting
from studies._data import INPUTS
from studies._exporting import Step
from studies._numbers import (
    between,
    grouped,
    interval,
    left_over,
    mean,
    number,
    spearman,
    told,
    with_interval,
)
from studies._pages import Page, Picture, joined, sources, table
from studies._records import Record

NUMBER = 5
DECAY = 1e-3
"""Without it the cross-entropy of a network that gets every sample right has no minimum."""


@dataclass(frozen=True)
class Search:
    """How paths are looked for: finder, aligned or not; ``direct`` bars end at a path to a lower
    minimum."""

    name: str
    finder: str
    aligned: bool
    pairs: str


LINE, STEP, BAND, ALIGNED_LINE, ALIGNED = SEARCHES = (
    Search("straight line", "line", False, "direct"),
    Search("papers' step", "authors", False, "direct"),
    Search("elastic band", "neb", False, "tree"),
    Search("aligned line", "line", True, "tree"),
    Search("aligned elastic band", "neb", True, "tree"),
)


@dataclass(frozen=True)
class Bottom:
    """A minimum, and what is known of it.

    ``gain`` is what a descent as long as all before still wins, ``gradients`` what polishing took, ``test``
    cross-entropy on test data, ``error`` the share of wrong classes there.
    """

    loss: float
    gain: float
    gradients: int
    verdict: str
    accuracy: float
    error: float
    test: float


@dataclass(frozen=True)
class Bars:
    """What one search found; ``lengths`` in the order of the minima, NaN for the one that never ends."""

    search: str
    budget: int
    gradients: int
    mean: float
    scale_free: float
    lengths: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """The minima of one network, lowest first, and their bars by each search."""

    source: str
    digest: str
    weights: int
    minima: tuple[Bottom, ...]
    bars: tuple[Bars, ...]


@dataclass(frozen=True)
class Landscape:
    """A network whose minima are trained from new weights, polished, and joined; tanh, so that they rest.

    ``network`` is an MLP of ``depth`` hidden layers, a CNN of so many convolutions or a residual network of
    so many blocks. It learns ``rows`` samples; all others test. Each search is made with each of
    ``budgets``, in gradients for each bar; one with ``more`` is made of aligned bands alone.
    """

    kind: ClassVar[str] = "obstructions"
    version: ClassVar[int] = 1

    data: str
    network: str
    depth: int
    width: int
    seed: int
    minima: int = 6
    rows: int = 250
    polish: int = 12000
    budgets: tuple[int, ...] = (400, 1600)
    more: int = 0
    decay: float = DECAY

    @property
    def label(self) -> str:
        return f"{self.data} {self.network} {self.depth} x {self.width} seed {self.seed}"

    @property
    def seconds(self) -> float:
        slower = {"mlp": 0.0, "residual": 1e-4 * self.depth, "cnn": 1.4e-3}[self.network]
        inputs = 9 if self.network == "cnn" else INPUTS[self.data]
        weights = (inputs + 10 + (self.depth - 1) * self.width) * self.width
        each = 1.5e-4 + 6e-5 * self.depth + 1.2e-7 * weights + slower
        paths = (3 * sum(self.budgets) + self.more) * (self.minima - 1)
        return 1 + each * (min(self.polish, 2000) * self.minima + paths)

    def measure(self) -> Result:
        data, split = _data.load(self.data), self._split()
        content = written(self.network, self.depth, self.width, data.image)
        asked = onnxtop.BarcodeOptions(
            minima=self.minima, seed=self.minima * self.seed, polish=0, refine=0, align=False, jobs=1,
            path=onnxtop.PathOptions("line"), probe=onnxtop.LossOptions(l2=self.decay, threads=1),
        )  # fmt: skip
        started = onnxtop.loss_barcode(content, split, asked)
        trained = {name: theta for name, theta in points(started).items() if name.startswith("seed ")}
        with tempfile.TemporaryDirectory() as folder:
            still = replace(asked, minima=0)
            files = kept(content, list(trained.values()), Path(folder))
            rested = onnxtop.loss_barcode(files, split, replace(still, polish=self.polish, pairs="direct"))
            bottoms = list(points(rested).values())
            files = kept(content, bottoms, Path(folder))
            bars = [
                bars_of(onnxtop.loss_barcode(files, split, replace(still, **told)), files, search, budget)
                for search, budget, told in self.asked()
            ]
        test = onnxtop.Probe(content, {"x": split["x_test"], "labels": split["labels_test"]}, threads=1)
        minima = [
            Bottom(
                each.loss, each.gain, each.polishing, each.verdict, each.accuracy, 1 - each.test_accuracy,
                test.loss(theta),
            )
            for each, theta in zip(rested.minima, bottoms, strict=True)
        ]  # fmt: skip
        return Result(data.source, data.digest, rested.parameters, tuple(minima), tuple(bars))

    def asked(self) -> Iterator[tuple[Search, int, dict[str, Any]]]:
        """Yield each search with each budget, and its options; a straight line costs no gradient."""
        for search in SEARCHES:
            budgets = self.budgets + ((self.more,) if self.more and search == ALIGNED else ())
            for budget in budgets if search.finder != "line" else (0,):
                whole = None if search.finder == "line" else budget * (self.minima - 1)
                path = onnxtop.PathOptions(search.finder, gradients=budget)
                told = {"path": path, "align": search.aligned, "pairs": search.pairs, "budget": whole}
                yield search, budget, told

    def _split(self) -> dict[str, NDArray[Any]]:
        data = _data.load(self.data)
        x = np.concatenate([data.x, data.x_valid, data.x_test])
        labels = np.concatenate([data.labels, data.labels_valid, data.labels_test])
        if self.network == "cnn":
            x = x.reshape(-1, 1, *data.image)
        learn, test = slice(self.rows), slice(self.rows, None)
        return {"x": x[learn], "labels": labels[learn], "x_test": x[test], "labels_test": labels[test]}

    @staticmethod
    def read(result: Mapping[str, Any]) -> Result:
        minima = tuple(Bottom(**each) for each in result["minima"])
        bars = tuple(Bars(**{**each, "lengths": tuple(each["lengths"])}) for each in result["bars"])
        return Result(**{**result, "minima": minima, "bars": bars})


def written(network: str, depth: int, width: int, image: Sequence[int]) -> bytes:
    """Return an untrained network as an ONNX file; onnxtop draws weights of its own to start from."""
    inputs = int(np.prod(image))
    if network == "cnn":
        steps = _convolutions(depth, width, image)
        return _exporting.model(steps, (1, *image))
    make = _blocks if network == "residual" else _hidden
    return _exporting.model(make(inputs, depth, width), (inputs,))


def _dense(name: str, n_in: int, n_out: int) -> Step:
    weights = np.random.default_rng([n_in, n_out]).standard_normal((n_out, n_in)) * np.sqrt(2 / n_in)
    arrays = [weights.astype(np.float32), np.full(n_out, 0.01, np.float32)]
    return Step("Gemm", name, arrays, {"transB": 1})


def _hidden(inputs: int, depth: int, width: int) -> list[Step]:
    steps = []
    for layer, n_in in enumerate([inputs, *[width] * (depth - 1)], start=1):
        steps += [_dense(f"fc{layer}", n_in, width), Step("Tanh", f"tanh{layer}")]
    return [*steps, _dense("out", width, 10)]


def _blocks(inputs: int, depth: int, width: int) -> list[Step]:
    """Return blocks that add what two layers make of a value to it."""
    steps, last = [_dense("fc", inputs, width)], "fc"
    for block in range(1, depth + 1):
        steps += [
            Step("Tanh", f"tanh{block}a"),
            _dense(f"fc{block}a", width, width),
            Step("Tanh", f"tanh{block}b"),
            _dense(f"fc{block}b", width, width),
            Step("Add", f"add{block}", skip=last),
        ]
        last = f"add{block}"
    return [*steps, Step("Tanh", "tanh"), _dense("out", width, 10)]


def _convolutions(depth: int, width: int, image: Sequence[int]) -> list[Step]:
    """Return convolutions of 3 x 3, of which each but the first halves a picture."""
    steps, side = [], image[0]
    for layer, n_in in enumerate([1, *[width] * (depth - 1)], start=1):
        kernel = _dense("", 9 * n_in, width).arrays
        attributes = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
        arrays = [kernel[0].reshape(width, n_in, 3, 3), kernel[1]]
        steps += [Step("Conv", f"conv{layer}", arrays, attributes), Step("Tanh", f"tanh{layer}")]
        side = (side + 1) // 2
    return [*steps, Step("Flatten", "flatten"), _dense("out", width * side * side, 10)]


def points(landscape: onnxtop.LossLandscape) -> dict[str, NDArray[np.float64]]:
    """Return where minima lie, lowest first, from the straight lines that lead to each from the lowest."""
    ways = list(zip(landscape.passes, landscape.paths, strict=True))[: len(landscape.minima) - 1]
    found = {ways[0][0].first: ways[0][1].points[0]}
    return found | {each.second: path.points[-1] for each, path in ways}


def kept(content: bytes, thetas: Sequence[NDArray[np.float64]], folder: Path) -> list[str]:
    """Write each point as an ONNX file."""
    files = []
    for place, theta in enumerate(thetas):
        path = folder / f"{place}.onnx"
        path.write_bytes(_exporting.with_weights(content, theta))
        files.append(str(path))
    return files


def bars_of(found: onnxtop.LossLandscape, files: Sequence[str], search: Search, budget: int) -> Bars:
    """Return what one search found."""
    lengths = {each.name: each.length for each in found.minima}
    score = found.score
    return Bars(
        search.name, budget, found.gradients, number(score.mean), number(score.scale_free),
        tuple(number(lengths[name]) for name in files),
    )  # fmt: skip


def runs(quick: bool = False) -> list[Landscape]:
    """Return MLPs over depth and width, CNNs over width and residual networks over depth."""
    if quick:
        toy = {"minima": 3, "rows": 30, "polish": 100, "budgets": (40, 80)}
        sizes = [("mlp", 1, 4), ("mlp", 2, 4), ("cnn", 1, 2), ("residual", 1, 4)]
        return [Landscape("digits", *size, 0, **toy) for size in sizes]
    sizes = [("mlp", depth, width) for depth in (1, 2, 3, 4) for width in (4, 8, 16, 32, 64)]
    sizes += [("cnn", 2, width) for width in (2, 4, 8)]
    sizes += [("residual", depth, 8) for depth in (1, 2, 3)]
    return [
        Landscape("digits", *size, seed, more=0 if seed or _is_slow(*size) else 6400)
        for seed in range(3)
        for size in sizes
        if size[-1] < 64 or seed == 0
    ]


def _is_slow(network: str, depth: int, width: int) -> bool:
    """Tell which networks are not given a third budget."""
    return network == "cnn" or (width > 16 and depth > 1)


@dataclass(frozen=True)
class Row:
    """A search at one of its budgets: the first, the second, or the one that few have."""

    search: Search
    place: int = 0

    @property
    def name(self) -> str:
        return self.search.name + ("" if self.search.finder == "line" else f", {self.times}x")

    @property
    def times(self) -> int:
        """Return how many times the first budget that is."""
        return int(4**self.place)

    def lengths(self, record: Record) -> tuple[float, ...]:
        """Return lengths in the order of the minima, none if the network was not asked.

        A straight line is a path too, so no bar is longer than that of the lines between the same ends.
        """
        lines = ALIGNED_LINE if self.search.aligned else LINE
        own, straight = (
            [each.lengths for each in record.result.bars if each.search == name]
            for name in (self.search.name, lines.name)
        )
        return tuple(map(min, own[self.place], straight[0])) if len(own) > self.place else ()

    def length(self, record: Record) -> float:
        """Return the mean length of the bars of a network, NaN if it was not asked."""
        return mean(self.lengths(record))

    def scale_free(self, record: Record) -> float:
        """Return it over the distance of the lowest minimum from a predictor that knows nothing."""
        return self.length(record) / (math.log(10) - lowest(record))


ROWS = (
    Row(LINE), Row(STEP), Row(STEP, 1), Row(BAND), Row(BAND, 1), Row(ALIGNED_LINE), Row(ALIGNED),
    Row(ALIGNED, 1), Row(ALIGNED, 2),
)  # fmt: skip
PAPERS, LAST = (LINE, STEP), (Row(LINE), Row(STEP, 1), Row(BAND, 1), Row(ALIGNED, 1))
"""What the papers have, and each search with the most that all networks have."""
LEAST = 1e-6
"""As far as float32 tells, no bar is shorter, and none is taken for shorter where logarithms are needed."""

REST = 1e-6
"""What a descent as long as all before wins at most where a minimum came to rest."""

Figure = Callable[[Record], float]
Group = list[Record]


def lowest(record: Record) -> float:
    """Return the loss of the lowest minimum."""
    return float(record.result.minima[0].loss)


def error(record: Record) -> float:
    """Return the mean test error of the minima."""
    return mean(each.error for each in record.result.minima)


def lines_along(records: Sequence[Record], by: str) -> list[Group]:
    """Return MLPs in groups that differ in width alone, or in depth alone."""
    other = {"width": "depth", "depth": "width"}[by]

    def key(record: Record) -> Hashable:
        return record.run.data, getattr(record.run, other), record.run.seed

    return list(grouped((each for each in records if each.run.network == "mlp"), key).values())


def trends_of(groups: Sequence[Group], by: str, figure: Figure) -> list[float]:
    """Return the rank correlation of a figure with width or depth, within each group."""
    return [
        spearman([getattr(each.run, by) for each in own], [figure(each) for each in own]) for own in groups
    ]


def slopes(groups: Sequence[Group], by: str, figure: Figure) -> list[float]:
    """Return by how many doublings a figure grows when width doubles or a layer is added, in each group."""
    found = []
    for own in groups:
        pairs = [
            (size, math.log2(max(figure(each), LEAST)))
            for each in own
            for size in [math.log2(each.run.width) if by == "width" else each.run.depth]
            if math.isfinite(figure(each))
        ]
        several = len({size for size, _ in pairs}) > 1
        found.append(float(np.polyfit(*np.transpose(pairs), 1)[0]) if several else math.nan)
    return found


def factor(grown: Sequence[float]) -> float:
    """Return the mean factor of so many doublings."""
    return float(2 ** mean(grown))


def way(value: float, ends: tuple[float, float]) -> str:
    """Return in a word what a correlation with its interval shows."""
    if not math.isfinite(sum(ends)):
        return "cannot be told yet"
    return "falls" if ends[1] < 0 else "rises" if ends[0] > 0 else "nothing sure"


def found_way(records: Sequence[Record], by: str, figure: Figure) -> str:
    """Return whether a figure falls or rises with width or depth."""
    found = trends_of(lines_along(records, by), by, figure)
    return way(mean(found), interval(found, mean))


def trends(records: Sequence[Record]) -> str:
    """Return how lengths go with width and depth, by every search."""
    widths, depths = (lines_along(records, by) for by in ("width", "depth"))
    lines = [
        [
            row.name,
            with_interval(trends_of(widths, "width", row.length), mean),
            with_interval(slopes(widths, "width", row.length), factor),
            with_interval(trends_of(depths, "depth", row.length), mean),
            with_interval(slopes(depths, "depth", row.length), factor),
            found_way(records, "width", row.scale_free),
            found_way(records, "depth", row.scale_free),
        ]
        for row in ROWS
    ]
    head = [
        "paths",
        "Spearman with width",
        "factor, width doubled",
        "Spearman with depth",
        "factor, a layer more",
        "scale-free, width",
        "scale-free, depth",
    ]
    return table(head, lines)


def verdict(records: Sequence[Record]) -> str:
    """Return what came out of the first claim, in words."""
    said = {row: tuple(found_way(records, by, row.length) for by in ("width", "depth")) for row in ROWS}
    lines = [
        f"- With width: {wider}; with depth: {deeper}: {'; '.join(row.name for row in rows)}."
        for (wider, deeper), rows in grouped(said, lambda row: said[row]).items()
    ]
    own = [row for row in ROWS if row.search in PAPERS]
    agree = sum(said[row] == ("falls", "falls") for row in own)
    wider, deeper = (found_way(records, by, lowest) for by in ("width", "depth"))
    return (
        "\n".join(lines)
        + f"""

By the claim lengths fall with both. Of the {len(own)} rows that are made as the papers make theirs
(unaligned, direct pairs) {agree} do, of the {len(ROWS) - len(own)} others
{sum(each == ("falls", "falls") for each in said.values()) - agree}. The loss of the lowest minimum itself,
which is where the barcode begins: with width {wider}, with depth {deeper}.
"""
    )


def certificate(records: Sequence[Record]) -> str:
    """Return how well minima rest, and how many lengths are no bound for it."""
    minima = [each for record in records for each in record.result.minima]
    rest = sum(each.gain < REST for each in minima)
    bars = [
        (length, each.gain)
        for record in records
        for length, each in zip(Row(ALIGNED, 1).lengths(record), record.result.minima, strict=True)
        if length > LEAST
    ]
    loose = sum(gain > length / 100 for length, gain in bars)
    return f"""
By the certificate {rest} of {len(minima)} minima came to rest: a descent as long as all before wins less
than 1e-6. All are counted. Of {len(bars)} aligned bars (4x) {loose} are shorter than a hundred times that
gain: their lengths are no upper bounds, but too short by up to the gain.
"""


def lengths(records: Sequence[Record]) -> str:
    """Return mean lengths of MLPs by depth and width, by search."""
    own = [each for each in records if each.run.network == "mlp"]
    widths = sorted({each.run.width for each in own})
    lines = []
    for row in (*LAST, ROWS[-1]):
        for depth, those in sorted(grouped(own, lambda each: each.run.depth).items()):
            cells = [
                told((row.length(each) for each in those if each.run.width == width), 5) for width in widths
            ]
            lines.append([row.name, f"{depth}", *cells])
    return table(["paths", "hidden layers", *(f"width {width}" for width in widths)], lines)


def losses(records: Sequence[Record]) -> str:
    """Return losses, test errors and how well minima rest, by network."""
    lines = []
    for (network, depth, width), own in grouped(records, size_of).items():
        minima = [each for record in own for each in record.result.minima]
        lines.append([
            NAMES[network], f"{depth}", f"{width}", f"{own[0].result.weights}",
            told(map(lowest, own), 4),
            told((100 * error(each) for each in own), 1, " %"),
            f"{sum(each.gain < REST for each in minima)} of {len(minima)}",
            f"{max(each.gain for each in minima):.1g}",
        ])  # fmt: skip
    head = ["network", "depth", "width", "weights", "lowest loss", "test error", "at rest", "largest gain"]
    return table(head, lines)


def size_of(record: Record) -> tuple[str, int, int]:
    run = record.run
    return run.network, run.depth, run.width


NAMES = {"mlp": "MLP", "cnn": "CNN", "residual": "residual"}


def others(records: Sequence[Record]) -> str:
    """Return mean lengths of CNNs and residual networks, by search."""
    lines = []
    for (network, depth, width), own in grouped(records, size_of).items():
        if network != "mlp":
            cells = [told(map(row.length, own), 5) for row in LAST]
            lines.append([NAMES[network], f"{depth}", f"{width}", *cells])
    head = ["network", "depth", "width", *(row.name for row in LAST)]
    return f"{OTHERS}\n{table(head, lines)}" if lines else ""


def falls(records: Sequence[Record], before: Row, after: Row) -> list[float]:
    """Return by how many percent the lengths of each network fell, where there was something to fall."""
    pairs = [(before.length(each), after.length(each)) for each in records]
    return [100 * (1 - then / first) for first, then in pairs if first > LEAST and math.isfinite(then)]


def middle(values: Sequence[float]) -> float:
    """Return the median, NaN of nothing."""
    return float(np.median(values)) if values else math.nan


STEPS = (
    (Row(STEP), Row(STEP, 1)),
    (Row(BAND), Row(BAND, 1)),
    (Row(ALIGNED), Row(ALIGNED, 1)),
    (Row(ALIGNED, 1), Row(ALIGNED, 2)),
)


def effort(records: Sequence[Record]) -> str:
    """Return how much bars fell with four times the gradients, by depth."""
    own = [each for each in records if each.run.network == "mlp"]
    depths = sorted({each.run.depth for each in own})
    groups = [list(records), *([each for each in own if each.run.depth == depth] for depth in depths)]
    lines = [
        [
            f"{before.name} to {after.times}x",
            *(with_interval(falls(group, before, after), middle, 0) for group in groups),
        ]
        for before, after in STEPS
    ]
    head = ["percent that bars fell", "all", *(f"MLPs, depth {depth}" for depth in depths)]
    return table(head, lines)


LENGTH, BIRTH, ERROR, TEST = range(4)
"""Series of which ranks are compared: of bars, and of the errors and losses of their minima on test data."""

Products = NDArray[np.float64]


def products(record: Record, row: Row) -> Products | None:
    """Return sums of products of centred ranks among the bars of one network that end; shape (4, 4).

    Their sums over networks give correlations within networks. None of fewer than three bars.
    """
    known = zip(row.lengths(record), record.result.minima, strict=False)
    series = [(length, each.loss, each.error, each.test) for length, each in known if math.isfinite(length)]
    if len(series) < 3:
        return None
    ranks = stats.rankdata(series, axis=0)
    ranks -= ranks.mean(axis=0)
    found: Products = ranks.T @ ranks / len(series) ** 2  # networks of many bars count no more than others
    return found


def correlation(first: int, second: int) -> Callable[[Sequence[Products]], float]:
    """Return the rank correlation of two series within networks, NaN where one is constant."""

    def statistic(networks: Sequence[Products]) -> float:
        total = sum(networks, np.zeros((4, 4)))
        scale = math.sqrt(total[first, first] * total[second, second])
        return float(total[first, second]) / scale if scale > 0 else math.nan

    return statistic


def beside_birth(networks: Sequence[Products]) -> float:
    """Return the correlation of length and error that is left when what goes with births is taken out."""
    pairs = ((LENGTH, ERROR), (LENGTH, BIRTH), (ERROR, BIRTH))
    return left_over(*(correlation(*each)(networks) for each in pairs))


def all_products(records: Sequence[Record], row: Row) -> list[Products]:
    """Return those of all networks that have some."""
    return [each for each in (products(record, row) for record in records) if each is not None]


def means(records: Sequence[Record], row: Row) -> list[list[tuple[float, float]]]:
    """Return mean lengths and mean errors of MLPs; those of one size are alike, and stand together."""
    own = [each for each in records if each.run.network == "mlp" and math.isfinite(row.length(each))]
    return [[(row.length(each), error(each)) for each in those] for those in grouped(own, size_of).values()]


def across(sizes: Sequence[Sequence[tuple[float, float]]]) -> float:
    """Return how mean lengths go with mean errors."""
    pairs = list(itertools.chain.from_iterable(sizes))
    return spearman([length for length, _ in pairs], [each for _, each in pairs])


def generalisation(records: Sequence[Record]) -> str:
    """Return how the length of a bar goes with the test error of its minimum."""
    lines = []
    for row in ROWS:
        units = all_products(records, row)
        bars = sum(len(row.lengths(each)) - 1 for each in records if row.lengths(each))
        lines.append([
            row.name,
            f"{bars} of {len(units)}",
            with_interval(units, correlation(LENGTH, ERROR)),
            with_interval(units, correlation(LENGTH, TEST)),
            with_interval(units, correlation(LENGTH, BIRTH)),
            with_interval(units, beside_birth),
            with_interval(means(records, row), across),
        ])  # fmt: skip
    head = [
        "paths",
        "bars of networks",
        "length and test error",
        "length and test loss",
        "length and birth",
        "length and test error, birth taken out",
        "means of MLPs: length and test error",
    ]
    return table(head, lines)


RELATION = {
    "falls": "shorter bars have the larger error, against the paper",
    "rises": "shorter bars have the smaller error, as in the paper",
    "nothing sure": "no relation that is sure",
}


def verdict_on_errors(records: Sequence[Record]) -> str:
    """Return what came out of the second claim, in words."""
    said = []
    for row in (*LAST, ROWS[-1]):
        units, statistic = all_products(records, row), correlation(LENGTH, ERROR)
        value, ends = statistic(units), interval(units, statistic)
        word = way(value, ends)
        said.append(f"- {row.name}: {between(value, ends)}: {RELATION.get(word, word)}.")
    return "\n".join(said)


def curves(records: Sequence[Record]) -> Picture:
    """Draw mean lengths against width."""

    def draw(figure: Any) -> None:
        own = [each for each in records if each.run.network == "mlp"]
        for axes, row in zip(figure.subplots(1, len(LAST), sharey=True), LAST, strict=True):
            for depth, those in sorted(grouped(own, lambda each: each.run.depth).items()):
                widths = sorted(grouped(those, lambda each: each.run.width).items())
                means = [max(mean(map(row.length, each)), LEAST) for _, each in widths]
                axes.plot([width for width, _ in widths], means, ".-", label=f"{depth}")
            axes.set(title=row.name, xlabel="width", xscale="log", yscale="log")
            axes.minorticks_off()
            sizes = sorted({each.run.width for each in own})
            axes.set_xticks(sizes, [str(size) for size in sizes])
        if own:
            axes.legend(title="hidden layers")
        figure.axes[0].set_ylabel("mean length of bars")

    return Picture("obstructions-width", "Mean length of bars against width, by depth", (9, 2.8), draw)


def scatter(records: Sequence[Record]) -> Picture:
    """Draw lengths against test errors, both less the mean of their network."""

    def draw(figure: Any) -> None:
        for axes, row in zip(figure.subplots(1, len(LAST)), LAST, strict=True):
            for record in records:
                found, middle = row.lengths(record), row.length(record)
                errors = [100 * each.error for each in record.result.minima]
                if middle > LEAST:
                    shares = [each / middle for each in found]
                    axes.plot(
                        shares, [each - mean(errors) for each in errors], ".", ms=2, color="C0", alpha=0.6
                    )
            axes.set(title=row.name, xlabel="length / mean of network")
        figure.axes[0].set_ylabel("test error - mean, points")

    alt = "Test error of minima against the length of their bars, within networks"
    return Picture("obstructions-error", alt, (9, 2.6), draw)


def set_up(records: Sequence[Record]) -> str:
    """Return what was trained and measured."""
    run, minima = records[0].run, [each for record in records for each in record.result.minima]
    seeds = len({record.run.seed for record in records})
    right = 100 * mean(each.accuracy for each in minima)
    return f"""
## Set-up

Data: {sources(records)}; {run.rows} samples are learned, all others test. MLPs over depth and width, CNNs
of 3 x 3 convolutions over channels, and residual networks over blocks; {seeds} seed{"s" * (seeds > 1)} of
each, with {run.minima} minima a seed. Everything is tanh: at the kinks of ReLU descent does not come to
rest. Cross-entropy of networks that get (nearly) every sample right ({right:.1f} % here) has no minimum,
since it falls for ever as weights grow: so weight decay of {run.decay:g} (half of it times the sum of all
squared weights) is part of the loss. Each minimum is trained by onnxtop from new weights (Kaiming, Adam, 60
epochs), then polished with up to {run.polish} gradients, and written as an ONNX file. These files are read
by `onnxtop.loss_barcode` for each row of the tables, so that all rows are of the same minima.

Unaligned, with bars that end at direct paths to a lower minimum, as the papers have them: the *straight
line* between every two; the *papers' step* (gradient less half of its projection on either edge, rate
2e-3). *Elastic band* is onnxtop's own finder; *aligned* renumbers hidden units first, and turns signs.
Lengths are upper bounds. 1x is a budget of {run.budgets[0]} gradients for each bar, 4x of {run.budgets[1]};
16x was asked of the smaller networks of the first seed, and width 64 is of that seed alone. No top of a path
was refined.
"""


def page(records: Sequence[Record], expected: int) -> Page:
    """Return the page."""
    if not records:
        return Page(joined(TITLE, "obstructions", [CLAIM], records, expected))
    pictures = curves(records), scatter(records)
    parts = [
        CLAIM,
        set_up(records),
        certificate(records),
        losses(records),
        "## Width and depth",
        verdict(records),
        trends(records),
        READ,
        pictures[0].link,
        "Mean length of the finite bars, mean ± standard deviation over seeds:",
        lengths(records),
        others(records),
        "## Effort",
        EFFORT,
        effort(records),
        "## Length and test error",
        verdict_on_errors(records),
        generalisation(records),
        READ_ERRORS,
        pictures[1].link,
        meaning(records),
    ]
    return Page(joined(TITLE, "obstructions", parts, records, expected), pictures)


TITLE = "The loss barcode by depth and width"

CLAIM = """
## Claim

[Barannikov et al. (2020)](https://arxiv.org/abs/2012.15834): the barcode of the loss and the TO-score
decrease with the depth and the width of a network, for fully connected, convolutional and residual ones;
and in certain situations the length of a minimum's bar goes with its error on test data. The paper gives no
formula of the score that we know; [onnxtop's reading](../loss-barcode.md#to-score) is the mean length of
the finite bars. Its minima come from gradient descent over a number of epochs, and its paths are direct and
unaligned. Measured before with minima at rest (ours, small networks of 1,297 digits): lengths fall with
width, rise with depth, and have no relation to test error in five bars.
"""

READ = """
*Spearman* is the rank correlation of the mean length with width at each depth and seed, or with depth at
each width and seed: the mean of these, with an interval of 95 % over them, which has no width where all are
alike. *Factor* is by what the mean length is multiplied when the width doubles, or one layer is added.
*Scale-free* says the same of the score that is divided by the distance of the lowest minimum from a predictor
that knows nothing.
"""

EFFORT = """
By how many percent bars got shorter with four times the gradients: the middle of the networks, with an
interval of 95 % over them. What still falls is a property of the search, and not of the network.
"""

OTHERS = """
CNNs (depth is the number of convolutions, width that of channels) and residual networks (blocks):
"""

READ_ERRORS = f"""
Rank correlations within networks: bars are ranked among those of their own network, and ranks of all
networks taken together; intervals of 95 % over networks. A minimum that lies higher has a shorter way to
any pass: that is *length and birth*, and its error may be larger for the same reason, so it is also taken
out of both. The last column compares networks: mean length against mean test error over all MLPs.
All {len(ROWS)} rows are of the same minima: that the interval of one just leaves 0 says little.
"""


def meaning(records: Sequence[Record]) -> str:
    """Return what it means for a user."""
    row, line = Row(ALIGNED, 1), Row(LINE)
    still = middle(falls(records, *STEPS[-1]))
    times = middle([line.length(each) / max(row.length(each), LEAST) for each in records])
    loose = f" From 4x to 16x the aligned bars still fell by {still:.0f} %." if math.isfinite(still) else ""
    width, depth = (found_way(records, by, row.length) for by in ("width", "depth"))
    return f"""
## What it means for a user

Compare scores only at equal N, finder and budget, and only where more effort changes little.{loose} In
the row with the lowest bounds of all networks ({row.name}) the score with width: {width}; with depth:
{depth}. Bars of straight lines, which are {times:.3g} times as long in the middle, say how far minima lie
apart with hidden units in any order, and not how high a pass is. The error of a minimum on validation
data takes one run to know: take that to choose between minima, and not their bars.
"""
