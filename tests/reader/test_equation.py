"""Equations of Einsum with a letter for every axis say the same to NumPy as those that they were made of."""

import string

import numpy as np
import pytest

from onnxtop.reader.equation import SPARE, letters_of

EQUATIONS: dict[str, list[tuple[int, ...]]] = {
    "ij,jk->ik": [(2, 3), (3, 4)],
    "kj, ij": [(2, 3), (4, 3)],
    "ba": [(2, 3)],
    "ii": [(3, 3)],
    "...ij,...jk": [(2, 3, 4), (2, 4, 5)],
    "...ij,...jk->...ik": [(5, 2, 3, 4), (2, 4, 5)],
    "z...,z": [(2, 3, 4), (2,)],
    "...b,a": [(3, 2), (4,)],
    "i...j->...": [(2, 3, 4, 5)],
    "...,...->...": [(3, 1), (2, 3, 4)],
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_letters_say_what_the_equation_says(equation: str) -> None:
    rng = np.random.default_rng(7)
    arrays = [rng.standard_normal(shape) for shape in EQUATIONS[equation]]
    operands, result = letters_of(equation, [array.ndim for array in arrays])
    assert list(map(len, operands)) == [array.ndim for array in arrays]
    free = [letter for letter in string.ascii_uppercase if letter not in equation]
    written = f"{','.join(operands)}->{result}".translate(dict(zip(map(ord, SPARE), free, strict=False)))
    sizes = dict.fromkeys(result, 1)
    for letters, array in zip(operands, arrays, strict=True):
        for letter, size in zip(letters, array.shape, strict=True):
            sizes[letter] = max(sizes.get(letter, 1), size)
    expected = np.einsum(equation, *arrays)
    assert expected.shape == tuple(sizes[letter] for letter in result)
    np.testing.assert_allclose(np.einsum(written, *arrays), expected)
