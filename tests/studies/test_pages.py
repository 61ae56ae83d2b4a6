"""Pages: from records alone, with conclusions that follow from them; and those that are here are current."""

import math
import re
from pathlib import Path

import pytest

from studies import export, network, obstructions, regularisation, stopping, usefulness, variance
from studies._data import LOADERS, records
from studies._numbers import grouped, mean, student
from studies._pages import DOCS, Page, Picture, table, unwrapped, write
from studies._records import Store
from studies._studies import catalogue
from tests.studies.fakes import animal, course, export as exported, landscape, layers, trained

ROOT = Path(__file__).parents[2]
NP = {"plain": 0.51, "dropout": 0.63, "affine": 0.53, "batchnorm": 0.4}


def full(study):
    """Return what was known of a study at full size from the paper's figures."""
    return [
        course(run, np=lambda check, run=run: NP[run.condition] * check / run.checks)
        for run in study.runs(False)
        if run.data == "mnist"
    ]


def made(run):
    """Return a record of a run of any kind."""
    kinds = {
        "course": course,
        "network": trained,
        "obstructions": landscape,
        "variance": layers,
        "zoo": animal,
    }
    return kinds[run.kind](run)


def row(text, *starts):
    """Return the cells of the first line of a table that begins with these."""
    pattern = r"^\| " + r" \| ".join(map(re.escape, starts)) + r" \| (.*) \|$"
    return re.search(pattern, text, re.M)[1].split(" | ")


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("regularisation", [course(run) for run in regularisation.runs(True)]),
        ("regularisation", [course(run) for run in regularisation.runs(True)[:1]]),
        ("stopping", [course(run) for run in stopping.runs(True)]),
        ("stopping", [course(run) for run in stopping.runs(True)[-1:]]),
        ("variance", [layers(run) for run in variance.runs(True)]),
        ("variance", [layers(run) for run in variance.runs(True)[-1:]]),
        ("variance", [layers(run) for run in variance.runs(True)[:1]]),
        ("network", [made(run) for run in network.runs(True)[::2]]),
        ("network", [made(run) for run in network.runs(True)[:1]]),
        ("export", [exported(run) for run in export.runs(False)]),
        ("export", [exported(run) for run in export.runs(True)[:1]]),
        ("obstructions", [landscape(run) for run in obstructions.runs(False)[::3]]),
        ("obstructions", [landscape(run) for run in obstructions.runs(True)]),
        ("obstructions", [landscape(run) for run in obstructions.runs(True)[-1:]]),
        ("usefulness", [made(run) for run in usefulness.runs(False)[:9]]),
        ("usefulness", [made(run) for run in usefulness.runs(True)[:1]]),
    ],
)
@pytest.mark.usefixtures("few_draws")
def test_a_page_is_made_of_many_records_and_of_few(name, records, tmp_path):
    page = catalogue()[name].page(records, 99)
    write(name, page, tmp_path)
    text = (tmp_path / f"{name}.md").read_text(encoding="utf-8")
    assert f"So far {len(records)} of 99 runs are done." in text
    assert f"python -m studies {name}" in text
    assert "2026-11-27, with python 3.14.0, onnxtop 0.1.0, torch 2.13.0" in text
    assert "nowhere" in text
    assert "nan" not in re.sub(r"\w*nan\w+|\w+nan\w*", "", text)
    drawn = sorted(path.name for path in tmp_path.glob("*.svg"))
    assert sorted(re.findall(r"\]\(([\w-]+\.svg)\)", text)) == drawn
    assert drawn


@pytest.mark.parametrize("name", catalogue())
def test_a_page_without_records_has_the_claim(name):
    page = catalogue()[name].page([], 7)
    assert "## Claim" in page.text
    assert "There are no records yet of 7 runs." in page.text
    assert not page.pictures


def test_published_ranges_are_judged():
    text = regularisation.page(full(regularisation), 99).text
    assert row(text, "plain")[:3] == ["0.510 ± 0.000", "0.50 to 0.52", "within"]
    assert row(text, "authors' batch norm")[:3] == ["0.530 ± 0.000", "0.54 to 0.58", "0.010 below"]
    assert row(text, "batch norm")[1:3] == ["-", "-"]
    assert "Of means the published order (dropout, batch norm, plain) holds." in text
    assert "Within the published ranges: dropout 0.5, plain." in text
    assert row(text, "dropout 0.5 above plain")[0] == "5 of 5"


def test_an_order_that_turns_round_is_said():
    turned = [
        course(run, np=lambda check, run=run: 1 - NP[run.condition]) for run in regularisation.runs(False)
    ]
    text = regularisation.page(turned, 99).text
    assert "Of means the published order (dropout, batch norm, plain) fails." in text
    assert row(text, "dropout 0.5 above plain")[0] == "0 of 5"


def test_conditions_are_told_apart_by_more_than_seeds_are():
    shift = {"dropout": 0.1, "plain": 0.0, "affine": 0.0, "batchnorm": -0.1}

    def found(run):
        by_seed = (0.01 if run.condition == "affine" else 0.002) * (run.seed % 3 - 1)
        return course(run, np=lambda check: 0.5 + shift[run.condition] + by_seed)

    told = regularisation.sure([found(run) for run in regularisation.runs(False) if run.shift])
    assert "dropout 0.5 is above plain (by 0.1" in told
    assert "authors' batch norm is not surely apart from plain (by -0.0" in told
    assert "; batch norm is below plain (by -0.1" in told
    assert regularisation.sure([found(run) for run in regularisation.runs(False)[:8]]) == ""


def test_what_stands_in_for_data_is_said():
    import dataclasses

    runs = [dataclasses.replace(run, data="digits") for run in regularisation.runs(False)[:4]]
    assert "### digits, in the place of: MNIST, moved" in regularisation.page(list(map(course, runs)), 4).text


# Stopping


def test_rules_stop_where_they_should():
    run = stopping.runs(False)[0]
    rises_to = course(
        run,
        np=lambda check: min(check, 20) / 100,
        loss=lambda check: abs(check - 40) / 100,
        accuracy=lambda check: 0.9 + check / 10000,
    )
    found = stopping.stop(run, rises_to.result, patience=4, burn_in=0)
    assert found.both
    assert found.epochs == (24 - 44) / 4
    assert found.accuracy == pytest.approx(-0.2)
    assert found.blind == pytest.approx(-0.4)


def test_a_rule_that_never_fires_is_not_compared():
    run = stopping.runs(False)[0]
    rises = course(run, np=lambda check: (1 + check) / 1000, loss=lambda check: 1 + check)
    assert stopping.stopped_at(rises.result.np, 4, 0) is None
    found = stopping.stop(run, rises.result, patience=4, burn_in=0)
    assert found.fired_loss
    assert not found.both
    assert stopping.counted(stopping.grid([rises])) == []


def test_rules_that_fire_in_few_runs_are_not_counted():
    runs = stopping.runs(False)[:4]
    records = [course(run, loss=lambda check: 1 + check) for run in runs[:2]]
    records += [course(run, np=lambda check: (1 + check) / 1000) for run in runs[2:]]
    assert stopping.counted(stopping.grid(records)) == []
    assert len(stopping.counted(stopping.grid(records[:2]))) == 2 * len(stopping.PATIENCE) * len(
        stopping.BURN_IN
    )


def moments(risen: dict[int, int]) -> dict[str, list[stopping.Stop]]:
    """Return all rules on plain networks whose NP rises until a check for each seed, and accuracy to 40."""
    records = [
        course(
            run,
            np=lambda check, run=run: min(check, risen[run.seed]) / 100,
            loss=lambda check: abs(check - 40) / 100,
            accuracy=lambda check: 0.5 + min(check, 40) / 100,
        )
        for run in stopping.runs(False)
        if run.shift and run.condition == "plain" and run.seed in risen
    ]
    return {"mnist, moved, plain": stopping.grid(records, stopping.usual_checks(records))}


def test_np_is_compared_with_one_number_of_epochs_for_all():
    (stops,) = moments(dict.fromkeys(range(4), 20)).values()
    assert all(each.fixed == each.accuracy for each in stops if each.both)
    (found,) = (
        each
        for each in moments({0: 10, 1: 30})["mnist, moved, plain"]
        if (each.patience, each.burn_in, each.seed) == (4, 0, 0)
    )
    assert found.accuracy == pytest.approx(-26)  # at check 14 of 40, after which the loss stops
    assert found.fixed == pytest.approx(-16)  # at check 24


def test_whether_np_finds_the_moment_is_said_of_seeds():
    assert "(no sure difference); " in stopping.verdict(moments({0: 10, 1: 12, 2: 14, 3: 16}))
    assert "its mean epoch" not in stopping.verdict(moments({0: 10}))
    better = [found(seed, accuracy=0.2 + seed / 100, fixed=0.0) for seed in range(3)]
    worse = [found(seed, accuracy=-0.2 - seed / 100, fixed=0.0) for seed in range(3)]
    assert stopping.sure(better) == stopping.BETTER
    assert stopping.sure(worse) == stopping.WORSE
    assert stopping.sure(better[:1]) == stopping.UNSURE
    assert stopping.sure([found(seed, 0.2, math.nan) for seed in range(3)]) == ""
    told = stopping.moments({"a": better, "b": worse, "c": worse})
    assert told.endswith("is of 3 kinds of networks surely better in 1 and surely worse in 2.")
    assert stopping.moments({"a": [found(0, 0.2, math.nan)]}) == ""


def found(seed, accuracy, fixed):
    """Return a stop of both rules."""
    return stopping.Stop(4, 0, seed, True, True, 1.0, accuracy, fixed, -1.0)


def test_published_barycentres_are_beside_those_of_the_same_kind_of_network():
    line = row(stopping.agreement(moments({0: 20, 1: 21, 2: 22})), "MNIST, MLP, and here mnist, moved, plain")
    assert line[0] == "+0.17"
    assert line[2].endswith(" above") or line[2].endswith(" below")
    assert stopping.agreement({}) == ""


def test_an_order_is_told_only_of_all_conditions():
    two = [course(run) for run in regularisation.runs(False) if run.condition != "plain"]
    assert "the published order" not in regularisation.page(two, 99).text


def test_traces_are_compared_with_the_rule():
    run = stopping.runs(False)[0]
    at = round(20 * run.steps / run.checks)
    right = course(run, np=lambda check: min(check, 16) / 100, stopped=f"step_{at}")
    wrong = course(run, np=lambda check: min(check, 16) / 100)
    assert "in 1 of 2 runs" in stopping.traces([right, wrong])


# Beside variance


def test_what_shuffles_take_is_told():
    records = [layers(run, lost=0.15) for run in variance.runs(False)]
    text = variance.page(records, len(records)).text
    shuffles = text[text.index("## NP before and after shuffling") :]
    assert row(shuffles, "hidden", "10000")[:3] == ["15.0 ± 0.0 %", "0.0 ± 0.0 %", "7.5 ± 0.0 %"]
    assert "hidden layers lose 15.0 ± 0.0 % at the end of training (some, against the paper)" in text
    assert "within rows 0.0 % and within columns 7.5 %: what NP sees is mostly that some inputs have" in text
    assert "So far" not in text


def test_roles_of_layers():
    deep = layers(variance.Layers("mnist", 2, 50, 0, (0,)))
    linear = layers(variance.Layers("mnist", 0, 0, 0, (0,)))
    assert [each.role for each in variance.rows_of([deep, linear])] == ["first", "hidden", "last", "only"]


def test_correlations_are_of_the_layers_of_a_seed():
    rows = variance.rows_of([layers(run) for run in variance.runs(False)])
    assert all(
        variance.log_variance_correlation(own) == pytest.approx(-1)
        for own in grouped(rows, lambda each: each.run.seed).values()
    )


# Deep graph persistence


@pytest.fixture(scope="module")
def networks():
    """Return networks of which some are better for a reason that DGP alone shows."""
    return [
        trained(
            run,
            dgp=lambda progress, seed, run=run: 0.2 + 0.02 * seed + 0.1 * run.depth,
            accuracy=lambda progress, run=run: 0.2 + 0.1 * progress + 0.05 * run.seed,
        )
        for run in network.own_runs(False)
        if run.width > 64
    ]


def test_what_a_measure_adds_is_said(networks):
    text = network.verdict_on_addition(network.models_of(networks))
    assert re.search(r"digits, new architectures: by 0\.\d+ \(.*\), more is predicted, with DGP", text)
    assert re.search(r"by 0\.00 \(.*\), nothing sure, with NP", text)


def test_ranks_are_those_within_an_architecture_and_over_all(networks):
    own = network.models_of(each for each in networks if each.run.rate == 1e-3)
    end = network.last(each for each in own if each.run.data == "digits")
    assert mean(map(network.correlation("DGP", "accuracy"), network.by_architecture(end))) == pytest.approx(1)
    assert network.correlation("DGP", "accuracy")(end) < 0.6
    verdict = network.verdict_on_ranks(end)
    assert "digits: within one architecture DGP ranks models by accuracy well (1.00)" in verdict
    cells = row(network.picks(end), "digits", "DGP")
    assert cells == ["0.0 (0.0 to 0.0)", "9.8 (9.8 to 9.8)"]


def test_what_shuffles_take_of_dgp_is_told(networks):
    models = network.models_of(networks)
    assert row(network.shuffling(models), "digits", "1", "3000") == ["10.4 ± 0.0 %", "100 ± 0 %"]
    assert "(no more than before training), which take 10.4 % at the end" in network.verdict_on_shuffling(
        models
    )
    learned = [trained(each.run, dgp=lambda progress, seed: 0.2 * (progress > 0)) for each in networks]
    assert "(structure that is learned)" in network.verdict_on_shuffling(network.models_of(learned))


def test_dgp_by_depth_and_width_is_before_and_after(networks):
    assert row(network.sizes(network.models_of(networks)), "digits", "1")[0] == "0.32 ± 0.02 → 0.32 ± 0.02"
    assert "up with depth (0.9" in network.verdict_on_size(network.models_of(networks))


@pytest.mark.usefixtures("few_draws")
def test_a_page_of_shared_runs_alone():
    shared = [run for run in network.runs(True) if run.kind != "network"]
    page = network.page([made(run) for run in shared], 99)
    assert "## Along training courses" in page.text
    assert "digits, study of variance" in page.text
    assert "nan" not in page.text
    assert not page.pictures
    against = [
        trained(
            run, dgp=lambda progress, seed: 0.5 - progress / 10, np=lambda progress: (progress - 1.5) ** 2
        )
        for run in network.own_runs(True)
    ]
    text = network.page(against, 99).text
    assert "less than NP does in 0 of 2 sets of networks (by intervals" in text
    assert "which does not agree with the paper" in text


# A real export


def on_export(rise, runs=None):
    return export.seen([exported(run, rise) for run in runs or export.runs(False)])


def test_twins_that_lose_accuracy_are_named_beside_what_files_say():
    view = on_export(lambda twin: 0.3 if twin in ("int3 per tensor", "int8 per channel") else 0.0)
    text = export.verdict_on_bits(view)
    assert "and the accuracy by 0.0 ± 0.0 points; the first that surely fails is int3 per tensor" in text
    assert "the first that surely fails is int8 per channel" in text
    assert "learning: mean NP went up." in text
    said = export.verdict_on_tolerance(view)
    assert "`diff` passes 0: 0 surely fail" in said
    assert "It stops 28: 2 surely fail, of 0 one cannot tell" in said
    assert "The smallest change that surely fails is that of int3 per tensor, 6.0 dB" in said


def test_a_fall_of_some_parts_only_is_not_sure():
    runs = [run for run in export.runs(False) if run.kind == "export-losses"]
    falls = (0.0, 0.1, 0.0, 0.0, 0.0)
    records = [
        exported(run, lambda twin, fall=fall: fall * (twin == "dynamic"))
        for run, fall in zip(runs, falls, strict=True)
    ]
    view = export.seen(records)
    assert [view.kept(twin) for twin in ("dynamic", "int8 per tensor")] == ["unsure", "keeps"]
    assert export.seen(records[:2]).kept("int8 per tensor") == "unsure"


def test_figures_that_rank_twins_as_their_loss_does_are_told():
    view = on_export(lambda twin: 0.01 * len(twin))
    twins = [twin for twin in view.both if view.family(twin) != "runtime"]
    assert mean(export._ranked(view, twins, export.largest_change)) == pytest.approx(1)
    assert "1.000" in row(export.correlations(view), "change of the layer that changed most (SNR)")[2]


def test_a_barrier_is_told_and_none_is():
    assert "to int8 per tensor a barrier" not in export.verdict_on_lines(on_export(lambda twin: 0.0))
    line = export.Line("int8", 2.0, (-1.0, 0.0, 0.5, 1.0), (0.6, 0.5, 0.9, 0.6))
    assert line.barrier == pytest.approx(0.3)
    assert line.curvature == pytest.approx(0.05)
    assert line.lowest == 0
    over = export.Seen((export.OnSamples("", "", (), (line,)),), None, ())
    assert "to int8 a barrier of up to 0.300" in export.verdict_on_lines(over)


def test_the_layer_that_costs_most_is_sought_by_snr():
    view = on_export(lambda twin: 0.2 if "in layer 2" in twin else 0.0)
    assert "ratio mostly is the one that costs most: in 15 of 15 cases" in export.verdict_on_layers(view)


def test_few_parts_do_not_make_a_failure_sure():
    low, high = student([-1.0, -2.0, -6.0, -5.0, -1.0])
    assert (low, high) == pytest.approx((-5.912, -0.088), abs=1e-3)  # t of 4 degrees is 2.776
    assert student([0.0, 0.0, 0.0]) == (0, 0)
    assert math.isnan(student([1.0, 2.0])[0])


def test_what_only_a_run_tells_is_said():
    view = on_export(lambda twin: 0.4 if "all operations" in twin else -0.15)
    assert "verdict and accuracy agree in 1 of the 3" in export.verdict_on_runtime(view)
    assert "`Sub b/c`" in export.by_runtime(view)


# Loss barcodes


@pytest.mark.usefixtures("few_draws")
def test_bars_that_fall_with_width_and_rise_with_depth_are_told():
    records = [landscape(run) for run in obstructions.runs(False)]
    text = obstructions.page(records, len(records)).text
    assert "- With width: falls; with depth: rises: straight line; papers' step, 1x; papers' step, 4x" in text
    assert "3 rows that are made as the papers make theirs (unaligned, direct pairs) 0 do" in text
    assert row(text, "straight line", "-1.00 (-1.00 to -1.00)")[0] == "0.50 (0.50 to 0.50)"
    assert row(text, "straight line", "1")[:2] == ["3.00000 ± 0.00000", "1.50000 ± 0.00000"]
    assert row(text, "aligned elastic band, 1x to 4x", "10 (10 to 10)")[0] == "10 (10 to 10)"
    assert "So far" not in text


def test_bars_that_fall_with_both_agree_with_the_papers():
    records = [
        landscape(run, lambda run, place: place / (run.depth * run.width)) for run in obstructions.runs(False)
    ]
    text = obstructions.verdict(records)
    assert "(unaligned, direct pairs) 3 do, of the 6 others\n6." in text
    assert "- With width: falls; with depth: falls: straight line;" in text


def test_the_relation_of_length_and_error_is_within_networks():
    runs = obstructions.runs(False)
    with_error = [landscape(run, error=lambda place, run=run: (run.seed + place) / 100) for run in runs]
    assert "straight line: 1.00 (1.00 to 1.00): shorter bars have the smaller error, as in the paper." in (
        obstructions.verdict_on_errors(with_error)
    )
    against = [landscape(run, error=lambda place: -place / 100) for run in runs]
    assert "straight line: -1.00 (-1.00 to -1.00): shorter bars have the larger error" in (
        obstructions.verdict_on_errors(against)
    )
    flat = [landscape(run, error=lambda place: 0.1) for run in runs]
    assert "straight line: -: cannot be told yet." in obstructions.verdict_on_errors(flat)


def test_no_bar_is_longer_than_that_of_straight_lines():
    record = landscape(obstructions.runs(False)[0], effort=1.1)
    line, band = obstructions.Row(obstructions.LINE), obstructions.Row(obstructions.BAND, 1)
    assert band.length(record) == line.length(record)
    assert obstructions.Row(obstructions.ALIGNED, 1).length(record) == line.length(record) / 2


def test_the_readme_quotes_what_was_found():
    text = (DOCS / "usefulness.md").read_text(encoding="utf-8")
    quoted = text.partition("## In short\n\n")[2].partition("\n\n")[0].splitlines()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(quoted) == 4
    assert all(each.removeprefix("- ").rstrip(".") in readme for each in quoted)


# Pages


def test_paragraphs_are_lines_and_the_rest_stays():
    text = "\n## Title\n\none\ntwo\n\n| a |\n| b |\n\n- c\n- d\n\n    code\n    code\n"
    assert unwrapped(text) == "## Title\n\none two\n\n| a |\n| b |\n\n- c\n- d\n\n    code\n    code"
    assert table(["a", "b"], [["x|y", "z"]]) == "| a | b |\n| --- | --- |\n| x\\|y | z |"


def test_pictures_are_the_same_whenever_they_are_drawn(tmp_path):
    def draw(figure):
        axes = figure.subplots()
        axes.plot([1, 2], [3, 4], label="line")
        axes.legend()

    picture = Picture("variance-x", "what it shows", (3, 2), draw)
    (tmp_path / "variance-old.svg").touch()
    (tmp_path / "other-old.svg").touch()
    write("variance", Page("text\n", (picture,)), tmp_path)
    first = (tmp_path / "variance-x.svg").read_bytes()
    write("variance", Page("text\n", (picture,)), tmp_path)
    assert (tmp_path / "variance-x.svg").read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "other-old.svg",
        "variance-x.svg",
        "variance.md",
    ]


@pytest.mark.parametrize("name", catalogue())
def test_the_page_that_is_here_is_what_the_records_give(name):
    study = catalogue()[name]
    page = study.page(*records(study.runs(False), Store()))
    assert (DOCS / f"{name}.md").read_text(encoding="utf-8") == page.text, "run: python -m studies --pages"
    pictures = sorted(path.stem for path in DOCS.glob(f"{name}-*.svg"))
    assert pictures == sorted(each.name for each in page.pictures)


def test_every_page_has_its_place():
    names = [f"studies/{name}.md" for name in catalogue()]
    for place in ("mkdocs.yml", "docs/index.md"):
        assert re.findall(r"studies/[\w-]+\.md", (ROOT / place).read_text(encoding="utf-8")) == names
    assert sorted(path.name for path in DOCS.glob("*.md")) == sorted(f"{name}.md" for name in catalogue())


def test_pages_name_no_machine():
    for path in DOCS.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\b(intel|amd|xeon|epyc)\b|/work/|/home/|/root/|/tmp/", text, re.I), path


def test_data_that_studies_name_are_told_in_their_readme():
    text = (ROOT / "studies" / "README.md").read_text(encoding="utf-8").lower().replace("-", "")
    assert all(name in text for name in LOADERS)
