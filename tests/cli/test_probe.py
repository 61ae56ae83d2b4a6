"""``onnxtop probe`` from the command line: pages, formats, errors, exit codes."""

import importlib
import json
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import numpy_helper
from rich.cells import cell_len

from onnxtop.cli import VERBS, app
from onnxtop.loss import summary
from onnxtop.loss.directions import Surface
from onnxtop.render.probe.svg import svg
from onnxtop.render.probe.terminal import chart

SAMPLES = Path(__file__).parents[2] / "sample_models"
MODEL, DATA = str(SAMPLES / "mlp_jax.onnx"), str(SAMPLES / "digits.npz")

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    return lambda *args: CliRunner().invoke(app, ["probe", *map(str, args)])


def test_page(run: Run) -> None:
    done = run(MODEL, "--data", DATA)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[1] == "1,297 samples of split main · 12.1 k parameters · cross-entropy"
    assert lines[2].startswith("loss 0.0146 · accuracy 0.9977 · top-5 1.0000 · gradient norm 0.0163")
    assert "split test: 500 samples, loss 0.1039, accuracy 0.9720" in lines
    assert any(re.match(r"a short descent gains .* not a minimum", line) for line in lines)
    assert any(line.startswith("sharpness (largest Hessian eigenvalue) 1.9") for line in lines)
    assert any(line.startswith("node_Gemm_4") for line in lines)
    assert any(line.endswith("downhill: gradient") for line in lines)
    assert max(map(len, lines)) <= 80


def test_quick_json(run: Run) -> None:
    done = run(MODEL, "--data", DATA, "--quick", "--split", "test", "-f", "json")
    assert done.exit_code == 0
    (found,) = json.loads(done.stdout)["reports"]
    assert found["model"]["path"] == MODEL
    assert found["loss_probe"]["accuracy"] == 0.972
    assert found["loss_probe"]["loss"] == pytest.approx(0.103861, abs=1e-5)
    assert found["loss_probe"]["gradient_norm"] == pytest.approx(0.16149, abs=1e-4)
    assert found["loss_probe"]["profiles"] == []
    assert done.stdout == run(MODEL, "--data", DATA, "--quick", "--split", "test", "-f", "json").stdout


def test_several_models_and_files(run: Run, tmp_path: Path) -> None:
    other = SAMPLES / "mlp_torch_legacy.onnx"
    done = run(MODEL, other, tmp_path / "none.onnx", "--data", DATA, "--quick", "-o", tmp_path / "a.json")
    assert done.exit_code == 3
    assert done.stdout == ""
    reports = json.loads((tmp_path / "a.json").read_text())["reports"]
    assert [sorted(report)[0] for report in reports] == ["loss_probe", "loss_probe", "error"]
    assert "no such file" in done.stderr


def test_a_model_that_the_data_does_not_fit_costs_only_itself(run: Run, tmp_path: Path) -> None:
    odd, here = onnx.load(MODEL), tmp_path / "odd.onnx"
    odd.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**32
    onnx.save(odd, here)
    done = run(here, MODEL, "--data", DATA, "--quick", "-f", "json")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"onnxtop: error: {here}: wanted samples of shape 4294967296 for input ")
    assert len(done.stderr.splitlines()) == 1
    assert [each["model"]["path"] for each in json.loads(done.stdout)["reports"] if "loss_probe" in each] == [
        MODEL
    ]


def test_surface_is_a_picture(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "s.svg"
    done = run(MODEL, "--data", DATA, "--quick", "--surface", "--surface-points", 5, "-o", picture, "-v")
    assert done.exit_code == 0
    assert f"wrote {picture}" in done.stderr
    root = ET.fromstring(picture.read_text())
    texts = [item.text or "" for item in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any("mlp_jax.onnx" in text for text in texts)
    assert any("cross-entropy" in text for text in texts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 20


def test_surface_of_a_plane_has_straight_contours() -> None:
    steps = tuple(np.linspace(-1, 1, 5).tolist())
    plane = Surface(steps, tuple(tuple(x for x in steps) for _ in steps))
    text = svg(plane, "a<b>\x1b.onnx", "mse")
    assert "a&lt;b&gt;\\x1b.onnx" in text
    drawn = "".join(re.findall(r'd="([^"]*)" fill="none" stroke="black"', text))
    lines = re.findall(r"M([\d.]+) [\d.]+L([\d.]+) ", drawn)
    assert lines
    assert all(a == b for a, b in lines)
    flat = Surface(steps, tuple(tuple(0.0 for _ in steps) for _ in steps))
    ET.fromstring(svg(flat, "flat", "mse"))
    ET.fromstring(svg(Surface(steps, tuple((float("inf"),) * 5 for _ in steps)), "bad", "mse"))


def test_chart_has_one_bar_a_value() -> None:
    lines = chart([0, 1, 2, float("inf")], 0, 2, logarithmic=False, unicode=False)
    assert lines[0] == "  ##"
    assert lines[2] == "  ##"
    assert lines[3] == " ###"
    assert lines[5] == " ###"
    assert [len(line) for line in chart([1, 10, 100], 1, 100, logarithmic=True)] == [3] * 6


def test_ascii_page(run: Run) -> None:
    done = CliRunner(charset="ascii").invoke(app, ["probe", MODEL, "--data", DATA, "--quick"])
    assert done.exit_code == 0
    assert done.stdout.isascii()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Missing option '--data'"),
        (["--data", "none.npz"], 2, "there is no such file"),
        (["--data", DATA, "--split", "val"], 2, "wanted a split 'val'"),
        (["--data", DATA, "-f", "svg"], 2, "add --surface"),
        (["--data", DATA, "-o", "x.pdf"], 2, "none of .txt .json .svg"),
        (["--data", DATA, "--loss", "mse"], 2, "wanted a target of the output's shape"),
        (["--data", DATA, "--target-output", "b"], 2, "wanted an output out of logits"),
        (["--data", DATA, "--mean", "a"], 2, "wanted numbers with commas between"),
        (["--data", DATA, "-o", "/none/x.json"], 2, "there is no folder"),
    ],
)
def test_usage(arguments: list[str], code: int, message: str, run: Run) -> None:
    done = run(MODEL, *arguments)
    assert done.exit_code == code
    assert message in done.stderr
    assert done.stdout == ""


def test_one_picture_that_cannot_be_drawn_takes_no_other_output_along(run: Run, tmp_path: Path) -> None:
    other = SAMPLES / "mlp_torch_legacy.onnx"
    flags = ["--quick", "--surface", "--surface-points", 3]
    done = run(MODEL, other, "--data", DATA, *flags, "-o", tmp_path / "a.svg", "-o", tmp_path / "b.json")
    assert done.exit_code == 2
    assert "wanted one model with --surface for svg, found 2" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]


def test_why_there_is_no_surface_to_draw(run: Run, tmp_path: Path) -> None:
    """The budget ended before it, or the loss is no number."""
    broken = onnx.load(MODEL)
    for tensor in broken.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.ndim == 2:
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(array, np.nan), tensor.name))
    onnx.save(broken, tmp_path / "broken.onnx")
    flags = ["--data", DATA, "--quick", "--surface", "--surface-points", 3, "-o", tmp_path / "a.svg"]
    for model, more, why in (
        (MODEL, ["--budget", 0], "the budget is spent before it was measured"),
        (tmp_path / "broken.onnx", [], "the loss is NaN: the output is not finite for 1,297 of 1,297 rows"),
    ):
        done = run(model, *flags, *more)
        assert done.exit_code == 2
        assert f"wanted one model with --surface for svg, found 0: {why}" in done.stderr
    assert not (tmp_path / "a.svg").exists()


def test_what_is_read_is_never_overwritten(run: Run) -> None:
    for path in (MODEL, DATA):
        assert "would overwrite" in run(MODEL, "--data", DATA, "-f", "json", "-o", path).stderr


def test_no_array_that_is_read_is_overwritten(run: Run, tmp_path: Path) -> None:
    with np.load(DATA) as arrays:
        for name in ("x", "labels"):
            np.save(tmp_path / f"{name}.npy", arrays[name])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    x, labels = tmp_path / "x.npy", tmp_path / "labels.npy"
    for target in before:
        for given in ([tmp_path], [x, "--labels", labels]):
            done = run(MODEL, "--quick", "--data", *given, "-f", "json", "-o", target)
            assert (done.exit_code, "would overwrite" in done.stderr) == (2, True), given
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "probe.json").touch()  # beside what is read
    assert run(MODEL, "--quick", "--data", tmp_path, "-o", tmp_path / "probe.json").exit_code == 0


def test_interrupt_prints_what_there_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(summary, "descend", interrupted)
    done = run(MODEL, "--data", DATA)
    assert done.exit_code == 130
    assert "loss 0.0146" in done.stdout
    assert "stopped early: interrupted" in done.stdout


def test_budget(run: Run) -> None:
    done = run(MODEL, "--data", DATA, "--budget", "0")
    assert done.exit_code == 0
    assert "stopped early: the budget is spent" in done.stdout


def test_bug_is_an_internal_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(summary, "probe", broken)
    done = run(MODEL, "--data", DATA)
    assert done.exit_code == 5
    assert "internal error: ZeroDivisionError" in done.stderr


def broken(folder: Path) -> str:
    """Write a model with one NaN among its weights."""
    proto = onnx.load(MODEL)
    tensor = proto.graph.initializer[0]
    array = numpy_helper.to_array(tensor).copy()
    array.flat[0] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(proto, folder / "broken.onnx")
    return str(folder / "broken.onnx")


def test_a_loss_that_is_not_finite_fails(run: Run, tmp_path: Path) -> None:
    path = broken(tmp_path)
    for options in ((), ("--quick",), ("--surface", "--surface-points", "3")):
        done = run(path, "--data", DATA, *options)
        assert done.exit_code == 1
        assert "nan" not in done.stdout.lower().replace("the loss is nan", "")
        assert "loss not finite" in done.stdout
        assert "FAILED: the loss is NaN: the output is not finite for 1,297 of 1,297 rows" in done.stdout
        assert done.stderr == ""


def test_a_loss_that_is_not_finite_is_null_and_has_a_reason(run: Run, tmp_path: Path) -> None:
    done = run(broken(tmp_path), MODEL, "--data", DATA, "--quick", "-f", "json")
    assert done.exit_code == 1
    assert "NaN:" in done.stderr
    bad, good = (entry["loss_probe"] for entry in json.loads(done.stdout)["reports"])
    assert (bad["loss"], bad["accuracy"], bad["gradient_norm"]) == (None, None, None)
    assert bad["reason"] == bad["failed"][0]
    assert bad["splits"][0]["loss"] is None
    assert good["failed"] == []
    assert good["reason"] is None


def test_a_report_on_data_tells_why_there_is_no_loss(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", "--quick", broken(tmp_path), "--data", DATA])
    assert "the loss is NaN" in " ".join(done.stdout.split())
    assert "nan" not in done.stdout.replace("the loss is NaN", "")


@pytest.mark.parametrize(
    ("options", "failed"),
    [
        (("--max-loss", "0.02", "--min-accuracy", "0.99"), []),
        (("--max-loss", "0.01"), ["loss 0.0145814 is above 0.01 (--max-loss)"]),
        (("--min-accuracy", "1"), ["accuracy 0.997687 is below 1 (--min-accuracy)"]),
        (
            ("--split", "test", "--max-loss", "0.02", "--min-accuracy", "0.98"),
            ["loss 0.103861 is above 0.02 (--max-loss)", "accuracy 0.972 is below 0.98 (--min-accuracy)"],
        ),
    ],
)
def test_gates(options: tuple[str, ...], failed: list[str], run: Run) -> None:
    done = run(MODEL, "--data", DATA, "--quick", *options, "-f", "json")
    assert json.loads(done.stdout)["reports"][0]["loss_probe"]["failed"] == failed
    assert done.exit_code == bool(failed)
    assert done.stderr.splitlines() == [f"onnxtop: error: {MODEL}: {line}" for line in failed]
    page = run(MODEL, "--data", DATA, "--quick", *options)
    assert [line for line in page.stdout.splitlines() if line.startswith("FAILED: ")] == [
        f"FAILED: {line}" for line in failed
    ]


def test_an_accuracy_that_there_is_not_fails_its_gate(run: Run, tmp_path: Path) -> None:
    data = np.load(DATA)
    target = np.zeros((len(data["x"]), 10), np.float32)
    np.savez(tmp_path / "d.npz", x=data["x"], target=target)
    done = run(MODEL, "--data", tmp_path / "d.npz", "--quick", "--loss", "mse", "--min-accuracy", "0.5")
    assert done.exit_code == 1
    assert "there is no accuracy" in done.stdout


@pytest.mark.parametrize("options", [("--min-accuracy", "95"), ("--max-loss", "nan"), ("--max-loss", "-1")])
def test_gates_that_make_no_sense(options: tuple[str, str], run: Run) -> None:
    done = run(MODEL, "--data", DATA, *options)
    assert done.exit_code == 2
    assert options[1] in done.stderr


def test_a_tensor_that_makes_no_sense_is_an_error_of_the_model(run: Run, tmp_path: Path) -> None:
    model = onnx.load(MODEL)
    model.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), "deep"))
    model.graph.initializer[-1].dims[:] = [1] * 65
    path = tmp_path / "deep.onnx"
    onnx.save(model, path)
    done = run(path, "--data", DATA)
    assert done.exit_code == 3
    assert "wanted tensors of at most 64 axes, found 'deep' with 65" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--label-smoothing 1.5", "'--label-smoothing': wanted a share below 1, found 1.5"),
        ("--min-accuracy 2", "'--min-accuracy': wanted a share from 0 to 1, found 2"),
        ("--deviation 0", "'--deviation': wanted numbers above 0, found 0"),
        ("--deviation 1,-1,1", "'--deviation': wanted numbers above 0, found -1"),
        ("--mean 0.5", "--mean and --deviation have no effect on arrays"),
        ("--deviation 0.5", "--mean and --deviation have no effect on arrays"),
    ],
)
def test_what_is_said_of_an_option_calls_it_as_it_was_given(run: Run, words: str, message: str) -> None:
    done = run(MODEL, "--data", DATA, *words.split(" "))
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert "_" not in done.stderr.partition("Invalid value")[2]


def _flags(verb: str) -> set[str]:
    command = importlib.import_module(VERBS[verb][0]).command
    return {flag for each in command.params for flag in each.opts}


X = np.zeros((6, 64), np.float32)
WRONG = {
    "no labels": ("x.npy", lambda path: np.save(path, X)),
    "two splits": (
        "x.npz",
        lambda path: np.savez(path, x_a=X, labels_a=np.zeros(6, int), x_b=X, labels_b=np.zeros(6, int)),
    ),
    "labels of no class": ("x.npz", lambda path: np.savez(path, x=X, labels=np.full(6, 77))),
    "labels that fit no output": ("x.npz", lambda path: np.savez(path, x=X, labels=np.zeros((6, 3), int))),
}


@pytest.mark.parametrize("verb", ["probe", "report", "trace", "loss-barcode"])
@pytest.mark.parametrize("wrong", WRONG)
def test_advice_on_data_names_a_flag_of_the_verb_or_the_verb_of_the_flag(
    tmp_path: Path, verb: str, wrong: str
) -> None:
    name, write = WRONG[wrong]
    write(tmp_path / name)
    models = [MODEL, MODEL] if verb == "loss-barcode" else [MODEL]
    if len(models) > 1:
        models[1] = str(shutil.copy(MODEL, tmp_path / "m.onnx"))
    done = CliRunner().invoke(app, [verb, *models, "--data", str(tmp_path / name)])
    assert done.exit_code == 2
    told = {*re.findall(r"--[a-z][a-z-]*", done.stderr)}
    assert told <= _flags(verb) or ("onnxtop probe" in done.stderr and told <= _flags("probe"))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return data of a few samples, for pages whose figures are no matter."""
    path = tmp_path_factory.mktemp("few") / "digits.npz"
    with np.load(DATA) as digits:
        np.savez(path, **{name: array[:64] for name, array in digits.items()})
    return str(path)


@pytest.mark.parametrize("model", ["mlp_jax.onnx", "cnn_torch_dynamo.onnx"])
@pytest.mark.parametrize("width", [40, 50, 60])
def test_nothing_is_wider_than_a_narrow_terminal(run: Run, few: str, model: str, width: int) -> None:
    done = run(SAMPLES / model, "--data", few, "--width", width, "--all")
    assert done.exit_code == 0, done.stderr
    assert max(map(cell_len, done.stdout.splitlines())) <= width
    told = json.loads(run(SAMPLES / model, "--data", few, "--quick", "-f", "json").stdout)["reports"]
    shares = [f"{layer['share']:.1%}" for layer in told[0]["loss_probe"]["layers"]]
    assert shares
    assert all(share in done.stdout for share in shares)
