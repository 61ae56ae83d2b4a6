"""Measure, print one table and write RESULTS.md: ``python -m benchmarks [NAME ...]``.

Names are those of rows or of sections, with * for anything; without any, all rows but the long ones. Each row
is measured in a process of its own and written as soon as it is known: rows that were measured before stay.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import _results
from benchmarks._measuring import ROOT, Figure, environment
from benchmarks._results import NOTHING, RESULTS, Measured
from benchmarks._rows import Row, chosen


class NotHereError(Exception):
    """What a row needs is not installed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 1 if a row that was measured misses its goal, 2 if a name is none."""
    asked = _parser().parse_args(arguments)
    results = _results.read(asked.to)
    try:
        rows = chosen(asked.names, ("quick",) if asked.quick else ("quick", "usual"))
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    if asked.new:
        rows = [each for each in rows if not results.get(each.name, NOTHING).text]
    if asked.list:
        print(_results.table(rows, results))
        return 0
    if asked.page:
        _results.write(results, asked.to)
        return 0
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="onnxtop-benchmarks-") as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for row in rows:
            try:
                results[row.name] = measured(row, folder, asked.peers)
            except NotHereError as why:
                print(f"{row.name:<30} not measured: {why}", flush=True)
                continue
            verdicts.append(results[row.name].verdict(row))
            print(_results.terminal_line(row, results[row.name]), flush=True)
            _results.write(results, asked.to)
    return int("MISSED" in verdicts)


def measured(row: Row, folder: Path, peers: str | None) -> Measured:
    """Measure a row here, or where its peers are.

    Raises
    ------
    NotHereError
        They are nowhere.
    """
    python = peers if row.missing and peers else sys.executable
    try:
        answer = json.loads(child([python, "-m", "benchmarks._one", row.name, str(folder)], row.limit))
    except RuntimeError as error:
        return Measured.failure(str(error))
    if "missing" in answer:
        raise NotHereError(f"{', '.join(answer['missing'])} missing: see requirements-peers.txt")
    return Measured.of(row, Figure(**answer))


def child(command: Sequence[str], limit: float) -> str:
    """Return the last line that a process prints; it and all that it started are ended with it.

    Raises
    ------
    RuntimeError
        It fails, or takes longer than so many seconds.
    """
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), start_new_session=True, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        try:
            output, complaints = running.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"took longer than {limit:g} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
    if running.returncode:
        raise RuntimeError((complaints.strip().splitlines() or [f"exit code {running.returncode}"])[-1])
    return output.strip().splitlines()[-1]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="row or section, with * for anything")
    parser.add_argument("--quick", action="store_true", help="only the rows that take seconds")
    parser.add_argument("--new", action="store_true", help="only rows that RESULTS.md has no figure of")
    parser.add_argument("--list", action="store_true", help="print rows and what is known; measure nothing")
    parser.add_argument("--page", action="store_true", help="write RESULTS.md anew; measure nothing")
    parser.add_argument("--peers", metavar="PYTHON", help="the Python that has onnxtop and its peers")
    parser.add_argument("--folder", type=Path, help="keep the models that are made here")
    parser.add_argument(
        "--to", type=Path, default=RESULTS, metavar="FILE", help="where results are (RESULTS.md)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
