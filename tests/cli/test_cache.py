import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxtop.cli import app
from onnxtop.work.store import Store

MODEL = "mlp_torch_dynamo.onnx"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's cache folder, as a test has it."""
    folder = tmp_path / "kept"
    monkeypatch.setenv("ONNXTOP_CACHE", str(folder))
    return folder


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


VERBS = {
    "report": ("report", "{model}"),
    "several": ("check", "{model}", "{other}", "-f", "jsonl"),
    "html": ("report", "{model}", "-f", "html"),
    "baseline": ("check", "{model}", "--baseline", "{other}"),
    "layers": ("layers", "{model}", "-f", "csv"),
    "graph": ("graph", "{model}", "-f", "json"),
    "diff": ("diff", "{other}", "{model}"),
    "trace": ("trace", "{model}", "{model2}", "-f", "json"),
}


@pytest.mark.parametrize("words", VERBS.values(), ids=VERBS)
def test_the_same_bytes_from_the_cache(words, kept, samples, tmp_path, monkeypatch):
    names = {
        "model": samples / MODEL,
        "other": samples / "mlp_untrained.onnx",
        "model2": shutil.copy(samples / MODEL, tmp_path / "later.onnx"),
    }
    args = [word.format(**names) for word in words]
    monkeypatch.setenv("COLUMNS", "80")
    alone = run(*args, "--cache", "off")
    assert not kept.exists()
    first = run(*args)
    assert list(Store(kept).entries())
    monkeypatch.setattr(Store, "write", lambda *given: pytest.fail("found again"))
    monkeypatch.setattr("onnxtop.work.workers.Processes", lambda *given: pytest.fail("workers for nothing"))
    second = run(*args, *(["-j", "2"] if words[0] == "check" else []))
    for each in (first, second):
        assert (each.exit_code, each.stdout_bytes) == (alone.exit_code, alone.stdout_bytes)
        assert each.stderr == alone.stderr
    assert alone.exit_code in (0, 1)


def test_a_folder_by_name_goes_before_the_users(kept, samples, tmp_path):
    run("report", samples / MODEL, "--cache", tmp_path / "other")
    assert not kept.exists()
    assert list(Store(tmp_path / "other").entries())


def test_what_is_shown_and_cleared(kept, samples):
    assert run("cache").stdout == f"{kept}: 0 results, 0 of at most 1,073,741,824 bytes\n"
    assert not kept.exists()
    run("check", samples / MODEL)
    entries = list(Store(kept).entries())
    size = sum(entry.size for entry in entries)
    shown = f"{kept}: {len(entries)} results, {size:,} of at most 1,073,741,824 bytes\n"
    assert run("cache").stdout == shown
    assert run("cache", "--cache", kept).stdout == shown
    assert run("cache", "--clear").stdout == f"{kept}: {len(entries)} results deleted\n"
    assert run("cache").stdout.startswith(f"{kept}: 0 results, 0 of")
    assert (kept / "CACHEDIR.TAG").exists()


def test_no_cache_at_all(monkeypatch):
    monkeypatch.setenv("ONNXTOP_CACHE", "off")
    for args in (("cache",), ("cache", "--clear"), ("cache", "--cache", "off")):
        assert run(*args).stdout == "off: nothing is remembered\n"


@pytest.mark.parametrize("args", [("cache",), ("cache", "--clear")])
def test_a_file_where_the_cache_should_be(args, tmp_path):
    place = tmp_path / "place"
    place.write_text("notes")
    result = run(*args, "--cache", place)
    assert result.exit_code == 2
    assert f"{place}: this cache cannot be used: Not a directory" in result.stderr
    assert place.read_text() == "notes"


def test_a_folder_that_cannot_be_written_is_a_note(samples, tmp_path, monkeypatch):
    place = tmp_path / "place"
    place.write_text("notes")
    note = f"onnxtop: {place}: nothing new is remembered in this cache: File exists\n"
    named = run("check", samples / MODEL, "--cache", place)
    assert named.exit_code == 0
    assert named.stderr == note
    assert run("check", samples / MODEL, "--cache", place, "-q").stderr == ""
    monkeypatch.setenv("ONNXTOP_CACHE", str(place))
    assert run("check", samples / MODEL).stderr == ""
    assert note in run("check", samples / MODEL, "-v").stderr
    assert place.read_text() == "notes"


def test_a_folder_without_a_name_is_refused(samples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for args in (("check", samples / MODEL), ("cache",), ("cache", "--clear")):
        result = run(*args, "--cache", "")
        assert result.exit_code == 2
        assert "cache: wanted a folder or off, found an empty name" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_pipe_is_no_model_and_nobody_waits_for_it(kept, samples, tmp_path):
    path = tmp_path / "m.onnx"
    os.mkfifo(path)
    result = run("check", path)
    assert result.exit_code == 3
    assert "found a pipe or device" in result.stderr


def test_a_model_that_is_amiss_says_so_each_time(kept, samples, tmp_path):
    path = tmp_path / "cut.onnx"
    path.write_bytes((samples / MODEL).read_bytes()[:1000])
    told = [run("check", path, samples / MODEL) for _ in range(2)]
    assert [each.exit_code for each in told] == [3, 3]
    assert told[0].stderr == told[1].stderr
    assert "breaks off" in told[0].stderr
