import json
import os
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from onnxtop.cli import app
from onnxtop.render.text import TIMES
from onnxtop.topology.deep_graph_persistence import deep_graph_persistence
from tests.connectivity_truth import connected
from tests.models import model, node, save, weights

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_models"
MLP = SAMPLES / "mlp_torch_dynamo.onnx"


def graph(*args):
    return CliRunner().invoke(app, ["graph", *map(str, args)])


def test_a_listing_goes_to_stdout():
    result = graph(MLP)
    assert (result.exit_code, result.stderr) == (0, "")
    golden = (ROOT / "tests" / "render" / "golden_graph" / "mlp.txt").read_text(encoding="utf-8")
    assert result.stdout.splitlines()[1:] == golden.splitlines()[1:]


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.txt", str(MLP)),
        ("a.dot", "digraph layers {"),
        ("a.GV", "digraph layers {"),
        ("a.graphml", "<graphml"),
        ("a.json", "{"),
        ("a.mmd", "flowchart TD"),
    ],
)
def test_the_suffix_tells_the_format(tmp_path, name, start):
    result = graph(MLP, "-o", tmp_path / name, "-v")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"onnxtop: wrote {tmp_path / name}\n"
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_the_format_goes_before_the_suffix(tmp_path):
    assert graph(MLP, "-f", "json", "-o", tmp_path / "a.txt").exit_code == 0
    assert json.loads((tmp_path / "a.txt").read_text())["directed"]
    assert json.loads(graph(MLP, "-f", "json").stdout) == json.loads((tmp_path / "a.txt").read_text())


def test_several_formats_in_one_run(tmp_path):
    result = graph(MLP, "-f", "dot", "-f", "json", "-o", tmp_path / "a", "-o", tmp_path / "b", "-f", "text")
    assert result.exit_code == 0
    assert result.stdout == graph(MLP).stdout
    assert json.loads((tmp_path / "a").read_text())["directed"]
    assert (tmp_path / "b").read_text().startswith("digraph layers {")


def test_the_same_bytes_in_another_process(tmp_path):
    formats = [word for name in ("text", "json", "graphml") for word in ("-f", name, "-o", f"graph.{name}")]
    for seed in ("1", "77"):
        (tmp_path / seed).mkdir()
        subprocess.run(
            [sys.executable, "-m", "onnxtop", "graph", str(SAMPLES / "transformer_jax.onnx"), *formats],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONUTF8": "1"},
            cwd=tmp_path / seed,
            check=True,
        )
    written = [{path.name: path.read_bytes() for path in (tmp_path / seed).iterdir()} for seed in ("1", "77")]
    assert written[0] == written[1]
    assert len(written[0]) == 3


def test_a_part_of_a_network():
    result = graph(MLP, "--from-input", "x", "--to-output", "relu")
    assert result.exit_code == 0
    assert f"hidden2  Gemm 100 {TIMES} 50  reaches no output\n" in result.stdout


def test_sizes_that_the_model_leaves_open(tmp_path):
    nodes = [node("Conv", "x w", "v", name="conv"), node("Flatten", "v", "y")]
    path = save(model(nodes, {"w": weights(2, 1, 3, 3)}, {"x": ["n", 1, "h", "w"]}), tmp_path)
    for options in (["--input-shape", "x=1,1,5,6"], ["--dim", "h=5", "--dim", "w=6"]):
        items = json.loads(graph(path, "-f", "json", *options).stdout)["nodes"]
        assert [item["neurons"] for item in items if item["kind"] == "layer"] == [2]


# All neurons


def read_back(path):
    """Run the reader that the documentation shows."""
    (source,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "graph.md").read_text(), re.M | re.S)
    page = {}
    exec(source, page)
    return page["read_neurons"](path), page["measure"](path)


@pytest.mark.parametrize(
    "name", ["mlp_torch_external", "cnn_tensorflow", "transformer_torch_dynamo", "lstm_torch_legacy"]
)
def test_all_neurons_can_be_read_back(tmp_path, name):
    model, path = SAMPLES / f"{name}.onnx", tmp_path / "net.npz"
    result = graph(model, "--neurons", "-o", path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    wanted = connected(model).graph
    found, measured = read_back(path)
    for array in ("inputs", "outputs", "structural", "skips"):
        assert np.array_equal(getattr(found, array), getattr(wanted, array))
    for block, other in zip(found.blocks, wanted.blocks, strict=True):
        assert (block.layer, block.matrix) == (other.layer, other.matrix)
        assert np.array_equal(block.rows, other.rows)
        assert np.array_equal(block.columns, other.columns)
    expected = deep_graph_persistence(wanted)
    # the arrays lie in memory in another order, in which their mean is added up
    totals = expected.total, expected.normalized
    assert (measured.total, measured.normalized) == pytest.approx(totals, abs=1e-12)
    assert np.allclose(measured.diagram.points, expected.diagram.points, rtol=0, atol=1e-12)
    assert np.array_equal(measured.diagram.generators, expected.diagram.generators)


def test_the_table_of_vertices_covers_them_all(tmp_path):
    path = tmp_path / "net.npz"
    graph(SAMPLES / "transformer_jax.onnx", "--neurons", "-o", path)
    with np.load(path) as file:
        about = json.loads(file["about"].item())
    firsts, counts, kinds, _ = zip(*about["vertices"], strict=True)
    assert list(np.cumsum(counts)[:-1]) == list(firsts[1:])
    assert sum(counts) == about["n_vertices"]
    assert set(kinds) == {"input", "layer", "join"}
    assert about["connectivity"] == "exact"


def test_neurons_give_the_same_bytes(tmp_path):
    paths = [tmp_path / name for name in ("a.npz", "b.npz")]
    for path in paths:
        graph(SAMPLES / "cnn_jax.onnx", "--neurons", "-o", path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with zipfile.ZipFile(paths[0]) as archive:
        assert {info.date_time[0] for info in archive.infolist()} == {1980}


def test_a_model_without_weights_has_neurons_all_the_same(tmp_path):
    path = save(model([node("Relu", "x")], {}, {"x": [1, 3]}), tmp_path)
    result = graph(path, "--neurons", "-o", tmp_path / "net.npz")
    assert result.exit_code == 4
    assert result.stderr.endswith("nothing to analyse: the model has no weight tensors\n")
    found, _ = read_back(tmp_path / "net.npz")
    assert len(found.inputs) == 3


def test_an_older_file_is_replaced_whole_and_keeps_its_permissions(tmp_path):
    target = tmp_path / "net.npz"
    target.write_bytes(b"old")
    target.chmod(0o600)
    assert graph(MLP, "--neurons", "-o", target).exit_code == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert zipfile.is_zipfile(target)
    assert list(tmp_path.iterdir()) == [target]


# What goes wrong


@pytest.mark.parametrize(
    "words",
    [
        "-f yaml",
        "-o a.npz",
        "-o a.png",
        "-o a",
        "--neurons",
        "--neurons -f json -o a.npz",
        "--neurons -o a.json",
        "--neurons -o a",
        "--neurons -o -",
        "--neurons -o npz",
        "--neurons -o gone/a.npz",
        "-f dot -o gone/a.dot",
        f"-f dot -o {MLP}",
        "--input-shape x",
        "--from-input nobody",
        "--to-output nobody",
    ],
)
def test_usage_errors(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    result = graph(MLP, *words.split())
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "onnxtop: error: " in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.json", "a.svg", "a", "a.npz.txt"])
def test_arrays_go_to_no_file_that_is_called_as_another_kind(tmp_path, name):
    result = graph(MLP, "--neurons", "-o", tmp_path / name)
    assert f"{name}': give the file that suffix" in result.stderr
    assert graph(MLP, "--neurons", "-o", tmp_path / "A.NPZ").exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--from-input logits", "--from-input: .* found 'logits', a value .* which --to-output takes"),
        ("--from-input X", "--from-input: wanted the name of an input of the model, found 'X'; it has x"),
        ("--to-output nobody", "--to-output: wanted the name of a value of the model, found 'nobody'"),
        ("--to-output logit", "--to-output: .* found 'logit': did you mean logits"),
        ("--to-output logits --from-input x", ""),
        ("--to-output x", ""),
    ],
)
def test_ends_of_the_network_by_name(words, message):
    result = graph(MLP, *words.split())
    assert result.exit_code == (2 if message else 0)
    assert re.search(message, result.stderr)


def test_one_model_at_a_time(tmp_path):
    assert graph(SAMPLES).exit_code == 2
    assert "wanted one model, found" in graph(SAMPLES).stderr
    (tmp_path / "m.onnx").write_bytes(MLP.read_bytes())
    assert graph(tmp_path).exit_code == 0


def test_models_that_cannot_be_read(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x07broken")
    assert graph(tmp_path / "gone.onnx").exit_code == 3
    assert graph(tmp_path / "broken.onnx").exit_code == 3
    assert graph(tmp_path / "empty").exit_code == 4
    assert graph(tmp_path / "gone.onnx").stderr.count("\n") == 1


def test_a_model_without_weights(tmp_path):
    path = save(model([node("Relu", "x")], {}, {"x": [1, 3]}), tmp_path)
    result = graph(path)
    assert result.exit_code == 4
    assert "x  input, 3" in result.stdout
    assert result.stderr == f"onnxtop: error: {path}: nothing to analyse: the model has no weight tensors\n"


def test_a_full_disk_is_told_in_one_line():
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "onnxtop", "graph", str(MLP)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    result = graph(MLP, "--neurons", "-o", "/dev/full")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_not_enough_memory(monkeypatch):
    def connect(*args, **options):
        raise MemoryError

    monkeypatch.setattr("onnxtop.reader.connectivity.connect", connect)
    result = graph(MLP)
    assert result.exit_code == 3
    assert (
        result.stderr
        == f"onnxtop: error: {MLP}: there is not enough memory to analyse this model; see --memory\n"
    )


def test_a_bug_is_one_line(monkeypatch):
    monkeypatch.setattr("onnxtop.auditing.layer_graph.describe", lambda *args: 1 / 0)
    result = graph(MLP)
    assert result.exit_code == 5
    assert (
        result.stderr
        == "onnxtop: error: internal error: ZeroDivisionError: division by zero (-vv shows where)\n"
    )
