"""The whole story of a loss barcode: minima, paths between them, bars."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any, TypeAlias, Unpack

import numpy as np

from onnxtop.errors import NothingToAnalyseError, UsageError
from onnxtop.landscape import networks
from onnxtop.landscape.chain import Meter
from onnxtop.landscape.keywords import BarcodeKeywords
from onnxtop.landscape.minima import Draw, Point, fresh, perturbed, train
from onnxtop.landscape.options import BarcodeOptions, PathOptions
from onnxtop.landscape.paths import LossPath, find_path
from onnxtop.landscape.polish import Certificate, polish, rest
from onnxtop.landscape.result import assembled
from onnxtop.landscape.saddle import refine_path
from onnxtop.landscape.search import Found, join
from onnxtop.landscape.state import State, key_of, mark_of
from onnxtop.landscape.symmetry import Symmetries, find_groups
from onnxtop.loss.data import Data, left_out, read_data
from onnxtop.loss.descent import Floats
from onnxtop.loss.probe import Probe
from onnxtop.options import asked
from onnxtop.reader.loading import load
from onnxtop.reader.model import Model, ModelSource
from onnxtop.results.landscape import LossLandscape
from onnxtop.work.options import processors

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what was just done, and how many steps are done and to do."""

_SMALL = 2**20
"""Bytes of a model below which a second thread only gets in the way."""


@np.errstate(all="ignore")  # what is not finite is told as that
def loss_barcode(
    models: ModelSource | Sequence[ModelSource],
    data: Mapping[str, Any] | str | os.PathLike[str],
    options: BarcodeOptions | None = None,
    *,
    progress: Progress | None = None,
    **changes: Unpack[BarcodeKeywords],
) -> LossLandscape:
    """Find minima of a model's loss, low paths between them, and the barcode of its obstructions.

    Parameters
    ----------
    models
        Models of one architecture, each a minimum and given as `onnxtop.audit` takes it, also from different
        exporters. One will do if more minima are to be trained.
    data
        Arrays as `onnxtop.Probe` takes them, or where they lie. Arrays called ``*_test`` beside them are a
        test split, on which accuracies are measured.
    options
        How to go about it.
    progress
        Called after each step.
    **changes
        Or single options as keywords, see `BarcodeOptions`, also those of its parts: ``minima=6``,
        ``finder="line"``.

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
    options = asked(BarcodeOptions, options, changes)
    several = isinstance(models, Sequence) and not isinstance(models, str | bytes | bytearray | memoryview)
    given: list[Any] = list(models) if several else [models]  # type: ignore[arg-type]
    if len(given) + options.minima < 2:
        raise UsageError(
            f"wanted two minima or more, found {len(given)} and none to train: name more files of one "
            "architecture, or train some with --minima N"
        )
    read = read_data(data)
    run = _Run.begin(given, read, options, progress or (lambda what, done, total: None))
    run.train()
    run.polish()
    run.connect()
    return run.result()


def _held_out(model: Model, data: Data, options: BarcodeOptions, notes: list[str]) -> Probe | None:
    """Return a probe of the test split, None if there is none or, which is noted, it does not fit."""
    if "test" not in data.splits:
        return None
    try:
        return Probe(model, data.splits["test"], options.probe)
    except UsageError as error:
        notes.append(left_out("test", error))
        return None


@dataclass(eq=False)
class _Run:
    """One run: what is asked for, and what is found so far; minima are sorted once they are all there.

    ``probe`` is for work of one thread; several take theirs from ``idle``.
    """

    model: Model
    data: Data
    options: BarcodeOptions
    progress: Progress
    probe: Probe
    idle: SimpleQueue[Probe]
    found: list[tuple[str, Floats]]
    state: State
    reference: float | None
    symmetries: Symmetries
    notes: list[str]
    held_out: Probe | None
    points: list[Point] = field(default_factory=list)
    scaled: dict[int, Floats] = field(default_factory=dict)
    stop: Event = field(default_factory=Event)
    done: int = 0

    @classmethod
    def begin(
        cls, models: Sequence[ModelSource], data: Data, options: BarcodeOptions, progress: Progress
    ) -> "_Run":
        """Read the models, each file once."""
        loaded = [
            load(
                item,
                allow_external=options.probe.allow_external,
                max_download=options.probe.max_download,
                limits=options.probe.limits,
            )
            for item in models
        ]
        names = [model.file.name for model in loaded]
        model, arrays = loaded[0], data.split(None)[1]
        threads = 1 if model.byte_count < _SMALL else max(processors() // options.workers, 1)
        told = replace(options.probe, threads=options.probe.threads or threads)
        first = Probe(model, arrays, told)
        if not first.theta0.size:
            raise NothingToAnalyseError(f"{names[0]}: there are no weights to train")
        thetas = [first.theta0.astype(np.float64)]
        thetas += [
            networks.translated(model, first, other, Probe(other, arrays, told)) for other in loaded[1:]
        ]
        settings = repr(replace(options, jobs=None, state=None))
        symmetries = Symmetries()
        notes = list(first.notes)
        if options.align:
            by_batch = options.probe.batchnorm != "frozen"
            symmetries = networks.checked(
                first, find_groups(model, networks.layout_of(first), batch_statistics=by_batch)
            )
            notes += [f"alignment: {note}" for note in symmetries.notes]
            if not symmetries.groups:
                notes.append("alignment: found no hidden units that may be renumbered")
        idle: SimpleQueue[Probe] = SimpleQueue()
        for probe in (first, *(Probe(model, arrays, told) for _ in range(options.workers - 1))):
            idle.put(probe)
        key = "" if options.state is None else key_of(thetas, data, settings)
        return cls(
            model=model,
            data=data,
            options=options,
            progress=progress,
            probe=first,
            idle=idle,
            found=list(zip(names, thetas, strict=True)),
            state=State.resume(options.state, key),
            reference=networks.reference_loss(first),
            symmetries=symmetries,
            held_out=_held_out(model, data, options, notes),
            notes=notes,
        )

    @contextmanager
    def lent(self) -> Iterator[Probe]:
        """Lend a probe to a thread: each is used by one at a time, for one model caches what it runs."""
        probe = self.idle.get()
        try:
            with np.errstate(all="ignore"):  # each thread has its own
                yield probe
        finally:
            self.idle.put(probe)

    def tell(self, what: str, more: int) -> None:
        """Report one step done, and how many are still to come."""
        self.done += 1
        self.progress(what, self.done, self.done + more)

    def train(self) -> None:
        """Train the minima that are asked for; an earlier run's are taken over."""
        wanted = [f"seed {self.options.seed + number}" for number in range(self.options.minima)]
        starts = [name for name in wanted if name not in self.state.minima]
        draw = networks.draws(self.model, self.probe) if starts else []

        def one(name: str) -> Floats:
            seed = int(name.removeprefix("seed "))
            with self.lent() as probe:
                return train(
                    probe.loss_and_gradient, self._start(draw, seed), self.options.training,
                    n_rows=probe.samples, seed=seed, stop=self.stop.is_set,
                )  # fmt: skip

        for number, (name, theta) in enumerate(zip(starts, self._each(one, starts), strict=True)):
            self.state.minima[name] = theta
            self.state.save()
            self.tell(f"trained {name}", len(starts) - number - 1 + len(self.found) + len(wanted))
        self.found += [(name, self.state.minima[name]) for name in wanted]

    def _start(self, draw: Sequence[Draw], seed: int) -> Floats:
        if self.options.start == "fresh":
            return fresh(draw, seed)
        slices = [parameter.slice for parameter in self.probe.parameters]
        return perturbed(self.found[0][1], slices, self.options.perturbation, seed)

    def polish(self) -> None:
        """Take each minimum to its bottom, leave out what is not finite, and sort them."""
        options = self.options

        def one(start: Floats) -> tuple[Floats, Certificate]:
            with self.lent() as probe:
                return polish(
                    probe.loss_and_gradient, start, tolerance=rest(self.reference), budget=options.polish,
                    held=options.probe.l2 > 0, parts=networks.last_layer(probe), curvature=options.curvature,
                    stop=self.stop.is_set,
                )  # fmt: skip

        total, done = len(self.found), self.state.polished
        new = [(name, start) for name, start in self.found if mark_of(start) not in done]
        ends = self._each(one, [start for _, start in new])
        for number, ((name, start), end) in enumerate(zip(new, ends, strict=True)):
            done[mark_of(start)] = end
            self.state.save()
            self.tell(f"polished {name}", len(new) - number - 1 + 2 * total)
        for name, start in self.found:
            theta, certificate = done[mark_of(start)]
            self.points.append(Point(name, theta, self.probe.loss(theta), certificate))
        lost = [point.name for point in self.points if not np.isfinite(point.loss)]
        self.notes += [f"{name} is left out: its loss is not finite" for name in lost]
        self.points = [point for point in self.points if np.isfinite(point.loss)]
        if len(self.points) < 2:
            raise UsageError(
                "wanted two minima or more with finite losses, found fewer; train more (--minima)"
            )
        self.points.sort(key=lambda point: (point.loss, point.theta.tobytes()))
        self._note_unfinished()
        self._note_same()

    def _note_unfinished(self) -> None:
        """Note whose polishing ended at its budget."""
        names = [point.name for point in self.points if point.certificate.verdict == "unfinished"]
        if names and self.options.polish:
            spent = f"the budget of {self.options.polish} gradients (--polish)"
            self.notes.append(f"polishing ended at {spent} for {', '.join(names)}")

    def _note_same(self) -> None:
        """Note neighbours that are one network."""
        for i, (one, two) in enumerate(pairwise(self.points)):
            close = abs(one.loss - two.loss) <= 1e-6
            if close and self.distance(i, i + 1) <= 1e-6 * (1 + float(np.linalg.norm(one.theta))):
                way = "" if np.array_equal(one.theta, two.theta) else ", its units renumbered or scaled"
                self.notes.append(f"{two.name} is the same network as {one.name}{way}")

    def distance(self, i: int, j: int) -> float:
        """Return how far two minima are apart after alignment."""
        return float(np.linalg.norm(self._balanced(i) - self._aligned(i, j)))

    def _aligned(self, i: int, j: int) -> Floats:
        """Return the second minimum with its units renumbered to lie near the first."""
        return self.symmetries.align(self._balanced(i), self._balanced(j))

    def _balanced(self, i: int) -> Floats:
        """Return a minimum with its units scaled in the one way; as it is if a penalty counts the weights."""
        if i not in self.scaled:
            theta = self.points[i].theta
            self.scaled[i] = theta if self.options.probe.l2 else self.symmetries.balanced(theta)
        return self.scaled[i]

    def connect(self) -> None:
        """Look for the paths and refine those that end a bar; an earlier run's are taken over."""
        losses = [point.loss for point in self.points]
        found, distance = self.state.found, cache(self.distance)
        self.notes += join(
            losses, distance, self._search, self._refine, self.options,
            found=found, stop=self.stop, tell=self._tell_path,
        )  # fmt: skip

    def _search(self, i: int, j: int, chosen: PathOptions, meter: Meter) -> LossPath:
        """Look for one path, between aligned ends if these are the same functions."""
        start, end = self._balanced(i), self._aligned(i, j)
        own = self.points[i].theta, self.points[j].theta
        with self.lent() as probe:
            if not (networks.confirmed(probe, start, own[0]) and networks.confirmed(probe, end, own[1])):
                name = self.points[j].name
                self.notes.append(f"alignment changed what {name} computes and was left out")
                start, end = own
            return find_path(probe.loss, probe.loss_and_gradient, start, end, chosen, meter)

    def _refine(self, path: LossPath, meter: Meter) -> LossPath:
        """Look for the pass that the highest point of a path lies near."""
        with self.lent() as probe:
            return refine_path(probe.loss, probe.loss_and_gradient, path, int(meter.gradients), meter)

    def _tell_path(self, what: str, item: Found, left: int) -> None:
        if not self.stop.is_set():  # what an interrupt cut short is looked for again by the next run
            self.state.save()
        self.tell(f"{what} {self._between(item)}", left)

    def _between(self, item: Found) -> str:
        return " to ".join(Path(self.points[number].name).name for number in (item.first, item.second))

    def result(self) -> LossLandscape:
        """Put everything together."""
        if self.stop.is_set():
            self.notes.append("interrupted: what was found until then")
        return assembled(
            self._scored(),
            self.state.found,
            self.reference,
            self.options,
            interrupted=self.stop.is_set(),
            notes=self.notes,
            loss=self.probe.loss_name,
            weights=self.probe.parameters,
            samples=self.probe.samples,
            parameters=int(self.probe.theta0.size),
            aligned=bool(self.symmetries.groups),
            units=self.symmetries.units,
        )

    def _scored(self) -> list[Point]:
        """Return the minima with their accuracies, on the data and on its test split if there is one."""
        own = [self.probe.scores(point.theta).accuracy for point in self.points]
        test: list[float | None] = [None] * len(own)
        if self.held_out is not None:
            test = [self.held_out.scores(point.theta).accuracy for point in self.points]
        return [
            replace(point, accuracy=one, test_accuracy=two)
            for point, one, two in zip(self.points, own, test, strict=True)
        ]

    def _each(self, work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """Do work on several items at a time; an interrupt ends it."""
        with ThreadPoolExecutor(self.options.workers) as pool:
            try:
                yield from pool.map(work, items)
            except KeyboardInterrupt:
                self.stop.set()
                pool.shutdown(cancel_futures=True)
                raise
