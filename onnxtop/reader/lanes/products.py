"""Products: with a weight they make neurons, of two activations they join them."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from onnxtop.reader.lanes.arrays import Ids, Unclear, aligned, compressed, row_codes
from onnxtop.reader.lanes.step import Result, Step
from onnxtop.reader.lanes.weights import Use

__all__ = ["Einsum", "Gemm", "LinearClassifier", "SVMRegressor", "linear", "plus", "product", "straight"]

_COPIES = 4096
_COPIED_WEIGHTS = 1 << 24


def linear(step: Step, ids: Ids, use: Use, batch: Sequence[int] = ()) -> Ids:
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
        raise Unclear(f"{size} neurons meet a weight with {n_in} rows")
    ids = _few(step, aligned(ids, max(ids.ndim, len(batch) + 2 if batch else 1)), use)
    lead = np.broadcast_shapes(ids.shape[:-1], (*batch, 1) if batch else ())
    rows = np.broadcast_to(ids, (*lead, ids.shape[-1])).reshape(-1, ids.shape[-1])
    matrix = np.arange(math.prod(batch)).reshape(*batch, 1) if batch else np.zeros((), np.intp)
    numbers = np.broadcast_to(matrix, lead).ravel()
    first, kinds = row_codes(np.column_stack([numbers, rows]))
    made = step.new(len(first) * n_out, name=step.table.weights[use.layer].name).reshape(-1, n_out)
    for columns, place in zip(made, first, strict=True):
        step.builder.block(use.layer, int(numbers[place]), np.broadcast_to(rows[place], n_in), columns)
    return made[kinds].reshape(*lead, n_out)


def _few(step: Step, ids: Ids, use: Use) -> Ids:
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


def straight(step: Step, *, bias: int = -1, **_: Any) -> Result:
    """Contract the last axis of the first operand with the one weight that the node has."""
    if not step.uses:
        raise Unclear("its weight is not read" if step.skipped is None else step.skipped)
    return plus(step, compressed(linear(step, step.ids(0), step.uses[0])), *([bias] if bias >= 0 else []))


def Gemm(step: Step, *, transA: int = 0, transB: int = 0, **_: Any) -> Result:
    """Follow ``A' @ B' + C``; the weight is A or B."""
    return plus(step, _factors(step, (0, 1), (bool(transA), bool(transB)), (False, False)), 2)


def product(
    step: Step,
    *,
    positions: tuple[int, int] = (0, 1),
    transA: int = 0,
    transB: int = 0,
    transBatchA: int = 0,
    transBatchB: int = 0,
    **_: Any,
) -> Result:
    """Follow ``A' @ B'``, batched; the weight is A, B or neither."""
    turned, batch = (bool(transA), bool(transB)), (bool(transBatchA), bool(transBatchB))
    return _factors(step, positions, turned, batch)


def _factors(
    step: Step, positions: tuple[int, int], turned: tuple[bool, bool], batch: tuple[bool, bool]
) -> Ids:
    sides = [
        None if step.lanes(place) is None else _turned(step.ids(place), flip, first, right=side == 1)
        for side, (place, flip, first) in enumerate(zip(positions, turned, batch, strict=True))
    ]
    left, right = sides
    if step.uses and left is not None and right is None:
        return _weighted(step, left, len(step.ids(positions[0]).shape) == 1)
    if step.uses and right is not None and left is None:
        flipped = _weighted(step, np.swapaxes(right, -1, -2), vector=False)
        made = np.swapaxes(flipped, -1, -2)
        rank = step.result_rank(made.ndim)
        return made.reshape(made.shape[made.ndim - rank :]) if rank < made.ndim else made
    if step.skipped is not None:
        raise Unclear(step.skipped)
    return _joined(step, left, right, [len(step.shape(place)) == 1 for place in positions])


def _turned(ids: Ids, flip: bool, first: bool, *, right: bool) -> Ids:
    """Return a factor with its matrix in the last two axes; a vector becomes a row, or a column."""
    if ids.ndim == 0:
        raise Unclear("a factor of the product has no axes")
    if ids.ndim == 1:
        return ids[:, np.newaxis] if right else ids[np.newaxis, :]
    if first:
        ids = np.moveaxis(ids, 0, -2)
    return np.swapaxes(ids, -1, -2) if flip else ids


def _weighted(step: Step, ids: Ids, vector: bool) -> Ids:
    use = step.uses[0]
    stack = use.shape[:-2] if len(use.matrices) > 1 else ()
    made = compressed(linear(step, ids, use, stack))
    rank = step.result_rank(made.ndim)
    if len(use.shape) == 1 and made.ndim > rank:
        made = made[..., 0]
    if vector and made.ndim > rank:
        made = made.reshape(made.shape[1:])
    return aligned(made, rank) if made.ndim <= rank else made.reshape(made.shape[made.ndim - rank :])


def _joined(step: Step, left: Ids | None, right: Ids | None, vectors: Sequence[bool]) -> Ids:
    """Join what each entry sums: row i of the left factor, column j of the right one."""
    rank = max(2, *(ids.ndim for ids in (left, right) if ids is not None))
    parts = []
    if left is not None:
        parts.append(aligned(step.reduce(left, [-1]), rank))
    if right is not None:
        parts.append(aligned(step.reduce(right, [-2]), rank))
    made = step.join(parts)
    if vectors[1]:
        made = made[..., 0]
    if vectors[0]:
        made = made[..., 0, :] if not vectors[1] else made[..., 0]
    return aligned(compressed(made), step.result_rank(made.ndim))


def Einsum(step: Step, *, equation: bytes, **_: Any) -> Result:
    """Sum over the letters that the result lacks; a weight among two operands makes neurons."""
    terms, result = _terms(step, equation.decode().replace(" ", ""))
    if step.uses and len(terms) == 2:
        held = step.uses[0].position
        return _einsum_weight(step, terms[1 - held], terms[held], result, 1 - held)
    if step.skipped is not None:
        raise Unclear(step.skipped)
    parts = []
    for place in step.with_lanes():
        letters = terms[place]
        if len(set(letters)) != len(letters):
            raise Unclear("it takes a diagonal")
        ids = step.reduce(step.ids(place), [axis for axis, c in enumerate(letters) if c not in result])
        parts.append(_placed(ids, letters, result))
    return compressed(step.join(parts))


def _terms(step: Step, equation: str) -> tuple[list[str], str]:
    """Return the letters of each operand and of the result, an ellipsis written out in capital letters."""
    before, arrow, result = equation.partition("->")
    terms = before.split(",")
    if "." in equation:
        ranks = [len(step.shape(place)) - len(term.replace("...", "")) for place, term in enumerate(terms)]
        spare = [chr(code) for code in range(0x391, 0x3A0)]
        widest = max(rank for rank, term in zip(ranks, terms, strict=True) if "." in term)
        terms = [
            term.replace("...", "".join(spare[widest - rank : widest]))
            for rank, term in zip(ranks, terms, strict=True)
        ]
        result = result.replace("...", "".join(spare[:widest]))
    if not arrow:
        whole = "".join(terms)
        result = "".join(sorted(letter for letter in set(whole) if whole.count(letter) == 1))
    return terms, result


def _placed(ids: Ids, letters: str, result: str) -> Ids:
    """Return the lanes with their axes where the result has them."""
    kept = [letter for letter in letters if letter in result]
    ids = ids.reshape([size for size, letter in zip(ids.shape, letters, strict=True) if letter in result])
    ids = ids.transpose([kept.index(letter) for letter in result if letter in kept])
    sizes = iter(ids.shape)
    return ids.reshape([next(sizes) if letter in kept else 1 for letter in result])


def _einsum_weight(step: Step, data: str, weight: str, result: str, place: int) -> Ids:
    use = step.uses[0]
    summed = [letter for letter in weight if letter in data and letter not in result]
    made = [letter for letter in weight if letter in result and letter not in data]
    stack = [letter for letter in weight if letter in result and letter in data]
    lost = [axis for axis, letter in enumerate(data) if letter not in result and letter not in summed]
    if not summed and not made:
        return _placed(step.ids(place), data, result)  # a constant factor
    sizes = dict(zip(weight, use.shape, strict=True))
    lead = [letter for letter in data if letter in result and letter not in stack]
    ids = step.reduce(step.ids(place), lost)
    order = [data.index(letter) for letter in (*stack, *lead, *summed)]
    ids = ids.reshape([n for axis, n in enumerate(ids.shape) if axis not in lost]) if lost else ids
    kept = [letter for axis, letter in enumerate(data) if axis not in lost]
    ids = ids.transpose([kept.index(data[axis]) for axis in order])
    front = ids.shape[: len(stack) + len(lead)]
    if ids[(0,) * len(front)].size > 1:
        ids = np.broadcast_to(ids, (*front, *(sizes[letter] for letter in summed)))
    ids = ids.reshape(*front[: len(stack)], math.prod(front[len(stack) :]), -1)
    out = linear(step, ids, use, [sizes[letter] for letter in stack])
    if out is ids:
        raise Unclear("it mixes positions")
    out = out.reshape(*out.shape[: len(stack)], *front[len(stack) :], *(sizes[letter] for letter in made))
    letters = [*stack, *lead, *made]
    return compressed(out.transpose([letters.index(letter) for letter in result]))


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


quantised_product = partial(product, positions=(0, 3))
