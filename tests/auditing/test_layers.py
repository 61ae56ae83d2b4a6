"""What is kept of a layer when its weights are gone: no handle on the file, and read once."""

import json
import pickle
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

from onnxtop.auditing import layers, pieces, story
from onnxtop.auditing.layers import Measured, Memory
from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.pieces import measure_layers, shelved
from onnxtop.auditing.story import audit, audited
from onnxtop.reader import model_file, tensors
from onnxtop.reader.layer import Layer
from onnxtop.reader.layers import find_layers
from onnxtop.reader.loading import load
from onnxtop.topology import deep_graph_persistence
from onnxtop.topology.layer_scan import scan_once
from onnxtop.work.content import digest_of_elements
from onnxtop.work.options import WorkOptions
from onnxtop.work.shelf import Shelf
from onnxtop.work.store import Store
from tests.models import mlp, model, node, save

WAYS = [
    {},
    {"bias": "row"},
    {"conv": "channels"},
    {"conv": "unrolled"},
    {"conv": "per-filter"},
    {"structure": False},
]


def quantised(folder: Path) -> Path:
    """Save a convolution and a product behind DequantizeLinear: x -> conv -> fc -> y."""
    rng = np.random.default_rng(0)
    nodes = [
        node("DequantizeLinear", "qk sk", "k", axis=0),
        node("Conv", "x k", "c", name="conv"),
        node("Flatten", "c", "f"),
        node("DequantizeLinear", "qw sw", "w", axis=1),
        node("MatMul", "f w", name="fc"),
    ]
    held = {
        "qk": rng.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8),
        "sk": np.arange(1, 9, dtype=np.float32),
        "qw": rng.integers(-127, 128, (8 * 4 * 4, 20)).astype(np.int8),
        "sw": np.arange(1, 21, dtype=np.float32),
    }
    return save(model(nodes, held, {"x": [1, 3, 6, 6]}), folder, "quantised.onnx")


def pickled(*arguments: Any) -> Shelf[Measured]:
    return shelved(pickle.loads(pickle.dumps(item)) for item in measure_layers(*arguments))


@pytest.mark.parametrize("options", WAYS)
def test_a_report_goes_on_from_what_was_pickled(
    options: dict[str, Any], samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = "cnn_torch_dynamo" if "conv" in options else "[lm]*_torch_dynamo"
    for path in (*sorted(samples.glob(f"{names}.onnx")), quantised(tmp_path)):
        wanted = audit(path, AuditOptions(**options))
        with monkeypatch.context() as patched:
            patched.setattr(story, "measure_layers", pickled)
            assert audit(path, AuditOptions(**options)) == wanted, path.name


@pytest.mark.parametrize("options", [*WAYS, {"details": True}, {"diagrams": False, "scale": "layer"}])
def test_a_report_goes_on_from_what_waits_on_a_disk(
    options: dict[str, Any], samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = "cnn_torch_dynamo" if "conv" in options else "[lm]*_torch_dynamo"
    for path in (*sorted(samples.glob(f"{names}.onnx")), quantised(tmp_path)):
        wanted = json.dumps(audit(path, AuditOptions(**options)).to_dict())
        with monkeypatch.context() as patched:
            patched.setattr(pieces, "Shelf", partial(Shelf, room=0))
            found = audited(path, AuditOptions(**options))
        assert json.dumps(found.report.to_dict()) == wanted, path.name
        assert found.measured.away == len(found.layers) > 0


def test_memory_is_not_what_all_layers_leave_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve layers of 60,000 neurons, which leave 80 MB."""
    rng = np.random.default_rng(0)
    names, sides = [f"w{number}" for number in range(12)], (8, 60_000)
    nodes = [node("MatMul", f"v{n} w{n}", f"v{n + 1}") for n in range(len(names))]
    held = {
        name: rng.standard_normal(sides if n % 2 == 0 else sides[::-1], np.float32)
        for n, name in enumerate(names)
    }
    path = save(model(nodes, held, {"v0": [1, 8]}), tmp_path, "wide.onnx")
    monkeypatch.setattr(deep_graph_persistence, "HELD", 0)
    peaks = {}
    for room in (2**30, 0):
        monkeypatch.setattr(pieces, "Shelf", partial(Shelf, room=room))
        tracemalloc.start()
        audit(path, diagrams=False, structure=False)
        peaks[room] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[0] < 0.8 * peaks[2**30]


@pytest.mark.parametrize("options", WAYS)
def test_weights_are_decoded_once(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: Counter[str] = Counter()

    def counted(read: Callable[..., Any]) -> Callable[..., Any]:
        def reading(layer: Layer, **how: bool) -> Any:
            weights = read(layer, **how)
            decoded[layer.name] += weights is not None
            return weights

        return reading

    def found(*arguments: Any, **keywords: Any) -> Any:
        layers = find_layers(*arguments, **keywords)  # which tries whether they can be decoded
        decoded.clear()
        return layers

    monkeypatch.setattr(Layer, "blocks", counted(Layer.blocks))
    monkeypatch.setattr(Layer, "kernel", counted(Layer.kernel))
    monkeypatch.setattr(story, "find_layers", found)
    report = audit(quantised(tmp_path), AuditOptions(**options))
    assert report.network.deep_graph_persistence.reason is None
    assert report.layers[0].encoding == "int8 per-channel"
    assert decoded == {"conv": 1, "fc": 1}


def test_audits_that_share_a_memory_are_as_if_alone(samples, tmp_path):
    """Equal layers under other names, a bias that changed alone, another kind of model at the same place."""
    same, biased = mlp(64, 32, 32), mlp(64, 32, 32)
    for tensor in biased.graph.initializer:
        if tensor.name == "b2":
            tensor.CopyFrom(numpy_helper.from_array(np.zeros(32, np.float32), "b2"))
    renamed = mlp(64, 32, 32)
    renamed.graph.node[0].name = "other"
    made = [save(proto, tmp_path, f"{n}.onnx") for n, proto in enumerate((same, biased, renamed, same))]
    paths = [*made, quantised(tmp_path), samples / "lstm_torch_legacy.onnx", made[0]]
    for options in (AuditOptions(), AuditOptions(bias="row"), AuditOptions(conv="channels", structure=False)):
        memory = Memory(Store(None), series=True)
        for path in paths:
            report = audited(path, options, memory=memory).report
            assert report == audited(path, options).report


@pytest.mark.parametrize("cache", ["off", "on"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_bytes_are_hashed_once(
    jobs: int, cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    nodes = [node("MatMul", "x w", "h"), node("MatMul", "h v", "g"), node("MatMul", "g w")]
    held = {name: rng.standard_normal((160, 160)).astype(np.float32) for name in "wv"}
    path = save(model(nodes, held, {"x": [1, 160]}), tmp_path, "thrice.onnx")
    hashed: Counter[object] = Counter()
    beside: set[bool] = set()
    of_elements, of_file = tensors.digest_of_elements, model_file.digest_of

    def elements(array: Any) -> str:
        hashed[array.tobytes()] += 1
        beside.add(threading.current_thread() is not threading.main_thread())
        return of_elements(array)

    def file(path: Path) -> str:
        hashed[path.name] += 1
        beside.add(threading.current_thread() is not threading.main_thread())
        return of_file(path)

    wanted = audit(path)
    monkeypatch.setattr(tensors, "digest_of_elements", elements)
    monkeypatch.setattr(model_file, "digest_of", file)
    if cache == "on":
        cache = str(tmp_path / "cache")
    assert audit(path, work=WorkOptions(jobs=jobs, cache=cache)) == wanted
    weights = {} if cache == "off" else {held["w"].tobytes(): 1, held["v"].tobytes(): 1}
    assert hashed == {"thrice.onnx": 1, **weights}
    assert beside == {jobs > 1}


def test_the_digest_of_part_of_a_tensor_is_its_own(tmp_path: Path) -> None:
    held = {"w": np.random.default_rng(0).standard_normal((40, 30)).astype(np.float32)}
    read = load(save(model([node("MatMul", "x w")], held, {"x": [1, 40]}), tmp_path, "one.onnx"))
    (tensor,) = read.tensors.values()
    array = read.files.read(tensor)
    views = [
        array,
        array.ravel(),
        array.T,
        array[:20],
        array[20:],
        array[::-1],
        array[:, :15],
        array.view("i4"),
    ]
    assert [read.files.digest_of(view) for view in (*views, 2 * array)] == [
        digest_of_elements(view) for view in (*views, 2 * array)
    ]
    assert len({read.files.digest_of(view) for view in views}) == len(views) - 2


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_weights_that_are_not_aligned_in_the_file_are_read_in_place(
    dtype: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {"w": np.random.default_rng(0).standard_normal((90, 80)).astype(dtype)}
    reports, aligned = [], set()

    def scan(blocks: Any, *arguments: Any, **keywords: Any) -> Any:
        aligned.add(blocks[0].flags.aligned)
        return scan_once(blocks, *arguments, **keywords)

    monkeypatch.setattr(layers, "scan_once", scan)
    monkeypatch.setattr(layers, "_IN_PLACE", 0)
    for length in range(1, 9):
        proto = model([node("MatMul", "x w", name="n" * length)], held, {"x": [1, 90]})
        (layer,) = audit(save(proto, tmp_path)).layers
        reports.append(replace(layer, name="", uses=(), source=None))
    assert aligned == {True, False}
    assert reports == reports[:1] * 8
