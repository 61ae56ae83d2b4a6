"""A file is parsed once a call, whatever is asked of it."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnxtop
from onnxtop.cli import app
from onnxtop.loss.options import ProbeOptions
from onnxtop.loss.summary import probe
from onnxtop.reader import loading as reader
from onnxtop.reader.model_file import ModelFile
from tests.loss.conftest import SAMPLES

DIGITS = SAMPLES / "digits.npz"
MINIMA = sorted(map(str, (SAMPLES / "minima").glob("*.onnx")))[:2]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often each file is parsed: all go through the one place where a model is linked."""
    counts: Counter[str] = Counter()
    plain = reader.TensorFiles

    class Counted(plain):
        def __init__(self, file: ModelFile, *rest: Any) -> None:
            counts[file.short] += 1
            super().__init__(file, *rest)

    monkeypatch.setattr(reader, "TensorFiles", Counted)
    return counts


def test_probe_of_all_splits(parsed: Counter[str]) -> None:
    probe(SAMPLES / "mlp_jax.onnx", DIGITS, ProbeOptions(profile=False, sharpness=False))
    assert parsed == {"mlp_jax.onnx": 1}


def test_probe_on_the_command_line(parsed: Counter[str], capsys: pytest.CaptureFixture[str]) -> None:
    names = ["mlp_jax.onnx", "mlp_sklearn.onnx"]
    argv = ["probe", *(str(SAMPLES / name) for name in names), "--data", str(DIGITS), "--quick", "-f", "json"]
    app.main(argv, standalone_mode=False)
    assert parsed == dict.fromkeys(names, 1)


def few() -> dict[str, np.ndarray]:
    with np.load(DIGITS) as data:
        return {name: data[name][:50] for name in data}


def test_loss_barcode(parsed: Counter[str]) -> None:
    onnxtop.loss_barcode(MINIMA, few(), finder="line", minima=1, epochs=1, polish=0, jobs=2)
    assert parsed == {Path(name).name: 1 for name in MINIMA}


def test_loss_barcode_that_writes_passes(
    parsed: Counter[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "few.npz", **few())
    argv = ["loss-barcode", *MINIMA, "--data", str(tmp_path / "few.npz"), "--finder", "line", "--polish", "0"]
    app.main([*argv, "--write-path", str(tmp_path / "made"), "-f", "json"], standalone_mode=False)
    assert parsed == {Path(name).name: 1 for name in MINIMA}
    assert len(list((tmp_path / "made").iterdir())) == 2


def test_report_on_data(parsed: Counter[str], tmp_path: Path) -> None:
    np.savez(tmp_path / "few.npz", **few())
    options = onnxtop.AuditOptions(data=tmp_path / "few.npz", minima=1, topology=False)
    report = onnxtop.audit(MINIMA[0], options)
    assert report.loss_landscape is not None
    assert parsed == {Path(MINIMA[0]).name: 1}
