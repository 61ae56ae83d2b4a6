"""Train every network once in PyTorch and leave its weights in npz files for the exporters.

One file per network, keyed like PyTorch's state_dict: mlp.npz, cnn.npz and so on. The run of the MLP
leaves its weights before training and after each of its twelve epochs too.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from interchange import folders, load
from networks import CNN, INPUT_SHAPE, LSTM, MLP, Transformer
from torch import nn

EPOCHS_OF_MLP = 12


def batches(count: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Shuffled indices, `size` at a time; the rest of an epoch is a smaller batch."""
    return iter(torch.randperm(count, generator=generator).split(size))


def epochs(
    net: nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    *,
    count: int,
    rate: float,
    size: int,
    decay: float = 0.0,
) -> Iterator[int]:
    """Train with Adam under a learning rate that falls like a cosine; yield after each epoch."""
    generator = torch.Generator().manual_seed(1)
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=decay)
    steps = count * -(-len(x) // size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for epoch in range(1, count + 1):
        net.train()
        for rows in batches(len(x), size, generator):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), labels[rows]).backward()
            optimiser.step()
            schedule.step()
        yield epoch


def save(net: nn.Module, path: Path) -> None:
    """Write the state_dict as an npz of float arrays."""
    np.savez(path, **{name: tensor.numpy() for name, tensor in net.state_dict().items()})


def accuracy(net: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of right answers, in evaluation mode."""
    net.eval()
    with torch.no_grad():
        return (net(x).argmax(1) == labels).float().mean().item()


def seeded(kind: type[nn.Module], **options: float) -> nn.Module:
    """Make a fresh network, always with the same weights."""
    torch.manual_seed(0)
    return kind(**options)


def main() -> None:
    """Train all and save all into the folder named by --weights."""
    out, weights = folders(__doc__)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    digits = {name: torch.from_numpy(array) for name, array in load(out / "digits.npz").items()}
    runs = {
        "mlp": (seeded(MLP), {"count": EPOCHS_OF_MLP, "rate": 8e-3, "size": 16}),
        "mlp_dropout": (seeded(MLP, dropout=0.5), {"count": 40, "rate": 5e-3, "size": 16}),
        "cnn": (seeded(CNN), {"count": 8, "rate": 5e-3, "size": 16}),
        "transformer": (seeded(Transformer), {"count": 40, "rate": 3e-3, "size": 16, "decay": 0.01}),
        "lstm": (seeded(LSTM), {"count": 30, "rate": 5e-3, "size": 16}),
    }
    for name, (net, options) in runs.items():
        shape = (-1, *INPUT_SHAPE[type(net)])
        if name == "mlp":
            save(net, weights / "mlp_untrained.npz")
        for epoch in epochs(net, digits["x"].reshape(shape), digits["labels"], **options):
            if name == "mlp":
                save(net, weights / f"mlp_epoch_{epoch:02}.npz")
        save(net, weights / f"{name}.npz")
        right = accuracy(net, digits["x_test"].reshape(shape), digits["labels_test"])
        print(f"{name}: test accuracy {right:.3f}")


if __name__ == "__main__":
    main()
