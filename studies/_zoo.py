"""A zoo of small networks, healthy and with a fault, each measured along its training and after damage."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import onnxtop
from onnxtop.glossary.untrained import CONCENTRATION, LIMITS, PERSISTENCE, SPECTRUM
from studies import _plain, _planting
from studies._data import INPUTS
from studies._exporting import outputs, tensors, with_arrays
from studies._numbers import number

TOPOLOGY = ("np", "np_layer", "z", "excess")
"""Of a layer: NP over the largest weight of the network and of the layer; z and the share of excess."""
ONNXTOP = (*TOPOLOGY, "structure", "match")
"""Beside these, what onnxtop says of a layer and what needs no persistence.

The largest of what exchangeability looks at, each over its limit (z is one of four); the distance from the
nearest initialiser's law.
"""
COLUMNS = (*ONNXTOP, "variance", *_plain.SPECTRAL, *_plain.MOMENTS, *_plain.BIASES)
"""Of each layer, in this order; ``variance`` is that of |w| over the largest of the network, as reported."""
PREDICTORS = (
    "SQNR, least",
    "SQNR, all",
    "noise, summed",
    "diff: NP, most",
    "diff: NP, mean",
    "diff: tree lost, most",
    "diff: tree lost, mean",
    "diff: bottleneck, most",
    "diff: bottleneck, mean",
    "diff: mean NP",
    "diff: DGP",
    "outputs on noise",
    "outputs on data",
)
"""What may tell beforehand how much a quantised twin loses."""
LADDER = (0.0, 0.003, 0.01, 0.03, 0.06, 0.12, 0.25, 0.4, 0.6, 0.8, 1.0)
"""Shares of a training at which a network is looked at."""


@dataclass(frozen=True)
class State:
    """A network that was written as a file: ``layers`` from inputs to outputs, figures as in ``COLUMNS``.

    ``bars`` are the shares of the bars of deep graph persistence that end in a layer, ``findings`` rules that
    fired, with the layer where there is one. ``train`` is on the labels that it is trained with, wrong ones
    too.
    """

    steps: int
    train: float
    valid: float
    test: float
    valid_loss: float
    np: float
    dgp: float
    variance: float
    findings: tuple[str, ...]
    layers: tuple[tuple[float, ...], ...]
    bars: tuple[float, ...]


@dataclass(frozen=True)
class Reset:
    """A network in which one layer, by its place, is no longer as it was trained.

    ``layers`` are empty where all figures are as before.
    """

    how: str
    place: int
    test: float
    findings: tuple[str, ...]
    layers: tuple[tuple[float, ...], ...]
    bars: tuple[float, ...]


@dataclass(frozen=True)
class Quantised:
    """A network whose weights went through codes.

    ``lost`` is accuracy lost, and ``moved`` the share of predictions that are others, on all samples that
    were held out; ``figures`` as in ``PREDICTORS``.
    """

    name: str
    lost: float
    moved: float
    verdict: str
    figures: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """What was seen of one network."""

    source: str
    digest: str
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    states: tuple[State, ...]
    resets: tuple[Reset, ...]
    twins: tuple[Quantised, ...]


@dataclass(frozen=True)
class Animal:
    """A network that is trained with or without a ``fault``.

    ``network`` is "mlp" with ``widths`` of hidden layers, or "cnn" with channels; ``law`` draws the weights.
    ``noise`` is the share of the training labels that are drawn anew, ``samples`` are all if it is 0.
    """

    kind: ClassVar[str] = "zoo"
    version: ClassVar[int] = 2

    data: str
    network: str
    widths: tuple[int, ...]
    fault: str
    seed: int
    law: str
    rate: float
    batch: int
    steps: int
    decay: float = 0.0
    dropout: bool = False
    noise: float = 0.0
    samples: int = 0

    @property
    def label(self) -> str:
        return f"{self.data} {self.network} {' '.join(map(str, self.widths))} {self.fault} seed {self.seed}"

    @property
    def seconds(self) -> float:
        layers = len(self.widths) + 1
        if self.network == "cnn":
            step = 2.5e-3 if self.data == "mnist" else 1e-3
        else:
            step = 3e-4 + 1.5e-4 * layers + 2.5e-9 * INPUTS[self.data] * self.widths[0]
        return (
            1
            + 1.4 * self.steps * step
            + (len(LADDER) + 3 * len(_planting.TWINS) + 3 * layers) * layers * 0.02
        )

    @property
    def moments(self) -> tuple[int, ...]:
        """Steps at which it is looked at."""
        return tuple(dict.fromkeys(round(share * self.steps) for share in LADDER))

    def measure(self) -> Result:
        import torch  # an environment of its own has it

        from studies import _data, _networks

        data = spoiled(_data.load(self.data), self.noise, self.samples, self.seed)
        torch.manual_seed(self.seed)
        if self.network == "cnn":
            network = _networks.cnn(self.widths, data.image[0])
        else:
            sizes = (data.x.shape[1], *self.widths, 10)
            network = _networks.mlp(sizes, "dropout" if self.dropout else "plain")
        _networks.start(network, self.law, self.seed)
        schedule = _networks.Schedule(self.seed, self.rate, self.batch, decay=self.decay)
        states = []
        for steps in _networks.training(network, data, schedule, self.moments):
            loss, valid = _networks.scores(network, data.x_valid, data.labels_valid)
            test = _networks.scores(network, data.x_test, data.labels_test)[1]
            train = _networks.scores(network, data.x, data.labels)[1]
            content = _networks.exported(network, data, check=steps == self.steps)
            states.append(state(content, steps=steps, train=train, valid=valid, test=test, valid_loss=loss))
        names = layer_names(content)
        arrays = tensors(content)
        return Result(
            data.source,
            data.digest,
            names,
            tuple(arrays[f"{name}.0"].shape for name in names),
            tuple(states),
            tuple(resets(content, data, self.law, self.seed, states[-1].layers)),
            tuple(twins(content, data, self.seed)),
        )

    @staticmethod
    def read(result: Mapping[str, Any]) -> Result:
        def layers(each: Mapping[str, Any]) -> dict[str, Any]:
            rows = {"layers": tuple(map(tuple, each["layers"]))}
            return {**each, **rows, "findings": tuple(each["findings"]), "bars": tuple(each["bars"])}

        return Result(
            result["source"],
            result["digest"],
            tuple(result["names"]),
            tuple(map(tuple, result["shapes"])),
            tuple(State(**layers(each)) for each in result["states"]),
            tuple(Reset(**layers(each)) for each in result["resets"]),
            tuple(Quantised(**{**each, "figures": tuple(each["figures"])}) for each in result["twins"]),
        )


def spoiled(data: Any, noise: float, samples: int, seed: int) -> Any:
    """Return data with a share of its training labels drawn anew, or with few samples to train on."""
    x, labels = (data.x[:samples], data.labels[:samples]) if samples else (data.x, data.labels)
    rng = np.random.default_rng([seed, 1])
    wrong = rng.permutation(len(labels))[: round(noise * len(labels))]
    labels = labels.copy()
    labels[wrong] = rng.integers(10, size=len(wrong))
    return dataclasses.replace(data, x=x, labels=labels)


def short(values: Iterable[float]) -> tuple[float, ...]:
    """Return figures to four digits: records of many layers are large."""
    return tuple(float(f"{each:.4g}") for each in values)


def layer_names(content: bytes) -> tuple[str, ...]:
    """Return the layers of a file, from inputs to outputs."""
    return tuple(each.name for each in onnxtop.read_layers(content))


def state(content: bytes, **known: Any) -> State:
    """Measure a network from its file."""
    network, findings, layers, bars = measured(content)
    dgp = network.deep_graph_persistence.normalized
    return State(
        np=number(network.neural_persistence.mean_normalized),
        dgp=number(dgp),
        variance=number(network.variance),
        findings=findings,
        layers=layers,
        bars=bars,
        **known,
    )


def measured(
    content: bytes,
) -> tuple[onnxtop.Network, tuple[str, ...], tuple[tuple[float, ...], ...], tuple[float, ...]]:
    """Return the network's figures, the findings, the figures of layers, and their shares of bars."""
    report = onnxtop.audit(content)
    matrices, arrays = onnxtop.matrices(content), tensors(content)
    roles = [layer.deep_graph_persistence for layer in report.layers]
    bars = np.array([role.bars if role else 0 for role in roles])
    rows = []
    for layer in report.layers:
        weight, bias = arrays[f"{layer.name}.0"], arrays[f"{layer.name}.1"]
        persistence, match = layer.neural_persistence, onnxtop.initialiser_match(matrices[layer.name])
        rows.append(
            short((
                number(persistence.normalized),
                number(onnxtop.layer_persistence(matrices[layer.name]).normalized),
                number(persistence.z),
                number(persistence.excess_share),
                structure(persistence.z, layer.exchangeability),
                number(match.distance if match else None),
                number(layer.variance),
                *_plain.spectral(weight),
                *_plain.moments(weight),
                *_plain.bias_moments(bias),
            ))
        )  # fmt: skip
    findings = tuple(" ".join(filter(None, (each.rule, each.layer))) for each in report.findings)
    return report.network, findings, tuple(rows), short(bars / max(1, bars.sum()))


def structure(z: float | None, found: onnxtop.Exchangeability | None) -> float:
    """Return how far the statistic that speaks loudest is above what chance allows: above 1 it speaks."""
    if found is None:
        return math.nan
    over = (
        (z, LIMITS[PERSISTENCE]),
        (found.z_rows, LIMITS[CONCENTRATION]),
        (found.z_columns, LIMITS[CONCENTRATION]),
        (found.spectrum, LIMITS[SPECTRUM]),
    )
    return max((each / limit for each, limit in over if each is not None), default=math.nan)


def resets(
    content: bytes, data: Any, law: str, seed: int, before: tuple[tuple[float, ...], ...]
) -> Iterable[Reset]:
    """Yield what is to be seen when a layer is no longer as it was trained: each layer in each way."""
    arrays = tensors(content)
    for place, name in enumerate(layer_names(content)):
        for how in _planting.RESETS:
            # Zeros at the end of a seed change nothing: a fresh first layer is as it was before training.
            rng = np.random.default_rng([seed, place, _planting.RESETS.index(how)])
            names = (f"{name}.0", f"{name}.1")
            new = _planting.reset(how, law, *(arrays[each] for each in names), rng)
            changed = with_arrays(content, dict(zip(names, new, strict=True)))
            _, findings, layers, bars = measured(changed)
            test = float(np.mean(logits(changed, data.x_test, data).argmax(1) == data.labels_test))
            other = tuple(() if new == old else new for new, old in zip(layers, before, strict=True))
            yield Reset(how, place, test, findings, other, bars)


def rows_of(reset: Reset, last: State) -> NDArray[np.float64]:
    """Return the figures of all layers of a network of which one is reset."""
    return np.array([new or old for new, old in zip(reset.layers, last.layers, strict=True)])


def logits(content: bytes, x: NDArray[np.float32], data: Any) -> NDArray[np.float32]:
    """Return what a file computes."""
    shape = (1, *data.image) if "conv1.0" in tensors(content) else x.shape[1:]
    return outputs(content, x.reshape(-1, *shape))


def twins(content: bytes, data: Any, seed: int) -> Iterable[Quantised]:
    """Yield what quantised twins lose, and what could tell it without labels."""
    x, labels = np.concatenate([data.x_valid, data.x_test]), np.append(data.labels_valid, data.labels_test)
    noise = np.random.default_rng([seed, 2]).standard_normal((64, data.x.shape[1])).astype(np.float32)
    before, on_noise = logits(content, x, data), logits(content, noise, data)
    classes = before.argmax(1)
    names = [f"{name}.0" for name in layer_names(content)]
    arrays = tensors(content)
    for place, twin in enumerate(_planting.TWINS):
        worse = names[np.random.default_rng([seed, place]).integers(len(names))]
        weights = {name: twin.quantised(arrays[name], name == worse) for name in names}
        changed = with_arrays(content, weights)
        after, found = logits(changed, x, data), onnxtop.diff(content, changed)
        valid = slice(len(data.x_valid))
        run = decibels(on_noise, logits(changed, noise, data)), decibels(before[valid], after[valid])
        yield Quantised(
            twin.name,
            float(np.mean(classes == labels) - np.mean(after.argmax(1) == labels)),
            float(np.mean(classes != after.argmax(1))),
            str(found.whole.verdict),
            short((*predictors([arrays[name] for name in names], [*weights.values()], found), *run)),
        )


def decibels(old: NDArray[np.float32], new: NDArray[np.float32]) -> float:
    """Return the energy of a difference over that of what was there before."""
    energies = [float(np.sum(np.square(each, dtype=np.float64))) for each in (new - old, old)]
    return 10 * math.log10(energies[0] / energies[1] + 1e-12) if energies[1] else math.nan


def predictors(old: Sequence[Any], new: Sequence[Any], found: onnxtop.Diff) -> tuple[float, ...]:
    """Return those of ``PREDICTORS`` that come from weights; signs are such that more is worse."""
    noise = [float(np.sum((a.astype(float) - b) ** 2)) for a, b in zip(old, new, strict=True)]
    signal = [float(np.sum(a.astype(float) ** 2)) for a in old]
    shares = [each / energy for each, energy in zip(noise, signal, strict=True)]
    series = (
        [moved(each.neural_persistence) for each in found.layers],
        [1 - number(each.tree_kept) for each in found.layers],
        [number(each.bottleneck) for each in found.layers],
    )
    return (
        10 * math.log10(max(shares) + 1e-12),
        10 * math.log10(sum(noise) / sum(signal) + 1e-12),
        10 * math.log10(sum(shares) + 1e-12),
        *(statistic(each, default=math.nan) for each in map(finite, series) for statistic in (max, average)),
        moved(found.network.neural_persistence),
        moved(found.network.deep_graph_persistence),
    )


def finite(values: Iterable[float]) -> list[float]:
    """Return those that are numbers."""
    return [each for each in values if math.isfinite(each)]


def average(values: Sequence[float], default: float) -> float:
    """Return the mean, as `max` would return the largest."""
    return math.fsum(values) / len(values) if values else default


def moved(figure: onnxtop.Figure) -> float:
    """Return by how much a figure differs, against the old one."""
    if figure.old is None or figure.new is None or not figure.old:
        return math.nan
    return abs(figure.new - figure.old) / abs(figure.old)


GROUPS = (
    ("mnist1d", "mlp"),
    ("digits", "mlp"),
    ("mnist1d", "mlp"),
    ("digits", "cnn"),
    ("digits", "mlp"),
    ("mnist", "cnn"),
)
FAULTS = ("none", "none", "label noise", "learning rate", "over-trained")


def animal(seed: int, quick: bool = False) -> Animal:
    """Draw a network."""
    rng = np.random.default_rng([6, seed])
    data, network = GROUPS[seed % len(GROUPS)]
    fault = FAULTS[seed // len(GROUPS) % len(FAULTS)]
    if network == "mlp":
        widths = tuple(int(each) for each in rng.choice((24, 48, 96, 160), size=rng.integers(2, 5)))
    else:
        widths = ((8, 16), (16, 32), (12, 24, 48))[rng.integers(3)]
    rate, steps, noise, samples = 10 ** rng.uniform(-3.3, -2.5), int(rng.choice((800, 1600, 2400))), 0.0, 0
    batch = int(rng.choice((16, 32, 64, 128)))
    decay = float(rng.choice((0.0, 0.0, 0.01, 0.1)))
    if fault == "label noise":
        noise, steps = float(rng.choice((0.2, 0.4, 0.6, 0.8, 1.0))), 3000
    elif fault == "learning rate":
        rate = 10 ** (rng.uniform(-5, -4) if rng.random() < 0.5 else rng.uniform(-1.7, -0.7))
    elif fault == "over-trained":
        samples, steps, batch, decay = int(rng.choice((100, 200, 400))), 4000, int(rng.choice((16, 32))), 0.0
    if data == "mnist":
        steps //= 2
    if quick:
        widths, steps = tuple(each // 4 for each in widths), 40
    return Animal(
        data,
        network,
        widths,
        fault,
        seed,
        law=str(rng.choice(_planting.LAWS)),
        rate=float(f"{rate:.3g}"),
        batch=batch,
        steps=steps,
        decay=decay,
        dropout=network == "mlp" and rng.random() < 0.25,
        noise=noise,
        samples=samples,
    )
