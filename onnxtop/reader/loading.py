"""From what is given as a model to the graph of its nodes: opened, parsed, inlined, written out, laid out."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import onnx
from onnx import GraphProto, TensorProto

from onnxtop.errors import named
from onnxtop.options import MOST_DOWNLOAD, asked
from onnxtop.reader.file import parse
from onnxtop.reader.functions.outside import with_constants_outside
from onnxtop.reader.functions.writing import inlined
from onnxtop.reader.fused import write_out
from onnxtop.reader.limits import GIB, UNCHANGED, Limits
from onnxtop.reader.linking import Linker
from onnxtop.reader.model import Model, ModelSource
from onnxtop.reader.model_file import ModelFile, opened
from onnxtop.reader.protos import domain_of, is_constant, nodes_in, parts_of, stored_in
from onnxtop.reader.tensors import TensorFiles, stored_bytes


def load(
    model: ModelSource,
    *,
    allow_external: Iterable[str | Path] = (),
    max_download: float = MOST_DOWNLOAD,
    limits: Mapping[str, float] = UNCHANGED,
) -> Model:
    """Load an ONNX model; one that is loaded already is returned as it is.

    Parameters
    ----------
    model
        Its path or address, its bytes, a binary file object, or a ModelProto.
    allow_external
        Folders beside the model's own from which external weights may be read.
    max_download
        GiB that may be fetched of a model at an address.
    limits
        What it may ask for, by name, where that is not the default of `Limits`.

    Raises
    ------
    LimitError
        It asks for more than a limit allows.
    FormatError
        The file is not an ONNX model, is cut off, or a tensor does not fit its dims.
    ExternalDataError
        External weights are missing, cut off or outside the allowed folders.
    UnreadableError
        The file cannot be read.
    UsageError
        A model can be given as nothing of this kind.
    """
    if isinstance(model, Model):
        return model
    file = opened(model, max_download=max_download, limits=limits)
    with named(file.name):
        return _loaded(file, allow_external, asked(Limits, None, limits))


def file_of(
    model: ModelSource, *, max_download: float = MOST_DOWNLOAD, limits: Mapping[str, float] = UNCHANGED
) -> ModelFile:
    """Return the file of a model: what is given as a file object is read this once."""
    if isinstance(model, Model):
        return model.file
    return opened(model, max_download=max_download, limits=limits)


def _loaded(file: ModelFile, allow_external: Iterable[str | Path], limits: Limits) -> Model:
    files = TensorFiles(file, allow_external, limits)
    proto = inlined(parse(file.content, limits), limits)
    _bring_in(proto.graph, files, limits)
    whole, closed = with_constants_outside(proto)
    written, calls = write_out(whole, limits=limits)
    graph = Linker(written, calls, files, limits).link()
    opset = {opset.domain or "ai.onnx": opset.version for opset in sorted(proto.opset_import, key=_by_domain)}
    return Model(
        file=file,
        proto=proto,
        written=written,
        files=files,
        limits=limits,
        opset=opset,
        closed=closed,
        **graph,
    )


def _bring_in(graph: GraphProto, files: TensorFiles, limits: Limits) -> None:
    """Have ONNX's operations hold the tensors of their attributes themselves: onnx computes with them.

    It would look for them from where the program was started, and not from the model's folder. What Constant
    nodes hold is read like any other constant, and other operations' are not computed with. Many may name the
    same bytes: all together they may be no more than one constant.
    """
    brought = 0
    for node in nodes_in(graph):
        is_computed = not domain_of(node) and not is_constant(node)
        held = (stored for attribute in node.attribute for stored in stored_in(attribute, bodies=False))
        for tensor in (part for stored in held for part in parts_of(stored)):
            if is_computed:
                wanted = stored_bytes(tensor) or 0
                brought += wanted if tensor.data_location == TensorProto.EXTERNAL else 0
                limits.check("constants", max(brought, wanted) / GIB)
                files.bring_in(tensor)
            elif tensor.data_location == TensorProto.EXTERNAL:
                files.check(tensor)


def _by_domain(opset: onnx.OperatorSetIdProto) -> tuple[str, int]:
    return opset.domain.replace("ai.onnx", ""), opset.version
