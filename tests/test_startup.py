"""What a whole process loads: of what is slow to load only what the question needs."""

import subprocess
import sys

import numpy as np
import pytest

from onnxtop.testing import write_mlp

SLOW = {"networkx", "scipy.special", "onnx.reference", "rich", "jinja2", "onnxruntime", "matplotlib"}
"""Libraries, and parts of them, that take long to load."""


@pytest.fixture
def trained(tmp_path):
    """A model with large weights in some rows, so that no layer looks as if it was just drawn."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((40, 40)).astype(np.float32) for _ in range(2)]
    for matrix in weights:
        matrix[:6] *= 4
    path = tmp_path / "trained.onnx"
    write_mlp(path, weights)
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["report", "-f", "json"], set()),
        (["check", "-f", "json"], set()),
        (["graph", "-f", "json"], {"networkx"}),
        (["report"], {"rich"}),
    ],
    ids=lambda value: " ".join(value) or "nothing",
)
def test_a_verb_loads_what_is_slow_only_if_it_uses_it(trained, arguments, needed):
    code = (
        "import sys\n"
        "from onnxtop.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print(*({SLOW!r} & set(sys.modules)), file=sys.stderr)"
    )
    made = subprocess.run(
        [sys.executable, "-c", code, arguments[0], trained, *arguments[1:]],
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout
    assert set(made.stderr.split()) == needed
