"""What layers as they are read, and what is measured of matrices, look like in a console and a notebook."""

from collections.abc import Sequence
from itertools import islice

from onnxtop.reader.layer import Layer, Skipped
from onnxtop.render.html import charts
from onnxtop.render.html.parts import Fact, Picture
from onnxtop.render.look import Card, Look
from onnxtop.render.text import TIMES, figure
from onnxtop.results.words import counted
from onnxtop.topology.deep_graph_persistence import DeepPersistence
from onnxtop.topology.neural_persistence import MatrixPersistence, NeuralPersistence
from onnxtop.topology.persistence import Diagram

_BARS = 30
"""So many layers have a bar."""


def _layer_line(layer: Layer) -> str:
    return f"{layer.name}: {layer.op_type} {layer.n_in} {TIMES} {layer.n_out} {layer.encoding}"


def _layer_card(layer: Layer) -> Card:
    facts = (
        Fact("op", layer.op_type, "op", is_name=True),
        Fact(f"in {TIMES} out", f"{layer.n_in} {TIMES} {layer.n_out}"),
        Fact("encoding", str(layer.encoding), "encoding"),
        Fact("weight", layer.weight, "weights", is_name=True),
        Fact("uses", layer.uses, "uses", is_name=True),
    )
    return Card(layer.name, facts=facts)


def _skipped_line(skipped: Skipped) -> str:
    lost = counted(skipped.parameters, "weight")
    return f"{skipped.name}: {skipped.op_type}, {lost} skipped: {skipped.reason}"


def _diagram_line(diagram: Diagram) -> str:
    births, deaths = diagram.points.T
    longest = f", the longest {figure(float((births - deaths).max()))}" if len(births) else ""
    return f"{counted(len(births), 'bar')}{longest}"


def _pictures(diagram: Diagram) -> Sequence[Picture]:
    if not len(diagram.points):
        return ()
    births, deaths = diagram.points.T
    title = f"Persistence diagram: {_diagram_line(diagram)}"
    drawn = charts.diagram(deaths.tolist(), births=float(births.max()), title=title)
    return (Picture("Persistence diagram", drawn, term="persistence diagram"),)


def _measured_line(name: str, found: MatrixPersistence | DeepPersistence) -> str:
    total = f"total {figure(found.total)}; {_diagram_line(found.diagram)}"
    return f"{name} {figure(found.normalized)}" + (f": {found.reason}" if found.reason else f" ({total})")


def _measured(name: str) -> Look:
    """Return the look of what has a total, a normalized value and a diagram."""
    return Look(
        lambda found: _measured_line(name, found),
        lambda found: Card(_measured_line(name, found), pictures=_pictures(found.diagram)),
    )


def _network_line(found: NeuralPersistence) -> str:
    why = f": {found.reason}" if found.reason else ""
    return f"mean NP {figure(found.mean_normalized)} of {counted(len(found.layers), 'layer')}{why}"


def _network_card(found: NeuralPersistence) -> Card:
    bars = {name: layer.normalized for name, layer in islice(found.layers.items(), _BARS)}
    title = _network_line(found)
    return Card(title, pictures=[Picture("NP", charts.bars(bars, title=title), term="np")] if bars else ())


LOOKS = {
    Layer: Look(_layer_line, _layer_card),
    Skipped: Look(_skipped_line, lambda skipped: Card(_skipped_line(skipped))),
    Diagram: Look(_diagram_line, lambda found: Card(_diagram_line(found), pictures=_pictures(found))),
    MatrixPersistence: _measured("NP"),
    DeepPersistence: _measured("DGP"),
    NeuralPersistence: Look(_network_line, _network_card),
}
