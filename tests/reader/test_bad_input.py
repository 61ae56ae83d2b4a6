"""Files that are no models, or damaged ones: the right error, in one line that says what to do."""

import contextlib
import gzip
import json
import lzma
import os
import pickle
import random
import struct
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import ModelProto, SparseTensorProto, StringStringEntryProto, TensorProto, helper

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.cli import app
from onnxtop.errors import (
    ExternalDataError,
    FolderError,
    FormatError,
    LimitError,
    MissingError,
    ModelError,
    OnnxtopError,
    UnreadableError,
)
from onnxtop.reader.foreign import HEAD, kind_of, kind_of_text
from onnxtop.reader.loading import load
from onnxtop.reader.ops import READ
from onnxtop.reader.protos import element_count
from onnxtop.reader.skeleton import checker_note
from onnxtop.reader.tensors import MOST_AXES
from onnxtop.results.report import Report
from tests.models import check_consistent, graph, layers_of, mlp, model, node, save, weights


def _message(path: Path, kind: type[OnnxtopError] = FormatError) -> str:
    with pytest.raises(OnnxtopError) as caught:
        audit(path)
    assert type(caught.value) is kind
    assert caught.value.exit_code == 3
    message = str(caught.value)
    assert "\n" not in message
    assert "want" in message
    assert "found" in message
    return message


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
FOREIGN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "HTML": (b"<!DOCTYPE html>\n<html><head><title>404</title>", "web page"),
    "html in small letters behind blanks": (b"\n\n  <html lang='en'>", "web page"),
    "XML": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "web page"),
    "S3's answer without a head": (b"<Error><Code>AccessDenied</Code>", "web page"),
    "XHTML": (b"<?xml version='1.0'?>\n<!-- x -->\n<html xmlns='x'>", "web page"),
    "OpenVINO": (b'<?xml version="1.0"?>\n<net name="m" version="11">\n<layers>', "OpenVINO"),
    "OpenVINO with a comment": (b'\xef\xbb\xbf<?xml version="1.0"?><!-- a --> <net\tname="m">', "OpenVINO"),
    "other XML": (b'<?xml version="1.0"?><PMML version="4.4">', "an XML file"),
    "safetensors": (struct.pack("<Q", 56) + b'{"w":{"dtype":"F32"}}' + bytes(600), ".safetensors"),
    "GGUF": (b"GGUF\3\0\0\0" + bytes(600), "llama.cpp"),
    "npy": (b"\x93NUMPY\1\0v\0{'descr': '<f4'}" + bytes(600), "an array of NumPy"),
    "tar": (b"model/".ljust(257, b"\0") + b"ustar\x0000" + bytes(600), "tar archive"),
    "xz": (lzma.compress(b"model"), "a compressed archive"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "a picture"),
    "JSON": (b'{"model": "resnet50"}', "found JSON"),
    "JSON in lines": (b'\n[\n  {"model": "resnet50"}\n]', "found JSON"),
    "Python": (b"import torch\n\nmodel = torch.nn.Linear(3, 2)\n", "found text"),
    "a note": ("Ein Modell fur Zahlen: 98 % richtig, ä".encode() * 90, "found text"),
    "a note in a foreign script that is cut within a letter": (b"xx" + "数".encode() * 900, "found text"),
    "a table": (b"epoch,loss\r\n1,0.5\r\n", "found text"),
    "protobuf as text": (b'ir_version: 8\nproducer_name: "me"\n', "a model written out as text"),
    "ONNX as text": (
        b'<\n ir_version: 8,\n opset_import: ["" : 18]\n>\ng (float[1] x)',
        "written out as text",
    ),
    "LFS": (LFS.encode(), "git lfs pull"),
    "ORT": (b"\x18\0\0\0ORTM" + bytes(600), ".ort"),
    "TFLite": (b"\x1c\0\0\0TFL3" + bytes(600), "TensorFlow Lite"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(600), "HDF5"),
    "gzip": (gzip.compress(b"model"), "gzip"),
    "pickle": (pickle.dumps({"weight": [1.0]}), "pickle"),
    "old pickle": (pickle.dumps({"weight": [1.0]}, protocol=2), "pickle"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_files_that_are_often_taken_for_models(tmp_path: Path, what: str) -> None:
    content, said = FOREIGN[what]
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert said in _message(path)


def test_a_zip_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.onnx", "w") as archive:
        archive.writestr("model/data.pkl", b"...")
    assert "zip" in _message(tmp_path / "model.onnx")


@pytest.mark.parametrize("at", range(40))
def test_no_model_is_taken_for_another_format(at: int) -> None:
    """Fields that stand before the graph hold texts that other formats begin with, wherever these stand."""
    begun = [content for content, _ in FOREIGN.values() if content]
    for content in begun:
        held = ModelProto(ir_version=10, producer_name="x" * at + content[:100].decode("latin1"))
        assert kind_of(held.SerializeToString()[:HEAD]) is None
        assert kind_of_text(held.SerializeToString()[:HEAD]) is None


def test_files_that_are_models_by_their_first_bytes(samples: Path) -> None:
    for path in samples.rglob("*.onnx"):
        head = path.read_bytes()[:HEAD]
        assert kind_of(head) is None
        assert kind_of_text(head) is None


NOT_MODELS: dict[str, bytes] = {
    "zeros": bytes(5000),
    "ones": b"\xff" * 5000,
    "one byte": b"\x08",
    "an endless number": b"\x80" * 100,
    "a field that promises more": b"\x3a\xff\xff\xff\xff\x0f",
    "a model without a graph": ModelProto(ir_version=10, producer_name="nobody").SerializeToString(),
}


@pytest.mark.parametrize("what", NOT_MODELS)
def test_files_that_are_no_models(tmp_path: Path, what: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(NOT_MODELS[what])
    _message(path)


@pytest.mark.parametrize("seed", range(50))
def test_random_bytes(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(random.Random(seed).randbytes(10 ** (seed % 5)))
    with pytest.raises(ModelError):
        audit(path)


@pytest.mark.parametrize("name", ["mlp_torch_dynamo", "mlp_tensorflow", "cnn_jax"])
def test_a_real_file_cut_off(samples: Path, tmp_path: Path, name: str) -> None:
    content = (samples / f"{name}.onnx").read_bytes()
    path = tmp_path / "model.onnx"
    for part in range(20):
        path.write_bytes(content[: len(content) * part // 20])
        _message(path)


def test_a_file_cut_off_behind_a_large_tensor(tmp_path: Path) -> None:
    content = mlp(100, 90, 80, 70).SerializeToString()
    path = tmp_path / "model.onnx"
    for part in range(40):
        path.write_bytes(content[: len(content) * part // 40])
        _message(path)
    path.write_bytes(content[:-1])
    _message(path)


def test_a_folder_a_missing_path_and_a_name_that_is_none(tmp_path: Path) -> None:
    _message(tmp_path, FolderError)
    _message(tmp_path / "nowhere.onnx", MissingError)
    _message(tmp_path / "a\0b.onnx", ModelError)
    _message(tmp_path / ("x" * 300), UnreadableError)
    (tmp_path / "loop.onnx").symlink_to(tmp_path / "loop.onnx")
    _message(tmp_path / "loop.onnx", UnreadableError)


def test_devices_are_no_models() -> None:
    for device in ("/dev/null", "/dev/zero"):
        with pytest.raises(ModelError):
            audit(device)


def test_a_pipe_is_no_model_and_does_not_block(tmp_path: Path) -> None:
    """Opening a pipe for reading waits for a writer: here one comes late, so that a failure ends as well."""
    pipe = tmp_path / "model.onnx"
    os.mkfifo(pipe)
    caught: list[BaseException] = []

    def work() -> None:
        try:
            audit(pipe)
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(timeout=5)
    blocked = thread.is_alive()
    if blocked:
        os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))
        with contextlib.suppress(OSError):
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        thread.join()
    assert not blocked
    assert isinstance(caught[0], ModelError)


def _raw(count: int) -> TensorProto:
    return TensorProto(data_type=TensorProto.FLOAT, dims=[6, 4], raw_data=bytes(4 * count))


def _floats(count: int) -> TensorProto:
    return TensorProto(data_type=TensorProto.FLOAT, dims=[6, 4], float_data=[0.5] * count)


@pytest.mark.parametrize("make", [_raw, _floats])
@pytest.mark.parametrize("count", [1, 23, 25, 2400])
def test_dims_that_do_not_fit_the_data(
    tmp_path: Path, make: Callable[[int], TensorProto], count: int
) -> None:
    message = _message(save(model([node("MatMul", "x w")], {"w": make(count)}), tmp_path))
    assert "'w'" in message
    assert "6 x 4" in message


def test_negative_dims(tmp_path: Path) -> None:
    tensor = TensorProto(data_type=TensorProto.FLOAT, dims=[-6, -4], raw_data=bytes(96))
    with pytest.raises(FormatError, match="negative"):
        audit(save(model([node("MatMul", "x w")], {"w": tensor}), tmp_path))


BESIDE = [StringStringEntryProto(key="location", value="beside.bin")]
ENDLESS: dict[str, tuple[dict[str, Any], type[OnnxtopError]]] = {
    "bytes": ({"raw_data": bytes(96)}, FormatError),
    "numbers": ({"float_data": [1.0]}, FormatError),
    "nothing": ({}, LimitError),
    "beside": ({"data_location": TensorProto.EXTERNAL, "external_data": BESIDE}, ExternalDataError),
}


@pytest.mark.parametrize("axes", [2, 40, 1000])
@pytest.mark.parametrize("held", ENDLESS)
def test_dims_beyond_all_memory(tmp_path: Path, held: str, axes: int) -> None:
    """Their product has up to 18,664 digits: more than Python writes, and more than a float holds."""
    values, kind = ENDLESS[held] if axes <= MOST_AXES else (ENDLESS[held][0], FormatError)
    (tmp_path / "beside.bin").write_bytes(bytes(96))
    tensor = TensorProto(data_type=TensorProto.FLOAT, dims=[2**62] * axes, **values)
    assert len(_message(save(model([node("MatMul", "x w")], {"w": tensor}), tmp_path), kind)) < 700


def test_dims_are_multiplied_no_further_than_any_limit() -> None:
    endless = [2**62] * 5000
    assert element_count(TensorProto(dims=endless)).bit_length() < 200
    assert element_count(SparseTensorProto(dims=endless)).bit_length() < 200
    assert element_count(TensorProto(dims=[*endless, 0])) == 0
    assert element_count(TensorProto(dims=[2**30, 2**30, 3])) == 3 * 2**60


@pytest.mark.parametrize("dims", [[1] * 65, [0] * 65, [2**62] * 65 + [0]])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_a_tensor_of_more_axes_than_an_array_has(tmp_path: Path, dims: list[int], is_sparse: bool) -> None:
    proto = model([node("MatMul", "x w")], {"w": weights(4, 3)})
    if is_sparse:
        proto.graph.sparse_initializer.add(dims=dims)
    else:
        proto.graph.initializer.add(data_type=TensorProto.FLOAT, dims=dims)
    assert f"with {len(dims)}" in _message(save(proto, tmp_path))


@pytest.mark.parametrize("axes", [2, 40, 1000])
@pytest.mark.parametrize("op", ["ConstantOfShape", "Expand"])
def test_a_constant_without_end_is_left_out(tmp_path: Path, op: str, axes: int) -> None:
    nodes = [node("MatMul", "x v", "h"), node(op, "s" if op == "ConstantOfShape" else "one s", "w")]
    sizes = np.int64([2**62] * axes)
    proto = model([*nodes, node("MatMul", "h w")], {"v": weights(4, 3), "s": sizes, "one": weights(1)})
    path = save(proto, tmp_path)
    assert CliRunner().invoke(app, ["report", str(path)]).exit_code == 0
    found = audit(path).coverage
    assert found.parameters_analysed == 12
    assert "at most" in found.skipped[0].reason


def test_negative_sizes_are_no_shape(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x v", "h"), node("ConstantOfShape", "s", "w"), node("MatMul", "h w")]
    path = save(model(nodes, {"v": weights(4, 3), "s": np.int64([3, -2])}), tmp_path)
    found = audit(path).coverage
    assert (found.parameters_total, found.parameters_analysed) == (12, 12)
    assert "negative sizes" in found.skipped[0].reason


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_poisons_its_layer_only(tmp_path: Path, value: float) -> None:
    clean = mlp(6, 5, 4, 3)
    sick = mlp(6, 5, 4, 3)
    bad = weights(4, 5, seed=2)
    bad[1, 2] = value
    sick.graph.initializer[2].raw_data = bad.tobytes()
    report = audit(save(sick, tmp_path))
    check_consistent(report)
    assert [layer.nonfinite for layer in report.layers] == [0, 1, 0]
    (finding,) = [finding for finding in report.findings if finding.rule.startswith("OT1")]
    assert (finding.rule, finding.severity, finding.layer) == ("OT101", "error", "fc2")
    figures = report.layers[1].neural_persistence
    assert (figures.total, figures.normalized) == (None, None)
    assert "NaN or infinite" in (figures.reason or "")
    healthy = audit(save(clean, tmp_path), AuditOptions(scale=8.0))
    given = audit(save(sick, tmp_path), AuditOptions(scale=8.0))
    for index in (0, 2):
        assert given.layers[index].neural_persistence.total == healthy.layers[index].neural_persistence.total
    mean = np.mean([report.layers[index].neural_persistence.normalized for index in (0, 2)])
    assert report.network.neural_persistence.mean_normalized == pytest.approx(mean, abs=1e-14)
    assert report.network.neural_persistence.reason


def test_a_network_of_nothing_but_nan(tmp_path: Path) -> None:
    proto = model([node("MatMul", "x w", name="fc")], {"w": np.full((4, 3), np.nan, np.float32)})
    report = audit(save(proto, tmp_path))
    assert report.network.neural_persistence.mean_normalized is None
    assert report.network.neural_persistence.reason
    assert "OT101" in [finding.rule for finding in report.findings]


def test_a_layer_of_zeros_is_a_finding(tmp_path: Path) -> None:
    proto = model([node("MatMul", "x w", name="fc")], {"w": np.zeros((4, 3), np.float32)})
    report = audit(save(proto, tmp_path))
    assert report.layers[0].neural_persistence.total == pytest.approx(7**0.5)
    assert ("OT102", "fc") in [(finding.rule, finding.layer) for finding in report.findings]


@pytest.mark.parametrize("levels", [5, 20, 30])
def test_a_deep_nest_of_bodies_is_refused_or_read(tmp_path: Path, levels: int) -> None:
    body = graph([node("Relu", "x", "r")], {}, {}, ["r"])
    for _ in range(levels):
        body = graph([node("If", "c", "r", then_branch=body)], {"pad": weights(40, 30)}, {}, ["r"])
    path = save(model([node("If", "c", "y", then_branch=body)], {}, {"x": None, "c": ()}), tmp_path)
    try:
        assert audit(path).coverage.unused == levels * 1200
    except FormatError as error:
        assert "\n" not in str(error)


def _mutations(content: bytes, count: int, seed: int) -> list[bytes]:
    """Return damaged copies: bytes changed, pieces cut out or doubled, the end cut off; structure first."""
    rng = random.Random(seed)
    copies = []
    for number in range(count):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(len(damaged))
            match number % 4:
                case 0:
                    damaged[at] ^= 1 << rng.randrange(8)
                case 1:
                    damaged[at] = rng.choice((0, 1, 127, 128, 255))
                case 2:
                    del damaged[at : at + rng.randrange(1, 20)]
                case _:
                    damaged[at:at] = damaged[at : at + rng.randrange(1, 200)]
        copies.append(bytes(damaged))
    return copies


def _rich() -> ModelProto:
    """Return a small model with much structure for its size."""
    nodes = [
        node("Conv", "x k kb", "c", group=2, pads=[1, 1, 1, 1], strides=[1, 2], name="conv"),
        node("ConvTranspose", "c t", "d", group=2, output_padding=[0, 1], strides=[1, 2]),
        node("Cast", "h", "hc", to=1),
        node("Transpose", "hc", "w", perm=[1, 0]),
        node("Slice", "w from to", "ws"),
        node("Concat", "ws ws", "wc", axis=0),
        node("Expand", "row size", "we"),
        node("Gemm", "f wc b", "g", alpha=0.5, transB=1),
        node("MatMul", "g we", "m"),
        node("Add", "m b", "a"),
        node("If", "q", "i", then_branch=graph([node("MatMul", "a w", "r")], {}, {}, ["r"])),
        node("acme.Mystery", "i w", "y"),
    ]
    held = {
        "k": weights(4, 2, 3, 3),
        "kb": weights(4),
        "t": weights(4, 2, 2, 2),
        "h": weights(4, 4, dtype=np.float16),
        "from": np.array([0]),
        "to": np.array([2]),
        "row": weights(4, 1),
        "size": np.array([4, 4]),
        "b": weights(4),
    }
    return model(nodes, held, {"x": (1, 4, 8, 8), "f": ("n", 4), "q": ()})


@pytest.mark.parametrize("conv", ["flattened", "unrolled"])
@pytest.mark.parametrize("what", ["rich", "mlp"])
def test_a_damaged_model_gives_a_report_or_an_error_of_ours(tmp_path: Path, what: str, conv: str) -> None:
    content = (_rich() if what == "rich" else mlp(5, 4, 3)).SerializeToString()
    options = AuditOptions(conv=conv, bias="row")
    path = tmp_path / "model.onnx"
    outcomes = set()
    for damaged in _mutations(content, 60, seed=len(what + conv)):
        path.write_bytes(damaged)
        try:
            report = audit(path, options)
        except OnnxtopError as error:
            assert error.exit_code == 3, error
            assert "\n" not in str(error)
            outcomes.add(type(error))
        else:
            assert isinstance(report, Report)
            outcomes.add(Report)
    assert Report in outcomes
    assert FormatError in outcomes


@pytest.mark.parametrize("old", [b"fc1", b"fc1.weight", b"Gemm", b"onnxtop.testing", b"batch"])
def test_text_that_is_no_utf_8(tmp_path: Path, old: bytes) -> None:
    content = mlp(5, 4, 3).SerializeToString()
    assert old in content
    path = tmp_path / "model.onnx"
    path.write_bytes(content.replace(old, b"\xff" * len(old)))
    try:
        plain = audit(path).to_dict()
    except FormatError as error:
        assert "\n" not in str(error)
    else:
        assert json.dumps(plain, allow_nan=False)


def test_doubled_nodes_and_tensors(tmp_path: Path) -> None:
    """Two nodes that give the same value, two tensors of one name: broken, and still no error."""
    proto = mlp(5, 4, 3)
    proto.graph.node.extend(list(proto.graph.node))
    proto.graph.initializer.extend(list(proto.graph.initializer))
    assert layers_of(save(proto, tmp_path))


def test_a_value_given_both_by_a_constant_and_by_another_node(tmp_path: Path) -> None:
    nodes = [
        node("ConstantOfShape", "s", "w"),
        node("MatMul", "x w", "h"),
        node("Relu", "x", "w"),
        node("Relu", "h", "y"),
    ]
    check_consistent(audit(save(model(nodes, {"s": np.array([4, 4])}), tmp_path)))


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("Gemm", {"alpha": b"x"}),
        ("Gemm", {"transB": [1, 2]}),
        ("Gemm", {"call": 1, "constant": 1, "self": 1, "_": 1}),
        ("Conv", {"group": 0.5}),
        ("Conv", {"group": [2]}),
        ("Conv", {"strides": 2}),
        ("Conv", {"strides": [2]}),
        ("Conv", {"strides": [0, 0]}),
        ("Conv", {"strides": [-1, -1]}),
        ("Conv", {"strides": [1, 1, 1]}),
        ("Conv", {"dilations": [1]}),
        ("Conv", {"pads": [1, 1]}),
        ("Conv", {"pads": [1, 1, 1, 1, 1]}),
        ("Conv", {"pads": [-9, -9, -9, -9]}),
        ("Conv", {"pads": [2**40] * 4}),
        ("Conv", {"auto_pad": 3}),
        ("ConvTranspose", {"output_shape": [3]}),
        ("ConvTranspose", {"output_padding": [1]}),
        ("ConvTranspose", {"output_shape": [-4, -4]}),
        ("ConvTranspose", {"output_shape": [2**40, 2**40]}),
    ],
)
@pytest.mark.parametrize("conv", ["flattened", "channels", "unrolled", "per-filter"])
def test_attributes_that_make_no_sense(
    tmp_path: Path, op: str, attributes: dict[str, object], conv: str
) -> None:
    shape = (4, 4) if op == "Gemm" else (2, 2, 3, 3)
    proto = model([node(op, "x w", **attributes)], {"w": weights(*shape)}, {"x": (1, 2, 6, 6)})
    report = audit(save(proto, tmp_path), AuditOptions(conv=conv))
    check_consistent(report)
    assert len(report.layers) + len(report.coverage.skipped) == 1


@pytest.mark.parametrize(
    ("op", "shape"),
    [
        *((op, shape) for op in ("Gemm", "com.microsoft.FusedGemm") for shape in ((), (4,), (2, 4, 4))),
        *((op, ()) for op in ("MatMul", "com.microsoft.FusedMatMul")),
        *((op, shape) for op in ("Conv", "ConvTranspose") for shape in ((), (4,), (4, 4))),
    ],
)
def test_weights_with_axes_that_the_operation_does_not_take(
    tmp_path: Path, op: str, shape: tuple[int, ...]
) -> None:
    sides = ("x w",) if "Conv" in op else ("x w", "w x")
    for inputs in sides:
        proto = model([node(op, inputs)], {"w": weights(*shape)})
        report = audit(save(proto, tmp_path))
        check_consistent(report)
        assert report.layers == ()
        assert len(report.coverage.skipped) == 1


def test_an_addition_with_one_operand(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "h"), node("Add", "h")]
    (layer,) = layers_of(save(model(nodes, {"w": weights(4, 4)}), tmp_path))
    assert layer.weight == "w"


@pytest.mark.parametrize("op", ["Mul", "Sum", "Concat", "Where", "Transpose"])
def test_a_constant_node_without_operands(tmp_path: Path, op: str) -> None:
    proto = model(
        [node(op, "- -", "w"), node("MatMul", "x w", "h"), node("MatMul", "h v")], {"v": weights(4, 4)}
    )
    report = audit(save(proto, tmp_path))
    check_consistent(report)
    assert [layer.weight for layer in report.layers] == ["v"]


@pytest.mark.parametrize("handed_on", ["same", "nothing"])
def test_a_loop_that_hands_on_what_it_never_makes(tmp_path: Path, handed_on: str) -> None:
    """An Identity of its own result, and one without an operand: neither is a state that stays."""
    made = node("Identity", "s" if handed_on == "same" else "", "s")
    if handed_on == "nothing":
        del made.input[:]
    body = graph([made, node("Identity", "c", "d")], {}, {"i": (), "c": (), "w": (4, 4)}, ["d", "s"])
    nodes = [node("Loop", "n c0 v", "w", body=body), node("MatMul", "x w")]
    held = {"n": np.int64(3), "c0": np.array(True), "v": weights(4, 4)}
    report = audit(save(model(nodes, held, {"x": (2, 4)}), tmp_path))
    assert report.coverage.parameters_analysed == 0


def test_a_scan_that_does_not_say_what_it_takes(tmp_path: Path) -> None:
    body = graph([node("MatMul", "s w", "t")], {}, {"s": (4, 4), "w": (4, 4)}, ["t"])
    proto = model([node("Scan", "x v", "y", body=body)], {"v": weights(4, 4)}, {"x": (4, 4)})
    report = audit(save(proto, tmp_path))
    assert report.coverage.parameters_analysed == 0


def test_a_decoder_without_a_result(tmp_path: Path) -> None:
    lost = node("DequantizeLinear", "q s", "y")
    del lost.output[:]
    held = {"q": np.ones((4, 4), np.int8), "s": np.float32(0.5), "w": weights(4, 4)}
    report = audit(save(model([lost, node("MatMul", "x w")], held, {"x": (2, 4)}), tmp_path))
    assert report.coverage.parameters_analysed == 16


@pytest.mark.parametrize("closes", ["Cast", "Unheard"])
def test_a_cycle_through_a_size_is_fed_by_nothing(tmp_path: Path, closes: str) -> None:
    nodes = [node("MatMul", "x w", "a"), node("Add", "a c"), node("Shape", "y", "s"), node(closes, "s", "c")]
    made = model(nodes, {"w": weights(4, 4)}, {"x": [2, 4]})
    assert audit(save(made, tmp_path, "cycle.onnx")).coverage.parameters_total == 16


def test_an_attribute_of_another_type_is_not_there(tmp_path: Path) -> None:
    """Where it says how weights are read they are skipped; elsewhere it says nothing."""
    turned, normal = (
        node("Transpose", "h", "t", perm=2.5),
        node("BatchNormalization", "t s s s v", epsilon="x"),
    )
    held = {"w": weights(4, 4), "s": weights(4), "v": weights(4), "u": weights(4, 4)}
    first = node("Gemm", "x w", "h", transB="yes")
    read = audit(save(model([first, turned, normal], held, {"x": (4, 4)}), tmp_path))
    (skipped,) = read.coverage.skipped
    assert (
        skipped.reason
        == "Gemm has operands that do not fit: its attribute transB has another type than ONNX says"
    )
    assert read.coverage.parameters_total == 16


def test_an_input_whose_name_a_node_makes_again(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "h"), node("Transpose", "h", "x"), node("ReduceSum", "x")]
    report = audit(save(model(nodes, {"w": weights(4, 3)}, {"x": (2, 4)}), tmp_path))
    assert report.coverage.parameters_analysed == 12


def test_more_axes_than_an_array_has(tmp_path: Path) -> None:
    proto = model([node("MatMul", "x w")], {"w": weights(4, 3)}, {"x": [2] * 69 + [4]})
    assert audit(save(proto, tmp_path)).coverage.parameters_analysed == 12


def test_a_window_of_more_taps_than_fit_into_memory(tmp_path: Path) -> None:
    """Neurons along a pooled axis: the file says a number, and nothing of that size is made."""
    pool = node("MaxPool", "r", "p", kernel_shape=[1, 2**40], pads=[0, 2**39, 0, 2**39])
    nodes = [node("MatMul", "x w", "h"), node("Reshape", "h s", "r"), pool, node("Flatten", "p")]
    held = {"w": weights(4, 6), "s": np.int64([2, 1, 1, 6])}
    assert audit(save(model(nodes, held, {"x": (2, 4)}), tmp_path)).coverage.parameters_analysed == 24


def test_sizes_that_are_no_whole_numbers(tmp_path: Path) -> None:
    nodes = [node("ConstantOfShape", "s", "w"), node("MatMul", "x w")]
    held = {"s": np.complex64([4, 4j])}
    assert audit(save(model(nodes, held, {"x": (2, 4)}), tmp_path)).coverage.parameters_analysed == 0


def test_a_size_of_an_operation_of_onnxruntime_that_is_no_number(tmp_path: Path) -> None:
    packed = node("com.microsoft.MatMulNBits", "h c s", "y", K=3, N=[1, 2], bits=4, block_size=16)
    held = {"w": weights(4, 3), "c": np.zeros((1, 1, 8), np.uint8), "s": weights(1)}
    report = audit(save(model([node("MatMul", "x w", "h"), packed], held, {"x": (2, 4)}), tmp_path))
    assert report.coverage.parameters_analysed == 12


@pytest.mark.parametrize("given", ["", "w", "h", "_ w", "w _ h"])
@pytest.mark.parametrize("made", ["", "_ r"])
def test_operations_that_lack_operands_and_results(tmp_path: Path, given: str, made: str) -> None:
    """Whatever operation it is, each takes the same operands, and what it makes goes on."""
    standard = {("", schema.name) for schema in onnx.defs.get_all_schemas() if not schema.domain}
    inputs, outputs = (["" if name == "_" else name for name in text.split()] for text in (given, made))
    nodes = [node("MatMul", "x w", "h")]
    for place, (domain, op) in enumerate(sorted(standard.union(READ))):
        results = [name and f"{name}{place}" for name in outputs]
        nodes += [helper.make_node(op, inputs, results, domain=domain)]
        taken = [f"{results[-1]} w", f"{results[-1]} {results[-1]}"] if results else []
        nodes += [node("MatMul", ends, f"y{place}_{number}") for number, ends in enumerate(taken)]
    proto = model([*nodes, node("Identity", "h")], {"w": weights(4, 4)}, {"x": (None, 4)})
    assert audit(save(proto, tmp_path)).coverage.parameters_analysed == 16


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        (helper.make_node("Relu", ["h"], []), "has output size 0 not in range [min=1, max=1]"),
        (helper.make_node("Relu", ["h"], [""]), "output 0 is marked single but has an empty string"),
        (helper.make_node("Conv", ["h"], ["q"]), "has input size 1 not in range [min=2, max=3]"),
    ],
    ids=["no result", "unnamed result", "operand"],
)
def test_what_a_node_lacks_is_told(tmp_path: Path, lacking: onnx.NodeProto, told: str) -> None:
    """The reader goes by what the operation has; the model stays what it is."""
    proto = model(
        [node("MatMul", "x w"), node("MatMul", "x w", "h"), lacking], {"w": weights(4, 4)}, {"x": (2, 4)}
    )
    shape = proto.graph.output[0].type.tensor_type.shape
    for size in (2, 4):
        shape.dim.add().dim_value = size
    assert told in (checker_note(load(save(proto, tmp_path))) or "")
