"""Export with tf2onnx: Keras networks that hold the weights trained in PyTorch.

Keras stores a dense matrix as (in, out) and a kernel as (height, width, in, out), and its pictures are
channels-last, so the rows of the dense layer after Flatten come in another order than in PyTorch.
"""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from interchange import Arrays, folders, inputs_first, load_channels_last
from keras import layers
from tidy import save

OPSET = 17


class FusedBatchNormalization(layers.BatchNormalization):
    """Keras' layer in evaluation mode as one TensorFlow op.

    Keras 3 writes it out as multiplications and additions; only the fused op becomes a BatchNormalization
    node in ONNX.
    """

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """(n, height, width, channels), normalised by the stored statistics."""
        normal, _, _ = tf.compat.v1.nn.fused_batch_norm(
            x,
            self.gamma,
            self.beta,
            self.moving_mean,
            self.moving_variance,
            epsilon=self.epsilon,
            is_training=False,
        )
        return normal


class Positions(layers.Layer):
    """Adds a learned vector to every token."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """One vector per token."""
        self.position = self.add_weight(shape=shape[1:], name="position")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """(n, tokens, width), moved."""
        return x + self.position


def mlp() -> keras.Model:
    """Build the MLP."""
    x = keras.Input((64,), name="x")
    y = layers.Dense(100, activation="relu", name="hidden1")(x)
    y = layers.Dense(50, activation="relu", name="hidden2")(y)
    return keras.Model(x, layers.Dense(10, name="output")(y), name="mlp")


def cnn() -> keras.Model:
    """Build the CNN, channels-last."""
    x = keras.Input((8, 8, 1), name="x")
    y = layers.Conv2D(12, 3, padding="same", activation="relu", name="conv1")(x)
    y = FusedBatchNormalization(epsilon=1e-5, name="norm1")(y)
    y = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv2")(y)
    y = FusedBatchNormalization(epsilon=1e-5, name="norm2")(y)
    y = layers.Flatten()(layers.MaxPooling2D()(y))
    return keras.Model(x, layers.Dense(10, name="output")(y), name="cnn")


def gelu(x: keras.KerasTensor) -> keras.KerasTensor:
    """Exact GELU by Erf; Keras' own writes Erfc, which tf2onnx 1.17 does not know."""
    return 0.5 * x * (1.0 + keras.ops.erf(x * 2**-0.5))


def block(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """One transformer block; the functional twin of networks.Block."""

    def heads(layer: str) -> keras.KerasTensor:
        return layers.Permute((2, 1, 3))(
            layers.Reshape((8, 4, 8))(layers.Dense(32, name=f"{name}.{layer}")(y))
        )

    y = layers.LayerNormalization(epsilon=1e-5, name=f"{name}.norm1")(x)
    query, key, value = heads("query"), heads("key"), heads("value")
    attention = keras.ops.softmax(keras.ops.matmul(query, keras.ops.transpose(key, (0, 1, 3, 2))) * 8**-0.5)
    y = layers.Reshape((8, 32))(layers.Permute((2, 1, 3))(keras.ops.matmul(attention, value)))
    x = x + layers.Dense(32, name=f"{name}.out")(y)
    y = layers.LayerNormalization(epsilon=1e-5, name=f"{name}.norm2")(x)
    y = gelu(layers.Dense(64, name=f"{name}.up")(y))
    return x + layers.Dense(32, name=f"{name}.down")(y)


def transformer() -> keras.Model:
    """Build the transformer."""
    x = keras.Input((8, 8), name="x")
    y = Positions(name="position")(layers.Dense(32, name="embed")(x))
    y = layers.LayerNormalization(epsilon=1e-5, name="norm")(block(block(y, "block1"), "block2"))
    return keras.Model(x, layers.Dense(10, name="output")(keras.ops.mean(y, axis=1)), name="transformer")


def weights_of(layer: layers.Layer, arrays: Arrays) -> list[np.ndarray]:
    """List what Keras' set_weights wants for a layer: PyTorch's arrays under the layer's name."""
    if isinstance(layer, Positions):
        return [arrays["position"]]
    names = ["weight", "bias", "running_mean", "running_var"]
    found = [arrays[key] for key in (f"{layer.name}.{name}" for name in names) if key in arrays]
    return [inputs_first(array) for array in found]


def export(make: Callable[[], keras.Model], arrays: Arrays, path: Path) -> None:
    """Build, fill and export one network with a dynamic batch."""
    net = make()
    for layer in net.layers:
        layer.set_weights(weights_of(layer, arrays))
    signature = (tf.TensorSpec((None, *net.input_shape[1:]), tf.float32, name="x"),)

    @tf.function(input_signature=signature)
    def function(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"logits": net(x, training=False)}

    model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    save(model, path)


def main() -> None:
    """Export every TensorFlow file into the folder named by --out."""
    out, weights = folders(__doc__)
    for make in (mlp, cnn, transformer):
        name = make.__name__
        keras.utils.clear_session()
        export(make, load_channels_last(weights / f"{name}.npz"), out / f"{name}_tensorflow.onnx")


if __name__ == "__main__":
    main()
