"""Reports made by hand, one figure changed at a time."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from onnxtop.results.report import LayerReport, Report
from onnxtop.statistics.facts import LayerStatistics
from tests.render.conftest import build_layer, build_report

Make = Callable[..., Any]


def make_layer(name: str = "fc", **changes: Any) -> LayerReport:
    """Return a layer of 20 inputs and 10 outputs; keys of its statistics may be given as well."""
    numbers = {field.name for field in dataclasses.fields(LayerStatistics)}
    mine = {key: changes.pop(key) for key in list(changes) if key in numbers - {"n_in", "n_out"}}
    plain = {"minimum": -1.5, "maximum": 1.5, "rms": 0.5, "zeros": 0}
    return build_layer(name, statistics=LayerStatistics(n_in=20, n_out=10, **{**plain, **mine}), **changes)


@pytest.fixture
def layer() -> Make:
    return make_layer


@pytest.fixture
def report() -> Callable[..., Report]:
    return build_report
