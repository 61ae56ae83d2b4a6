import dataclasses
import math

import pytest

from onnxtop.loss.summary import LossProbeResult, Split
from onnxtop.render import RenderOptions
from onnxtop.render.report import facts, html, markdown, terminal
from onnxtop.results.outcome import FailedModel
from onnxtop.results.report import (
    Coverage,
    DeepGraphPersistence,
    LayerPersistence,
    LayerReport,
    NotRun,
    RulesRun,
    Settings,
    SkippedWeight,
    SkipsCut,
)
from onnxtop.topology.facts import LayerRole


def coverage(analysed, total, skipped=()):
    return Coverage(total, analysed, analysed / total if total else None, 0, 0, 0, 0, total, {}, skipped)


@pytest.mark.parametrize(
    ("analysed", "total", "share"),
    [
        (1, 1, " (100 %)"),
        (999_999, 1_000_000, " (99.9 %)"),
        (2, 3, " (66.7 %)"),
        (0, 5, " (0 %)"),
        (0, 0, ""),
    ],
)
def test_analysed_never_rounds_up_to_everything(analysed, total, share):
    assert facts.analysed(coverage(analysed, total)).endswith(f"weight{'' if total == 1 else 's'}{share}")


def test_settings_name_everything_a_figure_depends_on(report, layer):
    plain = facts.settings(report(layer()))
    assert plain == [
        "convention essential",
        "scale global (largest weight 1.5 of fc, row 3, column 7)",
        "p 2",
        "bias none",
        "conv flattened",
    ]
    given = Settings(
        "tree",
        3.5,
        "inf",
        "row",
        "unrolled",
        peepholes=True,
        count_fixed=True,
        standardise=False,
        rescale=False,
        skips="cut",
        inputs=("x",),
        outputs=("y", "z"),
        input_shapes={"x": (1, 3)},
        dims={"n": 2},
    )
    assert facts.settings(report(layer(), settings=given)) == [
        "convention tree",
        "scale 3.5",
        "p inf",
        "bias row",
        "conv unrolled",
        "with peepholes",
        "counting what was probably not trained",
        "DGP not standardised",
        "DGP not rescaled",
        "skips cut",
        "from input x",
        "to output y",
        "to output z",
        "input x=1,3",
        "dim n=2",
    ]


def test_a_remark_tells_why_there_is_no_figure_or_why_it_stands_apart(layer):
    beside = LayerPersistence(1.0, 0.5, reason="no null model")
    assert facts.remark(layer(neural_persistence=beside, reason="no variance")) == ""
    assert facts.remark(layer(normalized=None, reason="empty")) == "empty"
    assert facts.remark(layer(normalized=None, copy_of="a")) == "not defined"
    assert facts.remark(layer(neural_persistence=LayerPersistence(None, math.nan))) == "not defined"
    assert facts.remark(layer(copy_of="a")) == "a copy of a, counted there"
    assert facts.remark(layer(probably_fixed="it is diagonal")) == "probably not trained: it is diagonal"


def test_why_a_report_is_empty(report, layer):
    assert facts.nothing(report()) == "nothing to analyse: the model has no weight tensors"
    skipped = (SkippedWeight("a", "LSTM", "why", 5), SkippedWeight("b", "GRU", "why", 7))
    lost = report(coverage=coverage(0, 12, skipped))
    assert facts.nothing(lost) == "nothing to analyse: 2 weight tensors (12 parameters), every one skipped"
    filtered = Settings("essential", "global", 2.0, "none", "flattened", layers="conv")
    chosen = report(coverage=coverage(9, 9), settings=filtered)
    assert facts.nothing(chosen) == "nothing to analyse: no layer name matches 'conv'"
    chosen = report(coverage=coverage(9, 9), settings=dataclasses.replace(filtered, layers=r"enc\.0\b"))
    assert facts.nothing(chosen) == r"nothing to analyse: no layer name matches 'enc\.0\b'"
    assert facts.nothing(report(layer())) == "nothing to analyse: no rule ran"


def test_rules_that_did_not_run_are_counted_by_reason(report, layer):
    def not_run(**reasons):
        return RulesRun(("OT001",), tuple(NotRun(code, reason) for code, reason in reasons.items()))

    one = report(layer(), rules=not_run(OT501="no baseline", OT201="--quick", OT202="--quick"))
    two = report(layer(), rules=not_run(OT501="no baseline", OT203="--quick", OT401="no threshold is set"))
    assert facts.unchecked([one, FailedModel("bad.onnx", 3, "cut off"), two]) == [
        "3 rules not run: --quick",
        "1 rule not run: no baseline",
        "1 rule not run: no threshold is set (on 1 of 2 models)",
    ]
    assert facts.unchecked([]) == []
    settings = dataclasses.replace(one.settings, layers="conv")
    chosen = dataclasses.replace(one, settings=settings, rules=RulesRun(("OT001",)))
    assert facts.unchecked([chosen, chosen]) == ["only layers matching 'conv' were looked at"]


def test_skipped_tensors_are_grouped_and_add_up():
    skipped = [SkippedWeight(f"w{i}", "LSTM" if i % 2 else "GRU", "why", i) for i in range(501)]
    groups = facts.skipped_groups(skipped)
    assert [(group.op_type, group.tensors, group.parameters) for group in groups] == [
        ("GRU", 251, 62_750),
        ("LSTM", 250, 62_500),
    ]


def test_a_short_table_is_shown_whole(report, layer):
    whole = report(*(layer(f"l{i}") for i in range(facts.LONG_TABLE)))
    assert facts.chosen_rows(whole, all_rows=False) == list(whole.layers)
    assert facts.rows_note(whole, whole.layers) == ""


def test_rows_and_gaps_of_a_long_table_add_up(long):
    rows = facts.chosen_rows(long, all_rows=False)
    layers = [row for row in rows if isinstance(row, LayerReport)]
    gaps = [row for row in rows if not isinstance(row, LayerReport)]
    assert len(rows) <= 60
    assert len(layers) + sum(gap.layers for gap in gaps) == 500
    assert sum(row.parameters for row in rows) == long.coverage.parameters_analysed
    assert {"/blocks.250/lowest", "/blocks.260/highest", "/blocks.270/odd"} <= {row.name for row in layers}
    assert layers[:8] == list(long.layers[:8])
    assert layers[-6:] == list(long.layers[-6:])


def test_a_gap_tells_the_range_of_what_it_hides(long):
    gap = next(row for row in facts.chosen_rows(long, all_rows=False) if isinstance(row, facts.Gap))
    assert (gap.layers, gap.low, gap.high) == (242, 0.308, pytest.approx(0.549))


def test_a_gap_without_figures_has_no_range(report, layer):
    rows = facts.chosen_rows(report(*(layer(f"l{i}", None) for i in range(100))), all_rows=False)
    assert [(row.low, row.high) for row in rows if isinstance(row, facts.Gap)] == [(None, None)]


def test_all_rows(long):
    assert facts.chosen_rows(long, all_rows=True) == list(long.layers)


def test_a_filter_is_told(report, layer):
    filtered = Settings("essential", "global", 2.0, "none", "flattened", layers="fc.*")
    shown = report(layer(), settings=filtered)
    assert (
        facts.rows_note(shown, shown.layers)
        == "only layers matching 'fc.*'; network figures are over all layers"
    )


def test_deep_graph_persistence_in_two_lines(report, layer):
    plain = DeepGraphPersistence(1.5, 0.25, SkipsCut(1.5, 0.25), 1, 10, 0.99999, "exact")
    assert facts.deep_graph(report(layer(), deep_graph=plain)) == [
        "0.2500 normalized, 1.5000 total",
        "1 input, 10 outputs; connectivity exact; 99.9 % of bars saturated",
    ]
    residual = DeepGraphPersistence(1.5, 0.25, SkipsCut(0.5, 0.125), 3, 1, None, "conservative (Loop a: b)")
    assert facts.deep_graph(report(layer(), deep_graph=residual)) == [
        "0.2500 normalized, 1.5000 total; skips cut 0.1250",
        "3 inputs, 1 output; connectivity conservative (Loop a: b)",
    ]


def test_deep_graph_persistence_names_its_variant(report, layer):
    cut = DeepGraphPersistence(0.5, 0.125, SkipsCut(0.5, 0.125), 3, 1, 1.0, "exact")
    settings = Settings("essential", "global", 2.0, "none", "flattened", skips="cut")
    first, second = facts.deep_graph(report(layer(), deep_graph=cut, settings=settings))
    assert first == "with skips cut 0.1250 normalized, 0.5000 total"
    assert second.endswith("100 % of bars saturated")
    vanilla = dataclasses.replace(settings, standardise=False, rescale=False)
    first, _ = facts.deep_graph(report(layer(), deep_graph=cut, settings=vanilla))
    assert first == "not standardised, not rescaled, with skips cut 0.1250 normalized, 0.5000 total"


def test_why_there_is_no_deep_graph_persistence(report, layer):
    assert facts.deep_graph(report(layer(), deep_graph=DeepGraphPersistence(reason="why"))) == [
        "not defined: why"
    ]


def test_bars_add_up_over_layers_and_gaps(report, layer):
    role = LayerRole(3, 1.0, None, None)
    layers = [layer(f"l{i}", deep_graph_persistence=role if i % 2 else None) for i in range(100)]
    rows = facts.chosen_rows(report(*layers), all_rows=False)
    shown = [row for row in rows if isinstance(row, LayerReport)]
    gaps = [row.bars for row in rows if isinstance(row, facts.Gap)]
    assert facts.limited_bars(shown) + sum(gaps) == facts.limited_bars(layers) == 150
    assert facts.limited_bars(layers[:1]) is None


def test_layers_that_limit_most_bars_are_shown(report, layer):
    bars = {40: 1, 45: 9, 50: 2, 55: 7, 60: 8}
    layers = [
        layer(f"l{i}", deep_graph_persistence=LayerRole(bars.get(i, 0), 1.0, None, None)) for i in range(100)
    ]
    shown = {row.name for row in facts.chosen_rows(report(*layers), False) if isinstance(row, LayerReport)}
    assert {"l45", "l50", "l55", "l60"} <= shown
    assert "l40" not in shown


def test_what_stands_apart_from_weights_is_counted_in_words():
    some = Coverage(9, 9, 1.0, 2, 3, 6, 4, 24, {"Mul": 4, "Pow": 1, "Clip": 1})
    assert facts.apart(some) == [
        "2 biases",
        "3 normalisation",
        "6 other constants (4 Mul, 1 Pow, 1 Clip)",
        "4 unused",
        "24 constants in all",
    ]
    one = Coverage(9, 9, 1.0, 1, 0, 1, 0, 11, {"Unsqueeze": 1})
    assert facts.apart(one) == ["1 bias", "1 other constant (Unsqueeze)", "11 constants in all"]
    assert facts.apart(Coverage(9, 9, 1.0, 0, 0, 0, 0, 9)) == []


def test_a_figure_that_rounds_to_nothing_has_no_sign():
    near = LayerPersistence(1.0, 0.5, 0.5, 0.1, -0.04, -0.0001, -0.0002)
    assert (facts.z_told(near), facts.excess_told(near)) == ("0.0", "0.0 %")


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.99769, "99.8 %"), (0.9997, "99.9 %"), (1.0, "100 %"), (0.0, "0 %"), (2 / 3, "66.7 %")],
)
def test_an_accuracy_is_rounded_but_never_up_to_all(report, layer, value, told):
    found = LossProbeResult(loss=0.5, loss_name="cross-entropy", samples=9, accuracy=value)
    assert facts.loss(report(layer(), loss_probe=found.to_dict())) == [
        f"loss 0.5000 (cross-entropy, 9 samples); accuracy {told}"
    ]


@pytest.mark.parametrize(
    ("chosen", "other", "first", "second"),
    [("", "test", "main", "test"), ("test", "", "test", "main"), ("a", "b", "a", "b")],
)
def test_each_split_is_told_with_its_scores(report, layer, chosen, other, first, second):
    held_out = Split(other, 5, 0.75, 0.9, 1.0, None)
    found = LossProbeResult(
        loss=0.5, loss_name="cross-entropy", samples=9, split=chosen, accuracy=1.0, splits=(held_out,)
    )
    shown = report(layer(), loss_probe=found.to_dict())
    lines = [
        f"loss 0.5000 (cross-entropy, 9 samples of split {first}); accuracy 100 %",
        f"loss 0.7500 (5 samples of split {second}); accuracy 90 %",
    ]
    assert facts.loss(shown) == lines
    for form in (html, markdown, terminal):
        text = form.render([shown], RenderOptions(width=200))
        assert all(line in text for line in lines)


def test_a_split_of_numbers_is_told_by_its_error(report, layer):
    found = LossProbeResult(loss=4.0, loss_name="mse", samples=9, rmse=2.0)
    found = dataclasses.replace(found, splits=(Split("test", 5, 9.0, None, None, 3.0),))
    assert facts.loss(report(layer(), loss_probe=found.to_dict())) == [
        "loss 4.0000 (mse, 9 samples of split main); rmse 2.0000",
        "loss 9.0000 (5 samples of split test); rmse 3.0000",
    ]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("model.onnx", "model.onnx"),
        ("my models/a.onnx", "'my models/a.onnx'"),
        ("a;rm x.onnx", "'a;rm x.onnx'"),
        ("it's.onnx", "'it'\"'\"'s.onnx'"),
        ("-f.onnx", "MODEL"),
        ("a\x1b[31m.onnx", "MODEL"),
        ("https://host/model.onnx", "MODEL"),
        ("<bytes>", "MODEL"),
    ],
)
def test_what_to_do_next_names_the_model_where_it_can_be_copied(report, layer, path, named):
    one = report(layer(), path=path)
    assert facts.next_steps([one])[-1][0] == f"onnxtop check {named}"
    assert facts.next_steps([one], len(named))[-1][0] == f"onnxtop check {named}"
    assert facts.next_steps([one], len(named) - 1)[-1][0] == "onnxtop check MODEL"
    assert facts.next_steps([report(path=path)])[-1][0] == f"onnxtop graph {named}"
    assert facts.next_steps([one, one])[-1][0] == "onnxtop check MODEL"
    assert facts.next_steps([one, FailedModel(path, 3, "cut off")])[-1][0] == "onnxtop check MODEL"


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("length", [10, 20, 40, 80, 200])
def test_what_to_do_next_fits_the_terminal(report, layer, width, length):
    path = f"{'a' * length}.onnx"
    lines = terminal.render([report(layer(), path=path)], RenderOptions(width=width)).splitlines()
    assert max(map(len, lines)) <= width
    assert any(line.startswith("  onnxtop check") for line in lines)
