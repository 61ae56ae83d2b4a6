"""What is at an address: fsspec's only door.

A server that gives no ranges is asked for the whole file once. Who may read what is settled as fsspec and its
parts settle it, by their own variables and files; addresses are given to them one by one, never as a chain.
"""

import functools
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from onnxtop.errors import DeniedError, MissingError, MissingLibraryError, ModelError, UnreadableError
from onnxtop.reader.address import WEB, scheme_of

BLOCK = 2**16
"""Bytes that are fetched together, at least."""

TIMEOUT = 60.0
"""Seconds in which a server has to say something."""

PAUSES: tuple[float, ...] = (0.5, 2.0)
"""Seconds before a request that failed by chance is made again."""

PIECE = 2**23
"""Bytes of one request, at most."""
Given = TypeVar("Given")


class NoRangesError(Exception):
    """A server gives a file whole, or not at all."""


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
            raise NoRangesError
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
            while chunk := _asked(self.address, lambda: stream.read(PIECE), pauses=()):
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
    begin, last = map(int, asked.groups()) if asked else (0, PIECE)
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
        return NoRangesError()
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
