"""What is at an address is fetched where it is read, never twice, and little more: of a server in memory.

Real servers are asked in `tests/integrations/test_remote.py`.
"""

import gc
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from onnxtop.errors import UnreadableError
from onnxtop.reader import mirror
from onnxtop.reader.address import beside, called, file_name, is_address
from onnxtop.reader.loading import load
from onnxtop.reader.mirror import Mirror
from onnxtop.reader.remote import BLOCK
from onnxtop.reader.tensors import TensorFiles
from tests.models import model, node, weights

ADDRESS = "https://example.org/m/a.onnx"


class Server:
    """Files by their addresses, and what was asked for."""

    def __init__(self, **files: bytes) -> None:
        self.files = {f"https://example.org/m/{name.replace('_', '.')}": held for name, held in files.items()}
        self.asked: list[tuple[str, int, int]] = []
        self.checked = 0

    @property
    def sent(self) -> int:
        return sum(end - begin for _, begin, end in self.asked)


class PlantedSource:
    server: Server

    def __init__(self, address: str) -> None:
        if address not in self.server.files:
            raise UnreadableError("not there")
        self.address = address
        self.stamp = "1"

    @property
    def size(self) -> int:
        return len(self.server.files[self.address])

    def read(self, begin: int, end: int) -> bytes:
        self.server.asked.append((self.address, begin, end))
        return self.server.files[self.address][begin:end]

    def check(self) -> None:
        self.server.checked += 1


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(mirror, "RemoteSource", PlantedSource)
    yield tmp_path
    if list(tmp_path.iterdir()):  # a cycle may hold it
        gc.collect()
    assert not list(tmp_path.iterdir())


def served(**files: bytes) -> Server:
    PlantedSource.server = server = Server(**files)
    return server


CONTENT = bytes(range(256)) * (BLOCK // 16)  # 16 blocks


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, len(CONTENT)), st.integers(0, 3 * BLOCK)), max_size=12))
def test_ranges_hold_what_the_file_holds_and_none_is_fetched_twice(ranges: list[tuple[int, int]]) -> None:
    server = served(a_onnx=CONTENT)
    fetched = Mirror(ADDRESS).model
    for begin, length in ranges:
        assert fetched[begin : begin + length] == CONTENT[begin : begin + length]
    places = [place for _, begin, end in server.asked for place in range(begin, end, BLOCK)]
    assert len(set(places)) == len(places)
    wanted = {
        block
        for begin, length in ranges
        for block in range(begin // BLOCK, -(-min(begin + length, len(CONTENT)) // BLOCK))
        if length
    }
    assert wanted <= {place // BLOCK for place in places}
    assert server.checked == fetched.is_complete


def test_from_front_to_back_ever_more_is_fetched_at_a_time() -> None:
    server = served(a_onnx=bytes(256 * BLOCK))
    fetched = Mirror(ADDRESS).model
    for begin in range(0, 128 * BLOCK, 1000):
        fetched[begin : begin + 1000]
    assert len(server.asked) < 10
    assert server.sent < 256 * BLOCK


def test_what_is_jumped_over_is_not_fetched() -> None:
    server = served(a_onnx=bytes(1024 * BLOCK))
    fetched = Mirror(ADDRESS).model
    for begin in range(0, 1024 * BLOCK, 64 * BLOCK):
        fetched[begin : begin + 100]
    assert server.sent <= 2 * 16 * BLOCK


def test_a_large_range_is_asked_for_in_pieces_and_no_further() -> None:
    server = served(a_onnx=bytes(1024 * BLOCK))
    fetched = Mirror(ADDRESS).model
    fetched[: 512 * BLOCK]
    assert server.sent <= 514 * BLOCK
    assert len(server.asked) >= 4


def test_the_outline_of_a_model_skips_its_weights() -> None:
    values = {f"w{i}": weights(500, 500, seed=i) for i in range(4)}
    proto = model([node("MatMul", f"x w{i}", f"y{i}") for i in range(4)], values)
    server = served(a_onnx=proto.SerializeToString())
    loaded = load(ADDRESS)
    assert loaded.file.name == ADDRESS
    assert loaded.byte_count == proto.ByteSize()
    assert server.sent < 12 * BLOCK < proto.ByteSize()
    for value, tensor in loaded.tensors.items():
        assert (loaded.files.read(tensor) == values[value.name]).all()
    assert server.sent == proto.ByteSize() and loaded.file.sha256() and server.checked == 1


def test_weights_beside_a_model_are_fetched_when_they_are_read() -> None:
    w = weights(300, 300)
    tensor = remote_tensor("w.data", w.shape)
    server = served(
        a_onnx=model([node("MatMul", "x w")], {"w": tensor}).SerializeToString(), w_data=w.tobytes()
    )
    loaded = load(ADDRESS)
    assert {address for address, *_ in server.asked} == {ADDRESS}
    (tensor,) = loaded.tensors.values()
    assert (loaded.files.read(tensor) == w).all()
    assert (TensorFiles(loaded.file).read(tensor) == w).all()
    assert server.sent == loaded.byte_count + w.nbytes


def test_the_next_layer_is_fetched_while_one_is_worked_on() -> None:
    values = {f"w{i}": weights(600, 600, seed=i) for i in range(3)}
    proto = model([node("MatMul", f"x w{i}", f"y{i}") for i in range(3)], values)
    server = served(a_onnx=proto.SerializeToString())
    loaded = load(ADDRESS)
    first, second, _ = loaded.tensors.values()
    assert loaded.file.remote is not None
    fetched = loaded.file.remote.model
    before = server.sent
    loaded.files.read(first)
    assert fetched._behind is not None
    fetched._behind.join()
    assert before + 1.8 * values["w0"].nbytes < server.sent < proto.ByteSize()
    asked = len(server.asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(fetched), "fetch_behind", lambda self, begin, end, after: self.fetch(begin, end))
        assert (loaded.files.read(second) == values["w1"]).all()
    assert len(server.asked) == asked


def remote_tensor(location: str, shape: tuple[int, ...]) -> Any:
    from onnx import TensorProto

    tensor = TensorProto(data_type=1, dims=shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def test_what_is_there_is_read_while_something_else_is_fetched() -> None:
    server = served(a_onnx=bytes(64 * BLOCK))
    fetched = Mirror(ADDRESS).model
    fetched[:10]
    going, done = threading.Event(), threading.Event()
    plain = PlantedSource.read

    def slow(self: PlantedSource, begin: int, end: int) -> bytes:
        going.set()
        assert done.wait(10)
        return plain(self, begin, end)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(PlantedSource, "read", slow)
        future = pool.submit(lambda: fetched[40 * BLOCK])
        assert going.wait(10)
        assert fetched[5] == 0
        done.set()
        assert future.result() == 0
    assert len(server.asked) == 2


def test_a_limit() -> None:
    server = served(a_onnx=bytes(64 * BLOCK))
    mirror = Mirror(ADDRESS, 8 * BLOCK / 2**30)
    mirror.model[:10]
    with pytest.raises(UnreadableError, match=r"found 4,194,304 bytes to fetch.* --max-download"):
        mirror.announce()
    with pytest.raises(UnreadableError, match="--max-download"):
        mirror.model[: 20 * BLOCK]
    assert server.sent <= 8 * BLOCK


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://example.org/m/a%20b.onnx?x=1#y", "a b.onnx"),
        ("hf://org/model@main/onnx/a.onnx", "a.onnx"),
        ("https://example.org/", "model.onnx"),
        ("https://example.org/a%2Fb%00c", "model.onnx"),
        ("s3://bucket/..", "model.onnx"),
        (f"https://example.org/{'a' * 300}", "model.onnx"),
    ],
)
def test_names_of_files_on_this_machine(address: str, name: str) -> None:
    assert is_address(address)
    assert file_name(address) == name


def test_what_lies_beside() -> None:
    way = PurePosixPath("deep/w.data")
    assert beside("s3://bucket/m/a.onnx", way) == "s3://bucket/m/deep/w.data"
    assert beside("hf://org/model@v1/a.onnx", way) == "hf://org/model@v1/deep/w.data"


@pytest.mark.parametrize(
    "text", ["a.onnx", "C:\\a.onnx", "C:/a.onnx", "a://b", "ftp://x/a.onnx", "-", "/x://y"]
)
def test_what_is_no_address(text: str) -> None:
    assert not is_address(text)
    assert called(text) == ("<stdin>" if text == "-" else text)
