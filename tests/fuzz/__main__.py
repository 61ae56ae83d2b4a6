"""Run many cases and say which of them break the promise: ``python -m tests.fuzz --cases 10000``.

The same seed makes the same cases. A breach is told when it is first seen; ``--out`` takes the smallest file
that shows it, whose name says what is run on it: moved to ``tests/fuzz/cases``, a test keeps it mended.
The exit code is 1 if a case breaks the promise.
"""

import argparse
import collections
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.cases import COMMANDS, Case, Place, case_of, run_case
from tests.fuzz.minimise import minimised
from tests.fuzz.runner import Runner


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--cases", type=int, default=1000, metavar="N", help="how many cases")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="what they are made from")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the case to begin with")
    parser.add_argument(
        "--verb",
        choices=["all", *COMMANDS],
        default="all",
        help="what is run: one verb, or all that read any model",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        metavar="DIR",
        help="where failing files go; without it they are told and left",
    )
    parser.add_argument(
        "--apart",
        action="store_true",
        help="leave onnxtop's own processes on: what kills one is then an error of its model",
    )
    return parser.parse_args()


def broken_cases(
    runner: Runner, place: Place, given: argparse.Namespace
) -> Iterator[tuple[int, Case, list[str]]]:
    """Yield the cases that break the promise, with their numbers and what they break."""
    for number in range(given.first, given.first + given.cases):
        case = case_of(given.seed, given.verb, number)
        if broken := run_case(runner, place, case):
            yield number, case, broken


def smallest(runner: Runner, place: Place, case: Case, breach: str) -> bytes:
    """Return the smallest file that shows a breach; what hangs is left as it is, it would take too long."""
    if "hangs" in breach:
        return case.data
    return minimised(case.data, lambda data: breach in run_case(runner, place, case, data))


def main() -> int:
    given, counts, failed = arguments(), collections.Counter[str](), 0
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder, "files"))
        place.prepare()
        environment = {"ONNXTOP_APART": "on"} if given.apart else {}
        with Runner(Path(folder, "run"), environment) as runner:
            for number, case, broken in broken_cases(runner, place, given):
                failed += 1
                for breach in broken:
                    counts[breach] += 1
                    if counts[breach] == 1:
                        tell(runner, place, given, number, case, breach)
    for breach, count in counts.most_common():
        print(f"{count:5}  {breach}")
    whole = f"{given.cases} cases of {given.verb}, seed {given.seed}"
    print(f"{whole}: {failed} broke the promise, in {len(counts)} ways")
    return int(failed > 0)


def tell(
    runner: Runner, place: Place, given: argparse.Namespace, number: int, case: Case, breach: str
) -> None:
    """Say what a case breaks, and write the smallest file that does."""
    print(f"case {number}, {case.verb}, {' '.join(case.done)}: {breach}", flush=True)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        path = given.out / f"{case.verb}-{case.chance}.onnx"
        path.write_bytes(smallest(runner, place, case, breach))
        print(f"  {path}: {path.stat().st_size} bytes of {len(case.data)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
