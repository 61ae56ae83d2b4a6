"""What a model takes, gives and computes: what a baseline keeps of the whole beside its layers."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Port:
    """An input or output as the model declares it.

    ``type`` is ONNX's name of the elements' type, or the whole type of what is no tensor. An open size is its
    name, "" without one; ``shape`` is None where nothing is declared.
    """

    name: str
    type: str
    shape: tuple[int | str, ...] | None


@dataclass(frozen=True)
class Function:
    """What a model computes, in digests that neither names nor the order of nodes change.

    ``structure`` is the digest of the graph without the elements of constants that training moves, ``terms``
    of all of it as it stands, ``normal`` in the normal form of the comparison; the last two, and one of the
    weights, only in what may become a baseline, as every weight is hashed for them. Where two
    models differ, the parts say in what: ``operations`` counts those that outputs depend on, ``attributes``
    is a digest of these with their attributes, ``constants`` has one of the constants of each role. Digests
    of another ``version`` cannot be compared; ``unreadable`` names constants without content, which have
    none.
    """

    version: int
    terms: str | None
    normal: str | None
    structure: str
    operations: Mapping[str, int]
    attributes: str
    constants: Mapping[str, str]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    unreadable: tuple[str, ...] = ()
