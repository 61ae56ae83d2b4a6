"""Measure one row in this process: ``python -m benchmarks._one SECTION NAME FOLDER`` prints it as JSON."""

import dataclasses
import json
import sys
from pathlib import Path

from benchmarks._rows import of_section


def main(section: str, name: str, folder: str) -> None:
    """Print the figure, or which modules it would need; no other section is loaded."""
    row = of_section(section)[name]
    if row.missing:
        print(json.dumps({"missing": row.missing}))
    else:
        print(json.dumps(dataclasses.asdict(row.measure(Path(folder)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
