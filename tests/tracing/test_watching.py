"""A folder that is watched while somebody writes, cuts, replaces and takes away files in it."""

import errno
import shutil
from itertools import islice
from pathlib import Path

import pytest

from onnxtop.auditing.options import AuditOptions
from onnxtop.errors import ModelError
from onnxtop.results.outcome import FailedModel
from onnxtop.tracing.options import TraceOptions
from onnxtop.tracing.story import Series, trace
from onnxtop.tracing.watching import Watch
from tests.tracing.runs import course, written


class Folder:
    """A folder in which something happens between two looks; each look is one sleep of the watcher."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, acts) -> None:
        self.acts = iter(acts)
        monkeypatch.setattr("onnxtop.tracing.watching.time.sleep", self.act)
        self.series = Series(TraceOptions(audit=AuditOptions(structure=False)))
        self.watch = Watch(str(path), self.series, 1.0)

    def act(self, seconds: float) -> None:
        next(self.acts)()

    def steps(self, count: int) -> list[str | int]:
        steps = self.watch.steps()
        found = list(islice(steps, count))
        steps.close()
        return [step.code if isinstance(step, FailedModel) else step.name for step in found]


def nothing() -> None:
    """Nothing happens between two looks."""


@pytest.fixture
def run(tmp_path: Path) -> list[Path]:
    return [Path(path) for path in written(tmp_path / "elsewhere", course(4))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "watched"
    path.mkdir()
    return path


def test_files_that_come_whole(run, folder, monkeypatch):
    for path in run[:2]:
        shutil.copy(path, folder)
    late = lambda: shutil.copy(run[2], folder)  # noqa: E731
    seen = Folder(folder, monkeypatch, [late, nothing, nothing])
    assert seen.steps(3) == ["step_0", "step_100", "step_200"]
    points = trace(run[:3], structure=False).measured
    assert [point.layers for point in seen.series.points] == [point.layers for point in points]


def test_a_file_that_is_written_slowly(run, folder, monkeypatch):
    """It is cut, rests for several looks, grows, and is whole at last."""
    data = run[0].read_bytes()
    file = folder / "step_0.onnx"
    acts = [
        lambda: file.write_bytes(b""),
        *[nothing] * 2,
        lambda: file.write_bytes(data[:700]),
        *[nothing] * 3,
        lambda: file.write_bytes(data[:-4]),
        lambda: file.write_bytes(data),
        nothing,
    ]
    seen = Folder(folder, monkeypatch, acts)
    assert seen.steps(1) == ["step_0"]
    assert seen.watch.waiting == {}
    assert next(seen.acts, None) is None


def test_what_never_becomes_whole_is_told(run, samples, folder, monkeypatch):
    (folder / "cut.onnx").write_bytes(run[0].read_bytes()[:1000] + b"\xff")
    shutil.copy(samples / "mlp_torch_external.onnx", folder)
    shutil.copy(run[1], folder)
    seen = Folder(folder, monkeypatch, [nothing])
    assert seen.steps(1) == ["step_100"]
    told = {Path(failed.path).stem: (failed.code, failed.message) for failed in seen.watch.waiting.values()}
    assert told["mlp_torch_external"] == (3, "a file that it keeps weights in is not there")
    assert told["cut"][0] == 3
    assert len(told) == 2


def test_files_that_are_replaced_touched_and_deleted(run, folder, monkeypatch):
    last = folder / "last.onnx"
    acts = [
        lambda: shutil.copy(run[0], last),
        nothing,
        lambda: last.write_bytes(last.read_bytes()),  # the same once more: no other checkpoint
        nothing,
        lambda: shutil.copy(run[1], folder / "x").replace(last),
        nothing,
        lambda: shutil.copy(run[3], folder / "gone.onnx"),
        lambda: (folder / "gone.onnx").unlink(),
        last.unlink,
        nothing,
        lambda: shutil.copy(run[2], last),
        nothing,
    ]
    seen = Folder(folder, monkeypatch, acts)
    monkeypatch.setattr("shutil.copy", lambda a, b, copy=shutil.copyfile: Path(copy(a, b)))
    assert seen.steps(3) == ["last", "last (2)", "last (3)"]
    points = trace(run[:3], structure=False).measured
    assert [point.moved for point in seen.series.points] == [point.moved for point in points]


def test_a_file_that_is_renamed_is_no_other_checkpoint(run, folder, monkeypatch):
    last = folder / "last.onnx"
    acts = [
        nothing,
        lambda: (last.rename(folder / "a.onnx"), shutil.copy(run[1], last)),
        nothing,
        lambda: (folder / "a.onnx").rename(folder / "z.onnx"),
        nothing,
        lambda: shutil.copy(run[2], folder / "b.onnx"),
        nothing,
    ]
    shutil.copy(run[0], last)
    assert Folder(folder, monkeypatch, acts).steps(3) == ["last", "last (2)", "b"]


def test_external_data_that_comes_later(samples, folder, monkeypatch):
    data = "mlp_torch_external.onnx.data"
    acts = [
        lambda: (folder / data).write_bytes((samples / data).read_bytes()[:1000]),
        *[nothing] * 2,
        lambda: shutil.copy(samples / data, folder),
        nothing,
    ]
    shutil.copy(samples / "mlp_torch_external.onnx", folder)
    seen = Folder(folder, monkeypatch, acts)
    assert seen.steps(1) == ["mlp_torch_external"]
    assert next(seen.acts, None) is None


def test_a_file_that_changes_while_it_is_copied(run, folder, monkeypatch):
    shutil.copy(run[0], folder / "a.onnx")
    real = shutil.copyfile
    changes = iter(
        [lambda: (folder / "a.onnx").write_bytes(run[1].read_bytes()[:900]), (folder / "a.onnx").unlink]
    )

    def copy(source, target):
        next(changes, nothing)()
        return real(source, target)

    again = lambda: real(run[2], folder / "a.onnx")  # noqa: E731
    seen = Folder(folder, monkeypatch, [nothing, nothing, nothing, again, nothing])
    monkeypatch.setattr("shutil.copyfile", copy)
    assert seen.steps(1) == ["a"]
    assert seen.series.points[0].layers == trace([run[2]], structure=False).measured[0].layers


def test_another_architecture_is_a_row(run, samples, folder, monkeypatch):
    shutil.copy(run[0], folder)
    acts = [nothing, lambda: shutil.copy(samples / "mlp_jax.onnx", folder), nothing]
    assert Folder(folder, monkeypatch, acts).steps(2) == ["step_0", 2]


def test_no_copy_is_left_behind(run, folder, monkeypatch, tmp_path):
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(room))
    for path in run[:3]:
        shutil.copy(path, folder)
    seen = Folder(folder, monkeypatch, [nothing])
    steps = seen.watch.steps()
    next(steps)
    next(steps)
    assert len(list(room.iterdir())) <= 2
    steps.close()
    assert list(room.iterdir()) == []


def test_no_room_for_a_copy_ends_the_watch(run, folder, monkeypatch):
    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    shutil.copy(run[0], folder)
    monkeypatch.setattr("onnxtop.tracing.watching.shutil.copyfile", full)
    seen = Folder(folder, monkeypatch, [nothing, nothing])
    with pytest.raises(
        ModelError, match=r"wanted room for a copy, found none in .*: No space left on device"
    ):
        seen.steps(1)


def test_a_file_that_may_not_be_read_is_told_when_it_ends(run, folder, monkeypatch):
    def locked(*given):
        raise PermissionError(errno.EACCES, "Permission denied")

    for path in run[:2]:
        shutil.copy(path, folder)
    real = shutil.copyfile
    monkeypatch.setattr(
        "onnxtop.tracing.watching.shutil.copyfile",
        lambda source, target: locked() if "step_0" in str(source) else real(source, target),
    )
    seen = Folder(folder, monkeypatch, [nothing, nothing])
    assert seen.steps(1) == ["step_100"]
    assert [each.message for each in seen.watch.waiting.values()] == ["cannot be read: Permission denied"]
