"""Pages: whole files that need nothing, hold everything, and show names of strangers as text."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from jinja2 import UndefinedError
from jinja2.loaders import ChoiceLoader, DictLoader
from markupsafe import escape

from onnxtop.glossary.terms import TERMS, term_of
from onnxtop.render import RenderOptions, render
from onnxtop.render.html import charts, page as pages
from onnxtop.render.text import visible
from onnxtop.results.details import LayerDetails, StrongWeight
from onnxtop.results.graph import GraphNode, LayerGraph
from onnxtop.results.headline import Headline, Tone, headline_of
from onnxtop.results.outcome import FailedModel
from onnxtop.results.report import Finding
from onnxtop.statistics.facts import Exchangeability, Histogram, LayerStatistics
from onnxtop.statistics.layer import layer_statistics

VOID = {"meta", "link", "path", "rect", "circle", "input", "br"}


class Parsed(HTMLParser):
    """What a page holds: tags with their attributes, the text in them, and whether they are well nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def values(self, name: str) -> list[str]:
        return [attrs[name] for _, attrs in self.tags if name in attrs]

    def words(self, *tags: str) -> list[str]:
        return [text.strip() for tag, text in self.texts if tag in tags and text.strip()]


def page_of(*results, **options) -> str:
    return render("report", "html", list(results), RenderOptions(**options))


def detailed(layer, name="fc", points=64, **changes):
    """Build a layer with everything that a page may tell of it."""
    bars = tuple(0.9 - 0.001 * rank for rank in range(points))
    weights = tuple(
        StrongWeight(i, i + 1, 0.5 - i / 100, f"x[{i}]", f"{name}[{i + 1}]", i % 3) for i in range(10)
    )
    details = LayerDetails(
        n_bars=2 * points,
        ranks=tuple(range(1, 2 * points, 2)),
        bars=bars,
        null_low=tuple(bar - 0.01 for bar in bars),
        null_high=tuple(bar + 0.01 for bar in bars),
        histogram=Histogram(-0.5, 0.5, tuple(range(40))),
        strongest=weights,
        bottlenecks=weights[:5],
    )
    values = {
        "details": details,
        "statistics": LayerStatistics(20, 10, -0.5, 0.5, 0.25, 3, rank=7, rank_limit=10),
        "exchangeability": Exchangeability(False, ("rows",), bias_moved=True),
        "source": "net.py:45",
    }
    return layer(name, **{**values, **changes})


def graph_of(layers):
    nodes = {"input:x": GraphNode("input", "x", neurons=20)}
    nodes |= {
        f"layer:{each.name}": GraphNode("layer", each.name, each.op_type, 20, 10, 200, 10) for each in layers
    }
    keys = list(nodes)
    return LayerGraph("model.onnx", "exact", (), nodes, tuple(pairwise(keys)))


@pytest.fixture
def whole(report, layer):
    """Build a report of three layers with details and their graph."""
    layers = [detailed(layer, name) for name in ("a.first", "b.second", "c.third")]
    return report(*layers, graph=graph_of(layers))


# The frame


def test_a_page_allows_its_style_its_script_and_nothing_else(whole):
    text = page_of(whole)
    style, script = (re.search(rf"<{tag}>(.*?)</{tag}>", text, re.S)[1] for tag in ("style", "script"))
    hashes = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in (style, script)]
    policy = next(each for each in Parsed(text).values("content") if "default-src" in each)
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{hashes[0]}'" in policy
    assert f"script-src 'sha256-{hashes[1]}'" in policy
    assert "unsafe" not in policy


def test_nothing_in_a_page_leads_out_of_it(whole):
    parsed = Parsed(page_of(whole))
    names = {name for _, attrs in parsed.tags for name in attrs}
    assert not {name for name in names if name == "style" or name.startswith("on")}
    assert not names & {"src", "srcset", "action", "background", "poster"}
    assert all(link.startswith("#") or link == "data:," for link in parsed.values("href"))


def test_every_id_is_there_once_and_every_link_leads_to_one(whole, report, layer):
    for results in ([whole], [whole, replace(whole, model=replace(whole.model, path="other.onnx"))]):
        parsed = Parsed(page_of(*results))
        ids = parsed.values("id")
        assert len(ids) == len(set(ids))
        aims = {link[1:] for link in parsed.values("href") if link.startswith("#")}
        aims |= {*parsed.values("aria-labelledby"), *parsed.values("data-table")}
        assert aims <= set(ids)


def test_headings_go_down_by_single_steps(whole):
    for results in ([whole], [whole, FailedModel("bad.onnx", 3, "cut off")]):
        levels = [int(tag[1]) for tag, _ in Parsed(page_of(*results)).tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))


def test_a_word_is_explained_once_however_often_it_is_used(whole):
    text = page_of(whole)
    assert text.count('href="#word-np"') > 1
    assert text.count(str(escape(term_of("np").what))) == 1


def test_a_page_is_the_same_each_time(whole):
    assert page_of(whole) == page_of(whole)


def test_no_two_words_of_the_glossary_have_one_key():
    terms = [term for terms in TERMS.values() for term in terms]
    assert len({pages._key_of(term) for term in terms}) == len({term.name for term in terms})


@pytest.fixture
def template(monkeypatch):
    """Let a template be written in a test."""
    environment = pages._environment()

    def use(source):
        loader = ChoiceLoader([DictLoader({"test.html": source}), environment.loader])
        monkeypatch.setattr(environment, "loader", loader)
        environment.cache.clear()
        return "test.html"

    yield use
    environment.cache.clear()


def test_whatever_a_template_shows_is_text(template):
    name = template("<p>{{ a }}</p>{{ term('np', a) }}{% call section('s', a) %}{{ a ~ a }}{% endcall %}")
    text = pages.page("<t>", Headline(Tone.BAD, "<h>\x1b"), name, a="<b>\u202e\x1b[31m")
    assert "<b>" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert text.count("&lt;b&gt;\\u202e\\x1b[31m") == 6  # the title of the section is in the bar as well
    assert "&lt;t&gt;: &lt;h&gt;\\x1b" in text


def test_a_template_that_asks_for_what_is_not_there_fails(template):
    with pytest.raises(UndefinedError):
        pages.fragment(template("{{ missing }}"))
    with pytest.raises(KeyError):
        pages.fragment(template("{{ term('flogiston') }}"))


def test_a_fragment_has_a_style_and_neither_page_nor_script(template):
    name = template(
        '{% from "macros.html" import verdict with context %}{{ verdict(h, "m.onnx") }}{{ term("np", "NP") }}'
    )
    text = pages.fragment(name, h=Headline(Tone.GOOD, "trained"))
    tags = [tag for tag, _ in Parsed(text).tags]
    assert tags[:2] == ["div", "style"]
    assert not {"html", "body", "script", "a"} & set(tags)
    assert ("abbr", "NP") in Parsed(text).texts


# Small pictures


def test_a_bar_is_as_long_as_its_value_is_between_its_ends():
    assert 'width="25%"' in charts.bar(0.25)
    assert 'width="50%"' in charts.bar(0.9, low=0.8, high=1.0)
    assert 'width="100%"' in charts.bar(7.0)
    assert charts.bar(None) == charts.bar(float("nan")) == ""


def test_a_curve_is_broken_where_it_has_no_value():
    text = charts.lines({"a": [1.0, None, 3.0, 4.0], "b": [float("nan")] * 4}, title="x", marks={2: "stop"})
    assert re.findall(r'<path d="([^"]*)" class="line s(\d)"', text) == [
        ("M50 238h0", "0"),
        ("M515.3 90L748 16", "0"),
    ]
    assert ">stop</text>" in text


def test_a_histogram_is_as_high_as_its_counts():
    text = charts.histogram(-1.0, 1.0, [0, 4, 2], title="w", size=(356, 160))
    assert 'd="M44 138V138H146V16H248V77H350V138z"' in text


def labels_of(text):
    """Return the words of a picture with their places and anchors."""
    found = re.findall(r'<text x="(\d+)" y="\d+" class="\w+"(?: text-anchor="(\w+)")?>([^<]*)</text>', text)
    return [(float(x), anchor, word) for x, anchor, word in found]


ALIKE = {
    "what is between": ["/hidden1/Gemm", "/hidden2/Gemm", "/output/Gemm"],
    "numbers of blocks": [f"/model/layers.{i}/self_attn/q_proj/MatMul" for i in range(12)],
    "the end": [f"a_checkpoint_of_a_long_training_run_{i}.onnx" for i in range(5)],
    "the beginning": [f"{i}_of_a_long_training_run_of_some_network" for i in range(5)],
    "deep inside": [f"model.encoder.block{i}.attention.output.dense.weight" for i in range(3)],
}


@pytest.mark.parametrize("names", ALIKE.values(), ids=list(ALIKE))
def test_names_beside_each_other_are_cut_where_they_are_alike(names):
    below = charts.lines({"a": range(len(names))}, names=names, title="x", size=(460, 220))
    words = [word for x, anchor, word in labels_of(below) if not word.isdigit()]
    assert len(words) > 1
    assert len(set(words)) == len(words)
    assert max(map(len, words)) <= 10
    before = charts.bars(dict.fromkeys(names, 0.5), title="x")
    words = [word for x, anchor, word in labels_of(before) if word != "0.5"]
    assert len(set(words)) == len(words) == len(names)


@pytest.mark.parametrize("size", [(460, 220), (760, 260)])
@pytest.mark.parametrize("count", [1, 2, 3, 6, 7, 12, 13, 40, 200])
def test_names_below_an_axis_stay_on_the_picture_and_off_each_other(count, size):
    names = [f"layer_{i:04}" for i in range(count)]
    text = charts.lines({"a": [1.0] * count}, names=names, title="x", size=size)
    ends = []
    for x, anchor, word in labels_of(text):
        if word in names:
            wide = 5.8 * len(word)  # as the widest such names of the usual fonts
            start = x - wide * {"middle": 0.5, "end": 1.0}[anchor]
            ends.append((start, start + wide))
    assert ends
    assert ends[0][0] >= 0
    assert ends[-1][1] <= size[0]
    assert all(before <= after for (_, before), (after, _) in pairwise(ends))


@pytest.mark.parametrize("value", [0.0, -0.5, 3.0, 0.1])
def test_weights_that_are_one_value_are_a_narrow_bar_in_the_middle(value):
    text = charts.histogram(value, value, [12], title="w", size=(350, 160))
    assert 'd="M191 138V16H197V138z"' in text  # of 44 to 344
    assert re.findall(r'x="194"[^>]*>([^<]*)<', text) == [f"{value:g}"]


@pytest.mark.parametrize(("value", "place"), [(1.0, 0), (1.0, 1), (0.0, 7)])
def test_a_curve_of_one_value_has_no_other_number_beside_it(value, place):
    text = charts.curve([value], at=[place], title="x")
    assert re.findall(r">([^<]*)</text>", text) == [f"{value:g}", f"{place:g}"]
    flat = charts.curve([value, value], at=[place, place + 1], title="x")
    assert re.findall(r">([^<]*)</text>", flat)[0] == f"{value:g}"


def zeroed(rows, columns):
    matrix = np.random.default_rng(1).standard_normal((40, 60))
    matrix[len(matrix) - rows :] = 0.0
    matrix[:, 60 - columns :] = 0.0
    return layer_statistics([matrix])


@pytest.mark.parametrize(
    ("statistics", "rank", "most"),
    [
        (zeroed(40, 60), "0", 40),
        (zeroed(0, 0), "at least 32", 40),
        (zeroed(8, 0), "32", 40),
        (zeroed(30, 0), "10", 40),
        (zeroed(0, 55), "5", 40),
        (layer_statistics([np.ones((40, 60))]), "1", 40),
        (layer_statistics([np.eye(6)]), "6", 6),
    ],
)
def test_a_rank_is_told_as_far_as_it_is_known_beside_what_the_shape_allows(
    report, layer, statistics, rank, most
):
    text = page_of(report(layer(statistics=statistics)))
    assert re.search(f'>rank</a></dt>\\s*<dd>{rank} <span class="note">of at most {most}</span>', text)


@pytest.mark.parametrize(
    "names",
    [
        ("/encoder/" + "/".join(f"block_{i}_with_a_long_name" for i in range(8)), "short"),
        ("a" * 200, "a" * 100 + "b" + "a" * 99),
        (f"{'long/' * 20}left{'/long' * 20}", f"{'long/' * 20}right{'/long' * 20}"),
    ],
)
def test_a_long_name_of_a_neuron_is_a_part_of_it_with_the_whole_at_hand(report, layer, names):
    weights = tuple(
        StrongWeight(i, 7, 0.5, f"{name}[{i}]", f"{other}[7]", 1)
        for i, (name, other) in enumerate((names, names[::-1]))
    )
    one = detailed(layer)
    text = page_of(report(replace(one, details=replace(one.details, strongest=weights, bottlenecks=()))))
    table = text[text.index('id="l0-strong"') :]
    cells = re.findall(r"<bdi(?: title=\"([^\"]*)\")?>([^<]*)</bdi>", table[: table.index("</table>")])
    assert [whole or shown for whole, shown in cells] == [
        neuron for each in weights for neuron in (each.source, each.target)
    ]
    assert all(len(shown) <= 28 + len("[7]") for _, shown in cells)
    assert [shown[-3:] for _, shown in cells] == ["[0]", "[7]", "[1]", "[7]"]
    assert len({shown for _, shown in cells}) == 4


def test_a_diagram_has_a_point_a_bar_under_the_diagonal():
    text = charts.diagram([0.0, 0.5, 0.5], title="d")
    assert 'd="M160 77h0M160 138h0"' in text


@pytest.mark.parametrize(
    "picture",
    [
        charts.lines({}, title="x"),
        charts.lines({"a": [None]}, title="x"),
        charts.curve([], title="x"),
        charts.histogram(0.0, 0.0, [], title="x"),
        charts.histogram(float("nan"), 1.0, [1], title="x"),
        charts.diagram([float("nan")], title="x"),
        charts.spark([None]),
    ],
)
def test_what_has_no_figures_is_not_drawn(picture):
    assert picture == ""


def test_words_in_pictures_are_text():
    text = charts.bars({"<b>\x1b": 1.0, "none": None}, title="<i>") + charts.lines(
        {"a": [1.0]}, names=["<u>"], title=""
    )
    assert "&lt;b&gt;\\x1b" in text
    assert "&lt;i&gt;" in text
    assert "&lt;u&gt;" in text
    assert not re.search("<[biu]>", text)


# Reports


def test_a_page_holds_what_the_other_formats_tell(typical):
    parsed = Parsed(page_of(typical))
    shown = [text for _, text in parsed.texts]
    for layer in typical.layers:
        assert visible(layer.name) in shown
    for finding in typical.findings:
        assert any(finding.message in text for text in shown)
    for weight in typical.coverage.skipped:
        assert weight.reason in shown
    assert typical.model.sha256 in shown
    assert parsed.words("h1") == [headline_of(typical).words]


def test_the_table_adds_up(typical):
    text = page_of(typical)
    table = text[text.index('<table class="sheet" id="table"') :].partition("</table>")[0]
    rows = re.findall(r'<tr id="r\d+">.*?</tr>', table)
    assert len(rows) == len(typical.layers)
    sizes = [each.n_in * each.n_out for each in typical.layers]
    assert [float(re.search(r'data-v="([^"]*)"', row)[1]) for row in rows] == sizes


def test_the_details_of_a_layer_are_drawn(whole):
    parsed = Parsed(page_of(whole))
    assert parsed.values("id").count("l1") == 1
    titles = [text for tag, text in parsed.texts if tag == "title"]
    for layer in whole.layers:
        assert f"Bars of {layer.name}: 128 bars" in titles
        assert f"Persistence diagram of {layer.name}" in titles
        assert f"Weights of {layer.name}, from -0.5 to 0.5" in titles
        assert f"{layer.name}[10]" in parsed.words("bdi")  # the target of its last strong weight
    assert sum("node" in attrs.get("class", "").split() for _, attrs in parsed.tags) == 4
    assert "net.py:45" in parsed.words("bdi")


def test_a_report_without_details_has_no_pictures_of_them(whole):
    text = page_of(whole.without_details)
    assert "Persistence diagram" not in Parsed(text).words("figcaption")
    assert 'id="graph"' not in text
    assert text.count('<tr id="r') == 3


def test_names_of_strangers_are_text(hostile_report, hostile):
    text = page_of(hostile_report)
    parsed = Parsed(text)
    assert {tag for tag, _ in parsed.tags} <= {
        *(
            "html",
            "head",
            "meta",
            "title",
            "link",
            "style",
            "body",
            "a",
            "header",
            "strong",
            "nav",
            "ol",
            "li",
        ),
        *("main", "div", "svg", "path", "rect", "h1", "h2", "h3", "p", "bdi", "dl", "dt", "dd", "span", "ul"),
        *("section", "details", "summary", "table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
        *("code", "footer", "script", "circle"),
    }
    assert sum(tag == "script" for tag, _ in parsed.tags) == 1
    assert text.isprintable() or not set(text) & set("\x1b\u202e\u2066\r\t\ud800")
    assert visible(hostile).strip() in {text.strip(' "') for _, text in parsed.texts} | {""}


def test_findings_are_told_by_their_rule_and_many_are_folded(report, layer):
    findings = tuple(Finding("OT101", "error", f"l{i}", "odd", "0") for i in range(5000))
    text = page_of(report(layer("l7"), findings=(Finding("OT201", "note", None, "small", "0"), *findings)))
    parsed = Parsed(text)
    assert "4,995 more" in parsed.words("summary")
    assert text.count(": odd</li>") == 5000
    assert text.index("OT101") < text.index("OT201")
    assert text.count('<a href="#l7">') + text.count('<a href="#r0">') == 1
    assert len(text) < 1_000_000


def test_many_models_stand_in_a_table_the_worst_first(report, layer, whole):
    bad = report(layer(), path="bad.onnx", findings=(Finding("OT101", "error", "fc", "odd", "0"),))
    text = page_of(whole, bad, FailedModel("lost.onnx", 3, "cut off"), fail_on="error")
    table = text[text.index('id="overview"') :].partition("</table>")[0]
    names = re.findall(r'<a href="#(m\d-model)"><bdi>([^<]*)', table)
    assert names == [("m0-model", "lost.onnx"), ("m1-model", "bad.onnx"), ("m2-model", "model.onnx")]
    assert re.findall(r"<td>(not analysed|failed|passed)</td>", table) == ["not analysed", "failed", "passed"]
    parsed = Parsed(text)
    assert {"m0-model", "m1-model", "m2-model", "m2-graph", "m2-l1"} <= set(parsed.values("id"))
    assert "not analysed: cut off" in parsed.words("h3")


def test_one_page_serves_the_check(whole):
    text = render("check", "html", [whole], RenderOptions(fail_on="error"))
    assert "1 model: 1 passed" in Parsed(text).words("p")


def test_layers_that_were_only_read_are_shown(report, layer):
    read = report(layer("fc", None))
    read = replace(read, settings=replace(read.settings, topology=False))
    text = page_of(read)
    assert "<th scope" in text
    assert ">NP</a></th>" not in text


def test_the_first_screen_claims_no_more_than_was_done(whole):
    sentence = "It has not tried how well the model does its task."
    judged = "as training leaves them or as chance would"
    text = page_of(whole)
    assert sentence in text
    assert judged in text
    quick = replace(whole, settings=replace(whole.settings, structure=False))
    assert judged not in page_of(quick)
    probe = dict.fromkeys(("loss", "reason", "accuracy", "rmse", "gradient_norm", "gradient_reason"))
    probe |= {"loss_name": "cross-entropy", "samples": 3, "split": "", "splits": [], "notes": []}
    assert sentence not in page_of(replace(whole, loss_probe=probe))
    assert "onnxtop read the weights" not in page_of(FailedModel("bad.onnx", 3, "cut off"))


# Sizes


@pytest.mark.parametrize(("layers", "limit", "cards"), [(50, 1_000_000, 50), (2000, 5_000_000, 150)])
def test_a_page_is_small_enough_to_be_sent(report, layer, layers, limit, cards):
    made = [detailed(layer, f"/model/encoder/layers.{i}/attention/self/query/MatMul") for i in range(layers)]
    odd = Finding("OT201", "warning", made[-1].name, "odd", "0")
    text = page_of(report(*made, graph=graph_of(made), findings=(odd,)))
    assert len(text.encode()) < limit
    assert text.count('<tr id="r') == layers
    assert text.count("Persistence diagram of") == cards
    assert f'id="l{layers - 1}"' in text
    assert ("have their details here" in text) == (cards < layers)
