"""What may be asked of a comparison."""

from dataclasses import dataclass, field

from onnxtop.execution.options import RunOptions
from onnxtop.options import AllowExternal, Dims, InputShapes, Peepholes
from onnxtop.results.diff import DiffSettings


@dataclass(frozen=True)
class CompareOptions:
    """How two models are compared: what counts as changed, and how both are read, measured and run."""

    settings: DiffSettings = field(default_factory=DiffSettings)
    allow_external: AllowExternal = ()
    peepholes: Peepholes = False
    input_shapes: InputShapes = field(default_factory=dict)
    dims: Dims = field(default_factory=dict)
    running: RunOptions = field(default_factory=RunOptions)
