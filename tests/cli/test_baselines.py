"""``check --baseline``: whole models against an earlier report, or against the earlier model itself."""

import functools
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import ModelProto, numpy_helper

import onnxtop
from onnxtop.auditing.story import audit
from onnxtop.cli import app
from onnxtop.render import render
from tests import harmless, ruins
from tests.faults import SAMPLES
from tests.models import mlp, save

MLP = SAMPLES / "mlp_torch_legacy.onnx"


@functools.cache
def small(name: str) -> ModelProto:
    return ruins.small(name)


@pytest.fixture
def check(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["check", *map(str, arguments)])


def findings(text: str) -> list[dict[str, str]]:
    """Return the findings on the one model of a JSON report."""
    (report,) = json.loads(text)["reports"]
    return report["findings"]


@pytest.fixture
def told(check):
    """Return the rules of OT5 that speak of a model, and the exit code of these alone."""

    def rules(new: Path | str, baseline: Path | str, *more: str) -> tuple[set[str], int]:
        result = check(new, "--baseline", baseline, "--select", "OT5", "-f", "json", *more)
        assert result.exit_code in (0, 1, 4), result.output
        return {each["rule"] for each in findings(result.stdout)}, result.exit_code

    return rules


@pytest.fixture
def baselines(check, tmp_path):
    """Return a baseline of each kind: the earlier model, and a report on it."""

    def of(model: ModelProto) -> list[str]:
        path = save(model, tmp_path, "old.onnx")
        check(path, "--write-baseline", "old.json", "--fail-on", "never")
        return [str(path), "old.json"]

    return of


def edited(model: ModelProto, edit) -> ModelProto:
    made = ModelProto()
    made.CopyFrom(model)
    edit(made)
    return made


@pytest.mark.parametrize("name", ruins.SOURCES)
def test_no_ruined_model_passes_against_what_it_was(name, baselines, told, tmp_path):
    known, few = baselines(small(name)), ruins.changing_small(name)[::13]
    for place, (what, ruined) in enumerate(few):
        path, baseline = save(ruined, tmp_path, "new.onnx"), known[place % 2]
        rules, code = told(path, baseline)
        assert code == 1, f"{what}, {baseline}"
        assert rules & {"OT514", "OT515"}, f"{what}, {baseline}"
    assert len(few) > 2


@pytest.mark.parametrize("name", ruins.SOURCES)
def test_harmless_changes_pass(name, baselines, told, tmp_path):
    """Each change on two of the models: on one against a baseline of one kind, on another of the other."""
    known, first = baselines(small(name)), list(ruins.SOURCES).index(name)
    for place, change in enumerate((*harmless.SAME, *harmless.EQUIVALENT), start=first):
        if place % len(ruins.SOURCES) >= len(known):
            continue
        path, baseline = save(change(small(name)), tmp_path, "new.onnx"), known[place % len(ruins.SOURCES)]
        assert told(path, baseline)[1] == 0, f"{change.__name__}, {baseline}"


@pytest.mark.parametrize("change", harmless.ROUNDED, ids=lambda change: change.__name__)
def test_rounding_passes_against_the_model_and_is_named(change, baselines, told, tmp_path):
    model, report = baselines(small("convolutional"))
    path = save(change(small("convolutional")), tmp_path, "new.onnx")
    rules, code = told(path, model)
    assert (code, "OT516" in rules) == (0, True)
    assert "OT514" in told(path, report)[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mlp_torch_legacy", "mlp_jax"),
        ("cnn_torch_legacy", "cnn_torch_dynamo"),
        ("checkpoints/epoch_11", "checkpoints/epoch_12"),
        ("checkpoints/epoch_01", "checkpoints/epoch_12"),
        ("mlp_torch_legacy", "mlp_untrained"),
        ("cnn_torch_legacy", "cnn_jax"),
    ],
)
def test_check_and_diff_say_the_same(old, new, told):
    paths = [SAMPLES / f"{name}.onnx" for name in (old, new)]
    whole = onnxtop.diff(*paths).whole
    rules, code = told(paths[1], paths[0])
    assert (code == 0) == whole.verdict.passes
    said = {"CHANGED": {"OT514"}, "UNPROVEN": {"OT515"}, "WITHIN TOLERANCE": {"OT516"}}
    assert rules & {"OT514", "OT515", "OT516"} == said.get(whole.verdict.value, set())


def fill(model, value):
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor).copy()
        if array.ndim == 1:
            array[:] = value
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def activate(model, other):
    for node in model.graph.node:
        if node.op_type in ("Relu", "Tanh"):
            node.op_type = other


def recast(model):
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE


BROKEN = {
    "biases": (lambda model: fill(model, 100), "C: 10 changed by a factor", "other biases;"),
    "relu": (lambda model: activate(model, "Sigmoid"), "Relu", "2 Sigmoid more, 2 Relu fewer"),
    "output": (recast, "now float64", "other output logits (float32[batch, 10], now float64"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_changed_is_named(name, check, baselines, tmp_path):
    edit, by_model, by_report = BROKEN[name]
    model = onnx.load(MLP)
    known = baselines(model)
    path = tmp_path / "new.onnx"
    onnx.save(edited(model, edit), path)
    for baseline, words in zip(known, (by_model, by_report), strict=True):
        result = check(path, "--baseline", baseline, "-f", "json")
        (message,) = [each["message"] for each in findings(result.stdout) if each["rule"] == "OT514"]
        assert words in message
        assert result.exit_code == 1


def test_models_are_found_by_path_then_by_the_end_of_it(told, check, tmp_path):
    for folder in ("old/a", "old/b", "new/a", "new/b"):
        (tmp_path / folder).mkdir(parents=True)
    first, second = mlp(6, 5, 4), mlp(6, 8, 4)
    for folder in ("old", "new"):
        save(first, tmp_path / folder / "a", "model.onnx")
        save(second, tmp_path / folder / "b", "model.onnx")
    assert check("new", "--baseline", "old", "--select", "OT5").exit_code == 0
    save(first, tmp_path / "new" / "b", "model.onnx")
    result = check("new", "--baseline", "old", "--select", "OT5", "-f", "json")
    assert result.exit_code == 1
    save(first, tmp_path / "new", "other.onnx")
    result = check("new/other.onnx", "new/a", "--baseline", "old", "--select", "OT5", "--all")
    assert "OT513 old has no model of this name: it is judged by itself" in " ".join(result.stdout.split())
    assert result.exit_code == 0
    save(first, tmp_path, "model.onnx")
    result = check("model.onnx", "--baseline", "old")
    assert result.exit_code == 3
    assert "baseline old: it has several models called model.onnx" in result.stderr


def test_findings_of_the_earlier_model_are_known(check, baselines, tmp_path):
    ruined = edited(mlp(64, 64, 10), lambda model: not_a_number(model, 1))
    known = baselines(ruined)
    path = save(harmless.renamed(ruined), tmp_path, "new.onnx")
    assert check(path).exit_code == 1
    for baseline in known:
        result = check(path, "--baseline", baseline)
        assert result.exit_code == 0, result.output
        assert "known" in result.stdout


def not_a_number(model, place):
    tensors = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 2]
    array = numpy_helper.to_array(tensors[place])
    tensors[place].CopyFrom(numpy_helper.from_array(array * np.nan, tensors[place].name))


def test_a_model_trained_anew_keeps_its_structure(check, told, tmp_path):
    old, new = (SAMPLES / "checkpoints" / f"epoch_{number}.onnx" for number in ("01", "12"))
    assert check(old, "--write-baseline", "old.json", "--fail-on", "never").exit_code == 0
    relu = edited(onnx.load(new), lambda model: activate(model, "Sigmoid"))
    onnx.save(relu, tmp_path / "other.onnx")
    for baseline in (old, "old.json"):
        assert told(new, baseline)[1] == 1
        assert told(new, baseline, "--compare", "structure") == (set(), 0)
        assert told("other.onnx", baseline, "--compare", "structure") == ({"OT514"}, 1)


def test_a_report_without_digests_compares_layers_alone_and_says_so(told, tmp_path):
    report = json.loads(render("report", "json", [audit(MLP)]))
    report["reports"][0]["model"]["function"] = None
    (tmp_path / "old.json").write_text(json.dumps(report))
    assert told(MLP, "old.json") == ({"OT517"}, 0)


def test_a_report_without_digests_of_weights_says_so(told, tmp_path):
    """They are compared by figures of their layers."""
    (tmp_path / "old.json").write_text(render("report", "json", [audit(MLP)]))
    assert told(MLP, "old.json") == ({"OT517"}, 0)
    assert told(MLP, "old.json", "--compare", "structure") == (set(), 0)


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_a_report_of_report_is_compared_as_it_stands(told, tmp_path, ending):
    """As JSON it holds a digest of every weight: the least change of one of them is told."""
    old = tmp_path / f"old.{ending}"
    assert CliRunner().invoke(app, ["report", str(MLP), "-o", str(old), "-o", "page.html"]).exit_code == 0
    if ending == "json":
        assert told(MLP, old) == (set(), 0)
        model = onnx.load(MLP)
        weights = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 2)
        values = numpy_helper.to_array(weights).copy()
        values[0, 0] = np.nextafter(values[0, 0], 1)
        weights.CopyFrom(numpy_helper.from_array(values, weights.name))
        onnx.save(model, tmp_path / "new.onnx")
        found, code = told("new.onnx", old)
        assert (found >= {"OT514"}, code) == (True, 1)
    else:
        assert '"terms": null' not in old.read_text() and '"terms":null' not in old.read_text()


def test_a_report_without_digests_of_weights_tells_another_bias(told, tmp_path):
    (tmp_path / "old.json").write_text(render("report", "json", [audit(MLP)]))
    model = onnx.load(MLP)
    bias = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 1)
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) * 2, bias.name))
    onnx.save(model, tmp_path / "new.onnx")
    found, code = told("new.onnx", "old.json")
    assert (found >= {"OT514", "OT517"}, code) == (True, 1)


@pytest.mark.parametrize(
    ("baseline", "code", "words"),
    [
        ("nowhere.onnx", 2, "baseline nowhere.onnx: no such file or folder"),
        ("empty", 2, "baseline empty: no .onnx file in this folder or below it"),
        ("cut.onnx", 3, "baseline cut.onnx: "),
        ("cut.bin", 2, "the name of a model ends in .onnx"),
    ],
)
def test_a_baseline_that_cannot_be_read(baseline, code, words, check, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("cut.onnx", "cut.bin"):
        (tmp_path / name).write_bytes(MLP.read_bytes()[:300])
    result = check(MLP, "--baseline", baseline)
    assert result.exit_code == code
    assert words in result.stderr


def test_no_output_overwrites_a_baseline(check, tmp_path):
    (tmp_path / "old.onnx").write_bytes(MLP.read_bytes())
    result = check(MLP, "--baseline", "old.onnx", "-f", "json", "-o", "old.onnx")
    assert result.exit_code == 2
    assert (tmp_path / "old.onnx").read_bytes() == MLP.read_bytes()


@pytest.mark.parametrize("baseline", ["old.onnx", "released"])
def test_a_new_baseline_takes_the_place_of_no_model(check, tmp_path, baseline):
    (tmp_path / "released").mkdir()
    kept = [tmp_path / "old.onnx", tmp_path / "released" / MLP.name]
    for path in kept:
        path.write_bytes(MLP.read_bytes())
    written = kept[baseline == "released"]
    result = check(MLP, "--baseline", baseline, "--write-baseline", written)
    assert (result.exit_code, "would overwrite" in result.stderr) == (2, True)
    assert all(path.read_bytes() == MLP.read_bytes() for path in kept)


def test_a_new_baseline_takes_the_place_of_no_samples(check, tmp_path):
    np.savez(tmp_path / "data.npz", x=np.zeros((3, 64), np.float32))
    before = (tmp_path / "data.npz").read_bytes()
    result = check(MLP, "--data", "data.npz", "--write-baseline", "data.npz")
    assert (result.exit_code, "would overwrite" in result.stderr) == (2, True)
    assert (tmp_path / "data.npz").read_bytes() == before
