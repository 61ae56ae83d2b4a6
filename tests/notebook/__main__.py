"""The notebook of the documentation, run from its first cell to its last in a fresh kernel.

``python -m tests.notebook`` says whether what stands in it is what its cells give now; ``--write`` puts that
in. What it is run with stands in ``requirements.txt`` here. Of pictures only the kind is compared: they
depend on the fonts of the machine.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def executed(notebook: Any) -> Any:
    """Return the notebook with the outputs that its cells give in the project's folder."""
    fresh = nbformat.from_dict(notebook)
    client = nbclient.NotebookClient(
        fresh, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    )
    client.execute()
    for cell in fresh.cells:
        cell.metadata = {}
    return fresh


def told(cell: Any) -> list[Any]:
    """Return what a cell gave, as far as it has to be the same everywhere."""
    return [_output(each) for each in cell.get("outputs", ())]


def _output(output: Any) -> Any:
    if "data" not in output:
        return output.get("text") or output.get("ename")
    pictures = {kind for kind in output["data"] if kind.startswith("image/")}
    if pictures:
        return sorted(pictures)
    return {kind: _joined(text) for kind, text in output["data"].items()}


def _joined(text: Any) -> Any:
    return "".join(text) if isinstance(text, list) else text


def differences(old: Any, new: Any) -> Iterator[str]:
    """Say which cells no longer give what stands below them."""
    for number, (before, after) in enumerate(zip(old.cells, new.cells, strict=True), start=1):
        if told(before) != told(after):
            yield f"cell {number} gives something else now: {before.source.splitlines()[0]}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.notebook", description=__doc__)
    parser.add_argument("--write", action="store_true", help="store the outputs")
    write = parser.parse_args().write
    old = nbformat.read(NOTEBOOK, 4)
    new = executed(old)
    if write:
        nbformat.write(new, NOTEBOOK)
        return 0
    found = list(differences(old, new))
    for difference in found:
        print(f"{NOTEBOOK.relative_to(ROOT)}: {difference}; run: python -m tests.notebook --write")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
