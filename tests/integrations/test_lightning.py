"""The callback checks when asked to, logs what it saw, and goes on where a checkpoint ends."""

import csv

import pytest

import onnxtop

pytestmark = [pytest.mark.integration("lightning"), pytest.mark.filterwarnings("default")]


def trained(stopping, folder, epochs=3, resume=None, accumulate=1, **options):
    """Train on 4 batches an epoch."""
    import lightning
    import torch
    from lightning.pytorch.loggers import CSVLogger

    from onnxtop.integrations.lightning import LightningStopping

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.hidden, self.out = torch.nn.Linear(6, 5), torch.nn.Linear(5, 1)

        def training_step(self, batch, number):
            return self.out(self.hidden(batch[0])).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.01)

    lightning.seed_everything(0)
    data = torch.utils.data.TensorDataset(torch.randn(40, 6))
    module = Module()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=CSVLogger(folder, name="", version="log"),
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        accumulate_grad_batches=accumulate,
        callbacks=[LightningStopping(stopping, **options)],
    )
    trainer.fit(module, torch.utils.data.DataLoader(data, 10), ckpt_path=resume)
    return trainer, module


def test_values_are_those_of_the_weights_and_are_logged(tmp_path):
    stopping = onnxtop.NeuralPersistenceStopping(patience=9)
    _, module = trained(stopping, tmp_path, layers=True)
    matrices = {name: getattr(module, name).weight.detach().numpy().T for name in ("hidden", "out")}
    assert stopping.values[-1] == onnxtop.neural_persistence(matrices).mean_normalized
    with (tmp_path / "log" / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["np/mean"]) for row in rows] == pytest.approx(stopping.values, rel=1e-6)
    assert {"np/hidden", "np/out"} <= set(rows[0])


def test_checks_by_step_of_the_optimiser(tmp_path):
    stopping = onnxtop.NeuralPersistenceStopping(patience=99)
    trainer, _ = trained(stopping, tmp_path, accumulate=2, every=3, unit="step")
    assert (trainer.global_step, stopping.rule.checks) == (6, 2)


def test_stops_in_the_middle_of_an_epoch(tmp_path):
    stopping = onnxtop.NeuralPersistenceStopping(patience=2, min_delta=9.0)
    trainer, _ = trained(stopping, tmp_path, unit="step")
    assert (stopping.rule.stopped_at, trainer.global_step) == (1, 2)


def test_goes_on_from_a_checkpoint(tmp_path):
    first = onnxtop.NeuralPersistenceStopping(patience=5, min_delta=9.0)
    trainer, _ = trained(first, tmp_path / "first")
    path = tmp_path / "last.ckpt"
    trainer.save_checkpoint(path)
    second = onnxtop.NeuralPersistenceStopping(patience=5, min_delta=9.0)
    trainer, _ = trained(second, tmp_path / "second", epochs=9, resume=path)
    assert second.values[:3] == first.values
    assert (second.rule.stopped_at, trainer.current_epoch) == (4, 5)
