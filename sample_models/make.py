"""Make the sample models anew, or check them.

    python make.py --check            needs numpy, onnx and onnxruntime; changes nothing
    python make.py                    trains, exports, checks, writes the README's table
    python make.py --environments DIR where the four environments are made or found again

Every framework has a virtual environment of its own, filled from requirements-NAME.txt beside this file
(about 4 GB in all, most of it TensorFlow and PyTorch). The network is trained once, in PyTorch; the weights
go through a scratch folder to the scripts in steps/, one for each exporter.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
STEPS = [
    ("sklearn", "data.py"),
    ("torch", "train.py"),
    ("torch", "export_torch.py"),
    ("torch", "minima.py"),
    ("sklearn", "export_sklearn.py"),
    ("tensorflow", "export_tensorflow.py"),
    ("jax", "export_jax.py"),
]

# One thread and a fixed hash seed: the same machine gives the same bytes again.
QUIET_AND_REPEATABLE = {
    "CUDA_VISIBLE_DEVICES": "",
    "JAX_PLATFORMS": "cpu",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


def environment(folder: Path, name: str) -> Path:
    """Give the Python of the environment called `name`, made if it is missing and holding what is pinned."""
    home = folder / name
    if not (home / "pyvenv.cfg").exists():
        venv.create(home, with_pip=True)
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    requirements = ROOT / f"requirements-{name}.txt"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", requirements], check=True)
    return python


def run(python: Path, script: str, *arguments: str | Path) -> None:
    """Run one step; the frameworks' warnings are shown only if it fails."""
    print(f"{script} ...", flush=True)
    command = [python, ROOT / "steps" / script, *arguments]
    done = subprocess.run(
        command, env=os.environ | QUIET_AND_REPEATABLE, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}\n{script} failed")
    print(done.stdout, end="")


def make(folder: Path) -> None:
    """All steps in order, then the table."""
    pythons = {name: environment(folder, name) for name in dict.fromkeys(name for name, _ in STEPS)}
    with tempfile.TemporaryDirectory() as weights:
        for name, script in STEPS:
            run(pythons[name], script, "--out", ROOT, "--weights", weights)
    run(pythons["sklearn"], "verify.py", "--write")


def check() -> int:
    """Compare the files with the README, in this Python."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(ROOT / "steps"))
    from verify import main as verify

    return verify(rewrite=False)


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="compare the files with the README, change nothing"
    )
    parser.add_argument(
        "--environments",
        type=Path,
        metavar="DIR",
        default=Path(tempfile.gettempdir()) / "onnxtop-sample-models",
        help="folder of the virtual environments (default: %(default)s)",
    )
    arguments = parser.parse_args()
    if arguments.check:
        return check()
    make(arguments.environments.resolve())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
