"""The rule fed with weights as they come: what counts as a weight, and what the figures then are."""

import math
import warnings
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import onnxtop
from onnxtop.errors import ModelError, UsageError
from onnxtop.tracing.stopping import CAVEAT

NAN = math.nan
CHECKPOINTS = sorted((Path(__file__).parents[2] / "sample_models" / "checkpoints").glob("*.onnx"))
RNG = np.random.default_rng(0)
HIDDEN, OUT = RNG.standard_normal((6, 5)), RNG.standard_normal((5, 3))
MEAN = onnxtop.neural_persistence({"hidden": HIDDEN, "out": OUT}).mean_normalized
DGP = onnxtop.deep_graph_persistence([HIDDEN, OUT]).normalized


def value(weights, measure="np", **options):
    stopping = onnxtop.NeuralPersistenceStopping(measure=measure, **options)
    stopping.update(weights)
    return stopping.values[-1]


@pytest.mark.parametrize(
    "weights",
    [
        {"hidden": HIDDEN, "out": OUT},
        [HIDDEN, OUT],
        (HIDDEN.tolist(), OUT.tolist()),
        {
            "0.weight": HIDDEN,
            "0.bias": np.ones(5),
            "steps": np.int64(7),
            "out": OUT,
            "ids": np.ones((1, 9), int),
        },
        [HIDDEN, np.ones(5), OUT, np.ones(3)],
    ],
    ids=["mapping", "list", "lists of lists", "state_dict", "with biases"],
)
def test_weights_in_many_ways(weights):
    assert value(weights) == MEAN
    assert value(weights, "dgp") == DGP


def test_transposed_matrices_and_narrow_floats():
    assert value([HIDDEN.T, OUT.T]) == pytest.approx(MEAN, rel=1e-12)
    narrow = HIDDEN.astype(ml_dtypes.bfloat16)
    assert value([narrow]) == onnxtop.layer_persistence(narrow.astype(np.float32)).normalized


def test_conventions_are_those_of_the_measures():
    weights = {"hidden": HIDDEN, "out": 3 * OUT}
    for options in ({"scale": "layer"}, {"convention": "tree"}, {"p": math.inf}, {"scale": 20.0}):
        assert value(weights, **options) == onnxtop.neural_persistence(weights, **options).mean_normalized


def test_kernels_are_flattened_and_groups_are_one_layer():
    kernel = RNG.standard_normal((4, 3, 2, 2))
    flat = np.stack([kernel[out].ravel() for out in range(4)], axis=1)
    blocks = [kernel[:2], kernel[2:]]
    with pytest.warns(UserWarning, match="convolutions"):
        assert value([kernel]) == onnxtop.layer_persistence(flat).normalized
    with pytest.warns(UserWarning, match="convolutions"):
        grouped = value({"conv": blocks})
    assert grouped == onnxtop.neural_persistence({"conv": [flat[:, :2], flat[:, 2:]]}).mean_normalized


def test_convolutions_are_warned_of_once_and_for_neural_persistence_alone():
    kernel, stopping = RNG.standard_normal((4, 3, 3)), onnxtop.NeuralPersistenceStopping()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        stopping.update([HIDDEN])
        assert not heard
        stopping.update([kernel])
        stopping.update([kernel])
        onnxtop.NeuralPersistenceStopping(measure="dgp").update([kernel])
    assert [str(each.message) for each in heard] == [CAVEAT]
    assert heard[0].filename == __file__


def test_files_and_reports_have_the_figures_of_their_audit(samples):
    for path in CHECKPOINTS[:2]:
        report = onnxtop.audit(path)
        network = report.network
        assert value(path) == value(str(path)) == value(report)
        assert value(path) == network.neural_persistence.mean_normalized
        assert value(path, "dgp") == network.deep_graph_persistence.normalized
    with pytest.warns(UserWarning, match="convolutions"):
        value(samples / "cnn_jax.onnx")


def test_the_checkpoints_of_a_run_stop_where_their_figures_say():
    quick, run = onnxtop.AuditOptions(structure=False), CHECKPOINTS[:6]
    figures = [onnxtop.audit(path, quick).network.neural_persistence.mean_normalized for path in run]
    stopping = onnxtop.NeuralPersistenceStopping(patience=2, min_delta=0.02, burn_in=1)
    answers = [stopping.update(path) for path in run]
    assert stopping.values == figures
    best, waited, expected = 0.0, 0, None
    for number, figure in list(enumerate(figures))[1:]:
        best, waited = (figure, 0) if figure > best + 0.02 else (best, waited + 1)
        if waited == 2 and expected is None:
            expected = number
    assert stopping.rule.stopped_at == expected is not None
    assert answers == [number >= expected for number in range(len(figures))]


@pytest.mark.parametrize("measure", ["np", "dgp"])
def test_a_network_that_diverges_does_not_rise(measure):
    """Left to its finite layers the mean would be another network's, and might rise."""
    broken = HIDDEN.copy()
    broken[2, 3] = math.nan
    stopping = onnxtop.NeuralPersistenceStopping(patience=2, measure=measure)
    answers = [stopping.update([hidden, OUT]) for hidden in (HIDDEN, broken, broken)]
    assert answers == [False, False, True]
    assert stopping.values[0] > 0
    assert np.isnan(stopping.values[1:]).all()
    assert stopping.name not in stopping.metrics
    assert math.isnan(stopping.figures()[stopping.name])


def test_a_file_that_diverges_does_not_rise(tmp_path):
    import onnx

    model = onnx.load(CHECKPOINTS[-1])
    weight = next(each for each in model.graph.initializer if len(each.dims) == 2)
    array = onnx.numpy_helper.to_array(weight).copy()
    array[0, 0] = math.inf
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    onnx.save(model, tmp_path / "broken.onnx")
    assert math.isnan(value(tmp_path / "broken.onnx"))


def test_metrics_are_named_as_those_of_reports():
    stopping = onnxtop.NeuralPersistenceStopping()
    assert stopping.figures() == stopping.figures(layers=True) == {}
    report = onnxtop.audit(CHECKPOINTS[-1])
    stopping.update(report)
    assert stopping.figures(layers=True) == report.metrics()
    assert stopping.figures() == {"np/mean": stopping.values[-1]}
    stopping.update({"hidden": HIDDEN, "out": OUT})
    assert list(stopping.metrics) == ["np/hidden", "np/out", "np/mean"]


def test_resuming_is_as_if_there_had_been_no_break():
    options = {"patience": 2, "burn_in": 1}
    whole, first = (onnxtop.NeuralPersistenceStopping(**options) for _ in range(2))
    series = [[HIDDEN], [OUT], [OUT], [OUT]]
    for weights in series:
        whole.update(weights)
    first.update(series[0])
    first.update(series[1])
    second = onnxtop.NeuralPersistenceStopping(**options)
    second.update([HIDDEN])
    second.resume(first.values)
    assert [second.update(weights) for weights in series[2:]] == [False, True]
    assert (second.rule, second.values) == (whole.rule, whole.values)
    assert second.stopped


@pytest.mark.parametrize(
    ("weights", "measure", "message"),
    [
        ([], "np", "wanted the weights of a network, found no array of two dimensions among 0: pass"),
        (object(), "np", "among 0: .*; onnxtop.integrations reads the weights of the common frameworks"),
        ([object(), object()], "np", "found no array of two dimensions among 2"),
        (np.eye(3), "np", "found no array of two dimensions among 3"),
        ({"bias": np.ones(3)}, "np", "found no array of two dimensions among 1"),
        (
            [HIDDEN, OUT.T],
            "dgp",
            "wanted 5 rows in layer 'layer 1'.*; a network that is no stack of matrices is",
        ),
        ([[HIDDEN, HIDDEN], OUT], "dgp", "wanted one matrix in layer 'layer 0', found 2; a network that"),
        ([HIDDEN + 1j, OUT.astype(str)], "np", "found no array of two dimensions among 2"),
    ],
)
def test_what_are_no_weights(weights, measure, message):
    with pytest.raises(UsageError, match=message):
        value(weights, measure)


def test_what_is_no_model(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"no")
    for path in (tmp_path / "no.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(ModelError):
            value(path)


def test_a_file_without_weights(tmp_path):
    import onnx

    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) { y = Relu (x) }'
    )
    onnx.save(model, tmp_path / "empty.onnx")
    for measure, name in (("np", "np/mean"), ("dgp", "dgp")):
        with pytest.raises(UsageError, match=f"wanted a network with {name}, found none: no "):
            value(tmp_path / "empty.onnx", measure)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "patience: wanted a whole number of at least 1, found 0"),
        ({"measure": "loss"}, "measure: wanted one of np, dgp, found 'loss'"),
        ({"scale": "none"}, "scale: wanted"),
        ({"convention": "forest"}, "convention: wanted one of essential, tree"),
        ({"p": -1}, "p: wanted"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(UsageError, match=message):
        onnxtop.NeuralPersistenceStopping(**options)
