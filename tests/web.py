"""A web server on loopback that gives files, whole or by ranges, and remembers what it was asked for."""

import contextlib
import hashlib
import http.server
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path


@dataclass
class Web:
    """A folder on the web: ``sent`` are the bytes that were given, as path, begin and end.

    A ``quirk`` is how the server differs from one that does as it should: it has or tells "no-ranges",
    "refuses-ranges", "no-size", only "weak" tags, is "silent", "short" of the last byte, "broken" so many
    times, "locked" without a password, has files that are "changing" while they are read, and gives of them
    the "wrong-range" or "endless" ones.
    """

    folder: Path
    quirk: str = ""
    address: str = ""
    sent: list[tuple[str, int, int]] = field(default_factory=list)
    failures: int = 0

    def bytes_of(self, name: str) -> int:
        """Return how many bytes of a file were sent."""
        return sum(end - begin for path, begin, end in self.sent if path == name)


@contextlib.contextmanager
def serving(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """Answer requests on loopback while this lasts; give the address before paths."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def web(folder: Path, quirk: str = "") -> Iterator[Web]:
    """Serve a folder while this lasts."""
    told = Web(folder, quirk)
    with serving(partial(_Handler, told)) as told.address:
        yield told


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, told: Web, *rest: object) -> None:
        self._told = told
        super().__init__(*rest)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(sends=False)

    def do_GET(self) -> None:
        self._answer(sends=True)

    def _answer(self, *, sends: bool) -> None:
        quirk = self._told.quirk
        name = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).lstrip("/")
        path = self._told.folder / name
        content = path.read_bytes() if path.is_file() and ".." not in name else None
        version = hashlib.sha256(content or b"").hexdigest()[:16]
        tag = f'W/"{version}"' if quirk == "weak" else f'"{version}"'
        if quirk == "silent":
            time.sleep(1)
            self.close_connection = True
        elif quirk == "locked" and self.headers.get("Authorization") is None:
            self._refuse(401)
        elif content is None:
            self._refuse(404)
        elif quirk == "broken" and sends and self._told.failures:
            self._told.failures -= 1
            self._refuse(503)
        elif self.headers.get("If-Match") not in (None, tag):
            self._refuse(412)
        else:
            self._give(name, content, tag, sends=sends)
            if quirk == "changing" and sends:
                path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    def _give(self, name: str, content: bytes, tag: str, *, sends: bool) -> None:
        quirk = self._told.quirk
        begin, end = 0, len(content)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None or quirk in ("no-ranges", "refuses-ranges", "no-size"):
            self.send_response(200)
        else:
            begin, end = int(asked[1]), min(int(asked[2]) + 1, end)
            self.send_response(206)
            shift = int(quirk == "wrong-range" and begin > 0)
            self.send_header("Content-Range", f"bytes {begin + shift}-{end + shift - 1}/{len(content)}")
        if quirk == "refuses-ranges":
            self.send_header("Accept-Ranges", "none")
        self.send_header("ETag", tag)
        part = content[begin : end - (quirk == "short")]
        endless = quirk == "endless" and asked is not None
        self.close_connection = quirk == "no-size" or endless
        kind = ("Connection", "close") if self.close_connection else ("Content-Length", str(len(part)))
        self.send_header(*kind)
        self.end_headers()
        if sends:
            with contextlib.suppress(ConnectionError):
                self.wfile.write(part)
                self._told.sent.append((name, begin, begin + len(part)))
                while endless:
                    self.wfile.write(bytes(2**16))

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
