"""Two models run on the same inputs: what that says about a verdict, and where they part."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import ModelProto, helper, numpy_helper

import onnxtop
from onnxtop.cli import app
from onnxtop.comparison import story
from onnxtop.comparison.options import DiffOptions
from onnxtop.comparison.running import decided
from onnxtop.execution.job import Answer, Given, Job, Places
from onnxtop.execution.options import RunOptions
from onnxtop.execution.pair import apart, run_pair
from onnxtop.results.diff import Diff, Verdict, WholeDiff
from onnxtop.results.run import PairOutput, PairRun, RunFailure
from tests import harmless, ruins
from tests.execution.test_single import model
from tests.faults import SAMPLES
from tests.models import save

DIGITS = str(SAMPLES / "digits.npz")
RUN = DiffOptions(running=RunOptions(execute=True))


def ran(old: ModelProto, new: ModelProto, folder: Path, options: DiffOptions = RUN) -> Diff:
    return onnxtop.diff(save(old, folder, "old.onnx"), save(new, folder, "new.onnx"), options)


def changed(proto: ModelProto, name: str, factor: float) -> ModelProto:
    """Return a copy with one constant times a factor."""
    copy = ModelProto.FromString(proto.SerializeToString())
    for tensor in copy.graph.initializer:
        if tensor.name == name:
            array = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array((array * factor).astype(array.dtype), name))
    return copy


@pytest.mark.parametrize(
    ("name", "constant", "layer"),
    [("convolutional", "weight", "weight"), ("attention", "key", "key"), ("recurrent", "w", "r.R.c")],
)
def test_a_ruined_layer_is_where_outputs_part(name: str, constant: str, layer: str, tmp_path: Path) -> None:
    old = ruins.small(name)
    diff = ran(old, changed(old, constant, 100.0), tmp_path)
    assert diff.whole.verdict is Verdict.CHANGED
    assert diff.run is not None
    assert diff.run.differs
    assert diff.run.parting is not None
    assert diff.run.parting.name == layer


def test_a_ruined_operation_is_where_outputs_part(tmp_path: Path) -> None:
    old = ruins.small("attention")
    new = ModelProto.FromString(old.SerializeToString())
    (node,) = (node for node in new.graph.node if node.op_type == "PRelu")
    node.name = "bend"
    node.input[1] = "gain"
    diff = ran(old, new, tmp_path)
    assert diff.run is not None
    assert diff.run.parting is not None
    assert (diff.run.parting.op_type, diff.run.parting.name) == ("PRelu", "bend")


@pytest.mark.parametrize("change", [harmless.renamed, harmless.in_functions, harmless.transposed])
def test_what_is_harmless_differs_by_rounding(change: harmless.Change, tmp_path: Path) -> None:
    for name in ("convolutional", "attention"):
        old = ruins.small(name)
        diff = ran(old, change(ruins.small(name)), tmp_path)
        assert diff.whole.verdict.passes
        if diff.run is not None:  # the same bytes are not run
            assert not diff.run.differs
            assert diff.run.failure is None


@pytest.mark.parametrize("change", harmless.ROUNDED)
def test_what_rounds_stays_within_the_tolerance(change: harmless.Change, tmp_path: Path) -> None:
    old = ruins.small("attention")
    diff = ran(old, change(ruins.small("attention")), tmp_path)
    assert diff.whole.verdict is Verdict.WITHIN
    assert diff.run is not None
    (output,) = diff.run.outputs
    assert output.relative is not None
    assert 0 < output.relative < 0.1
    assert "10 % of their spread" in diff.run.limit


@pytest.mark.parametrize(("scale", "wanted"), [(0.008, Verdict.WITHIN), (0.0005, Verdict.CHANGED)])
def test_what_a_quantiser_cuts_off_no_weight_shows(scale: float, wanted: Verdict, tmp_path: Path) -> None:
    weight = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
    constants = {
        "w": weight,
        "v": weight.T.copy(),
        "s": np.array(scale, np.float32),
        "z": np.array(0, np.int8),
    }
    old, new = (
        model(f"net (float[n, 4] x) => (float[n, 4] y) {{ a = Softmax (x)  {inner} }}", **constants)
        for inner in (
            "b = MatMul (a, w)  y = MatMul (b, v)",
            "b = MatMul (a, w)  q = QuantizeLinear (b, s, z)  d = DequantizeLinear (q, s, z)  "
            "y = MatMul (d, v)",
        )
    )
    plain = dataclasses.replace(RUN, running=RunOptions())
    assert ran(old, new, tmp_path, plain).whole.verdict is Verdict.WITHIN
    assert ran(old, new, tmp_path).whole.verdict is wanted


def pair(differs: bool) -> PairRun:
    return PairRun(
        "seeded inputs", "", 4, outputs=(PairOutput("y", "y", 0.5, 0.1, 0.5, 0.2, differs=differs),)
    )


@pytest.mark.parametrize(
    ("verdict", "differs", "wanted"),
    [
        (Verdict.SAME, True, Verdict.CHANGED),
        (Verdict.EQUIVALENT, True, Verdict.CHANGED),
        (Verdict.WITHIN, True, Verdict.CHANGED),
        (Verdict.UNPROVEN, True, Verdict.CHANGED),
        (Verdict.CHANGED, True, Verdict.CHANGED),
        (Verdict.SAME, False, Verdict.SAME),
        (Verdict.EQUIVALENT, False, Verdict.EQUIVALENT),
        (Verdict.WITHIN, False, Verdict.WITHIN),
        (Verdict.UNPROVEN, False, Verdict.NONE_FOUND),
        (Verdict.CHANGED, False, Verdict.CHANGED),
    ],
)
def test_what_a_run_decides(verdict: Verdict, differs: bool, wanted: Verdict) -> None:
    whole = decided(WholeDiff(verdict, "so it was"), pair(differs))
    assert whole.verdict is wanted
    assert "so it was" in whole.reason
    assert whole.verdict.passes == (wanted not in (Verdict.CHANGED, Verdict.UNPROVEN))


@pytest.mark.parametrize("verdict", [Verdict.SAME, Verdict.UNPROVEN, Verdict.CHANGED])
@pytest.mark.parametrize(
    ("kind", "new", "decides"),
    [("refused", True, True), ("refused", False, False), ("time", True, False), ("inputs", True, False)],
)
def test_what_a_run_that_failed_decides(verdict: Verdict, kind: str, new: bool, decides: bool) -> None:
    run = PairRun("seeded inputs", "", failure=RunFailure(kind, "broken", int(new)), failed_new=new)
    whole = decided(WholeDiff(verdict, "so it was"), run)
    assert whole.verdict is (Verdict.CHANGED if decides else verdict)
    if decides and verdict is not Verdict.CHANGED:
        assert "the new model does not run: broken" in whole.reason


def test_random_outputs_decide_nothing() -> None:
    run = PairRun("seeded inputs", "", 4, outputs=(PairOutput("y", "y", reason="it is random"),))
    assert decided(WholeDiff(Verdict.UNPROVEN, "open"), run).verdict is Verdict.UNPROVEN


def test_a_proof_that_a_run_contradicts_is_told_loudly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "judge_whole", lambda *_: WholeDiff(Verdict.SAME, "the same operations"))
    old = ruins.small("convolutional")
    paths = [
        str(save(proto, tmp_path, f"{n}.onnx")) for n, proto in enumerate((old, changed(old, "bias", 50)))
    ]
    result = CliRunner().invoke(app, ["diff", *paths, "--run"])
    assert result.exit_code == 1
    assert "although the graphs were found SAME" in " ".join(result.stdout.split())
    assert CliRunner().invoke(app, ["diff", *paths]).exit_code == 0


@pytest.mark.parametrize(("last", "wanted"), [("Log", Verdict.NONE_FOUND), ("Tanh", Verdict.CHANGED)])
def test_the_graphs_leave_open_what_a_run_decides(last: str, wanted: Verdict, tmp_path: Path) -> None:
    """Minus softplus is the logarithm of the sigmoid of minus a."""
    text = "net (float[n, 4] x) => (float[n, 4] y) {{ a = MatMul (x, w)  {}  y = MatMul (b, c) }}"
    weight = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
    old, new = (
        model(text.format(inner), w=weight / 10, c=weight)
        for inner in ("s = Softplus (a)  b = Neg (s)", f"u = Neg (a)  s = Sigmoid (u)  b = {last} (s)")
    )
    paths = [str(save(proto, tmp_path, f"{name}.onnx")) for name, proto in (("old", old), ("new", new))]
    left_open = CliRunner().invoke(app, ["diff", *paths])
    assert left_open.exit_code == 1
    assert "UNPROVEN: " in left_open.stdout
    decided_now = CliRunner().invoke(app, ["diff", *paths, "--run"])
    assert decided_now.exit_code == (wanted is Verdict.CHANGED)
    assert f"{wanted}: " in decided_now.stdout
    assert "run 4 times on seeded inputs, n=1" in decided_now.stdout


def test_what_is_known_is_not_lost_where_the_search_takes_too_long() -> None:
    found: list[Answer] = []
    paths = tuple(str(SAMPLES / "checkpoints" / f"epoch_{number:02}.onnx") for number in (1, 12))
    given = Given(("x", "x"), ("float32", "float32"), (None, 64), ((1, 64),))
    nowhere = Places("a", "a", "Gemm", ("no such value",), ("no such value",))
    job = Job(paths, (given,), 2, 0, 2**32, outputs=(("logits", "logits"),), limit=0.1, places=(nowhere,))
    last = run_pair(job, lambda number: None, found.append)
    (early,) = found
    assert early.pairs == last.pairs
    assert early.pairs[0].differs
    assert "the process ended before" in early.notes[-1]
    assert last.notes[-1].startswith("where they part was not found: onnxruntime cannot open the model")


def test_outputs_whose_squares_no_float_holds() -> None:
    job = Job((), (), 2, 0, 0)
    old = np.array([1e300, -1.0])
    same = apart(old, old) + apart(old / 1e300, old / 1e300)
    assert not same.exceeds(job)
    assert same.relative == 0
    assert apart(old, old * 1.5).exceeds(job)
    assert apart(old / 1e300, old).reason == "numbers beyond 1e+120, not the same"


def test_inputs_go_by_the_interface(tmp_path: Path) -> None:
    text = "net (float[n, 3] {0}, float[n, 3] {1}) => (float[n, 3] {2}) {{ {2} = Sub ({0}, {1}) }}"
    weight = np.ones((3, 3), np.float32)

    def made(a: str, b: str, y: str) -> ModelProto:
        proto = model(text.format(a, b, y), w=weight)
        proto.graph.node[0].output[0] = "d"
        proto.graph.node.append(helper.make_node("MatMul", ["d", "w"], [y]))
        return proto

    diff = ran(made("x", "z", "y"), made("p", "q", "r"), tmp_path)
    assert diff.run is not None
    assert [each.name for each in diff.run.inputs] == ["x", "z"]
    assert (diff.run.outputs[0].old_name, diff.run.outputs[0].name) == ("y", "r")
    assert diff.run.outputs[0].largest == 0


def test_inputs_of_other_sizes_cannot_be_the_same(tmp_path: Path) -> None:
    old, new = (
        model(
            f"net (float[2, {n}] x) => (float[2, 4] y) {{ y = MatMul (x, w) }}", w=np.ones((n, 4), np.float32)
        )
        for n in (3, 5)
    )
    diff = ran(old, new, tmp_path)
    assert diff.run is not None
    assert diff.run.failure is not None
    assert diff.run.failure.kind == "inputs"
    assert diff.whole.verdict is Verdict.CHANGED


def test_an_output_that_one_model_makes_nan(tmp_path: Path) -> None:
    old = ruins.small("convolutional")
    diff = ran(old, changed(old, "bias", np.nan), tmp_path)
    assert diff.run is not None
    assert diff.run.outputs[0].differs
    assert "NaN" in str(diff.run.outputs[0].reason)


def test_data_of_two_checkpoints(tmp_path: Path) -> None:
    paths = [str(SAMPLES / "checkpoints" / f"epoch_{number:02}.onnx") for number in (1, 12)]
    result = CliRunner().invoke(app, ["diff", *paths, "--data", DIGITS, "-f", "json"])
    assert result.exit_code == 1
    run = json.loads(result.stdout)["run"]
    (output,) = run["outputs"]
    assert output["rows"] == 256
    assert 0.2 < output["top"] < 1
    assert run["parting"]["name"] == "/hidden1/Gemm"
    page = CliRunner().invoke(app, ["diff", *paths, "--data", DIGITS, "-f", "markdown"]).stdout
    assert "top class the same in" in page
    assert "they part at Gemm" in page


def test_a_converted_network_on_data(tmp_path: Path) -> None:
    old = SAMPLES / "cnn_torch_dynamo.onnx"
    new = tmp_path / "half.onnx"
    onnx.save(harmless.in_half_precision_inside(onnx.load(old)), new)
    options = DiffOptions(running=RunOptions(samples=DIGITS))
    diff = onnxtop.diff(old, new, options)
    assert diff.whole.verdict is Verdict.WITHIN
    assert diff.run is not None
    assert diff.run.outputs[0].top == 1.0
