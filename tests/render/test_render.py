import subprocess
import sys

import pytest

from onnxtop.errors import UsageError
from onnxtop.render import FORMATS, SUFFIXES, FailedModel, RenderOptions, render


def test_an_unknown_format_is_refused_by_name():
    with pytest.raises(UsageError, match="markdown, junit, sarif, github, found 'yaml'"):
        render("yaml", [])


def test_every_suffix_has_a_format():
    """GitHub's annotations are read from what a step prints, never from a file."""
    assert set(SUFFIXES.values()) == set(FORMATS) - {"github"}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_renders_every_kind_of_result(name, typical, report):
    text = render(name, [typical, FailedModel("bad.onnx", 3, "cut off"), report()], RenderOptions())
    assert "typical.onnx" in text
    assert "bad.onnx" in text
    assert "cut off" in text
    assert text.endswith("\n")


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_results_give_the_same_text(name, typical, long):
    assert render(name, [typical, long]) == render(name, [typical, long])


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_lets_a_name_through_that_a_terminal_would_obey(name, hostile_report):
    text = render(
        name, [hostile_report, FailedModel(hostile_report.model.path, 3, hostile_report.model.path)]
    )
    text.encode()
    assert text.replace("\r\n", "").replace("\n", "").isprintable()


@pytest.mark.parametrize("name", ["json", "jsonl", "csv", "markdown"])
def test_formats_for_machines_never_load_rich(name):
    code = f"import sys, onnxtop.render as r; r.render({name!r}, []); assert 'rich' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
