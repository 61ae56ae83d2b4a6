"""Models at an address, on this machine as far as they are read.

What is at an address gets a place on this machine: a file of the same size in a folder of its own, empty at
first, that is filled where it is read, by ranges and never twice. So whoever maps files reads it as any other
file, its external weights lie in the same folder as they lie beside it there, and what nobody reads is never
fetched. The folder goes when the model does.
"""

import contextlib
import errno
import mmap
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import overload

from onnxtop.errors import ModelError, UnreadableError
from onnxtop.options import MOST_DOWNLOAD
from onnxtop.reader.address import beside, file_name
from onnxtop.reader.limits import GIB
from onnxtop.reader.remote import BLOCK, PIECE, NoRangesError, RemoteSource

_AT_ONCE = 4
"""Requests for one range at the same time."""
_AHEAD = 2**22
"""Bytes that are fetched before they are asked for, at most, where a file is read from front to back."""


class Mirror:
    """The files of one model at an address, as far as they are on this machine; ``most`` is in GiB.

    Raises
    ------
    UnreadableError
        The server does not give the model.
    MissingLibraryError
        fsspec, or its part for such addresses, is not installed.
    """

    def __init__(self, address: str, most: float = MOST_DOWNLOAD) -> None:
        self.address = address
        self._home = _Home(most)
        self.folder = self._home.folder
        self._files: dict[Path, Fetched] = {}
        self._lock = threading.Lock()
        self.path = self.folder / file_name(address)
        self.model = self._add(self.path, address)

    def file(self, path: Path) -> "Fetched | None":
        """Return what has a place in the folder, making the place if need be; None for a path elsewhere.

        Raises
        ------
        UnreadableError
            The server does not give it.
        """
        if not path.is_relative_to(self.folder):
            return None
        with self._lock:
            if path not in self._files:
                way = PurePosixPath(path.relative_to(self.folder).as_posix())
                self._add(path, beside(self.address, way))
            return self._files[path]

    def _add(self, path: Path, address: str) -> "Fetched":
        source = RemoteSource(address)
        with _disk():
            path.parent.mkdir(parents=True, exist_ok=True)
        self._files[path] = fetched = Fetched(path, source, self._home)
        return fetched

    def announce(self) -> None:
        """Refuse a model before the first of its weights is fetched, if all of it is more than may be.

        Raises
        ------
        UnreadableError
            It is.
        """
        self._home.allow(sum(len(file) for file in self._files.values()))

    def check(self) -> None:
        """Raise if a file changed while it was read, whoever fetched the last of it."""
        for file in list(self._files.values()):
            file.check()

    def complete(self) -> None:
        """Fetch all of every file that was asked for."""
        self.announce()
        for file in list(self._files.values()):
            file.fetch(0, len(file))


class _Home:
    """The folder that files are fetched into, which goes with the last of them; and how many bytes may be."""

    def __init__(self, most: float) -> None:
        place = tempfile.TemporaryDirectory(prefix="onnxtop-", ignore_cleanup_errors=True)
        weakref.finalize(self, place.cleanup)
        self.folder = Path(place.name).resolve()
        self.most = most
        self.spent = 0

    def spend(self, count: int) -> None:
        """Count bytes that are fetched next; raises if they are too many, or the disk has no room."""
        self.allow(self.spent + count)
        free = shutil.disk_usage(self.folder).free
        if count > free:
            raise UnreadableError(
                f"wanted room for {count:,} bytes of it where temporary files lie, found {free:,}; make "
                "room, or let TMPDIR name another folder"
            )
        self.spent += count

    def allow(self, count: int) -> None:
        if count > self.most * GIB:
            raise UnreadableError(
                f"wanted to fetch at most {self.most:g} GiB of it, found {count:,} bytes to fetch; allow "
                "more with --max-download GIB"
            )


class Fetched:
    """The bytes of a file at an address: an index or a slice fetches what is not there yet.

    Threads may share one: what is there is read at once, whoever fetches.
    """

    def __init__(self, path: Path, source: "RemoteSource", home: _Home) -> None:
        self.path, self.source = path, source
        self._home = home
        self._fetching, self._writing = threading.Lock(), threading.Lock()
        self._next, self._ahead = 0, 1
        self._behind: threading.Thread | None = None
        self._failure: UnreadableError | None = None
        with _disk():
            self._file = path.open("w+b", buffering=0)
            weakref.finalize(self, self._file.close)
            self._size = self._stream(None) if source.size is None else source.size
            self._file.truncate(self._size)
            self.mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) if self._size else None
        blocks = -(-self._size // BLOCK)
        self._there = bytearray(blocks) if source.size is not None else bytearray(b"\1" * blocks)
        self._view = memoryview(self.mapped if self.mapped is not None else b"")

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> memoryview: ...
    def __getitem__(self, at: int | slice) -> int | memoryview:
        begin, end, _ = at.indices(len(self)) if isinstance(at, slice) else (at, at + 1, 1)
        self.fetch(begin, end)
        return self._view[at]

    @property
    def is_complete(self) -> bool:
        """Whether all of it is there."""
        return all(self._there)

    def fetch(self, begin: int, end: int) -> None:
        """Fetch what is not there yet of a range.

        Raises
        ------
        UnreadableError
            The server does not give it, or not as it was before; or it is more than may be.
        """
        first, last = begin // BLOCK, -(-end // BLOCK)
        if self._there.find(0, first, last) < 0:
            return
        with self._fetching:
            for start, stop in self._gaps(first, last):
                self._fetch(start, stop)
            if self.is_complete:
                try:
                    self.source.check()
                except UnreadableError as error:
                    self._failure = error
                    raise

    def check(self) -> None:
        """Raise if it is there whole, and was no longer the same when the last of it was fetched."""
        with self._fetching:
            if self._failure is not None:
                raise self._failure

    def fetch_behind(self, begin: int, end: int, after: int) -> None:
        """Fetch a range, and have what is behind it fetched while it is worked on; one such at a time."""
        self.fetch(begin, end)
        missing = self._there.find(0, end // BLOCK, -(-after // BLOCK)) >= 0
        if missing and not (self._behind is not None and self._behind.is_alive()):
            self._behind = threading.Thread(target=_quietly, args=(self, end, after), daemon=True)
            self._behind.start()

    def _gaps(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield ranges of blocks that are not there, going on a little behind the last."""
        while (first := self._there.find(0, first, last)) >= 0:
            self._ahead = min(2 * self._ahead, _AHEAD // BLOCK) if first == self._next else 1
            stop = self._there.find(1, first, last)
            self._next = stop if stop >= 0 else self._there_by(max(last, first + self._ahead), last)
            yield first, self._next
            first = self._next

    def _there_by(self, wanted: int, last: int) -> int:
        """Return where to stop on the way to a block: at what is there already, or at the end."""
        stop = self._there.find(1, last, wanted)
        return stop if stop >= 0 else min(wanted, len(self._there))

    def _fetch(self, first: int, last: int) -> None:
        begin, end = first * BLOCK, min(last * BLOCK, len(self))
        pieces = [(at, min(at + PIECE, end)) for at in range(begin, end, PIECE)]
        self._home.spend(end - begin)
        try:
            if len(pieces) == 1:
                self._take(*pieces[0])
            else:
                with ThreadPoolExecutor(_AT_ONCE) as pool:
                    list(pool.map(lambda piece: self._take(*piece), pieces))
        except NoRangesError:
            self._home.spend(len(self) - (end - begin))
            if self._stream(len(self)) != len(self):
                raise self.source.changed() from None
            first, last = 0, len(self._there)
        self._there[first:last] = b"\1" * (last - first)

    def _take(self, begin: int, end: int) -> None:
        self._write(begin, self.source.read(begin, end))

    def _stream(self, size: int | None) -> int:
        """Fetch the whole file from its front, of a server that gives it no other way; return its size."""
        at = 0
        for chunk in self.source.chunks():
            if size is None:
                self._home.spend(len(chunk))
            elif at + len(chunk) > size:
                raise self.source.changed()
            self._write(at, chunk)
            at += len(chunk)
        return at

    def _write(self, at: int, content: bytes) -> None:
        with _disk(), self._writing:
            self._file.seek(at)
            self._file.write(content)


def _quietly(file: Fetched, begin: int, end: int) -> None:
    """Fetch what nobody has asked for yet: what goes wrong is told where it is asked for."""
    with contextlib.suppress(Exception):
        file.fetch(begin, end)


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    """Say of what is written here that the disk did not take it."""
    try:
        yield
    except ModelError:
        raise
    except OSError as error:
        full = error.errno == errno.ENOSPC
        advice = "make room, or let TMPDIR name another folder" if full else "check that folder"
        raise UnreadableError(
            f"wanted to keep what is fetched where temporary files lie, found {error.strerror}; {advice}"
        ) from None
