"""All layers of a model as pieces of work: in this process, its threads, or on a cluster."""

import contextlib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from onnxtop.auditing.layers import BY_POSITION, Measured, Memory, Progress
from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.together import measure_together
from onnxtop.reader.address import is_address
from onnxtop.reader.constants import Constants
from onnxtop.reader.declared import Shape
from onnxtop.reader.layer import Layer
from onnxtop.reader.layers import find_layers
from onnxtop.reader.loading import load
from onnxtop.reader.model import Model
from onnxtop.reader.skeleton import infer_shapes
from onnxtop.reader.tensors import stored_bytes
from onnxtop.reader.terms.constant import SMALL_BYTES
from onnxtop.work.shelf import Shelf
from onnxtop.work.store import store_of
from onnxtop.work.workers import Workers, whole

_PIECE = 2**20
"""Weights from which on layers are a piece of work; smaller ones go together."""
_WEIGHT_MEMORY = 8
"""Bytes of memory that measuring takes for each weight of a layer, itself read and not mapped."""
_NEURON_MEMORY = 160
"""Bytes that a layer leaves behind for each of its neurons: forest, null model and paths."""


@dataclass(frozen=True, eq=False)
class Hashing:
    """Bytes of which a digest will be wanted; who asks for it, ``hash``, has it remembered."""

    byte_count: int
    hash: Callable[[], object]


def measure_layers(
    model: Model,
    layers: Sequence[Layer],
    options: AuditOptions,
    memory: Memory,
    progress: Progress | None,
    scanned: Container[int] = (),
    beside: Sequence[Hashing] = (),
) -> Shelf[Measured]:
    """Measure every layer, reading and decoding its weights once; a worker holds those of one at a time.

    ``scanned`` are the numbers of the layers whose strongest weights are kept; ``progress`` is called after
    each piece of work. A layer that the memory knows is only read. What layers leave behind is on a disk
    where it takes much memory. What is done ``beside`` the layers, where others than this thread work, is
    what is wanted anyway, later.
    """
    pieces = _pieces([layer.parameters for layer in layers])
    sizes = [sum(layers[number].parameters for number in piece) for piece in pieces]
    done = 0

    def tell(number: int, share: float, what: str) -> None:
        nonlocal done
        if share == 1.0 and progress is not None and number < len(pieces):
            done += sizes[number]
            progress(layers[pieces[number][-1]].name, done, sum(sizes))

    measure: Callable[[range], list[Measured]]
    if options.work.scheduler is None or model.file.place is None:
        measure = partial(_measured, layers, _shapes(model, options), options, memory, scanned)
        work = replace(options.work, scheduler=None)
    else:
        known = frozenset(number for number in range(len(layers)) if number in scanned)
        measure = partial(_measured_elsewhere, model.file.place, options, known, memory.series)
        work = options.work
    with Workers(work, threads=True) as pool:
        also = () if pool.alone or work.scheduler is not None else beside
        memories = [*(_WEIGHT_MEMORY * size for size in sizes), *(each.byte_count for each in also)]
        results = pool.map(partial(_done, measure), [*pieces, *also], memories, tell)
        return shelved(layer for piece in whole(results) for layer in piece)


def shelved(layers: Iterable[Measured]) -> Shelf[Measured]:
    """Put what layers left behind where it waits for the others."""
    shelf: Shelf[Measured] = Shelf(Measured)
    for layer in layers:
        shelf.append(layer, _NEURON_MEMORY * (layer.row.n_in + layer.row.n_out))
    return shelf


def hashings(model: Model, *, constants: bool) -> list[Hashing]:
    """Return what is hashed of a model for its report: the file, and if asked for every large constant.

    Nothing of a model at an address, of which every byte is fetched once, by whoever wants it.
    """
    files = model.files
    if model.file.remote is not None:
        return []
    tensors = model.tensors.values() if constants else ()
    large = ((tensor, stored_bytes(tensor) or 0) for tensor in tensors)
    return [
        Hashing(model.byte_count, model.file.sha256),
        *(Hashing(size, partial(files.content, tensor)) for tensor, size in large if size > SMALL_BYTES),
    ]


def _done(measure: Callable[[range], list[Measured]], piece: "range | Hashing") -> list[Measured]:
    if isinstance(piece, range):
        return measure(piece)
    with contextlib.suppress(ValueError):  # a constant that makes no sense: told where it is wanted
        piece.hash()
    return []


def _pieces(sizes: Sequence[int]) -> list[range]:
    """Return layers that are measured together, by their numbers.

    >>> _pieces([10, 2**20, 5, 5, 2**21])
    [range(0, 2), range(2, 5)]
    """
    ends = [0]
    held = 0
    for number, size in enumerate(sizes, start=1):
        held += size
        if held >= _PIECE or number == len(sizes):
            ends.append(number)
            held = 0
    return [range(start, end) for start, end in pairwise(ends)]


def _shapes(model: Model, options: AuditOptions) -> Mapping[str, Shape]:
    """Return the shapes of values where the graphs of convolutions need them."""
    by_position = options.topology and options.conv in BY_POSITION
    return infer_shapes(model, options.input_shapes, options.dims) if by_position else {}


def _measured(
    layers: Sequence[Layer],
    shapes: Mapping[str, Shape],
    options: AuditOptions,
    memory: Memory,
    scanned: Container[int],
    piece: range,
) -> list[Measured]:
    return measure_together(layers, piece, shapes, options, memory, scanned)


def _measured_elsewhere(
    path: str, options: AuditOptions, scanned: Container[int], series: bool, piece: range
) -> list[Measured]:
    """Measure layers where nothing is known of the model but its path or address."""
    key = (path, _version(path), repr(options))
    if key not in _READ:
        _READ.clear()
        model = load(
            path,
            allow_external=options.allow_external,
            max_download=options.max_download,
            limits=options.limits,
        )
        layers = find_layers(model, Constants(model), peepholes=options.peepholes)
        _READ[key] = [each for each in layers if isinstance(each, Layer)], _shapes(model, options)
    memory = Memory(store_of(options.work), series=series)
    return _measured(*_READ[key], options, memory, scanned, piece)


def _version(path: str) -> object:
    if is_address(path):
        from onnxtop.reader.remote import stamp_of  # loads what fetches

        return stamp_of(path)
    found = Path(path).stat()
    return found.st_size, found.st_mtime_ns


_READ: dict[tuple[object, ...], tuple[Sequence[Layer], Mapping[str, Shape]]] = {}
"""The layers of the model that was read last, for all pieces of it."""
