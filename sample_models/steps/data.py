"""Write digits.npz: scikit-learn's digits, scaled to [0, 1] and split once and for all.

The same pixels give the same bytes: the order of the members, their dates and the split are fixed.
"""

import numpy as np
from interchange import folders
from sklearn.datasets import load_digits

SPLIT_SEED = 0
TEST_SIZE = 500


def split() -> dict[str, np.ndarray]:
    """Give x (n, 64) float32 in [0, 1], labels (n,) int64, and the same of a test set of 500."""
    digits = load_digits()
    order = np.random.RandomState(SPLIT_SEED).permutation(len(digits.target))
    x = (digits.data[order] / 16).astype(np.float32)
    labels = digits.target[order].astype(np.int64)
    return {
        "x": x[TEST_SIZE:],
        "labels": labels[TEST_SIZE:],
        "x_test": x[:TEST_SIZE],
        "labels_test": labels[:TEST_SIZE],
    }


def main() -> None:
    """Write the file into the folder named by --out."""
    out, _ = folders(__doc__)
    np.savez_compressed(out / "digits.npz", **split())


if __name__ == "__main__":
    main()
