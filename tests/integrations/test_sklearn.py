"""Estimators: a linear model is told from an MLP; what cannot be fitted in steps is refused."""

import numpy as np
import pytest

import onnxtop
from onnxtop.errors import UsageError
from onnxtop.integrations.sklearn import fit, weights_of


class Perceptron:
    """Fitted like those of scikit-learn: ``coef_`` is (classes, features)."""

    def __init__(self, *steps):
        self.steps = list(steps)

    def partial_fit(self, x, y, classes=None):
        self.classes_ = classes
        self.coef_ = self.steps.pop(0)


def plateau(value):
    """Two inputs, one output: weights 1 and ``value``, so that NP falls as the value rises."""
    return np.array([[1.0, value]])


def test_the_loop_ends_when_the_rule_says_so():
    estimator = Perceptron(*map(plateau, (0.9, 0.5, 0.5, 0.5, 0.4)))
    stopping = onnxtop.NeuralPersistenceStopping(patience=2)
    assert fit(estimator, None, None, stopping, classes=[0, 1]) is estimator
    assert len(estimator.steps) == 1
    # (1 + (1 - v)^2) / 2 under the root: essential class, and the weaker of two edges
    assert np.allclose(stopping.values, np.sqrt([(1 + 0.01) / 2, *[(1 + 0.25) / 2] * 3]))
    assert estimator.classes_ == [0, 1]


def test_checks_every_second_epoch_and_no_more_epochs_than_asked_for():
    estimator = Perceptron(*map(plateau, (0.9, 0.8, 0.7, 0.6, 0.5)))
    stopping = onnxtop.NeuralPersistenceStopping()
    fit(estimator, None, None, stopping, epochs=4, every=2)
    assert len(estimator.steps) == 1
    assert np.allclose(stopping.values, np.sqrt([(1 + 0.04) / 2, (1 + 0.16) / 2]))


def test_what_has_no_weights_or_no_steps():
    with pytest.raises(UsageError, match="wanted an estimator with coefs_ or coef_, found Perceptron: fit"):
        weights_of(Perceptron())
    with pytest.raises(UsageError, match="wanted an estimator with partial_fit, found object"):
        fit(object(), None, None, onnxtop.NeuralPersistenceStopping())
    with pytest.raises(UsageError, match="every: wanted a whole number of at least 1, found 0"):
        fit(Perceptron(), None, None, onnxtop.NeuralPersistenceStopping(), every=0)


@pytest.mark.integration("sklearn")
def test_matrices_are_n_in_by_n_out():
    from sklearn.linear_model import SGDClassifier
    from sklearn.neural_network import MLPClassifier

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 5)), np.arange(30) % 3
    network = MLPClassifier((7, 4), random_state=0).partial_fit(x, y, classes=[0, 1, 2])
    assert [matrix.shape for matrix in weights_of(network).values()] == [(5, 7), (7, 4), (4, 3)]
    linear = SGDClassifier(random_state=0)
    stopping = onnxtop.NeuralPersistenceStopping(patience=1000, measure="dgp")
    fit(linear, x, y, stopping, epochs=3, classes=[0, 1, 2])
    assert weights_of(linear)["coef"].shape == (5, 3)
    assert stopping.values[-1] == onnxtop.deep_graph_persistence([linear.coef_.T]).normalized
