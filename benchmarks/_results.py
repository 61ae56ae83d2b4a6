"""RESULTS.md: every row with its goal, what was measured, whether that is good enough, and its own command.

The table is its own memory: rows that are measured anew are written among those that were measured before.
"""

import importlib.metadata
import os
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import onnxtop
from benchmarks._measuring import Figure
from benchmarks._rows import Row, catalogue, sections

RESULTS = Path(__file__).parent / "RESULTS.md"
HEAD = "| figure | goal | measured | | on | command |\n| --- | --- | --- | --- | --- | --- |"
LINE = re.compile(
    r"^\| .* \| (?P<text>[^|]*) \| [^|]* \| (?P<on>[^|]*) \| `python -m benchmarks (?P<name>\S+)` \|$", re.M
)
MACHINE = re.compile(r"^- (?P<letter>[A-Z]): (?P<machine>.+)$", re.M)
FAILED = "failed: "


@dataclass(frozen=True)
class Measured:
    """What was measured of a row, as it is written, and on which machine; nothing yet if empty."""

    text: str = ""
    machine: str = ""

    @classmethod
    def of(cls, row: Row, figure: Figure) -> "Measured":
        """Return a figure as it is written."""
        return cls(row.written(figure), machine())

    @classmethod
    def failure(cls, why: str) -> "Measured":
        """Return what is written where a row has failed."""
        return cls(FAILED + " ".join(why.replace("|", "/").split()), machine())

    def verdict(self, row: Row) -> str:
        """Return ok or MISSED; nothing where nothing was measured or there is no goal."""
        if self.text.startswith(FAILED):
            return "MISSED"
        if not self.text or not row.goal:
            return ""
        return "ok" if row.meets(float(self.text.split()[0])) else "MISSED"


NOTHING = Measured()


def machine() -> str:
    """Return what figures depend on, without a name of the machine or of its maker."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    vectors = [str(each) for each in _config("SIMD Extensions").get("found", ())][-1:]
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "scipy", "onnx"))
    processor = " with ".join([platform.machine(), *vectors])
    return (
        f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} processors "
        f"({processor}), {gib:.0f} GiB of memory, {platform.system()}, "
        f"{platform.python_implementation()} {platform.python_version()}, {libraries}, "
        f"onnxtop {onnxtop.__version__}"
    )


def _config(part: str) -> Mapping[str, object]:
    return np.show_config(mode="dicts").get(part, {})


def read(path: Path = RESULTS) -> dict[str, Measured]:
    """Return what a file says of each row; nothing of a file that is not there."""
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    machines = {each["letter"]: each["machine"] for each in MACHINE.finditer(page)}
    return {
        each["name"]: Measured(each["text"].strip(), machines.get(each["on"].strip(), ""))
        for each in LINE.finditer(page)
    }


def write(results: Mapping[str, Measured], path: Path = RESULTS) -> None:
    """Write all rows of the catalogue, and of ``results`` what they have of these; whole or not at all."""
    beside = path.with_suffix(".new")
    beside.write_text(page(results), encoding="utf-8")
    beside.replace(path)


def page(results: Mapping[str, Measured]) -> str:
    """Return the file."""
    rows = catalogue()
    machines = sorted({results[name].machine for name in rows if name in results} - {""})
    letters = {each: chr(ord("A") + number) for number, each in enumerate(machines)}
    parts = [INTRODUCTION, summary(results)]
    parts += [f"- {letter}: {each}" for each, letter in letters.items()]
    for section, text in sections().items():
        title, _, rest = text.partition("\n")
        own = [each for each in rows.values() if each.section == section]
        lines = (line(each, results.get(each.name, NOTHING), letters) for each in own)
        parts.append(
            "\n\n".join(filter(None, [f"\n## {title.rstrip('.')}", rest.strip(), "\n".join([HEAD, *lines])]))
        )
    return "\n".join(parts) + "\n"


INTRODUCTION = """# Results

Written by `python -m benchmarks`; [README.md](README.md) tells how. Times are processor time, and ratios \
are of two things that took turns in one run; `on` is the machine below. Goals that are missed stay as MISSED.
"""


def summary(results: Mapping[str, Measured]) -> str:
    """Return how many goals are met, and the names of those that are not."""
    verdicts = {
        name: results.get(name, NOTHING).verdict(each) for name, each in catalogue().items() if each.goal
    }
    missed = [name for name, verdict in verdicts.items() if verdict == "MISSED"]
    unknown = sum(not verdict for verdict in verdicts.values())
    met = f"{len(verdicts) - len(missed) - unknown} of {len(verdicts)} goals are met"
    said = [
        met,
        f"{len(missed)} missed: {', '.join(missed)}" if missed else "",
        f"{unknown} not measured" if unknown else "",
    ]
    return "; ".join(filter(None, said)) + ".\n"


def line(row: Row, measured: Measured, letters: Mapping[str, str]) -> str:
    """Return a row of the table."""
    on = letters.get(measured.machine, "")
    cells = (
        row.what,
        row.goal,
        measured.text,
        measured.verdict(row),
        on,
        f"`python -m benchmarks {row.name}`",
    )
    return f"| {' | '.join(cells)} |"


def table(rows: Iterable[Row], results: Mapping[str, Measured]) -> str:
    """Return rows for the terminal."""
    return "\n".join(terminal_line(each, results.get(each.name, NOTHING)) for each in rows)


def terminal_line(row: Row, measured: Measured = NOTHING) -> str:
    """Return a row for the terminal."""
    return f"{row.name:<30} {row.goal:<20} {measured.verdict(row):<7} {measured.text or '-'}".rstrip()
