"""Data of the sample models, and models as onnxruntime itself runs them."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

SAMPLES = Path(__file__).parents[2] / "sample_models"

Data = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def digits() -> Data:
    """Return the test split of the digits."""
    with np.load(SAMPLES / "digits.npz") as data:
        return {"x": data["x_test"], "labels": data["labels_test"]}


@pytest.fixture(scope="session")
def training() -> Data:
    with np.load(SAMPLES / "digits.npz") as data:
        return {"x": data["x"], "labels": data["labels"]}


def run_original(path: Path, x: np.ndarray, output: str | None = None) -> np.ndarray:
    """Return what onnxruntime computes of an untouched model, in runs of 16 samples."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    (value,) = session.get_inputs()
    name = output or next(o.name for o in session.get_outputs() if o.type == "tensor(float)")
    shape = [16, *(size for size in value.shape[1:])]
    padded = np.concatenate([x, x[:1].repeat(-len(x) % 16, axis=0)])
    found = [
        session.run([name], {value.name: padded[i : i + 16].reshape(shape)})[0]
        for i in range(0, len(padded), 16)
    ]
    return np.concatenate(found)[: len(x)]


def log_softmax(z: np.ndarray, axis: int = -1) -> np.ndarray:
    z = z.astype(np.float64)
    z = z - z.max(axis=axis, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=axis, keepdims=True))
