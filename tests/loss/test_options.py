"""Options are declared once, in modules that load nothing heavy, and check themselves."""

import subprocess
import sys
from dataclasses import replace

import pytest

from onnxtop.errors import UsageError
from onnxtop.landscape.options import BarcodeOptions
from onnxtop.loss.options import LossOptions, ProbeOptions
from onnxtop.options import asked

HEAVY = ("numpy", "scipy", "onnx", "onnxruntime", "networkx", "ml_dtypes")


@pytest.mark.parametrize("module", ["onnxtop.loss.options", "onnxtop.landscape.options"])
def test_options_are_light(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(done.stdout.split())


def test_refused_where_they_are_made() -> None:
    for wrong in ({"loss": "hinge"}, {"batchnorm": "none"}, {"l2": float("nan")}, {"threads": 0}):
        for options in (LossOptions, ProbeOptions):
            with pytest.raises(UsageError, match="wanted"):
                options(**wrong)  # type: ignore[arg-type]
    for name, wrong in (("surface", -1), ("points", 1), ("directions", -1)):
        with pytest.raises(UsageError, match=f"^{name}: wanted a whole number of at least"):
            ProbeOptions(**{name: wrong})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="wanted a budget like"):
        BarcodeOptions(budget="3 parsecs")


def test_the_loss_of_a_barcode_takes_every_option_of_a_loss() -> None:
    options = asked(BarcodeOptions, None, {"output": "y", "ignore_index": 0, "batch_size": 8})
    assert options.probe == LossOptions(batchnorm="batch", output="y", ignore_index=0, batch_size=8)
    assert (options.limit.gradients, replace(options, jobs=3).workers) == (float("inf"), 3)
    with pytest.raises(UsageError, match="no option 'workers'"):
        asked(BarcodeOptions, None, {"workers": 3})
