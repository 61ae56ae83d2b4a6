"""The interface of Python: what a model can be given as, what goes wrong, and that all of it is public."""

import inspect
import io
import json
import os
import stat
import typing
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import Mock

import numpy as np
import onnx
import pytest

import onnxtop
from onnxtop.reader.layer import INSIDE
from tests.conftest import SAMPLES

MLP = SAMPLES / "mlp_torch_dynamo.onnx"

FORMS: dict[str, Callable[[Path], Any]] = {
    "a text": str,
    "a path": Path,
    "bytes": Path.read_bytes,
    "a bytearray": lambda path: bytearray(path.read_bytes()),
    "a memory view": lambda path: memoryview(path.read_bytes()),
    "a file": lambda path: path.open("rb"),
    "a file in memory": lambda path: io.BytesIO(path.read_bytes()),
    "a ModelProto": onnx.load,
}


# What a model can be given as


@pytest.mark.parametrize("form", FORMS)
def test_a_model_may_be_given_as(form: str) -> None:
    given = FORMS[form](MLP)
    report = onnxtop.audit(given, structure=False)
    assert report.network.neural_persistence.mean_normalized == pytest.approx(0.585, abs=1e-3)
    name = {"a ModelProto": "<ModelProto>", "a file in memory": "<file>"}.get(form, "<bytes>")
    assert report.model.path == (str(MLP) if form in ("a text", "a path", "a file") else name)
    if hasattr(given, "close"):
        given.close()


def test_all_forms_are_the_same_model() -> None:
    plain = onnxtop.audit(MLP, structure=False)
    for form in ("bytes", "a file in memory"):
        other = onnxtop.audit(FORMS[form](MLP), structure=False)
        assert replace(other, model=replace(other.model, path=str(MLP))).to_dict() == plain.to_dict()


def test_every_function_of_models_takes_bytes() -> None:
    content, other = MLP.read_bytes(), (SAMPLES / "mlp_jax.onnx").read_bytes()
    data = {name: array[:9] for name, array in np.load(SAMPLES / "digits.npz").items() if "_" not in name}
    assert [layer.name for layer in onnxtop.read_layers(content)] == ["hidden1", "hidden2", "output"]
    assert list(onnxtop.matrices(content)) == ["hidden1", "hidden2", "output"]
    assert onnxtop.check(io.BytesIO(content), structure=False).exit_code == 0
    assert str(onnxtop.diff(io.BytesIO(content), io.BytesIO(content)).whole.verdict) == "SAME"
    assert str(onnxtop.diff(content, other).whole.verdict) == "EQUIVALENT"
    assert onnxtop.Probe(content, data).theta0.shape == (12060,)
    assert onnxtop.probe(content, data, profile=False, sharpness=False, descent=False).samples == 9
    assert onnxtop.symmetries(content).units == 150


def test_a_model_in_memory_is_run(tmp_path: Path) -> None:
    run = onnxtop.audit(MLP.read_bytes(), structure=False, execute=True).run
    assert run is not None and run.failure is None
    assert [output.name for output in run.outputs] == ["logits"]
    broken = onnx.load(MLP)
    broken.graph.node[0].op_type = "NoSuchOperation"
    failed = onnxtop.audit(broken, structure=False, execute=True).run
    assert failed is not None and failed.failure is not None
    assert "NoSuchOperation" in failed.failure.reason
    assert "/onnxtop-" not in failed.failure.reason


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A model that keeps its weights in a file beside it."""
    proto = onnx.load(MLP)
    path = tmp_path / "m.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="m.data", size_threshold=0)
    return path


def test_external_weights_of_a_model_in_memory_lie_where_the_caller_says(beside: Path) -> None:
    content = beside.read_bytes()
    with pytest.raises(onnxtop.ExternalDataError, match=r"in memory, which has no folder.*allow_external"):
        onnxtop.audit(content, structure=False)
    report = onnxtop.audit(content, structure=False, allow_external=[beside.parent], execute=True)
    assert report.network.neural_persistence.mean_normalized == pytest.approx(0.585, abs=1e-3)
    assert report.run is not None and report.run.failure is None
    with beside.open("rb") as file:  # a file object does not say where it lies for certain
        assert onnxtop.read_layers(file, allow_external=[beside.parent])[0].name == "hidden1"


def test_external_weights_are_never_read_outside_of_the_folders(beside: Path) -> None:
    inner = beside.parent / "inner"
    inner.mkdir()
    with pytest.raises(onnxtop.MissingExternalDataError):
        onnxtop.audit(beside.read_bytes(), structure=False, allow_external=[inner])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "found int"),
        (None, "found NoneType"),
        (io.StringIO("text"), "found a file opened as text"),
        (["a.onnx"], "found list"),
    ],
)
def test_what_is_no_model(given: Any, message: str) -> None:
    with pytest.raises(onnxtop.UsageError, match=message):
        onnxtop.audit(given)


def test_files_that_give_nothing(tmp_path: Path) -> None:
    closed, broken = io.BytesIO(b"x"), io.BytesIO()
    closed.close()
    broken.read = Mock(side_effect=OSError("no medium"))  # type: ignore[method-assign]
    with MLP.open(encoding="utf-8") as text, (tmp_path / "new").open("wb") as written:
        for given, kind, message in (
            (closed, onnxtop.UsageError, "found one that says: I/O operation on closed file"),
            (written, onnxtop.UsageError, "found one that says: read"),
            (text, onnxtop.UsageError, "found a file opened as text"),
            (broken, onnxtop.UnreadableError, "found none to read: no medium"),
        ):
            with pytest.raises(kind, match=message):
                onnxtop.audit(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"<html>", MLP.read_bytes()[:1000]])
def test_bytes_that_hold_no_model(content: bytes) -> None:
    with pytest.raises(onnxtop.FormatError, match=r"^<bytes>: wanted an ONNX model"):
        onnxtop.audit(content)


# What goes wrong


def test_a_missing_file_is_a_file_not_found_error(tmp_path: Path) -> None:
    missing = tmp_path / "no.onnx"
    for ask in (onnxtop.audit, onnxtop.read_layers, onnxtop.matrices, onnxtop.check):
        with pytest.raises(FileNotFoundError) as caught:
            ask(missing)
        assert isinstance(caught.value, onnxtop.ModelError)
        assert str(caught.value).startswith(f"{missing}: wanted an ONNX file, found none to read")
    with pytest.raises(FileNotFoundError, match=f"^{missing}: wanted"):
        onnxtop.diff(MLP, missing)
    with pytest.raises(FileNotFoundError):
        onnxtop.Probe(missing, {})
    with pytest.raises(FileNotFoundError):
        onnxtop.probe(MLP, tmp_path / "no.npz")
    with pytest.raises(FileNotFoundError):
        onnxtop.loss_barcode([missing, missing], tmp_path / "no.npz")


def test_a_folder_and_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="Is a directory"):
        onnxtop.audit(tmp_path)
    if os.geteuid():
        locked = tmp_path / "locked.onnx"
        locked.write_bytes(MLP.read_bytes())
        locked.chmod(stat.S_IWUSR)
        with pytest.raises(PermissionError):
            onnxtop.audit(locked)


def test_weights_that_are_not_there(beside: Path) -> None:
    (beside.parent / "m.data").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        onnxtop.audit(beside)
    assert isinstance(caught.value, onnxtop.ExternalDataError)


def test_options_and_keywords_are_never_given_together() -> None:
    data = {"x": np.zeros((1, 64), np.float32), "labels": np.zeros(1, int)}
    with pytest.raises(onnxtop.UsageError, match="found both: put convention"):
        onnxtop.audit(MLP, onnxtop.AuditOptions(), convention="tree")
    with pytest.raises(onnxtop.UsageError, match="found both: put tolerance"):
        onnxtop.diff(MLP, MLP, onnxtop.DiffOptions(), tolerance=0.5)
    with pytest.raises(onnxtop.UsageError, match="found both: put loss"):
        onnxtop.Probe(MLP, data, onnxtop.LossOptions(), loss="mse")
    with pytest.raises(onnxtop.UsageError, match="there is no option 'convntion': did you mean convention"):
        onnxtop.audit(MLP, convntion="tree")  # type: ignore[call-arg]


# Checks and matrices


def test_a_check_has_verdict_findings_and_exit_code() -> None:
    failed = onnxtop.check(SAMPLES / "mlp_untrained.onnx")
    assert (str(failed.verdict), failed.exit_code) == ("failed", 1)
    assert [finding.rule for finding in failed.failures] == ["OT208"]
    spared = onnxtop.check(SAMPLES / "mlp_untrained.onnx", ignore=["looks-untrained"])
    assert (str(spared.verdict), spared.exit_code, spared.failures) == ("passed", 0, ())
    never = onnxtop.check(SAMPLES / "mlp_untrained.onnx", fail_on="never")
    assert (never.exit_code, [finding.rule for finding in never.findings]) == (0, ["OT208"])


def test_a_check_has_bounds() -> None:
    bounds = {"np.mean_normalized": {"min": 0.9}}
    failed = onnxtop.check(MLP, thresholds=bounds, structure=False)
    assert (failed.exit_code, len(failed.failures)) == (1, 1)
    severity = {failed.failures[0].rule: "warning"}
    milder = onnxtop.check(MLP, thresholds=bounds, severity=severity, structure=False)
    assert (milder.exit_code, len(milder.findings)) == (0, 1)


def test_a_check_has_a_baseline_of_any_form(tmp_path: Path) -> None:
    other = SAMPLES / "checkpoints" / "epoch_01.onnx"
    earlier = onnxtop.check(other, structure=False)
    report = tmp_path / "baseline.json"
    report.write_text(json.dumps(earlier.to_dict()))
    for baseline in (other, other.read_bytes(), report):
        changed = onnxtop.check(MLP, baseline=baseline, structure=False)
        assert changed.exit_code == 1 and any(each.rule.startswith("OT5") for each in changed.failures)
    same = onnxtop.check(MLP, baseline=onnxtop.audit(MLP, structure=False, digests="normal"), structure=False)
    assert (same.exit_code, same.findings) == (0, ())
    with pytest.raises(FileNotFoundError, match=r"^baseline .*no.json: cannot be read"):
        onnxtop.check(MLP, baseline=tmp_path / "no.json")
    with pytest.raises(FileNotFoundError, match=r"^baseline .*no.onnx: wanted"):
        onnxtop.check(MLP, baseline=tmp_path / "no.onnx")


def test_a_check_reads_a_configuration_and_keywords_go_before_it(tmp_path: Path) -> None:
    config = tmp_path / "onnxtop.toml"
    bounds = '[thresholds]\n"np.mean_normalized" = {min = 0.9}\n'
    config.write_text(f'fail-on = "never"\nscale = "layer"\n{bounds}')
    quiet = onnxtop.check(MLP, config=config)
    assert (quiet.exit_code, quiet.report.settings.scale, len(quiet.findings)) == (0, "layer", 1)
    loud = onnxtop.check(MLP, config=config, fail_on="warning", scale="global")
    assert (loud.exit_code, loud.report.settings.scale) == (1, "global")
    with pytest.raises(onnxtop.UsageError, match="options or a configuration, found both"):
        onnxtop.check(MLP, onnxtop.GateOptions(), config=config)


def test_matrices_are_what_the_layers_hold(tmp_path: Path) -> None:
    found = onnxtop.matrices(SAMPLES / "cnn_torch_dynamo.onnx")
    for layer in onnxtop.read_layers(SAMPLES / "cnn_torch_dynamo.onnx"):
        assert isinstance(layer, onnxtop.Layer)
        assert np.array_equal(found[layer.name], layer.matrix())
    network = onnxtop.audit(SAMPLES / "cnn_torch_dynamo.onnx", structure=False).network
    mean = onnxtop.neural_persistence(found).mean_normalized
    assert mean == pytest.approx(network.neural_persistence.mean_normalized)


# Everything that is returned is public


def _inside(kind: Any) -> Iterator[type]:
    """Yield the classes of onnxtop in an annotation; what is marked as inside of the reader is left out."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        yield from () if INSIDE in kind.__metadata__ else _inside(inner[0])
    elif origin is not None:
        if origin is not typing.Literal and getattr(origin, "__name__", "") != "Callable":
            for each in inner:
                yield from _inside(each)
    elif isinstance(kind, type) and kind.__module__.startswith("onnxtop"):
        yield kind


def _annotated(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield what the public attributes, properties and methods of a class give, by their names."""
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        yield name, hint
    for name, value in vars(kind).items():
        function = getattr(value, "__func__", getattr(value, "fget", getattr(value, "func", value)))
        if inspect.isfunction(function):
            yield name, typing.get_type_hints(function, include_extras=True).get("return")


def returned() -> dict[type, str]:
    """Return every class that is reached from what public functions return, and where it was met first."""
    found: dict[type, str] = {}
    waiting: list[tuple[str, Any]] = []
    for name in onnxtop._HOME:
        value = getattr(onnxtop, name)
        hints = {} if isinstance(value, type) else typing.get_type_hints(value, include_extras=True)
        waiting.append((name, value if isinstance(value, type) else hints.get("return")))
    while waiting:
        where, hint = waiting.pop()
        for kind in _inside(hint):
            if kind not in found:
                found[kind] = where
                waiting += [(f"{kind.__name__}.{n}", h) for n, h in _annotated(kind) if not n.startswith("_")]
    return found


def test_everything_that_is_returned_is_public_and_documented() -> None:
    found = returned()
    assert {onnxtop.Finding, onnxtop.WeightChange, onnxtop.Diagram, onnxtop.Kernel, onnxtop.Cost} <= set(
        found
    )
    hidden = {
        f"{kind.__module__}.{kind.__name__}, of {where}"
        for kind, where in found.items()
        if getattr(onnxtop, kind.__name__, None) is not kind or not kind.__doc__
    }
    assert not hidden


def test_public_functions_say_what_they_return() -> None:
    for name in onnxtop._HOME:
        value = getattr(onnxtop, name)
        if inspect.isfunction(value):
            assert typing.get_type_hints(value).get("return") is not None, name
