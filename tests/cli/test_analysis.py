from unittest.mock import Mock

import pytest

from onnxtop.cli.progress import ProgressLine
from onnxtop.cli.verb import Run
from onnxtop.results.outcome import FailedModel, code_of, exit_code


@pytest.mark.parametrize(
    ("codes", "code"),
    [((2, 5, 3, 4), 2), ((3, 5, 4), 5), ((4, 3), 3), ((4, 4), 4), ((), 4)],
)
def test_the_first_code_that_applies(codes, code):
    assert exit_code(codes) == code
    assert exit_code(code_of(FailedModel("m.onnx", each, ""), "never") for each in codes) == code


@pytest.mark.parametrize(
    ("names", "fail_on", "code"),
    [
        ("clean", "warning", 0),
        ("typical", "never", 0),
        ("typical", "error", 1),
        ("warned", "error", 0),
        ("warned", "warning", 1),
        ("empty", "error", 4),
        ("empty clean", "never", 0),
        ("empty empty-2", "never", 4),
        ("format typical", "error", 3),
        ("external", "never", 3),
        ("memory", "never", 3),
        ("denied", "never", 3),
        ("usage format", "never", 2),
        ("bug typical", "error", 5),
        ("interrupt", "never", 130),
    ],
)
def test_exit_codes(run, models, names, fail_on, code):
    paths = [f"{name}.onnx" for name in names.split()]
    models(*paths)
    assert run(*paths, "--fail-on", fail_on).exit_code == code


def test_a_missing_path_and_an_empty_folder(run, tmp_path):
    (tmp_path / "folder").mkdir()
    assert run("gone.onnx").exit_code == 3
    assert run("gone*.onnx").exit_code == 3
    assert run("folder").exit_code == 4
    assert run("folder", "gone.onnx").exit_code == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("format", "cut off"),
        ("external", "weights.bin is missing"),
        ("memory", "there is not enough memory to analyse this model; see --memory"),
        ("denied", "cannot be read: Permission denied"),
        ("bug", "internal error: ZeroDivisionError: by \\x1b[31mzero (-vv shows where)"),
        ("empty", "nothing to analyse: the model has no weight tensors"),
    ],
)
def test_every_failure_is_one_line(run, models, name, message):
    models(f"{name}.onnx")
    assert run(f"{name}.onnx", "-q").stderr == f"onnxtop: error: {name}.onnx: {message}\n"


def test_every_model_is_analysed_whatever_happens_to_others(run, planted, models):
    models("bug.onnx", "clean.onnx", "format.onnx", "typical.onnx")
    result = run("bug.onnx", "gone.onnx", "clean.onnx", "format.onnx", "typical.onnx")
    assert [path for path, _ in planted.calls] == ["bug.onnx", "clean.onnx", "format.onnx", "typical.onnx"]
    assert result.stdout.count("  settings  ") == 2
    assert len(result.stderr.splitlines()) == 3


def test_tracebacks_are_for_those_who_ask(run, models):
    models("bug.onnx")
    assert "Traceback" not in run("bug.onnx", "-v").stderr
    told = run("bug.onnx", "-vv").stderr
    assert "Traceback" in told
    assert "\x1b" not in told


def test_notes_are_for_those_who_ask(run, models):
    models("clean.onnx")
    assert run("clean.onnx").stderr == ""
    assert (
        run("clean.onnx", "-v").stderr == "onnxtop: clean.onnx: 5 layers shown, 4,117,544 weights analysed\n"
    )
    assert run("clean.onnx", "-v", "-q").stderr == ""


def test_of_several_models_a_table_grows_meanwhile(run, models, monkeypatch):
    page = Mock(enabled=True)
    monkeypatch.setattr(Run, "growing", lambda _: page)
    monkeypatch.setattr(ProgressLine, "late", True)
    models("clean.onnx", "typical.onnx")
    run("clean.onnx", "typical.onnx")
    first, second = (call.args[0] for call in page.show.call_args_list)
    assert "typical.onnx" not in first
    assert second.index("typical.onnx") < second.index("clean.onnx")
    assert page.stop.called
    page.show.reset_mock()
    run("clean.onnx")
    assert not page.show.called
