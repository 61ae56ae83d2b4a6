import json

import pytest
from click.testing import CliRunner

from onnxtop.cli import app
from onnxtop.rules.catalogue import RULES
from onnxtop.glossary.measures import FIGURES


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


@pytest.mark.parametrize("name", ["np", "z", "dgp", "null model", "to-score", "NP"])
def test_words_that_people_type(name):
    assert invoke("explain", name).exit_code == 0


def test_a_name_that_is_not_known():
    result = invoke("explain", "looks-untraind")
    assert result.exit_code == 2
    assert result.stderr.endswith("'looks-untraind': did you mean looks-untrained?\n")


def test_the_schema_is_json():
    assert json.loads(invoke("schema").stdout)["title"] == "onnxtop report"
