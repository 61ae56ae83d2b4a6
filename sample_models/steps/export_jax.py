"""Export with jax2onnx: Flax NNX networks that hold the weights trained in PyTorch.

Flax stores a dense matrix as (in, out) and a kernel as (height, width, in, out), channels-last, like Keras.
"""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx
from interchange import Arrays, folders, inputs_first, load_channels_last
from jax2onnx import to_onnx
from tidy import save

OPSET = 21
SEED = 0


class MLP(nnx.Module):
    """The MLP."""

    shape = (64,)

    def __init__(self) -> None:
        rngs = nnx.Rngs(SEED)
        self.hidden1 = nnx.Linear(64, 100, rngs=rngs)
        self.hidden2 = nnx.Linear(100, 50, rngs=rngs)
        self.output = nnx.Linear(50, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, 64) to (n, 10)."""
        return self.output(nnx.relu(self.hidden2(nnx.relu(self.hidden1(x)))))


class CNN(nnx.Module):
    """The CNN, channels-last."""

    shape = (8, 8, 1)

    def __init__(self) -> None:
        rngs = nnx.Rngs(SEED)
        self.conv1 = nnx.Conv(1, 12, (3, 3), rngs=rngs)
        self.norm1 = nnx.BatchNorm(12, use_running_average=True, epsilon=1e-5, rngs=rngs)
        self.conv2 = nnx.Conv(12, 16, (3, 3), rngs=rngs)
        self.norm2 = nnx.BatchNorm(16, use_running_average=True, epsilon=1e-5, rngs=rngs)
        self.output = nnx.Linear(256, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, 8, 8, 1) to (n, 10)."""
        x = self.norm1(nnx.relu(self.conv1(x)))
        x = self.norm2(nnx.relu(self.conv2(x)))
        x = nnx.max_pool(x, window_shape=(2, 2), strides=(2, 2))
        return self.output(x.reshape(x.shape[0], 256))


class Block(nnx.Module):
    """One transformer block; the twin of networks.Block."""

    def __init__(self) -> None:
        rngs = nnx.Rngs(SEED)
        self.norm1 = nnx.LayerNorm(32, epsilon=1e-5, rngs=rngs)
        self.query = nnx.Linear(32, 32, rngs=rngs)
        self.key = nnx.Linear(32, 32, rngs=rngs)
        self.value = nnx.Linear(32, 32, rngs=rngs)
        self.out = nnx.Linear(32, 32, rngs=rngs)
        self.norm2 = nnx.LayerNorm(32, epsilon=1e-5, rngs=rngs)
        self.up = nnx.Linear(32, 64, rngs=rngs)
        self.down = nnx.Linear(64, 32, rngs=rngs)

    def attend(self, x: jax.Array) -> jax.Array:
        """Softmax attention over the 8 rows, (n, 8, 32) to (n, 8, 32)."""
        query, key, value = (
            layer(x).reshape(x.shape[0], 8, 4, 8).transpose(0, 2, 1, 3)
            for layer in (self.query, self.key, self.value)
        )
        weights = nnx.softmax(query @ key.transpose(0, 1, 3, 2) * 8**-0.5, axis=-1)
        return self.out((weights @ value).transpose(0, 2, 1, 3).reshape(x.shape[0], 8, 32))

    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, 8, 32) to (n, 8, 32)."""
        x = x + self.attend(self.norm1(x))
        return x + self.down(nnx.gelu(self.up(self.norm2(x)), approximate=False))


class Transformer(nnx.Module):
    """The transformer."""

    shape = (8, 8)

    def __init__(self) -> None:
        rngs = nnx.Rngs(SEED)
        self.embed = nnx.Linear(8, 32, rngs=rngs)
        self.position = nnx.Param(jnp.zeros((8, 32)))
        self.block1 = Block()
        self.block2 = Block()
        self.norm = nnx.LayerNorm(32, epsilon=1e-5, rngs=rngs)
        self.output = nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, 8, 8) to (n, 10)."""
        x = self.block2(self.block1(self.embed(x) + self.position[...]))
        return self.output(jnp.mean(self.norm(x), axis=1))


def fill(net: nnx.Module, arrays: Arrays) -> None:
    """Put PyTorch's arrays into the network: Flax says kernel, or scale where it normalises, for weight."""
    names = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
    for path, variable in nnx.iter_graph(net):
        if isinstance(variable, nnx.Param | nnx.BatchStat):
            *module, name = path
            array = arrays[".".join([*module, names.get(name, name)])]
            variable[...] = jnp.asarray(inputs_first(array) if name == "kernel" else array)


def export(make: Callable[[], nnx.Module], arrays: Arrays, path: Path) -> None:
    """Build, fill and export one network with a dynamic batch."""
    net = make()
    fill(net, arrays)
    model = to_onnx(
        net,
        [("batch", *net.shape)],
        model_name=path.stem,
        opset=OPSET,
        input_names=["x"],
        output_names=["logits"],
    )
    save(model, path)


def main() -> None:
    """Export every JAX file into the folder named by --out."""
    out, weights = folders(__doc__)
    for name, make in {"mlp": MLP, "cnn": CNN, "transformer": Transformer}.items():
        export(make, load_channels_last(weights / f"{name}.npz"), out / f"{name}_jax.onnx")


if __name__ == "__main__":
    main()
