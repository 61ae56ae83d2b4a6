"""The four networks in PyTorch: the shape that every other framework copies.

All take pixels in [0, 1] and give ten logits. Sizes are small on purpose: one file is 50 to 100 kB.
"""

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """64 pixels, two hidden layers of 100 and 50 neurons, ReLU; with or without dropout in training."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden1 = nn.Linear(64, 100)
        self.hidden2 = nn.Linear(100, 50)
        self.output = nn.Linear(50, 10)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 64) to (n, 10)."""
        x = self.dropout(torch.relu(self.hidden1(x)))
        x = self.dropout(torch.relu(self.hidden2(x)))
        return self.output(x)


class CNN(nn.Module):
    """Two 3x3 convolutions, each Conv, ReLU, BatchNorm; max pooling; one dense layer on 16 maps of 4x4.

    BatchNorm stands after the ReLU: an exporter cannot fold it into the convolution before it, so the
    files keep it, and the stored kernels are the trained ones.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(12)
        self.conv2 = nn.Conv2d(12, 16, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(16)
        self.pool = nn.MaxPool2d(2)
        self.output = nn.Linear(16 * 4 * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, 8, 8) to (n, 10)."""
        x = self.norm1(torch.relu(self.conv1(x)))
        x = self.norm2(torch.relu(self.conv2(x)))
        return self.output(torch.flatten(self.pool(x), 1))


class Block(nn.Module):
    """A transformer block, normalised first: four heads of 8, then an MLP of 64 with exact GELU.

    Query, key and value are layers of their own, not one packed matrix, so that all frameworks hold the
    same matrices.
    """

    def __init__(self, width: int = 32, heads: int = 4, inner: int = 64) -> None:
        super().__init__()
        self.width, self.heads = width, heads
        self.norm1 = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)

    def attend(self, x: Tensor) -> Tensor:
        """Softmax attention over the 8 rows, (n, 8, width) to (n, 8, width)."""
        size = self.width // self.heads
        query, key, value = (
            layer(x).reshape(-1, 8, self.heads, size).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        weights = torch.softmax(query @ key.transpose(2, 3) * size**-0.5, dim=-1)
        return self.out((weights @ value).transpose(1, 2).reshape(-1, 8, self.width))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 8, width) to (n, 8, width)."""
        x = x + self.attend(self.norm1(x))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """The 8 rows of the picture as tokens, learned positions, two blocks, the mean over the tokens."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.position = nn.Parameter(0.1 * torch.randn(8, width))
        self.block1 = Block(width)
        self.block2 = Block(width)
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 8, 8) to (n, 10)."""
        x = self.embed(x) + self.position
        x = self.norm(self.block2(self.block1(x)))
        return self.output(x.mean(dim=1))


class LSTM(nn.Module):
    """The 8 rows of the picture as a sequence; the last hidden state of 48 goes to the dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 48, batch_first=True)
        self.output = nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 8, 8) to (n, 10)."""
        hidden, _ = self.lstm(x)
        return self.output(hidden[:, -1])


INPUT_SHAPE = {MLP: (64,), CNN: (1, 8, 8), Transformer: (8, 8), LSTM: (8, 8)}
