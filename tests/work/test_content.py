import hashlib
import os
import time
from pathlib import Path

import numpy as np
import pytest

from onnxtop.work import content
from onnxtop.work.content import combined, digest_of, digest_of_elements
from onnxtop.work.store import Store


def test_the_digest_of_the_bytes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert digest_of(path) == hashlib.sha256(b"abc").hexdigest()


def test_who_waits_for_a_large_file_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(content, "_CHUNK", 2)
    (tmp_path / "a").write_bytes(b"abcde")
    told = []
    assert digest_of(tmp_path / "a", progress=lambda *what: told.append(what)) == digest_of(tmp_path / "a")
    assert told == [("a", 2, 5), ("a", 4, 5), ("a", 5, 5)]


def test_what_may_have_no_end_is_not_read(tmp_path):
    (tmp_path / "a").symlink_to("/dev/zero")
    for path in (tmp_path / "a", Path(os.devnull), tmp_path):
        with pytest.raises(OSError, match="no regular file"):
            digest_of(path)


def test_a_file_that_stands_still_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    read = []
    monkeypatch.setattr(content, "_read", lambda path, _: read.append(path) or str(len(read)))
    assert [digest_of(path), digest_of(path)] == ["1", "2"]  # just written: it may change unseen
    later = time.time_ns() + 10**10
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert [digest_of(path), digest_of(path)] == ["3", "3"]


def test_a_file_that_pretends_to_be_as_old_is_read_again(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    status = path.stat()
    later = time.time_ns() + 10**10
    monkeypatch.setattr(time, "time_ns", lambda: later)
    first = digest_of(path)
    time.sleep(0.02)  # longer than a tick of the file system's clock
    path.write_bytes(b"xyz")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digest_of(path) != first


@pytest.mark.parametrize(("seconds", "reads"), [(10, 2), (100, 1)])
def test_what_a_file_at_rest_holds_is_known_to_other_processes(tmp_path, monkeypatch, seconds, reads):
    path, store, read, real = tmp_path / "a", Store(tmp_path / "cache"), [], content._read
    path.write_bytes(b"abc")
    monkeypatch.setattr(content, "_read", lambda path, _: read.append(path) or real(path, None))
    later = time.time_ns() + seconds * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    for _ in range(2):
        assert digest_of(path, store) == hashlib.sha256(b"abc").hexdigest()
        content._known.clear()  # another process knows nothing of it
    assert len(read) == reads


def test_a_file_that_comes_into_the_place_of_one_at_rest_is_read(tmp_path, monkeypatch):
    path, store = tmp_path / "a", Store(tmp_path / "cache")
    path.write_bytes(b"abc")
    status = path.stat()
    later = time.time_ns() + 10**11
    monkeypatch.setattr(time, "time_ns", lambda: later)
    first = digest_of(path, store)
    (tmp_path / "b").write_bytes(b"xyz")
    os.utime(tmp_path / "b", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "b").replace(path)
    assert digest_of(path, store) == hashlib.sha256(b"xyz").hexdigest() != first


def test_the_order_and_the_borders_of_texts_matter():
    assert len({combined(texts) for texts in (("a", "b"), ("b", "a"), ("ab",), ("a", "", "b"))}) == 4


def test_the_digest_of_elements_knows_no_strides():
    array = np.arange(600_000, dtype=np.float32).reshape(400, 1500)
    wanted = hashlib.sha256(array.tobytes()).hexdigest()[:32]
    twice = np.repeat(array, 2, axis=1)
    shifted = np.frombuffer(b"x" + array.tobytes(), np.float32, offset=1).reshape(array.shape)  # not aligned
    for view in (array, np.asfortranarray(array), twice[:, ::2], shifted, array.ravel()):
        assert digest_of_elements(view) == wanted
    assert digest_of_elements(array.T) != wanted


def test_the_digest_of_elements_in_another_type():
    half = np.arange(12, dtype=np.float16).reshape(3, 4)
    assert digest_of_elements(half) != digest_of_elements(half.astype(np.float64))
    assert digest_of_elements(half, np.float64) == digest_of_elements(half.astype(np.float64))
    assert digest_of_elements(np.array(["a", "b"], object)) != digest_of_elements(np.array(["ab"], object))
    assert digest_of_elements(np.empty((0, 3))) == hashlib.sha256(b"").hexdigest()[:32]
