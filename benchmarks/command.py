"""How quick the command line starts: ``onnxtop --help`` and ``import onnxtop`` beside ``import click``.

    python benchmarks/command.py

Prints medians over runs in turn, so that a busy machine slows all alike, and returns 1 if help takes 3 times
as long as importing click, the least that a click program can take.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

RUNS = 15
LIMIT = 3.0

COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "import click": ("-c", "import click"),
    "import onnxtop": ("-c", "import onnxtop"),
    "onnxtop --version": ("-m", "onnxtop", "--version"),
    "onnxtop --help": ("-m", "onnxtop", "--help"),
    "onnxtop report --help": ("-m", "onnxtop", "report", "--help"),
}


def seconds(arguments: Sequence[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def medians() -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS + 1):
        for name, arguments in COMMANDS.items():
            times[name].append(seconds(arguments))
    # The first round fills the caches.
    return {name: statistics.median(each[1:]) for name, each in times.items()}


def main() -> int:
    found = medians()
    least = found["import click"]
    for name, median in found.items():
        print(f"{name:24}{1000 * median:8.1f} ms  {median / least:5.2f} x import click")
    return int(found["onnxtop --help"] > LIMIT * least)


if __name__ == "__main__":
    sys.exit(main())
