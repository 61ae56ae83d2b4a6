"""Where results go: formats paired with files, checked before the work and written whole after it."""

import codecs
import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import click

from onnxtop.errors import UsageError
from onnxtop.render import STREAMED, RenderOptions, formats_of, render, suffixes
from onnxtop.work.files import GrowingFile, why_unwritable, write_bytes

STDOUT = "-"
"""What stands for stdout in the place of a file, as everywhere."""

_DRAWN = ("terminal", "text")
"""Formats that look as the stream needs it; the others are the same bytes everywhere."""


@dataclass(frozen=True)
class Output:
    """One result to write: ``path`` None is stdout."""

    format: str
    path: str | None = None


def pair(events: Iterable[tuple[str, str]], result: str, hint: str = "") -> list[Output]:
    """Pair formats of a result with files, given in their order as ("formats", name) and ("files", path).

    A file belongs to the nearest format before it that has none; without one its suffix tells the format. A
    format without a file, or with ``-`` for one, goes to stdout, and at most one may. A ``hint`` says what
    else to do where a suffix is not known.

    >>> pair([("formats", "json"), ("files", "a.json"), ("formats", "csv")], "report")
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
            outputs.append(Output(_by_suffix(value, result, hint), value))
    outputs = [replace(output, path=None) if output.path == STDOUT else output for output in outputs]
    if sum(output.path is None for output in outputs) > 1:
        raise click.UsageError("only one format can go to stdout: give the others a file with -o")
    return outputs or [Output(formats_of(result)[0])]


def _by_suffix(path: str, result: str, hint: str) -> str:
    if path == STDOUT:
        return formats_of(result)[0]
    suffix, known = Path(path).suffix.lower(), suffixes(result)
    if suffix not in known:
        raise click.UsageError(
            f"the suffix of {path!r} is none of {' '.join(known)}: say the format with -f{hint}"
        )
    return known[suffix]


def check(
    outputs: Sequence[Output], inputs: Iterable[str], weights: Callable[[Path], bool] = lambda _: False
) -> None:
    """Refuse before the work what could not be written after it, or would overwrite what it is about.

    Of a file that is there already, ``weights`` tells whether a model keeps weights in it.

    Raises
    ------
    UsageError
        A file cannot be written, is read by the run, or is named twice.
    """
    inputs = tuple(inputs)
    read = [Path(path) for path in inputs if os.path.exists(path)]
    made = {os.path.realpath(path): path for path in inputs if not os.path.exists(path)}
    seen: set[str] = set()
    for path in (output.path for output in outputs if output.path is not None):
        target = os.path.realpath(path)
        if target in seen:
            raise UsageError(f"{path}: two reports cannot go to one file")
        if target in made:
            raise UsageError(f"{path}: this output would overwrite {made[target]}; name another file")
        seen.add(target)
        if Path(target).name == STDOUT:
            raise UsageError(f"{path}: cannot be written: wanted a file, found what stands for stdout")
        if reason := why_unwritable(path):
            raise UsageError(f"{path}: cannot be written: {reason}")
        if os.path.isfile(target):
            _spare(path, Path(target), read, weights)


def _spare(path: str, target: Path, read: Iterable[Path], weights: Callable[[Path], bool]) -> None:
    """Refuse a file that is there already and is read, by whatever names, links or cases."""
    files = (file for each in read for file in _files_of(each))
    if same := next((each for each in files if each.samefile(target)), None):
        raise UsageError(f"{path}: this output would overwrite {same}, which is read; name another file")
    if weights(target):
        raise UsageError(f"{path}: this output would overwrite weights of a model; name another file")


def _files_of(path: Path) -> Iterable[Path]:
    """Return the files that are read from a place: what is asked with a folder is data."""
    if not os.path.isdir(path):
        return [path]
    from onnxtop.loss.data import files_of  # loads NumPy: not for help

    with contextlib.suppress(OSError):  # reading it says what is wrong
        return files_of(path)
    return []


def write_interrupted(outputs: Sequence[Output]) -> None:
    """Write to every output that can tell it that there is nothing, since the work was interrupted."""
    from onnxtop.render import interrupted

    for output in outputs:
        if text := interrupted.render(output.format):
            with writing(output):
                put(output, text)


@dataclass(frozen=True)
class PageLook:
    """How wide pages are and whether in colour; ``color`` is "auto", "always" or "never"."""

    width: int | None = None
    color: str = "auto"

    def on(self, stream: TextIO | None, options: RenderOptions) -> RenderOptions:
        """Return how a page looks on a stream, or in a file without one.

        A terminal gives its width; elsewhere nothing is cut, unless COLUMNS says otherwise. What failed has
        been told on stderr, which shares a stream's terminal.
        """
        if stream is None:
            return replace(options, width=self.width or 0, color=self.color == "always")
        return replace(
            options,
            width=_width_of(stream) if self.width is None else self.width,
            color=_is_colored(stream) if self.color == "auto" else self.color == "always",
            unicode=_encoding_of(stream).startswith("utf"),
            failed=False,
        )


_DIGITS = 7
"""A page has fewer letters in a line than a number of so many digits says: what is longer is no width."""


def _width_of(stream: TextIO) -> int:
    """Return the width of a terminal, or what COLUMNS says; 0 where neither is there."""
    if stream.isatty():
        return shutil.get_terminal_size((80, 24)).columns
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and len(columns) < _DIGITS else 0


def _is_colored(stream: TextIO) -> bool:
    """Tell whether to draw in colour where nobody said; NO_COLOR goes before FORCE_COLOR, as in Python."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def write_all(
    outputs: Sequence[Output],
    result: str,
    found: Any,
    options: RenderOptions,
    look: PageLook | None = None,
) -> None:
    """Write everything that can be written, of results of one kind.

    Raises
    ------
    UsageError
        A format has nothing to show, or an output could not be written; the others are.
    """
    failures = []
    for output in outputs:
        try:
            with writing(output):
                _write(output, result, found, options, look or PageLook())
        except UsageError as error:
            failures.append(str(error))
    if failures:
        raise UsageError("; ".join(failures))


class LineOutputs:
    """Outputs that are written a line at a time, each line whole and at once.

    A file is begun with its first line, so that a run without any leaves what was there before.
    """

    def __init__(self, outputs: Iterable[Output]) -> None:
        self.open = [output for output in outputs if output.format in STREAMED]
        self.files: dict[Output, GrowingFile] = {}
        self.failures: list[str] = []

    @property
    def on_stdout(self) -> bool:
        """Whether lines go where a terminal may show progress as well."""
        return any(output.path is None for output in self.open)

    def write(self, result: str, found: Any, options: RenderOptions) -> None:
        """Write what was found of one model to every output; one that fails gets no more."""
        for output in tuple(self.open):
            line = render(result, output.format, [found], options)
            try:
                with writing(output):
                    self._write(output, line)
            except UsageError as error:
                self.failures.append(str(error))
                self.open.remove(output)

    def _write(self, output: Output, line: str) -> None:
        if output.path is None:
            put(output, line)
            return
        data = line.encode("utf-8", "backslashreplace")
        if output in self.files:
            self.files[output].add(data)
        else:
            self.files[output] = GrowingFile(output.path)
            self.files[output].begin(data)

    def close(self) -> None:
        """End the files.

        Raises
        ------
        UsageError
            An output could not be written.
        """
        self.__exit__()
        if self.failures:
            raise UsageError("; ".join(self.failures))

    def __enter__(self) -> "LineOutputs":
        """Begin nothing: a file is begun with its first line."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the files, whatever ended the work."""
        for stream in self.files.values():
            stream.close()


@contextlib.contextmanager
def writing(output: Output) -> Iterator[None]:
    """Say which output it was that could not be written."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{output.path or 'stdout'}: cannot be written: {error.strerror or error}") from None


def _write(output: Output, result: str, found: Any, options: RenderOptions, look: PageLook) -> None:
    if output.format in _DRAWN:
        options = look.on(sys.stdout if output.path is None else None, options)
    put(output, render(result, output.format, found, options))


def put(output: Output, text: str) -> None:
    """Write a text whole."""
    drawn = output.path is None and output.format in _DRAWN and sys.stdout is not None
    encoding = _encoding_of(sys.stdout) if drawn else "utf-8"
    put_bytes(output, text.encode(encoding, "backslashreplace"))


def put_bytes(output: Output, data: bytes) -> None:
    """Write bytes whole."""
    if output.path is not None:
        write_bytes(output.path, data)
    else:
        _check_stdout()
        _write_stdout(data)


def say(text: str) -> None:
    """Print what is no result: help, a list, a page of words.

    Raises
    ------
    UsageError
        It cannot be written.
    """
    output = Output("text")
    with writing(output):
        put(output, text if text.endswith("\n") else f"{text}\n")


def _check_stdout() -> None:
    if sys.stdout is None:  # Python's way to say so
        raise OSError("it is closed")


def check_folder(path: str, inputs: Iterable[str]) -> None:
    """Refuse before the work a folder that files could not be written to, or in which something is read.

    Raises
    ------
    UsageError
        There is no such place, it is a file or write-protected, or it holds one of the models.
    """
    target = Path(os.path.realpath(path))
    if not os.path.exists(target) and os.path.isdir(target.parent) and (reason := why_unwritable(target)):
        raise UsageError(f"{path}: cannot be written: {reason}")
    place = target if os.path.exists(target) else target.parent
    if not os.path.isdir(place):
        raise UsageError(f"{path}: wanted a folder, or a place for a new one, found neither")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"{path}: cannot be written: the folder {str(place)!r} is write-protected")
    if target in {Path(os.path.realpath(each)).parent for each in inputs}:
        raise UsageError(f"{path}: wanted another folder than that of the models, which are read from here")


def write_folder(path: str, files: Iterable[tuple[str, bytes]]) -> None:
    """Write files, name and bytes, into a folder, which is made if there is none; each in one step."""
    with writing(Output("files", path)):
        Path(path).mkdir(exist_ok=True)
        for name, data in files:
            write_bytes(str(Path(path) / name), data)


def _encoding_of(stream: TextIO) -> str:
    return codecs.lookup(stream.encoding or "ascii").name


def _write_stdout(data: bytes) -> None:
    """Write bytes, the same on every platform; a reader that has gone away is no error."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        silence(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            raise


def silence(stream: TextIO) -> None:
    """Point a broken stream at nothing, or the interpreter complains when it flushes it at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
