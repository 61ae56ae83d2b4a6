"""The whole story of a run on one page: what the inputs are given, a process, what is to be said of it."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from onnxtop.errors import ModelError
from onnxtop.execution.job import Answer, Given, Job, Places
from onnxtop.execution.options import RunOptions
from onnxtop.execution.plan import given, hints, ranges, spans, told
from onnxtop.execution.process import ask
from onnxtop.gradient.graph import descendants
from onnxtop.loss.prepare.whole import completed
from onnxtop.reader.declared import Declared, Shape, inputs_of
from onnxtop.reader.limits import GIB
from onnxtop.reader.model import Model
from onnxtop.reader.names import node_name
from onnxtop.reader.ops.tables import SIZES
from onnxtop.reader.protos import op_of
from onnxtop.reader.tensors import stored_bytes
from onnxtop.reader.terms.graph import Graphs, agreed, is_random
from onnxtop.reader.terms.interface import fits
from onnxtop.results.run import ModelRun, PairRun, RunFailure, RunInput
from onnxtop.results.words import in_percent
from onnxtop.work.options import RUN_SECONDS

_MEMORY, _TIMES = 4, 8
"""GiB that a run has, and so many times the bytes of its models."""
_ROUNDING = 1e-3
"""What the largest difference of outputs may be, against their spread, where only rounding differs."""
_NAMED = 5


@dataclass(frozen=True)
class RunFrame:
    """What a run is given beside its own options: seed, sizes, folders, time."""

    seed: int = 0
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)
    allow_external: tuple[str | Path, ...] = ()
    seconds: float = RUN_SECONDS


def run_model(model: Model, options: RunOptions, frame: RunFrame) -> ModelRun:
    """Run a model by itself.

    Raises
    ------
    onnxtop.errors.UsageError
        The data cannot be read, or does not fit the model.
    """
    declared = inputs_of(model)
    chance = tuple(_chance(model))
    try:
        wanted = given(
            [(each,) for each in declared],
            [each.shape for each in declared],
            ranges(model),
            spans(model),
            hints(model),
            frame.input_shapes,
            frame.dims,
        )
    except ModelError as error:
        failure = RunFailure("inputs", str(error))
        return ModelRun(_source(options), failure=failure, chance=chance)
    answer = _asked([model], _job([model], wanted, options, frame), frame.seconds)
    run = ModelRun(
        source=_source(options),
        runs=answer.runs,
        inputs=_inputs(wanted, declared, answer, options),
        outputs=answer.outputs,
        failure=answer.failure,
        chance=chance,
        notes=answer.notes,
    )
    return _by_graph(run, model)


def run_pair(
    graphs: Graphs, options: RunOptions, frame: RunFrame, places: Sequence[Places], tolerance: float | None
) -> PairRun:
    """Run two models on the same inputs.

    Parameters
    ----------
    graphs
        Both, with their inputs and outputs in pairs.
    options, frame
        How they are run.
    places
        Where to look for the first difference, in the order of the new graph.
    tolerance
        What the root of the mean squared difference of outputs may be, against their spread; only what
        rounding changes if None.

    Raises
    ------
    onnxtop.errors.UsageError
        The data cannot be read, or does not fit the models.
    """
    most = in_percent(_ROUNDING if tolerance is None else tolerance, 6)
    how = "(largest difference), for rounding" if tolerance is None else "(root mean square), the tolerance"
    limit = f"outputs may differ by {most} of their spread {how}"
    empty = PairRun(_source(options), limit)
    old, new = graphs.models
    pairs = _paired(graphs)
    declared = [next(each for each in pair if each is not None) for pair in pairs]
    bounds = _bounds(graphs)
    try:
        shapes = [_common(pair) for pair in pairs]
        wanted = given(
            pairs, shapes, bounds, spans(old) | spans(new), hints(new), frame.input_shapes, frame.dims
        )
        outputs = graphs.outputs
        names = [(outputs.old[a].name, outputs.new[b].name) for a, b in outputs.pairs]
        if not names:
            raise ModelError("they have no output in common")
    except ModelError as error:
        return replace(empty, failure=RunFailure("inputs", str(error)))
    job = replace(
        _job([old, new], wanted, options, frame),
        outputs=tuple(names),
        limit=_ROUNDING if tolerance is None else tolerance,
        rounding=tolerance is None,
        places=tuple(places),
    )
    answer = _asked([old, new], job, frame.seconds)
    return replace(
        empty,
        runs=answer.runs,
        inputs=_inputs(wanted, declared, answer, options),
        outputs=answer.pairs,
        parting=answer.parting,
        failure=answer.failure,
        failed_new=answer.failure is not None and answer.failure.number == 1,
        notes=answer.notes,
    )


def _source(options: RunOptions) -> str:
    return "seeded inputs" if options.samples is None else str(options.samples)


def _inputs(
    wanted: tuple[Given, ...], declared: Sequence[Declared], answer: Answer, options: RunOptions
) -> tuple[RunInput, ...]:
    if not answer.runs:
        return ()
    return tuple(told(wanted, declared, answer.chosen, options.samples is not None))


def _job(models: Sequence[Model], wanted: tuple[Given, ...], options: RunOptions, frame: RunFrame) -> Job:
    folders = tuple(str(folder) for folder in frame.allow_external)
    size = sum(map(_bytes, models))
    memory = _MEMORY * GIB + _TIMES * size
    if options.memory_limit is not None:
        memory = int(options.memory_limit * GIB)
    return Job(
        models=(),
        inputs=wanted,
        draws=options.draws,
        seed=frame.seed,
        memory=memory,
        data=options.samples,
        embed=bool(folders) and any(model.has_files_beside for model in models),
        allow_external=folders,
        limits=asdict(models[0].limits),
    )


def _asked(models: Sequence[Model], job: Job, seconds: float) -> Answer:
    """Have a job done on the files of models; one in memory lies on disk meanwhile, and is not called so."""
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(model.file.on_disk(_embedded(model))) for model in models]
        answer = ask(replace(job, models=tuple(places)), seconds)
    failure = answer.failure
    for model, place in zip(models, places, strict=True):
        if failure is not None and model.file.path is None:
            failure = replace(failure, reason=failure.reason.replace(place, model.file.name))
    return replace(answer, failure=failure)


def _embedded(model: Model) -> bytes | None:
    """Return the bytes of a model in memory with those of the files that it keeps weights in, if any."""
    beside = model.file.path is None and model.has_files_beside
    return completed(model).SerializeToString() if beside else None


def _bytes(model: Model) -> int:
    beside = (each for each in model.tensors.values() if model.files.is_beside(each))
    return model.byte_count + sum(stored_bytes(tensor) or 0 for tensor in beside)


def _chance(model: Model) -> Iterator[str]:
    """Name the nodes that may give something else each time, the first few."""
    names = [f"{node.op} {node_name(node)}" for node in model.nodes if is_random(node)]
    yield from names[:_NAMED]
    if len(names) > _NAMED:
        yield f"and {len(names) - _NAMED} more"


def _by_graph(run: ModelRun, model: Model) -> ModelRun:
    """Judge only what the graph lets an output depend on: by values, not by sizes alone."""
    nodes = [node for node in model.proto.graph.node if op_of(node) not in SIZES]
    reached = {each.name: descendants(nodes, [each.name]) for each in run.inputs}
    outputs = (
        replace(
            each,
            follows=tuple(name for name, names in reached.items() if each.name in names),
            ignores=tuple(name for name in each.ignores if each.name in reached[name]),
        )
        for each in run.outputs
    )
    chance = run.chance if any(each.random for each in run.outputs) else ()
    return replace(run, outputs=tuple(outputs), chance=chance)


def _paired(graphs: Graphs) -> list[tuple[Declared | None, Declared | None]]:
    """Return the inputs of both models in pairs, and those that only one has."""
    ports = graphs.inputs
    theirs = {a: ports.new[b] for a, b in ports.pairs}
    taken = {b for _, b in ports.pairs}
    pairs: list[tuple[Declared | None, Declared | None]] = [
        (each, theirs.get(place)) for place, each in enumerate(ports.old)
    ]
    return [*pairs, *((None, each) for place, each in enumerate(ports.new) if place not in taken)]


def _common(pair: tuple[Declared | None, Declared | None]) -> Shape | None:
    """Return the shape that both models take."""
    old, new = pair
    if old is None or new is None:
        return (old or new).shape  # type: ignore[union-attr]
    shape = agreed(old.shape, new.shape)
    if not fits(old.shape, new.shape):
        raise ModelError(f"input {new.name!r} takes {old} in one and {new} in the other model")
    kinds = [each.dtype.kind if each.dtype is not None else "" for each in pair if each is not None]
    if len({"i" if kind in "iu" else kind for kind in kinds}) > 1 and "V" not in kinds:
        raise ModelError(f"input {new.name!r} takes {old} in one and {new} in the other model")
    return shape


def _bounds(graphs: Graphs) -> dict[str, int]:
    """Return the bounds of inputs of both models, by the first name that each has."""
    old, new = (ranges(model) for model in graphs.models)
    called = {graphs.inputs.new[b].name: graphs.inputs.old[a].name for a, b in graphs.inputs.pairs}
    for name, bound in new.items():
        first = called.get(name, name)
        old[first] = min(old.get(first, bound), bound)
    return old
