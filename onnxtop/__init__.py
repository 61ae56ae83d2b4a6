"""onnxtop: the topology of neural networks in ONNX files.

Public names are fetched on first use, so that ``import onnxtop`` loads none of the libraries behind them.
That a name is imported ``as`` itself tells type checkers that it is public.

>>> import numpy as np
>>> import onnxtop
>>> round(onnxtop.layer_persistence(np.eye(3)).normalized, 4)
0.7746
"""

import importlib
from typing import TYPE_CHECKING, Any

from onnxtop._version import __version__ as __version__

if TYPE_CHECKING:
    from onnxtop.auditing.matrices import (
        exchangeability as exchangeability,
        initialiser_match as initialiser_match,
        null_model as null_model,
    )
    from onnxtop.auditing.options import AuditOptions as AuditOptions
    from onnxtop.auditing.story import audit as audit
    from onnxtop.comparison.options import CompareOptions as CompareOptions
    from onnxtop.comparison.story import compare as compare
    from onnxtop.errors import (
        ExternalDataError as ExternalDataError,
        FormatError as FormatError,
        ModelError as ModelError,
        NothingToAnalyseError as NothingToAnalyseError,
        OnnxtopError as OnnxtopError,
        UsageError as UsageError,
    )
    from onnxtop.execution.options import RunOptions as RunOptions
    from onnxtop.landscape.function import function_barcode as function_barcode
    from onnxtop.landscape.options import PathOptions as PathOptions
    from onnxtop.landscape.paths import LossPath as LossPath, Saddle as Saddle, find_path as find_path
    from onnxtop.landscape.polish import Certificate as Certificate, polish as polish
    from onnxtop.landscape.saddle import refine_path as refine_path
    from onnxtop.landscape.story import loss_barcode as loss_barcode
    from onnxtop.landscape.symmetry import Symmetries as Symmetries, symmetries as symmetries
    from onnxtop.loss.probe import Probe as Probe
    from onnxtop.reader.layer import Layer as Layer, Skipped as Skipped
    from onnxtop.reader.layers import read_layers as read_layers
    from onnxtop.results.diff import Diff as Diff
    from onnxtop.results.envelope import read_envelope as read_envelope
    from onnxtop.results.report import Report as Report
    from onnxtop.results.trace import Trace as Trace
    from onnxtop.topology.barcode import (
        merge_tree_barcode as merge_tree_barcode,
        point_cloud_barcode as point_cloud_barcode,
    )
    from onnxtop.topology.deep_graph_persistence import deep_graph_persistence as deep_graph_persistence
    from onnxtop.topology.neural_persistence import (
        layer_persistence as layer_persistence,
        neural_persistence as neural_persistence,
    )
    from onnxtop.topology.spread import network_variance as network_variance, sortedness as sortedness
    from onnxtop.tracing.live import NeuralPersistenceStopping as NeuralPersistenceStopping
    from onnxtop.tracing.options import TraceOptions as TraceOptions
    from onnxtop.tracing.story import trace as trace

_HOME = {
    "AuditOptions": "onnxtop.auditing.options",
    "Certificate": "onnxtop.landscape.polish",
    "CompareOptions": "onnxtop.comparison.options",
    "Diff": "onnxtop.results.diff",
    "ExternalDataError": "onnxtop.errors",
    "FormatError": "onnxtop.errors",
    "Layer": "onnxtop.reader.layer",
    "LossPath": "onnxtop.landscape.paths",
    "ModelError": "onnxtop.errors",
    "NeuralPersistenceStopping": "onnxtop.tracing.live",
    "NothingToAnalyseError": "onnxtop.errors",
    "OnnxtopError": "onnxtop.errors",
    "PathOptions": "onnxtop.landscape.options",
    "Probe": "onnxtop.loss.probe",
    "Report": "onnxtop.results.report",
    "RunOptions": "onnxtop.execution.options",
    "Saddle": "onnxtop.landscape.paths",
    "Skipped": "onnxtop.reader.layer",
    "Trace": "onnxtop.results.trace",
    "TraceOptions": "onnxtop.tracing.options",
    "Symmetries": "onnxtop.landscape.symmetry",
    "UsageError": "onnxtop.errors",
    "audit": "onnxtop.auditing.story",
    "compare": "onnxtop.comparison.story",
    "deep_graph_persistence": "onnxtop.topology.deep_graph_persistence",
    "exchangeability": "onnxtop.auditing.matrices",
    "initialiser_match": "onnxtop.auditing.matrices",
    "function_barcode": "onnxtop.landscape.function",
    "find_path": "onnxtop.landscape.paths",
    "layer_persistence": "onnxtop.topology.neural_persistence",
    "loss_barcode": "onnxtop.landscape.story",
    "merge_tree_barcode": "onnxtop.topology.barcode",
    "network_variance": "onnxtop.topology.spread",
    "neural_persistence": "onnxtop.topology.neural_persistence",
    "null_model": "onnxtop.auditing.matrices",
    "point_cloud_barcode": "onnxtop.topology.barcode",
    "polish": "onnxtop.landscape.polish",
    "read_envelope": "onnxtop.results.envelope",
    "read_layers": "onnxtop.reader.layers",
    "sortedness": "onnxtop.topology.spread",
    "trace": "onnxtop.tracing.story",
    "refine_path": "onnxtop.landscape.saddle",
    "symmetries": "onnxtop.landscape.symmetry",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "plot":
        return importlib.import_module("onnxtop.plot")
    if name not in _HOME:
        raise AttributeError(f"module 'onnxtop' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
