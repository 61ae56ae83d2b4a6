"""The published schemas: shipped as made, and what every verb writes is valid."""

import functools
import importlib.resources
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from onnxtop.cli import app
from onnxtop.cli.schema import _SHIPPED
from onnxtop.render import RENDERERS
from onnxtop.results.report import SCHEMA_VERSION
from tests.models import model, node, save
from tests.schema import MAKERS, path, text

Run = Callable[..., str]


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(app, [str(each) for each in arguments]).stdout


@functools.cache
def validator(verb: str) -> Any:
    printed = CliRunner().invoke(app, ["schema", verb])
    assert printed.exit_code == 0
    schema = json.loads(printed.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def complaints(verb: str, value: Any) -> list[str]:
    return [f"{each.json_path}: {each.message[:200]}" for each in validator(verb).iter_errors(value)]


@pytest.mark.parametrize("verb", MAKERS)
def test_the_shipped_schemas_are_current(verb: str) -> None:
    assert path(verb).read_text(encoding="utf-8") == text(verb), "run: python -m tests.schema"


def test_every_verb_that_writes_json_has_a_schema() -> None:
    results = {"landscape": "loss-barcode"}
    assert set(_SHIPPED) == {results.get(name, name) for name in RENDERERS if "json" in RENDERERS[name]}
    shipped = {each.name for each in importlib.resources.files("onnxtop.results").iterdir()}
    assert {f"{verb}.schema.json" for verb in _SHIPPED.values()} == {
        name for name in shipped if name.endswith(".schema.json")
    }


@pytest.mark.parametrize("verb", _SHIPPED)
def test_a_schema_names_its_verb_and_version(run: Run, verb: str) -> None:
    schema = json.loads(run("schema", verb))
    assert schema["$id"] == f"urn:onnxtop:schema:{verb}:{SCHEMA_VERSION}"
    assert schema["properties"]["schema_version"] == {"const": SCHEMA_VERSION}
    assert "schema_version" in schema["required"]


def test_without_a_verb_it_is_that_of_the_report(run: Run) -> None:
    assert run("schema") == run("schema", "report")


@pytest.mark.parametrize(
    ("verb", "models"), [("report", "*_dynamo.onnx"), ("check", "*_legacy.onnx"), ("layers", "*_jax.onnx")]
)
def test_reports_of_samples(run: Run, samples: Path, tmp_path: Path, verb: str, models: str) -> None:
    empty = save(model([node("Relu", "x", "y")], {}), tmp_path)
    written = run(verb, samples / models, empty, "nowhere.onnx", "-f", "json")
    assert complaints(verb, json.loads(written)) == []
    lines = run(verb, samples / "mlp_jax.onnx", empty, "nowhere.onnx", "-f", "jsonl").splitlines()
    assert len(lines) == 3
    assert [found for line in lines for found in complaints(verb, json.loads(line))] == []


def test_a_report_with_data(run: Run, samples: Path) -> None:
    mlp, data = samples / "mlp_torch_dynamo.onnx", samples / "digits.npz"
    whole = json.loads(run("report", mlp, "--data", data, "-f", "json"))
    assert whole["reports"][0]["loss_probe"]["loss"] is not None
    assert complaints("report", whole) == []


def test_a_report_with_details(run: Run, samples: Path, tmp_path: Path) -> None:
    """It is valid, and a baseline like any other."""
    mlp, written = samples / "mlp_jax.onnx", tmp_path / "details.json"
    run("report", mlp, "--details", "-o", written)
    whole = json.loads(written.read_text())
    assert whole["reports"][0]["layers"][0]["details"]["bars"]
    assert complaints("report", whole) == []
    judged = json.loads(run("check", mlp, "--baseline", written, "-f", "json"))
    assert judged["verdict"] == "passed"
    assert "details" not in judged["reports"][0]["layers"][0]


@pytest.mark.parametrize("new", ["mlp_torch_dynamo", "mlp_untrained", "mlp_jax", "cnn_jax"])
def test_differences(run: Run, samples: Path, new: str) -> None:
    found = json.loads(run("diff", samples / "mlp_torch_dynamo.onnx", samples / f"{new}.onnx", "-f", "json"))
    assert complaints("diff", found) == []


def test_graphs(run: Run, samples: Path) -> None:
    for name in ("cnn_jax", "lstm_torch_dynamo", "transformer_tensorflow"):
        assert complaints("graph", json.loads(run("graph", samples / f"{name}.onnx", "-f", "json"))) == []


def test_probes_of_one_model_and_of_many(run: Run, samples: Path) -> None:
    one, data = samples / "mlp_torch_dynamo.onnx", samples / "digits.npz"
    for models in ([one], [one, "nowhere.onnx"]):
        found = json.loads(run("probe", *models, "--data", data, "-f", "json"))
        assert len(found["reports"]) == len(models)
        assert complaints("probe", found) == []


def test_loss_barcodes(run: Run, samples: Path) -> None:
    models, data = samples / "minima", samples / "digits.npz"
    found = run("loss-barcode", models, "--data", data, "--gradients", 10, "-f", "json", "-q")
    assert complaints("loss-barcode", json.loads(found)) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("schema_version",), "1.0"),
        (("verdict",), "yes"),
        (("counts", "models"), "1"),
        (("reports", 0, "model", "bytes"), "many"),
        (("reports", 0, "layers", 0, "shape"), [1, None]),
        (("reports", 0, "layers", 0, "extra"), 1),
        (("reports", 0, "network", "neural_persistence", "total"), "inf"),
        (("reports", 0, "verdict"), None),
    ],
)
def test_what_is_wrong_is_found(run: Run, samples: Path, place: tuple[str | int, ...], value: object) -> None:
    plain = json.loads(run("report", samples / "mlp_jax.onnx", "-f", "json"))
    spot = plain
    for step in place[:-1]:
        spot = spot[step]
    spot[place[-1]] = value
    assert complaints("report", plain)
