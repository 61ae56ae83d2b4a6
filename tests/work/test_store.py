import errno
import json
import multiprocessing
import os
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import onnxtop
from onnxtop.errors import UsageError
from onnxtop.work import store
from onnxtop.work.about import about, version_of
from onnxtop.work.options import WorkOptions
from onnxtop.work.store import Store, key_of, store_of, user_folder


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.entry"))


def test_gives_back_what_was_put(tmp_path):
    held = Store(tmp_path / "new" / "cache")
    value = {"figures": [0.1 + 0.2, 1e-300, float("inf"), None], "name": "\ud800 or ä"}
    held.put("key", value)
    assert held.get("key") == value
    assert Store(tmp_path / "new" / "cache").get("key") == value
    assert held.get("another") is None


def test_without_a_folder_nothing_is_remembered():
    held = Store(None)
    held.put("key", 1)
    assert held.get("key") is None
    assert not held
    assert held.trouble() is None
    assert held.clear() == 0
    assert list(held.entries()) == []


def damage(data: bytes) -> list[bytes]:
    """Return an entry cut off, with a digit changed, without its digest, empty, and with other values."""
    digest, _, text = data.partition(b"\n")
    return [data[:-1], data.replace(b"7", b"8"), text, b"", digest + b"\n[8]", b"\xff" * 80, b"[" * 100_000]


@pytest.mark.parametrize("number", range(7))
def test_what_is_damaged_is_not_there(number, tmp_path):
    held = Store(tmp_path)
    held.put("key", [7])
    (path,) = files(tmp_path)
    path.write_bytes(damage(path.read_bytes())[number])
    assert held.get("key") is None
    held.put("key", [7])
    assert held.get("key") == [7]


def test_an_entry_in_the_place_of_another_is_not_there(tmp_path):
    held = Store(tmp_path)
    held.put("one", "of one")
    (path,) = files(tmp_path)
    held.put("other", "of the other")
    (other,) = set(files(tmp_path)) - {path}
    other.write_bytes(path.read_bytes())
    assert held.get("other") is None
    assert held.get("one") == "of one"


def test_a_folder_where_an_entry_should_be(tmp_path):
    held = Store(tmp_path)
    held.put("key", 1)
    (path,) = files(tmp_path)
    path.unlink()
    path.mkdir()
    assert held.get("key") is None
    held.put("key", 1)
    assert held.get("key") is None
    assert not list(tmp_path.rglob("*.tmp"))


def test_what_may_have_no_end_is_not_there(tmp_path):
    held = Store(tmp_path, limit=64_000)
    held.put("key", 1)
    (path,) = files(tmp_path)
    path.unlink()
    path.symlink_to("/dev/zero")
    assert held.get("key") is None
    path.unlink()
    with path.open("wb") as file:
        file.truncate(2**40)  # more than there is memory, and no block of a disk
    assert held.get("key") is None
    held.put("key", 2)
    assert held.get("key") == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes")
def test_a_pipe_in_the_place_of_an_entry_is_replaced(tmp_path):
    held = Store(tmp_path)
    held.put("key", 1)
    (path,) = files(tmp_path)
    path.unlink()
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # else who wrote into it would wait for ever
    assert held.get("key") is None
    held.put("key", 2)
    os.close(reader)
    assert held.get("key") == 2
    assert stat.S_ISREG(path.stat().st_mode)


def test_clearing_goes_on_behind_what_cannot_be_deleted(tmp_path, monkeypatch):
    held = Store(tmp_path)
    for number in range(8):
        held.put(f"key {number}", number)
    first, second = list(held.entries())[:2]
    first.path.unlink()
    first.path.mkdir()
    assert first.path not in [entry.path for entry in held.entries()]
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == second.path:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(PermissionError):
            held.clear()
    assert files(tmp_path) == sorted([first.path, second.path])
    assert held.clear() == 1
    assert files(tmp_path) == [first.path]


def test_whole_bytes_that_are_no_json_are_no_value(tmp_path):
    held = Store(tmp_path)
    held.write("key", b"[")
    assert held.read("key") == b"["
    assert held.get("key") is None


def test_however_little_each_writes_the_size_is_looked_at_as_often(tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr(Store, "trim", lambda self: looks.append(self))
    for room in range(0, 4_000, 100):  # as many processes, each with one of all beginnings
        monkeypatch.setattr(store.secrets, "randbelow", lambda most, room=room: room % most)
        Store(tmp_path, limit=64_000).write("key", b"x" * 200)
    assert len(looks) == 2  # 40 times 200 bytes, of which 4,000 go between two looks


def test_what_was_used_least_recently_is_dropped(tmp_path):
    value = "x" * 900
    held = Store(tmp_path, limit=16_000)
    for number in range(40):
        held.put(f"key {number}", value)
        for path in files(tmp_path):  # a second apart, as if they were
            os.utime(path, ns=(0, path.stat().st_mtime_ns - 10**9))
        assert held.get("key 0") == value
    assert sum(entry.size for entry in held.entries()) <= 16_000 + 16_000 // 16 + 2_000
    assert held.get("key 1") is None
    assert held.get("key 39") == value


def test_what_is_too_large_is_not_remembered(tmp_path):
    held = Store(tmp_path, limit=16_000)
    held.put("key", "x" * 1_001)
    assert held.get("key") is None
    assert files(tmp_path) == []


def test_what_nobody_finishes_is_dropped(tmp_path):
    held = Store(tmp_path)
    held.put("key", 1)
    (path,) = files(tmp_path)
    old, new = path.with_name(".onnxtop-00.tmp"), path.with_name(".onnxtop-11.tmp")
    for each in (old, new):
        each.touch()
    os.utime(old, (0, time.time() - 7200))
    held.trim()
    assert not old.exists()
    assert new.exists()


def test_clearing_takes_nothing_but_entries(tmp_path):
    held = Store(tmp_path)
    for number in range(3):
        held.put(f"key {number}", number)
    other = [tmp_path / "notes.entry", tmp_path / "ab" / "notes.entry", tmp_path / "notes" / "ab.entry"]
    for path in other:
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}", encoding="utf-8")
    assert len(list(held.entries())) == 3
    assert held.clear() == 3
    assert files(tmp_path) == sorted(other)
    assert held.get("key 0") is None


def test_a_folder_that_only_gives(tmp_path, monkeypatch):
    held = Store(tmp_path)
    held.put("key", 1)

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    for module, name in ((Path, "write_bytes"), (Path, "mkdir"), (os, "open"), (os, "utime")):
        monkeypatch.setattr(module, name, refuse)
    held.put("other", 2)
    assert held.get("key") == 1
    assert held.get("other") is None
    assert held.trouble() == "Read-only file system"


def test_a_file_where_the_folder_should_be(tmp_path):
    place = tmp_path / "cache"
    place.touch()
    held = Store(place)
    held.put("key", 1)
    assert held.get("key") is None
    assert held.trouble() == "File exists"
    assert Store(place / "below").trouble() == "Not a directory"


def test_a_folder_says_that_it_is_a_cache_and_is_the_users_alone(tmp_path):
    place = tmp_path / "cache"
    assert Store(place).trouble() is None
    assert (place / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert sorted(each.name for each in place.iterdir()) == ["CACHEDIR.TAG"]


def _write(folder: Path, number: int) -> None:
    held = Store(folder, limit=64_000)
    for round_ in range(50):
        held.put(f"key {round_ % 7}", [round_ % 7] * 300)
        value = held.get(f"key {(round_ + number) % 7}")
        assert value in (None, [(round_ + number) % 7] * 300)


def test_processes_share_a_folder(tmp_path):
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    writers = [context.Process(target=_write, args=(tmp_path, number)) for number in range(3)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert [each.exitcode for each in writers] == [0, 0, 0]
    assert [Store(tmp_path).get(f"key {number}") for number in range(7)] == [[n] * 300 for n in range(7)]
    assert not list(tmp_path.rglob("*.tmp"))


def test_another_version_or_code_does_not_answer(tmp_path, monkeypatch):
    held = Store(tmp_path)
    held.put(key_of("question", 1), "answer")
    assert held.get(key_of("question", 1)) == "answer"
    assert held.get(key_of("question", 2)) is None
    here = about()
    assert (here["onnxtop"], here["numpy"]) == (onnxtop.__version__, np.__version__)
    assert here["OPENBLAS_NUM_THREADS"] == os.environ["OPENBLAS_NUM_THREADS"]
    assert version_of("no-such-library") == "not installed"
    for name in here:
        monkeypatch.setattr(store, "about", lambda name=name: {**here, name: "another"})
        assert held.get(key_of("question", 1)) is None


@pytest.mark.parametrize(
    ("platform", "environment", "folder"),
    [
        ("linux", {}, "{home}/.cache/onnxtop"),
        ("linux", {"XDG_CACHE_HOME": "/caches"}, "/caches/onnxtop"),
        ("linux", {"XDG_CACHE_HOME": "caches"}, "{home}/.cache/onnxtop"),
        ("darwin", {"XDG_CACHE_HOME": "/caches"}, "{home}/Library/Caches/onnxtop"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/onnxtop/Cache"),
        ("win32", {}, "{home}/AppData/Local/onnxtop/Cache"),
        ("linux", {"XDG_CACHE_HOME": "/caches", "ONNXTOP_CACHE": "/mine"}, "/mine"),
        ("linux", {"ONNXTOP_CACHE": "~/mine"}, "{home}/mine"),
        ("linux", {"ONNXTOP_CACHE": "off"}, None),
        ("linux", {"ONNXTOP_CACHE": ""}, "{home}/.cache/onnxtop"),
    ],
)
def test_the_users_folder(platform, environment, folder, monkeypatch, tmp_path):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "ONNXTOP_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert user_folder() == (None if folder is None else Path(folder.format(home=tmp_path)))


@pytest.mark.parametrize("named", ["~nobody-of-this-name/x", "~nobody-of-this-name"])
def test_a_folder_in_the_home_of_nobody_is_refused(named, monkeypatch):
    told = rf"wanted a folder, found '{named}': there is no home ~nobody-of-this-name; write out where it is$"
    with pytest.raises(UsageError, match=f"^cache: {told}"):
        store_of(WorkOptions(cache=named))
    monkeypatch.setenv("ONNXTOP_CACHE", named)
    with pytest.raises(UsageError, match=f"^ONNXTOP_CACHE: {told}"):
        user_folder()


def test_a_home_that_is_no_place_is_none(monkeypatch):
    for name in ("ONNXTOP_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", "no place")
    assert user_folder() is None


def test_without_a_home_there_is_no_folder(monkeypatch):
    monkeypatch.delenv("ONNXTOP_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", staticmethod(homeless))
    assert user_folder() is None


def test_the_limit_is_of_bytes_on_disk(tmp_path):
    held = Store(tmp_path)
    held.put("key", {"a": 1})
    (entry,) = held.entries()
    assert entry.size == entry.path.stat().st_size
    assert json.loads(entry.path.read_bytes().partition(b"\n")[2]) == {"a": 1}
