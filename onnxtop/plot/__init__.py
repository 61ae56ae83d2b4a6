"""Pictures of a report: diagrams, bars, histograms, all layers, their graph. Needs the extra ``plot``.

Every function returns a figure of matplotlib, which notebooks show and `save` writes::

    report = onnxtop.audit("model.onnx", onnxtop.AuditOptions(details=True))
    onnxtop.plot.bars(report, "fc1")
    onnxtop.plot.save(onnxtop.plot.layers(report), "layers.pdf")

Figures look the same wherever they are drawn, whatever matplotlib is configured to, and files hold no dates.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxtop.plot.figures import save as save
    from onnxtop.plot.network import graph as graph, layers as layers
    from onnxtop.plot.panels import bars as bars, diagram as diagram, histogram as histogram

_HOME = {
    "bars": "onnxtop.plot.panels",
    "diagram": "onnxtop.plot.panels",
    "graph": "onnxtop.plot.network",
    "histogram": "onnxtop.plot.panels",
    "layers": "onnxtop.plot.network",
    "save": "onnxtop.plot.figures",
}

__all__ = list(_HOME)


if not TYPE_CHECKING:  # type checkers would take any name to be there

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module 'onnxtop.plot' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
