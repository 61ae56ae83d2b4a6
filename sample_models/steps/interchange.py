"""What the steps hand to each other: two folders and npz files of weights.

The arrays lie as PyTorch lays them: a dense matrix (out, in), a kernel (out, in, height, width).
Keras and Flax share another layout, so the way there is written once, here.
"""

import argparse
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]


def folders(description: str | None) -> tuple[Path, Path]:
    """Read two folders off the command line: of digits.npz and the models, and of the weights."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True, help="folder of digits.npz and of the models")
    parser.add_argument("--weights", type=Path, required=True, help="scratch folder of the trained weights")
    arguments = parser.parse_args()
    return arguments.out, arguments.weights


def load(path: Path) -> Arrays:
    """Read the arrays of one network, keyed like PyTorch's state_dict."""
    with np.load(path) as file:
        return dict(file)


def load_channels_last(path: Path) -> Arrays:
    """Read the same for a channels-last framework: the CNN's Flatten meets height, width, channel there."""
    arrays = load(path)
    if "conv1.weight" in arrays:
        dense = arrays["output.weight"].reshape(10, 16, 4, 4)
        arrays["output.weight"] = dense.transpose(0, 2, 3, 1).reshape(10, 256)
    return arrays


def inputs_first(weight: np.ndarray) -> np.ndarray:
    """Turn a dense matrix to (in, out), a kernel to (height, width, in, out); keep a vector."""
    return weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T
