"""Every layer's matrix does what its node does, on every model: the runtime is asked, never the reader.

The sample models always, real ones with ``pytest -m corpus --corpus DIR``.
"""

from pathlib import Path

import numpy as np
import pytest

from onnxtop.auditing.story import audit
from onnxtop.reader.account import Role, account
from onnxtop.reader.constants import Constants
from onnxtop.reader.layer import Layer
from onnxtop.reader.layers import find_layers
from onnxtop.reader.loading import load
from tests.reader.counting import count
from tests.reader.responses import check_model

FOLDER = Path(__file__).parent.parent / "sample_models"
SAMPLES = sorted(FOLDER.glob("*.onnx"))
sample = pytest.mark.parametrize("path", SAMPLES, ids=[path.stem for path in SAMPLES])


@pytest.mark.corpus
def test_every_layer_of_a_real_model(corpus_model: Path) -> None:
    _, wrong = check_model(corpus_model)
    assert wrong == []


@sample
def test_every_layer_of_a_sample_model(path: Path) -> None:
    number, wrong = check_model(path)
    assert number > 0
    assert wrong == []


@pytest.mark.parametrize("name", ["cnn_torch_dynamo", "lstm_torch_legacy", "transformer_torch_dynamo"])
def test_the_check_finds_a_wrong_matrix(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One column moved to the other end of every matrix: every node complains."""
    right = Layer.blocks
    monkeypatch.setattr(Layer, "blocks", lambda layer: [np.roll(block, 1, axis=1) for block in right(layer)])
    number, wrong = check_model(FOLDER / f"{name}.onnx")
    assert len(wrong) >= number / 8  # the eight matrices of an LSTM are one node


# Every element is counted once.


def _check_coverage(path: Path) -> None:
    """Compare the reader's sum with a count of its own; no topology, so large models cost little."""
    model = load(path)
    constants = Constants(model)
    sums = account(model, constants, find_layers(model, constants))
    assert sum(sums.total(role) for role in Role) == count(path)


@pytest.mark.corpus
def test_coverage_of_a_real_model_adds_up(corpus_model: Path) -> None:
    _check_coverage(corpus_model)


@sample
def test_coverage_of_a_sample_model_adds_up(path: Path) -> None:
    _check_coverage(path)


# Twins: what was quantised keeps its topology.


TWINS = (
    ("fknetwork.onnx", "fknetwork_int8.onnx"),
    ("slim_93%_accuracy_72.7390%.onnx", "slim_93%_accuracy_72.7390%_qint8.onnx"),
)


@pytest.mark.corpus
def test_a_quantised_twin_has_its_models_topology(corpus_model: Path) -> None:
    """Neural persistence of eight-bit weights is within a few percent of the floats', layer by layer."""
    for float_name, twin_name in TWINS:
        if corpus_model.name != twin_name:
            continue
        twin, model = audit(corpus_model), audit(corpus_model.with_name(float_name))
        # exporters may write branches in another order: compare layers of one shape by size
        figures = [
            sorted((layer.shape, layer.neural_persistence.normalized) for layer in report.layers)
            for report in (model, twin)
        ]
        assert [shape for shape, _ in figures[0]] == [shape for shape, _ in figures[1]]
        np.testing.assert_allclose(*([value for _, value in several] for several in figures), rtol=0.05)
        means = (report.network.neural_persistence.mean_normalized for report in (model, twin))
        np.testing.assert_allclose(*means, rtol=0.02)
