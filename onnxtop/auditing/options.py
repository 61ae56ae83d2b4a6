"""What to measure and how: the options of an audit, checked before any work."""

import math
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Literal

from onnxtop.execution.options import RunOptions
from onnxtop.options import (
    MOST_DOWNLOAD,
    AllowExternal,
    Checked,
    Digesting,
    Dims,
    InputShapes,
    MaxDownload,
    Option,
    Peepholes,
    Seed,
)
from onnxtop.reader.limits import LimitValues
from onnxtop.work.options import WorkOptions

if TYPE_CHECKING:
    from onnxtop.results.report import Settings


@dataclass(frozen=True)
class AuditOptions(Checked):
    """What to measure and how.

    Each option says below what it is. ``onnxtop report --help`` shows the same, but for three: without
    ``topology`` the layers are only read, and every figure is None; ``digests`` of the "outline" leave out
    the weights, those of the "whole" hash them all, for a baseline, and "normal" adds one of the whole in one
    normal form; without ``diagrams`` those are not kept once they are measured.

    Notes
    -----
    The essential class of a diagram is the point (1, 0), which the papers' code counts; ``tree`` does not.
    With ``skips`` cut, the identity branches of residual networks are left out; both totals are reported, the
    option chooses the figures of the layers. ``input_shapes`` and ``dims`` matter where a convolution is
    ``unrolled`` or measured ``per-filter``, and where they decide how neurons are joined. An output may be
    any value of the model.
    Nothing of a model is run without ``data`` or ``running``; the minima are trained from fresh weights.
    """

    convention: Annotated[
        Literal["essential", "tree"],
        Option("Count the essential class of the diagram, or the spanning tree alone.", in_file=True),
    ] = "essential"
    scale: Annotated[
        Literal["global", "layer"] | float,
        Option(
            "Divide weights by the largest of the network, of each layer, or by a number.",
            metavar="global|layer|NUMBER",
            in_file=True,
        ),
    ] = "global"
    p: Annotated[
        float,
        Option("Order of the norm that sums up a diagram.", metavar="NUMBER|inf", endless=True, in_file=True),
    ] = 2.0
    bias: Annotated[
        Literal["none", "row"], Option("Leave biases out, or add them as one more input.", in_file=True)
    ] = "none"
    conv: Annotated[
        Literal["flattened", "channels", "unrolled", "per-filter"],
        Option("Which graph a convolution is, or which graphs.", in_file=True),
    ] = "flattened"
    layers: Annotated[
        str | None,
        Option(
            "Show only layers whose name it finds; figures of the network stay those of all.",
            metavar="REGEX",
            form="pattern",
        ),
    ] = None
    input_shapes: InputShapes = field(default_factory=dict)
    dims: Dims = field(default_factory=dict)
    allow_external: AllowExternal = ()
    max_download: MaxDownload = MOST_DOWNLOAD
    limits: LimitValues = field(default_factory=dict)
    structure: Annotated[
        bool,
        Option(
            "Leave out the null model and the statistics of the weights: most of the time goes there.",
            flag="--quick",
        ),
    ] = True
    sortedness: Annotated[
        bool,
        Option(
            "Measure how far large weights gather in rows and columns: a second, and more for large layers.",
            in_file=True,
        ),
    ] = False
    details: Annotated[
        bool,
        Option(
            "Write into JSON what pictures show: of each layer bars, their null band, a histogram, single "
            "weights; and the layer graph."
        ),
    ] = False
    data: Annotated[
        str | None,
        Option("Run the model on these samples too: loss, scores, gradient.", metavar="PATH", form="file"),
    ] = None
    minima: Annotated[
        int,
        Option("Train so many minima, and report the loss barcode.", metavar="N", least=0, needs=("data",)),
    ] = 0
    topology: bool = True
    digests: Digesting = "outline"
    diagrams: bool = True
    count_fixed: Annotated[
        bool, Option("Count layers that were probably not trained in network figures.", in_file=True)
    ] = False
    peepholes: Peepholes = False
    standardise: Annotated[
        bool,
        Option(
            "Standardise the weights of each layer for deep graph persistence, or take |w|.", in_file=True
        ),
    ] = True
    rescale: Annotated[
        bool, Option("Divide the best paths by the strongest of them, or not.", in_file=True)
    ] = True
    skips: Annotated[
        Literal["keep", "cut"],
        Option("Let the paths of the network take its skip connections, or not.", in_file=True),
    ] = "keep"
    inputs: Annotated[
        tuple[str, ...],
        Option(
            "Let the network begin at this input only, or at several.", flag="--from-input", metavar="NAME"
        ),
    ] = ()
    outputs: Annotated[
        tuple[str, ...],
        Option("Let the network end at this value only, or at several.", flag="--to-output", metavar="NAME"),
    ] = ()
    seed: Seed = 0
    running: RunOptions = field(default_factory=RunOptions)
    work: WorkOptions = field(default_factory=WorkOptions)

    @property
    def shown(self) -> re.Pattern[str]:
        """The pattern of the layers that are shown."""
        return re.compile(self.layers or "")


def settings_of(options: AuditOptions) -> "Settings":
    """Return the options as the report tells them: those that its figures depend on."""
    from onnxtop.results.report import Settings  # not for help

    told = {each.name: getattr(options, each.name) for each in fields(Settings)}
    return Settings(**(told | {"p": "inf" if math.isinf(options.p) else options.p}))
