"""Every real model gives a valid report or a documented error: ``pytest -m corpus --corpus=DIR``."""

import json
from pathlib import Path

import pytest

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.errors import ModelError
from onnxtop.results.report import Report
from tests.models import check_consistent


@pytest.mark.corpus
@pytest.mark.parametrize("conv", ["flattened", "channels"])
def test_a_real_model(corpus_model: Path, conv: str) -> None:
    try:
        report = audit(corpus_model, AuditOptions(conv=conv))
    except ModelError as error:
        assert error.exit_code == 3
        assert "\n" not in str(error)
        return
    check_consistent(report)
    plain = report.to_dict()
    assert Report.from_dict(json.loads(json.dumps(plain, allow_nan=False))).to_dict() == plain
