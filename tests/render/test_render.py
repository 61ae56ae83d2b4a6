import importlib
import subprocess
import sys

import pytest

from onnxtop.errors import UsageError
from onnxtop.render import RENDERERS, RenderOptions, render, suffixes
from onnxtop.results.outcome import FailedModel

FORMATS = RENDERERS["report"]


def test_an_unknown_format_is_refused_by_name():
    with pytest.raises(UsageError, match="markdown, html, junit, sarif, github, found 'yaml'"):
        render("report", "yaml", [])


def test_every_suffix_has_a_format():
    """GitHub's annotations are read from what a step prints, never from a file."""
    for result, formats in RENDERERS.items():
        assert set(suffixes(result).values()) == set(formats) - {"github"}


@pytest.mark.parametrize(
    ("result", "name"), [(result, name) for result in RENDERERS for name in RENDERERS[result]]
)
def test_every_format_is_a_module_that_renders(result, name):
    assert callable(importlib.import_module(RENDERERS[result][name]).render)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_renders_every_kind_of_result(name, typical, report):
    text = render("report", name, [typical, FailedModel("bad.onnx", 3, "cut off"), report()], RenderOptions())
    assert "typical.onnx" in text
    assert "bad.onnx" in text
    assert "cut off" in text
    assert text.endswith("\n")


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_results_give_the_same_text(name, typical, long):
    assert render("report", name, [typical, long]) == render("report", name, [typical, long])


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_lets_a_name_through_that_a_terminal_would_obey(name, hostile_report):
    text = render(
        "report", name, [hostile_report, FailedModel(hostile_report.model.path, 3, hostile_report.model.path)]
    )
    text.encode()
    assert text.replace("\r\n", "").replace("\n", "").isprintable()


@pytest.mark.parametrize("name", ["json", "jsonl", "csv", "markdown"])
def test_formats_for_machines_never_load_rich(name):
    code = (
        f"import sys, onnxtop.render as r; r.render('report', {name!r}, []); assert 'rich' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
