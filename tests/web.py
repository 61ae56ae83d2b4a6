"""A web server on loopback that gives files, whole or by ranges, and remembers what it was asked for."""

import contextlib
import hashlib
import http.server
import re
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

QUIRKS = (
    "no-ranges",
    "refuses-ranges",
    "no-size",
    "weak",
    "silent",
    "slow",
    "short",
    "broken",
    "locked",
    "changing",
)
"""How a server may differ from one that does as it should."""


@dataclass
class Web:
    """A folder on the web: ``sent`` are the bytes that were given, as path, begin and end."""

    folder: Path
    quirk: str = ""
    address: str = ""
    sent: list[tuple[str, int, int]] = field(default_factory=list)
    failures: int = 0
    seen: list[dict[str, str]] = field(default_factory=list)

    def bytes_of(self, name: str) -> int:
        """Return how many bytes of a file were sent."""
        return sum(end - begin for path, begin, end in self.sent if path == name)

    def sent_twice(self) -> set[tuple[str, int]]:
        """Return the bytes that were sent more than once, by the first of each range."""
        ends: dict[str, int] = {}
        twice = set()
        for path, begin, end in sorted(self.sent):
            if begin < ends.get(path, 0):
                twice.add((path, begin))
            ends[path] = max(end, ends.get(path, 0))
        return twice


@contextlib.contextmanager
def web(folder: Path, quirk: str = "") -> Iterator[Web]:
    """Serve a folder while this lasts."""
    told = Web(folder, quirk)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, told))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    told.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, told: Web, *rest: object) -> None:
        self._told = told
        super().__init__(*rest)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        told, quirk = self._told, self._told.quirk
        told.seen.append(dict(self.headers))
        name = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).lstrip("/")
        path = told.folder / name
        if quirk == "silent":
            time.sleep(2)
            self.close_connection = True
            return None
        if quirk == "locked" and self.headers.get("Authorization") is None:
            return self._refuse(401)
        if not path.is_file() or ".." in name:
            return self._refuse(404)
        if quirk == "broken" and (body and told.failures):
            told.failures -= 1
            return self._refuse(503)
        content = path.read_bytes()
        version = hashlib.sha256(content).hexdigest()[:16]
        tag = f'W/"{version}"' if quirk == "weak" else f'"{version}"'
        if self.headers.get("If-Match") not in (None, tag):
            return self._refuse(412)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        by_range = asked is not None and quirk not in ("no-ranges", "refuses-ranges", "no-size")
        begin, end = (
            (int(asked[1]), min(int(asked[2]) + 1, len(content))) if by_range and asked else (0, len(content))
        )
        self.send_response(206 if by_range else 200)
        if by_range:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(content)}")
        if quirk == "refuses-ranges":
            self.send_header("Accept-Ranges", "none")
        self.send_header("ETag", tag)
        part = content[begin : end - 1 if quirk == "short" and end - begin > 600 else end]
        if quirk == "no-size":
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if not body:
            return None
        with contextlib.suppress(ConnectionError):
            self.wfile.write(part)
            told.sent.append((name, begin, begin + len(part)))
        if quirk == "changing":  # as soon as some of it was read
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
