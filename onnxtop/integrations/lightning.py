"""PyTorch Lightning: a callback that stops training by the paper's rule."""

from collections.abc import Callable
from typing import Any, Literal

from onnxtop.errors import MissingLibraryError
from onnxtop.integrations.pace import Pace
from onnxtop.tracing.live import NeuralPersistenceStopping, Weights

try:
    from lightning.pytorch import Callback
except ImportError:
    raise MissingLibraryError.of("PyTorch Lightning", "lightning") from None

from onnxtop.integrations.torch import weights_of


class LightningStopping(Callback):
    """Stops a ``Trainer`` when the rule says so, and logs the figures with ``log_dict``.

    A trainer that goes on from a checkpoint goes on with the rule too. Under data parallelism every process
    holds the same weights and so decides alike; weights that are sharded cannot be measured so.

    Parameters
    ----------
    stopping
        The rule.
    every, unit
        Check after every so many epochs ('epoch') or steps of the optimiser ('step').
    layers
        Whether the figures of layers are logged too.
    weights
        Reads the layers of the module: `onnxtop.integrations.torch.weights_of`, or your own.
    """

    def __init__(
        self,
        stopping: NeuralPersistenceStopping,
        *,
        every: int = 1,
        unit: Literal["epoch", "step"] = "epoch",
        layers: bool = False,
        weights: Callable[[Any], Weights] = weights_of,
    ) -> None:
        self.stopping = stopping
        self.pace = Pace(every, unit)
        self.layers = layers
        self.weights = weights
        self.step = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Count the steps from here."""
        self.step = trainer.global_step

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """Check, if it is time: batches whose gradients are summed make one step, two optimisers two."""
        before, self.step = self.step, trainer.global_step
        if self.pace.due("step", self.step, before):
            self._check(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Check, if it is time."""
        if self.pace.due("epoch", trainer.current_epoch + 1):
            self._check(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rule has seen, for a checkpoint."""
        return {"values": list(self.stopping.values)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.stopping.resume(state_dict["values"])

    def _check(self, trainer: Any, pl_module: Any) -> None:
        trainer.should_stop |= self.stopping.update(self.weights(pl_module))
        pl_module.log_dict(self.stopping.figures(layers=self.layers))
