"""What is asked of many small layers at once is what each gives alone, to the bit."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from onnxtop.network import Stack
from onnxtop.statistics.initialisers import closest_initialiser, closest_of_each
from onnxtop.statistics.numbers import narrower_type, narrower_types
from onnxtop.statistics.orthonormal import from_orthonormal, may_be_orthonormal
from onnxtop.statistics.sums import Sums, add_up, add_up_each, stackable
from tests.stacks import stacks

STACKS = dict(stacks())


def bits(value: Any) -> Any:
    """Everything that is in a value, arrays by their bytes."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, Sums):
        return [bits(getattr(value, field.name)) for field in fields(value)]
    return [bits(each) for each in value] if isinstance(value, tuple | list) else repr(value)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", STACKS)
def test_sums(name: str, half: bool) -> None:
    matrices = STACKS[name]
    assert stackable(matrices[0].shape)
    found = add_up_each(Stack.of(matrices), half=half)
    wanted = [add_up([matrix], half=half) for matrix in matrices]
    assert [each.ends.finite for each in found] == [each.ends.finite for each in wanted]
    for one, two in zip(found, wanted, strict=True):
        if one.ends.finite:
            assert bits(one) == bits(two)


@pytest.mark.parametrize("name", STACKS)
def test_initialisers(name: str) -> None:
    matrices = STACKS[name]
    fans = matrices[0].shape[0], matrices[0].shape[1] + 1
    largest = [float(np.abs(matrix).max()) for matrix in matrices]
    wanted = [
        closest_initialiser([matrix], fan_in=fans[0], fan_out=fans[1], largest=size)
        for matrix, size in zip(matrices, largest, strict=True)
    ]
    assert closest_of_each(Stack.of(matrices), *fans, largest) == wanted


def drawn(kind: str, rng: np.random.Generator) -> np.ndarray:
    if kind == "orthogonal":
        return np.linalg.qr(rng.standard_normal((60, 40)))[0]
    if kind == "uniform":
        return rng.uniform(-1, 1, (60, 40)) / np.sqrt(60)
    return rng.standard_normal((60, 40)) * np.sqrt(2 / 60)


def test_initialisers_of_layers_drawn_in_several_ways() -> None:
    rng = np.random.default_rng(0)
    kinds = [("orthogonal", "uniform", "normal")[number % 3] for number in range(20)]
    matrices = [drawn(kind, rng).astype(np.float32) for kind in kinds]
    found = closest_of_each(Stack.of(matrices), 60, 40, [float(np.abs(each).max()) for each in matrices])
    assert found == [closest_initialiser([matrix]) for matrix in matrices]
    names = {"orthogonal": "orthogonal", "uniform": "PyTorch default", "normal": "Kaiming normal, fan-in"}
    assert [match.name for match in found if match] == [names[kind] for kind in kinds]


def test_a_first_look_leaves_out_no_orthonormal_matrix() -> None:
    rng = np.random.default_rng(0)
    exact = [np.linalg.qr(rng.standard_normal((12, 12)))[0] for _ in range(30)]
    moved = [
        matrix + 10.0 ** -(number % 10) * rng.standard_normal((12, 12)) for number, matrix in enumerate(exact)
    ]
    for matrices in (moved, [matrix[:, :5] for matrix in moved], [matrix[:5] for matrix in moved]):
        may_be = may_be_orthonormal(Stack.of(matrices)).tolist()
        are = [from_orthonormal(matrix) < 1e-5 for matrix in matrices]
        assert 5 < sum(are) < 25
        assert all(may for may, is_one in zip(may_be, are, strict=True) if is_one)


def test_narrower_types() -> None:
    rng = np.random.default_rng(0)
    wide = rng.standard_normal(1000).astype(np.float32)
    brain = (wide.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    half = wide.astype(np.float16).astype(np.float32)
    late = np.where(np.arange(1000) < 500, half, wide)  # which the first entries do not tell
    samples = np.stack([wide, brain, half, late, np.round(wide), np.full_like(wide, np.nan)])
    assert narrower_types(samples) == [None, "bfloat16", "float16", None, None, None]
    assert narrower_types(samples) == [narrower_type(sample) for sample in samples]
