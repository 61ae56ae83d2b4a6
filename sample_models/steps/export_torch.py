"""Export with PyTorch, by its default exporter (dynamo) and by the older one (legacy, TorchScript)."""

import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from interchange import folders, load
from networks import CNN, INPUT_SHAPE, LSTM, MLP, Transformer
from tidy import save
from torch import nn

FIXED_BATCH = 16
LEGACY_OPSET = 17
DYNAMO_OPSET = 20
COMMON = {"input_names": ["x"], "output_names": ["logits"], "verbose": False}


def trained(kind: type[nn.Module], weights: Path) -> nn.Module:
    """Give the network the weights of an npz; evaluation mode."""
    net = kind()
    net.load_state_dict({name: torch.from_numpy(array) for name, array in load(weights).items()})
    return net.eval()


def dynamo(net: nn.Module, path: Path, *, fixed_batch: int | None = None, external: bool = False) -> None:
    """Export with torch.export; weights go into the same file unless `external`.

    Left to itself this exporter writes external data for any model, however small.
    """
    x = torch.zeros(fixed_batch or 2, *INPUT_SHAPE[type(net)])
    shapes = None if fixed_batch else {"x": {0: torch.export.Dim("batch")}}
    program = torch.onnx.export(
        net, (x,), dynamo=True, opset_version=DYNAMO_OPSET, dynamic_shapes=shapes, **COMMON
    )
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / path.name
        program.save(raw, external_data=external)
        if external:
            data = path.name + ".data"
            path.with_name(data).write_bytes(raw.with_name(data).read_bytes())
        save(onnx.load(raw, load_external_data=False), path)


def legacy(net: nn.Module, path: Path) -> None:
    """Export by tracing."""
    x = torch.zeros(2, *INPUT_SHAPE[type(net)])
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / path.name
        axes = {"x": {0: "batch"}, "logits": {0: "batch"}}
        torch.onnx.export(
            net, (x,), raw, dynamo=False, opset_version=LEGACY_OPSET, dynamic_axes=axes, **COMMON
        )
        save(onnx.load(raw), path)


def main() -> None:
    """Export every PyTorch file into the folder named by --out."""
    out, weights = folders(__doc__)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    torch.set_num_threads(1)
    for name, kind in {"mlp": MLP, "cnn": CNN, "transformer": Transformer, "lstm": LSTM}.items():
        net = trained(kind, weights / f"{name}.npz")
        dynamo(net, out / f"{name}_torch_dynamo.onnx")
        legacy(net, out / f"{name}_torch_legacy.onnx")
    mlp = trained(MLP, weights / "mlp.npz")
    dynamo(mlp, out / "mlp_torch_external.onnx", external=True)
    dynamo(mlp, out / "mlp_torch_fixed_batch.onnx", fixed_batch=FIXED_BATCH)
    for name in ("mlp_untrained", "mlp_dropout"):
        dynamo(trained(MLP, weights / f"{name}.npz"), out / f"{name}.onnx")
    (out / "checkpoints").mkdir(exist_ok=True)
    for path in sorted(weights.glob("mlp_epoch_*.npz")):
        legacy(trained(MLP, path), out / "checkpoints" / f"{path.stem.removeprefix('mlp_')}.onnx")


if __name__ == "__main__":
    main()
