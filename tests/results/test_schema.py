import json
from pathlib import Path

import pytest

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.results.report import SCHEMA_VERSION
from tests.schema import PATH, complaints, schema, text


def test_the_shipped_schema_is_that_of_the_report() -> None:
    assert PATH.read_text(encoding="utf-8") == text(), "run: python -m tests.schema"


def test_every_sample_report_is_valid(samples: Path) -> None:
    shipped = json.loads(PATH.read_text(encoding="utf-8"))
    paths = sorted(samples.glob("*.onnx"))
    assert len(paths) > 10
    for path in paths:
        plain = json.loads(json.dumps(audit(path).to_dict()))
        assert list(complaints(plain, shipped, shipped)) == [], path.name


def test_a_report_without_topology_is_valid(samples: Path) -> None:
    plain = audit(samples / "mlp_jax.onnx", AuditOptions(topology=False)).to_dict()
    assert list(complaints(plain, schema(), schema())) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("schema_version",), "9.9"),
        (("model", "bytes"), "many"),
        (("layers", 0, "shape"), [1, None]),
        (("layers", 0, "extra"), 1),
        (("network", "neural_persistence", "total"), "inf"),
    ],
)
def test_what_is_wrong_is_found(samples: Path, place: tuple[str | int, ...], value: object) -> None:
    plain = json.loads(json.dumps(audit(samples / "mlp_jax.onnx").to_dict()))
    spot = plain
    for step in place[:-1]:
        spot = spot[step]
    spot[place[-1]] = value
    assert list(complaints(plain, schema(), schema()))


def test_the_schema_is_of_this_version() -> None:
    assert schema()["properties"]["schema_version"] == {"const": SCHEMA_VERSION}
