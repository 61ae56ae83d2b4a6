"""The equation of an Einsum: a letter for every axis of its operands, and of its result."""

from collections.abc import Sequence

SPARE = "".join(chr(code) for code in range(0x391, 0x3D1))
"""Letters of axes that an equation does not name."""


def letters_of(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Return the letters of each operand and of the result, an ellipsis written out in Greek letters.

    The ranks of the operands say how many axes an ellipsis stands for. A result that is not written has those
    of the ellipsis first, then what stands once, by the alphabet.

    >>> letters_of("...ij, ...jk", [3, 4]), letters_of("ba", [2])
    ((['Βij', 'ΑΒjk'], 'ΑΒik'), (['ba'], 'ab'))
    """
    before, arrow, result = equation.replace(" ", "").partition("->")
    letters = before.split(",")
    if not arrow:
        once = (letter for letter in sorted(set(before) - set(".,")) if before.count(letter) == 1)
        result = "..." * ("..." in before) + "".join(once)
    if "." in equation:
        spare = [rank - len(term.replace("...", "")) for rank, term in zip(ranks, letters, strict=True)]
        widest = max(rank for rank, term in zip(spare, letters, strict=True) if "." in term)
        letters = [
            term.replace("...", SPARE[widest - rank : widest])
            for rank, term in zip(spare, letters, strict=True)
        ]
        result = result.replace("...", SPARE[:widest])
    return letters, result
