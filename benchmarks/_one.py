"""Measure one row in this process: ``python -m benchmarks._one NAME FOLDER`` prints its figure as JSON."""

import dataclasses
import json
import sys
from pathlib import Path

from benchmarks._rows import catalogue


def main(name: str, folder: str) -> None:
    """Print the figure, or which modules it would need."""
    row = catalogue()[name]
    if row.missing:
        print(json.dumps({"missing": row.missing}))
    else:
        print(json.dumps(dataclasses.asdict(row.measure(Path(folder)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
