"""The papers' claim on digits: do bars get shorter as fully connected networks get wider and deeper?

Six minima a tanh network of cross-entropy with weight decay: the loss has minima then and no kinks, and every
point is polished until it rests. The whole of ``loss-barcode``, from training to bars, with its defaults but
for more polish; three seeds. A quarter of an hour on an idle machine::

    python -m benchmarks.studies.digits
"""

import statistics
import tempfile
from itertools import product
from pathlib import Path

from onnxtop.landscape.story import loss_barcode
from onnxtop.results.landscape import LossLandscape
from tests.models import mlp, save

DIGITS = Path(__file__).parents[2] / "sample_models" / "digits.npz"
WIDTHS, DEPTHS, SEEDS = (8, 16, 32), (1, 2, 3), (0, 1, 2)
N = 6
L2 = 1e-3
POLISH = 20_000


def landscape(width: int, depth: int, seed: int) -> LossLandscape:
    """Return the landscape of N minima: of the weights in a file, and of others trained from new ones."""
    with tempfile.TemporaryDirectory() as folder:
        path = save(mlp(64, *[width] * depth, 10, activation="Tanh"), Path(folder))
        return loss_barcode(str(path), DIGITS, minima=N - 1, seed=N * seed, l2=L2, polish=POLISH)


def claim() -> None:
    """Print mean lengths by depth, width and seed, with the gains that they do not know of."""
    for seed, depth, width in product(SEEDS, DEPTHS, WIDTHS):
        found = landscape(width, depth, seed)
        losses = [minimum.loss for minimum in found.minima]
        gain = max(minimum.gain or 0.0 for minimum in found.minima)
        rested = sum(minimum.verdict == "minimum" for minimum in found.minima)
        print(
            f"seed {seed}, {depth} hidden layers of {width}: mean length {found.score.mean:.5f} to "
            f"{found.score.mean_most:.5f}, {rested} of {len(losses)} at rest, largest gain {gain:.1g}, "
            f"mean loss {statistics.mean(losses):.4f}",
            flush=True,
        )


if __name__ == "__main__":
    claim()
