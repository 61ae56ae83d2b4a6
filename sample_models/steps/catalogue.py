"""Which files there are, what each is and which of them hold the same weights."""

from dataclasses import dataclass

DYNAMO = "PyTorch {torch}, default exporter (dynamo)"
LEGACY = "PyTorch {torch}, legacy exporter"
TENSORFLOW = "TensorFlow {tensorflow-cpu}, Keras {keras}, tf2onnx {tf2onnx}"
SKLEARN = "scikit-learn {scikit-learn}, skl2onnx {skl2onnx}"
JAX = "JAX {jax}, Flax {flax}, jax2onnx {jax2onnx}"

MLP = "MLP 64-100-50-10"
CNN = "CNN with kept BatchNorm"
TRANSFORMER = "transformer, 2 blocks"
LSTM = "LSTM, 48 units"


@dataclass(frozen=True)
class Sample:
    """A model: its file, its exporter (with fields for the pinned versions), its story, its twin."""

    file: str
    exporter: str
    story: str
    twin: str | None = None


def twins(name: str, story: str, exporters: dict[str, str]) -> list[Sample]:
    """List one trained network once per exporter, held against PyTorch's default export."""
    reference = f"{name}_torch_dynamo.onnx"
    files = {f"{name}_{suffix}.onnx": exporter for suffix, exporter in exporters.items()}
    return [Sample(file, exporter, story, reference) for file, exporter in files.items()]


THREE = {"torch_dynamo": DYNAMO, "torch_legacy": LEGACY, "tensorflow": TENSORFLOW, "jax": JAX}
MLP_REFERENCE = "mlp_torch_dynamo.onnx"
LAST_EPOCH = 12
MINIMA = 5

SAMPLES = [
    *twins("mlp", MLP, {**THREE, "sklearn": SKLEARN}),
    Sample("mlp_torch_external.onnx", DYNAMO, f"{MLP}, weights in a file of their own", MLP_REFERENCE),
    Sample("mlp_torch_fixed_batch.onnx", DYNAMO, f"{MLP}, batch fixed at 16", MLP_REFERENCE),
    Sample("mlp_untrained.onnx", DYNAMO, f"{MLP} before training"),
    Sample("mlp_dropout.onnx", DYNAMO, f"{MLP}, trained with dropout 0.5"),
    *twins("cnn", CNN, THREE),
    *twins("transformer", TRANSFORMER, THREE),
    *twins("lstm", LSTM, {"torch_dynamo": DYNAMO, "torch_legacy": LEGACY}),
    *(
        Sample(
            f"checkpoints/epoch_{epoch:02}.onnx",
            LEGACY,
            f"{MLP} after epoch {epoch}",
            MLP_REFERENCE if epoch == LAST_EPOCH else None,
        )
        for epoch in range(1, LAST_EPOCH + 1)
    ),
    *(
        Sample(f"minima/seed_{seed}.onnx", LEGACY, f"16-3-10, linear, minimum of seed {seed}")
        for seed in range(1, MINIMA + 1)
    ),
]

OTHER_FILES = {
    "digits.npz": "the data: x, labels, x_test, labels_test",
    "mlp_torch_external.onnx.data": "weights of mlp_torch_external.onnx",
}
