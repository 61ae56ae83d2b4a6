"""scikit-learn: the weights of an estimator, and a loop of ``partial_fit`` that the rule ends.

Nothing of scikit-learn is imported: an estimator tells its weights by its attributes.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxtop.errors import UsageError
from onnxtop.integrations.pace import Pace
from onnxtop.tracing.live import NeuralPersistenceStopping

Estimator = TypeVar("Estimator", bound=Any)


def weights_of(estimator: Any) -> dict[str, NDArray[Any]]:
    """Return the matrices (n_in, n_out) of a fitted estimator: ``coefs_`` of an MLP, else ``coef_``.

    Raises
    ------
    UsageError
        It has neither: it is of another kind, or was never fitted.
    """
    if hasattr(estimator, "coefs_"):
        return {f"coefs_{number}": matrix for number, matrix in enumerate(estimator.coefs_)}
    if hasattr(estimator, "coef_"):
        return {"coef": np.atleast_2d(estimator.coef_).T}
    raise UsageError(
        f"wanted an estimator with coefs_ or coef_, found {type(estimator).__name__}: fit it once before"
    )


def fit(
    estimator: Estimator,
    x: Any,
    y: ArrayLike,
    stopping: NeuralPersistenceStopping,
    *,
    epochs: int = 200,
    every: int = 1,
    **arguments: Any,
) -> Estimator:
    """Call ``partial_fit`` epoch after epoch until the rule stops, or so many epochs are done.

    Parameters
    ----------
    estimator
        One that has ``partial_fit``; it is fitted in place.
    x, y
        All samples, given to every call.
    stopping
        Checked after every so many epochs.
    epochs, every
        At most so many epochs, a check after every so many.
    arguments
        For ``partial_fit``: a classifier is told its ``classes``.

    Returns
    -------
    The estimator.

    Raises
    ------
    UsageError
        The estimator has no ``partial_fit`` or no weights, or ``every`` makes no sense.
    """
    pace = Pace(every)
    if not hasattr(estimator, "partial_fit"):
        raise UsageError(f"wanted an estimator with partial_fit, found {type(estimator).__name__}")
    for epoch in range(1, epochs + 1):
        estimator.partial_fit(x, y, **arguments)
        if pace.due("epoch", epoch) and stopping.update(weights_of(estimator)):
            break
    return estimator
