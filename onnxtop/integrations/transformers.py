"""Hugging Face transformers: a callback of its ``Trainer`` that stops training by the paper's rule."""

from collections.abc import Callable
from typing import Any, Literal

from onnxtop.errors import MissingLibraryError
from onnxtop.integrations.pace import Pace
from onnxtop.tracing.live import NeuralPersistenceStopping, Weights

try:
    from transformers import TrainerCallback
except ImportError:
    raise MissingLibraryError.of("transformers", "transformers") from None

from onnxtop.integrations.torch import weights_of


class TrainerStopping(TrainerCallback):
    """Stops a ``Trainer`` when the rule says so, and puts the figures into its history.

    Parameters
    ----------
    stopping
        The rule.
    every, unit
        Check after every so many epochs ('epoch') or steps of the optimiser ('step').
    layers
        Whether the figures of layers are logged too.
    weights
        Reads the layers of the model: `onnxtop.integrations.torch.weights_of`, or your own.
    log
        Called with the figures of every check: the trainer's own ``log`` sends them wherever it reports to.
        Without it they stand in ``trainer.state.log_history`` alone.
    """

    def __init__(
        self,
        stopping: NeuralPersistenceStopping,
        *,
        every: int = 1,
        unit: Literal["epoch", "step"] = "epoch",
        layers: bool = False,
        weights: Callable[[Any], Weights] = weights_of,
        log: Callable[[dict[str, float]], object] | None = None,
    ) -> None:
        self.stopping = stopping
        self.pace = Pace(every, unit)
        self.layers = layers
        self.weights = weights
        self.log = log

    def on_train_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Begin anew, or go on where the history of a trainer that resumes ends."""
        name = self.stopping.name
        self.stopping.resume(entry[name] for entry in state.log_history if name in entry)

    def on_step_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Check, if it is time."""
        self._check("step", state.global_step, state, control, parts["model"])

    def on_epoch_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Check, if it is time."""
        self._check("epoch", round(state.epoch), state, control, parts["model"])

    def _check(self, unit: str, number: int, state: Any, control: Any, model: Any) -> None:
        if not self.pace.due(unit, number):
            return
        control.should_training_stop |= self.stopping.update(self.weights(model))
        figures = self.stopping.figures(layers=self.layers)
        if self.log is not None:
            self.log(figures)
        else:
            state.log_history.append({**figures, "epoch": state.epoch, "step": state.global_step})
