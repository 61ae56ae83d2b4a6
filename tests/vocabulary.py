"""Every word that is printed, found by printing: results filled by their types, in every format there is.

A new field of a result is filled by itself, so what a renderer makes of it is looked at without being listed
here. Names of a model's own stand as `OWN`, which no word of ours is.
"""

import dataclasses
import enum
import functools
import html
import importlib
import inspect
import json
import pkgutil
import random
import re
import types
import typing
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxtop.render
from onnxtop.auditing.layer_graph import NOT_REACHED, NOT_TAKEN, NOT_USED
from onnxtop.auditing.story import audit
from onnxtop.cli.words import marked
from onnxtop.loss.directions import Surface
from onnxtop.loss.summary import LossProbeResult
from onnxtop.options import declared
from onnxtop.render import RENDERERS, RenderOptions, render
from onnxtop.render.probe import Probed
from onnxtop.render.table import Column
from onnxtop.results.diff import Diff
from onnxtop.results.graph import GraphNode, LayerGraph
from onnxtop.results.landscape import LossLandscape, Minimum
from onnxtop.results.outcome import FailedModel
from onnxtop.results.report import Report
from onnxtop.results.trace import Checkpoint, Event, Trace, TraceVerdict

OWN = "ownname0"
"""Stands where a model has a name of its own; words with digits are no words."""

VARIANTS = 12
LONG = 45
"""Layers of a table that is too long to be shown whole."""
ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "sample_models"


def modules(package: types.ModuleType) -> Iterator[types.ModuleType]:
    """Yield the modules of a package, however deep."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__") and ".integrations." not in found.name:  # frameworks
            yield importlib.import_module(found.name)


OPTIONS = [
    option
    for module in modules(onnxtop)
    if re.fullmatch(r"onnxtop\.\w+\.options", module.__name__)
    for kind in vars(module).values()
    if dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
    for option in declared(kind).values()
]
"""What the dataclasses of each room's options declare."""


class Filler:
    """Makes dataclasses of any kind; where a field may be several things, each at some number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def make(self, hint: Any, name: str = "", owner: type | None = None) -> Any:
        """Return a value of the annotated type: of the field of this name, if it is one's."""
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Annotated:
            return self.make(args[0], name, owner)
        if origin is typing.Literal:
            return self.one_of(args, name)
        if origin in (typing.Union, types.UnionType):
            return self.make(self.one_of(args, name), name, owner)
        if origin is tuple:
            several = dataclasses.is_dataclass(args[0]) or args[0] is str
            many = self.one_of((2, 0, 2, LONG), name) if several else 2
            return tuple(Filler(self.number + i).make(args[0], name, owner) for i in range(many))
        if origin is not None and issubclass(origin, Mapping):
            return {OWN: self.make(args[1], name, owner)}
        if dataclasses.is_dataclass(hint):
            return self.instance(hint)
        if issubclass(hint, enum.Enum):
            return self.one_of(list(hint), name)
        if hint is str:
            return self.one_of(values_of(owner, name) or choices(name) or [OWN, OWN, ""], name)
        return self.one_of(
            {bool: (True, False), int: (0, 1, 2), float: (0.25, 0.5, 0.0)}.get(hint, (None,)), name
        )

    def instance(self, kind: Any) -> Any:
        """Return a dataclass of this kind; its optional numbers are there together, or none of them is."""
        hints = typing.get_type_hints(kind, include_extras=True)
        chosen = self.one_of((float, float, type(None)), kind.__name__)
        for name, hint in hints.items():
            if hint in (float | None, int | None):
                hints[name] = chosen if chosen is type(None) or hint == float | None else int
        made = {each.name: self.make(hints[each.name], each.name, kind) for each in dataclasses.fields(kind)}
        return kind(**made)

    def one_of(self, values: Sequence[Any], name: str) -> Any:
        """Return one of the values, by a draw of the field's own, the same in every run."""
        return random.Random(f"{name} {self.number}").choice(values)


def values_of(owner: type | None, name: str) -> list[str]:
    """Return the values that a docstring gives a field in quotes."""
    doc = " ".join((inspect.getdoc(owner) or "").split()) if owner else ""
    found = re.search(rf"``{name}``[^.;]*?\bis ([^.;]*)", doc)
    return [word for word in marked(found[1]) if f'"{word}"' in found[1]] if found else []


def choices(name: str) -> list[str]:
    """Return the words that an option of this name may be."""
    found = (getattr(each, "choices", ()) for each in OPTIONS if each.name == name)
    return [word for words in found for word in words]


@functools.cache
def reports(number: int) -> Report:
    """Return a report, with what running the model on data gave as the verbs that do so write it."""
    probed, found = probes(number).to_dict(), landscapes(number).to_dict()
    extra = {"loss_probe": probed, "loss_landscape": found, "graph": graphs(number)}
    there = extra if number % 2 else dict.fromkeys(extra)
    return dataclasses.replace(Filler(number).instance(Report), **there)


@functools.cache
def probes(number: int) -> LossProbeResult:
    """Return a probe; its profiles have as many points as real ones, which is more than two."""
    made: LossProbeResult = Filler(number).instance(LossProbeResult)
    line = tuple(-0.5 + step / 20 for step in range(21))
    profiles = tuple(dataclasses.replace(each, steps=line, losses=line) for each in made.profiles)
    return dataclasses.replace(made, profiles=profiles, surface=made.surface or Filler(0).instance(Surface))


@functools.cache
def landscapes(number: int) -> LossLandscape:
    """Return a landscape, which is never without minima; all of them have one name, by which paths go."""
    made: LossLandscape = Filler(number).instance(LossLandscape)
    minima = made.minima or (Filler(number).instance(Minimum),)
    return dataclasses.replace(
        made,
        minima=tuple(
            dataclasses.replace(each, name=OWN, partner=OWN if each.partner else None) for each in minima
        ),
        passes=tuple(dataclasses.replace(each, first=OWN, second=OWN) for each in made.passes),
    )


@functools.cache
def traces(number: int) -> Trace:
    """Return a training run: checkpoints of one architecture, and a failure."""
    made: Trace = Filler(number).instance(Trace)
    points = [
        dataclasses.replace(Filler(number + i).instance(Checkpoint), name=f"{OWN}{i}", path=OWN)
        for i in range(3)
    ]
    layers = next((point.layers for point in points if point.layers), ())
    steps = [dataclasses.replace(point, layers=layers) for point in points]
    event = Event(Filler(number).make(str, "kind", Event), OWN, steps[1].name, OWN)
    names = {"stopped": steps[2].name, "best": steps[1].name}
    return dataclasses.replace(
        made,
        verdict=TraceVerdict(made.verdict.course, steps[number % 3].name, OWN, (event,)),
        stopping=dataclasses.replace(made.stopping, **(names if number % 2 else dict.fromkeys(names))),
        checkpoints=(*steps, FailedModel(OWN, 3, OWN)),
    )


@functools.cache
def graphs(number: int) -> LayerGraph:
    """Return a layer graph with nodes of every kind, some of them cut off, and a cycle."""
    made = [
        dataclasses.replace(
            Filler(number + i).instance(GraphNode), kind=kind, name=f"{OWN}{i}", remark=remark
        )
        for kind in values_of(GraphNode, "kind")
        for i, remark in enumerate((None, NOT_REACHED, NOT_USED, NOT_TAKEN))
    ]
    nodes = {f"{node.kind}:{node.name}": node for node in made}
    edges = tuple((tail, head) for tail in nodes for head in nodes if tail[-1] == head[-1])
    return LayerGraph(OWN, f"conservative ({OWN})", (OWN,), nodes, edges)


def exemplars(result: str, format_name: str, number: int) -> Any:
    """Return what may be rendered as a result of this kind."""
    failed = FailedModel(OWN, 3, OWN)
    one = {
        "diff": lambda: Filler(number).instance(Diff),
        "landscape": lambda: landscapes(number),
        "trace": lambda: traces(number),
        "graph": lambda: graphs(number),
        "probe": lambda: [Probed(OWN, OWN, 3, probes(number)), failed][: 1 if format_name == "svg" else 2],
    }
    return one.get(result, lambda: [reports(number), failed])()


def filled() -> Iterator[tuple[str, str, str]]:
    """Yield (result, format, what is printed) of filled results."""
    for result, formats in RENDERERS.items():
        for name in formats:
            for number in range(VARIANTS):
                options = RenderOptions(width=120, all_rows=number % 2 == 0, fail_on="warning")
                yield result, name, render(result, name, exemplars(result, name, number), options)


def real() -> Iterator[tuple[str, str, str]]:
    """Yield (result, format, what is printed) of sample models, without what their files say themselves."""
    reports = [nameless(audit(SAMPLES / f"{name}.onnx")) for name in ("mlp_untrained", "lstm_torch_legacy")]
    for result in ("report", "check"):
        for name in RENDERERS[result]:
            yield result, name, render(result, name, reports, RenderOptions(width=120))


def nameless(report: Report) -> Report:
    """Take out of a report what its file says, and messages, which their rules explain."""
    figures = report.network.neural_persistence
    assert figures.largest is not None
    largest = dataclasses.replace(figures.largest, layer=OWN)
    figures = dataclasses.replace(figures, largest=largest)
    graph = None if report.graph is None else dataclasses.replace(report.graph, model=OWN)
    return dataclasses.replace(
        report,
        model=dataclasses.replace(report.model, path=OWN, producer=OWN, opset={OWN: 1}, function=None),
        coverage=dataclasses.replace(report.coverage, other_kinds={OWN: 1}),
        network=dataclasses.replace(report.network, neural_persistence=figures),
        graph=graph,
        layers=tuple(
            dataclasses.replace(layer, name=f"{OWN}{number}", op_type=OWN)
            for number, layer in enumerate(report.layers)
        ),
        findings=tuple(dataclasses.replace(finding, message=OWN) for finding in report.findings),
    )


def labels(format_name: str, text: str) -> Iterator[str]:
    """Yield what stands for something by itself: keys, titles of columns, what is bold or in capitals."""
    if format_name in ("json", "jsonl"):
        for line in text.splitlines() if format_name == "jsonl" else [text]:
            yield from keys(json.loads(line))
    elif format_name == "csv":
        yield from text.splitlines()[0].split(",")
    elif format_name == "graphml":
        yield from re.findall(r'attr.name="([^"]*)"', text)
    elif format_name == "markdown":
        bold = (html.unescape(each).partition(":")[0] for each in re.findall(r"\*\*([^*\n]+)\*\*", text))
        yield from (each for each in bold if not re.search(r"\d", each))  # a count is part of a sentence
        yield from re.findall(r"^- ([\w ]+):", text, re.M)
        for head in re.findall(r"^(.*)\n\|:?-", text, re.M):
            yield from filter(None, (cell.strip() for cell in head.strip("|").split("|")))
    elif format_name == "html":
        body = text[text.index("<main") : text.index("</main>")]
        for label in re.findall(r"<(?:th|dt)\b[^>]*>(.*?)</(?:th|dt)>", body):
            plain = html.unescape(re.sub(r"<[^>]*>", "", label))
            if "<bdi>" not in label and not re.search(r"\d|^onnxtop ", plain):  # a name, a count, a command
                yield plain
    yield from re.findall(r"\b[A-Z]{2,}(?:[ -][A-Za-z]{4,})*\b", shown(format_name, text))


def keys(value: Any) -> Iterator[str]:
    """Yield the keys of a JSON value, but for those that are names of a model's own."""
    if isinstance(value, dict):
        yield from (key for key in value if key != OWN)
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys(item)


def columns() -> Iterator[tuple[str, str]]:
    """Yield (module, title) of the columns of all tables of the terminal."""
    for module in modules(onnxtop.render):
        for value in vars(module).values():
            held = value.values() if isinstance(value, dict) else ()
            yield from ((module.__name__, each.title) for each in held if isinstance(each, Column))


def shown(format_name: str, text: str) -> str:
    """Return what people read of a text, without markup and names; empty if programs read it."""
    if format_name in ("terminal", "text", "markdown"):
        found = text
    elif format_name == "github":
        found = re.sub(r"^::\w+ [^:]*::", "", text, flags=re.M)
    elif format_name == "html":  # sentences speak for themselves; the glossary and the rules explain
        body = text.partition("</head>")[2].partition('<section id="words"')[0]
        parts = re.findall(r"<(th|dt|caption|button)\b[^>]*>(.*?)</\1>", re.sub("(?s)<dl>.*?</dl>", "", body))
        found = "\n".join(words for _, words in parts)
    elif format_name == "svg":
        found = "\n".join(re.findall(r">([^<]+)<", text))
    elif format_name in ("dot", "mermaid"):
        found = "\n".join(re.findall(r'"([^"]*)"', text)).replace(r"\n", " ").replace("<br/>", " ")
    elif format_name == "junit":
        root = ET.fromstring(text)
        found = "\n".join([*root.itertext(), *(each.get("message", "") for each in root.iter())])
    elif format_name == "sarif":
        found = "\n".join(each["message"]["text"] for each in json.loads(text)["runs"][0]["results"])
    else:
        return ""
    plain = html.unescape(found).replace("\u200b", "")
    return re.sub(rf"{OWN}|`[^`]*`|<[^>]*>|(?<![A-Za-z])[\w./:+-]*\d[\w./:+-]*", " ", plain)


def words(text: str) -> Iterator[str]:
    """Yield the words of a text for people."""
    return (word.lower() for word in re.findall(r"[A-Za-z]{2,}", text))
