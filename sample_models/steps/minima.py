"""Train five small networks from five seeds, each down to a minimum of its training loss, and export them.

They are narrow on purpose, so that barriers stand between them. Adam on mini-batches, then a few steps of
L-BFGS on all pictures, after which little is left to gain.
"""

import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from interchange import folders, load
from tidy import save
from torch import nn
from train import epochs

SEEDS = range(1, 6)
WIDTH = 8
LEGACY_OPSET = 17


def network(seed: int) -> nn.Sequential:
    """Make 64 pixels, two hidden layers of eight neurons, tanh."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(64, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 10)
    )


def train(net: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> float:
    """Train and give the loss."""
    for _ in epochs(net, x, labels, count=80, rate=1e-2, size=64):
        pass
    optimiser = torch.optim.LBFGS(net.parameters(), max_iter=20, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(net(x), labels)
        loss.backward()
        return loss

    optimiser.step(closure)
    return closure().item()


def export(net: nn.Module, path: Path) -> None:
    """Export by tracing."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / path.name
        axes = {"x": {0: "batch"}, "logits": {0: "batch"}}
        torch.onnx.export(
            net.eval(), (torch.zeros(2, 64),), raw, dynamo=False, opset_version=LEGACY_OPSET, verbose=False,
            input_names=["x"], output_names=["logits"], dynamic_axes=axes,
        )  # fmt: skip
        save(onnx.load(raw), path)


def main() -> None:
    """Write minima/seed_1.onnx and so on into the folder named by --out."""
    out, _ = folders(__doc__)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    digits = {name: torch.from_numpy(array) for name, array in load(out / "digits.npz").items()}
    (out / "minima").mkdir(exist_ok=True)
    for seed in SEEDS:
        net = network(seed)
        loss = train(net, digits["x"], digits["labels"])
        print(f"minima/seed_{seed}: loss {loss:.6f}")
        export(net, out / "minima" / f"seed_{seed}.onnx")


if __name__ == "__main__":
    main()
