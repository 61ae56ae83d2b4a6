"""Data from disk and its fit to a model: what works, and what each mistake is told."""

import mmap
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxtop.errors import UsageError
from onnxtop.gradient.graph import onnx_type
from onnxtop.loss.data import read_data
from onnxtop.loss.options import Pixels
from onnxtop.loss.probe import Probe
from onnxtop.loss.samples import match, parts
from onnxtop.reader.declared import Declared
from tests.loss.conftest import SAMPLES
from tests.models import model, node, save, weights

F4 = np.dtype(np.float32)
X = np.arange(60, dtype=np.float32).reshape(5, 12)
LABELS = np.arange(5)


def declared(*shape: int | None, name: str = "x", dtype: Any = F4) -> list[Declared]:
    return [Declared(name, onnx_type(np.dtype(dtype)), shape)]


# Files


def _base(array: Any) -> object:
    """Return what holds the elements of an array."""
    while isinstance(array, np.ndarray | memoryview):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return array


def test_npz_is_mapped_where_it_is_stored(tmp_path: Path) -> None:
    np.savez(tmp_path / "stored.npz", x=X, labels=LABELS, fortran=np.asfortranarray(X))
    np.savez_compressed(tmp_path / "packed.npz", x=X, labels=LABELS)
    stored = read_data(tmp_path / "stored.npz").split(None)[1]
    packed = read_data(tmp_path / "packed.npz").split(None)[1]
    assert all(isinstance(_base(stored[name]), mmap.mmap) for name in ("x", "fortran"))
    assert _base(stored["x"]) is _base(stored["labels"])  # not a descriptor an array
    assert not isinstance(_base(packed["x"]), mmap.mmap)
    for found in (stored, packed):
        np.testing.assert_array_equal(found["x"], X)
        np.testing.assert_array_equal(found["labels"], LABELS)
    np.testing.assert_array_equal(stored["fortran"], X)


def test_mapped_data_gives_the_same_loss(tmp_path: Path) -> None:
    with np.load(SAMPLES / "digits.npz") as data:
        np.savez(tmp_path / "d.npz", x=data["x_test"], labels=data["labels_test"])
        whole = {"x": data["x_test"], "labels": data["labels_test"]}
    path = SAMPLES / "mlp_jax.onnx"
    mapped = Probe(path, read_data(tmp_path / "d.npz").split(None)[1], batch_size=99)
    assert mapped.loss(mapped.theta0) == pytest.approx(Probe(path, whole).loss(mapped.theta0), rel=1e-6)


def test_splits(tmp_path: Path) -> None:
    data = read_data(SAMPLES / "digits.npz")
    assert {name: sorted(arrays) for name, arrays in data.splits.items()} == {
        "": ["labels", "x"],
        "test": ["labels", "x"],
    }
    assert len(data.split("test")[1]["x"]) == 500
    with pytest.raises(UsageError, match="wanted a split 'val' in the data, found the splits 'test'"):
        data.split("val")
    np.savez(tmp_path / "one.npz", x_val=X, labels_val=LABELS)
    name, arrays = read_data(tmp_path / "one.npz").split(None)
    assert (name, len(arrays["x"])) == ("val", 5)


def test_npy_files(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "labels.npy", LABELS)
    np.save(tmp_path / "values.npy", X[:, 0])
    with pytest.raises(UsageError, match=r"as 'labels' or .*also takes them apart, with --labels FILE"):
        read_data(tmp_path / "x.npy")
    assert set(read_data(tmp_path / "x.npy", tmp_path / "labels.npy").split(None)[1]) == {"x", "labels"}
    assert set(read_data(tmp_path / "x.npy", tmp_path / "values.npy").split(None)[1]) == {"x", "target"}
    for other in (tmp_path, tmp_path / "x.npz", {"x": X}):
        with pytest.raises(UsageError, match=r"--labels goes with one array \(\.npy\)"):
            read_data(other, tmp_path / "labels.npy")
    (tmp_path / "values.npy").unlink()
    np.testing.assert_array_equal(read_data(tmp_path).split(None)[1]["x"], X)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no such file"), (b"text\0", "cannot be read"), (b"", "cannot be read")],
)
def test_unreadable_files(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_data(path)


def test_python_objects_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.array([{}, []], dtype=object), labels=LABELS)
    with pytest.raises(UsageError, match="Python objects"):
        read_data(tmp_path / "d.npz")


def test_data_without_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X)
    with pytest.raises(UsageError, match="wanted an array 'labels' or 'target' in the data, found 'x'"):
        read_data(tmp_path / "d.npz")


class _Image:
    """Stands in for Pillow's: a grey picture of one brightness, which its file's name tells."""

    mode = "L"

    def __init__(self, path: Path, formats: tuple[str, ...]) -> None:
        self.value, self.size = int(path.stem), (4, 4)
        self.width, self.height, self.bands = 4, 4, 1

    def __enter__(self) -> "_Image":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def convert(self, mode: str) -> "_Image":
        self.bands = len(mode)
        return self

    def resize(self, size: tuple[int, int]) -> "_Image":
        self.size = size
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        shape = (self.size[1], self.size[0], self.bands)
        return np.full(shape if self.bands > 1 else shape[:2], self.value, dtype)


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    module = types.SimpleNamespace(open=_Image)
    monkeypatch.setitem(sys.modules, "PIL", types.SimpleNamespace(Image=module))
    for name, values in (("cat", ("051", "102")), ("dog", ("255",))):
        (tmp_path / name).mkdir()
        for value in values:
            (tmp_path / name / f"{value}.png").touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize("shape", [(3, 2, 5), (2, 5, 3), (1, 4, 4)])
def test_folder_of_images(shape: tuple[int, ...], pictures: Path) -> None:
    data = read_data(pictures, look=Pixels(shape, (0.2,), (0.5,)))
    arrays = data.split(None)[1]
    assert data.notes == ("3 images of 2 classes (0 is cat, 1 is dog)",)
    np.testing.assert_array_equal(arrays["labels"], [0, 0, 1])
    assert arrays["x"].shape == (3, *shape)
    wanted = np.stack([np.full(shape, value) for value in (0.4, 1.6)])
    np.testing.assert_allclose(arrays["x"][1:], wanted, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 2, 5), (2, 5, 3), (1, 4, 4), (6, 5, 1), None])
@pytest.mark.parametrize("name", ["mean", "deviation"])
def test_a_number_for_each_channel(name: str, shape: tuple[int, ...] | None, pictures: Path) -> None:
    channels = 3 if shape and 3 in shape else 1
    for count in range(1, 5):
        look = Pixels(shape, **{name: (0.2, 0.4, 0.5, 0.8)[:count]})
        if count in (1, channels):
            assert read_data(pictures, look=look).split(None)[1]["x"][1:2].shape == (1, *(shape or (1, 4, 4)))
            continue
        with pytest.raises(UsageError, match=f"^{name}: wanted one number for all pixels.*, found {count}"):
            read_data(pictures, look=look)


def test_means_of_channels_are_theirs(pictures: Path) -> None:
    for shape, axes in (((3, 2, 5), (0, 2, 3, 1)), ((2, 5, 3), (0, 1, 2, 3))):
        look = Pixels(shape, (0.1, 0.2, 0.3), (1.0, 0.5, 0.25))
        found = np.transpose(read_data(pictures, look=look).split(None)[1]["x"][1:2], axes)
        np.testing.assert_allclose(found, np.full((1, 2, 5, 3), [0.3, 0.4, 0.4]), rtol=1e-5)


def test_images_reach_the_model(pictures: Path) -> None:
    shape = (1, 2, 2)
    nodes = [node("Flatten", "x", "f"), node("Gemm", "f w", "y")]
    path = save(model(nodes, {"w": weights(4, 2) / 64}, {"x": ["n", *shape]}), pictures)
    probe = Probe(path, read_data(pictures, look=Pixels(shape)).split(None)[1])
    flat = np.repeat([[0.2], [0.4], [1.0]], 4, axis=1)
    np.testing.assert_allclose(probe.outputs(probe.theta0), flat @ weights(4, 2) / 64, rtol=1e-5)


def test_folders_called_by_numbers(pictures: Path) -> None:
    (pictures / "cat").rename(pictures / "7")
    (pictures / "dog").rename(pictures / "3")
    np.testing.assert_array_equal(read_data(pictures).split(None)[1]["labels"], [3, 7, 7])


def test_images_need_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    (tmp_path / "cat").mkdir()
    with pytest.raises(UsageError, match=r"pip install 'onnxtop\[images\]'"):
        read_data(tmp_path)


def test_folder_without_images(pictures: Path) -> None:
    with pytest.raises(UsageError, match="found neither"):
        read_data(pictures / "empty")


# Fit


def test_exact_fit() -> None:
    samples = match({"x": X, "labels": LABELS, "more": X}, declared(None, 12))
    feeds = samples.rows(slice(3, 5), 4)
    np.testing.assert_array_equal(feeds["x"], X[[3, 4, 4, 4]])
    assert samples.notes == ()


def test_only_input_may_be_called_x_or_stand_alone() -> None:
    for name in ("x", "pictures"):
        samples = match({name: X, "labels": LABELS}, declared(None, 12, name="input_1"))
        assert samples.notes == (f"array {name!r} is taken for input 'input_1'",)


@pytest.mark.parametrize("shape", [(None, 3, 4), (None, 1, 3, 4), (5, 2, None), (None, 12, 1)])
def test_samples_are_reshaped_where_sizes_match(shape: tuple[int | None, ...]) -> None:
    samples = match({"x": X, "labels": LABELS}, declared(*shape))
    assert samples.rows(slice(0, 2), 2)["x"].shape[1:] == tuple(6 if n is None else n for n in shape[1:])
    assert "are reshaped to" in samples.notes[0]


def test_integers_become_floats_without_scaling() -> None:
    samples = match({"x": X.astype(np.uint8), "labels": LABELS}, declared(None, 12))
    assert samples.rows(slice(0, 1), 1)["x"].dtype == np.float32
    assert samples.notes == ("x: uint8 is converted to float32 without scaling",)


NHWC, NCHW = np.zeros((5, 8, 9, 3), np.float32), np.zeros((5, 3, 8, 9), np.float32)


@pytest.mark.parametrize(
    ("data", "shape", "message"),
    [
        (
            {"labels": LABELS},
            (None, 12),
            "wanted an array 'x' for the model's input of that name, found no arrays",
        ),
        ({"x": X}, (None, 12), "wanted an array 'labels' or 'target'"),
        ({"x": X, "labels": LABELS[:4]}, (None, 12), "found 4 for 5 samples of 'x'"),
        ({"x": X, "labels": np.int64(3)}, (None, 12), "found a single number"),
        ({"x": X[:0], "labels": LABELS[:0]}, (None, 12), "at least one sample"),
        ({"x": X, "labels": LABELS}, (None, 13), "wanted samples of shape 13 for input 'x', found 12"),
        ({"x": X, "labels": LABELS}, (None, 5, None), "wanted samples of shape 5 x "),
        ({"x": X + 1j, "labels": LABELS}, (None, 12), "wanted float32 for input 'x', found complex"),
        ({"x": np.full((5, 12), "a"), "labels": LABELS}, (None, 12), "wanted float32 for input 'x'"),
        (
            {"x": NHWC, "labels": LABELS},
            (None, 3, 8, 9),
            r"channels last \(NHWC\): transpose .* \(0, 3, 1, 2\)",
        ),
        (
            {"x": NCHW, "labels": LABELS},
            (None, 8, 9, 3),
            r"channels first \(NCHW\): transpose .* \(0, 2, 3, 1\)",
        ),
        (
            {"x": np.where(X == 25, np.nan, X), "labels": LABELS},
            (None, 12),
            "NaN or infinity in 'x', sample 2",
        ),
        ({"x": X, "target": np.array([0, 0, 0, np.inf, 0])}, (None, 12), "infinity in 'target', sample 3"),
    ],
)
def test_what_does_not_fit(data: dict[str, Any], shape: tuple[int | None, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        match(data, declared(*shape))


def test_floats_do_not_become_integers() -> None:
    with pytest.raises(UsageError, match="wanted int64 for input 'x', found float32"):
        match({"x": X, "labels": LABELS}, declared(None, 12, dtype=np.int64))


def test_inputs_without_samples_stand_still() -> None:
    inputs = [*declared(None, 12), Declared("rate", onnx_type(np.dtype(np.int64)), ())]
    samples = match({"x": X, "rate": np.int64(16000), "labels": LABELS}, inputs)
    assert set(samples.still) == {"rate"}
    assert set(samples.rows(slice(0, 2), 2)) == {"x", "rate"}


def test_parts_are_as_equal_as_can_be() -> None:
    assert [part.stop - part.start for part in parts(10, 4)] == [4, 4, 2]
    assert [part.stop - part.start for part in parts(10, 5)] == [5, 5]
    assert [part.stop - part.start for part in parts(3, 99)] == [3]
