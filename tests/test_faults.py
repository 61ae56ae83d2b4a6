"""Planted faults are found and named; healthy models pass. The page of faults is current."""

from pathlib import Path

import pytest

from tests.faults import (
    PAGE,
    SAMPLES,
    SUBJECTS,
    Fault,
    Subject,
    cases,
    found,
    healthy,
    page,
    quantised,
    report_of,
)

CASES = list(cases())
HEALTHY = [path for path in sorted(SAMPLES.rglob("*.onnx")) if path.name != "mlp_untrained.onnx"]


@pytest.mark.parametrize(("fault", "subject"), CASES, ids=[f"{f.name}-{s.name}" for f, s in CASES])
def test_a_fault_is_found_and_its_layer_named(fault: Fault, subject: Subject) -> None:
    named = [finding for finding in found(fault, subject) if finding.layer == subject.layer]
    assert named, found(fault, subject)


@pytest.mark.parametrize("path", HEALTHY, ids=lambda path: str(path.relative_to(SAMPLES)))
def test_a_healthy_model_passes(path: Path) -> None:
    findings = report_of(path).findings
    assert not [finding for finding in findings if finding.severity == "error"]
    assert sum(finding.severity == "warning" for finding in findings) <= 2


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_a_healthy_quantised_twin_passes(subject: Subject) -> None:
    assert not [finding for finding in healthy(quantised, subject).findings if finding.severity == "error"]


def test_a_network_before_its_training_is_told() -> None:
    (finding,) = (
        each for each in report_of(SAMPLES / "mlp_untrained.onnx").findings if each.severity == "error"
    )
    assert finding.rule == "OT208"
    assert "PyTorch default" in finding.message


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.faults"
