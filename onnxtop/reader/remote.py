"""Models at an address: fsspec's only door.

What is at an address gets a place on this machine: a file of the same size in a folder of its own, empty at
first, that is filled where it is read, by ranges and never twice. So whoever maps files reads it as any other
file, its external weights lie in the same folder as they lie beside it there, and what nobody reads is never
fetched. The folder goes when the model does.

A server that gives no ranges is asked for the whole file once. Who may read what is settled as fsspec and its
parts settle it, by their own variables and files; addresses are given to them one by one, never as a chain.
"""

import contextlib
import errno
import functools
import logging
import mmap
import re
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, overload

from onnxtop.errors import DeniedError, MissingError, MissingLibraryError, ModelError, UnreadableError
from onnxtop.options import MOST_DOWNLOAD
from onnxtop.reader.address import WEB, beside, file_name, scheme_of
from onnxtop.reader.limits import GIB

BLOCK = 2**16
"""Bytes that are fetched together, at least."""

TIMEOUT = 60.0
"""Seconds in which a server has to say something."""

PAUSES: tuple[float, ...] = (0.5, 2.0)
"""Seconds before a request that failed by chance is made again."""

_PIECE = 2**23
"""Bytes of one request, at most."""
_AT_ONCE = 4
"""Requests for one range at the same time."""
_AHEAD = 2**22
"""Bytes that are fetched before they are asked for, at most, where a file is read from front to back."""

Given = TypeVar("Given")


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
        pieces = [(at, min(at + _PIECE, end)) for at in range(begin, end, _PIECE)]
        self._home.spend(end - begin)
        try:
            if len(pieces) == 1:
                self._take(*pieces[0])
            else:
                with ThreadPoolExecutor(_AT_ONCE) as pool:
                    list(pool.map(lambda piece: self._take(*piece), pieces))
        except _NoRangesError:
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


class _NoRangesError(Exception):
    pass


def stamp_of(address: str) -> str | None:
    """Return what tells the version at an address from others; None if its server says nothing of the kind.

    Raises
    ------
    UnreadableError
        The server does not give it.
    """
    stamp = RemoteSource(address).stamp
    return f"{address} {stamp}" if stamp and not stamp.startswith(_WEAK) else None


class RemoteSource:
    """What a server says of a file, and its bytes.

    ``size`` is None where it does not say. ``stamp`` tells this version from others, empty where the server
    does not.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._scheme = scheme_of(address) or ""
        self._is_web = self._scheme in WEB
        self._lock = threading.Lock()
        self._open: Any = None
        self._system: Any = _asked(address, lambda: _system(self._scheme))
        about = self._about()
        if about.get("type") == "directory":
            raise UnreadableError("wanted an ONNX file, found a folder; give the address of a file in it")
        self.size: int | None = about.get("size")
        self.stamp = _stamp(about)
        self._gives_ranges = about.get("partial", True)

    def read(self, begin: int, end: int) -> bytes:
        """Return a range of the bytes.

        Raises
        ------
        UnreadableError
            The server does not give it.
        """
        if not self._gives_ranges:
            raise _NoRangesError
        content: bytes = _asked(self.address, lambda: self._file()._fetch_range(begin, end))
        if len(content) != end - begin:
            raise UnreadableError(
                f"wanted {end - begin:,} bytes at {begin:,}, found {len(content):,}; the file changed, or "
                "the server cut it off: try again"
            )
        return content

    def chunks(self) -> Iterator[bytes]:
        """Yield the whole file from its front."""
        whole = {"block_size": 0, **self._headers}
        stream = _asked(self.address, lambda: self._system.open(self._path, "rb", **whole))
        with stream:
            while chunk := _asked(self.address, lambda: stream.read(_PIECE), pauses=()):
                yield chunk

    def check(self) -> None:
        """Raise if the server has another version now than the one that was read."""
        if _stamp(self._about()) != self.stamp:
            raise self.changed()

    def changed(self) -> UnreadableError:
        """Return what says that a file is no longer what it was."""
        return UnreadableError("wanted one version of it, found that it changed while it was read; try again")

    def _about(self) -> dict[str, Any]:
        about: dict[str, Any] = _asked(
            self.address, lambda: self._system.info(self._path, **_ANEW.get(self._scheme, {}))
        )
        return about

    def _file(self) -> Any:
        with self._lock:
            if self._open is None:
                size = {"size": self.size} if self._is_web else {}
                self._open = self._system.open(
                    self._path, "rb", block_size=BLOCK, cache_type="none", **size, **self._headers
                )
            return self._open

    @property
    def _headers(self) -> dict[str, Any]:
        """What a request for bytes says beside; a tag that begins with W/ compares with nothing."""
        if not self._is_web:
            return {}
        tag = {"If-Match": self.stamp} if self.stamp.startswith('"') else {}
        return {"headers": {"Accept-Encoding": "identity", **tag}}

    @property
    def _path(self) -> str:
        """What fsspec's part calls the file."""
        return self.address if self._is_web else self.address.partition("://")[2]


def _system(scheme: str) -> Any:
    """Return fsspec's part for a kind of address."""
    import fsspec

    if scheme not in WEB:
        logging.getLogger("gcsfs").addHandler(logging.NullHandler())  # else it writes to the terminal
        return fsspec.filesystem(scheme)
    import aiohttp

    patience = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT, sock_read=TIMEOUT)
    how = {"trust_env": True, "response_class": _answers()}
    return fsspec.filesystem(scheme, timeout=patience, client_kwargs=how)


@functools.cache
def _answers() -> type:
    """Return the class of a web server's answers, which fsspec believes and holds whole, however long."""
    import aiohttp

    return type("Answer", (aiohttp.ClientResponse,), {"read": _read_range})


async def _read_range(answer: Any) -> bytes:
    """Return the bytes of an answer to a request for a range: of that range, and hardly more of them."""
    asked = re.fullmatch(r"bytes=(\d+)-(\d+)", answer.request_info.headers.get("Range", ""))
    begin, last = map(int, asked.groups()) if asked else (0, _PIECE)
    told = answer.headers.get("Content-Range", "")
    if asked and told and not told.startswith(f"bytes {begin}-"):
        raise ValueError(f"wanted bytes {begin}-{last}, found {told[:40]}")
    content = bytearray()
    while len(content) <= last - begin + 1 and (chunk := await answer.content.read(BLOCK)):
        content += chunk
    return bytes(content)


_ANEW = {"s3": {"refresh": True}, "hf": {"refresh": True, "expand_info": True}}
"""How a part of fsspec is asked for what its server says now, with what tells versions apart."""

_STAMPS = ("ETag", "blob_id", "generation", "Last-Modified")
"""What the parts of fsspec call what tells versions apart, the strongest first."""

_WEAK = ("W/", "Mon,", "Tue,", "Wed,", "Thu,", "Fri,", "Sat,", "Sun,")
"""Stamps that two versions may have in common: weak tags, and times, which are in seconds."""


def _stamp(about: dict[str, Any]) -> str:
    return next((str(about[name]) for name in _STAMPS if about.get(name)), "")


def _asked(address: str, ask: Callable[[], Given], pauses: tuple[float, ...] | None = None) -> Given:
    """Return what a server answers; asked again where it failed by chance.

    Raises
    ------
    UnreadableError
        It does not answer, or not with what was asked for.
    """
    for pause in (*(PAUSES if pauses is None else pauses), None):
        try:
            return ask()
        except (MemoryError, ModelError):
            raise
        except ImportError as error:
            raise MissingLibraryError.of(error.name or "fsspec", "'onnxtop[remote]'") from None
        except Exception as error:
            refused = _refused(address, error)
            if pause is None or not isinstance(refused, _PassingError):
                raise refused from None
            time.sleep(pause)
    raise AssertionError


class _PassingError(UnreadableError):
    """A server failed by chance, perhaps."""


def _refused(address: str, error: Exception) -> Exception:
    """Return what says why a server does not give a file."""
    chain = [error, *filter(None, (error.__cause__, error.__context__))]
    status = next(filter(None, map(_status, chain)), None)
    kinds = {kind.__name__ for each in chain for kind in type(each).__mro__}
    what = " ".join(str(chain[-1] if status is None else status).split())[:200] or type(error).__name__
    if "doesn't appear to support range requests" in str(error):
        return _NoRangesError()
    if status in (401, 403, 407) or {"PermissionError", "NoCredentialsError"} & kinds:
        return DeniedError(
            f"wanted an ONNX file, found no right to read it ({what}); give credentials as fsspec's "
            f"{scheme_of(address)} takes them"
        )
    if status == 412 or "FileExpired" in kinds:
        return UnreadableError("wanted one version of it, found that it changed while it was read; try again")
    if any("timeout" in kind.lower() for kind in kinds):
        return UnreadableError(f"wanted an answer within {TIMEOUT:g} s, found none; try again later")
    if status == 404 or ("FileNotFoundError" in kinds and status is None and _is_plain(chain)):
        return MissingError("wanted an ONNX file, found none at this address (404); check the address")
    passing = status is None or status >= 500 or status == 429
    return (_PassingError if passing else UnreadableError)(
        f"wanted an ONNX file, found a server that does not give it: {what}; check the address, or try later"
    )


def _is_plain(chain: list[Any]) -> bool:
    """Tell whether that a file is not there is all that was said: web requests say it of whatever failed."""
    return len({type(each) for each in chain}) == 1 or _status(chain[0]) is not None


def _status(error: Any) -> int | None:
    """Return the status of a web server's answer that an error is about."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        code = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        code = getattr(error, "status", None) or getattr(response, "status_code", None)
    return code if isinstance(code, int) else None
