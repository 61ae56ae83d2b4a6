"""Export the MLP with skl2onnx: the trained weights put into a fitted MLPClassifier."""

import warnings
from pathlib import Path

import numpy as np
from interchange import folders, load
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from tidy import save

LAYERS = ("hidden1", "hidden2", "output")


def classifier(weights: Path) -> MLPClassifier:
    """Fit an MLPClassifier of the same sizes, so that it knows its classes; then overwrite its weights."""
    net = MLPClassifier((100, 50), activation="relu", max_iter=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(np.zeros((10, 64), np.float32), np.arange(10))
    arrays = load(weights)
    net.coefs_ = [arrays[f"{layer}.weight"].T for layer in LAYERS]
    net.intercepts_ = [arrays[f"{layer}.bias"] for layer in LAYERS]
    return net


def main() -> None:
    """Export the file into the folder named by --out: two outputs, the label and ten probabilities."""
    out, weights = folders(__doc__)
    model = to_onnx(
        classifier(weights / "mlp.npz"),
        initial_types=[("x", FloatTensorType([None, 64]))],
        options={"zipmap": False},
        target_opset={"": 18, "ai.onnx.ml": 3},
    )
    save(model, out / "mlp_sklearn.onnx")


if __name__ == "__main__":
    main()
