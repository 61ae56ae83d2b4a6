"""Run every benchmark in this folder, each in a process of its own: ``python benchmarks/run.py [name ...]``.

The exit code is 1 if a goal is missed.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def main(names: list[str]) -> int:
    scripts = [path for path in sorted(HERE.glob("[a-z]*.py")) if path != Path(__file__)]
    failed = 0
    for script in scripts:
        if not names or script.stem in names:
            print(f"== {script.stem}", flush=True)
            environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(HERE.parent)}
            failed |= subprocess.run([sys.executable, str(script)], env=environment, check=False).returncode
    return int(failed != 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
