"""The notebook of the documentation as it stands; ``python -m tests.notebook`` runs it and compares."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

import onnxtop

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "notebook.ipynb"


def cells() -> list[dict[str, Any]]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_was_run_from_its_first_cell_to_its_last() -> None:
    counts = [cell["execution_count"] for cell in cells()]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [output for cell in cells() for output in cell["outputs"]]
    assert "error" not in {output["output_type"] for output in outputs}
    assert sum("text/html" in output.get("data", {}) for output in outputs) >= 6


def test_the_notebook_uses_public_names() -> None:
    trees = [ast.parse("".join(cell["source"])) for cell in cells()]
    used = {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "onnxtop"
    }
    assert {"audit", "check", "diff", "trace", "matrices", "plot"} <= used <= {*onnxtop.__all__, "plot"}


def test_what_the_notebook_shows_holds_no_script_and_no_path_of_a_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert "<script" not in text
    assert str(Path.home()) not in text
    assert str(NOTEBOOK.parent.parent) not in text


def test_the_notebook_has_the_style_of_today() -> None:
    """The rest of its outputs is compared where it is run."""
    style = re.compile(r"<style>.*?</style>", re.S)
    (today,) = style.findall(onnxtop.layer_persistence(np.eye(2))._repr_html_())
    outputs = [output.get("data", {}) for cell in cells() for output in cell["outputs"]]
    shown = {each for data in outputs for each in style.findall("".join(data.get("text/html", "")))}
    assert shown == {today}, "run: python -m tests.notebook --write"
