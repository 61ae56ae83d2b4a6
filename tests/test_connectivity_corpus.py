"""The network graph of every real model, against onnxruntime: ``pytest -m corpus --corpus DIR``."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    NotImplemented,
    RuntimeException,
)

from onnxtop.errors import ModelError
from onnxtop.reader.connectivity import Connected
from tests.connectivity_truth import check_truth, connected

_NO_RUN = (Fail, InvalidArgument, InvalidGraph, NotImplemented, RuntimeException, KeyError)
"""What onnxruntime raises for operations that it lacks, or for feeds that a model was not made for."""


def check_graph(found: Connected) -> None:
    """Hold a network graph against its own promises."""
    graph = found.graph
    firsts = [run.first for run in found.vertices]
    ends = [run.first + run.count for run in found.vertices]
    assert [*firsts, graph.n_vertices] == [0, *ends]
    for ids in (graph.inputs, graph.outputs, graph.structural.ravel(), graph.skips.ravel()):
        assert ids.size == 0 or (ids.min() >= 0 and ids.max() < graph.n_vertices)
    assert len(np.unique(graph.inputs)) == len(graph.inputs)
    assert len(np.unique(graph.outputs)) == len(graph.outputs)
    edges = set(map(tuple, graph.structural.tolist()))
    assert {tuple(pair) for pair in graph.skips.tolist()} <= edges
    for block in graph.blocks:
        assert block.rows.min() >= -1
        assert block.columns.min() >= 0
        assert max(block.rows.max(), block.columns.max()) < graph.n_vertices
    assert found.exact == (not found.hubs)


@pytest.mark.corpus
def test_a_real_model(corpus_model: Path) -> None:
    try:
        found = connected(corpus_model)
    except ModelError:
        return
    check_graph(found)
    sizes = {
        layer: [matrix.shape for matrix in found.graph.layers[layer].read()]
        for layer in {block.layer for block in found.graph.blocks}
    }
    for block in found.graph.blocks:
        assert sizes[block.layer][block.matrix] == (len(block.rows), len(block.columns))


@pytest.mark.corpus
def test_what_changes_is_reachable(corpus_model: Path) -> None:
    try:
        scales = any(node.op_type == "DynamicQuantizeLinear" for node in onnx.load(corpus_model).graph.node)
        if not scales:  # a scale that is taken from a whole tensor moves everything a little
            check_truth(corpus_model, probes=3)
    except (ModelError, *_NO_RUN):
        return
