"""The graph of all neurons as one ``.npz`` file of plain arrays; ``docs/graph.md`` describes it.

The same graph gives the same bytes: members are stored as they are, in a fixed order, with a fixed date.
"""

import json
import zipfile
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxtop.network import NetworkGraph
from onnxtop.reader.connectivity import Connected

_VERSION = 1
_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


def write(stream: IO[bytes], connected: Connected) -> None:
    """Write the network graph, holding one layer's weights at a time."""
    graph = connected.graph
    with zipfile.ZipFile(stream, "w") as archive:
        _member(archive, "about", np.array(_about(connected)))
        for name in ("inputs", "outputs", "structural", "skips"):
            _member(archive, name, _integers(getattr(graph, name)))
        for name, values in _blocks(graph):
            _member(archive, name, values)
        shapes = []
        for number, layer in _used(graph):
            matrices = layer.read()
            _member(archive, f"weights_{number}", np.concatenate([np.ravel(each) for each in matrices]))
            shapes += [(number, *each.shape) for each in matrices]
        _member(archive, "matrices", _integers(np.array(shapes).reshape(-1, 3)))


def _about(connected: Connected) -> bytes:
    graph = connected.graph
    facts = {
        "format": "onnxtop network graph",
        "version": _VERSION,
        "n_vertices": graph.n_vertices,
        "connectivity": "exact" if connected.exact else "conservative",
        "hubs": connected.hubs,
        "notes": connected.notes,
        "vertices": [[run.first, run.count, run.kind, run.name] for run in connected.vertices],
        "layers": [layer.name for layer in graph.layers],
    }
    return json.dumps(facts).encode("ascii")


def _used(graph: NetworkGraph) -> list[tuple[int, Any]]:
    return [(number, graph.layers[number]) for number in sorted({block.layer for block in graph.blocks})]


def _blocks(graph: NetworkGraph) -> Iterator[tuple[str, NDArray[Any]]]:
    """Give the table of blocks, and the ids of their rows and columns one block after the other."""
    sizes = [(block.layer, block.matrix, len(block.rows), len(block.columns)) for block in graph.blocks]
    yield "blocks", _integers(np.array(sizes).reshape(-1, 4))
    yield "rows", _joined([block.rows for block in graph.blocks])
    yield "columns", _joined([block.columns for block in graph.blocks])


def _joined(parts: Sequence[NDArray[np.intp]]) -> NDArray[Any]:
    return _integers(np.concatenate(parts) if parts else [])


def _integers(values: ArrayLike) -> NDArray[Any]:
    return np.asarray(values).astype("<i8")


def _member(archive: zipfile.ZipFile, name: str, values: NDArray[Any]) -> None:
    info = zipfile.ZipInfo(f"{name}.npy", _DATE)
    info.create_system = _UNIX
    info.external_attr = 0o644 << 16
    with archive.open(info, "w", force_zip64=True) as member:
        np.lib.format.write_array(member, values, allow_pickle=False)
