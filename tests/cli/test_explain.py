import json

import numpy as np
import pytest
from click.testing import CliRunner

from onnxtop import deep_graph_persistence, layer_persistence
from onnxtop.cli import app
from onnxtop.glossary.measures import FIGURES
from onnxtop.glossary.terms import term_of
from onnxtop.rules.catalogue import RULES


def invoke(*args):
    return CliRunner().invoke(app, list(args))


def test_rules_lists_every_rule():
    out = invoke("rules").stdout
    for rule in RULES:
        assert f"{rule.code}  {rule.severity}" in out
        assert rule.name in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_every_rule_is_explained_by_code_and_name(rule):
    result = invoke("explain", rule.code)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{rule.code} {rule.name}: {rule.severity}\n")
    assert result.stdout == invoke("explain", rule.name).stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_every_figure_is_explained(figure):
    out = invoke("explain", figure.name).stdout
    for label in ("what", "how", "limits", "source"):
        assert f"\n{label}: " in out


@pytest.mark.parametrize(
    "name",
    [
        *(
            "np",
            "z",
            "dgp",
            "null model",
            "null-model",
            "to-score",
            "NP",
            "bars",
            "saturated",
            "connectivity",
        ),
        *(
            "convention",
            "essential",
            "scale",
            "hub",
            "encoding",
            "SNR",
            "SNR dB",
            "distance",
            "excess",
        ),
        *("skipped", "apart", "SAME", "within tolerance", "WITHIN-TOLERANCE", "minimum", "pass", "barrier"),
        *(
            "in \N{MULTIPLICATION SIGN} out",
            "op",
            "fail",
            "LOST",
            "exit code",
            "--select",
            "-f",
            "input_shape",
            "np_null_mean",
        ),
        *("dgp_bars", "deep_graph_persistence.saturated", "ot101", "Ot2", "ALL-ZERO", "all zero", "check"),
        *("row_share", "flattened", "structure", "tree", "frozen", "neb", "null_mean", "tree kept"),
    ],
)
def test_words_that_people_type(name):
    result = invoke("explain", name)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80 or "onnxtop." in result.stdout


@pytest.mark.parametrize("name", ["np", "np.normalized", "dgp"])
def test_figures_that_can_be_above_1_say_so(name):
    tiny = np.full((4, 3), 1e-9)
    assert layer_persistence(tiny, scale=1.0).normalized > 1
    assert deep_graph_persistence([np.zeros((4, 3)), np.zeros((3, 2))]).normalized > 1
    assert layer_persistence(tiny, scale=1.0, convention="tree").normalized <= 1
    assert "a little above 1" in " ".join(invoke("explain", name).stdout.split())


def test_the_legend_of_np_does_not_say_that_it_ends_at_1():
    assert "about 1 if weak" in term_of("np").title


def test_rules_are_found_in_any_case():
    assert invoke("explain", "ot101").stdout == invoke("explain", "OT101").stdout
    assert invoke("explain", "Not Finite").stdout.startswith("OT101 not-finite")


def test_a_family_lists_its_rules():
    out = invoke("explain", "ot4").stdout
    assert out.startswith("OT4: topology\n")
    assert "OT401 layer-outside-band" in out


def test_several_names_are_explained_one_after_the_other():
    both = invoke("explain", "hub", "ot101", "HUB").stdout
    assert both == invoke("explain", "hub").stdout + "\n" + invoke("explain", "ot101").stdout


def test_a_word_with_several_meanings_has_them_all():
    out = invoke("explain", "pass").stdout
    assert "\npass: the way between two minima" in f"\n{out}"
    assert "\nverdict of check: " in f"\n{out}"


def test_an_option_tells_its_values_and_verbs():
    out = " ".join(invoke("explain", "--conv").stdout.split())
    assert "--conv: an option of report, plot, check" in out
    assert "values: flattened, channels, unrolled, per-filter; flattened if not given" in out


def test_without_a_name_everything_is_listed():
    out = invoke("explain").stdout
    assert max(map(len, out.splitlines())) <= 80
    assert all(f"  {rule.code} {rule.name}\n" in out for rule in RULES)
    listed = " ".join(out.split())
    for name in ("OT6", "saturated", "hub", "|grad|", "--input-shape", "near_duplicate_outputs"):
        assert name in listed


def test_a_name_that_is_not_known():
    result = invoke("explain", "looks-untraind")
    assert result.exit_code == 2
    assert result.stderr.endswith("'looks-untraind': did you mean looks-untrained?\n")
    result = invoke("explain", "hub", "\x1b[31mqqqq")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "onnxtop explain lists what can be asked" in result.stderr
    assert "\x1b" not in result.stderr


def test_the_schema_is_json():
    assert json.loads(invoke("schema").stdout)["title"] == "onnxtop report"
