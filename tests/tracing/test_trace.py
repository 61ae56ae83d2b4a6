import dataclasses
import json
import os
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import onnxtop
from onnxtop.auditing import layers as auditing_layers, pieces as auditing_pieces, story as auditing_story
from onnxtop.auditing.options import AuditOptions
from onnxtop.cli import app
from onnxtop.errors import MissingLibraryError, UsageError
from onnxtop.results.outcome import FailedModel
from onnxtop.tracing import measuring
from onnxtop.tracing.cache import Cache
from onnxtop.tracing.options import TraceOptions
from onnxtop.tracing.series import natural, placed
from onnxtop.work.store import Store
from tests.models import model, node, save
from tests.tracing.runs import course, write, written


@pytest.fixture(scope="module")
def checkpoints(samples: Path) -> list[str]:
    return sorted(map(str, (samples / "checkpoints").glob("*.onnx")))


# Figures


def test_figures_are_those_of_single_reports(samples, checkpoints):
    paths = checkpoints[:2]
    trace = onnxtop.trace(paths, data=str(samples / "digits.npz"))
    options = onnxtop.AuditOptions(data=str(samples / "digits.npz"))
    for path, point in zip(paths, trace.measured, strict=True):
        report = onnxtop.audit(path, options)
        layers = onnxtop.audit(path, onnxtop.AuditOptions(scale="layer", structure=False))
        network = report.network
        assert point.neural_persistence == network.neural_persistence.mean_normalized == point.scale_global
        assert point.scale_layer == layers.network.neural_persistence.mean_normalized
        assert point.deep_graph_persistence == network.deep_graph_persistence.normalized
        assert point.scale == network.neural_persistence.scale
        assert [layer.neural_persistence for layer in point.layers] == [
            layer.neural_persistence.normalized for layer in report.layers
        ]
        assert [layer.z for layer in point.layers] == [layer.neural_persistence.z for layer in report.layers]
        main, test = point.data
        assert (main.loss, main.accuracy) == (report.loss_probe["loss"], report.loss_probe["accuracy"])
        assert test.accuracy == report.loss_probe["splits"][0]["accuracy"]
        assert point.judged_on == test


def test_changes_are_those_of_diffs(checkpoints):
    trace = onnxtop.trace(checkpoints[:3], structure=False)
    assert trace.measured[0].moved is None
    for old, new, point in zip(checkpoints, checkpoints[1:3], trace.measured[1:], strict=False):
        diff = onnxtop.diff(old, new)
        assert [layer.relative for layer in point.layers] == [each.weights.relative for each in diff.layers]
        assert [layer.cosine for layer in point.layers] == [each.weights.cosine for each in diff.layers]
        assert [layer.bottleneck for layer in point.layers] == [each.bottleneck for each in diff.layers]
        assert point.moved == sum(layer.relative for layer in point.layers) / len(point.layers)


def test_the_rule_on_the_sample_run(samples, checkpoints):
    """Mean NP rises up to epoch 8, then never above that: with a patience of 3 it stops at epoch 11."""
    trace = onnxtop.trace(checkpoints, data=str(samples / "digits.npz"), structure=False)
    found = trace.stopping
    assert (found.best, found.stopped, found.saved, found.checks) == ("epoch_08", "epoch_11", 1, 12)
    assert [point.waited for point in trace.measured] == [0] * 8 + [1, 2, 3, 3]
    assert [point.stop for point in trace.measured] == [False] * 10 + [True, True]
    assert (found.cost.source, found.cost.stopped, found.cost.last) == ("test", 0.972, 0.972)
    assert (found.cost.validation, found.caveat) == (None, None)
    assert trace.verdict.course == "settled"
    early = onnxtop.trace(checkpoints[:5], patience=1, min_delta=0.01, burn_in=1, structure=False)
    assert early.stopping.stopped == "epoch_04"
    deep = onnxtop.trace(checkpoints[:5], measure="dgp", patience=2, structure=False)
    assert (deep.stopping.best, deep.stopping.stopped) == ("epoch_02", "epoch_04")


def test_convolutions_have_the_caveat_of_the_paper(samples):
    trace = onnxtop.trace([samples / "cnn_torch_legacy.onnx"], structure=False)
    assert trace.stopping.caveat.startswith("2 of 3 layers are convolutions")
    deep = onnxtop.trace([samples / "cnn_torch_legacy.onnx"], structure=False, measure="dgp")
    assert deep.stopping.caveat is None  # the paper says it of neural persistence


def _same_bytes(folder: Path, name: str, op: str, weight: np.ndarray, **attributes: object) -> str:
    side = ["n", 12] if op == "Gemm" else [1, 2, 6, 6]
    made = model([node(op, "x w", "y", name="a", **attributes)], {"w": weight}, {"x": side})
    return str(save(made, folder, name))


def test_the_same_bytes_read_otherwise_are_measured_again(tmp_path):
    """Stored the other way a matrix is another one; a kernel has another graph on another grid."""
    rng = np.random.default_rng(0)
    square, kernel = (rng.standard_normal(s).astype(np.float32) for s in ((12, 12), (3, 2, 3, 3)))
    turned = [_same_bytes(tmp_path, f"{t}.onnx", "Gemm", square, transB=t) for t in (0, 1)]
    trace = onnxtop.trace(turned, structure=False)
    assert trace.measured[1].moved == pytest.approx(
        np.linalg.norm(square - square.T) / np.linalg.norm(square)
    )
    places = [{"pads": [1, 1, 1, 1]}, {"pads": [2, 2, 0, 0]}, {"pads": [2] * 4, "dilations": [2, 2]}]
    paths = [_same_bytes(tmp_path, f"c{i}.onnx", "Conv", kernel, **each) for i, each in enumerate(places)]
    trace = onnxtop.trace(paths, structure=False, conv="unrolled")
    options = onnxtop.AuditOptions(structure=False, conv="unrolled")
    alone = [onnxtop.audit(path, options).network.neural_persistence.mean_normalized for path in paths]
    assert [point.neural_persistence for point in trace.measured] == alone
    assert len(set(alone)) == 3


def test_a_layer_called_mean_does_not_hide_the_mean(tmp_path):
    names = ("mean", "other")
    nodes = [node("MatMul", "x w0", "h", name=names[0]), node("MatMul", "h w1", "y", name=names[1])]
    held = {f"w{i}": weight.astype(np.float32) for i, weight in enumerate(course(2)[1][:2])}
    path = save(model(nodes, held, {"x": ["n", 48]}), tmp_path)
    (point,) = onnxtop.trace([path], structure=False).measured
    assert point.metrics()["np/mean"] == point.neural_persistence != point.layers[0].neural_persistence


def test_a_layer_that_did_not_change_is_not_measured_again(tmp_path, monkeypatch):
    run = course(4)
    for weights in run:
        weights[1] = run[0][1]
    measured = []
    real = auditing_layers._measure
    monkeypatch.setattr(
        auditing_layers, "_measure", lambda layer, *rest: measured.append(layer.name) or real(layer, *rest)
    )
    trace = onnxtop.trace(written(tmp_path, run))
    assert sorted(measured) == ["layer0"] * 4 + ["layer1"] + ["layer2"] * 4
    alone = [onnxtop.audit(point.path).layers[1].neural_persistence.z for point in trace.measured]
    assert [point.layers[1].z for point in trace.measured] == alone


def test_byte_identical_on_any_number_of_jobs_and_from_the_cache(tmp_path):
    paths = written(tmp_path / "run", course(3))
    (tmp_path / "run" / "step_150.onnx").write_bytes(b"\x08\x07 cut off")
    paths.insert(2, str(tmp_path / "run" / "step_150.onnx"))
    told = [
        json.dumps(onnxtop.trace(paths, **options).to_dict())
        for options in ({}, {"jobs": 2}, {"jobs": 7}, *([{"cache": tmp_path / "cache"}] * 2))
    ]
    assert len(set(told)) == 1


# Order, names, what does not fit


def test_order_of_checkpoints(tmp_path):
    names = ["step_9.onnx", "step_10.onnx", "step_0100.onnx"]
    paths = [str(tmp_path / name) for name in reversed(names)]
    for path in paths:
        Path(path).touch()
    told = {
        order: [Path(place.path).name for place in placed(paths, TraceOptions(order=order))]
        for order in ("name", "given")
    }
    assert told == {"name": names, "given": names[::-1]}
    labelled = placed(["a_30_7.onnx", "b_4_8.onnx"], TraceOptions(label=r"_([0-9]+)_"))
    assert [(place.name, place.step) for place in labelled] == [("b_4_8", 4.0), ("a_30_7", 30.0)]
    assert sorted(["b2", "b10", "a"], key=natural) == ["a", "b2", "b10"]


def test_order_by_time(tmp_path):
    for number, name in enumerate(("c", "a", "b")):
        path = tmp_path / f"{name}.onnx"
        path.touch()
        os.utime(path, ns=(0, 10**9 * number))
    paths = sorted(map(str, tmp_path.iterdir()))
    assert [place.name for place in placed(paths, TraceOptions(order="mtime"))] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("step_[0-9]+", "wanted a group"),
        ("epoch_([0-9]+)", "wanted a name in which"),
        ("([a-z]+)_", "wanted a number"),
        ("(inf)?_", "wanted a number where .* found None"),
        ("(", "wanted a regular expression"),
    ],
)
def test_a_label_that_finds_no_step(tmp_path, label, message):
    with pytest.raises(UsageError, match=message):
        onnxtop.trace([tmp_path / "step_1.onnx"], label=label)


def test_a_step_is_finite(tmp_path):
    with pytest.raises(UsageError, match=r"wanted a number where .* found 'inf'"):
        onnxtop.trace([tmp_path / "step_inf.onnx"], label="step_(.*)[.]")


def test_the_first_difference_of_architectures_is_named(tmp_path):
    run = course(1)
    paths = written(tmp_path, run)
    other = [*run[0][:1], np.ones((40, 33)), np.ones((33, 32))]
    cases = {
        "layer 2: 'layer1' MatMul 40 x 32 in .*, 'layer1' MatMul 40 x 33": (other, "Relu"),
        "layer 3: 'layer2' MatMul 32 x 32 in .*, no such layer": (run[0][:2], "Relu"),
        "same layers and other operations: 2 Relu in .*, 0 in": (run[0], "Tanh"),
    }
    for message, (weights, act) in cases.items():
        wrong = write(tmp_path, "wrong.onnx", weights, act)
        with pytest.raises(UsageError, match=message):
            onnxtop.trace([*paths, wrong], order="given", structure=False)


def test_what_cannot_be_read_is_a_row_and_no_check(tmp_path):
    paths = written(tmp_path, course(3))
    Path(paths[1]).write_bytes(Path(paths[1]).read_bytes()[:500])
    save(model([node("Relu", "x")], {}, {"x": [1, 4]}), tmp_path, "step_50.onnx")
    trace = onnxtop.trace([*paths, tmp_path / "step_50.onnx", tmp_path / "step_999.onnx"], structure=False)
    told = [each.code if isinstance(each, FailedModel) else each.name for each in trace.checkpoints]
    assert told == ["step_0", 4, 3, "step_200", 3]
    assert trace.stopping.checks == 2
    assert trace.measured[1].layers[0].relative == onnxtop.diff(paths[0], paths[2]).layers[0].weights.relative


@pytest.mark.parametrize(
    "options",
    [{"patience": 0}, {"min_delta": -1}, {"jobs": 0}, {"order": "size"}, {"layers": "x"}, {"minima": 2}],
)
def test_options_that_make_no_sense(options):
    with pytest.raises(UsageError):
        onnxtop.trace([], **options)


def test_an_option_that_does_not_exist_is_told_with_the_nearest():
    with pytest.raises(UsageError, match="no option 'patiense': did you mean patience"):
        onnxtop.trace([], patiense=2)


def test_a_folder_stands_for_the_files_below_it(tmp_path):
    paths = written(tmp_path / "a" / "b", course(2))
    assert [point.path for point in onnxtop.trace(tmp_path, structure=False).measured] == paths


# Scores from a table


def test_scores_from_a_table(tmp_path):
    paths = written(tmp_path, course(4))
    table = tmp_path / "scores.csv"
    table.write_text(
        "step,train_loss,val_loss,val_accuracy\n300,1,0.4,0.7\n0,9,0.9,0.1\n100,8,0.5,0.8\n200,7,0.6,0.75\n"
    )
    trace = onnxtop.trace(paths, label="step_([0-9]+)", metric_file=str(table), patience=1, structure=False)
    assert [point.judged_on.accuracy for point in trace.measured] == [0.1, 0.8, 0.75, 0.7]
    cost = trace.stopping.cost
    assert (trace.stopping.stopped, cost.stopped, cost.last) == ("step_200", 0.75, 0.7)
    assert (cost.validation, cost.validation_stopped) == ("step_200", 0.75)
    table.write_text("accuracy\n0.1\n0.2\n0.3\n0.4\n")
    trace = onnxtop.trace(paths, metric_file=str(table), structure=False)
    assert [point.judged_on.accuracy for point in trace.measured] == [0.1, 0.2, 0.3, 0.4]
    cost = trace.stopping.cost  # no loss is known, and so none stops
    assert (cost.last, cost.validation, cost.validation_stopped) == (0.4, None, None)


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_scores_as_loggers_and_spreadsheets_write_them(tmp_path, sign):
    """A mark at the start, other separators, the scores of a step in several rows of it."""
    rows = [
        "step,train_loss,val_loss,val_accuracy",
        "0,1,,",
        "0,,0.5,",
        "0,,,0.25",
        "100,1,0.5,0.1",
        "100,,0.25,",
    ]
    table = tmp_path / "metrics.csv"
    table.write_text("\n".join(rows).replace(",", sign), encoding="utf-8-sig")
    paths = written(tmp_path, course(2))
    trace = onnxtop.trace(paths, label="step_([0-9]+)", metric_file=str(table), structure=False)
    assert [(each.judged_on.loss, each.judged_on.accuracy) for each in trace.measured] == [
        (0.5, 0.25),
        (0.25, 0.1),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step,speed\n0,1\n", "wanted a column of scores"),
        ("", "wanted a column of scores"),
        ("step,loss\n7,1\n", "wanted a row for step_0"),
        ("loss\n", "wanted a column"),
        ("step,loss\nstep_0,much\n", "wanted a number"),
        ("accuracy\n81.2\n", "wanted a share from 0 to 1 in column accuracy, found 81.2"),
        (None, "there is no such file"),
    ],
)
def test_a_table_that_does_not_fit(tmp_path, text, message):
    paths = written(tmp_path, course(1))
    if text is not None:
        (tmp_path / "scores.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        onnxtop.trace(paths, metric_file=str(tmp_path / "scores.csv"), structure=False)


# The cache


def test_the_cache_knows_what_files_hold(tmp_path, monkeypatch):
    paths = written(tmp_path / "run", course(3))
    cache = tmp_path / "new" / "cache"
    first = onnxtop.trace(paths, cache=cache)
    audits = []
    real = auditing_pieces.measure_layers
    monkeypatch.setattr(
        "onnxtop.auditing.story.measure_layers",
        lambda model, *rest: audits.append(model.file.name) or real(model, *rest),
    )
    moved = shutil.move(paths[0], tmp_path / "run" / "step_00.onnx")
    again = onnxtop.trace([moved, *paths[1:]], cache=cache)
    assert audits == []
    assert [dataclasses.replace(each, path="", name="") for each in again.measured] == [
        dataclasses.replace(each, path="", name="") for each in first.measured
    ]
    onnxtop.trace([moved, *paths[1:]], cache=cache, bias="row")
    assert len(audits) == 3
    for number, entry in enumerate(sorted(cache.rglob("*.entry"))):  # all damaged, each in another way
        data = entry.read_bytes()
        broken = [b"", data[: len(data) // 2], data.replace(b"0", b"1", 3), b"[]", b"null"]
        entry.write_bytes(broken[number % len(broken)])
    assert onnxtop.trace([moved, *paths[1:]], cache=cache).to_dict() == again.to_dict()
    assert len(audits) == 6


def test_names_of_data_say_what_they_are(tmp_path):
    def known() -> object:
        return Cache(AuditOptions(data=str(tmp_path / "data")), Store(tmp_path / "cache"))._about

    cats, dogs = (tmp_path / "data" / name for name in ("cats", "dogs"))
    for folder in (cats, dogs):
        folder.mkdir(parents=True)
        (folder / "3.png").write_bytes(folder.name.encode())
    before = known()
    assert known() == before
    (dogs / "3.png").rename(cats / "4.png")  # the same bytes in the same order: another label
    assert known() != before


def test_a_file_where_the_cache_should_be_remembers_nothing(tmp_path):
    paths = written(tmp_path / "run", course(2))
    (tmp_path / "cache").touch()
    assert onnxtop.trace(paths, cache=tmp_path / "cache").to_dict() == onnxtop.trace(paths).to_dict()
    assert (tmp_path / "cache").read_bytes() == b""


# As a data frame


def test_data_frame(tmp_path, monkeypatch):
    trace = onnxtop.trace([*written(tmp_path, course(2)), tmp_path / "none.onnx"], order="given")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'onnxtop\[pandas\]'"):
        trace.to_frame()
    monkeypatch.setitem(sys.modules, "pandas", types.SimpleNamespace(DataFrame=lambda rows, columns: rows))
    rows = trace.to_frame()
    assert [row["error"] is None for row in rows] == [True, True, False]
    report = onnxtop.audit(trace.measured[0].path)
    assert rows[0].items() >= json.loads(json.dumps(report.metrics())).items() or all(
        rows[0][name] == pytest.approx(value, rel=1e-11) for name, value in report.metrics().items()
    )


# Files that nobody trusts


def test_a_weight_that_another_side_is_taken_of(tmp_path):
    """The same tensor and operation, and another matrix: what moved in it is not told."""
    left, right = (
        save(
            model([node("MatMul", inputs)], {"w": np.eye(4, 3, dtype=np.float32)}, {"x": shape}),
            tmp_path,
            name,
        )
        for inputs, shape, name in (("x w", (2, 4), "a.onnx"), ("w x", (3, 2), "b.onnx"))
    )
    first, second = onnxtop.trace([left, right]).measured
    assert first.layers[0].shape == second.layers[0].shape
    assert second.layers[0].relative is None
    assert second.layers[0].bottleneck == 0


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_defect_ends_no_other_checkpoint(tmp_path, monkeypatch, jobs):
    """What is measured ahead fails where it is added, and nowhere else."""
    made = model([node("MatMul", "x w")], {"w": np.eye(4, 3, dtype=np.float32)})
    paths = [save(made, tmp_path, f"{number}.onnx") for number in range(3)]
    whole = auditing_story.audited

    def audited(file, *args, **options):
        if file.name.endswith("1.onnx"):
            raise TypeError("planted")
        return whole(file, *args, **options)

    monkeypatch.setattr(measuring, "audited", audited)
    arguments = ["trace", *map(str, paths), "-j", str(jobs), "-f", "json"]
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 5
    assert [line for line in ran.stderr.splitlines() if "error" in line] == [
        f"onnxtop: error: {paths[1]}: internal error: TypeError: planted (-vv shows where)"
    ]
