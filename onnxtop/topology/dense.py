"""Maximum spanning forests of layers given as dense blocks.

A layer is one large matrix, or thousands of tiny ones. Large blocks are done one by one
(`onnxtop.topology.block`), small ones go through one tree together, and single rows and columns are trees as
they are.
"""

from collections.abc import Sequence

import numpy as np

from onnxtop.network import Blocks, Stack
from onnxtop.topology.block import BlockForest, NonFinite, block_forest
from onnxtop.topology.graph import Floats, Forest, Indices, empty_forest
from onnxtop.topology.spanning import GrowingForest, strongest_first, with_bias
from onnxtop.topology.strongest import SMALL, BlockCells, StrongCells

JOINT = 1 << 18
"""Cells of small blocks that share one tree."""


def dense_forest(
    blocks: Blocks, *, bias: Floats | None = None, layer: int = 0, cells: StrongCells | None = None
) -> Forest:
    """Return the maximum spanning forest of a layer given as dense blocks that share no neuron.

    Parameters
    ----------
    blocks
        Matrices (n_in, n_out), float16, float32 or float64, no side empty. C- and F-contiguous ones are read
        in place; others are copied, one at a time.
    bias
        Shape (n_cols,): one more vertex, joined to every column.
    layer
        First entry of the generators.
    cells
        The strongest of the weights, if they are listed; then hardly a weight is read.

    Notes
    -----
    Deterministic. Extra memory is a few MiB and some 200 bytes a vertex.
    """
    shapes = np.array([block.shape for block in blocks], np.intp).reshape(-1, 2)
    offsets = np.cumsum(shapes, axis=0) - shapes
    n_rows, n_cols = shapes.sum(axis=0).tolist()
    alone = len(blocks) == 1
    large = [b for b, block in enumerate(blocks) if min(block.shape) > 1 and (alone or block.size > SMALL)]
    parts = _small_blocks(blocks, shapes, offsets, large) if len(large) < len(blocks) else []
    listed = {} if cells is None else dict(enumerate(cells.blocks))
    parts += [_shift(block_forest(blocks[b], listed.get(b)), offsets[b]) for b in large]
    forest = _layer(parts, n_rows, n_cols, layer)
    return forest if bias is None else with_bias(forest, n_rows, bias, layer)


def forest_of_each(stack: Stack, cells: Sequence[BlockCells], layers: Sequence[int]) -> list[Forest]:
    """Return the forests of layers of one matrix each, as `dense_forest` gives them: one tree makes all.

    Parameters
    ----------
    stack
        The matrices, finite, no side of which is empty.
    cells
        Of each matrix all cells, by falling magnitude.
    layers
        First entries of the generators.

    Examples
    --------
    >>> from onnxtop.topology.strongest import strong_cells
    >>> matrices = [np.array([[1.0, -3.0], [2.0, 0.0]]), np.array([[0.0, 1.0], [2.0, 4.0]])]
    >>> cells = [strong_cells([matrix]).blocks[0] for matrix in matrices]
    >>> [forest.strengths.tolist() for forest in forest_of_each(Stack.of(matrices), cells, [0, 1])]
    [[3.0, 2.0, 1.0], [4.0, 2.0, 1.0]]
    """
    n_each, n_lines, length = stack.lines.shape
    lines, places = np.divmod(np.stack([each.positions for each in cells]).T, length)
    first = (n_lines + length) * np.arange(n_each)
    growing = GrowingForest((n_lines + length) * n_each)
    used = growing.join((lines + first).reshape(-1), (places + n_lines + first).reshape(-1))
    used = used[np.argsort(used % n_each, kind="stable")].reshape(n_each, -1) // n_each
    weights = np.stack([each.weights for each in cells])
    strengths = np.abs(np.take_along_axis(weights, used, axis=1)).astype(np.float64)
    sides = [np.take_along_axis(side.T, used, axis=1) for side in (lines, places)]
    rows, cols = sides[::-1] if stack.turned else sides
    edges = np.stack([rows, stack.shape[0] + cols], axis=2)
    generators = np.stack([np.broadcast_to(np.array(layers)[:, np.newaxis], rows.shape), rows, cols], axis=2)
    return [Forest(n_lines + length, *each) for each in zip(edges, strengths, generators, strict=True)]


def _layer(parts: Sequence[BlockForest | NonFinite], n_rows: int, n_cols: int, layer: int) -> Forest:
    """Put the forests of all blocks together."""
    bad = [part for part in parts if isinstance(part, NonFinite)]
    if bad:
        count, first = sum(part.count for part in bad), min(part.first for part in bad)
        return empty_forest(n_rows + n_cols, count, first)
    good = [part for part in parts if isinstance(part, BlockForest)]
    rows, cols, strengths = (np.concatenate(column) for column in zip(*good, strict=True))
    order = strongest_first(strengths)
    edges = np.column_stack([rows, n_rows + cols])[order]
    generators = np.column_stack([np.full_like(rows, layer), rows, cols])[order]
    return Forest(n_rows + n_cols, edges, strengths[order], generators)


def _shift(part: BlockForest | NonFinite, offset: Indices) -> BlockForest | NonFinite:
    """Move a block to its place in the layer."""
    row, col = offset.tolist()
    if isinstance(part, NonFinite):
        return NonFinite(part.count, (part.first[0] + row, part.first[1] + col))
    return BlockForest(part.rows + row, part.cols + col, part.strengths)


def _check_finite(cells: BlockForest) -> BlockForest | NonFinite:
    """Return the cells, or how many of them are not finite."""
    bad = np.flatnonzero(~np.isfinite(cells.strengths))
    if not bad.size:
        return cells
    return NonFinite(bad.size, min(zip(cells.rows[bad].tolist(), cells.cols[bad].tolist(), strict=True)))


def _small_blocks(
    blocks: Blocks, shapes: Indices, offsets: Indices, large: Sequence[int]
) -> list[BlockForest | NonFinite]:
    """Forests of all blocks but the large ones: of many in one tree, for blocks can be many and tiny."""
    small = np.delete(np.arange(len(blocks)), large)
    is_line = shapes[small].min(axis=1) == 1
    parts = [_check_finite(_every_cell(blocks, shapes, offsets, small[is_line]))] if is_line.any() else []
    full = small[~is_line]
    joint = np.cumsum(shapes[full].prod(axis=1)) // JOINT
    groups = np.split(full, np.flatnonzero(np.diff(joint)) + 1) if full.size else []
    return parts + [_joint_tree(_every_cell(blocks, shapes, offsets, group)) for group in groups]


def _every_cell(blocks: Blocks, shapes: Indices, offsets: Indices, chosen: Indices) -> BlockForest:
    """Every cell of the chosen blocks; of a single row or column that already is the forest."""
    sizes = shapes[chosen].prod(axis=1)
    block = np.repeat(chosen, sizes)
    rank = np.arange(block.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rows, cols = np.divmod(rank, shapes[block, 1])
    strengths = np.concatenate([blocks[b].ravel() for b in chosen.tolist()])
    return BlockForest(
        rows + offsets[block, 0], cols + offsets[block, 1], np.abs(strengths).astype(np.float64)
    )


def _joint_tree(cells: BlockForest) -> BlockForest | NonFinite:
    checked = _check_finite(cells)
    if isinstance(checked, NonFinite):
        return checked
    order = strongest_first(cells.strengths)
    rows, cols = cells.rows[order] - cells.rows.min(), cells.cols[order] - cells.cols.min()
    n_rows = int(rows.max()) + 1
    used = order[GrowingForest(n_rows + int(cols.max()) + 1).join(rows, n_rows + cols)]
    return BlockForest(cells.rows[used], cells.cols[used], cells.strengths[used])
