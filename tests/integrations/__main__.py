"""Run the tests of frameworks, each in a virtual environment of its own: ``python -m tests.integrations``.

Names of frameworks choose some; ``--folder DIR`` keeps the environments there for the next time.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
REQUIREMENTS = {
    path.stem.removeprefix("requirements-"): path for path in sorted(HERE.glob("requirements-*.txt"))
}
ENVIRONMENT = {"KERAS_BACKEND": "jax", "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", "HF_HUB_OFFLINE": "1"}


def run(name: str, folder: Path) -> bool:
    """Make an environment, unless there is one, and run the tests of one framework in it."""
    place = folder / name
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        venv.create(place, with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "-e", f"{ROOT}[test]", "-r", REQUIREMENTS[name]],
            check=True,
        )
    command = [python, "-m", "pytest", "-n0", f"--integration={name}", "tests/integrations"]
    print(f"== {name}", flush=True)
    return subprocess.run(command, cwd=ROOT, env=os.environ | ENVIRONMENT, check=False).returncode == 0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.integrations", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *REQUIREMENTS], metavar="NAME")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        failed = [name for name in asked.names or REQUIREMENTS if not run(name, folder)]
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
