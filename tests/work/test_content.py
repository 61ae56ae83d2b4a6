import hashlib
import os
import time
from pathlib import Path

import pytest

from onnxtop.work import content
from onnxtop.work.content import combined, digest_of


def test_the_digest_of_the_bytes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert digest_of(path) == hashlib.sha256(b"abc").hexdigest()


def test_what_may_have_no_end_is_not_read(tmp_path):
    (tmp_path / "a").symlink_to("/dev/zero")
    for path in (tmp_path / "a", Path(os.devnull), tmp_path):
        with pytest.raises(OSError, match="no regular file"):
            digest_of(path)


def test_a_file_that_stands_still_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    read = []
    monkeypatch.setattr(content, "_read", lambda path: read.append(path) or str(len(read)))
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


def test_the_order_and_the_borders_of_texts_matter():
    assert len({combined(texts) for texts in (("a", "b"), ("b", "a"), ("ab",), ("a", "", "b"))}) == 4
