"""What to measure and how: the options of an audit, checked before any work."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxtop.errors import UsageError
from onnxtop.results.report import Settings
from onnxtop.topology.neural_persistence import network_persistence

__all__ = ["AuditOptions", "check_options", "settings_of"]


@dataclass(frozen=True)
class AuditOptions:
    """What to measure and how.

    Attributes
    ----------
    convention
        ``essential`` counts the essential class as the point (1, 0), as the papers' code does; ``tree`` does
        not.
    scale
        ``global`` divides every |w| by the largest of the network, ``layer`` by the largest of its layer, a
        number by that number.
    p
        The norm: any number above 0, or infinity.
    bias
        ``none``, or ``row``: the bias takes part as one more vertex joined to every output.
    conv
        Which graph a convolution is: ``flattened``, ``channels`` or ``unrolled``.
    layers
        Regular expression; only layers whose name it finds are shown. Figures of the network stay those of
        all layers.
    input_shapes, dims
        Shapes of inputs and sizes of named dimensions that the model leaves open (``unrolled`` needs them).
    allow_external
        Folders beside the model's own from which external weights may be read.
    topology
        Whether to measure; if not, the layers are only read, and every figure is None.
    peepholes
        Whether the peephole weights of an LSTM are layers of their own; they count as biases if not.
    count_fixed
        Whether layers whose weights were probably never trained count in the network's figures.
    skips
        ``keep`` follows the skip connections of residual networks, as the definition has it; ``cut`` leaves
        out the identity branch. Both totals are reported; this one chooses the figures of the layers.
    inputs, outputs
        Names of the inputs and outputs between which deep graph persistence is measured; all if empty. An
        output may be any value.
    structure
        Whether to compare each layer with its null model and take the statistics of its weights; most of the
        time of an audit goes there.
    data
        Samples on which the model is run: its loss, scores and gradient are reported too. Nothing of a model
        is run without.
    minima
        With ``data``: so many further minima are trained from fresh weights, for the loss barcode.
    seed
        Seed of everything random.
    """

    convention: str = "essential"
    scale: str | float = "global"
    p: float = 2.0
    bias: str = "none"
    conv: str = "flattened"
    layers: str | None = None
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)
    allow_external: tuple[str, ...] = ()
    structure: bool = True
    data: str | None = None
    minima: int = 0
    topology: bool = True
    peepholes: bool = False
    count_fixed: bool = False
    skips: str = "keep"
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    seed: int = 0


def check_options(options: AuditOptions) -> re.Pattern[str]:
    """Refuse options that make no sense before any work; return the pattern of the layers shown."""
    for name, allowed in (
        ("bias", ("none", "row")),
        ("conv", ("flattened", "channels", "unrolled")),
        ("skips", ("keep", "cut")),
    ):
        if getattr(options, name) not in allowed:
            raise UsageError(f"wanted {name} one of {', '.join(allowed)}, found {getattr(options, name)!r}")
    network_persistence(  # the measure's own checks, on a network without layers
        {},
        scale=options.scale,  # type: ignore[arg-type]
        convention=options.convention,  # type: ignore[arg-type]
        p=options.p,
    )
    try:
        return re.compile(options.layers or "")
    except re.error as error:
        raise UsageError(
            f"wanted a regular expression for layers, found {options.layers!r}: {error}"
        ) from None


def settings_of(options: AuditOptions) -> Settings:
    """Return the options as the report tells them."""
    return Settings(
        convention=options.convention,
        scale=options.scale,
        p="inf" if math.isinf(options.p) else options.p,
        bias=options.bias,
        conv=options.conv,
        topology=options.topology,
        structure=options.structure,
        peepholes=options.peepholes,
        count_fixed=options.count_fixed,
        skips=options.skips,
        inputs=options.inputs,
        outputs=options.outputs,
        seed=options.seed,
        layers=options.layers,
        input_shapes=options.input_shapes,
        dims=options.dims,
    )
