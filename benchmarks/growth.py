"""Growth with the number of nodes.

Processor time of whole processes on models with tiny weights, in the forms in which networks grow
(`_forms.py`). The exponent is that of time over nodes from 500 to 2,000, what a model of a handful takes
subtracted: 1 where twice the nodes take twice the time, 2 where something is compared with everything.
Residual blocks of three nodes each are the longest network that is measured whole.
"""

import math
from pathlib import Path

import onnx

from benchmarks import _forms, _measuring, _rows

NODES = 2_000
FEW = 8
ROUNDS = 3
"""The least of so many times counts: differences of short ones are small, and other work only adds."""
BLOCKS = 20_000
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


def blocks(folder: Path, verb: tuple[str, ...]) -> _measuring.Figure:
    """Return the seconds that residual blocks take."""
    return _measuring.worst({"residual": seconds(folder, verb, "residual", BLOCKS)})


def exponent(folder: Path, verb: tuple[str, ...], forms: tuple[str, ...]) -> _measuring.Figure:
    """Return the exponent of the form whose time grows fastest."""
    found = {}
    for form in forms:
        few, quarter, whole = (
            min(seconds(folder, verb, form, nodes) for _ in range(ROUNDS))
            for nodes in (FEW, NODES // 4, NODES)
        )
        found[form] = math.log(max(whole - few, 1e-3) / max(quarter - few, 1e-3), 4)
    return _measuring.worst(found)


def form(folder: Path, name: str, nodes: int) -> _measuring.Figure:
    """Return the seconds of a report on a form."""
    return _measuring.Figure(seconds(folder, ("report", "-f", "json"), name, nodes))


for _name, _form, _nodes, _told in (
    ("chain", "matrices", 20_000, "20,000 products of matrices in a chain"),
    ("shared", "shared", 5_000, "one weight that is used 5,000 times"),
):
    _rows.row(
        f"growth-{_name}", f"`report -f json` of {_told}", "s", at_most=15, pace="long", limit=600.0,
        arguments={"name": _form, "nodes": _nodes},
    )(form)  # fmt: skip


for _name, _verb, _forms_of in (
    ("report", ("report", "-f", "json"), ("residual", "shared", "apart", "states", "outcomes")),
    ("quick", ("report", "--quick", "-f", "json"), ("concat", "inputs", "loops")),
    ("graph", ("graph", "-f", "json"), ("residual", "fanned", "branches", "nested")),
    ("check", ("check", "-f", "terminal"), ("faulty", "tied", "cut")),
    ("diff", ("diff", "-f", "json"), ("residual", "shared", "results")),
):
    if _name in ("report", "quick", "graph"):
        _rows.row(
            f"growth-{_name}", f"`{' '.join(_verb)}` of {BLOCKS:,} residual blocks", "s", at_most=15,
            pace="long", limit=600.0, arguments={"verb": _verb},
        )(blocks)  # fmt: skip
    _rows.row(
        f"growth-{_name}-exponent", f"`{' '.join(_verb)}`: time over nodes, the exponent", at_most=1.2,
        limit=600.0, arguments={"verb": _verb, "forms": _forms_of},
    )(exponent)  # fmt: skip
