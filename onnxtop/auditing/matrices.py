"""Questions about one weight matrix, as an audit asks them of every layer of a file."""

from collections.abc import Sequence

from numpy.typing import ArrayLike

from onnxtop.network import Blocks, Stack
from onnxtop.statistics.exchangeability import Evidence, evidence, verdict
from onnxtop.statistics.facts import Exchangeability
from onnxtop.statistics.initialisers import (
    InitialiserMatch,
    closest_initialiser,
    closest_of_each,
    orthonormal_lines,
)
from onnxtop.topology.arguments import as_bias, as_blocks
from onnxtop.topology.neural_persistence import layer_forest, network_persistence
from onnxtop.topology.null_model import NullFigures, NullModels
from onnxtop.topology.persistence import Convention

Layer = ArrayLike | Sequence[ArrayLike]


def null_model(
    matrix: Layer,
    *,
    bias: ArrayLike | None = None,
    scale: float | None = None,
    convention: Convention = "essential",
    p: float = 2.0,
) -> NullFigures:
    """Return how far the neural persistence of a matrix is from that of the same weights in random places.

    Parameters
    ----------
    matrix
        Shape (n_in, n_out), or a list of matrices that share no neuron (the groups of a convolution): entries
        trade places with those of all of them.
    bias
        Shape (n_out of all,): a row that is measured with the weights, and stays where it is.
    scale, convention, p
        As in `layer_persistence`.

    Returns
    -------
    NullFigures
        ``mean`` and ``std`` of the normalized neural persistence in random places; ``excess`` of the matrix
        above the mean, ``z`` that in standard deviations, ``excess_share`` as a share of the matrix's
        own value. Where all arrangements have one value (single rows and columns, weights of one magnitude)
        there is no z; where a weight is not finite, nothing. ``reason`` says so.

    Raises
    ------
    UsageError
        A ValueError: as for `layer_persistence`, or a bias of another length.

    Notes
    -----
    Girrbach et al. 2023 on why a value alone says little; docs/null-model.md on how it is drawn.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.random.default_rng(0).standard_normal((64, 32))
    >>> abs(null_model(weights).z) < 3
    True
    >>> weights[:8] *= 3
    >>> found = null_model(weights, bias=np.zeros(32))
    >>> found.z > 10, 0 < found.excess_share < 1
    (True, True)
    """
    blocks = as_blocks(matrix, "matrix")
    row = None if bias is None else as_bias(bias, sum(block.shape[1] for block in blocks))
    forest = layer_forest(blocks, bias=row)
    whole = network_persistence(
        {"": forest}, scale="layer" if scale is None else scale, convention=convention, p=p
    )
    figures = whole.layers[""]
    models = NullModels()
    strongest = models.read(blocks, row)
    return models.measure(strongest, figures.normalized, scale=figures.scale, convention=convention, p=p)


def exchangeability(matrix: Layer) -> Exchangeability:
    """Return whether the entries of a matrix could be shuffled and nothing would change, as if just drawn.

    Parameters
    ----------
    matrix
        As in `null_model`.

    Returns
    -------
    Exchangeability
        ``exchangeable`` is True if no statistic finds structure, False if ``structured`` names some, None if
        that cannot be told. ``mark`` says what is more even than chance allows, as an initialiser or a mask
        leaves it; ``initialiser`` is the closest one, where there is no structure. Below 1,024 entries, or 8
        rows or columns, a matrix is never called exchangeable.

    Raises
    ------
    UsageError
        A ValueError: as for `null_model`.

    Notes
    -----
    docs/null-model.md.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.random.default_rng(0).uniform(-0.1, 0.1, (100, 64))
    >>> found = exchangeability(weights)
    >>> found.exchangeable, found.initialiser, found.fits
    (True, 'PyTorch default', True)
    >>> exchangeability(np.linalg.qr(weights)[0]).mark
    'its columns are of one length'
    >>> weights[:8] *= 3
    >>> exchangeability(weights).structured
    ('neural persistence', 'concentration')
    """
    blocks = as_blocks(matrix, "matrix")
    measured = evidence(blocks)
    return verdict(measured, null_model(blocks).z, drawn_by(measured, blocks))


def drawn_by(
    measured: Evidence, weights: Blocks, fan_in: int | None = None, fan_out: int | None = None
) -> InitialiserMatch | None:
    """Return the closest initialiser of weights that show no structure; of others only if orthonormal."""
    if measured.variance is None:
        return None
    if verdict(measured, None).exchangeable is False:
        return orthonormal_lines(weights)
    return closest_initialiser(weights, fan_in=fan_in, fan_out=fan_out, largest=measured.largest)


def each_drawn_by(
    measured: Sequence[Evidence], stack: Stack, fan_in: int, fan_out: int
) -> list[InitialiserMatch | None]:
    """Return what `drawn_by` returns, of layers of one small matrix each, all finite."""
    found: list[InitialiserMatch | None] = []
    plain = []
    for k, (each, matrix) in enumerate(zip(measured, stack.matrices, strict=True)):
        is_structured = verdict(each, None).exchangeable is False
        found.append(orthonormal_lines([matrix]) if is_structured else None)
        plain += [] if is_structured else [k]
    if plain:
        largest = [measured[k].largest or 0.0 for k in plain]
        closest = closest_of_each(stack.take(plain), fan_in, fan_out, largest)
        for k, match in zip(plain, closest, strict=True):
            found[k] = match
    return found


def initialiser_match(
    matrix: Layer, *, fan_in: int | None = None, fan_out: int | None = None
) -> InitialiserMatch | None:
    """Return the common initialiser whose distribution comes closest to that of a matrix.

    Parameters
    ----------
    matrix
        As in `null_model`.
    fan_in, fan_out
        Inputs of an output and outputs of an input: rows of a matrix and columns of all by default. The usual
        fan-out of a convolution is its channels out times its taps.

    Returns
    -------
    InitialiserMatch | None
        Its ``name``, the ``distance`` of Kolmogorov and Smirnov, from 0 to 1, and whether it ``fits``: chance
        alone explains the distance and the largest entry. The distance is taken half way between entries, of
        a large matrix at a sample of them, so that rounding them makes none. None if all entries are equal,
        or one is not finite.

    Raises
    ------
    UsageError
        A ValueError: not a matrix of real numbers, or a fan below 1.

    Notes
    -----
    He et al. 2015, Glorot and Bengio 2010, LeCun et al. 1998, Saxe et al. 2014.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.random.default_rng(0).normal(0, np.sqrt(2 / 100), (100, 64))
    >>> found = initialiser_match(weights)
    >>> found.name, found.fits
    ('Kaiming normal, fan-in', True)
    """
    blocks = as_blocks(matrix, "matrix")
    return closest_initialiser(blocks, fan_in=fan_in, fan_out=fan_out)
