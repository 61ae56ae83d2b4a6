"""Pictures of a report: diagrams, bars, histograms, all layers, their graph. Needs the extra ``plot``.

Every function returns a figure of matplotlib, which notebooks show and `save` writes::

    report = onnxtop.audit("model.onnx", onnxtop.AuditOptions(details=True))
    onnxtop.plot.bars(report, "fc1")
    onnxtop.plot.save(onnxtop.plot.layers(report), "layers.pdf")

Figures look the same wherever they are drawn, whatever matplotlib is configured to, and files hold no dates.
"""

from onnxtop.plot.figures import save as save
from onnxtop.plot.network import graph as graph, layers as layers
from onnxtop.plot.panels import bars as bars, diagram as diagram, histogram as histogram

__all__ = ["bars", "diagram", "graph", "histogram", "layers", "save"]
