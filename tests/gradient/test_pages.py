"""What is written about the probe is what it does."""

import ast
import re
from pathlib import Path
from typing import get_args

from onnxtop.cli.probe import command
from onnxtop.gradient.expansions import EXPANSIONS
from onnxtop.gradient.rules import RULES
from onnxtop.loss.options import LossName
from tests.gradient_page import page

ROOT = Path(__file__).parents[2]
SPECIFIED = [
    "Gemm",
    "MatMul",
    "Conv",
    "ConvTranspose",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Neg",
    "Pow",
    "Sqrt",
    "Exp",
    "Log",
    "Abs",
    "Relu",
    "LeakyRelu",
    "Elu",
    "Selu",
    "Sigmoid",
    "Tanh",
    "Softplus",
    "HardSigmoid",
    "HardSwish",
    "PRelu",
    "Erf",
    "Gelu",
    "Clip",
    "Where",
    "Min",
    "Max",
    "Softmax",
    "LogSoftmax",
    "BatchNormalization",
    "LayerNormalization",
    "InstanceNormalization",
    "GroupNormalization",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "Reshape",
    "Flatten",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Concat",
    "Split",
    "Slice",
    "Pad",
    "Expand",
    "Tile",
    "Gather",
    "GatherElements",
    "Cast",
    "Identity",
    "Dropout",
    "Einsum",
    "DepthToSpace",
    "LSTM",
    "GRU",
    "Attention",
]


def test_page_of_operations_is_current() -> None:
    told = (ROOT / "docs" / "gradient-ops.md").read_text(encoding="utf-8")
    assert told == page(), "run: python -m tests.gradient_page > docs/gradient-ops.md"


def test_specified_operations_have_gradients() -> None:
    assert {("", name) for name in SPECIFIED} <= {*RULES, *EXPANSIONS}


def test_rules_are_named_as_their_operations() -> None:
    for (_, name), rule in {**RULES, **EXPANSIONS}.items():
        assert rule.__name__ == name
        assert rule.__doc__


def test_engine_names_no_operation() -> None:
    source = (ROOT / "onnxtop" / "gradient" / "engine.py").read_text(encoding="utf-8")
    texts = {n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)}
    assert not texts & {name for _, name in {**RULES, **EXPANSIONS}}


def test_page_of_the_verb_names_its_options_and_losses() -> None:
    text = (ROOT / "docs" / "probe.md").read_text(encoding="utf-8")
    options = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    talk = {
        "--files-from",
        "--limit",
        "--max-download",
        "--memory",
        "--no-progress",
        "--quiet",
        "--verbose",
        "--format",
        "--all",
        "--seed",
        "--time-limit",
        "--width",
        "--color",
    }
    assert {option for option in options - talk if option not in text} == set()
    assert set(re.findall(r"--[a-z0-9]+(?:-[a-z0-9]+)*", text)) <= options
    assert all(f"`{name}`" in text for name in get_args(LossName)[1:])
