"""The bias of a layer: its own, the vector added next, or none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models import MICROSOFT, model, node, only_layer, save, weights

W, B = weights(6, 4), weights(4, seed=9)
KERNEL = weights(4, 2, 3, 3)


def _bias(tmp_path: Path, nodes: list[Any], held: dict[str, Any], **settings: Any) -> Any:
    return only_layer(save(model(nodes, held, **settings), tmp_path)).bias()


FOUND: dict[str, tuple[list[Any], dict[str, Any], np.ndarray]] = {
    "Gemm": ([node("Gemm", "x w b")], {"w": W, "b": B}, B),
    "Gemm, beta": ([node("Gemm", "x w b", beta=0.5)], {"w": W, "b": B}, B / 2),
    "Gemm, alpha": ([node("Gemm", "x w b", alpha=0.5)], {"w": W, "b": B}, B),
    "Gemm, a row": ([node("Gemm", "x w b")], {"w": W, "b": B[None]}, B),
    "Gemm, one number": ([node("Gemm", "x w b")], {"w": W, "b": B[:1]}, B[:1].repeat(4)),
    "Gemm, a scalar": ([node("Gemm", "x w b")], {"w": W, "b": B[0]}, B[:1].repeat(4)),
    "Gemm, weight left": ([node("Gemm", "w x b")], {"w": W.T.copy(), "b": B[:, None]}, B),
    "Gemm, behind a cast": (
        [node("Cast", "h", "b", to=1), node("Gemm", "x w b")],
        {"w": W, "h": B.astype(np.float16)},
        B,
    ),
    "Conv": ([node("Conv", "x w b")], {"w": KERNEL, "b": B}, B),
    "Add": ([node("MatMul", "x w", "h"), node("Add", "h b")], {"w": W, "b": B}, B),
    "Add, the other way round": ([node("MatMul", "x w", "h"), node("Add", "b h")], {"w": W, "b": B}, B),
    "Add, axes of 1": ([node("MatMul", "x w", "h"), node("Add", "h b")], {"w": W, "b": B[None, None]}, B),
    "Add, weight left": (
        [node("MatMul", "w x", "h"), node("Add", "h b")],
        {"w": W.T.copy(), "b": B[:, None]},
        B,
    ),
    "Add behind Reshape": (
        [node("MatMul", "x w", "h"), node("Reshape", "h s", "r"), node("Add", "r b")],
        {"w": W, "b": B, "s": np.array([-1, 4])},
        B,
    ),
    "Add behind Transpose, after Conv": (
        [node("Conv", "x w", "h"), node("Transpose", "h", "r", perm=[0, 2, 3, 1]), node("Add", "r b")],
        {"w": KERNEL, "b": B},
        B,
    ),
    "Add after Conv": (
        [node("Conv", "x w", "h"), node("Add", "h b")],
        {"w": KERNEL, "b": B.reshape(4, 1, 1)},
        B,
    ),
    "Add of codes, after codes": (
        [
            *(node("MatMul", "x w", "h"), node("QuantizeLinear", "h s", "q")),
            *(node("DequantizeLinear", "q s", "d"), node("DequantizeLinear", "c s", "b")),
            node("Add", "b d"),
        ],
        {"w": W, "c": np.array([3, -4, 0, 7], np.int32), "s": np.float32(0.25)},
        np.array([0.75, -1, 0, 1.75]),
    ),
    "BiasGelu": (
        [node("MatMul", "x w", "h"), node(f"{MICROSOFT}.BiasGelu", "h b")],
        {"w": W, "b": B},
        B,
    ),
    "FastGelu": (
        [node("MatMul", "x w", "h"), node(f"{MICROSOFT}.FastGelu", "h b")],
        {"w": W, "b": B},
        B,
    ),
    "one output": ([node("MatMul", "x w", "h"), node("Add", "h b")], {"w": W[:, :1], "b": B[:1]}, B[:1]),
}  # fmt: skip


@pytest.mark.parametrize("what", FOUND)
def test_the_bias_is_found(tmp_path: Path, what: str) -> None:
    nodes, held, bias = FOUND[what]
    found = _bias(tmp_path, nodes, held)
    assert found is not None
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, bias)


NONE: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "no Add": ([node("MatMul", "x w")], {"w": W}),
    "Gemm without": ([node("Gemm", "x w")], {"w": W}),
    "Gemm with an activation": ([node("Gemm", "x w x")], {"w": W}),
    "Add of two activations": ([node("MatMul", "x w", "h"), node("Add", "h x")], {"w": W}),
    "Add to itself": ([node("MatMul", "x w", "h"), node("Add", "h h")], {"w": W}),
    "behind an activation function": (
        [node("MatMul", "x w", "h"), node("Relu", "h", "r"), node("Add", "r b")],
        {"w": W, "b": B},
    ),
    "result used elsewhere": (
        [node("MatMul", "x w", "h"), node("Add", "h b"), node("Relu", "h", "z")],
        {"w": W, "b": B},
    ),
    "another length": ([node("MatMul", "x w", "h"), node("Add", "h b")], {"w": W, "b": weights(7, 1)}),
    "a matrix": ([node("MatMul", "x w", "h"), node("Add", "h b")], {"w": W, "b": weights(4, 4)}),
    "along another axis": ([node("MatMul", "x w", "h"), node("Add", "h b")], {"w": W, "b": B[:, None]}),
    "along the samples": ([node("Gemm", "w x b")], {"w": W.T.copy(), "b": B}),
    "of a Conv, along another axis": (
        [node("Conv", "x w", "h"), node("Add", "h b")],
        {"w": KERNEL, "b": B},
    ),
    "behind a Transpose whose perm is none": (
        [node("Conv", "x w", "h"), node("Transpose", "h", "r", perm=[0, 2, 3, 0]), node("Add", "r b")],
        {"w": KERNEL, "b": B},
    ),
    "another domain's Add": ([node("MatMul", "x w", "h"), node("acme.Add", "h b")], {"w": W, "b": B}),
}


@pytest.mark.parametrize("what", NONE)
def test_what_is_no_bias_is_not_taken_for_one(tmp_path: Path, what: str) -> None:
    assert _bias(tmp_path, *NONE[what]) is None


def test_a_result_of_the_model_has_no_bias_behind_it(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "h"), node("Add", "h b")]
    assert _bias(tmp_path, nodes, {"w": W, "b": B}, outputs=["y", "h"]) is None
