"""Where reports go: formats paired with files, checked before the work and written whole after it."""

import codecs
import contextlib
import dataclasses
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import click

from onnxtop.errors import UsageError
from onnxtop.render import SUFFIXES, FailedModel, RenderOptions, Result, render

__all__ = [
    "Output",
    "check",
    "encoding_of",
    "look_of",
    "pair",
    "temporary_file",
    "write_all",
    "write_file",
    "write_stdout",
]


@dataclass(frozen=True)
class Output:
    """One report to write: ``path`` None is stdout."""

    format: str
    path: str | None = None


def pair(events: Iterable[tuple[str, str]], suffixes: Mapping[str, str] = SUFFIXES) -> list[Output]:
    """Pair formats with files, given in their order as ("formats", name) and ("files", path).

    A file belongs to the nearest format before it that has none; without one its suffix tells the format, by
    ``suffixes``. A format without a file goes to stdout, and at most one may.

    >>> pair([("formats", "json"), ("files", "a.json"), ("formats", "csv")])
    [Output(format='json', path='a.json'), Output(format='csv', path=None)]
    """
    outputs: list[Output] = []
    for kind, value in events:
        if kind == "formats":
            outputs.append(Output(value))
            continue
        waiting = [i for i, output in enumerate(outputs) if output.path is None]
        if waiting:
            outputs[waiting[-1]] = Output(outputs[waiting[-1]].format, value)
        else:
            outputs.append(Output(_by_suffix(value, suffixes), value))
    if sum(output.path is None for output in outputs) > 1:
        raise click.UsageError("only one format can go to stdout: give the others a file with -o")
    return outputs or [Output("terminal")]


def _by_suffix(path: str, suffixes: Mapping[str, str]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in suffixes:
        raise click.UsageError(
            f"the suffix of {path!r} is none of {' '.join(suffixes)}: say the format with -f"
        )
    return suffixes[suffix]


def check(outputs: Sequence[Output], models: Iterable[str]) -> None:
    """Refuse before the work what could not be written after it.

    Raises
    ------
    UsageError
        A file cannot be written, is one of the models, or is named twice.
    """
    inputs = {os.path.realpath(model) for model in models}
    seen: set[str] = set()
    for path in (output.path for output in outputs if output.path is not None):
        target = os.path.realpath(path)
        if target in inputs:
            raise UsageError(f"{path}: this output would overwrite a model")
        if target in seen:
            raise UsageError(f"{path}: two reports cannot go to one file")
        seen.add(target)
        if reason := _why_unwritable(Path(target)):
            raise UsageError(f"{path}: cannot be written: {reason}")


def _why_unwritable(target: Path) -> str:
    if target.is_dir():
        return "it is a folder"
    if not target.parent.is_dir():
        return f"there is no folder {str(target.parent)!r}"
    if target.exists() and not os.access(target, os.W_OK):
        return "the file is write-protected"
    if not _is_special(target) and not os.access(target.parent, os.W_OK | os.X_OK):
        return f"the folder {str(target.parent)!r} is write-protected"
    return ""


def write_all(
    outputs: Sequence[Output], results: Sequence[Result], all_rows: bool, fail_on: str | None = None
) -> None:
    """Write every report that can be written; with ``fail_on``, a verdict to the terminal.

    Raises
    ------
    UsageError
        A report could not be written; the others are.
    """
    failures = []
    for output in outputs:
        try:
            _write(output, results, all_rows, fail_on)
        except OSError as error:
            failures.append(f"{output.path or 'stdout'}: cannot be written: {error.strerror or error}")
    if failures:
        raise UsageError("; ".join(failures))


def _write(output: Output, results: Sequence[Result], all_rows: bool, fail_on: str | None) -> None:
    plain = RenderOptions(all_rows=all_rows, fail_on=fail_on)
    if output.path is not None:
        text = render(output.format, results, plain)
        write_file(Path(os.path.realpath(output.path)), text.encode("utf-8", "backslashreplace"))
    elif sys.stdout is None:  # Python's way to say so
        raise OSError("it is closed")
    elif output.format == "terminal":
        # What failed has been told on stderr, which shares the terminal; a verdict counts it all the same.
        reports = [result for result in results if fail_on or not isinstance(result, FailedModel)]
        look = dataclasses.replace(look_of(sys.stdout, all_rows), fail_on=fail_on)
        write_stdout(render("terminal", reports, look), encoding_of(sys.stdout))
    else:
        write_stdout(render(output.format, results, plain), "utf-8")


def write_file(target: Path, data: bytes) -> None:
    """Replace a file in one step: it is never seen half-written."""
    if _is_special(target):
        target.write_bytes(data)
        return
    with temporary_file(target) as temporary:
        temporary.write_bytes(data)
        temporary.replace(target)


@contextlib.contextmanager
def temporary_file(target: Path) -> Iterator[Path]:
    """Make a file beside the target, with the target's permissions or a new file's."""
    temporary = target.with_name(f".onnxtop-{secrets.token_hex(8)}.tmp")
    temporary.touch(exist_ok=False)
    try:
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _is_special(target: Path) -> bool:
    """Tell a device or a pipe, which is written to and must not be replaced."""
    return target.exists() and not target.is_file()


def look_of(stream: TextIO, all_rows: bool) -> RenderOptions:
    """Return how a report should look on a stream: its width, colours and signs."""
    terminal = stream.isatty()
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return RenderOptions(
        width=shutil.get_terminal_size((80, 24)).columns if terminal else 80,
        color=terminal and not plain,
        all_rows=all_rows,
        unicode=encoding_of(stream).startswith("utf"),
    )


def encoding_of(stream: TextIO) -> str:
    """Return the name of a stream's encoding."""
    return codecs.lookup(stream.encoding or "ascii").name


def write_stdout(text: str, encoding: str) -> None:
    """Write bytes, the same on every platform; a reader that has gone away is no error."""
    data = text.encode(encoding, "backslashreplace")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        _silence(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            raise


def _silence(stream: TextIO) -> None:
    """Point a broken stream at nothing, or the interpreter complains when it flushes it at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
