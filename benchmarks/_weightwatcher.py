"""WeightWatcher on the weights of an ONNX file, as layers of a PyTorch module: ``... FILE``.

Anything else that reads weights as PyTorch stores them would do; onnxtop is not loaded.
"""

import sys

import numpy as np
import onnx
import torch
import weightwatcher
from onnx import numpy_helper
from torch import nn


def module(path: str) -> nn.Module:
    """Return the convolutions and dense layers of a file, in its order."""
    return nn.Sequential(*map(layer, map(numpy_helper.to_array, onnx.load(path).graph.initializer)))


def layer(weight: np.ndarray) -> nn.Module:
    """Return a layer with this weight."""
    if weight.ndim == 4:
        made = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], bias=False, device="meta")
    else:
        made = nn.Linear(*weight.shape, bias=False, device="meta")
        weight = weight.T
    made.weight = nn.Parameter(torch.from_numpy(weight.copy()), requires_grad=False)
    return made


if __name__ == "__main__":
    watcher = weightwatcher.WeightWatcher(model=module(sys.argv[1]))
    print(watcher.get_summary(watcher.analyze()))
