import re

import pytest

from onnxtop.render import RenderOptions
from onnxtop.render.report.markdown import render
from onnxtop.results.report import Finding, LayerPersistence


def table_of(text):
    return [line for line in text.splitlines() if line.startswith("|")]


def test_the_golden_file_adds_up(golden, typical):
    weights = [line.split("|")[4].strip().replace(",", "") for line in table_of(golden("typical.md"))[2:]]
    assert sum(map(int, weights)) == typical.coverage.parameters_analysed


def test_a_long_table_is_folded_and_summarised(long):
    text = render([long], RenderOptions())
    assert "<details><summary>500 layers</summary>\n\n| layer" in text
    assert text.count("<details>") == text.count("</details>") == 1
    assert "*242 layers left out*" in text
    assert "--all shows every one" in text.replace("&#45;", "-")
    assert len(table_of(render([long], RenderOptions(all_rows=True)))) == 502


def test_every_row_of_a_hostile_table_has_seven_cells(hostile_report):
    for line in table_of(render([hostile_report], RenderOptions())):
        assert len(re.findall(r"(?<!\\)\|", line)) == 8


def test_hostile_names_mean_nothing_to_markdown(hostile_report):
    text = render([hostile_report], RenderOptions())
    outside = re.sub(r"`[^`\n]*`", "", text)
    assert "<img" not in outside
    assert "@octocat" not in outside
    assert "www.example" not in outside
    assert "[red]" not in outside
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("conv1", "`conv1`"),
        ("a|b", "<code>a&#124;b</code>"),
        ("`", "<code>&#96;</code>"),
        ("", "<code></code>"),
    ],
)
def test_names_are_code(report, layer, name, shown):
    assert table_of(render([report(layer(name))], RenderOptions()))[2].startswith(f"| {shown} |")


def test_long_lists_end_with_their_number(report, layer):
    findings = tuple(Finding("OT101", "note", f"l{i}", "odd", str(i)) for i in range(30))
    many = report(layer(), findings=findings)
    text = render([many], RenderOptions())
    assert "- and 10 more" in text
    assert "more;" not in render([many], RenderOptions(all_rows=True))


def test_bars_are_a_column_where_they_are_known(typical, report, layer):
    header, _, first, second, *_ = table_of(render([typical], RenderOptions()))
    assert header.split(" | ")[-2] == "bars"
    assert first.split(" | ")[-2] == "30"
    assert second.split("|")[-3].strip() == ""
    assert "bars" not in table_of(render([report(layer())], RenderOptions()))[0]


def test_the_excess_stands_beside_z(report, layer):
    measured = LayerPersistence(2.0, 0.5, null_mean=0.45, null_std=0.01, z=5.0, excess=0.05, excess_share=0.1)
    page = table_of(render([report(layer(neural_persistence=measured), layer("b"))], RenderOptions()))
    assert "| NP | total | z | excess |" in page[0]
    assert "| 5.0 | 10.0 % |" in page[2]
    assert "|  |  |" in page[3]
