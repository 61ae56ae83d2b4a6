"""Pages of comparisons, runs, probes and landscapes: what they say is what was found, and names are text."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from onnxtop.loss.directions import Profile, Surface
from onnxtop.loss.scores import ClassScore
from onnxtop.loss.summary import LayerGradient, LossProbeResult, ShortDescent, Split
from onnxtop.render import render
from onnxtop.render.diff.facts import verdict as diff_verdict
from onnxtop.render.landscape.facts import verdict as landscape_verdict
from onnxtop.render.probe import Probed
from onnxtop.render.probe.facts import verdict_of_all
from onnxtop.render.trace.facts import verdict as trace_verdict
from onnxtop.results.diff import (
    Change,
    Diff,
    DiffSettings,
    Figure,
    LayerDiff,
    NetworkDiff,
    Unmatched,
    Verdict,
    WeightChange,
    WholeDiff,
)
from onnxtop.results.headline import Tone
from onnxtop.results.landscape import LossLandscape, Score
from onnxtop.results.outcome import FailedModel
from onnxtop.results.report import ModelInfo, ToolInfo
from onnxtop.results.trace import Course, Event, TraceVerdict
from tests.render.conftest import HOSTILE_NAMES
from tests.render.test_landscape import minimum, path
from tests.render.test_trace import build as build_trace

TOOL = ToolInfo("onnxtop", "0", {})
STEPS = tuple(-0.5 + step / 20 for step in range(21))


class Parsed(HTMLParser):
    """A page: text and tags of its body, rows of its tables."""

    VOID = ("meta", "link", "br", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.words, self.rows = [], [], [], []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" in self.open or "style" in self.open:
            return
        self.words.append(data)
        if ("td" in self.open or "th" in self.open) and "svg" not in self.open:
            self.rows[-1][-1] += data

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    def row(self, name):
        (row,) = (row for row in self.rows if row[0] == name)
        return [cell.strip() for cell in row]


def layer_diff(name="fc", relative=0.5, changes=("weights changed by 50 %",), **values):
    told = {
        "old_name": name,
        "matched_by": "name",
        "op_type": "Gemm",
        "parameters": 200,
        "shape": (10, 20),
        "old_shape": (10, 20),
        "encoding": "float32",
        "old_encoding": "float32",
        "order": "",
        "weights": WeightChange(relative, None if relative == 0 else 6.0, 0.9, 1.0),
        "neural_persistence": Figure(0.5, 0.625),
        "tree_kept": 0.75,
        "bottleneck": 0.125,
        "changes": changes,
    }
    return LayerDiff(name, **{**told, **values})


def build_diff(*layers, verdict=Verdict.CHANGED, names=("old.onnx", "new.onnx"), **values):
    old, new = (ModelInfo(name, "0" * 64, 1234, "pytorch", 10, {"": 18}, 200) for name in names)
    network = NetworkDiff(Figure(0.5, 0.625), Figure(0.25, 0.25), (200,))
    whole = WholeDiff(verdict, "1 changed constant", 0, operations=(6, 6), matched=6)
    network = dataclasses.replace(network, parameters=(200, 200))
    return Diff(TOOL, old, new, DiffSettings(), whole, network, layers, **values)


def build_probe(name="fc", path="model.onnx", **values):
    told = {
        "loss": 0.25,
        "loss_name": "cross-entropy",
        "samples": 100,
        "parameters": 220,
        "accuracy": 0.875,
        "gradient_norm": 0.5,
        "layers": (LayerGradient(name, 220, 0.5, 0.75, 2.0), LayerGradient("out", 22, 0.25, 0.25, 1.0)),
        "classes": (ClassScore(0, 60, 0.9375, 0.8125), ClassScore(1, 40, None, 0.75)),
        "profiles": (Profile("random 1", 1.0, STEPS, tuple(0.25 + step**2 for step in STEPS)),),
        "surface": Surface((-1.0, 0.0, 1.0), ((1.0, 0.5, 1.0), (0.5, 0.25, 0.5), (1.0, 0.5, 1.0))),
        "descent": ShortDescent(0.2, 0.05, 30, 1.0, False),
    }
    return Probed(path, "0" * 64, 1234, LossProbeResult(**{**told, **values}))


def build_landscape(*names):
    names = names or ("a/low.onnx", "a/high.onnx")
    minima = (minimum(names[0], 0.1), dataclasses.replace(minimum(names[1], 0.2, 0.5), partner=names[0]))
    return LossLandscape(
        score=Score(0.3, 0.3, 0.3, 0.2, 0.3, 2, 1),
        minima=minima,
        passes=(path(names[0], names[1], 0.5),),
        loss="cross-entropy",
        reference_loss=2.3,
        samples=100,
        parameters=220,
        batchnorm="batch",
        l2=0.0,
        label_smoothing=0.0,
        polish=5000,
        finder="neb",
        aligned=True,
        units=16,
        pairs="tree",
        budget=None,
        seed=0,
        gradients=270,
        evaluations=120,
        complete=True,
    )


def hostile_page(result):
    """Render a page in which every name is odd."""
    first, second = HOSTILE_NAMES[6], HOSTILE_NAMES[1]
    failed = FailedModel(first, 3, second)
    if result == "diff":
        layers = [layer_diff(name, old_name=name, op_type=name) for name in HOSTILE_NAMES]
        return render("diff", "html", build_diff(*layers, names=(first, second)))
    if result == "trace":
        trace = build_trace(3, len(HOSTILE_NAMES), names=HOSTILE_NAMES)
        return render("trace", "html", dataclasses.replace(trace, checkpoints=(*trace.checkpoints, failed)))
    if result == "probe":
        probes = [build_probe(name, name, loss_name=name) for name in HOSTILE_NAMES]
        return render("probe", "html", [*probes, failed])
    return render("landscape", "html", build_landscape(first, second))


@pytest.fixture(params=["diff", "trace", "probe", "landscape"])
def odd(request):
    return request.param


def test_a_page_is_whole_and_loads_nothing(odd):
    text = hostile_page(odd)
    page = Parsed(text)
    assert text.endswith("</html>\n")
    assert page.tags.count("h1") == page.tags.count("main") == page.tags.count("script") == 1
    assert not {"img", "iframe", "object", "embed"} & set(page.tags)
    names = {name for name, _ in page.attributes}
    assert not {"style", "src", "srcset"} & names
    assert not any(name.startswith("on") for name in names)
    links = {value for name, value in page.attributes if name == "href"} - {"data:,"}
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(set(ids)) == len(ids)
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_names_are_shown_as_text(odd):
    text = hostile_page(odd)
    assert "<img src=x" in Parsed(text).text
    assert "\\x1b[31mescape" in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e\u2066\ud800]", text)


def test_a_page_is_the_same_bytes_every_time(odd):
    assert hostile_page(odd) == hostile_page(odd)


def test_a_comparison_says_how_far_layers_moved():
    same = layer_diff("same", 0.0, (), neural_persistence=Figure(0.25, 0.25))
    page = Parsed(render("diff", "html", build_diff(layer_diff(), same)))
    row = dict(zip(page.row("layer"), page.row("fc"), strict=True))
    titles = ("change", "SNR dB", "cosine", "NP", "was", "tree kept", "distance")
    assert [row[title] for title in titles] == ["50 %", "6.0", "0.9000", "0.6250", "0.5000", "75 %", "0.1250"]
    assert dict(zip(page.row("layer"), page.row("same"), strict=True))["changed"] == "same"
    assert "changed: 1 of 2 layers" in page.text
    assert "old.onnx → new.onnx" in page.text


@pytest.mark.parametrize("form", ["html", "terminal", "markdown"])
def test_every_format_tells_the_most_important_difference_first(form):
    kinds = ("interface", "removed", "edge", "attribute", "constant")
    told = tuple(Change(kind, f"at {kind}", f"one {kind} less", None, True) for kind in kinds)
    whole = WholeDiff(Verdict.CHANGED, "changed", 0, told[1:], told[:1], operations=(6, 6), matched=6)
    alone = {each: (Unmatched(f"{each}layer", "Gemm", (4, 4), 16),) for each in ("vanished", "appeared")}
    text = render("diff", form, dataclasses.replace(build_diff(layer_diff()), whole=whole, **alone))
    places = [text.index(f"{kind} less") for kind in kinds]
    places += [text.index(f"{each}layer") for each in alone]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("verdict", "tone"),
    [(Verdict.SAME, Tone.GOOD), (Verdict.CHANGED, Tone.BAD), (Verdict.UNPROVEN, Tone.DOUBT)],
)
def test_the_tone_of_a_comparison(verdict, tone):
    assert diff_verdict(build_diff(verdict=verdict)).tone is tone


def test_every_verdict_has_plain_words():
    assert len({diff_verdict(build_diff(verdict=verdict)).words for verdict in Verdict}) == len(Verdict)


def test_a_run_says_where_it_came_from_and_what_happened():
    event = Event("frozen", "fc0", "fc2", "fc0 was frozen from fc2 on")
    trace = build_trace(verdict=TraceVerdict(Course.SETTLED, "fc5", "settled since fc5", (event,)))
    page = Parsed(render("trace", "html", trace))
    assert trace_verdict(trace).tone is Tone.DOUBT
    assert "settled since fc5; 1 event" in page.text
    assert "fc0 was frozen from fc2 on" in page.text
    row = dict(zip(page.row("checkpoint"), page.row("fc3"), strict=True))
    assert (row["NP"], row["moved"], row["loss"], row["accuracy"]) == ("0.1875", "3.0e-04", "0.5000", "75 %")
    assert page.text.count("fc5: 0.3125") >= 2  # dots of mean NP, and of a layer


def test_a_run_without_events_is_good_and_one_that_diverged_is_bad():
    assert trace_verdict(build_trace()).tone is Tone.GOOD
    bad = build_trace(verdict=TraceVerdict(Course.DIVERGED, "fc3", "diverged at fc3: all weights are 0"))
    assert trace_verdict(bad).tone is Tone.BAD
    assert trace_verdict(bad).words == "diverged at fc3"


def test_a_probe_has_its_figures_and_pictures():
    page = Parsed(render("probe", "html", [build_probe()]))
    assert "loss 0.2500, accuracy 0.8750, gradient norm 0.5000" in page.text
    assert page.row("fc") == ["fc", "220", "0.5000", "75.0%"]
    assert page.row("1") == ["1", "40", "", "0.7500"]
    assert "0: 0.25" in page.text  # the middle of the profile
    assert "second direction" in page.text
    assert page.tags.count("svg") >= 6  # verdict, profile, surface, two layers, classes


@pytest.mark.parametrize(("chosen", "other"), [("", "test"), ("test", "")])
def test_a_probe_says_which_split_a_figure_is_of(chosen, other):
    probed = build_probe(split=chosen, splits=(Split(other, 7, 0.5, 0.75, 1.0, None),))
    for form in ("html", "terminal"):
        text = render("probe", form, [probed])
        assert f"100 samples of split {chosen or 'main'}" in text
        assert f"split {other or 'main'}: 7 samples, loss 0.5000, accuracy 0.7500" in text


def test_many_probes_stand_in_a_table_that_leads_to_each():
    bad = build_probe(path="bad.onnx", failed=("loss 0.25 is above 0.1 (--max-loss)",))
    results = [build_probe(), bad, FailedModel("none.onnx", 3, "no such file")]
    text = render("probe", "html", results)
    page = Parsed(text)
    assert verdict_of_all(results).tone is Tone.BAD
    assert "3 models: 1 failed, 1 not probed, 1 probed" in page.text
    assert page.row("bad.onnx")[-1] == "loss 0.25 is above 0.1 (--max-loss)"
    assert page.row("none.onnx")[-1] == "not probed: no such file"
    assert re.search(r'<a href="#(model-1)">.*id="\1"', text, re.S)


def test_a_landscape_has_its_bars_and_paths():
    page = Parsed(render("landscape", "html", build_landscape()))
    row = dict(zip(page.row("minimum"), page.row("high"), strict=True))
    titles = ("birth", "death <=", "length", "lost to")
    assert [row[title] for title in titles] == ["0.2000", "0.5000", "<= 0.3000", "low"]
    assert page.row("low → high")[1] == "yes"
    assert "2 minima; from one to a lower one the loss rises by at most 0.3000 on average" in page.text
    assert "low: birth 0.1000, death never" in page.text


def test_a_landscape_is_doubted_where_a_point_is_no_minimum():
    found = build_landscape()
    assert landscape_verdict(found).tone is Tone.GOOD
    falls = minimum("a/high.onnx", 0.2, 0.5, "falls for ever")
    told = landscape_verdict(dataclasses.replace(found, minima=(found.minima[0], falls)))
    assert told.tone is Tone.DOUBT
    assert told.words.endswith("no minimum: 1 of 2")


def test_pages_of_nothing():
    unknown = TraceVerdict(Course.UNKNOWN, None, "no checkpoint could be read")
    trace = build_trace(verdict=unknown, checkpoints=())
    assert "too short to tell" in Parsed(render("trace", "html", trace)).text
    assert "the same model" in Parsed(render("diff", "html", build_diff(verdict=Verdict.SAME))).text
    assert "cut off" in Parsed(render("probe", "html", [FailedModel("a.onnx", 3, "cut off")])).text


def test_size_of_a_comparison_and_a_run_of_thousands_of_layers():
    layers = [layer_diff(f"/blocks.{number}/attention/query/MatMul") for number in range(2000)]
    assert len(render("diff", "html", build_diff(*layers))) < 5_000_000
    assert len(render("trace", "html", build_trace(40, 2000))) < 5_000_000
