"""Growth with the number of nodes.

Processor time of whole processes on models of 20,000 nodes with tiny weights, in all forms in which networks
grow (`_forms.py`); and the exponent of time over nodes from a quarter of them on, what a model of a handful
takes subtracted: 1 where twice the nodes take twice the time, 2 where something is compared with everything.
"""

import math
from pathlib import Path

import onnx

from benchmarks import _forms, _measuring, _rows

NODES = 20_000
FEW = 8
CODES = (0, 1)
"""Exit codes of a verb that went through."""


def seconds(folder: Path, verb: tuple[str, ...], form: str, nodes: int) -> float:
    """Return the processor time of a verb on a model of a form."""
    path = folder / f"{form}.{nodes}.onnx"
    if not path.exists():
        onnx.save(_forms.FORMS[form](nodes), path)
    paths = (path, _changed(path)) if verb[0] == "diff" else (path,)
    return _measuring.process(_measuring.onnxtop(verb[0], *verb[1:], *paths), CODES).cpu


def _changed(path: Path) -> Path:
    """Return a copy of a model in which one weight is another."""
    changed = path.with_suffix(".changed.onnx")
    if not changed.exists():
        model = onnx.load(path)
        held = next(tensor for tensor in model.graph.initializer if len(tensor.raw_data) >= 16)
        held.raw_data = held.raw_data[4:] + held.raw_data[:4]
        onnx.save(model, changed)
    return changed


def slowest(folder: Path, verb: tuple[str, ...], forms: tuple[str, ...]) -> _measuring.Figure:
    """Return the seconds of the form that takes longest."""
    return _measuring.worst({form: seconds(folder, verb, form, NODES) for form in forms})


def exponent(folder: Path, verb: tuple[str, ...], forms: tuple[str, ...]) -> _measuring.Figure:
    """Return the exponent of the form whose time grows fastest."""
    found = {}
    for form in forms:
        few, quarter, whole = (seconds(folder, verb, form, nodes) for nodes in (FEW, NODES // 4, NODES))
        found[form] = math.log(max(whole - few, 1e-3) / max(quarter - few, 1e-3), 4)
    return _measuring.worst(found)


USUAL = ("matrices", "residual", "shared", "concat", "added", "inputs")
for _name, _verb, _those in (
    ("report", ("report", "-f", "json"), USUAL),
    ("quick", ("report", "--quick", "-f", "json"), USUAL),
    ("graph", ("graph", "-f", "json"), tuple(_forms.FORMS)),
    ("check", ("check", "-f", "terminal"), ("matrices", "faulty", "tied", "cut")),
    ("diff", ("diff", "-f", "json"), ("matrices", "residual", "shared", "concat")),
):
    _long = {"pace": "long", "limit": 3600.0, "arguments": {"verb": _verb, "forms": _those}}
    _rows.row(
        f"growth-{_name}", f"`{' '.join(_verb)}` of 20,000 nodes, the slowest form", "s", at_most=15, **_long
    )(slowest)
    _rows.row(
        f"growth-{_name}-exponent",
        f"`{' '.join(_verb)}`: time over nodes, the exponent",
        at_most=1.2,
        **_long,
    )(exponent)
