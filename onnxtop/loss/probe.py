"""The loss of an ONNX model as a function of its parameters, on data, and its exact gradient."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from onnxtop.errors import ModelError, UsageError
from onnxtop.gradient.batchnorm import statistics
from onnxtop.gradient.graph import Array
from onnxtop.gradient.oracle import gradient_by_differences
from onnxtop.loss.compiled import Compiled, flat
from onnxtop.loss.heads import TARGET, WEIGHT, choose, confirmed
from onnxtop.loss.keywords import LossKeywords
from onnxtop.loss.look import look
from onnxtop.loss.options import LossOptions
from onnxtop.loss.parameters import Parameter, find_parameters
from onnxtop.loss.prepare.branches import without_branches
from onnxtop.loss.prepare.evaluation import for_evaluation
from onnxtop.loss.prepare.parameters import taken_out
from onnxtop.loss.prepare.sizes import sized
from onnxtop.loss.prepare.unpack import unpacked
from onnxtop.loss.prepare.upgrade import upgraded
from onnxtop.loss.runtime import Runtime
from onnxtop.loss.samples import match, parts
from onnxtop.loss.scores import Scores, scores
from onnxtop.loss.targets import prepare
from onnxtop.options import asked
from onnxtop.reader.loading import load
from onnxtop.reader.model import ModelSource
from onnxtop.work.options import processors

Vector = NDArray[np.float32]

_KEPT_BYTES = 2**28  # the prepared runs of the whole data are kept if they are smaller
_KEPT_PLANS = 4
_MOST_DIFFERENCES = 300
_LARGE_RUN = 2**24  # bytes of values in a run from which several threads pay


class Probe:
    """The loss of a model over its parameters.

    Parameters
    ----------
    model
        Its path, its bytes, a binary file object, or a ModelProto.
    data
        Arrays by input name, first axis samples, and ``labels`` (integers) or ``target`` (values). A model's
        only input may be called ``x``; samples are reshaped where their sizes match.
    options
        Which loss, and how it is run.
    **changes
        Or single options as keywords, see `LossOptions`: ``loss="mse"``, ``batchnorm="batch"``.

    Attributes
    ----------
    theta0
        The model's own parameters, shape (d,), float32.
    parameters
        Name, role, shape and place in theta of every tensor.
    ties
        Tensors that are used several times, with how often.
    samples, targets
        How many samples the data has, and what the model should give for them.
    loss_name
        The loss that was chosen.
    class_axis, threshold
        Axis of the output that holds the classes, None for a loss without classes; above which an output of
        the loss ``binary`` means 1: 0 for logits, 1/2 for probabilities.
    notes
        What was assumed about the data.

    Raises
    ------
    onnxtop.errors.ModelError
        The model cannot be read, lifted or run.
    onnxtop.errors.UsageError
        The data does not fit the model, or an option makes no sense.

    Notes
    -----
    ::

        data = np.load("sample_models/digits.npz")
        probe = onnxtop.Probe("sample_models/mlp_jax.onnx", data)
        loss, gradient = probe.loss_and_gradient(probe.theta0)
    """

    def __init__(
        self,
        model: ModelSource,
        data: Mapping[str, Any],
        options: LossOptions | None = None,
        **changes: Unpack[LossKeywords],
    ) -> None:
        self._options = options = asked(LossOptions, options, changes)
        loaded = load(
            model,
            allow_external=options.allow_external,
            max_download=options.max_download,
            limits=options.limits,
        )
        found = find_parameters(loaded)
        self._quantised = found.quantised
        self._runtime = Runtime(options.threads or 1)
        plain = unpacked(loaded)
        self._samples = match(data, plain.inputs)
        plain = upgraded(without_branches(plain, self._samples, self._runtime))
        plain = for_evaluation(plain, batch_statistics=options.batchnorm == "batch")
        self._model = taken_out(plain, found.parameters, untie=options.untie)
        whole = self._samples.count if options.batchnorm == "batch" else None
        size = options.batch_size or whole
        seen = look(self._model, self._samples, self._runtime, options.output, size)
        self._output, self.batch_size, self._fixed = seen.output, seen.batch_size, seen.fixed
        if options.threads is None and seen.bytes > _LARGE_RUN:
            self._runtime = Runtime(processors())
        self._head = choose(seen, self._samples.target, options.loss, options.label_smoothing)
        self.samples = self._samples.count
        self._all = np.arange(self.samples)
        self.targets = prepare(self._samples.target, self._head, seen.values.shape, options.ignore_index)
        self._plans: OrderedDict[int, Compiled] = OrderedDict()
        self._ready: dict[tuple[int, int], dict[str, Array]] = {}
        self.theta0: Vector = flat(self._model.values)
        self.theta0.flags.writeable = False
        self.parameters: tuple[Parameter, ...] = self._model.parameters
        self.ties: Mapping[str, int] = self._model.ties
        if self._head.link == "probabilities":
            self._head = confirmed(self._head, self.outputs(self.theta0))
            self._plans.clear()
        self.class_axis, self.threshold = self._head.class_axis, self._head.threshold
        self.loss_name = self._head.name
        assumed = (*self._samples.notes, *self._head.notes, *self.targets.notes, *self._filled())
        self.notes: tuple[str, ...] = (*assumed, *found.notes)

    def scores(self, theta: Array) -> Scores:
        """Return how good the model's answers are at theta."""
        binary = self.loss_name == "binary"
        return scores(self.outputs(theta), self.targets, self.class_axis, binary, self.threshold)

    def tensors(self, theta: Array) -> dict[str, Vector]:
        """Return the tensors that make up theta, by name, as views.

        Raises
        ------
        onnxtop.errors.UsageError
            Theta has another length than ``theta0``.
        """
        vector = np.ascontiguousarray(theta, np.float32)
        if vector.shape != self.theta0.shape:
            raise UsageError(f"wanted theta of shape {self.theta0.shape}, found {vector.shape}")
        return {p.name: vector[p.slice].reshape(p.shape) for p in self.parameters}

    def loss(self, theta: Array, rows: Array | slice | None = None) -> float:
        """Return the loss at theta.

        Parameters
        ----------
        theta
            Shape (d,).
        rows
            Numbers of the samples to use (a mini-batch); all if None.
        """
        total = sum(float(results[0]) for _, _, results in self._forward(theta, self._rows(rows)))
        return total + self._penalty(theta)

    def outputs(self, theta: Array, rows: Array | slice | None = None) -> Array:
        """Return the model's own output at theta, all samples along its first axis."""
        found = []
        for count, size, results in self._forward(theta, self._rows(rows)):
            found.append(results[1][: count * (len(results[1]) // size)])
        return np.concatenate(found)

    def loss_and_gradient(self, theta: Array, rows: Array | slice | None = None) -> tuple[float, Vector]:
        """Return the loss at theta and its gradient, shape (d,), float32.

        Raises
        ------
        onnxtop.errors.ModelError
            An operation has no gradient rule, or the weights are stored in codes.
        """
        self._require_floats()
        tensors, chosen = self.tensors(theta), self._rows(rows)
        statistics = self._statistics(tensors, chosen)
        loss = 0.0
        total: NDArray[np.floating[Any]] | None = None
        for part, size in self._chunks(chosen):
            feeds = {**self._feeds(part, size, chosen), **statistics}
            results = self._compiled(size).gradient(tensors, feeds)
            loss += float(results[0])
            gradient = flat(results[1:])
            total = gradient if total is None else total + gradient.astype(np.float64)
        assert total is not None
        if self._options.l2:
            total = total + self._options.l2 * np.asarray(theta, np.float64)
        return loss + self._penalty(theta), total.astype(np.float32, copy=False)

    @property
    def has_rules(self) -> bool:
        """Whether every operation between the parameters and the loss has a gradient rule."""
        try:
            _ = self._compiled(next(self._chunks(self._all))[1]).gradient
        except ModelError:
            return False
        return True

    def gradient_by_differences(self, theta: Array, rows: Array | slice | None = None) -> Vector:
        """Return the gradient by finite differences: four losses a parameter, so for small models only.

        Raises
        ------
        onnxtop.errors.ModelError
            The model has more than 300 parameters.
        """
        self._require_floats()
        if len(self.theta0) > _MOST_DIFFERENCES:
            raise ModelError(
                f"wanted at most {_MOST_DIFFERENCES} parameters for a gradient by finite differences, found "
                f"{len(self.theta0)}"
            )
        point = np.asarray(theta, np.float32)
        return gradient_by_differences(lambda at: self.loss(at, rows), point).astype(np.float32)

    def _filled(self) -> Iterator[str]:
        """Note that copies of a sample count in statistics, since the model takes no fewer samples."""
        by_batch = self._options.batchnorm != "frozen" and bool(statistics(self._model.graph))
        if by_batch and self._fixed and self.samples % self.batch_size:
            yield (
                f"the model takes {self.batch_size:,} samples at a time: the last run is filled up with "
                "copies of one, which count in its statistics of BatchNormalization"
            )

    def _penalty(self, theta: Array) -> float:
        l2 = self._options.l2
        return 0.5 * l2 * float(np.square(theta, dtype=np.float64).sum()) if l2 else 0.0

    def _require_floats(self) -> None:
        if not self.parameters:
            stored = (
                f"{self._quantised} weights are stored in codes"
                if self._quantised
                else "the model has no weights"
            )
            raise ModelError(
                f"wanted weights stored as floats for a gradient, but {stored}; probe the float model"
            )

    def _forward(self, theta: Array, rows: Array) -> Iterator[tuple[int, int, list[Array]]]:
        """Yield for each run how many samples it holds, the size that it is made for, loss and output."""
        tensors = self.tensors(theta)
        statistics = self._statistics(tensors, rows)
        for part, size in self._chunks(rows):
            feeds = {**self._feeds(part, size, rows), **statistics}
            yield len(part), size, self._compiled(size).forward(tensors, feeds)

    def _statistics(self, tensors: Mapping[str, Array], rows: Array) -> dict[str, Array]:
        """Return the statistics of BatchNormalization at theta, the mean over runs, if they are asked for."""
        if self._options.batchnorm != "recalibrate":
            return {}
        sums: dict[str, Array] = {}
        for part, size in self._chunks(rows):
            for name, value in self._compiled(size).measure(tensors, self._feeds(part, size, rows)).items():
                sums[name] = sums.get(name, np.zeros(())) + value.astype(np.float64) * len(part)
        return {name: (total / len(rows)).astype(np.float32) for name, total in sums.items()}

    def _rows(self, rows: Array | slice | None) -> Array:
        """Return the numbers of some samples; of all in their order the very array that is kept."""
        chosen = self._all if rows is None else self._all[rows]
        if chosen.ndim != 1 or not len(chosen):
            raise UsageError(f"wanted the numbers of one sample or more, found shape {chosen.shape}")
        return self._all if np.array_equal(chosen, self._all) else chosen

    def _chunks(self, rows: Array) -> Iterator[tuple[Array, int]]:
        """Yield the samples of each run, and the size that it is made for; smaller runs are padded."""
        if self._fixed:
            for start in range(0, len(rows), self.batch_size):
                yield rows[start : start + self.batch_size], self.batch_size
            return
        pieces = list(parts(len(rows), self.batch_size))
        longest = pieces[0].stop
        for piece in pieces:
            part = rows[piece]
            yield part, longest if self._options.batchnorm == "frozen" else len(part)

    def _feeds(self, part: Array, size: int, rows: Array) -> dict[str, Array]:
        """Return inputs, target and weights of a run; those of the whole data are kept if they are small."""
        key = int(part[0]), size
        whole = rows is self._all
        if whole and key in self._ready:
            return self._ready[key]
        order = slice(key[0], key[0] + len(part)) if whole else part
        feeds = self._samples.rows(order, size)
        feeds[TARGET], feeds[WEIGHT] = self.targets.chunk(order, size, self.targets.total(rows))
        if whole and sum(array.nbytes for array in feeds.values()) * (self.samples / size) < _KEPT_BYTES:
            self._ready[key] = feeds
        return feeds

    def _compiled(self, size: int) -> Compiled:
        if size not in self._plans:
            self._plans[size] = Compiled(
                graph=sized(self._model, self._samples, self._runtime, size).graph,
                head=self._head,
                target=self.targets.shape(size),
                output=self._output,
                parameters=tuple(p.name for p in self.parameters),
                inputs=tuple(self._samples.inputs),
                runtime=self._runtime,
                batchnorm=self._options.batchnorm,
                execution=self._options.execution,
            )
            while len(self._plans) > _KEPT_PLANS:
                self._plans.popitem(last=False)
        return self._plans[size]
