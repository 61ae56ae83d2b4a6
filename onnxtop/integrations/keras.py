"""Keras 3, on any backend: a callback that stops training by the paper's rule."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from onnxtop.errors import MissingLibraryError
from onnxtop.integrations.pace import Pace
from onnxtop.tracing.live import NeuralPersistenceStopping, Weights

try:
    import keras
except ImportError:
    raise MissingLibraryError.of("Keras", "keras") from None

Blocks = list[NDArray[Any]]

_CONV = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)


def weights_of(model: Any) -> dict[str, Blocks]:
    """Return the layers of a model, in the order in which it holds them.

    Returns
    -------
    dict
        Matrices (n_in, n_out) and kernels (n_out, n_in, taps) by the paths of the layers, one block a group:
        what `onnxtop.NeuralPersistenceStopping.update` takes.
    """
    owners = {
        weight.path: (weight, layer) for layer in model._flatten_layers() for weight in layer.weights
    }  # children come after their parents, so the last owner is the layer itself
    found = {
        path.removesuffix("/kernel"): _blocks(weight, layer)
        for path, (weight, layer) in owners.items()
        if len(weight.shape) > 1 and "float" in weight.dtype and weight.name != "bias"
    }
    return {name: blocks for name, blocks in found.items() if blocks}


def _blocks(weight: Any, layer: Any) -> Blocks:
    """Turn a weight the way we want it, by what its layer does with it."""
    array = np.asarray(keras.ops.convert_to_numpy(weight))
    if isinstance(layer, _TRANSPOSED):  # (taps, n_out, n_in)
        return [np.moveaxis(array, (-2, -1), (0, 1))]
    if isinstance(layer, _DEPTHWISE) or weight.name == "depthwise_kernel":  # (taps, n_in, n_out of each)
        channels = np.moveaxis(array, (-2, -1), (0, 1))
        return [channel[:, None] for channel in channels]
    if isinstance(layer, _CONV + _SEPARABLE):  # (taps, n_in of a group, n_out)
        return np.split(np.moveaxis(array, (-1, -2), (0, 1)), getattr(layer, "groups", 1))
    if isinstance(layer, keras.layers.EinsumDense):
        return [_summed_over(array, layer.equation)]
    return [array] if array.ndim == 2 else []


def _summed_over(array: NDArray[Any], equation: str) -> NDArray[Any]:
    """Return the matrix of an einsum: the axes of the kernel that are summed over are the inputs."""
    kernel, result = equation.split(",")[1].split("->")
    axes = sorted(range(len(kernel)), key=lambda axis: kernel[axis] in result)
    n_in = int(np.prod([array.shape[axis] for axis in axes if kernel[axis] not in result]))
    return array.transpose(axes).reshape(n_in, -1)


class KerasStopping(keras.callbacks.Callback):
    """Stops ``model.fit`` when the rule says so, and puts the figures into ``logs``.

    Parameters
    ----------
    stopping
        The rule; begun anew with every ``fit``.
    every, unit
        Check after every so many epochs ('epoch') or batches ('step').
    layers
        Whether the figures of layers are logged too.
    weights
        Reads the layers of a model: `weights_of`, or your own.
    """

    def __init__(
        self,
        stopping: NeuralPersistenceStopping,
        *,
        every: int = 1,
        unit: Literal["epoch", "step"] = "epoch",
        layers: bool = False,
        weights: Callable[[Any], Weights] = weights_of,
    ) -> None:
        super().__init__()
        self.stopping = stopping
        self.pace = Pace(every, unit)
        self.layers = layers
        self.weights = weights
        self.steps = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin anew."""
        self.steps = 0
        self.stopping.resume(())

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Check, if it is time."""
        self.steps += 1
        self._check("step", self.steps)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Check, if it is time, and log the figures of the last check."""
        self._check("epoch", epoch + 1)
        if logs is not None:
            logs.update(self.stopping.figures(layers=self.layers))

    def _check(self, unit: str, number: int) -> None:
        if self.pace.due(unit, number) and self.stopping.update(self.weights(self.model)):
            self.model.stop_training = True
