"""A small BERT with random weights: the callback checks when asked to, logs, and goes on with a trainer."""

import pytest

import onnxtop

pytestmark = [pytest.mark.integration("transformers"), pytest.mark.filterwarnings("default")]


def trainer_of(stopping, folder, epochs=3, logged=True, **options):
    """Train on 4 batches an epoch."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, Trainer, TrainingArguments, set_seed

    from onnxtop.integrations.transformers import TrainerStopping

    set_seed(0)
    config = BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=8,
    )
    ids = torch.randint(0, 20, (40, 6))
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=10,
        save_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    rows = [{"input_ids": row, "labels": row} for row in ids]
    trainer = Trainer(BertForMaskedLM(config), arguments, train_dataset=rows)
    log = trainer.log if logged else None
    trainer.add_callback(TrainerStopping(stopping, log=log, **options))
    return trainer


@pytest.mark.parametrize("logged", [True, False])
def test_values_are_those_of_the_weights_and_are_logged(logged, tmp_path):
    from onnxtop.integrations.torch import weights_of

    stopping = onnxtop.NeuralPersistenceStopping(patience=9)
    trainer = trainer_of(stopping, tmp_path, logged=logged)
    trainer.train()
    matrices = weights_of(trainer.model)
    assert stopping.values[-1] == onnxtop.neural_persistence(matrices).mean_normalized
    history = [entry for entry in trainer.state.log_history if "np/mean" in entry]
    assert [entry["np/mean"] for entry in history] == stopping.values
    assert [(entry["epoch"], entry["step"]) for entry in history] == [(1, 4), (2, 8), (3, 12)]


def test_the_head_that_is_tied_to_the_table_counts_once(tmp_path):
    from onnxtop.integrations.torch import weights_of

    model = trainer_of(onnxtop.NeuralPersistenceStopping(), tmp_path).model
    shapes = [block.shape for blocks in weights_of(model).values() for block in blocks]
    assert shapes.count((20, 8)) == 1
    assert (8, 20) not in shapes


def test_checks_by_step_and_stops_in_the_middle_of_an_epoch(tmp_path):
    stopping = onnxtop.NeuralPersistenceStopping(patience=2, min_delta=9.0)
    trainer = trainer_of(stopping, tmp_path, every=3, unit="step", layers=True)
    trainer.train()
    assert (stopping.rule.stopped_at, trainer.state.global_step) == (1, 6)
    assert "np/bert.embeddings.word_embeddings" in trainer.state.log_history[0]


def test_goes_on_with_a_trainer_that_resumes(tmp_path):
    first = onnxtop.NeuralPersistenceStopping(patience=5, min_delta=9.0)
    trainer_of(first, tmp_path).train()
    second = onnxtop.NeuralPersistenceStopping(patience=5, min_delta=9.0)
    trainer = trainer_of(second, tmp_path, epochs=9)
    trainer.train(resume_from_checkpoint=True)
    assert second.values[:3] == first.values
    assert (second.rule.stopped_at, trainer.state.global_step) == (4, 20)
