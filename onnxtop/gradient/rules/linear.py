"""Products: matrices, Einstein sums."""

import string

from onnxtop.errors import ModelError
from onnxtop.gradient.engine import Adjoints, RuleCall
from onnxtop.gradient.graph import Tensor

__all__ = ["Einsum", "Gemm", "MatMul"]


def MatMul(call: RuleCall, a: Tensor, b: Tensor) -> Adjoints:
    """Of A B: dY B^T and A^T dY; a vector counts as a matrix of one row or column."""
    left = a.reshape((1, *a.shape)) if a.rank == 1 else a
    right = b.reshape((*b.shape, 1)) if b.rank == 1 else b
    stack = call.y.shape[: call.y.rank - (a.rank > 1) - (b.rank > 1)]
    dy = call.dy.reshape((*stack, left.shape[-2], right.shape[-1]))
    if right.rank == 2 and left.rank > 2:  # one product over all rows: a stack of them is slower
        flat, dflat = left.reshape((-1, left.shape[-1])), dy.reshape((-1, right.shape[1]))
        da = _gemm(dflat, right, transB=1).reshape(a.shape)
        return da, _gemm(flat, dflat, transA=1).reshape(b.shape)
    if left.rank == 2 and right.rank == 2:
        return _gemm(dy, right, transB=1).reshape(a.shape), _gemm(left, dy, transA=1).reshape(b.shape)
    return _matmul_to(dy, right.mT, a), _matmul_to(left.mT, dy, b)


def _matmul_to(a: Tensor, b: Tensor, like: Tensor) -> Tensor:
    product = a @ b
    matrix = like.shape[-2:] if like.rank > 1 else product.shape[-2:]
    return product.sum_to((*like.shape[:-2], *matrix)).reshape(like.shape)


def _gemm(a: Tensor, b: Tensor, *, transA: int = 0, transB: int = 0, alpha: float = 1.0) -> Tensor:
    """Multiply matrices; a switch is any number but 0, as onnxruntime has it."""
    shape = a.shape[1 if transA else 0], b.shape[0 if transB else 1]
    return a.graph.emit(
        "Gemm", a, b, shape=shape, transA=int(bool(transA)), transB=int(bool(transB)), alpha=alpha
    )


def Gemm(
    call: RuleCall,
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Adjoints:
    """Of alpha A' B' + beta C: products of the adjoint with the other, and sums over what C was repeated."""
    dy = call.dy
    if transA:
        da = _gemm(b, dy, transA=transB, transB=1, alpha=alpha)
    else:
        da = _gemm(dy, b, transB=not transB, alpha=alpha)
    if transB:
        db = _gemm(dy, a, transA=1, transB=transA, alpha=alpha)
    else:
        db = _gemm(a, dy, transA=not transA, alpha=alpha)
    return da, db, None if c is None else dy.sum_to(c.shape) * float(beta)


def Einsum(call: RuleCall, *inputs: Tensor, equation: str) -> Adjoints:
    """Each operand's adjoint is an Einstein sum of the output's adjoint and the other operands."""
    terms, result = _letters(equation, [x.rank for x in inputs], call.y.rank)
    if any(len(set(term)) < len(term) for term in (*terms, result)):
        raise ModelError(f"wanted an Einsum without diagonals, found {equation!r} in {call.node.name!r}")
    sizes = {letter: n for term, x in zip(terms, inputs, strict=True) for letter, n in _sizes(term, x, {})}
    for term, x in zip(terms, inputs, strict=True):
        sizes.update(_sizes(term, x, sizes))
    return [_operand(call, inputs, terms, result, sizes, i) for i in range(len(inputs))]


def _sizes(term: str, x: Tensor, known: dict[str, int]) -> list[tuple[str, int]]:
    return [(a, max(size, known.get(a, 1))) for a, size in zip(term, x.shape, strict=True)]


def _operand(
    call: RuleCall, inputs: tuple[Tensor, ...], terms: list[str], result: str, sizes: dict[str, int], i: int
) -> Tensor:
    others = [j for j in range(len(inputs)) if j != i]
    seen = set(result).union(*(terms[j] for j in others))
    found = "".join(letter for letter in terms[i] if letter in seen)
    equation = f"{','.join([result, *(terms[j] for j in others)])}->{found}"
    shape = [sizes[letter] for letter in found]
    part = call.graph.emit("Einsum", call.dy, *(inputs[j] for j in others), shape=shape, equation=equation)
    alone = part.reshape([sizes[letter] if letter in seen else 1 for letter in terms[i]])
    whole = tuple(sizes[letter] for letter in terms[i])
    return alone.expand(whole).sum_to(inputs[i].shape)


def _letters(equation: str, ranks: list[int], result_rank: int) -> tuple[list[str], str]:
    """Write an equation with a letter for every axis: ellipses and the implied result spelled out."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow:
        counts = {letter: left.count(letter) for letter in sorted(set(left) - set(".,"))}
        right = ("..." if "..." in left else "") + "".join(a for a, count in counts.items() if count == 1)
    free = [letter for letter in string.ascii_letters if letter not in equation]
    widest = max(
        (r - len(t.replace("...", "")) for t, r in zip(terms, ranks, strict=True) if "..." in t), default=0
    )

    def spelled(term: str, rank: int) -> str:
        return term.replace("...", "".join(free[widest - (rank - len(term.replace("...", ""))) : widest]))

    return [spelled(t, r) for t, r in zip(terms, ranks, strict=True)], spelled(right, result_rank)
