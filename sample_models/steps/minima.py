"""Find five minima of the training loss of one small network, and export them.

The loss is plain cross-entropy, and the network is too narrow to tell the digits apart: three numbers a
picture, and no activation behind them that could saturate. So its minima lie at finite weights, where most
classifiers have none and their loss falls for ever. They differ in how the ten classes lie in the space of
these three numbers.

L-BFGS in float64 from random starts, down to a gradient of 1e-7, then float32 as in every file. Each seed draws
starts until one leads to a minimum that is none of those before.
"""

import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from interchange import folders, load
from tidy import save
from torch import nn

SEEDS = range(1, 6)
LEGACY_OPSET = 17
APART = 1e-5
"""Losses that differ by more belong to different minima."""


class Bottleneck(nn.Module):
    """64 pixels, averaged in squares of four to 16, three linear units, ten logits."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(16, 3)
        self.output = nn.Linear(3, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        squares = nn.functional.avg_pool2d(x.reshape(-1, 1, 8, 8), 2)
        return self.output(self.hidden(squares.flatten(1)))


def descend(net: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> float:
    """Go down to the bottom and give the loss there."""
    optimiser = torch.optim.LBFGS(
        net.parameters(), max_iter=3000, history_size=30, tolerance_grad=1e-8, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(net(x), labels)
        loss.backward()
        return loss

    optimiser.step(closure)
    return closure().item()


def another(x: torch.Tensor, labels: torch.Tensor, losses: list[float]) -> tuple[nn.Module, float]:
    """Give a network at a minimum whose loss is none of these."""
    while True:
        net = Bottleneck().double()
        loss = descend(net, x, labels)
        slope = max(float(each.grad.abs().max()) for each in net.parameters() if each.grad is not None)
        if slope < 1e-7 and all(abs(loss - other) > APART for other in losses):
            return net, loss


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
    digits = load(out / "digits.npz")
    x, labels = torch.from_numpy(digits["x"]).double(), torch.from_numpy(digits["labels"])
    (out / "minima").mkdir(exist_ok=True)
    losses: list[float] = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        net, loss = another(x, labels, losses)
        losses.append(loss)
        print(f"minima/seed_{seed}: loss {loss:.6f}")
        export(net.float(), out / "minima" / f"seed_{seed}.onnx")


if __name__ == "__main__":
    main()
