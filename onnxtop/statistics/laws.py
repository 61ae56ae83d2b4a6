"""How the common initialisers draw the entries of a layer, given how many inputs and outputs it has.

K. He et al., *Delving deep into rectifiers*, ICCV 2015 (Kaiming). X. Glorot, Y. Bengio, *Understanding the
difficulty of training deep feedforward neural networks*, AISTATS 2010 (Xavier). Y. LeCun et al., *Efficient
BackProp*, 1998.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

TRUNCATED = 0.8796256610342398
"""Standard deviation of a standard normal variable cut off at 2."""
FITTED = ("uniform", "normal", "truncated normal")
"""Names of the distributions whose scale is taken from the weights themselves."""
_PYTORCH = "PyTorch default"

Shares = Callable[[Floats, float | Floats], Floats]
"""The share of draws up to each value, for a bound or a deviation."""


def uniform(x: Floats, bound: float | Floats) -> Floats:
    """Return the share of uniform draws up to each value."""
    shares: Floats = np.clip(0.5 + x / (2 * bound), 0.0, 1.0)
    return shares


def _normal(x: Floats, deviation: float | Floats) -> Floats:
    shares: Floats = _normal_shares()(x / deviation)
    return shares


def _truncated(x: Floats, deviation: float | Floats) -> Floats:
    """Cut off at 2 of its own deviations and widened, so that ``deviation`` is what remains."""
    low, high = _outside()
    shares: Floats = (_normal(np.clip(x * TRUNCATED / deviation, -2.0, 2.0), 1.0) - low) / (high - low)
    return shares


@functools.cache
def _normal_shares() -> Callable[[Floats], Floats]:
    from scipy.special import ndtr  # loads much, for layers that look as if drawn

    shares: Callable[[Floats], Floats] = ndtr
    return shares


@functools.cache
def _outside() -> tuple[float, float]:
    """Return the shares of normal draws up to -2 and up to 2 deviations."""
    low, high = _normal(np.array([-2.0, 2.0]), 1.0).tolist()
    return low, high


class Laws(NamedTuple):
    """All distributions that could have drawn a layer, those of `FITTED` last.

    Attributes
    ----------
    names
        What each is called.
    scales, reaches
        Its bound or deviation, and the largest entry that it ever draws; of those that are fitted, of which
        that is not asked, not a number. Of shape (n,), or (k, n) for k layers.
    families
        What some have in common but the scale, the share of draws up to a value, and which they are.
    """

    names: Sequence[str]
    scales: Floats
    reaches: Floats
    families: Sequence[tuple[Shares, NDArray[np.bool_]]]

    @property
    def are_fitted(self) -> NDArray[np.bool_]:
        """Tell of which the scale is taken from the weights."""
        return np.arange(len(self.names)) >= len(self.names) - len(FITTED)

    def over(self, units: Floats) -> "Laws":
        """Return those of layers in units of their own, shape (k, 1)."""
        with np.errstate(over="ignore", under="ignore"):
            return self._replace(scales=self.scales / units, reaches=self.reaches / units)

    def fitted(self, values: Floats, counts: NDArray[np.intp]) -> "Laws":
        """Return those of layers with so many entries of each value, ascending; shapes (k, m)."""
        deviations = np.sqrt((np.square(values) * counts).sum(axis=1) / counts.sum(axis=1))
        own = np.stack([np.maximum(-values[:, 0], values[:, -1]), deviations, deviations], axis=1)
        return self._replace(scales=np.concatenate([self.scales[:, : -len(FITTED)], own], axis=1))

    def shares(self, values: Floats) -> Floats:
        """Return the share of draws up to some values of each layer, shape (k, m), as (k, n, m)."""
        found = np.empty((len(values), len(self.names), values.shape[1]))
        for shares_of, members in self.families:
            found[:, members] = shares_of(values[:, np.newaxis], self.scales[:, members, np.newaxis])
        return found

    def of(self, layer: int, chosen: Indices) -> "Laws":
        """Return some of those of one layer."""
        return Laws(
            [self.names[number] for number in chosen.tolist()],
            self.scales[layer : layer + 1, chosen],
            self.reaches[layer : layer + 1, chosen],
            [(shares_of, members[chosen]) for shares_of, members in self.families],
        )


@functools.lru_cache(64)
def laws_of(n_in: int, n_out: int) -> Laws:
    """Return them for so many inputs and outputs; those whose scale follows from neither lack theirs."""
    found: dict[str, tuple[Shares, float]] = {_PYTORCH: (uniform, 1 / math.sqrt(n_in))}
    for name, variance in (
        ("Kaiming {}, fan-in", 2 / n_in),
        ("Kaiming {}, fan-out", 2 / n_out),
        ("Xavier {}", 2 / (n_in + n_out)),
        ("LeCun {}, fan-in", 1 / n_in),
        ("LeCun {}, fan-out", 1 / n_out),
    ):
        deviation = math.sqrt(variance)
        found[name.format("uniform")] = uniform, math.sqrt(3) * deviation
        found[name.format("normal")] = _normal, deviation
        found[name.format("truncated normal")] = _truncated, deviation
    for deviation in (0.01, 0.02, 0.05, 1.0):
        found[f"normal, deviation {deviation:g}"] = _normal, deviation
    found["truncated normal, deviation 0.02"] = _truncated, 0.02 * TRUNCATED
    found["Keras uniform"] = uniform, 0.05
    found |= zip(FITTED, ((law, math.nan) for law in (uniform, _normal, _truncated)), strict=True)
    laws, scales = zip(*found.values(), strict=True)
    return Laws(
        names=tuple(found),
        scales=np.array(scales),
        reaches=np.array([_reach(law, scale) for law, scale in found.values()]),
        families=[(law, np.array([each is law for each in laws])) for law in (uniform, _normal, _truncated)],
    )


def _reach(law: Shares, scale: float) -> float:
    """Return the largest entry that is ever drawn."""
    if law is _truncated:
        return 2 * scale / TRUNCATED
    return scale if law is uniform else math.inf
