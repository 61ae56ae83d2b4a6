"""What every format promises, whatever a model's names say: it parses, it adds up, and nothing in it acts."""

import csv
import functools
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np

ACTS = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff]"
)
"""What a terminal, an editor or a parser would obey; a tab and the end of a line are left."""

_VOID = {"meta", "link", "input", "br", "hr"}
_NEVER = {"img", "iframe", "object", "embed", "form", "base", "audio", "video", "math"}


class Page(HTMLParser):
    """Follows the tags of a page: they are nested, few kinds lead anywhere, none brings a script."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in _NEVER, f"<{tag}>"
        self.scripts += tag == "script"
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} {name}"
            if name in ("href", "src", "xlink:href"):
                assert re.match(r"#|data:,|https://(github\.com/onnxtop|arxiv\.org|doi\.org)", value or ""), (
                    f"{name} {value}"
                )
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}>"
        assert self.open.pop() == tag, f"</{tag}>"


def html(text: str) -> None:
    page = Page()
    page.feed(text)
    page.close()
    assert not page.open, page.open
    assert page.scripts <= 1, "scripts"


@functools.cache
def _validator(result: str) -> Any:
    file = resources.files("onnxtop.results") / f"{result}.schema.json"
    return jsonschema.Draft202012Validator(json.loads(file.read_text(encoding="utf-8")))


def _never(name: str) -> None:
    raise AssertionError(f"{name} in JSON")


def as_json(text: str, result: str) -> None:
    value = json.loads(text, parse_constant=_never)
    for each in _validator(result).iter_errors(value):
        raise AssertionError(f"schema: {re.sub('[0-9]+', 'N', each.json_path)}: {each.message[:60]}")
    for report in value.get("reports", ()):
        adds_up(report)


def adds_up(report: Mapping[str, Any]) -> None:
    """Fail unless every constant of a report is counted once."""
    coverage = report.get("coverage")
    if coverage is None:  # an error stands in its place
        return
    skipped = sum(item["parameters"] for item in coverage["skipped"])
    assert coverage["parameters_total"] == coverage["parameters_analysed"] + skipped, "weights add up"
    apart = ("biases", "normalisation", "other_constants", "unused")
    assert coverage["constants"] == coverage["parameters_total"] + sum(coverage[name] for name in apart), (
        "constants"
    )
    names = [layer["name"] for layer in report["layers"]]
    assert len(names) == len(set(names)), "two layers of one name"


def jsonl(text: str) -> None:
    for line in text.splitlines():
        json.loads(line, parse_constant=_never)


def sarif(text: str) -> None:
    (run,) = json.loads(text, parse_constant=_never)["runs"]
    for result in run["results"]:
        assert result["level"] in ("error", "warning", "note"), "level"
        assert result["message"]["text"], "message"
        for place in result["locations"]:
            uri = place["physicalLocation"]["artifactLocation"]["uri"]
            assert re.fullmatch(r"[A-Za-z0-9._~:/?#@!$&'()*+,;=%\[\]-]+", uri), "uri"


def table(text: str) -> None:
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert len({len(row) for row in rows}) <= 1, "a ragged table"
    for cell in (cell for row in rows for cell in row):
        if cell[:1] in ("=", "+", "-", "@", "\t", "\r", "\n"):
            float(cell)  # a number, not a formula


def xml(text: str) -> None:
    ET.fromstring(text)


def svg(text: str) -> None:
    for element in ET.fromstring(text).iter():
        tag = element.tag.rpartition("}")[2]
        assert tag not in {"script", "foreignObject", "image", "use", "a"}, f"<{tag}>"
        assert not any(name.startswith("on") or name.endswith("href") for name in element.attrib), (
            element.attrib
        )


def commands(text: str) -> None:
    """Check that every line is a command to GitHub with a title and a message, and no other."""
    for line in text.splitlines():
        assert re.match(r"::(error|warning|notice) (?:\w+=[^,:\n]*,?)+::", line), "no command"


_HTML = re.compile(r"<(?!/?(?:details|summary|code|br|sub|sup|bdi)\b)[A-Za-z!/?][^>]*>")


def markdown(text: str) -> None:
    """Check that every row of a table has as many cells as its head, and that no line holds markup."""
    width = 0
    for line in text.splitlines():
        bare = re.sub(r"(`+)(?:(?!\1).)*\1", "", re.sub(r"\\.", "", line))
        assert not _HTML.search(bare), f"markup {_HTML.search(bare)}"
        assert not re.search(r"\]\((?!https://github\.com/onnxtop)", bare), "a link"
        cells = bare.count("|") if line.startswith("|") else 0
        assert not cells or width in (0, cells), "a ragged row"
        width = cells


def dot(text: str) -> None:
    """Check that what is outside of quotes is what the format's own words are."""
    for line in text.splitlines():
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", line)
        assert re.fullmatch(r"[\w\s\[\]{}=,;>.#-]*", bare), f"dot {bare}"


def mermaid(text: str) -> None:
    for line in text.splitlines()[1:]:
        assert re.fullmatch(r'\s*(\w+ --> \w+|class(Def)? .*|\w+[\[({]+"[^"]*"[\])}]+)', line), "mermaid"


def archive(data: bytes) -> None:
    with np.load(io.BytesIO(data), allow_pickle=False) as held:
        assert all(held[name] is not None for name in held.files)


_TEXTS: Mapping[str, Callable[[str], None]] = {
    ".jsonl": jsonl,
    ".sarif": sarif,
    ".csv": table,
    ".xml": xml,
    ".graphml": xml,
    ".svg": svg,
    ".html": html,
    ".md": markdown,
    ".github": commands,
    ".dot": dot,
    ".mmd": mermaid,
    ".txt": str,
}


def check(path: Path, result: str) -> None:
    """Fail unless a file is what its suffix says.

    Raises
    ------
    AssertionError, ValueError, ET.ParseError, csv.Error
        It is not.
    """
    data = path.read_bytes()
    if path.suffix == ".npz":
        archive(data)
        return
    text = data.decode()
    assert text or path.suffix == ".github", "nothing"
    acts = ACTS.search(text.replace("\r\n", "\n") if path.suffix == ".csv" else text)
    assert acts is None, f"a character that acts: {acts and ord(acts[0]):x}"
    if path.suffix == ".json":
        as_json(text, result)
    else:
        _TEXTS[path.suffix](text)
