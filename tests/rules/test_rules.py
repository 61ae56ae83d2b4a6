"""Every rule speaks where it should, and not right beside it."""

import dataclasses

import numpy as np
import pytest

from onnxtop.glossary.untrained import TOO_SMALL
from onnxtop.results.report import (
    SCALE_OF_ZERO,
    BadConstant,
    Connectivity,
    DeepGraphPersistence,
    Finding,
    LayerPersistence,
    SkippedWeight,
)
from onnxtop.results.words import SEVERITIES
from onnxtop.rules import matching
from onnxtop.rules.catalogue import FAMILIES, RULES, apply, find_rule
from onnxtop.rules.graph import _close_to_earlier
from onnxtop.rules.matching import holders, similarity
from onnxtop.rules.rule import Band, Policy
from onnxtop.rules.units import listed
from onnxtop.statistics.facts import Codes, Exchangeability, Units
from onnxtop.statistics.sketch import cosine, pack


def sketch(seed):
    return pack(np.random.default_rng(seed).normal(size=(8, 8)))


def turned(seed):
    return pack(np.random.default_rng(seed).normal(size=(8, 8)).T)


def codes(of, policy=None):
    return [finding.rule for finding in apply(of, policy)]


CASES = {
    "OT102": ({"largest": 0.0}, {"largest": 1e-30}),
    "OT103": ({"minimum": 0.5, "maximum": 0.5}, {"minimum": 0.0, "maximum": 0.5}),
    "OT104": ({"subnormal": 60}, {"subnormal": 40}),
    "OT105": ({"at_limit": 3}, {"at_limit": 2}),
    "OT201": ({"dead_outputs": Units(2, (0, 1))}, {"dead_outputs": Units(1, (0,))}),
    "OT202": ({"dead_inputs": Units(6, (0, 1))}, {"dead_inputs": Units(5, (0, 1))}),
    "OT203": ({"duplicate_outputs": Units(2, (0, 1))}, {"duplicate_outputs": Units(1, (0,))}),
    "OT204": ({"duplicate_inputs": Units(3, (0, 1))}, {"duplicate_inputs": Units(2, (0,))}),
    "OT205": ({"near_duplicate_outputs": Units(2, (0, 1))}, {"near_duplicate_outputs": Units(1, (0,))}),
    "OT206": ({"rank": 5, "rank_limit": 10}, {"rank": 6, "rank_limit": 10}),
    "OT207": (
        {"exchangeability": Exchangeability(exchangeable=True, fits=True, bias_moved=False)},
        {"exchangeability": Exchangeability(exchangeable=False)},
    ),
    "OT106": ({"codes": Codes(8, 100, 1.0, 0.0, zero_scales=1)}, {"codes": Codes(8, 100, 1.0, 0.0)}),
    "OT602": ({"codes": Codes(8, 100, 1.0, 0.03)}, {"codes": Codes(8, 100, 1.0, 0.01)}),
    "OT603": (
        {"codes": Codes(8, 100, 1.0, 0.0, scale_spread=51.0)},
        {"codes": Codes(8, 100, 1.0, 0.0, scale_spread=49.0)},
    ),
}
"""What makes a rule speak of a layer, and what does not."""


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        ("NaN", "OT109"),
        ("infinite", "OT109"),
        ("a variance that is not positive", "OT110"),
        (SCALE_OF_ZERO, "OT106"),
    ],
)
def test_bad_constants_are_errors_of_the_layer_behind(report, layer, problem, code):
    bad = BadConstant("b1", "bias", "Gemm", "fc", "layer", problem, 2)
    (finding,) = apply(dataclasses.replace(report(layer(name="layer")), constants=(bad,)))
    assert (finding.rule, finding.severity, finding.layer) == (code, "error", "layer")
    assert "2 entries" in finding.message
    assert "bias b1, taken by Gemm fc" in finding.message


@pytest.mark.parametrize("code", CASES)
def test_a_rule_on_one_layer(layer, report, code):
    loud, silent = CASES[code]
    assert codes(report(layer(**loud))) == [code]
    assert codes(report(layer(**silent))) == []


@pytest.mark.parametrize("code", ["OT105", "OT201", "OT203", "OT204", "OT205", "OT206", "OT207"])
def test_tables_are_left_alone(layer, report, code):
    assert codes(report(layer(**CASES[code][0], probably_fixed="it is diagonal"))) == []


def test_a_layer_without_statistics_is_left_alone(layer, report):
    assert codes(report(dataclasses.replace(layer(), statistics=None))) == []


def test_not_finite(layer, report):
    odd = layer(nonfinite=2, neural_persistence=LayerPersistence(None, None, reason="2 weights are NaN"))
    (finding,) = apply(report(odd))
    assert (finding.rule, finding.layer) == ("OT101", "fc")
    assert "2 weights are NaN" in finding.message


def test_unused_codes_need_a_large_layer(layer, report):
    few = Codes(4, 3, 1.0, 0.0)
    assert codes(report(layer(codes=few, parameters=256))) == ["OT601"]
    assert codes(report(layer(codes=few, parameters=255))) == []


def test_outlier(layer, report):
    others = [layer(str(number), largest=1.5) for number in range(3)]
    loud = report(*others, layer("top", largest=31.0))
    network = dataclasses.replace(loud.network.neural_persistence, scale=31.0)
    loud = dataclasses.replace(loud, network=dataclasses.replace(loud.network, neural_persistence=network))
    assert [(finding.rule, finding.layer) for finding in apply(loud)] == [("OT107", "top")]


def test_fewer_digits_only_where_most_layers_have_more(layer, report):
    narrow, wide = layer("narrow", precision="float16"), [layer("a"), layer("b")]
    assert codes(report(narrow, *wide)) == ["OT108"]
    assert codes(report(narrow, dataclasses.replace(narrow, name="other"), *wide)) == []


def untrained(layer, count, fits=None, names="abcdefgh", **more):
    found = Exchangeability(exchangeable=True, initialiser="PyTorch default", fits=fits, **more)
    return [layer(name, exchangeability=found, parameters=2000) for name in names[:count]]


def trained(layer, count, names="mnopqrs"):
    return [layer(name, exchangeability=Exchangeability(exchangeable=False)) for name in names[:count]]


@pytest.mark.parametrize(
    ("random", "structured", "fits", "code"),
    [
        (3, 0, None, "OT208"),
        (4, 1, None, "OT208"),
        (3, 1, None, "OT209"),
        (2, 0, None, "OT209"),
        (2, 0, True, "OT208"),
        (1, 0, True, "OT208"),
        (1, 0, None, "OT209"),
        (1, 1, True, "OT207"),
        (1, 1, False, "OT209"),
        (0, 3, None, None),
    ],
)
def test_untrained(layer, report, random, structured, fits, code):
    found = apply(report(*untrained(layer, random, fits), *trained(layer, structured)))
    assert {finding.rule for finding in found} == ({code} if code else set())
    told = "PyTorch default" in "".join(finding.message for finding in found)
    assert told == (code in ("OT207", "OT208") and bool(fits))


SMALL = {"initialiser": "PyTorch default", "reason": TOO_SMALL, "bias_moved": None}


@pytest.mark.parametrize(
    ("small", "random", "code"),
    [
        ({"exchangeable": None, "fits": True}, 1, "OT208"),
        ({"exchangeable": None, "fits": False}, 1, "OT207"),
        ({"exchangeable": None, "fits": False}, 3, "OT208"),
        ({"exchangeable": False, "fits": True}, 1, "OT207"),
        ({"exchangeable": False, "fits": True}, 3, "OT207"),
    ],
)
def test_small_layers_count_where_they_fit_and_veto_where_they_have_structure(
    layer, report, small, random, code
):
    last = layer("z", exchangeability=Exchangeability(**{**SMALL, **small}))
    found = apply(report(*untrained(layer, random, True), last))
    assert {finding.rule for finding in found} == {code}


@pytest.mark.parametrize(
    ("initialiser", "bias_moved", "parameters", "told"),
    [
        ("PyTorch default", None, 2000, True),
        ("PyTorch default", None, 1000, False),
        ("Kaiming normal, fan-in", None, 2000, False),
        ("Kaiming normal, fan-in", False, 2000, True),
        ("Kaiming normal, fan-in", True, 2000, False),
    ],
)
def test_one_layer_has_to_be_such_that_the_first_step_would_show(
    layer, report, initialiser, bias_moved, parameters, told
):
    found = Exchangeability(exchangeable=True, initialiser=initialiser, fits=True, bias_moved=bias_moved)
    only = report(layer("a", exchangeability=found, parameters=parameters))
    assert ("OT208" in codes(only)) == told


def test_principal_components_are_no_proof(layer, report):
    """Orthonormal to float precision, and made from data: alone they need to look like random ones."""
    made = {"initialiser": "orthogonal", "fits": True, "distance": 1e-7}
    for exchangeable, told in ((True, True), (False, False), (None, False)):
        found = Exchangeability(exchangeable=exchangeable, **made)
        assert ("OT208" in codes(report(layer("a", exchangeability=found)))) == told


def test_a_layer_that_was_not_read_may_have_been_trained(layer, report):
    whole = report(*untrained(layer, 1, fits=True))
    skipped = SkippedWeight("w", "Odd", "unknown", 9)
    partly = dataclasses.replace(whole, coverage=dataclasses.replace(whole.coverage, skipped=(skipped,)))
    assert ("OT208" in codes(whole), "OT208" in codes(partly)) == (True, False)


def test_a_mark_is_named_as_such(layer, report):
    found = Exchangeability(exchangeable=True, mark="its columns are of one length")
    (note,) = apply(report(layer("a", exchangeability=found), *trained(layer, 3)))
    assert note.rule == "OT209"
    assert "its columns are of one length, as an initialiser or a mask leaves it" in note.message


@pytest.mark.parametrize(
    ("initialiser", "bias_moved", "code"),
    [
        ("PyTorch default", None, "OT207"),
        ("PyTorch default", True, "OT209"),
        ("Kaiming normal, fan-in", None, "OT209"),
        ("Kaiming normal, fan-in", False, "OT207"),
    ],
)
def test_without_a_bias_that_tells_a_bound_has_to(layer, report, initialiser, bias_moved, code):
    found = Exchangeability(exchangeable=True, initialiser=initialiser, fits=True, bias_moved=bias_moved)
    assert codes(report(layer("a", exchangeability=found), *trained(layer, 3))) == [code]


def test_a_bias_as_at_the_start_speaks_for_a_reset(layer, report):
    (reset,) = untrained(layer, 1, fits=True, bias_moved=False)
    (moved,) = untrained(layer, 1, fits=True, bias_moved=True)
    assert codes(report(reset, *trained(layer, 3))) == ["OT207"]
    assert codes(report(moved, *trained(layer, 3))) == ["OT209"]


def test_what_training_moved_beside_the_weights_speaks_against(layer, report):
    """Few steps leave no trace in small weights, but move biases and gains from where they start."""
    start = report(*untrained(layer, 4, fits=True))
    assert codes(start) == ["OT208"]
    gains = dataclasses.replace(start, network=dataclasses.replace(start.network, moved="norm.weight"))
    assert codes(gains) == ["OT207"] * 4, "each by itself is as drawn, to a bound that no step leaves"
    moved = untrained(layer, 1, names="z", fits=True, bias_moved=True)
    assert codes(report(*untrained(layer, 4, fits=True), *moved)) == ["OT207"] * 4 + ["OT209"]


def test_orthonormal_weights_are_proof(layer, report):
    found = Exchangeability(exchangeable=False, initialiser="orthogonal", fits=True, distance=1e-7)
    small = Exchangeability(exchangeable=None, initialiser="orthogonal", fits=True, distance=1e-7)
    near = Exchangeability(exchangeable=False, initialiser="orthogonal", fits=True, distance=1e-3)
    assert codes(report(layer("a", exchangeability=found), layer("b", exchangeability=small))) == ["OT208"]
    assert codes(report(layer("a", exchangeability=found), *trained(layer, 3))) == ["OT207"]
    assert codes(report(layer("a", exchangeability=near), *trained(layer, 3))) == []
    folded = dataclasses.replace(found, bias_moved=True)
    assert codes(report(layer("a", exchangeability=folded), layer("b", exchangeability=folded))) == ["OT208"]


def test_coverage(report, layer):
    whole = report(layer())
    for fraction, wanted in ((0.4, ["OT003"]), (0.6, []), (None, [])):
        coverage = dataclasses.replace(whole.coverage, fraction=fraction)
        assert codes(dataclasses.replace(whole, coverage=coverage)) == wanted
    almost = dataclasses.replace(whole.coverage, fraction=0.49999)
    (found,) = apply(dataclasses.replace(whole, coverage=almost))
    assert found.message.startswith("49.9% of the weights")
    unused = dataclasses.replace(whole.coverage, unused=5)
    assert codes(dataclasses.replace(whole, coverage=unused)) == ["OT301"]


def test_copies_and_near_copies(layer, report):
    one = layer("one", parameters=400, sketch=sketch(1))
    assert codes(report(one, dataclasses.replace(one, name="two", copy_of="one"))) == ["OT302"]
    (near,) = apply(report(one, dataclasses.replace(one, name="two")))
    assert (near.rule, near.layer) == ("OT303", "two")
    assert codes(report(one, layer("two", parameters=400, sketch=turned(1)))) == ["OT303"]
    assert codes(report(one, layer("two", parameters=400, sketch=sketch(2)))) == []


def test_each_layer_that_is_almost_earlier_ones_is_found_once():
    """Against every pair compared by itself; more layers than are compared at once."""
    rng = np.random.default_rng(0)
    bases = rng.integers(-90, 90, (8, 8, 8))
    noise = rng.normal(size=(300, 8, 8)) * rng.choice([2, 5, 8, 12], (300, 1, 1))
    sketches = np.rint(bases[rng.integers(0, 8, 300)] + noise)
    sketches[1::2] = sketches[1::2].transpose(0, 2, 1)
    wanted = {}
    for two, right in enumerate(sketches):
        near = [one for one, left in enumerate(sketches[:two]) if cosines(left, right) > 0.98]
        if near:
            wanted[two] = near[0], len(near) - 1
    assert 50 < len(wanted) < 299
    assert {two: (one, more) for two, one, more in _close_to_earlier(sketches)} == wanted


def test_a_layer_that_is_almost_several_names_the_first(layer, report):
    layers = [layer(name, parameters=400, sketch=sketch(1)) for name in ("a", "b", "c", "d")]
    messages = [found.message for found in apply(report(*layers))]
    assert [("those of a" in message, " and 2 more" in message) for message in messages] == [
        (True, False),
        (True, False),
        (True, True),
    ]


def cosines(left, right):
    return max(cosine(left, right), cosine(left, right.T))


def test_connectivity(layer, report):
    whole = report(layer())
    network = dataclasses.replace(
        whole.network, connectivity=Connectivity(unreachable=("fc",), inputs=("mask",), outputs=("y",))
    )
    found = apply(dataclasses.replace(whole, network=network))
    assert [finding.rule for finding in found] == ["OT304", "OT305", "OT306"]
    assert [finding.layer for finding in found] == ["fc", None, None]
    for dead in (False, True):
        doubtful = Connectivity(dead=dead, doubt="give --input-shape")
        network = dataclasses.replace(whole.network, connectivity=doubtful)
        (finding,) = apply(dataclasses.replace(whole, network=network))
        assert (finding.rule, finding.severity) == ("OT307", "warning")
        assert "give --input-shape" in finding.message
    unsure = Connectivity(outputs=("y",), dead=True, doubt="give --input-shape")
    network = dataclasses.replace(whole.network, connectivity=unsure)
    assert [f.rule for f in apply(dataclasses.replace(whole, network=network))] == ["OT306", "OT307"]
    cut = dataclasses.replace(whole.network, connectivity=Connectivity(outputs=("y",), dead=True))
    (finding,) = apply(dataclasses.replace(whole, network=cut))
    assert (finding.rule, finding.severity) == ("OT308", "error")


def test_bands(layer, report):
    one = report(layer(neural_persistence=LayerPersistence(1.0, 0.5, z=2.0)))
    network = dataclasses.replace(one.network, deep_graph_persistence=DeepGraphPersistence(normalized=0.3))
    one = dataclasses.replace(one, network=network)
    assert codes(one) == []
    policy = Policy(
        thresholds={
            "np.normalized": Band(min=0.6),
            "np.z": Band(max=1.0),
            "np.mean_normalized": Band(0.1, 0.4),
            "dgp.normalized": Band(max=0.3),
        }
    )
    assert codes(one, policy) == ["OT401", "OT401", "OT402"]


@pytest.mark.parametrize(
    ("band", "text"),
    [
        (Band(), "anything"),
        (Band(min=1), "at least 1"),
        (Band(max=2), "at most 2"),
        (Band(1, 2), "from 1 to 2"),
    ],
)
def test_bands_in_words(band, text):
    assert str(band) == text


# Against a baseline


def against(new, old):
    return apply(new, Policy(baseline=old))


def test_the_same_report_is_no_difference(layer, report):
    same = report(layer("a", sketch=sketch(1)), layer("b", sketch=sketch(2)))
    assert against(same, same) == ()


DIFFERENCES = {
    "OT501": {"normalized": 0.44},
    "OT502": {"variance": 0.07},
    "OT503": {"rms": 0.6},
    "OT506": {"n_in": 21},
    "OT507": {"encoding": "float16"},
}


@pytest.mark.parametrize("code", DIFFERENCES)
def test_a_difference_of_one_layer(layer, report, code):
    old = report(layer(sketch=sketch(1)))
    (finding,) = against(report(layer(**{"sketch": sketch(1), **DIFFERENCES[code]})), old)
    assert (finding.rule, finding.layer, finding.known) == (code, "fc", False)


def test_a_change_within_its_tolerance(layer, report):
    old, new = report(layer()), report(layer(normalized=0.46, variance=0.06))
    assert against(new, old) == ()
    strict = Policy(baseline=old, tolerances={"np.normalized": 0.01, "variance": 0.0})
    assert codes(new, strict) == ["OT501", "OT502"]


def test_layers_that_only_follow_the_scale_are_told_as_one(layer, report):
    def network(scale, **changes):
        whole = report(*(layer(name, sketch=sketch(seed), **changes) for seed, name in enumerate("abc")))
        figures = dataclasses.replace(whole.network.neural_persistence, scale=scale)
        return dataclasses.replace(
            whole, network=dataclasses.replace(whole.network, neural_persistence=figures)
        )

    found = against(network(3.0, normalized=0.7), network(1.5))
    assert [(finding.rule, finding.layer) for finding in found] == [("OT501", None)]
    assert "3 layers" in found[0].message
    assert "from 1.5 to 3" in found[0].message
    same_scale = against(network(1.5, normalized=0.7), network(1.5))
    assert [finding.layer for finding in same_scale] == ["a", "b", "c"]


def test_a_figure_that_is_gone(layer, report):
    (finding,) = against(report(layer(normalized=None)), report(layer()))
    assert finding.rule == "OT501"


def test_layers_that_come_and_go(layer, report):
    old, new = report(layer("a"), layer("b")), report(layer("a"), layer("c"))
    assert [(finding.rule, finding.layer) for finding in against(new, old)] == [
        ("OT504", "b"),
        ("OT505", "c"),
    ]


def test_a_renamed_layer_is_known_by_its_weight(layer, report):
    old, new = report(layer("a", weight="w")), report(layer("b", weight="w"))
    assert against(new, old) == ()


def test_moved_weights(layer, report):
    one, two = layer("one", sketch=sketch(1)), layer("two", sketch=sketch(2))
    swapped = [layer("one", sketch=sketch(2)), layer("two", sketch=sketch(1))]
    found = against(report(*swapped), report(one, two))
    assert [(finding.rule, finding.layer) for finding in found] == [("OT508", "one"), ("OT508", "two")]
    assert "the baseline's two" in found[0].message


def test_of_many_that_hold_the_weights_the_first_is_named(layer, monkeypatch):
    monkeypatch.setattr(matching, "_STRIP", 16)

    def square(name, text):
        made = layer(name, sketch=text)
        return dataclasses.replace(made, statistics=dataclasses.replace(made.statistics, n_in=10))

    rng = np.random.default_rng(0)
    old = [square(f"{n}", (sketch, turned)[n % 2](rng.integers(30))) for n in range(60)]
    new = [square(f"{n}", sketch(rng.integers(30))) for n in range(60)]
    wanted = {}
    for now in new:
        for other, is_turned in ((other, is_turned) for other in old for is_turned in (False, True)):
            if other.name != now.name and (similarity(now, other, transposed=is_turned) or 0) > 0.9:
                wanted.setdefault(now.name, other.name + ", transposed" * is_turned)
    assert 20 < len(wanted) < 60
    assert holders(new, old, 0.9) == wanted


def test_transposed_weights(layer, report):
    def square(text):
        made = layer(sketch=text)
        return dataclasses.replace(made, statistics=dataclasses.replace(made.statistics, n_in=10))

    found = against(report(square(turned(1))), report(square(sketch(1))))
    assert "OT508" in [finding.rule for finding in found]
    assert "transposed" in found[0].message


def test_replaced_weights(layer, report):
    old = report(*(layer(str(number), sketch=sketch(number)) for number in range(4)))
    one_new = report(*(layer(str(number), sketch=sketch(number or 9)) for number in range(4)))
    assert [(finding.rule, finding.layer) for finding in against(one_new, old)] == [("OT509", "0")]
    all_new = report(*(layer(str(number), sketch=sketch(number + 10)) for number in range(4)))
    assert against(all_new, old) == ()


def test_ties(layer, report):
    old = report(layer("a", uses=("x", "y")), layer("b", copy_of="a"))
    found = against(report(layer("a", uses=("x",)), layer("b")), old)
    assert [(finding.rule, finding.layer) for finding in found] == [("OT510", "a"), ("OT510", "b")]


def test_less_coverage(layer, report):
    old = report(layer())
    less = dataclasses.replace(old, coverage=dataclasses.replace(old.coverage, fraction=0.98))
    assert codes(less, Policy(baseline=old)) == ["OT511"]
    assert codes(old, Policy(baseline=less)) == []


def test_dgp(layer, report):
    def with_dgp(value):
        whole = report(layer())
        figures = DeepGraphPersistence(normalized=value)
        return dataclasses.replace(
            whole, network=dataclasses.replace(whole.network, deep_graph_persistence=figures)
        )

    assert codes(with_dgp(0.3), Policy(baseline=with_dgp(0.5))) == ["OT512"]
    assert codes(with_dgp(0.3), Policy(baseline=with_dgp(None))) == []


def test_a_coarsely_quantised_layer(layer, report):
    near = pack(
        np.random.default_rng(1).normal(size=(8, 8)) + 0.5 * np.random.default_rng(2).normal(size=(8, 8))
    )
    new = layer(sketch=near, encoding="int8 per-tensor", codes=Codes(8, 100, 1.0, 0.0))
    assert "OT604" in codes(report(new), Policy(baseline=report(layer(sketch=sketch(1)))))


def test_a_broken_sketch_is_not_compared(layer, report):
    old = report(layer(sketch="no sketch"))
    assert against(report(layer(sketch=sketch(1))), old) == ()


def test_incomparable(layer, report):
    (finding,) = apply(report(layer()), Policy(incomparable="other settings"))
    assert (finding.rule, finding.severity, finding.message) == ("OT500", "error", "other settings")


def test_what_the_baseline_had_is_known(layer, report):
    dead = report(layer(**CASES["OT201"][0]))
    old = dataclasses.replace(dead, findings=apply(dead))
    (finding,) = apply(dead, Policy(baseline=old))
    assert finding.known


def test_a_difference_is_never_known(layer, report):
    old, new = report(layer()), report(layer(normalized=0.3))
    told = dataclasses.replace(old, findings=apply(new, Policy(baseline=old)))
    (finding,) = apply(new, Policy(baseline=told))
    assert (finding.rule, finding.known) == ("OT501", False)


# Policies


def test_severities_selection_and_ignores(layer, report):
    dead = report(layer(**CASES["OT201"][0], largest=1.0), layer("zero", largest=0.0))
    assert codes(dead) == ["OT102", "OT201"]
    assert codes(dead, Policy(select=("OT1",))) == ["OT102"]
    assert codes(dead, Policy(select=("dead-outputs",))) == ["OT201"]
    assert codes(dead, Policy(ignore=("OT2",))) == ["OT102"]
    assert codes(dead, Policy(select=("OT201",), ignore=("OT2",))) == ["OT201"]
    assert codes(dead, Policy(select=("OT2",), ignore=("OT201",))) == []
    assert codes(dead, Policy(severities={"all-zero": "off"})) == ["OT201"]
    assert codes(dead, Policy(ignores=(("OT1", "zer*"),))) == ["OT201"]
    assert codes(dead, Policy(ignores=(("OT1", "fc"),))) == ["OT102", "OT201"]
    (first, _) = apply(dead, Policy(severities={"OT102": "error"}))
    assert first.severity == "error"


# The catalogue


def test_codes_and_names_are_in_order_and_unique():
    assert [rule.code for rule in RULES] == sorted({rule.code for rule in RULES})
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert {rule.code[:3] for rule in RULES} == set(FAMILIES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_every_rule_tells_what_it_is(rule):
    assert rule.severity in SEVERITIES
    for text in (rule.what, rule.why, rule.how, rule.false_alarms):
        assert text[0].isupper() or text[0].isdigit() or text.startswith(("`", "w"))
        assert text.endswith(".")
    assert rule.source
    assert find_rule(rule.code) is find_rule(rule.name) is rule


def test_indices_are_listed_as_runs():
    assert listed(Units(3, (1, 3, 5))) == "1, 3, 5"
    assert listed(Units(200, tuple(range(64)))) == "0-63, ..."
    assert listed(Units(20, tuple(range(0, 40, 2)))).endswith("14, ...")


def test_fingerprints_do_not_depend_on_the_message(layer, report):
    one, two = (apply(report(layer(dead_outputs=Units(n, tuple(range(n))))))[0] for n in (4, 5))
    assert one.message != two.message
    assert one.fingerprint == two.fingerprint == Finding.fingerprint_of("OT201", "fc", (10, 20))
