"""Faults that are planted, plain figures of weights, how scores are judged, and what the page says of it."""

import dataclasses
import math
import re

import numpy as np
import pytest

from onnxtop import Exchangeability
from studies import _judging, _plain, _planting, _tasks, _zoo, usefulness
from studies._data import Data
from studies._exporting import Step, model, outputs
from studies._numbers import spearman
from studies._planting import TWINS, Quantisation
from studies._zoo import COLUMNS, PREDICTORS
from tests.studies.fakes import animal

# Plants


@pytest.mark.parametrize("law", _planting.LAWS)
@pytest.mark.parametrize("shape", [(200, 300), (32, 16, 5, 5)])
def test_laws_draw_what_they_say(law, shape):
    weight, bias = _planting.drawn(law, shape, np.random.default_rng(0))
    fan_in, fan_out = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
    expected = {"torch": 1 / (3 * fan_in), "glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in}[law]
    assert weight.var() == pytest.approx(expected, rel=0.05)
    assert weight.dtype == bias.dtype == np.float32
    assert bias.any() == (law == "torch")


def test_a_layer_is_reset_in_three_ways():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(0.3, 2, (50, 40)).astype(np.float32), np.ones(50, np.float32)
    fresh, normal, moved = (_planting.reset(how, "he", weight, bias, rng) for how in _planting.RESETS)
    assert fresh[0].std() == pytest.approx(math.sqrt(2 / 40), rel=0.1)
    assert not fresh[1].any()
    assert normal[0].mean() == pytest.approx(0.3, abs=0.15)
    assert normal[0].std() == pytest.approx(2, rel=0.1)
    assert sorted(moved[0].ravel()) == sorted(weight.ravel())
    assert (moved[0] != weight).any()
    assert normal[1] is moved[1] is bias


def test_twins_have_as_many_values_as_their_bits_allow():
    weight = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    for bits in (8, 4, 3):
        assert len(np.unique(Quantisation(bits).quantised(weight, False))) <= 2**bits - 1
    by_output = Quantisation(3, by_output=True).quantised(weight, False)
    np.testing.assert_allclose(np.abs(by_output).max(axis=1), np.abs(weight).max(axis=1), rtol=1e-6)
    assert np.abs(Quantisation(8, stretch=0.5).quantised(weight, False)).max() == pytest.approx(
        np.abs(weight).max() / 2, rel=1e-6
    )
    alone = Quantisation(8, few=2, alone=True)
    assert len(np.unique(alone.quantised(weight, True))) == 3
    assert len(np.unique(alone.quantised(weight, False))) > 100
    assert not Quantisation(4).quantised(np.zeros((3, 3), np.float32), False).any()
    assert len({twin.name for twin in TWINS}) == len(TWINS)


def test_spoiled_labels_are_as_many_as_asked():
    nothing = np.zeros((0, 1), np.float32), np.zeros(0, np.int64)
    data = Data(np.zeros((1000, 1), np.float32), np.full(1000, 3), *nothing, *nothing, (1,), "nowhere")
    assert np.mean(_zoo.spoiled(data, 0.5, 0, 1).labels != 3) == pytest.approx(0.45, abs=0.05)
    assert (_zoo.spoiled(data, 0, 70, 1).labels == np.full(70, 3)).all()
    assert (data.labels == 3).all()


# Plain figures


def test_alpha_is_that_of_weightwatcher():
    rng = np.random.default_rng(0)
    weights = rng.standard_t(3, (64, 48)), rng.standard_normal((10, 30)), rng.standard_t(4, (16, 8, 3, 3))
    found = [_plain.alpha(each.astype(np.float32)) for each in weights]
    assert found == pytest.approx([3.684855934, 2.398549632, 3.131075232], rel=1e-6)


def test_random_matrices_end_at_the_edge():
    weight = np.random.default_rng(0).normal(0, 3, (300, 200))
    norm, edge, stable, _ = _plain.spectral(weight)
    assert norm == pytest.approx(np.linalg.norm(weight, 2))
    assert edge == pytest.approx(1, abs=0.03)
    assert stable == pytest.approx(np.sum(weight**2) / norm**2)
    assert math.isnan(_plain.spectral(np.zeros((3, 4)))[1])
    held = dict(zip(_plain.MOMENTS, _plain.moments(weight), strict=True))
    assert held["std"] == pytest.approx(3, rel=0.02)
    assert held["kurtosis"] == pytest.approx(3, rel=0.05)


# The zoo


@pytest.fixture(scope="module")
def network():
    """Return a network as a file, with data that it was not trained on."""
    rng = np.random.default_rng(5)
    steps = []
    for number, shape in enumerate(((30, 40), (48, 30), (10, 48)), 1):
        weight, bias = _planting.drawn("torch", shape, rng)
        steps += [Step("Gemm", f"fc{number}", [weight, bias], {"transB": 1}), Step("Relu", f"relu{number}")]
    x = rng.standard_normal((50, 40)).astype(np.float32)
    content = model(steps[:-1], (40,))
    labels = outputs(content, x).argmax(axis=1)
    return content, Data(x, labels, x, labels, x, labels, (40,), "nowhere")


def test_a_reset_changes_one_layer_and_tells_what_else_it_changes(network):
    content, data = network
    before = _zoo.state(content, steps=1, train=1.0, valid=1.0, test=1.0, valid_loss=0.0)
    assert np.array(before.layers).shape == (3, len(COLUMNS))
    assert np.isfinite(before.layers).all()
    found = list(_zoo.resets(content, data, "torch", 0, before.layers))
    assert [(each.how, each.place) for each in found] == [
        (how, place) for place in range(3) for how in _planting.RESETS
    ]
    for each in found:
        assert each.layers[each.place]
        assert _zoo.rows_of(each, before).shape == (3, len(COLUMNS))
    assert any(() in each.layers for each in found)
    assert min(each.test for each in found) < 0.5


def test_twins_lose_more_where_there_is_more_noise(network):
    content, data = network
    found = list(_zoo.twins(content, data, 0))
    figures = np.array([each.figures for each in found])
    moved = [each.moved for each in found]
    assert figures.shape == (len(TWINS), len(PREDICTORS))
    assert spearman(figures[:, PREDICTORS.index("SQNR, all")], moved) > 0.8
    assert found[0].moved == pytest.approx(found[0].lost)  # the labels are what it predicts
    assert found[0].moved < 0.05
    assert figures[0, PREDICTORS.index("SQNR, all")] < -35
    same = _zoo.decibels(data.x, data.x)
    assert same == pytest.approx(-120)


def test_runs_are_distinct_and_of_every_kind():
    runs = usefulness.runs(False)
    assert len(set(runs)) == len(runs) == usefulness.COUNT
    assert {run.fault for run in runs} == set(_zoo.FAULTS)
    assert {(run.data, run.network) for run in runs} == set(_zoo.GROUPS)
    assert all(run.batch <= run.samples for run in runs if run.samples)
    assert _zoo.animal(7) == _zoo.animal(7)


def test_structure_is_that_of_the_loudest_statistic():
    known = Exchangeability(z_rows=4.0, z_columns=-9.0)
    assert _zoo.structure(6.0, known) == 2
    assert _zoo.structure(None, known) == 1
    assert _zoo.structure(3.0, dataclasses.replace(known, spectrum=10.0)) == 2.5
    assert math.isnan(_zoo.structure(6.0, None))


# Judging


def test_areas_under_the_curve():
    weight = _judging.weights([0, 0, 1, 1, 2, 2])
    assert weight.shape[1] == 6
    assert (weight[0] == 1).all()
    assert (weight[:, 0] == weight[:, 1]).all()
    assert (weight[:, ::2].sum(axis=1) == 3).all()
    yes = [True, False] * 3
    assert _judging.auc([1, 0, 1, 0, 1, 0], yes, weight)[0] == 1
    assert _judging.auc([1, 1, 1, 1, 1, 1], yes, weight)[0] == 0.5
    assert _judging.auc([2, 0, 1, 1, 0, 3], yes, weight)[0] == pytest.approx((2 + 1.5 + 0.5) / 9)
    assert _judging.auc([2, 0, math.nan, 1, 0, 3], yes, weight)[0] == pytest.approx((2 + 0.5) / 6)
    assert math.isnan(_judging.auc([1.0] * 6, [True] * 6, weight)[0])
    assert _judging.shown(_judging.auc([1, 0, 1, 0, 1, 0], yes, weight)) == "1.00 (1.00 to 1.00)"


def test_statistics_of_draws_are_those_of_repeated_rows():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40))
    b += a
    weight = _judging.weights(list(range(40)))
    assert _judging.correlation(a, b, weight)[0] == pytest.approx(spearman(a, b))
    often = np.repeat(np.arange(40), weight[5].astype(int))
    for c in (b, b.round()):  # ranked anew in each draw, as if rows were there so often
        assert _judging.correlation(a.round(), c, weight)[5] == pytest.approx(
            spearman(a.round()[often], c[often])
        )
    assert _judging.average(a, weight)[5] == pytest.approx(a[often].mean())
    r2 = 1 - np.sum((a[often] - b[often]) ** 2) / np.sum((a[often] - a[often].mean()) ** 2)
    assert _judging.explained(a, b, weight)[5] == pytest.approx(r2)
    scores, yes = a.round(), b > 0
    pairs = np.sign(scores[often][yes[often]][:, None] - scores[often][~yes[often]])
    assert _judging.auc(scores, yes, weight)[5] == pytest.approx(np.mean(0.5 + pairs / 2))
    low, high = _judging.ends(_judging.correlation(a, b, weight))
    assert low < spearman(a, b) < high


def test_groups_without_an_estimate_do_not_count():
    rng = np.random.default_rng(0)
    nothing, some = np.full(301, math.nan), rng.normal(size=301)
    assert _judging.pooled([some, nothing, some], [5, 20, 7]) == pytest.approx(some)
    assert np.isnan(_judging.pooled([nothing], [3])).all()
    assert _judging.pooled([np.array([0.0]), np.array([1.0])], [1, 3])[0] == 0.75


def test_two_runs_have_no_interval():
    weight = _judging.weights([4, 4, 7])
    assert _judging.shown(_judging.average([1, 2, 3], weight)) == "2.00"


def test_models_learn_from_other_runs_only():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 3))
    places = [each // 10 for each in range(300)]
    straight, bent = features @ [1.0, -2.0, 0.0], np.sin(2 * features[:, 0])
    weight = _judging.weights(places)
    for model_, target, least in ((_judging.ridge, straight, 0.95), (_judging.kernel, bent, 0.8)):
        found = _judging.unseen(features, target, places, model_)
        assert _judging.explained(target, found, weight)[0] > least
    own = np.repeat(rng.normal(size=30), 10)  # known of a run, and of no other
    known = np.column_stack([own, rng.normal(size=300)])
    answer = np.repeat(rng.normal(size=30), 10)
    assert (
        _judging.explained(answer, _judging.unseen(known, answer, places, _judging.kernel), weight)[0] < 0.3
    )
    assert np.isnan(_judging.unseen(features[:20], straight[:20], places[:20], _judging.ridge)).all()


# Questions


def test_the_lowest_is_the_one_that_is_meant():
    assert _tasks.hit([3, 1, 2], 1) == 1
    assert _tasks.hit([3, 1, 1], 1) == 0.5
    assert _tasks.hit([3, 1, math.nan], 2) == 0
    assert _tasks.where_largest([1, 3, math.nan, 3, 2]) == 3
    assert _tasks.first_stop([1, 2, 3, 2, 2, 2, 9]) == 5
    assert _tasks.first_stop([1, 2, 3, 4]) == 3
    assert _tasks.named(("OT209 a", "OT207 b", "OT208")) == ["b"]
    assert _tasks.named(("OT209 a", "OT209 b"), ("OT207",)) == []


def by_z(progress, place):
    return {"z": 20 * progress + 0.1 * place, "np": 1 - progress}


@pytest.fixture(scope="module")
def records():
    """Return networks whose z rises with training and whose NP falls, over every fault."""
    runs = usefulness.runs(False)[:30]
    assert {run.fault for run in runs} == set(_zoo.FAULTS)
    return [animal(run, by_z) for run in runs]


@pytest.fixture(scope="module")
def answers(records):
    return usefulness.answered(records)


def test_what_tells_trained_from_untrained_is_found(records):
    found = _tasks.untrained(records)
    assert found.value("z") == 1
    assert found.value("alpha") == pytest.approx(0.5, abs=0.05)
    assert _tasks.along(records).value("z") == 1
    assert found.value("regression: + topology") > 0.99


def test_what_names_the_reset_layer_is_found(records):
    found = _tasks.which_layer(_tasks.cases(records, "fresh"))
    assert found.value("z") == 1
    assert found.value("NP") == 0
    assert found.value("onnxtop's findings") == 1
    assert found.value("alpha") == pytest.approx(found.value("chance"))
    nobody = [animal(run, by_z, findings=lambda name: ()) for run in usefulness.runs(False)[:3]]
    assert _tasks.which_layer(_tasks.cases(nobody, "fresh")).value("onnxtop's findings") == 0


def test_topology_is_what_needs_persistence():
    names = ("z", "most DGP", "NP stopping rule", "diff: tree lost, mean")
    assert {usefulness.group_of(each) for each in names} == {"topology"}
    names = ("variance", "least variance", "initialiser distance", "onnxtop's findings", "finding OT208")
    assert {usefulness.group_of(each) for each in names} == {"report"}
    names = ("alpha", "least alpha", "last", "SQNR, all", "noise, summed", "norm over random edge")
    assert {usefulness.group_of(each) for each in names} == {"plain"}
    names = ("outputs on data", "validation accuracy", "chance", "regression: + topology")
    assert {usefulness.group_of(each) for each in names} == {""}
    alone = set(_tasks.SETS["onnxtop alone"]) - set(_tasks.SETS["topology alone"])
    assert alone == {"structure", "match"}


def test_what_topology_adds_is_counted(answers):
    text = usefulness.ablation_told(answers)
    asked = len(usefulness.questions(answers))
    assert re.search(rf"to variance in \d+ of {asked} \(and takes away in \d+\)", text)
    assert usefulness.ablation(answers).count("\n") == asked + 1


def test_what_ranks_twins_is_found(records):
    found = _tasks.twins(records, "lost")
    assert found.within.value("SQNR, all") == found.over_all.value("diff: DGP") == pytest.approx(1)


def test_checkpoints_are_compared_with_the_best(records):
    found = _tasks.checkpoints(records)
    assert found.value("last") == found.value("most z") == found.value("least alpha") == 0
    assert found.value("most NP") == 0  # a report has it for the network, where it does not change
    assert found.value("most NP, scale layer") == 0
    peaked = [
        animal(run, by_z, test=lambda progress: 0.9 - abs(progress - 0.6))
        for run in usefulness.runs(False)[:9]
    ]
    found = _tasks.checkpoints(peaked)
    assert found.value("last") == pytest.approx(40)
    assert found.value("validation accuracy") == 0


def test_the_page_says_what_the_figures_say(records, answers, monkeypatch, few_draws):
    with monkeypatch.context() as asked:
        asked.setattr(usefulness, "answered", lambda _: answers)
        text = usefulness.page(records, len(records)).text
    assert "So far" not in text
    assert "Trained from untrained: the aim (area under the curve 0.99) is met. Best of onnxtop: z" in text
    assert "onnxtop's findings name 100 (100 to 100) % of the large layers" in text
    assert "is not met for" not in text
    assert "SQNR, all with 1.00 (1.00 to 1.00): 0.00 (0.00 to 0.00), nothing sure" in text
    line = re.search(r"^\| z \| \*\*1\.00\*\* \| \*\*1\.00\*\* \| \*\*1\.00\*\* \|", text, re.M)
    assert line
    worse = [
        dataclasses.replace(
            each,
            result=dataclasses.replace(
                each.result,
                twins=tuple(
                    dataclasses.replace(
                        twin, figures=(*twin.figures[:3], *[-value for value in twin.figures[3:]])
                    )
                    for twin in each.result.twins
                ),
            ),
        )
        for each in records[:12]
    ]
    text = usefulness.page(worse, len(worse)).text
    assert re.search(r"The aim \(0\.8, and above SQNR\) is not met", text)
    assert "-2.00 (-2.00 to -2.00), less" in text


def test_a_page_of_collapsed_networks():
    flat = [animal(run, test=lambda progress: 0.1) for run in usefulness.runs(False)[:4]]
    text = usefulness.page(flat, 4).text
    assert "none measured yet" in text
    assert "nan" not in re.sub(r"\w*nan\w+|\w+nan\w*", "", text)
