"""Arrays from strangers: each kind of damage is told in one line, and nothing is allocated for it."""

import io
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxtop.errors import UsageError
from onnxtop.loss import arrays
from onnxtop.loss.arrays import read_npy, read_npz
from onnxtop.loss.data import read_data
from tests.models import mlp

X = np.arange(60, dtype=np.float32).reshape(5, 12)
MUCH = 2**24
"""Bytes that no damaged file is given."""


def content(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npy(header: str | bytes, body: bytes = b"", version: bytes = b"\1\0", width: str = "<H") -> bytes:
    text = header.encode() if isinstance(header, str) else header
    return b"\x93NUMPY" + version + struct.pack(width, len(text)) + text + body


def declared(descr: object = "<f4", shape: object = (5, 12), fortran: object = False) -> bytes:
    return npy(f"{{'descr': {descr!r}, 'fortran_order': {fortran!r}, 'shape': {shape!r}}}", X.tobytes())


def archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


@pytest.mark.parametrize(
    "array",
    [
        X,
        np.asfortranarray(X),
        X.astype(">f8"),
        X > 3,
        X.astype(np.complex64),
        np.float32(3),
        X[:0],
        np.zeros((2, 0, 3), np.int8),
        np.array(["a", "bcd"]),
        np.array([b"a"]),
        np.zeros(3, "M8[s]"),
        np.zeros((5, 2), "V2"),
    ],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_numpy_writes_is_read(array: Any, method: int, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(content(array))
    path = archive(tmp_path / "a.npz", {"a.npy": content(array), "b.npy": content(X)}, method)
    for found in (read_npy(tmp_path / "a.npy"), read_npz(path)["a"]):
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.tobytes() == array.tobytes()
    np.testing.assert_array_equal(read_npz(path)["b"], X)


HOSTILE = {
    "empty": (b"", "it is empty|found none"),
    "text": (b"samples", "wanted an array as np.save writes it"),
    "pickle": (b"\x80\x04\x95" + b"c" * 40, "wanted an array as np.save writes it"),
    "version": (npy("{}", version=b"\x09\x09"), "wanted an array as np.save writes it"),
    "no header": (npy("{}"), "none that can be read"),
    "a list": (npy("[1, 2]"), "none that can be read"),
    "code": (npy("__import__('os').abort()"), "none that can be read"),
    "nested": (npy("(" * 9000), "none that can be read"),
    "deep": (npy("[" * 3000 + "]" * 3000), "none that can be read"),
    "bytes": (npy(b"\0\xff\x13"), "none that can be read"),
    "long": (npy(" " * 60_000), "one of 60,000 characters"),
    "longest": (npy("", version=b"\2\0", width="<I")[:8] + b"\xff" * 4, "one of 4,294,967,295 characters"),
    "digits": (declared(shape="9" * 5000), "wanted the shape|none that can be read"),
    "2^40": (declared(shape=(2**40,)), "more numbers than there can be"),
    "2^62": (declared(shape=(2**62,)), "more numbers than there can be"),
    "2^100": (declared(shape=(2**100,)), "more numbers than there can be"),
    "wraps": (declared(shape=(2**32, 2**32)), "more numbers than there can be"),
    "nothing of 2^100": (declared(shape=(0, 2**100)), "more numbers than there can be"),
    "one more": (declared(shape=(61,)), "more numbers than there can be"),
    "negative": (declared(shape=(-5, -12)), "wanted the shape"),
    "truth": (declared(shape=(True, 60)), "wanted the shape"),
    "float": (declared(shape=(5.0, 12)), "wanted the shape"),
    "axes": (declared(shape=(1,) * 100), "dimension"),
    "objects": (content(np.array([{}], object), allow_pickle=True), "Python objects, which are not loaded"),
    "records": (declared([("a", "<f4")]), "wanted numbers, found the type"),
    "hidden objects": (declared([("a", "O")]), "Python objects"),
    "odd type": (declared("(2,2)<f4,("), "wanted numbers, found the type"),
    "no type": (declared("<f3"), "wanted numbers, found the type"),
    "no length": (declared("|S0", (2**40,)), "wanted numbers, found the type"),
    "long text": (declared("<U500000000", (1,)), "more numbers than there can be"),
    "number": (declared(5), "wanted numbers, found the type"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("form", ["npy", "stored", "deflated"])
def test_a_damaged_array_is_told(name: str, form: str, tmp_path: Path) -> None:
    data, message = HOSTILE[name]
    path = tmp_path / ("a.npy" if form == "npy" else "a.npz")
    if form == "npy":
        path.write_bytes(data)
    else:
        method = zipfile.ZIP_STORED if form == "stored" else zipfile.ZIP_DEFLATED
        archive(path, {"x.npy": data}, method)
    tracemalloc.start()
    try:
        with pytest.raises(UsageError, match=message) as raised:
            read_data(path, labelled=False)
        assert tracemalloc.get_traced_memory()[1] < MUCH
    finally:
        tracemalloc.stop()
    assert str(raised.value).startswith(f"{path}: wanted ")
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.bin"])
@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"x,y\n1,2\n", "text"),
        (b'{"x": [1]}', "JSON"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (mlp(3, 2).SerializeToString(), "an ONNX model"),
    ],
)
def test_data_of_another_format_are_told(name: str, data: bytes, found: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=f"{name}: wanted .* as np.savez? .*, found {found}.*; save"):
        read_data(tmp_path / name, labelled=False)


def test_arrays_in_the_place_of_an_archive_and_an_archive_in_that_of_an_array(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content(X))
    archive(tmp_path / "a.npy", {"x.npy": content(X)})
    for name, found in (("a.npz", "an array of NumPy"), ("a.npy", "a zip archive")):
        with pytest.raises(UsageError, match=f"{name}: wanted .* as np.savez? .*, found {found}"):
            read_data(tmp_path / name, labelled=False)


def patched(where: bytes, offset: int, value: bytes) -> Callable[[bytes], bytes]:
    """Return what puts other bytes into every header of a kind."""

    def change(data: bytes) -> bytes:
        changed, place = bytearray(data), 0
        while (place := changed.find(where, place)) >= 0:
            changed[place + offset : place + offset + len(value)] = value
            place += 4
        return bytes(changed)

    return change


LOCAL, CENTRAL = b"PK\3\4", b"PK\1\2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[: len(data) // 2], "damaged"),
        (lambda data: data[:60] + b"\xff" * 20 + data[80:], "damaged"),
        (patched(CENTRAL, 16, b"\0\0\0\0"), "damaged: Bad CRC"),
        (patched(CENTRAL, 8, b"\1"), "is encrypted"),
        (patched(CENTRAL, 10, b"\x4d"), "compressed by method 77"),
        (patched(CENTRAL, 10, b"\x0e"), "compressed by method 14"),
        (patched(CENTRAL, 6, b"\xff"), "damaged"),
        (
            lambda data: patched(CENTRAL, 16, b"\0\0\0\0")(patched(CENTRAL, 24, b"\xff\xff\xff\x0f")(data)),
            "Bad CRC",
        ),
        (patched(CENTRAL, 24, b"\xff\xff\xff\x7f"), "at most 1,073,741,824 are unpacked"),
        (patched(CENTRAL, 42, b"\xf0\xff\xff\x7f"), "damaged"),
        (lambda data: b"no archive\0", "damaged"),
        (lambda data: b"no archive", "wanted arrays as np.savez writes them, found text; save them so"),
    ],
)
def test_a_damaged_archive_is_told(change: Callable[[bytes], bytes], message: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", {"x.npy": content(X)})
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UsageError, match=message):
        read_data(path, labelled=False)


@pytest.mark.parametrize(
    "change", [patched(LOCAL, 28, b"\xff\xff"), patched(CENTRAL, 42, b"\xf0\xff\xff\x7f")]
)
def test_what_is_stored_elsewhere_than_in_the_file_is_told(
    change: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = archive(tmp_path / "a.npz", {"x.npy": content(X)}, zipfile.ZIP_STORED)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UsageError, match="damaged"):
        read_data(path, labelled=False)


def test_two_arrays_of_one_name_are_told(tmp_path: Path) -> None:
    path = archive(tmp_path / "data.npz", {"x.npy": content(X)})
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("x.npy", content(X + 1))
    with pytest.raises(ValueError, match=r"'x\.npy' is in it 2 times"):
        read_npz(path)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = np.zeros(2**19, np.float32)
    members = {f"{name}.npy": content(zeros) for name in "ab"}
    path = archive(tmp_path / "a.npz", members)
    assert path.stat().st_size < 2**14
    assert len(read_npz(path)) == 2
    monkeypatch.setattr(arrays, "MOST_UNPACKED", 3 * 2**20)
    with pytest.raises(ValueError, match=r"at most 3,145,728 are unpacked: save them with np\.savez"):
        read_npz(path)
    assert len(read_npz(archive(tmp_path / "b.npz", members, zipfile.ZIP_STORED))) == 2


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "folder/x.npy"])
def test_a_pipe_or_device_is_not_waited_for(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / name)
    place = tmp_path / name if "/" not in name else tmp_path / "folder"
    with pytest.raises(UsageError, match="it is a pipe or device: copy what it holds to a file"):
        read_data(place, labelled=False)


def test_many_arrays_take_one_descriptor(tmp_path: Path) -> None:
    opened = Path("/proc/self/fd")
    before = len(list(opened.iterdir())) if opened.exists() else 0
    found = read_npz(
        archive(tmp_path / "a.npz", {f"{n}.npy": content(X) for n in range(50)}, zipfile.ZIP_STORED)
    )
    assert len(found) == 50
    assert not before or len(list(opened.iterdir())) <= before + 2
