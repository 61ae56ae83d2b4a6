"""How the weights of a tensor are stored: a value that prints itself."""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

Sharing: TypeAlias = Literal["per-tensor", "per-channel", "block", "scaled", "of unknown scale"]
"""Which codes share one scale; ``scaled`` where ordinary arithmetic applies it, ``of unknown scale`` where
the weights are right up to one factor."""


def is_weight_type(name: str) -> bool:
    """Tell whether values of this type are weights themselves, not codes or indices."""
    return name.startswith(("float", "bfloat"))


def is_code_type(name: str) -> bool:
    """Tell whether values of this type are codes that a scale makes weights of."""
    return bool(re.fullmatch(r"u?int(2|4|8|16)|float[48]e.*", name))


@dataclass(frozen=True)
class Encoding:
    """How weights are stored.

    Attributes
    ----------
    dtype
        Type of the stored values: ``float32``, ``int8``, ``uint4``.
    sharing
        For codes: what shares one scale. None for floats.
    block_size
        How many codes share a scale where a block does.
    rounded_by
        The operation that rounds stored floats to the codes of a narrower type.

    Examples
    --------
    >>> print(Encoding("float32"), Encoding("int8", "per-channel"), Encoding("uint4", "block", 32), sep=", ")
    float32, int8 per-channel, uint4 block 32
    >>> print(Encoding("uint8", "scaled"), Encoding("float16", rounded_by="QuantizeLinear"), sep=", ")
    uint8 scaled, float16 rounded by QuantizeLinear
    >>> Encoding("uint4", "block", 32).bits, Encoding("uint8", "scaled").bits
    (4, 0)
    """

    dtype: str
    sharing: Sharing | None = None
    block_size: int | None = None
    rounded_by: str | None = None

    def __str__(self) -> str:
        """Return it as reports write it."""
        if self.rounded_by is not None:
            return f"{self.dtype} rounded by {self.rounded_by}"
        size = str(self.block_size) if self.block_size else ""
        return " ".join(filter(None, (self.dtype, self.sharing, size)))

    @property
    def is_float(self) -> bool:
        """Whether the stored values are weights themselves."""
        return is_weight_type(self.dtype)

    @property
    def is_plain(self) -> bool:
        """Whether the weights are stored floats, as they are."""
        return self.is_float and self.sharing is None and self.rounded_by is None

    @property
    def has_known_scale(self) -> bool:
        """Whether the weights can be compared in size with those of other layers."""
        return self.sharing != "of unknown scale"

    @property
    def bits(self) -> int:
        """Bits of an integer code with a scale of its own; 0 for all else."""
        held = re.fullmatch(r"u?int(\d+)", self.dtype)
        return int(held[1]) if held and self.sharing not in (None, "scaled") else 0
