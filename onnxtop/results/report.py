"""The result of an audit: frozen dataclasses that mirror the JSON report key by key.

A figure that is not defined is None, and a ``reason`` stands beside it. ``Report.to_dict`` gives plain
JSON values (floats with 12 significant digits, None for whatever is not finite); ``Report.from_dict`` reads
them back.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from onnxtop._version import __version__
from onnxtop.errors import UsageError
from onnxtop.reader.terms.facts import Function
from onnxtop.results.details import LayerDetails
from onnxtop.results.graph import LayerGraph
from onnxtop.results.plain import IF_THERE, built, plain
from onnxtop.results.run import ModelRun
from onnxtop.shown import Shown, Tabular
from onnxtop.statistics.facts import Exchangeability, LayerStatistics
from onnxtop.topology.facts import LayerRole, Place

NOT_ASKED = "topology was not asked for"
"""The reason of every figure of layers that were only read."""

NP, NP_MEAN, DGP, Z = "np", "np/mean", "dgp", "z"
"""Names of metrics, the same in every logger: ``np/<layer>`` and ``z/<layer>`` beside the network's."""

LOOKS_UNTRAINED = "OT208"
"""The rule that says of a whole network that it was never trained."""

SCALE_OF_ZERO = "a scale of zero"
"""What is wrong with the constant of a quantiser that makes all codes alike, or decodes all to nothing."""

IGNORED, NOT_SELECTED, SWITCHED_OFF = "ignored", "not selected", "switched off"
"""Reasons why a rule did not run that are choices of whoever asked."""

SCHEMA_VERSION = "2.0"
"""Version of the shape of all JSON: the first number changes when a key changes its meaning or goes."""


@dataclass(frozen=True)
class ToolInfo:
    """What made the report; figures of two reports compare only if their ``algorithms`` are equal."""

    name: str
    version: str
    algorithms: Mapping[str, int]


def this_tool(algorithms: Mapping[str, int] | None = None) -> ToolInfo:
    """Return this version of onnxtop, with those of the measures that it took."""
    return ToolInfo("onnxtop", __version__, algorithms or {})


@dataclass(frozen=True)
class ModelInfo:
    """The file.

    ``sha256`` is None where only the outline of a model at an address was fetched. ``parameters`` counts
    weights (analysed or not), biases and normalisation parameters. ``complaint`` is
    what ONNX's own checker has against the model, None if it is content. ``function`` says what it computes,
    None where layers were only read.
    """

    path: str
    sha256: str | None
    bytes: int
    producer: str
    ir_version: int
    opset: Mapping[str, int]
    parameters: int
    complaint: str | None = None
    function: Function | None = None


@dataclass(frozen=True)
class Settings:
    """Everything that the figures depend on beside the file.

    ``scale`` is "global", "layer" or a number; ``p`` may be "inf"; ``layers`` is the pattern that chose the
    rows shown; without ``topology`` the layers were only read. In deep graph persistence weights are
    standardised layer by layer with ``standardise``, and paths divided by the strongest with ``rescale``.
    """

    convention: str
    scale: str | float
    p: float | str
    bias: str
    conv: str
    topology: bool = True
    structure: bool = True
    peepholes: bool = False
    count_fixed: bool = False
    sortedness: bool = False
    standardise: bool = True
    rescale: bool = True
    skips: str = "keep"
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    layers: str | None = None
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SkippedWeight:
    """A weight tensor that was not analysed, and why; ``parameters`` are its elements."""

    name: str
    op_type: str
    reason: str
    parameters: int


@dataclass(frozen=True)
class Coverage:
    """Where every element of every constant of the file went.

    ``parameters_total`` are the elements of weight tensors, analysed plus skipped; the four groups after
    ``fraction`` are counted apart, ``other_kinds`` by what uses them. ``constants`` are all elements, which
    the total and the four groups add up to. ``fraction`` is None without weights.
    """

    parameters_total: int
    parameters_analysed: int
    fraction: float | None
    biases: int
    normalisation: int
    other_constants: int
    unused: int
    constants: int
    other_kinds: Mapping[str, int] = field(default_factory=dict)
    skipped: tuple[SkippedWeight, ...] = ()


@dataclass(frozen=True)
class BadConstant:
    """A constant beside the weights with which a model computes nothing useful.

    ``role`` is its bin in the coverage, ``node`` takes it, ``layer`` is that of the node or the nearest one
    before it; ``count`` entries have the ``problem``.
    """

    name: str
    role: str
    op_type: str
    node: str
    layer: str | None
    problem: str
    count: int


@dataclass(frozen=True)
class NetworkPersistence:
    """Mean of the layers' normalized neural persistence, sum of their totals, and the scale used.

    ``scale`` is the largest |w| of the network where every layer is measured against it, else None; then
    ``largest`` says which weight that is.
    """

    mean_normalized: float | None
    total: float | None
    scale: float | None = None
    largest: Place | None = None
    reason: str | None = None


@dataclass(frozen=True)
class SkipsCut:
    """Deep graph persistence with the identity branches of residual joins cut."""

    total: float | None = None
    normalized: float | None = None


@dataclass(frozen=True)
class DeepGraphPersistence:
    """Deep graph persistence of the whole network.

    ``skips_cut`` is the figure with the identity branches of residual sums cut. ``saturated`` is the share of
    bars as strong as the strongest. ``connectivity`` is "exact", or "conservative" and what made it so;
    ``notes`` say what was read in a way that should be known. ``diagram`` has a point for every bar; no file
    holds it.
    """

    total: float | None = None
    normalized: float | None = None
    skips_cut: SkipsCut = SkipsCut()
    inputs: int | None = None
    outputs: int | None = None
    saturated: float | None = None
    connectivity: str | None = None
    notes: tuple[str, ...] = ()
    reason: str | None = None
    diagram: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Connectivity:
    """What is cut off in the graph of the network; ``reason`` says why it is not known, where it is not.

    ``unreachable`` names the layers on no way from an input to an output, ``inputs`` the inputs from which no
    output can be reached, ``outputs`` the outputs that no input reaches, ``dead`` tells whether none reaches
    any. ``doubt`` says which assumed sizes the graph rests on, if these may be wrong.
    """

    unreachable: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    dead: bool = False
    doubt: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Network:
    """Figures of the network as a whole.

    ``variance`` is that of |w| divided by the largest, over all weights of the layers that count in the mean;
    None in a quick report. ``moved`` names a parameter of normalisation whose entries differ, which they do
    not before training.
    """

    neural_persistence: NetworkPersistence
    deep_graph_persistence: DeepGraphPersistence = DeepGraphPersistence()
    connectivity: Connectivity | None = None
    variance: float | None = None
    moved: str | None = None


@dataclass(frozen=True)
class LayerPersistence:
    """Neural persistence of one layer, and what the same weights give in random places.

    ``null_mean`` and ``null_std`` are those of random arrangements, ``excess`` is how far ``normalized`` is
    above the mean, ``z`` the same in standard deviations: whether there is an effect; ``excess_share`` the
    same as a share of ``normalized``: how large it is. ``diagram`` has a point for every
    bar, and which weight ended it; no file holds it.
    """

    total: float | None
    normalized: float | None
    null_mean: float | None = None
    null_std: float | None = None
    z: float | None = None
    excess: float | None = None
    excess_share: float | None = None
    reason: str | None = None
    diagram: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, repr=False)
class LayerReport(Shown):
    """One weighted layer.

    ``n_in`` and ``n_out`` count the neurons of the graph that was measured (a convolution has one graph for
    each value of the setting ``conv``); ``shape`` is the stored weight tensor's. ``uses`` names the nodes
    that apply the weight. ``copy_of`` names an earlier layer that holds the same weights, transposed or not;
    ``probably_fixed`` says why the weights were probably not trained. Both kinds are left out of the
    network's figures; so is a layer with a reason why it stands ``apart``, which is measured by itself, with
    its own largest |w| as the scale. ``largest`` is the largest |w|, None if the layer is not finite or not
    measured; ``variance`` is that of |w| divided by the scale of the figures. ``sortedness`` is Kendall's tau
    of |w|, rows and columns sorted by their means; None unless it was asked for, and where all are equal.
    ``source`` is the line of the source that the exporter noted, ``net.py:45``; ``details`` are there only if
    they were asked for.
    """

    name: str
    op_type: str
    weight: str
    encoding: str
    shape: tuple[int, ...]
    n_in: int
    n_out: int
    parameters: int
    uses: tuple[str, ...]
    neural_persistence: LayerPersistence
    deep_graph_persistence: LayerRole | None = None
    copy_of: str | None = None
    probably_fixed: str | None = None
    apart: str | None = None
    largest: float | None = None
    nonfinite: int = 0
    variance: float | None = None
    sortedness: float | None = None
    exchangeability: Exchangeability | None = None
    statistics: LayerStatistics | None = None
    reason: str | None = None
    source: str | None = None
    details: LayerDetails | None = field(default=None, metadata=IF_THERE)


@dataclass(frozen=True)
class Finding:
    """Something an engineer acts on; ``severity`` is "error", "warning" or "note".

    A ``known`` finding is in the baseline already: it fails nothing.
    """

    rule: str
    severity: str
    layer: str | None
    message: str
    fingerprint: str
    known: bool = False

    @staticmethod
    def fingerprint_of(rule: str, layer: str | None, shape: tuple[int, ...]) -> str:
        """Identify a finding by rule, layer name and shape, never by position (16 hex digits)."""
        key = f"{rule}\0{layer or ''}\0{'x'.join(map(str, shape))}"
        return hashlib.sha256(key.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class NotRun:
    """A rule that did not run, by its code, and why."""

    rule: str
    reason: str


@dataclass(frozen=True)
class RulesRun:
    """The codes of the rules that ran, and the rules that did not."""

    run: tuple[str, ...] = ()
    not_run: tuple[NotRun, ...] = ()


@dataclass(frozen=True, repr=False)
class Report(Tabular):
    """Everything found in one model.

    ``run`` is there only if the model was run by itself, ``loss_probe`` and ``loss_landscape`` only if it was
    run on data: plain values, as `onnxtop probe` and `onnxtop loss-barcode` write them; ``graph`` only with
    details.
    """

    tool: ToolInfo
    model: ModelInfo
    settings: Settings
    coverage: Coverage
    network: Network
    layers: tuple[LayerReport, ...]
    constants: tuple[BadConstant, ...] = ()
    findings: tuple[Finding, ...] = ()
    rules: RulesRun = RulesRun()
    run: ModelRun | None = field(default=None, metadata=IF_THERE)
    loss_probe: Mapping[str, Any] | None = field(default=None, metadata=IF_THERE)
    loss_landscape: Mapping[str, Any] | None = field(default=None, metadata=IF_THERE)
    graph: LayerGraph | None = field(default=None, metadata=IF_THERE)

    @cached_property
    def by_name(self) -> Mapping[str, LayerReport]:
        """The layers by name."""
        return {layer.name: layer for layer in self.layers}

    @property
    def without_details(self) -> "Report":
        """The same report as if no details had been asked for."""
        layers = tuple(replace(layer, details=None) for layer in self.layers)
        return replace(self, layers=layers, graph=None)

    @property
    def has_convolutions(self) -> bool:
        """Whether a layer is one, whatever the dialect calls it."""
        return any("Conv" in layer.op_type for layer in self.layers)

    def metrics(self) -> dict[str, float]:
        """Return the figures that loggers draw over time, by name; what is not defined is left out.

        ``np/mean`` and ``dgp`` are the network's normalized neural persistence and deep graph persistence,
        ``np/<layer>`` and ``z/<layer>`` a layer's normalized neural persistence and how far that is from
        chance. The network's stand last, and in the place of a layer called mean.
        """
        layers = [(layer.name, layer.neural_persistence) for layer in self.layers]
        values = {f"{NP}/{name}": figures.normalized for name, figures in layers}
        values |= {f"{Z}/{name}": figures.z for name, figures in layers}
        values |= {
            NP_MEAN: self.network.neural_persistence.mean_normalized,
            DGP: self.network.deep_graph_persistence.normalized,
        }
        return {name: value for name, value in values.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, keys in the order of the fields.

        Floats are rounded to 12 significant digits; NaN and infinity become None.
        """
        values: dict[str, Any] = plain(self)
        return values

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Report":
        """Read back what ``to_dict`` gave.

        Raises
        ------
        UsageError
            The data is not a report of this version.
        """
        try:
            report: Report = built(cls, data)
        except (KeyError, TypeError, ValueError) as error:
            what = f"there is no {error}" if isinstance(error, KeyError) else error
            raise UsageError(
                f"this is not a whole report of schema version {SCHEMA_VERSION}: {what}; make it anew"
            ) from None
        return report
