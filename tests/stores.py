"""A hub of models that speaks as Hugging Face's does, and a store that speaks Google's JSON, on loopback.

Both say as much as their clients ask for when a file is looked up and read by ranges.
"""

import contextlib
import hashlib
import http.server
import json
import urllib.parse
from abc import abstractmethod
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from tests.web import serving


def hub(folder: Path) -> AbstractContextManager[str]:
    """Serve a folder as the repository ``somebody/models``; its files lie elsewhere, where one is sent to."""
    return serving(partial(_Hub, folder))


def google(folder: Path) -> AbstractContextManager[str]:
    """Serve a folder as the bucket ``models``."""
    return serving(partial(_Google, folder))


class _Store(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, folder: Path, *rest: Any) -> None:
        self._folder = folder
        super().__init__(*rest)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        asked = urllib.parse.urlsplit(self.path)
        self.prefix = dict(urllib.parse.parse_qsl(asked.query)).get("prefix", "")
        self.answer(asked.path, self.rfile.read(length))

    def do_POST(self) -> None:
        self.do_GET()

    def do_HEAD(self) -> None:
        self.do_GET()

    @abstractmethod
    def answer(self, path: str, body: bytes) -> None:
        """Answer a request for a path."""

    def file(self, name: str) -> Path | None:
        path = self._folder / name
        return path if path.is_file() and ".." not in name else None

    def say(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def say_json(self, value: Any, status: int = 200) -> None:
        self.say(status, json.dumps(value).encode(), Content_Type="application/json")

    def say_range(self, path: Path) -> None:
        content, asked = path.read_bytes(), self.headers.get("Range")
        if asked is None:
            self.say(200, content)
            return
        begin, last = (int(part) for part in asked.removeprefix("bytes=").split("-"))
        last = min(last, len(content) - 1)
        self.say(206, content[begin : last + 1], Content_Range=f"bytes {begin}-{last}/{len(content)}")


class _Hub(_Store):
    _REPOSITORY, _COMMIT = "somebody/models", "1" * 40

    def answer(self, path: str, body: bytes) -> None:
        api = f"/api/models/{self._REPOSITORY}"
        way = urllib.parse.unquote(path)
        if way in (api, f"{api}/revision/main"):
            self.say_json({"id": self._REPOSITORY, "sha": self._COMMIT, "siblings": []})
        elif way.startswith(f"{api}/tree/main"):
            folder = self._folder / way.removeprefix(f"{api}/tree/main").strip("/")
            found = sorted(folder.iterdir()) if folder.is_dir() else []
            self.say_json([self._about(each) for each in found])
        elif way == f"{api}/paths-info/main":
            asked = [self._folder / name for name in _paths(body) if ".." not in name]
            self.say_json([self._about(each) for each in asked if each.exists()])
        elif way.startswith(f"/{self._REPOSITORY}/resolve/main/"):
            name = path.removeprefix(f"/{self._REPOSITORY}/resolve/main/")
            known = self.file(urllib.parse.unquote(name))
            if known is None:
                self.say(404, X_Error_Code="EntryNotFound")
            else:
                self.say(302, Location=f"/elsewhere/{name}?signature=1")
        elif way.startswith("/elsewhere/") and (file := self.file(way.removeprefix("/elsewhere/"))):
            self.say_range(file)
        else:
            self.say(404, X_Error_Code="RepoNotFound")

    def _about(self, path: Path) -> dict[str, Any]:
        name = path.relative_to(self._folder).as_posix()
        if path.is_dir():
            return {"type": "directory", "path": name, "oid": "2" * 40}
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        size = path.stat().st_size
        lfs = {"oid": digest, "size": size, "pointerSize": 130}
        return {"type": "file", "path": name, "size": size, "oid": digest[:40], "lfs": lfs}


def _paths(body: bytes) -> list[str]:
    """Return the paths that are asked about, in a form or in JSON."""
    with contextlib.suppress(ValueError):
        given = json.loads(body)["paths"]
        return [given] if isinstance(given, str) else given
    return urllib.parse.parse_qs(body.decode())["paths"]


class _Google(_Store):
    def answer(self, path: str, body: bytes) -> None:
        objects = "/storage/v1/b/models/o"
        if path == objects:
            found = [each for each in self._folder.rglob("*") if each.is_file()]
            names = [each.relative_to(self._folder).as_posix() for each in found]
            self.say_json({"items": [{"name": each} for each in names if each.startswith(self.prefix)]})
            return
        name = urllib.parse.unquote(path.removeprefix("/download").removeprefix(f"{objects}/"))
        file = self.file(name)
        if file is None:
            self.say_json({"error": {"code": 404, "message": f"No such object: models/{name}"}}, 404)
        elif path.startswith("/download"):
            self.say_range(file)
        else:
            about = file.stat()
            self.say_json({
                "kind": "storage#object", "bucket": "models", "name": name, "size": str(about.st_size),
                "generation": str(about.st_mtime_ns), "metageneration": "1", "etag": "CAE=",
            })  # fmt: skip
