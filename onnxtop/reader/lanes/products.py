"""Products: with a weight they make neurons, of two activations they join them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxtop.reader.equation import SPARE, letters_of
from onnxtop.reader.lanes.arrays import Ids, Misfit, Unclear, aligned, compressed, laid_out, row_codes
from onnxtop.reader.lanes.step import Result, Step
from onnxtop.reader.lanes.weights import WeightOfNode

_COPIES = 4096
_COPIED_WEIGHTS = 1 << 24


def linear(step: Step, ids: Ids, use: WeightOfNode, batch: Sequence[int] = ()) -> Ids:
    """Contract the last axis with the layer's matrices: new neurons in its place.

    ``batch`` is the shape of the stack of matrices, whose axes stand before the last two of ``ids``. Lanes
    that differ along other axes make a copy of the neurons each. A last axis that shares its neurons while
    others do not is an axis of positions: the weight mixes positions, and the lanes stay.
    """
    n_in, n_out = use.matrices[0]
    stack = [-3 - place for place, count in enumerate(reversed(batch)) if count > 1]
    step.builder.alike(ids, [axis for axis in range(-ids.ndim, -1) if axis not in stack])
    size = ids.shape[-1]
    if size == 1 and n_in > 1 and ids.size > 1:
        step.note("weights that mix positions, left out: " + step.table.weights[use.layer].name)
        return ids
    if size not in (1, n_in):
        raise Misfit(f"{size} neurons meet a weight with {n_in} rows")
    ids = _few(step, aligned(ids, max(ids.ndim, len(batch) + 2 if batch else 1)), use)
    lead = np.broadcast_shapes(ids.shape[:-1], (*batch, 1) if batch else ())
    rows = laid_out(ids, (*lead, ids.shape[-1])).reshape(-1, ids.shape[-1])
    matrix = np.arange(math.prod(batch)).reshape(*batch, 1) if batch else np.zeros((), np.intp)
    numbers = np.broadcast_to(matrix, lead).ravel()
    first, kinds = row_codes(np.column_stack([numbers, rows]))
    made = step.new(len(first) * n_out, name=step.table.weights[use.layer].name).reshape(-1, n_out)
    for columns, place in zip(made, first, strict=True):
        step.builder.block(use.layer, int(numbers[place]), laid_out(rows[place], (n_in,)), columns)
    return (made if len(kinds) == 1 else made[kinds]).reshape(*lead, n_out)


def _few(step: Step, ids: Ids, use: WeightOfNode) -> Ids:
    """Return the lanes, joined over the axes before the last if they would make too many copies."""
    n_in, n_out = use.matrices[0]
    copies = ids.size // ids.shape[-1]
    if copies <= 1 or (copies <= _COPIES and copies * n_in * n_out <= _COPIED_WEIGHTS):
        return ids
    return step.coarse(
        ids, range(ids.ndim - 1), f"{copies} positions with neurons of their own share its weights"
    )


def plus(step: Step, ids: Ids, *positions: int) -> Ids:
    """Add operands that carry neurons (a bias that is computed)."""
    more = [step.ids(place) for place in positions if step.lanes(place) is not None]
    return step.join([ids, *more], sum_=True) if more else ids


def straight(step: Step, **_: Any) -> Result:
    """Contract the last axis of the first operand with the one weight that the node has."""
    if not step.uses:
        raise Unclear("its weight is not read")
    return compressed(linear(step, step.ids(0), step.uses[0]))


def Gemm(step: Step, *, transA: int = 0, transB: int = 0, **_: Any) -> Result:
    """Follow ``A' @ B' + C``; the weight is A or B."""
    return plus(step, product(step, transA=transA, transB=transB), 2)


def product(step: Step, *, transA: int = 0, transB: int = 0, **_: Any) -> Ids:
    """Follow ``A' @ B'``, batched, as the Einsum that it is; the weight is A, B or neither."""
    ranks = _rank(step, 0), _rank(step, 1)
    if min(ranks) == 0:
        raise Unclear("a factor of the product has no axes")
    batch = SPARE[: max(2, *ranks) - 2]
    left, right = _term(batch, ranks[0], "ij", bool(transA)), _term(batch, ranks[1], "jk", bool(transB))
    return _contracted(step, [left, right], batch + "i" * (ranks[0] > 1) + "k" * (ranks[1] > 1), batch)


def _rank(step: Step, place: int) -> int:
    if any(use.position == place for use in step.uses):
        return len(step.uses[0].shape)
    return step.ids(place).ndim if step.lanes(place) is not None else len(step.shape(place))


def _term(batch: str, rank: int, matrix: str, turned: bool) -> str:
    """Return the letters of a factor."""
    return "j" if rank == 1 else batch[len(batch) - rank + 2 :] + (matrix[::-1] if turned else matrix)


def Einsum(step: Step, *, equation: bytes, **_: Any) -> Result:
    """Sum over the letters that the result lacks; a weight among two operands makes neurons."""
    ranks = [len(step.shape(place)) for place in range(equation.count(b",") + 1)] if b"." in equation else []
    return _contracted(step, *letters_of(equation.decode(), ranks))


def _contracted(step: Step, terms: Sequence[str], result: str, batch: str = "") -> Ids:
    """Sum over the letters that the result lacks; see `weighted`."""
    if step.uses and len(terms) == 2:
        use = step.uses[0]
        weight, data = terms[use.position], terms[1 - use.position]
        sizes = dict(zip(weight, use.shape, strict=True))
        return weighted(step, step.ids(1 - use.position), data, use, sizes, result, batch)
    places = [place for place in range(len(terms)) if step.lanes(place) is not None]
    return joined(step, [(step.ids(place), terms[place]) for place in places], result)


def joined(step: Step, operands: Sequence[tuple[Ids, str]], result: str) -> Ids:
    """Join activations that are multiplied, summed over the letters that the result lacks."""
    parts = []
    for ids, letters in operands:
        if len(set(letters)) != len(letters):
            raise Unclear("it takes a diagonal")
        lost = [axis for axis, letter in enumerate(letters) if letter not in result]
        parts.append(_placed(step.reduce(ids, lost), letters, result))
    return compressed(step.join(parts))


def _placed(ids: Ids, letters: str, result: str) -> Ids:
    """Return the lanes with their axes where the result has them."""
    kept = [letter for letter in letters if letter in result]
    ids = ids.reshape([size for size, letter in zip(ids.shape, letters, strict=True) if letter in result])
    ids = ids.transpose([kept.index(letter) for letter in result if letter in kept])
    sizes = iter(ids.shape)
    return ids.reshape([next(sizes) if letter in kept else 1 for letter in result])


def weighted(
    step: Step, ids: Ids, data: str, use: WeightOfNode, sizes: Mapping[str, int], result: str, batch: str = ""
) -> Ids:
    """Contract lanes with a weight of these letters and sizes; those in ``batch`` number its matrices."""
    weight = "".join(sizes)
    missing = "".join(letter for letter in weight if letter in batch and letter not in data)
    ids, data = ids.reshape((1,) * len(missing) + ids.shape), missing + data
    summed = [letter for letter in weight if letter in data and letter not in result]
    made = [letter for letter in weight if letter in result and letter not in data]
    stack = [letter for letter in weight if letter in result and letter in data]
    if not summed and not made:
        return _placed(ids, data, result)  # a constant factor
    lost = [axis for axis, letter in enumerate(data) if letter not in result and letter not in summed]
    lead = [letter for letter in data if letter in result and letter not in stack]
    ids = _placed(step.reduce(ids, lost), data, "".join((*stack, *lead, *summed)))
    front = ids.shape[: len(stack) + len(lead)]
    if len(summed) > 1 and math.prod(ids.shape[len(front) :]) > 1:
        ids = np.broadcast_to(ids, (*front, *(sizes[letter] for letter in summed)))
    ids = ids.reshape(*front[: len(stack)], math.prod(front[len(stack) :]), -1)
    out = linear(step, ids, use, [sizes[letter] for letter in stack])
    mixed = out is ids  # positions, whose neurons stay
    shape = (*out.shape[: len(stack)], *front[len(stack) :])
    out = out.reshape(*shape, *(1 if mixed else sizes[letter] for letter in made))
    return compressed(_placed(out, "".join((*stack, *lead, *made)), result))


def LinearClassifier(step: Step, **_: Any) -> Result:
    """Labels depend on all scores; the scores are neurons."""
    if not step.uses:
        raise Unclear("its weight is not read")
    scores = linear(step, step.ids(0), step.uses[0])
    label = step.reduce(scores, [-1])
    return [label.reshape(label.shape[:-1]), scores]


def SVMRegressor(step: Step, **_: Any) -> Result:
    """Support vectors make one neuron each, coefficients join them."""
    ids = step.ids(0)
    for use in step.uses:
        ids = linear(step, ids, use)
    if not step.uses:
        raise Unclear("its weight is not read")
    return ids
