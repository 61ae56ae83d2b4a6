"""onnxtop: the topology of neural networks in ONNX files.

Public names are fetched on first use, so that ``import onnxtop`` loads none of the libraries behind them.
That a name is imported ``as`` itself tells type checkers that it is public. Everything that a public function
returns is public, down to the last field.

>>> import numpy as np
>>> import onnxtop
>>> round(onnxtop.layer_persistence(np.eye(3)).normalized, 4)
0.7746
"""

import importlib
from functools import partial
from typing import TYPE_CHECKING, Any

from onnxtop import shown as _shown
from onnxtop._version import __version__ as __version__

if TYPE_CHECKING:
    from onnxtop import plot as plot, testing as testing
    from onnxtop.auditing.matrices import (
        exchangeability as exchangeability,
        initialiser_match as initialiser_match,
        null_model as null_model,
    )
    from onnxtop.auditing.options import AuditOptions as AuditOptions
    from onnxtop.auditing.story import audit as audit
    from onnxtop.comparison.gate import check as check
    from onnxtop.comparison.options import DiffOptions as DiffOptions, GateOptions as GateOptions
    from onnxtop.comparison.story import diff as diff
    from onnxtop.errors import (
        DeniedError as DeniedError,
        ExternalDataError as ExternalDataError,
        FolderError as FolderError,
        FormatError as FormatError,
        LimitError as LimitError,
        MissingError as MissingError,
        MissingExternalDataError as MissingExternalDataError,
        MissingInputError as MissingInputError,
        MissingLibraryError as MissingLibraryError,
        ModelError as ModelError,
        NoProcessError as NoProcessError,
        NothingToAnalyseError as NothingToAnalyseError,
        OnnxtopError as OnnxtopError,
        UnreadableError as UnreadableError,
        UsageError as UsageError,
    )
    from onnxtop.execution.options import RunOptions as RunOptions
    from onnxtop.landscape.alignment import Charge as Charge, Member as Member, UnitGroup as UnitGroup
    from onnxtop.landscape.function import function_barcode as function_barcode
    from onnxtop.landscape.options import (
        BarcodeOptions as BarcodeOptions,
        Budget as Budget,
        PathOptions as PathOptions,
        Training as Training,
    )
    from onnxtop.landscape.paths import LossPath as LossPath, Saddle as Saddle, find_path as find_path
    from onnxtop.landscape.polish import Certificate as Certificate, polish as polish
    from onnxtop.landscape.saddle import refine_path as refine_path
    from onnxtop.landscape.story import loss_barcode as loss_barcode
    from onnxtop.landscape.symmetry import Symmetries as Symmetries, symmetries as symmetries
    from onnxtop.loss.directions import Profile as Profile, Surface as Surface
    from onnxtop.loss.options import (
        LossOptions as LossOptions,
        Pixels as Pixels,
        ProbeOptions as ProbeOptions,
    )
    from onnxtop.loss.parameters import Parameter as Parameter
    from onnxtop.loss.probe import Probe as Probe
    from onnxtop.loss.scores import ClassScore as ClassScore, Scores as Scores
    from onnxtop.loss.summary import (
        LayerGradient as LayerGradient,
        LossProbeResult as LossProbeResult,
        Sharpness as Sharpness,
        ShortDescent as ShortDescent,
        Split as Split,
        probe as probe,
    )
    from onnxtop.network import Kernel as Kernel, RawCodes as RawCodes
    from onnxtop.reader.encoding import Encoding as Encoding
    from onnxtop.reader.layer import Layer as Layer, Skipped as Skipped
    from onnxtop.reader.layers import matrices as matrices, read_layers as read_layers
    from onnxtop.reader.terms.facts import Function as Function, Port as Port
    from onnxtop.results.check import Check as Check
    from onnxtop.results.details import LayerDetails as LayerDetails, StrongWeight as StrongWeight
    from onnxtop.results.diff import (
        Change as Change,
        Diff as Diff,
        DiffSettings as DiffSettings,
        Figure as Figure,
        LayerDiff as LayerDiff,
        NetworkDiff as NetworkDiff,
        Unmatched as Unmatched,
        Verdict as Verdict,
        WeightChange as WeightChange,
        WholeDiff as WholeDiff,
    )
    from onnxtop.results.envelope import read_envelope as read_envelope
    from onnxtop.results.graph import GraphNode as GraphNode, LayerGraph as LayerGraph
    from onnxtop.results.landscape import (
        LossLandscape as LossLandscape,
        Minimum as Minimum,
        Pass as Pass,
        Score as Score,
        Top as Top,
    )
    from onnxtop.results.outcome import FailedModel as FailedModel, Outcome as Outcome
    from onnxtop.results.report import (
        BadConstant as BadConstant,
        Connectivity as Connectivity,
        Coverage as Coverage,
        DeepGraphPersistence as DeepGraphPersistence,
        Finding as Finding,
        LayerPersistence as LayerPersistence,
        LayerReport as LayerReport,
        ModelInfo as ModelInfo,
        Network as Network,
        NetworkPersistence as NetworkPersistence,
        NotRun as NotRun,
        Report as Report,
        RulesRun as RulesRun,
        Settings as Settings,
        SkippedWeight as SkippedWeight,
        SkipsCut as SkipsCut,
        ToolInfo as ToolInfo,
    )
    from onnxtop.results.run import (
        ModelRun as ModelRun,
        PairOutput as PairOutput,
        PairRun as PairRun,
        Parting as Parting,
        RunFailure as RunFailure,
        RunInput as RunInput,
        RunOutput as RunOutput,
    )
    from onnxtop.results.trace import (
        Checkpoint as Checkpoint,
        Cost as Cost,
        Course as Course,
        Event as Event,
        LayerStep as LayerStep,
        OnData as OnData,
        Stopping as Stopping,
        Trace as Trace,
        TraceVerdict as TraceVerdict,
    )
    from onnxtop.statistics.facts import (
        Codes as Codes,
        Exchangeability as Exchangeability,
        Histogram as Histogram,
        LayerStatistics as LayerStatistics,
        Units as Units,
    )
    from onnxtop.statistics.initialisers import InitialiserMatch as InitialiserMatch
    from onnxtop.topology.barcode import (
        Barcode as Barcode,
        merge_tree_barcode as merge_tree_barcode,
        point_cloud_barcode as point_cloud_barcode,
    )
    from onnxtop.topology.deep_graph_persistence import (
        DeepPersistence as DeepPersistence,
        deep_graph_persistence as deep_graph_persistence,
    )
    from onnxtop.topology.facts import LayerRole as LayerRole, Place as Place
    from onnxtop.topology.neural_persistence import (
        MatrixPersistence as MatrixPersistence,
        NeuralPersistence as NeuralPersistence,
        layer_persistence as layer_persistence,
        neural_persistence as neural_persistence,
    )
    from onnxtop.topology.null_model import NullFigures as NullFigures
    from onnxtop.topology.persistence import Diagram as Diagram
    from onnxtop.topology.spread import network_variance as network_variance, sortedness as sortedness
    from onnxtop.tracing.live import NeuralPersistenceStopping as NeuralPersistenceStopping
    from onnxtop.tracing.options import TraceOptions as TraceOptions
    from onnxtop.tracing.stopping import StoppingOptions as StoppingOptions, StoppingRule as StoppingRule
    from onnxtop.tracing.story import trace as trace
    from onnxtop.work.options import WorkOptions as WorkOptions

_PUBLIC = {
    "auditing.matrices": "exchangeability initialiser_match null_model",
    "auditing.options": "AuditOptions",
    "auditing.story": "audit",
    "comparison.gate": "check",
    "comparison.options": "DiffOptions GateOptions",
    "comparison.story": "diff",
    "errors": (
        "DeniedError ExternalDataError FolderError FormatError LimitError MissingError "
        "MissingExternalDataError MissingInputError MissingLibraryError ModelError NoProcessError "
        "NothingToAnalyseError OnnxtopError UnreadableError UsageError"
    ),
    "execution.options": "RunOptions",
    "landscape.alignment": "Charge Member UnitGroup",
    "landscape.function": "function_barcode",
    "landscape.options": "BarcodeOptions Budget PathOptions Training",
    "landscape.paths": "LossPath Saddle find_path",
    "landscape.polish": "Certificate polish",
    "landscape.saddle": "refine_path",
    "landscape.story": "loss_barcode",
    "landscape.symmetry": "Symmetries symmetries",
    "loss.directions": "Profile Surface",
    "loss.options": "LossOptions Pixels ProbeOptions",
    "loss.parameters": "Parameter",
    "loss.probe": "Probe",
    "loss.scores": "ClassScore Scores",
    "loss.summary": "LayerGradient LossProbeResult Sharpness ShortDescent Split probe",
    "network": "Kernel RawCodes",
    "reader.encoding": "Encoding",
    "reader.layer": "Layer Skipped",
    "reader.layers": "matrices read_layers",
    "results.check": "Check",
    "results.diff": (
        "Change Diff DiffSettings Figure LayerDiff NetworkDiff Unmatched Verdict WeightChange WholeDiff"
    ),
    "results.envelope": "read_envelope",
    "results.details": "LayerDetails StrongWeight",
    "reader.terms.facts": "Function Port",
    "results.graph": "GraphNode LayerGraph",
    "results.landscape": "LossLandscape Minimum Pass Score Top",
    "results.outcome": "FailedModel Outcome",
    "results.report": (
        "BadConstant Connectivity Coverage DeepGraphPersistence Finding LayerPersistence LayerReport "
        "ModelInfo Network NetworkPersistence NotRun Report RulesRun Settings SkippedWeight SkipsCut "
        "ToolInfo"
    ),
    "results.run": "ModelRun PairOutput PairRun Parting RunFailure RunInput RunOutput",
    "results.trace": "Checkpoint Cost Course Event LayerStep OnData Stopping Trace TraceVerdict",
    "statistics.facts": "Codes Exchangeability Histogram LayerStatistics Units",
    "statistics.initialisers": "InitialiserMatch",
    "topology.barcode": "Barcode merge_tree_barcode point_cloud_barcode",
    "topology.deep_graph_persistence": "DeepPersistence deep_graph_persistence",
    "topology.facts": "LayerRole Place",
    "topology.neural_persistence": "MatrixPersistence NeuralPersistence layer_persistence neural_persistence",
    "topology.null_model": "NullFigures",
    "topology.persistence": "Diagram",
    "topology.spread": "network_variance sortedness",
    "tracing.live": "NeuralPersistenceStopping",
    "tracing.options": "TraceOptions",
    "tracing.stopping": "StoppingOptions StoppingRule",
    "tracing.story": "trace",
    "work.options": "WorkOptions",
}
"""Public names by the module that has them."""

_HOME = {name: f"onnxtop.{home}" for home, names in _PUBLIC.items() for name in names.split()}

_MODULES = ("plot", "testing")
"""Modules that are public as such."""

__all__ = [*_HOME, "__version__"]


_shown.painter = partial(importlib.import_module, "onnxtop.render.shown")


if not TYPE_CHECKING:  # type checkers would take any name to be there

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return importlib.import_module(f"onnxtop.{name}")
        if name not in _HOME:
            raise AttributeError(f"module 'onnxtop' has no attribute {name!r}")
        value = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
