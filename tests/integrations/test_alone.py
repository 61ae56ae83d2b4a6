"""Without any framework: what is missing is named, none is loaded unasked, and checks are due in time."""

import doctest
import importlib
import subprocess
import sys

import pytest

from onnxtop.errors import MissingLibraryError, UsageError
from onnxtop.integrations import pace
from onnxtop.integrations.pace import Pace
from onnxtop.tracing.logs import open_log

FRAMEWORKS = {
    "keras": ("keras", "wanted Keras, found it missing; install it: pip install keras"),
    "lightning": ("lightning.pytorch", "wanted PyTorch Lightning, .* pip install lightning"),
    "torch": ("torch", "wanted PyTorch, .* pip install torch"),
    "transformers": ("transformers", "wanted transformers, .* pip install transformers"),
}


@pytest.mark.parametrize(("module", "library", "message"), [(m, *rest) for m, rest in FRAMEWORKS.items()])
def test_a_framework_that_is_missing(module, library, message, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"onnxtop.integrations.{module}", raising=False)
    with pytest.raises(ImportError, match=message) as caught:
        importlib.import_module(f"onnxtop.integrations.{module}")
    assert isinstance(caught.value, MissingLibraryError | UsageError)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("kind", ["tensorboard", "mlflow"])
def test_a_logger_that_is_missing(kind, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == kind]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(MissingLibraryError, match=rf"pip install 'onnxtop\[{kind}\]'"):
        open_log(f"{kind}:{tmp_path / 'log'}")
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    ("every", "steps", "due"),
    [(1, [1, 2, 3], [1, 2, 3]), (3, [1, 2, 3, 5, 6, 8], [3, 6]), (3, [2, 4, 6, 8, 10], [4, 6, 10])],
)
def test_no_check_is_missed_where_steps_are_skipped(every, steps, due):
    rule = Pace(every, "step")
    asked = zip(steps, [0, *steps], strict=False)
    assert [step for step, before in asked if rule.due("step", step, before)] == due
    assert not any(rule.due("epoch", step) for step in steps)


def test_the_example_of_pace():
    """It stands where no doctest is collected, beside modules that cannot be imported."""
    assert doctest.testmod(pace) == (0, 1)


def test_no_framework_is_loaded_unasked():
    script = (
        "import sys, numpy as np, onnxtop, onnxtop.integrations.sklearn; "
        "onnxtop.NeuralPersistenceStopping().update([np.eye(2)]); "
        "print({name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = eval(done.stdout)
    assert "numpy" in loaded
    assert not loaded & {"keras", "lightning", "torch", "transformers", "sklearn", "onnx", "onnxruntime"}
