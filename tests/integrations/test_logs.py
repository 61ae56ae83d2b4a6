"""Logs are read back with the loggers' own readers."""

from pathlib import Path

import numpy as np
import pytest

import onnxtop
from onnxtop.errors import UsageError
from onnxtop.tracing.logs import open_log

CHECKPOINTS = sorted((Path(__file__).parents[2] / "sample_models" / "checkpoints").glob("*.onnx"))
STEPS = {0: {"np/mean": 0.25, "np//block.0/conv[0]": 0.5}, 10: {"np/mean": 0.375, "dgp": 0.125}}


@pytest.mark.integration("tensorboard")
def test_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = open_log(f"tensorboard:{tmp_path / 'runs' / 'first'}")
    log.write(0, STEPS[0], at=1000.5)
    log.write(10, STEPS[10])
    log.close()
    events = EventAccumulator(str(tmp_path / "runs" / "first"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"np/mean", "np//block.0/conv[0]", "dgp"}
    assert [(event.step, event.value) for event in events.Scalars("np/mean")] == [(0, 0.25), (10, 0.375)]
    assert events.Scalars("np//block.0/conv[0]")[0].wall_time == 1000.5
    assert events.Scalars("dgp")[0].wall_time > 1.7e9


@pytest.mark.integration("tensorboard")
def test_tensorboard_of_a_trace(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    audit = onnxtop.AuditOptions(structure=False)
    options = {"audit": audit, "label": "epoch_([0-9]+)", "log": (f"tensorboard:{tmp_path / 'run'}",)}
    trace = onnxtop.trace(CHECKPOINTS[:3], **options)
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    for name in ("np/mean", "dgp", *(f"np/{layer.name}" for layer in trace.measured[0].layers)):
        logged = [(event.step, event.value, event.wall_time) for event in events.Scalars(name)]
        expected = [
            (step, pytest.approx(point.metrics()[name], rel=1e-6), path.stat().st_mtime)
            for step, point, path in zip((1, 2, 3), trace.measured, CHECKPOINTS, strict=False)
        ]
        assert logged == expected


@pytest.mark.integration("tensorboard")
def test_tensorboard_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file: cannot be written: File exists"):
        open_log(f"tensorboard:{tmp_path / 'file'}")


@pytest.mark.integration("mlflow")
@pytest.mark.filterwarnings("default")
def test_mlflow(tmp_path, monkeypatch):
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "digits")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.chdir(tmp_path)
    log = open_log(f"mlflow:{uri}")
    many = {f"np/layer {number}": number / 4096 for number in range(2500)}
    log.write(0, STEPS[0] | many, at=1000.5)
    log.write(10, STEPS[10])
    log.close()
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("digits")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert {name.replace("np/block.0/conv_0_", "np//block.0/conv[0]") for name in run.data.metrics} == {
        *STEPS[0], *STEPS[10], *many
    }  # fmt: skip
    history = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "np/mean")]
    assert history == [(0, 0.25), (10, 0.375)]
    assert client.get_metric_history(run.info.run_id, "np/layer 2499")[0].timestamp == 1000500
    assert np.isclose(run.data.metrics["np/layer 2499"], 2499 / 4096)


@pytest.mark.integration("mlflow")
@pytest.mark.filterwarnings("default")
def test_mlflow_goes_on_with_a_run_that_is_given(tmp_path, monkeypatch):
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.chdir(tmp_path)
    client = MlflowClient(tracking_uri=uri)
    run = client.create_run(client.create_experiment("mine"))
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    log = open_log(f"mlflow:{uri}")
    log.write(3, {"dgp": 0.5})
    log.close()
    again = client.get_run(run.info.run_id)
    assert (again.info.status, again.data.metrics) == ("RUNNING", {"dgp": 0.5})


@pytest.mark.integration("mlflow")
def test_mlflow_of_a_kind_that_there_is_not():
    with pytest.raises(UsageError, match=r"mlflow:nowhere://x: cannot be written: .*nowhere"):
        open_log("mlflow:nowhere://x")
