"""The whole story of a loss barcode: minima, paths between them, bars."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxtop.errors import NothingToAnalyseError, UsageError
from onnxtop.landscape import networks, paths
from onnxtop.landscape.alignment import align
from onnxtop.landscape.crew import Crew, gradient_of
from onnxtop.landscape.minima import Certificate, certify, fresh, perturbed, train
from onnxtop.landscape.options import BarcodeOptions, check
from onnxtop.landscape.paths import Meter, PathOptions
from onnxtop.landscape.result import assembled
from onnxtop.landscape.search import Budget, Found, Plan, connect
from onnxtop.landscape.state import State, key_of
from onnxtop.landscape.symmetry import Symmetries
from onnxtop.loss.probe import Probe
from onnxtop.results.landscape import LossLandscape

__all__ = ["BarcodeOptions", "Progress", "loss_barcode"]

Floats: TypeAlias = NDArray[np.float64]

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what was just done, and how many steps are done and to do."""

_SMALL = 2**20
"""Bytes of a model below which a second thread only gets in the way."""

_CERTAIN = 1e-3
"""Share of the reference loss that a short descent may gain from a minimum."""


def loss_barcode(
    models: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    data: Mapping[str, Any] | str | os.PathLike[str],
    options: BarcodeOptions | None = None,
    *,
    progress: Progress | None = None,
    **changes: Any,
) -> LossLandscape:
    """Find minima of a model's loss, low paths between them, and the barcode of its obstructions.

    Parameters
    ----------
    models
        ONNX files of one architecture, each a minimum; also from different exporters. One file will do if
        more minima are to be trained.
    data
        Arrays as `onnxtop.Probe` takes them, or where they lie. Arrays called ``*_test`` beside them are a
        test split, on which accuracies are measured.
    options
        How to go about it.
    progress
        Called after each step.
    **changes
        Single options instead or on top, see `BarcodeOptions.changed`: ``minima=6``, ``finder="line"``.

    Returns
    -------
    LossLandscape
        Minima with their bars, paths, TO-score. Deaths and lengths are upper bounds. An interrupt ends the
        search and gives what there is.

    Raises
    ------
    onnxtop.errors.UsageError
        One model and no minima to train, architectures that differ, or options that make no sense.
    onnxtop.errors.ModelError
        A model cannot be read, run or differentiated.

    Notes
    -----
    Barannikov et al., arXiv:2012.15834. The TO-score of a network, the mean length of its finite bars, is
    onnxtop's own reading: the paper gives no formula.

    Examples
    --------
    Six more minima beside the one in the file::

        landscape = onnxtop.loss_barcode("mlp.onnx", "digits.npz", minima=6)
        landscape.score.mean, landscape.minima[0].name
    """
    options = (options or BarcodeOptions()).changed(**changes)
    named = [models] if isinstance(models, (str, os.PathLike)) else list(models)
    arrays = networks.arrays_of(data)
    run = _Run.begin([os.fspath(model) for model in named], arrays, options, progress)
    run.train()
    run.certify()
    run.connect()
    return run.result()


@dataclass(eq=False)
class _Run:
    """One run: what is asked for, and what is found so far; minima are sorted once they are all there."""

    models: Sequence[str]
    data: Mapping[str, Any]
    options: BarcodeOptions
    progress: Progress
    crew: Crew
    plan: Plan
    names: list[str]
    thetas: list[Floats]
    state: State
    reference: float | None
    symmetries: Symmetries
    notes: list[str]
    certificates: list[Certificate] = field(default_factory=list)
    stop: Event = field(default_factory=Event)
    done: int = 0

    @classmethod
    def begin(
        cls,
        models: Sequence[str],
        data: Mapping[str, Any],
        options: BarcodeOptions,
        progress: Progress | None,
    ) -> "_Run":
        """Check what is asked for and read the models."""
        check(models, options)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        jobs = options.jobs or min(cores, 4)
        plan = Plan(options.path, options.pairs, Budget.read(options.budget), jobs)
        small = Path(models[0]).is_file() and Path(models[0]).stat().st_size < _SMALL
        threads = 1 if small else max(cores // jobs, 1)
        crew = Crew([options.probe.open(models[0], data, threads) for _ in range(jobs)])
        first = crew.probes[0]
        if not first.theta0.size:
            raise NothingToAnalyseError(f"{models[0]}: there are no weights to train")
        thetas = [first.theta0.astype(np.float64)]
        for model in models[1:]:
            theirs = options.probe.open(model, data, threads)
            thetas.append(networks.translated(models[0], first, model, theirs))
        settings = repr(replace(options, jobs=None, state=None))
        symmetries = Symmetries((), ())
        if options.align:
            symmetries = networks.symmetries(models[0], networks.layout_of(first), options.probe.batchnorm)
        notes = [*first.notes, *(f"alignment: {note}" for note in symmetries.notes)]
        if options.align and not symmetries.groups:
            notes.append("alignment: found no hidden units that may be renumbered")
        return cls(
            models=models,
            data=data,
            options=options,
            progress=progress or (lambda what, done, total: None),
            crew=crew,
            plan=plan,
            names=list(models),
            thetas=thetas,
            state=State.resume(
                options.state, "" if options.state is None else key_of(thetas, data, settings)
            ),
            reference=networks.reference_loss(first),
            symmetries=symmetries,
            notes=notes,
        )

    @property
    def probe(self) -> Probe:
        """The probe of the first model, for work of one thread."""
        return self.crew.probes[0]

    def tell(self, what: str, more: int) -> None:
        """Report one step done, and how many are still to come."""
        self.done += 1
        self.progress(what, self.done, self.done + more)

    def train(self) -> None:
        """Train the minima that are asked for; an earlier run's are taken over."""
        wanted = [f"seed {self.options.seed + number}" for number in range(self.options.minima)]
        starts = [name for name in wanted if name not in self.state.minima]
        draw = networks.draws(self.models[0], self.probe) if starts else []

        def one(name: str) -> Floats:
            seed = int(name.removeprefix("seed "))
            with self.crew.one() as probe:
                start = self._start(draw, seed)
                return train(
                    gradient_of(probe), start, self.options.training,
                    n_rows=probe.samples, seed=seed, stop=self.stop.is_set,
                )  # fmt: skip

        for number, (name, theta) in enumerate(zip(starts, self._each(one, starts), strict=True)):
            self.state.minima[name] = theta
            self.state.save()
            self.tell(f"trained {name}", len(starts) - number - 1 + len(self.names) + len(wanted))
        self.names += wanted
        self.thetas += [self.state.minima[name] for name in wanted]

    def _start(self, draw: Any, seed: int) -> Floats:
        if self.options.start == "fresh":
            return fresh(draw, seed)
        slices = [parameter.slice for parameter in self.probe.parameters]
        return perturbed(self.thetas[0], slices, self.options.perturbation, seed)

    def certify(self) -> None:
        """Say of each minimum what it is, leave out what is not finite, and sort them."""
        tolerance = _CERTAIN * (self.reference or 1.0)

        def one(number: int) -> Certificate:
            with self.crew.one() as probe:
                return certify(
                    gradient_of(probe),
                    self.thetas[number],
                    tolerance=tolerance,
                    curvature=self.options.curvature,
                )

        found = []
        numbers = range(len(self.thetas))
        for number, certificate in zip(numbers, self._each(one, numbers), strict=True):
            found.append(certificate)
            self.tell(f"certified {self.names[number]}", len(numbers) - number - 1 + 2 * len(numbers))
        losses = [self.probe.loss(theta) for theta in self.thetas]
        finite = [number for number in numbers if np.isfinite(losses[number])]
        self.notes += [
            f"{self.names[i]} is left out: its loss is not finite" for i in set(numbers) - set(finite)
        ]
        if len(finite) < 2:
            raise UsageError(
                "wanted two minima or more with finite losses, found fewer; train more (--minima)"
            )
        finite.sort(key=lambda number: (losses[number], self.thetas[number].tobytes()))
        self.names = [self.names[number] for number in finite]
        self.thetas = [self.thetas[number] for number in finite]
        self.certificates = [replace(found[number], loss=losses[number]) for number in finite]
        self._note_same()

    def _note_same(self) -> None:
        """Note neighbours that are one network."""
        for i, j in pairwise(range(len(self.thetas))):
            close = abs(self.certificates[i].loss - self.certificates[j].loss) <= 1e-6
            if close and self.distance(i, j) <= 1e-6 * (1 + float(np.linalg.norm(self.thetas[i]))):
                way = ", its units renumbered" if not np.array_equal(self.thetas[i], self.thetas[j]) else ""
                self.notes.append(f"{self.names[j]} is the same network as {self.names[i]}{way}")

    def distance(self, i: int, j: int) -> float:
        """Return how far two minima are apart after alignment."""
        return float(np.linalg.norm(self.thetas[i] - self._aligned(i, j)))

    def _aligned(self, i: int, j: int) -> Floats:
        """Return the second minimum with its units renumbered to lie near the first."""
        groups = self.symmetries.groups
        return (
            align(self.thetas[i], self.thetas[j], groups, networks.layout_of(self.probe))
            if groups
            else self.thetas[j]
        )

    def connect(self) -> None:
        """Look for the paths; an earlier run's are taken over."""
        distances: dict[tuple[int, int], float] = {}

        def distance(i: int, j: int) -> float:
            if (i, j) not in distances:
                distances[i, j] = self.distance(i, j)
            return distances[i, j]

        def search(i: int, j: int, chosen: PathOptions, meter: Meter) -> paths.Path:
            with self.crew.one() as probe:
                end = self._aligned(i, j)
                if not networks.confirmed(probe, end, self.thetas[j]):
                    self.notes.append(f"alignment changed what {self.names[j]} computes and was left out")
                    end = self.thetas[j]
                return paths.find_path(
                    lambda theta: probe.loss(theta), gradient_of(probe), self.thetas[i], end, chosen, meter
                )

        def tell(item: Found, expected: int) -> None:
            self.state.found.append(item)
            self.state.save()
            what = (
                f"{item.finder} {Path(self.names[item.first]).name} to {Path(self.names[item.second]).name}"
            )
            self.tell(what, max(expected - len(self.state.found), 0))

        losses = [certificate.loss for certificate in self.certificates]
        known = list(self.state.found)
        _, notes = connect(losses, distance, search, self.plan, known=known, stop=self.stop, tell=tell)
        self.notes += notes

    def result(self) -> LossLandscape:
        """Put everything together."""
        if self.stop.is_set():
            self.notes.append("interrupted: what was found until then")
        return assembled(
            names=self.names,
            certificates=self.certificates,
            found=self.state.found,
            accuracies=self._accuracies(self.data),
            test_accuracies=self._accuracies(networks.test_split(self.data)),
            reference=self.reference,
            direct=self.plan.pairs == "direct",
            interrupted=self.stop.is_set(),
            settings={
                "loss": self.probe.loss_name,
                "samples": self.probe.samples,
                "parameters": int(self.probe.theta0.size),
                "batchnorm": self.options.probe.batchnorm,
                "l2": self.options.probe.l2,
                "finder": self.plan.path.finder,
                "aligned": bool(self.symmetries.groups),
                "units": sum(group.size for group in self.symmetries.groups),
                "pairs": self.plan.pairs,
                "budget": None if self.options.budget is None else str(self.options.budget),
                "seed": self.options.seed,
            },
            notes=self.notes,
        )

    def _accuracies(self, data: Mapping[str, Any] | None) -> list[float | None]:
        if data is None:
            return [None] * len(self.thetas)
        probe = self.probe if data is self.data else self.options.probe.open(self.models[0], data)
        return [networks.accuracy(probe, theta) for theta in self.thetas]

    def _each(self, work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """Do work on several items at a time; an interrupt ends it."""
        with ThreadPoolExecutor(self.plan.jobs) as pool:
            try:
                yield from pool.map(work, items)
            except KeyboardInterrupt:
                self.stop.set()
                pool.shutdown(cancel_futures=True)
                raise
