"""Models that are run in a process of their own: what is found, and what is left behind: nothing."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import ModelProto, helper, numpy_helper, parser

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.cli import app
from onnxtop.errors import NoProcessError, UsageError
from onnxtop.execution.options import RunOptions
from onnxtop.execution.plan import hints, ranges
from onnxtop.execution.story import RunFrame, run_model
from onnxtop.reader.loading import load
from onnxtop.results.run import ModelRun
from onnxtop.work.limits import THREADS
from tests.faults import SAMPLES
from tests.models import save

DIGITS = str(SAMPLES / "digits.npz")


def model(text: str, **arrays: Any) -> ModelProto:
    """Return a model of a graph as ONNX writes it, with some constants."""
    made = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}')
    made.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()
    )
    return made


def ran(proto: ModelProto, folder: Path, frame: RunFrame | None = None, **options: Any) -> ModelRun:
    return run_model(load(save(proto, folder)), RunOptions(execute=True, **options), frame or RunFrame())


def found(proto: ModelProto, folder: Path, **options: Any) -> dict[str, str]:
    """Return the findings of runs, by code."""
    return found_and_ran(proto, folder, **options)[0]


def found_and_ran(proto: ModelProto, folder: Path, **options: Any) -> tuple[dict[str, str], ModelRun]:
    """Return the findings of runs, by code, and the runs themselves."""
    report = audit(save(proto, folder), structure=False, execute=True, **options)
    assert report.run
    return {each.rule: each.message for each in report.findings if each.rule.startswith("OT7")}, report.run


WEIGHT = np.arange(12, dtype=np.float32).reshape(3, 4) / 8 - 0.5
DENSE = "net (float[n, 3] x) => (float[n, 4] y) { a = MatMul (x, w)  y = Relu (a) }"


def test_a_healthy_model_gives_no_finding(tmp_path: Path) -> None:
    told, run = found_and_ran(model(DENSE, w=WEIGHT), tmp_path)
    assert not told
    assert (run.runs, run.source, run.failure) == (4, "seeded inputs", None)
    (given,), (output,) = run.inputs, run.outputs
    assert (given.shape, given.assumed) == ((1, 3), ("n=1",))
    assert (output.name, output.shape, output.follows) == ("y", (1, 4), ("x",))


def test_nothing_is_run_unless_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    path = save(model(DENSE, w=WEIGHT * np.nan), tmp_path)
    report = audit(path)
    assert report.run is None
    assert "run" not in report.to_dict()
    assert not any(finding.rule.startswith("OT7") for finding in report.findings)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_an_output_that_is_never_finite(odd: float, tmp_path: Path) -> None:
    text = "net (float[n, 3] x) => (float[n, 4] y, float[n, 4] z) { y = MatMul (x, w)  z = Add (y, b) }"
    told = found(model(text, w=WEIGHT, b=np.array([0, 1, odd, 2], np.float32)), tmp_path)
    assert list(told) == ["OT704"]
    assert told["OT704"].startswith("output z is not finite in all of 4 runs: 4 ")


def test_minus_infinity_alone_is_a_mask(tmp_path: Path) -> None:
    text = "net (float[n, 3] x) => (float[n, 4] z) { y = MatMul (x, w)  z = Add (y, b) }"
    assert not found(model(text, w=WEIGHT, b=np.array([0, 1, -np.inf, 2], np.float32)), tmp_path)


@pytest.mark.parametrize("operation", ["Log", "Sqrt"])
def test_what_only_some_inputs_make_nan_is_a_note(operation: str, tmp_path: Path) -> None:
    told = found(model(f"net (float[2, 3] x) => (float[2, 3] y) {{ y = {operation} (x) }}"), tmp_path)
    assert list(told) == ["OT705"]


@pytest.mark.parametrize("shift", [0.0, -1e9])
def test_a_dead_network_is_told_once(shift: float, tmp_path: Path) -> None:
    text = """net (float[n, 3] x, float[n, 3] z) => (float[n, 4] y) {
        s = Add (x, z)
        a = Gemm (s, w, b)
        y = Relu (a)
    }"""
    weight = WEIGHT * (shift != 0)
    told = found(model(text, w=weight, b=np.full(4, shift or 0.25, np.float32)), tmp_path)
    assert list(told) == ["OT706"]
    assert "output y is the same in all runs" in told["OT706"]


def test_constant_outputs_that_need_not_change_are_none(tmp_path: Path) -> None:
    """Anchors, shapes and labels: no float that the graph leads to from values of an input."""
    text = """net (float[n, 3] x) => (float[n, 4] y, float[2] anchors, int64[2] sizes, int64[n] label) {
        y = MatMul (x, w)
        anchors = Identity (a)
        sizes = Shape (x)
        d = Mul (x, zero)
        label = ArgMax <axis = 1, keepdims = 0> (d)
    }"""
    zero, pair = np.zeros(1, np.float32), np.ones(2, np.float32)
    assert not found(model(text, w=WEIGHT, a=pair, zero=zero), tmp_path)


def test_what_is_saturated_for_common_inputs_is_not_dead(tmp_path: Path) -> None:
    text = "net (float[n, 3] x) => (float[n, 4] y) { a = MatMul (x, w)  s = Abs (a)  y = Tanh (s) }"
    proto = model(text, w=np.full((3, 4), 100.0, np.float32))
    told, run = found_and_ran(proto, tmp_path)
    assert not told
    assert run.runs > 4


def test_an_input_that_changes_nothing(tmp_path: Path) -> None:
    text = """net (float[n, 3] x, float[n, 3] z, int64 sr, float[n, 3] loose) => (float[n, 3] y) {
        o = Mul (z, zero)
        f = Cast <to = 1> (sr)
        g = Mul (f, zero)
        s = Add (x, o)
        y = Add (s, g)
    }"""
    told = found(model(text, zero=np.zeros(1, np.float32)), tmp_path)
    assert told == {"OT707": "input z changes nothing of what it leads to: y"}


def test_chance_is_told_and_nothing_else_judged(tmp_path: Path) -> None:
    text = """net (float[4, 30] x) => (float[4, 30] y, float[4, 30] z) {
        y = Dropout (x, half, on)
        z = Neg (x)
    }"""
    proto = model(text, half=np.array(0.5, np.float32), on=np.array(True))
    told, run = found_and_ran(proto, tmp_path)
    assert list(told) == ["OT708"]
    assert "output y" in told["OT708"]
    assert "Dropout" in told["OT708"]
    assert [each.random for each in run.outputs] == [True, False]


def test_a_model_that_onnxruntime_refuses(tmp_path: Path) -> None:
    proto = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Twist", ["x", "w"], ["y"], domain="my.own"),
                helper.make_node("MatMul", ["x", "w"], ["z"]),
            ],
            "net",
            [helper.make_tensor_value_info("x", 1, [2, 3])],
            [helper.make_tensor_value_info(name, 1, None) for name in "yz"],
            [numpy_helper.from_array(WEIGHT, "w")],
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("my.own", 1)],
        ir_version=8,
    )
    told = found(proto, tmp_path)
    assert list(told) == ["OT701"]
    assert "Twist" in told["OT701"]
    assert str(tmp_path) not in told["OT701"]


def test_a_model_that_fails_when_it_is_run(tmp_path: Path) -> None:
    text = """net (float[2, 3] x) => (float[m] y) {
        s = Size (x)
        t = Mul (s, two)
        u = Unsqueeze (t, o)
        y = Reshape (x, u)
    }"""
    told = found(model(text, two=np.array(2, np.int64), o=np.array([0], np.int64)), tmp_path)
    assert list(told) == ["OT702"]
    assert "Reshape" in told["OT702"]


def test_sizes_that_nobody_knows_accuse_no_model(tmp_path: Path) -> None:
    text = "net (float[a, b, c] x) => (float[d] y) { s = Shape (x)  t = Add (s, two)  y = Reshape (x, t) }"
    proto = model(text, two=np.array([2, 2, 2], np.int64))
    told = found(proto, tmp_path)
    assert list(told) == ["OT709"]
    assert "--input-shape" in told["OT709"]


ENDLESS = """net (float[2, 3] x) => (float[2, 3] y) {
    y = Loop (trips, go, x) <
        body = turn (int64 i, bool more, float[2, 3] s) => (bool more2, float[2, 3] s2) {
            more2 = Identity (more)
            s2 = Tanh (s)
        }
    >
}"""
GREEDY = """net (float[2, 3] x) => (float[2, 3] y) {
    f = ConstantOfShape (n)
    m = ReduceMax <keepdims = 0> (f)
    y = Add (x, m)
}"""


def endless() -> ModelProto:
    return model(ENDLESS, trips=np.array(2**60), go=np.array(True))


def greedy() -> ModelProto:
    return model(GREEDY, n=np.array([2**20, 2**14]))


@pytest.mark.parametrize(
    ("proto", "options", "word"),
    [
        (endless(), {"time_limit": 2.0}, "not done after 2 s"),
        (greedy(), {"memory_limit": 2.0}, "alloc"),
    ],
)
def test_what_ends_a_process_is_a_finding_and_nothing_stays(
    proto: ModelProto, options: dict[str, float], word: str, tmp_path: Path
) -> None:
    before = children()  # of other tests in this process: what tracks their resources
    told = found(proto, tmp_path, **options)
    assert list(told) == ["OT703"]
    assert word in told["OT703"]
    assert children() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx"]


def test_a_signal_that_ends_a_process_is_named(tmp_path: Path) -> None:
    others = children()

    def kill() -> None:
        while not (pids := [pid for pid in children() if pid not in others]):
            time.sleep(0.05)
        os.kill(int(pids[0]), signal.SIGSEGV)

    threading.Thread(target=kill, daemon=True).start()
    told = found(endless(), tmp_path)
    assert told == {"OT703": "the process was ended by SIGSEGV"}


def children(of: int | None = None) -> list[str]:
    """Return the processes that a process has started and that are still there."""
    with subprocess.Popen(["ps", "-A", "-o", "pid=,ppid="], stdout=subprocess.PIPE, text=True) as listing:
        pairs = [line.split() for line in listing.communicate()[0].splitlines()]
    assert pairs
    return [pid for pid, parent in pairs if parent == str(of or os.getpid()) and pid != str(listing.pid)]


def test_a_run_does_not_outlive_who_asked_for_it(tmp_path: Path) -> None:
    path = save(endless(), tmp_path)
    with subprocess.Popen(
        [sys.executable, "-m", "onnxtop", "check", "--quick", "--run", path], stderr=subprocess.DEVNULL
    ) as asking:
        pids: list[str] = []
        end = time.monotonic() + 60
        while not pids and time.monotonic() < end:
            time.sleep(0.1)
            pids = children(asking.pid)
        asking.send_signal(signal.SIGKILL)
    (pid,) = pids
    while _is_alive(pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert not _is_alive(pid)


def _is_alive(pid: str) -> bool:
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_one_bad_model_stops_no_other(tmp_path: Path) -> None:
    for name, proto in (("a", greedy()), ("b", model(DENSE, w=WEIGHT)), ("c", endless())):
        save(proto, tmp_path, f"{name}.onnx")
    result = CliRunner().invoke(
        app, ["check", "--run", "--time-limit", "4", "--memory-limit", "2", str(tmp_path), "-f", "json"]
    )
    assert result.exit_code == 1
    reports = json.loads(result.stdout)["reports"]
    assert [[each["rule"] for each in report["findings"] if each["rule"] >= "OT7"] for report in reports] == [
        ["OT703"],
        [],
        ["OT703"],
    ]


# What inputs are given


def test_integers_stay_below_what_they_pick_from(tmp_path: Path) -> None:
    text = """net (int64[n, t] ids, int64[n, t] kinds, float[n] x) => (float[n, t, 4] y, float[n] z) {
        a = Gather <axis = 0> (words, ids)
        c = Cast <to = 6> (kinds)
        b = Gather <axis = 0> (two, c)
        y = Add (a, b)
        z = Neg (x)
    }"""
    proto = model(text, words=np.tile(WEIGHT, (3, 1)), two=WEIGHT[:2])
    assert ranges(load(save(proto, tmp_path))) == {"ids": 9, "kinds": 2}
    run = ran(proto, tmp_path)
    assert run.failure is None
    assert [each.given for each in run.inputs[:2]] == ["whole numbers below 9", "whole numbers below 2"]
    assert run.inputs[0].shape == run.inputs[1].shape


def test_words_flags_and_narrow_types(tmp_path: Path) -> None:
    text = """net (string[3] words, bool[3] flags, uint8[3] pixels, float16[3] halves, double[3] wide)
        => (string[3] a, bool[3] b, float[3] c, float16[3] d, double[3] e) {
        a = Identity (words)
        b = Not (flags)
        c = Cast <to = 1> (pixels)
        d = Neg (halves)
        e = Neg (wide)
    }"""
    proto = model(text)
    told, run = found_and_ran(proto, tmp_path)
    assert not told
    assert len(run.outputs) == 5


def test_a_number_too_long_for_a_size_is_a_name(tmp_path: Path) -> None:
    proto = model("net (float[n, 4] x) => (float[n, 4] y) { y = Neg (x) }")
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "9" * 5000
    assert ran(proto, tmp_path).outputs[0].shape == (1, 4)


def test_open_sizes_are_those_that_fit_the_weights_or_are_given(tmp_path: Path) -> None:
    proto = model(
        "net (float[a, b] x) => (float[a, 4] y) { y = MatMul (x, w) }", w=np.ones((37, 4), np.float32)
    )
    assert 37 in hints(load(save(proto, tmp_path)))
    assert ran(proto, tmp_path).inputs[0].assumed == ("a=1", "b=37")
    frame = RunFrame(dims={"a": 5, "b": 37})
    assert ran(proto, tmp_path, frame).inputs[0].shape == (5, 37)
    frame = RunFrame(input_shapes={"x": (2, 37)})
    assert ran(proto, tmp_path, frame).outputs[0].shape == (2, 4)


def test_floats_stay_within_what_their_codes_hold(tmp_path: Path) -> None:
    text = """net (float[2, 3] x) => (float[2, 3] y) {
        q = QuantizeLinear (x, s, z)
        y = DequantizeLinear (q, s, z)
    }"""
    run = ran(model(text, s=np.array(0.5, np.float32), z=np.array(28, np.uint8)), tmp_path)
    assert run.inputs[0].given == "from -14 to 113.5, what its codes hold"


def test_what_is_no_tensor_is_not_made(tmp_path: Path) -> None:
    value = helper.make_tensor_sequence_value_info("x", 1, None)
    proto = helper.make_model(
        helper.make_graph(
            [helper.make_node("SequenceLength", ["x"], ["y"])],
            "net",
            [value],
            [helper.make_tensor_value_info("y", 7, [])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    assert "only tensors" in found(proto, tmp_path)["OT709"]


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    proto = model(DENSE, w=WEIGHT)
    first, again = (ran(proto, tmp_path) for _ in range(2))
    assert first == again


# Data


def test_data_needs_no_labels(tmp_path: Path) -> None:
    proto = model(DENSE, w=WEIGHT)
    samples = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=samples)
    np.save(tmp_path / "d.npy", samples)
    for name in ("d.npz", "d.npy"):
        run = ran(proto, tmp_path, samples=str(tmp_path / name))
        assert (run.runs, run.failure, run.source) == (3, None, str(tmp_path / name))
        assert run.inputs[0].given == "samples"


def test_samples_that_are_all_alike_to_a_model(tmp_path: Path) -> None:
    samples = -np.abs(np.random.default_rng(0).normal(size=(40, 3))).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=samples)
    proto = model(DENSE, w=np.abs(WEIGHT) + 1)
    assert list(found(proto, tmp_path, samples=str(tmp_path / "d.npz"))) == ["OT706"]


def test_a_fixed_batch_is_filled(tmp_path: Path) -> None:
    run = run_model(load(str(SAMPLES / "mlp_torch_fixed_batch.onnx")), RunOptions(samples=DIGITS), RunFrame())
    assert run.failure is None
    assert "the first 256 of 1,297 samples were used" in run.notes


@pytest.mark.parametrize(
    "arrays", [{"x": np.zeros((4, 5), np.float32)}, {"other": np.zeros((4, 3)), "b": np.ones(4)}]
)
def test_data_that_does_not_fit_is_misuse(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    path = save(model(DENSE, w=WEIGHT), tmp_path)
    with pytest.raises(UsageError, match="wanted"):
        run_model(load(path), RunOptions(samples=str(tmp_path / "d.npz")), RunFrame())
    result = CliRunner().invoke(app, ["check", str(path), "--data", str(tmp_path / "d.npz")])
    assert result.exit_code == 2
    assert "wanted" in result.stderr


# Files


def test_external_weights_in_a_folder_that_is_allowed(tmp_path: Path) -> None:
    proto = model(DENSE, w=np.tile(WEIGHT, (100, 1)))
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 300
    (tmp_path / "weights").mkdir()
    (tmp_path / "model").mkdir()
    onnx.save(
        proto, tmp_path / "weights" / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    text = onnx.load(tmp_path / "weights" / "m.onnx", load_external_data=False)
    text.graph.initializer[0].external_data[0].value = "../weights/w.bin"
    path = tmp_path / "model" / "m.onnx"
    path.write_bytes(text.SerializeToString())
    options = AuditOptions(allow_external=(tmp_path / "weights",), running=RunOptions(execute=True))
    report = audit(path, options)
    assert report.run is not None
    assert (report.run.failure, report.run.runs) == (None, 4)


def test_a_module_in_the_folder_where_one_stands_is_not_imported(tmp_path: Path) -> None:
    path = save(model(DENSE, w=WEIGHT), tmp_path)
    (tmp_path / "numpy.py").write_text("raise SystemExit('read')")
    script = "import sys; sys.path[:] = [p for p in sys.path if p]; from onnxtop.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, "check", "--quick", "--run", path],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 1 output finite" in done.stdout


def test_an_input_that_is_declared_empty_is_given_nothing(tmp_path: Path) -> None:
    dense = DENSE.replace("float[n, 3] x", "float[0, 3] x")
    told, run = found_and_ran(model(dense, w=WEIGHT), tmp_path)
    assert not told
    assert [(each.shape, each.assumed) for each in run.inputs] == [((0, 3), ())]


def test_codes_with_a_scale_that_makes_no_sense_are_a_finding(tmp_path: Path) -> None:
    scaled = "net (float[n, 3] x) => (float[n, 4] y) { q = QuantizeLinear (x, s, z) " \
             "d = DequantizeLinear (q, s, z)  y = MatMul (d, w) }"  # fmt: skip
    made = model(scaled, w=WEIGHT, s=np.float32(0.1), z=np.uint8(0))
    made.graph.initializer[1].data_type = 99
    assert {"OT701", "OT702"} & found(made, tmp_path).keys()


def test_the_process_computes_on_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says, with any library of linear algebra."""
    asked: list[dict[str, str]] = []

    def refuse(*args: object, env: dict[str, str], **kwargs: object) -> None:
        asked.append(env)
        raise OSError

    monkeypatch.setattr(subprocess, "Popen", refuse)
    for name in THREADS:
        monkeypatch.setenv(name, "2")
    with pytest.raises(NoProcessError):
        ran(model(DENSE, w=WEIGHT), tmp_path)
    assert [env[name] for env in asked for name in THREADS] == ["1", "1", "1"]


def test_the_process_loads_only_what_runs_models() -> None:
    """Nothing that looks for layers: it would take longer than the run."""
    heavy = {"onnxtop.reader.layers", "onnxtop.gradient.rules", "scipy", "networkx"}
    script = "import sys, onnxtop.execution.single, onnxtop.execution.pair; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())
