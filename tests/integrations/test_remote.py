"""Models at addresses: of a web server, of stores as S3 and Google's, and of a hub; all on loopback."""

import gc
import json
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import onnxtop
from onnxtop.cli import app
from onnxtop.errors import (
    DeniedError,
    ExternalDataError,
    FormatError,
    MissingError,
    MissingExternalDataError,
    UnreadableError,
)
from onnxtop.reader import remote
from onnxtop.reader.loading import load
from onnxtop.results.report import Report
from onnxtop.testing import mlp
from tests.stores import google, hub
from tests.web import web

pytestmark = [pytest.mark.integration("remote"), pytest.mark.filterwarnings("default")]

SIDE = 700  # squared, float32: some 2 MB, of which an outline takes a block or two
BESIDE = "odd #name%.data"


@pytest.fixture(autouse=True)
def fetched(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Wait for nothing, and see that nothing is left behind."""
    folder = tmp_path_factory.mktemp("fetched")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0))
    yield folder
    gc.collect()
    assert not list(folder.iterdir())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model in one file, and with the same whose weights lie beside it."""
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(SIDE, SIDE)).astype(np.float32) for _ in range(3)]
    onnx.save(mlp(weights), folder / "inline.onnx")
    (folder / "deep").mkdir()
    onnx.save(mlp(weights), folder / "deep" / "beside.onnx", save_as_external_data=True, location=BESIDE)
    return folder


@pytest.fixture(scope="module")
def bucket(folder: Path) -> Iterator[str]:
    """Return the address of a store that speaks S3, with the same files in it."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "something")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="models")
    for path in (each for each in folder.rglob("*") if each.is_file()):
        client.upload_file(str(path), "models", path.relative_to(folder).as_posix())
    yield "s3://models"
    server.stop()
    patch.undo()


@pytest.fixture(scope="module")
def repository(folder: Path) -> Iterator[str]:
    """Return the address of the folder on a hub; its client reads where that is when it is loaded."""
    with hub(folder) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", address)
        patch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        patch.setenv("HF_HUB_OFFLINE", "0")
        yield "hf://somebody/models"


@pytest.fixture(scope="module")
def storage(folder: Path) -> Iterator[str]:
    """Return the address of the folder in a store of Google's kind."""
    with google(folder) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", address)
        patch.setenv("FSSPEC_GS_TOKEN", "anon")
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # which asks Google itself
        yield "gs://models"


@pytest.fixture(params=["web", "s3", "hf", "gs"])
def place(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """Return the address of the folder, on each of the servers."""
    named = {"s3": "bucket", "hf": "repository", "gs": "storage"}
    if request.param in named:
        yield request.getfixturevalue(named[request.param])
        return
    with web(folder) as served:
        yield served.address


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Return what was asked for, as address, begin and end; filled later."""
    ranges: list[tuple[str, int, int]] = []
    read = remote.RemoteSource.read

    def counted(self: remote.RemoteSource, begin: int, end: int) -> bytes:
        ranges.append((self.address, begin, end))
        return read(self, begin, end)

    monkeypatch.setattr(remote.RemoteSource, "read", counted)
    return ranges


def size(ranges: list[tuple[str, int, int]]) -> int:
    return sum(end - begin for _, begin, end in ranges)


def as_file(report: Report, path: Path) -> Report:
    """Return a report as it would be of a file."""
    return replace(report, model=replace(report.model, path=str(path)))


FILES = ("inline.onnx", "deep/beside.onnx")


@pytest.mark.parametrize("name", FILES)
def test_a_report_is_that_of_the_file_and_fetches_every_byte_once(
    name: str, place: str, folder: Path, asked: list[tuple[str, int, int]]
) -> None:
    report = onnxtop.audit(f"{place}/{name}")
    assert report.model.path == f"{place}/{name}"
    assert as_file(report, folder / name) == onnxtop.audit(folder / name)
    whole = [folder / name, *(folder / name).parent.glob(BESIDE)] if "/" in name else [folder / name]
    assert size(asked) == sum(path.stat().st_size for path in whole)
    ends = {(address, end) for address, _, end in asked}
    assert all(begin == 0 or (address, begin) in ends for address, begin, _ in asked)  # no gap, no overlap


@pytest.mark.parametrize("name", FILES)
def test_an_outline_fetches_no_weights(
    name: str, place: str, folder: Path, asked: list[tuple[str, int, int]]
) -> None:
    done = CliRunner().invoke(app, ["layers", "-f", "json", f"{place}/{name}"])
    assert done.exit_code == 0, done.output
    (report,) = json.loads(done.stdout)["reports"]
    layers = onnxtop.audit(folder / name, topology=False).layers
    assert [each["name"] for each in report["layers"]] == [each.name for each in layers]
    assert [each["parameters"] for each in report["layers"]] == [SIDE * SIDE] * 3
    assert report["model"]["sha256"] is None
    assert report["coverage"]["parameters_total"] == 3 * SIDE * SIDE
    assert size(asked) < 10 * remote.BLOCK < SIDE * SIDE * 4


def test_rules_that_look_at_constants_do_not_run_on_an_outline(place: str) -> None:
    report = onnxtop.audit(f"{place}/inline.onnx", topology=False)
    reasons = {each.rule: each.reason for each in report.rules.not_run}
    assert reasons["OT109"] == reasons["OT110"] == "only the outline was fetched"


def test_models_at_addresses_are_judged_compared_drawn_and_run(place: str, folder: Path) -> None:
    address = f"{place}/deep/beside.onnx"
    done = CliRunner().invoke(app, ["diff", address, str(folder / "inline.onnx"), "-f", "json"])
    assert json.loads(done.stdout)["whole"]["verdict"] == "SAME", done.output
    done = CliRunner().invoke(app, ["check", "--run", address, "-f", "json"])
    (report,) = json.loads(done.stdout)["reports"]
    assert report["run"]["failure"] is None, report["run"]
    assert CliRunner().invoke(app, ["graph", address]).exit_code == 0


def test_what_is_remembered_is_told_without_a_weight(
    place: str, asked: list[tuple[str, int, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, cache = f"{place}/deep/beside.onnx", str(tmp_path / "cache")
    first = onnxtop.audit(address, cache=cache)
    asked.clear()
    assert onnxtop.audit(address, cache=cache) == first
    assert not asked
    stamp = remote.stamp_of(address)
    assert stamp is not None and address in stamp
    monkeypatch.setattr(remote, "_stamp", lambda about: "another")
    assert onnxtop.audit(address, cache=cache) == first
    assert size(asked) > SIDE * SIDE


def test_a_model_that_changes_in_a_store(place: str, folder: Path) -> None:
    """Each tells versions of a file apart, by what is there now, not by what it was asked first."""
    model, path = load(f"{place}/inline.onnx"), folder / "inline.onnx"
    before = path.read_bytes()
    _put(place, path, before[:-1] + bytes([before[-1] ^ 1]))
    try:
        with pytest.raises(UnreadableError, match="changed while it was read"):
            onnxtop.audit(model)
    finally:
        _put(place, path, before)


def _put(place: str, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    if place.startswith("s3"):
        import boto3

        boto3.client("s3").upload_file(str(path), "models", path.name)


@pytest.mark.parametrize("stamp", ["", 'W/"1"', "Fri, 27 Nov 2026 06:00:00 GMT"])
def test_what_two_versions_may_share_is_no_stamp(stamp: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_stamp", lambda about: stamp)
    monkeypatch.setattr(remote.RemoteSource, "_about", lambda self: {"size": 1})
    assert remote.stamp_of("https://example.org/a.onnx") is None


def test_a_limit_holds_before_the_first_weight(place: str, asked: list[tuple[str, int, int]]) -> None:
    for name in FILES:
        with pytest.raises(UnreadableError, match=r"at most 0\.002 GiB of it, found 5,88.* --max-download"):
            onnxtop.audit(f"{place}/{name}", max_download=0.002)
    assert size(asked) < 10 * remote.BLOCK
    assert onnxtop.audit(f"{place}/inline.onnx", topology=False, max_download=0.002).layers


@pytest.mark.parametrize("name", FILES)
def test_threads_share_what_is_fetched(name: str, place: str, asked: list[tuple[str, int, int]]) -> None:
    layers = onnxtop.read_layers(f"{place}/{name}")
    with ThreadPoolExecutor(8) as pool:
        sums = list(pool.map(lambda number: float(layers[number % 3].matrix().sum()), range(24)))
    assert sums == sums[:3] * 8
    assert len({(address, begin) for address, begin, _ in asked}) == len(asked)


def test_what_is_not_there(place: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"gone\.onnx: wanted an ONNX file, found none at this address"):
        load(f"{place}/gone.onnx")
    done = CliRunner().invoke(app, ["report", f"{place}/gone.onnx", f"{place}/inline.onnx", "-f", "json"])
    assert done.exit_code == 3
    assert json.loads(done.stdout)["counts"]["not_analysed"] == 1


def test_a_folder_at_an_address(place: str) -> None:
    wanted = "found none" if place.startswith("http") else "found a folder"  # the web has no folders
    with pytest.raises(UnreadableError, match=wanted):
        load(f"{place}/deep")


# A web server may do as it likes.


@pytest.fixture
def copies(tmp_path: Path, folder: Path) -> Path:
    """Return a folder with models to change."""
    (tmp_path / "inline.onnx").write_bytes((folder / "inline.onnx").read_bytes())
    return tmp_path


@pytest.mark.parametrize("quirk", ["no-ranges", "refuses-ranges", "no-size"])
def test_a_server_without_ranges_is_asked_for_the_whole_file_once(quirk: str, folder: Path) -> None:
    path = folder / "inline.onnx"
    with web(folder, quirk) as served:
        report = onnxtop.audit(f"{served.address}/inline.onnx")
    assert as_file(report, path) == onnxtop.audit(path)
    whole = [(begin, end) for _, begin, end in served.sent if end - begin == path.stat().st_size]
    assert len(whole) in (1, 2)  # what only wants the front closes the connection


def test_a_limit_holds_where_no_size_is_told(folder: Path) -> None:
    with web(folder, "no-size") as served, pytest.raises(UnreadableError, match="--max-download"):
        load(f"{served.address}/inline.onnx", max_download=0.0001)


def test_a_model_that_changes_while_it_is_read(copies: Path) -> None:
    with web(copies, "changing") as served, pytest.raises(UnreadableError, match="changed while it was read"):
        onnxtop.audit(f"{served.address}/inline.onnx")


def test_a_change_without_a_strong_tag_is_seen_at_the_end(copies: Path) -> None:
    with web(copies, "weak") as served:
        model = load(f"{served.address}/inline.onnx")
        content = bytearray((copies / "inline.onnx").read_bytes())
        content[-100] ^= 1
        (copies / "inline.onnx").write_bytes(content)
        with pytest.raises(UnreadableError, match="changed while it was read"):
            onnxtop.audit(model)


def test_a_server_that_fails_by_chance_is_asked_again(folder: Path) -> None:
    with web(folder, "broken") as served:
        served.failures = 2
        assert len(onnxtop.read_layers(f"{served.address}/inline.onnx")) == 3
        served.failures = 10
        with pytest.raises(UnreadableError, match="503"):
            load(f"{served.address}/inline.onnx")


def test_who_may_not_read_is_told_so(folder: Path) -> None:
    with web(folder, "locked") as served:
        address = served.address.replace("http://", "http://somebody:secret@")
        assert len(onnxtop.read_layers(f"{address}/inline.onnx")) == 3
        with pytest.raises(DeniedError, match=r"no right to read it \(401\)"):
            load(f"{served.address}/inline.onnx")


def test_a_server_that_says_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "TIMEOUT", 0.1)
    with web(folder, "silent") as served, pytest.raises(UnreadableError, match="an answer within"):
        load(f"{served.address}/inline.onnx")


def test_a_server_that_cuts_off(folder: Path) -> None:
    with web(folder, "short") as served, pytest.raises(UnreadableError, match="cut it off"):
        load(f"{served.address}/inline.onnx")


def test_a_server_that_does_not_stop(folder: Path) -> None:
    """It gives more than was asked for, and would until the memory is full."""
    with web(folder, "endless") as served, pytest.raises(UnreadableError, match=r"wanted \S+ bytes at 0, fo"):
        load(f"{served.address}/inline.onnx")


def test_a_server_that_gives_another_range(folder: Path) -> None:
    with web(folder, "wrong-range") as served, pytest.raises(UnreadableError, match=r"found bytes \d+-\d+/"):
        onnxtop.audit(f"{served.address}/inline.onnx")


def test_no_server_at_all(folder: Path) -> None:
    with web(folder) as served:
        pass
    with pytest.raises(UnreadableError, match="does not give it"):
        load(f"{served.address}/inline.onnx")


def test_secrets_of_an_address_are_not_shown(folder: Path) -> None:
    with web(folder) as served:
        address = served.address.replace("http://", "http://somebody:secret@")
        for name in ("inline.onnx", "gone.onnx"):
            done = CliRunner().invoke(app, ["report", f"{address}/{name}?signature=secret", "-f", "json"])
            assert "secret" not in done.output
            assert f"{served.address}/{name}" in done.output


@pytest.mark.parametrize("location", ["../inline.onnx", "/etc/passwd", "a/../../inline.onnx", "C:/../../.."])
def test_weights_beside_a_model_stay_below_its_folder(location: str, folder: Path, tmp_path: Path) -> None:
    proto = onnx.load(folder / "deep" / "beside.onnx", load_external_data=False)
    for tensor in proto.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = location
    (tmp_path / "deep").mkdir()
    onnx.save(proto, tmp_path / "deep" / "a.onnx")
    (tmp_path / "inline.onnx").write_bytes(bytes(SIDE * SIDE * 12))
    with web(tmp_path) as served, pytest.raises(ExternalDataError):
        load(f"{served.address}/deep/a.onnx")
    assert {path for path, _, _ in served.sent} == {"deep/a.onnx"}


def test_weights_that_are_not_there(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes((folder / "deep" / "beside.onnx").read_bytes())
    with web(tmp_path) as served, pytest.raises(MissingExternalDataError, match="beside the model"):
        load(f"{served.address}/a.onnx")


@pytest.mark.parametrize(("content", "found"), [(b"<html>no", "a web page"), (b"", "an empty file")])
def test_what_is_no_model(content: bytes, found: str, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with web(tmp_path) as served, pytest.raises(FormatError, match=found):
        load(f"{served.address}/a.onnx")


def test_an_address_is_no_chain_of_addresses(folder: Path) -> None:
    with web(folder) as served, pytest.raises(UnreadableError):
        load(f"{served.address}/gone::file://{folder / 'inline.onnx'}")


def test_a_part_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    def missing(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(onnxtop.MissingLibraryError, match=r"pip install 'onnxtop\[remote\]'"):
        load("s3://models/a.onnx")


def test_a_full_disk_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type(shutil.disk_usage(folder))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 1000, 1000))
    with web(folder) as served, pytest.raises(UnreadableError, match=r"found 1,000; make room"):
        load(f"{served.address}/inline.onnx")
