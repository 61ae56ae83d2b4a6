"""What is measured of a real export: losses of its twins, what their files tell, how sharp the loss is."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import onnxtop
from studies import _twins
from studies._numbers import number
from studies._twins import BITS, RUNTIME, Export

STEPS = (-1.0, 0.25, 0.5, 0.75, 2.0, 8.0)
"""Along the line from the float weights, at 0, through those of a twin, at 1."""
LINES = ("int8 per tensor", "int4 per tensor", "int3 per tensor")
LEAST = 1e-45
"""The least probability that a float tells from 0."""
Data = Mapping[str, Any]


@dataclass(frozen=True)
class Score:
    """How good a twin is; ``same`` is the share of samples with the float model's class."""

    twin: str
    family: str
    loss: float
    accuracy: float
    same: float


@dataclass(frozen=True)
class Line:
    """The loss along a line; ``length`` is that of step 1, ``steps`` have 0 and 1 among them."""

    twin: str
    length: float
    steps: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def barrier(self) -> float:
        """By how much the loss between the two ends is above the higher of them; 0 if it is not."""
        inside = [loss for step, loss in self._pairs if 0 < step < 1]
        return max(0.0, max(inside) - max(self.at(0.0), self.at(1.0)))

    @property
    def curvature(self) -> float:
        """The second derivative along the unit direction, from steps -1, 0 and 1."""
        return (self.at(1.0) + self.at(-1.0) - 2 * self.at(0.0)) / self.length**2

    @property
    def lowest(self) -> float:
        """The step at which the loss is lowest."""
        return min(self._pairs, key=lambda pair: pair[1])[0]

    @property
    def _pairs(self) -> list[tuple[float, float]]:
        return list(zip(self.steps, self.losses, strict=True))

    def at(self, step: float) -> float:
        return dict(self._pairs)[step]


@dataclass(frozen=True)
class OnSamples:
    """What was seen on some samples."""

    source: str
    digest: str
    scores: tuple[Score, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Losses:
    """Loss and accuracy of all twins, and the loss along lines to some, on one part of the samples."""

    kind: ClassVar[str] = "export-losses"
    version: ClassVar[int] = 1

    data: str
    part: int
    samples: int

    @property
    def label(self) -> str:
        return f"{self.data} losses {self.samples} samples part {self.part}"

    @property
    def seconds(self) -> float:
        return 1 + (0.75 * self.samples if self.data == "magika" else 0.0)

    def measure(self) -> OnSamples:
        export = _twins.load(self.data)
        data = export.part(self.part, self.samples)
        probe = export.probe(data)
        answers = probe.outputs(probe.theta0).argmax(-1)
        scores, thetas = [], {}
        for twin in _twins.twins(len(_twins.weights(probe))):
            theta = thetas[twin.name] = twin.change(probe)
            scores.append(score(twin.name, twin.family, probe, theta, data, answers))
        lines = tuple(line(probe, name, thetas[name], data, scores) for name in LINES)
        with tempfile.TemporaryDirectory(prefix="onnxtop-studies-") as folder:
            for how in RUNTIME:
                path = Path(folder, "int8.onnx")
                _twins.by_runtime(export, how, path)
                coded = onnxtop.Probe(path, data, threads=1)
                scores.append(score(how, "runtime", coded, coded.theta0, data, answers))
        return OnSamples(export.source, export.digest, tuple(scores), lines)

    @staticmethod
    def read(result: Mapping[str, Any]) -> OnSamples:
        lines = (
            Line(**{**each, "steps": tuple(each["steps"]), "losses": tuple(each["losses"])})
            for each in result["lines"]
        )
        scores = tuple(Score(**each) for each in result["scores"])
        return OnSamples(**{**result, "scores": scores, "lines": tuple(lines)})


def score(name: str, family: str, probe: onnxtop.Probe, theta: Any, data: Data, answers: Any) -> Score:
    """Measure one twin."""
    outputs = probe.outputs(theta)
    classes = outputs.argmax(-1)
    return Score(
        name,
        family,
        cross_entropy(outputs, data["labels"]),
        float(np.mean(classes == data["labels"])),
        float(np.mean(classes == answers)),
    )


def cross_entropy(outputs: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the loss of answers, probabilities or logits: class and loss come of one run of the model."""
    rows = np.asarray(outputs, np.float64)
    if rows.min() < 0 or not np.allclose(rows.sum(-1), 1, atol=1e-2):
        rows = np.exp(rows - rows.max(-1, keepdims=True))
    chosen = rows[np.arange(len(labels)), labels] / rows.sum(-1)
    return float(-np.log(np.maximum(chosen, LEAST)).mean())


def line(probe: onnxtop.Probe, name: str, theta: Any, data: Data, scores: Sequence[Score]) -> Line:
    """Measure the loss along the line to a twin; its ends are known."""
    known = {each.twin: each.loss for each in scores}
    way = theta - probe.theta0
    losses = {0.0: known["float"], 1.0: known[name]}
    for step in STEPS:
        outputs = probe.outputs(probe.theta0 + np.float32(step) * way)
        losses[step] = cross_entropy(outputs, data["labels"])
    steps = tuple(sorted(losses))
    return Line(name, float(np.linalg.norm(way)), steps, tuple(losses[step] for step in steps))


@dataclass(frozen=True)
class Differs:
    """What `onnxtop.diff` and `onnxtop.check` say of a twin, from files alone.

    Of each layer: the relative change of its weights, its NP, the bottleneck distance of the diagrams and the
    share of the tree that is kept. ``rules`` are the findings that the float model has not, ``stopped``
    whether `check` with the float model as a baseline fails.
    """

    twin: str
    family: str
    verdict: str
    passes: bool
    changed: tuple[float, ...]
    np: tuple[float, ...]
    bottleneck: tuple[float, ...]
    kept: tuple[float, ...]
    dgp: float
    rules: tuple[str, ...]
    stopped: bool


@dataclass(frozen=True)
class Ran:
    """What `onnxtop.diff` says once both models were run: how far outputs differ, and where that begins."""

    twin: str
    verdict: str
    relative: float
    top: float
    parting: str


@dataclass(frozen=True)
class Traced:
    """A twin as a checkpoint of `onnxtop.trace`."""

    twin: str
    np: float
    dgp: float
    moved: float


@dataclass(frozen=True)
class OfFiles:
    """What files tell; ``course`` and ``sentence`` are the verdict of the trace."""

    source: str
    digest: str
    layers: tuple[str, ...]
    twins: tuple[Differs, ...]
    ran: tuple[Ran, ...]
    traced: tuple[Traced, ...]
    course: str
    sentence: str


RUN = ("int8 per tensor", *RUNTIME, "int6 per tensor", "int5 per tensor", "int4 per tensor")
"""Twins that are run beside the float model."""


@dataclass(frozen=True)
class Files:
    """Twins as files, compared with the float model's file: ``every`` so manieth; some run on samples."""

    kind: ClassVar[str] = "export-files"
    version: ClassVar[int] = 1

    data: str
    samples: int
    every: int = 1

    @property
    def label(self) -> str:
        return f"{self.data} files, run on {self.samples} samples"

    @property
    def seconds(self) -> float:
        return (40.0 if self.data == "magika" else 13.0) / self.every

    def measure(self) -> OfFiles:
        export = _twins.load(self.data)
        data = export.part(0, self.samples)
        with tempfile.TemporaryDirectory(prefix="onnxtop-studies-") as folder:
            paths = files(export, data, Path(folder))
            np.savez(Path(folder, "samples.npz"), **data)
            old = paths["float"][0]
            own = {each.rule for each in onnxtop.check(old).findings}
            told = list(paths.items())[:: self.every]
            found = [compared(name, family, old, path, own) for name, (path, family) in told]
            samples = Path(folder, "samples.npz")
            ran = [together(name, old, paths[name][0], samples) for name in RUN[:: self.every]]
            ladder = ["float", *(f"int{bits} per tensor" for bits in BITS)]
            trace = onnxtop.trace([paths[name][0] for name in ladder], order="given")
        steps = (
            Traced(
                name,
                number(each.neural_persistence),
                number(each.deep_graph_persistence),
                number(each.moved),
            )
            for name, each in zip(ladder, trace.measured, strict=True)
        )
        layers = tuple(each.name for each in onnxtop.read_layers(export.content))
        verdict = trace.verdict
        return OfFiles(
            export.source,
            export.digest,
            layers,
            tuple(found),
            tuple(ran),
            tuple(steps),
            str(verdict.course),
            verdict.sentence,
        )

    @staticmethod
    def read(result: Mapping[str, Any]) -> OfFiles:
        many = ("changed", "np", "bottleneck", "kept", "rules")
        twins = (Differs(**{**each, **{key: tuple(each[key]) for key in many}}) for each in result["twins"])
        return OfFiles(
            **{
                **result,
                "layers": tuple(result["layers"]),
                "twins": tuple(twins),
                "ran": tuple(Ran(**each) for each in result["ran"]),
                "traced": tuple(Traced(**each) for each in result["traced"]),
            }
        )


def files(export: Export, data: Data, folder: Path) -> dict[str, tuple[Path, str]]:
    """Write all twins; return where they are, and their families."""
    probe = export.probe(data)
    found = {}
    for place, twin in enumerate(_twins.twins(len(_twins.weights(probe)))):
        path = folder / f"{place:02}.onnx"
        _twins.written(export, probe, twin.change(probe), path)
        found[twin.name] = (path, twin.family)
    for place, how in enumerate(RUNTIME):
        path = folder / f"runtime_{place}.onnx"
        _twins.by_runtime(export, how, path)
        found[how] = (path, "runtime")
    return found


def compared(name: str, family: str, old: Path, new: Path, own: set[str]) -> Differs:
    """Return what files tell of a twin."""
    found = onnxtop.diff(old, new)
    checked = onnxtop.check(new, baseline=str(old))
    layers = found.layers
    return Differs(
        name,
        family,
        str(found.whole.verdict),
        not found.changed,
        tuple(number(each.weights.relative) for each in layers),
        tuple(number(each.neural_persistence.new) for each in layers),
        tuple(number(each.bottleneck) for each in layers),
        tuple(number(each.tree_kept) for each in layers),
        number(found.network.deep_graph_persistence.new),
        tuple(sorted({each.rule for each in checked.findings} - own)),
        checked.exit_code != 0,
    )


def together(name: str, old: Path, new: Path, samples: Path) -> Ran:
    """Return what a run of both tells."""
    found = onnxtop.diff(old, new, samples=str(samples))
    output = found.run.outputs[0] if found.run and found.run.outputs else None
    parting = found.run.parting if found.run else None
    return Ran(
        name,
        str(found.whole.verdict),
        number(output.relative if output else None),
        number(output.top if output else None),
        f"{parting.op_type} {parting.name}" if parting else "",
    )


@dataclass(frozen=True)
class AtRest:
    """How steep and how sharp the loss is at a twin."""

    source: str
    digest: str
    loss: float
    gradient_norm: float
    sharpness: float
    products: int
    converged: bool


@dataclass(frozen=True)
class Sharp:
    """The largest eigenvalue of the Hessian at a twin, on the first few samples."""

    kind: ClassVar[str] = "export-sharpness"
    version: ClassVar[int] = 1

    data: str
    twin: str
    samples: int

    @property
    def label(self) -> str:
        return f"{self.data} {self.twin} sharpness on {self.samples} samples"

    @property
    def seconds(self) -> float:
        return 1 + (0.8 * self.samples if self.data == "magika" else 0.0)

    def measure(self) -> AtRest:
        export = _twins.load(self.data)
        data = export.part(0, self.samples)
        probe = export.probe(data)
        held = {twin.name: twin for twin in _twins.twins(len(_twins.weights(probe)))}
        with tempfile.TemporaryDirectory(prefix="onnxtop-studies-") as folder:
            path = Path(folder, "twin.onnx")
            _twins.written(export, probe, held[self.twin].change(probe), path)
            found = onnxtop.probe(path, data, profile=False, descent=False, threads=1)
        sharp = found.sharpness
        return AtRest(
            export.source,
            export.digest,
            number(found.loss),
            number(found.gradient_norm),
            number(sharp.largest_eigenvalue if sharp else None),
            sharp.products if sharp else 0,
            bool(sharp and sharp.converged),
        )

    @staticmethod
    def read(result: Mapping[str, Any]) -> AtRest:
        return AtRest(**result)
