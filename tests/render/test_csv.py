import csv
import io

import pytest

from onnxtop.render import RenderOptions
from onnxtop.render.report.csv import COLUMNS, render
from onnxtop.results.outcome import FailedModel


def rows(*results):
    return list(csv.DictReader(io.StringIO(render(results, RenderOptions()), newline=""), strict=True))


def test_the_golden_file_adds_up(golden, typical):
    table = list(csv.DictReader(io.StringIO(golden("typical.csv"), newline=""), strict=True))
    layers = [row for row in table if not row["error"]]
    assert sum(int(row["parameters"]) for row in layers) == typical.coverage.parameters_analysed
    figures = [float(row["np_normalized"]) for row in layers if row["np_normalized"]]
    assert sum(figures) / len(figures) == typical.network.neural_persistence.mean_normalized


def test_lines_end_as_rfc_4180_wants(typical):
    text = render([typical], RenderOptions())
    assert text.count("\r\n") == text.count("\n") == 1 + len(typical.layers)


def test_long_tables_are_whole(long):
    assert len(rows(long)) == 500


def test_a_failed_model_has_one_row_and_an_empty_one_as_well(report):
    empty, row = rows(report(), FailedModel("bad.onnx", 3, "cut off"))
    assert empty["error"] == "nothing to analyse: the model has no weight tensors"
    assert {name: value for name, value in row.items() if value} == {"model": "bad.onnx", "error": "cut off"}


def test_undefined_figures_are_empty_cells(typical):
    bad = rows(typical)[2]
    assert (bad["np_total"], bad["np_normalized"], bad["variance"]) == ("", "", "")
    assert bad["np_reason"] == "2 of 2,048 weights are not finite"


def test_hostile_names_start_no_formula_and_break_no_row(hostile_report):
    table = rows(hostile_report)
    assert [list(row) for row in table] == [list(COLUMNS)] * 2
    for value in (value for row in table for value in row.values()):
        assert value.isprintable()
        assert not value.startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\N{FULLWIDTH EQUALS SIGN}1"]
)
def test_a_name_that_would_be_a_formula_gets_an_apostrophe(report, layer, name):
    assert rows(report(layer(name)))[0]["layer"].startswith("'")


def test_numbers_stay_numbers(report, layer):
    assert rows(report(layer(normalized=-0.5)))[0]["np_normalized"] == "-0.5"


def test_the_part_of_a_layer_in_the_network(typical):
    first, *_, last = rows(typical)
    assert [first[f"dgp_{name}"] for name in ("bars", "active", "alpha_low", "alpha_high", "beta_low")] == [
        *("30", "0.75", "0.25", "0.5", "0.125")
    ]
    assert (last["dgp_bars"], last["dgp_alpha_low"], last["dgp_beta_high"]) == ("6", "", "1.0")
    assert rows(typical)[1]["dgp_bars"] == ""
