"""External weights: read lazily, and never from outside the folders that the user allows."""

import os
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from onnx import ModelProto, NodeProto, SparseTensorProto, TensorProto, helper, numpy_helper

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.errors import ExternalDataError, FormatError, LimitError, ModelError
from onnxtop.reader.layers import read_layers
from onnxtop.reader.loading import load
from onnxtop.reader.skeleton import checker_note, infer_shapes, types_note
from tests.models import model, node, only_layer, save, weights

W = weights(50, 30)


def external(location: str, *, dtype: int = TensorProto.FLOAT, **entries: object) -> TensorProto:
    tensor = TensorProto(data_type=dtype, dims=W.shape, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def build(folder: Path, tensor: TensorProto) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return save(model([node("MatMul", "x w")], {"w": tensor}), folder)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the model's folder, inside one that holds a file of weights it has no business with."""
    (tmp_path / "secret.bin").write_bytes(W.tobytes())
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def test_beside_the_model(home: Path) -> None:
    (home / "w.data").write_bytes(W.tobytes())
    np.testing.assert_array_equal(only_layer(build(home, external("w.data"))).matrix(), W)


def test_in_a_folder_below(home: Path) -> None:
    (home / "deep" / "er").mkdir(parents=True)
    (home / "deep" / "er" / "w.data").write_bytes(W.tobytes())
    for location in ("deep/er/w.data", "./deep/er/w.data", "deep/../deep/er/w.data"):
        np.testing.assert_array_equal(only_layer(build(home, external(location))).matrix(), W)


@pytest.mark.parametrize("offset", [0, 1, 3, 4, 64, 4096])
def test_at_an_offset_aligned_or_not(home: Path, offset: int) -> None:
    (home / "w.data").write_bytes(b"\xff" * offset + W.tobytes() + b"rest")
    for entries in ({"offset": offset, "length": W.nbytes}, {"offset": offset}):
        matrix = only_layer(build(home, external("w.data", **entries))).matrix()
        assert matrix.flags.aligned
        assert not matrix.flags.writeable
        np.testing.assert_array_equal(matrix, W)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16])
def test_in_every_float_type(home: Path, dtype: type) -> None:
    from onnx.helper import np_dtype_to_tensor_dtype

    (home / "w.data").write_bytes(W.astype(dtype).tobytes())
    tensor = external("w.data", dtype=np_dtype_to_tensor_dtype(np.dtype(dtype)))
    np.testing.assert_array_equal(only_layer(build(home, tensor)).matrix().astype(np.float32), W)


def test_a_constant_node_may_be_external(home: Path) -> None:
    (home / "w.data").write_bytes(W.tobytes())
    proto = model([node("Constant", "", "w", value=external("w.data")), node("MatMul", "x w")])
    np.testing.assert_array_equal(only_layer(save(proto, home)).matrix(), W)


HELD: dict[str, Callable[[TensorProto], NodeProto]] = {
    "value": lambda held: node("ConstantOfShape", "s", "w", value=held),
    "unknown": lambda held: node("Neg", "v", "w", odd=held),
    "list": lambda held: node("Neg", "v", "w", odd=[held]),
    "sparse": lambda held: node("Neg", "v", "w", odd=sparse(held)),
}


def sparse(values: TensorProto, count: int = 1) -> SparseTensorProto:
    return helper.make_sparse_tensor(values, numpy_helper.from_array(np.arange(count)), [4])


@pytest.mark.parametrize("kind", HELD)
def test_what_is_computed_with_lies_in_the_models_folder_too(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """onnx looks from the working directory, where another file of this name is."""
    elsewhere = home.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "v.data").write_bytes(np.float32(7).tobytes())
    (home / "v.data").write_bytes(np.float32(3).tobytes())
    held = TensorProto(data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    held.external_data.add(key="location", value="v.data")
    constants = {"s": np.int64([6, 4]), "v": np.full((6, 4), -3, np.float32)}
    nodes = [HELD[kind](held), node("MatMul", "x w")]
    path = save(model(nodes, constants), home)
    monkeypatch.chdir(elsewhere)
    opened: list[str] = []
    monkeypatch.setattr(
        "onnx.external_data_helper.ExternalDataInfo", lambda tensor: opened.append(tensor.name)
    )
    if kind == "value":
        assert only_layer(path).matrix().tolist() == [[3] * 4] * 6
    else:
        audit(path)  # the operation has no such attribute, and is not computed
    assert opened == []
    (home / "v.data").unlink()
    with pytest.raises(ExternalDataError, match=r"'v\.data' beside the model"):
        load(path)


def _fills(count: int, location: str) -> ModelProto:
    """Return a model with operations that each hold the same 4 KiB, which stand beside it."""
    held = TensorProto(data_type=TensorProto.FLOAT, dims=[1024], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "4096")):
        held.external_data.add(key=key, value=value)
    nodes = [node("ConstantOfShape", "s", f"c{number}", value=held) for number in range(count)]
    return model([*nodes, node("MatMul", "x w")], {"s": np.int64([2]), "w": weights(4, 4)})


def test_what_is_brought_in_counts_each_time(home: Path) -> None:
    (home / "v.data").write_bytes(bytes(4096))
    limits = {"constants": 8 * 4096 / 2**30}
    load(save(_fills(8, "v.data"), home), limits=limits)
    with pytest.raises(LimitError, match="constants="):
        load(save(_fills(9, "v.data"), home), limits=limits)


@pytest.mark.parametrize("count", [1, 600])
def test_a_tensor_does_not_say_that_its_bytes_are_elsewhere_in_the_model(home: Path, count: int) -> None:
    """Only the outline of a model does; two nodes whose bytes are the same would else cost twice."""
    proto = _fills(count, "\0inline")
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros(5000, np.float32), "large"))
    with pytest.raises(FormatError, match=r"'\\x00inline'"):
        load(save(proto, home))


def test_the_working_directory_does_not_matter(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "w.data").write_bytes(W.tobytes())
    path = build(home, external("w.data"))
    monkeypatch.chdir(home)
    np.testing.assert_array_equal(only_layer(path.name).matrix(), W)
    monkeypatch.chdir(home.parent)
    np.testing.assert_array_equal(only_layer("home/model.onnx").matrix(), W)
    np.testing.assert_array_equal(only_layer("home/../home/model.onnx").matrix(), W)


def _beside(name: str) -> TensorProto:
    held = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    held.external_data.add(key="location", value="w.data")
    return held


def _with_beside(where: str) -> ModelProto:
    """Return a model with weights beside it in an odd place."""
    nodes, functions = [node("MatMul", "x w")], []
    if where == "function":
        body = [node("Constant", "", "k", value=_beside("k")), node("Add", "a k", "b")]
        functions = [helper.make_function("q", "f", ["a"], ["b"], body, [helper.make_opsetid("", 21)])]
    elif where != "initialiser":
        held = {"attribute": _beside("k"), "list": [_beside("k")], "sparse": sparse(_beside("k"), 4)}[where]
        nodes.append(node("q.Foo", "x", "z", v=held))
    proto = model(nodes, {"w": weights(4, 4)}, {"x": (2, 4)}, functions=functions)
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 4)))
    if where == "initialiser":
        proto.graph.sparse_initializer.append(sparse(_beside("k"), 4))
    return proto


@pytest.mark.parametrize("where", ["attribute", "list", "sparse", "initialiser", "function"])
def test_the_checker_does_not_look_from_the_working_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    (home / "w.data").write_bytes(weights(4).tobytes())
    loaded = load(save(_with_beside(where), home))
    notes = []
    for folder in (home, home.parent):
        monkeypatch.chdir(folder)
        notes.append((checker_note(loaded), types_note(loaded), infer_shapes(loaded)))
    assert notes[0] == notes[1]
    assert notes[0][:2] == (None, None)


def _refused(path: Path) -> str:
    with pytest.raises(ExternalDataError) as caught:
        audit(path)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("location", ["../secret.bin", "deep/../../secret.bin", "./../secret.bin"])
def test_a_path_that_climbs_out_is_refused(home: Path, location: str) -> None:
    (home / "deep").mkdir()
    message = _refused(build(home, external(location)))
    assert "--allow-external" in message
    assert location in message
    assert "'w'" in message


def test_an_absolute_path_is_refused(home: Path) -> None:
    assert "--allow-external" in _refused(build(home, external(str(home.parent / "secret.bin"))))
    assert "--allow-external" in _refused(build(home, external("/etc/passwd")))


def test_a_folder_whose_name_begins_alike_is_another(home: Path) -> None:
    twin = home.parent / "home2"
    twin.mkdir()
    (twin / "w.data").write_bytes(W.tobytes())
    assert "--allow-external" in _refused(build(home, external("../home2/w.data")))


def test_a_symbolic_link_that_leaves_the_folder_is_refused(home: Path) -> None:
    (home / "w.data").symlink_to(home.parent / "secret.bin")
    assert "--allow-external" in _refused(build(home, external("w.data")))
    (home / "folder").symlink_to(home.parent)
    assert "--allow-external" in _refused(build(home, external("folder/secret.bin")))


def test_a_symbolic_link_within_the_folder_is_fine(home: Path) -> None:
    (home / "blob").write_bytes(W.tobytes())
    (home / "w.data").symlink_to(home / "blob")
    np.testing.assert_array_equal(only_layer(build(home, external("w.data"))).matrix(), W)


def test_what_the_user_allows_is_read(home: Path) -> None:
    path = build(home, external("../secret.bin"))
    (layer,) = read_layers(path, allow_external=[home.parent])
    np.testing.assert_array_equal(layer.matrix(), W)
    report = audit(path, AuditOptions(allow_external=(str(home.parent),)))
    assert report.coverage.parameters_analysed == W.size
    with pytest.raises(ExternalDataError):
        read_layers(path, allow_external=[home.parent / "other"])


def test_a_missing_file(home: Path) -> None:
    message = _refused(build(home, external("w.data")))
    assert "'w.data'" in message
    assert "'w'" in message


def test_a_file_that_is_too_short(home: Path) -> None:
    (home / "w.data").write_bytes(W.tobytes()[:-1])
    assert str(W.nbytes) in _refused(build(home, external("w.data")))
    assert str(W.nbytes + 1) in _refused(build(home, external("w.data", offset=1, length=W.nbytes)))


def test_an_offset_beyond_the_end(home: Path) -> None:
    (home / "w.data").write_bytes(W.tobytes())
    _refused(build(home, external("w.data", offset=2**62)))
    _refused(build(home, external("w.data", offset=W.nbytes, length=W.nbytes)))


def test_an_empty_file(home: Path) -> None:
    (home / "w.data").touch()
    _refused(build(home, external("w.data")))


@pytest.mark.parametrize(
    "entries", [{"offset": "x"}, {"length": "1e3"}, {"offset": "9" * 9999}, {"offset": -8}, {"length": -8}]
)
def test_entries_that_make_no_sense(home: Path, entries: dict[str, object]) -> None:
    (home / "w.data").write_bytes(W.tobytes())
    with pytest.raises((FormatError, ExternalDataError)) as caught:
        audit(build(home, external("w.data", **entries)))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("length", [4, W.nbytes - 4])
def test_a_length_that_does_not_fit_the_dims(home: Path, length: int) -> None:
    (home / "w.data").write_bytes(W.tobytes())
    with pytest.raises(FormatError, match="50 x 30"):
        audit(build(home, external("w.data", length=length)))


@pytest.mark.parametrize("location", ["", "a\0b", "\0inline"])
def test_a_location_that_is_no_file_name(home: Path, location: str) -> None:
    with pytest.raises(ModelError):
        audit(build(home, external(location)))


@pytest.mark.parametrize("location", ["x" * 300, "x/" * 3000 + "y"])
def test_a_location_that_no_file_system_takes(home: Path, location: str) -> None:
    with pytest.raises(ModelError):
        audit(build(home, external(location)))


def test_a_symbolic_link_to_itself(home: Path) -> None:
    (home / "w.data").symlink_to(home / "w.data")
    with pytest.raises(ModelError):
        audit(build(home, external("w.data")))


def test_a_folder_or_a_pipe_in_place_of_a_file(home: Path) -> None:
    (home / "folder").mkdir()
    os.mkfifo(home / "pipe")
    for location in ("folder", "pipe", "."):
        assert "not a regular file" in _refused(build(home, external(location)))
