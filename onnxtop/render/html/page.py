"""The frame of every page, and fragments for where there is a page already."""

import base64
import functools
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from onnxtop._version import __version__
from onnxtop.glossary.term import Term
from onnxtop.glossary.terms import normal, term_of
from onnxtop.render.svg import COLOURS, FAINT, GRID, INK
from onnxtop.render.text import visible
from onnxtop.results.headline import Headline


def page(title: str, headline: Headline, template: str, **values: Any) -> str:
    """Render a template into a whole page that needs nothing else.

    Parameters
    ----------
    title
        What the page is about: the path of a model, or what takes its place.
    headline
        The verdict, which stands first.
    template, values
        A file of ``templates`` and what it is given; see `onnxtop.render.html`.
    """
    body = _Body()
    content = body.of(template, values)
    style, script = _style("page.css", "style.css"), Markup(_source("script.js"))  # noqa: S704 (our own)
    frame = _environment().get_template("frame.html")
    whole = frame.render(
        title=title,
        headline=headline,
        version=__version__,
        policy=_policy(style, script),
        style=style,
        script=script,
        body=content,
        sections=[*body.sections.items(), *([("words", "Words")] if body.words else [])],
        words=sorted(body.words.values(), key=lambda term: term.name.casefold()),
        key_of=_key_of,
        term=body.term,
    )
    return f"{whole}\n"


def fragment(template: str, **values: Any) -> str:
    """Render a template for a page of somebody else's: with its style, without a script.

    Words have the first sentence of their explanation as a title.
    """
    content = _Body(alone=False).of(template, values)
    return Markup('<div class="onnxtop"><style>{}</style>\n{}</div>\n').format(_style("style.css"), content)


class _Body:
    """What the templates of one page write, with the words and sections that they came by."""

    def __init__(self, *, alone: bool = True) -> None:
        self.alone = alone
        self.words: dict[str, Term] = {}
        self.sections: dict[str, str] = {}

    def of(self, template: str, values: Mapping[str, Any]) -> Markup:
        own = {"term": self.term, "section": self.section}
        return Markup(_environment().get_template(template).render({**values, **own}))  # noqa: S704 (escaped)

    def term(self, name: str, shown: str = "", group: str = "") -> Markup:
        """Write a word of the glossary, as it is called or as it is ``shown``, with its text at hand."""
        word = term_of(name, group)
        if not self.alone:
            return Markup('<abbr title="{}">{}</abbr>').format(word.what, visible(shown or name))
        self.words[word.name] = word
        return Markup('<a class="term" href="#{}">{}</a>').format(_key_of(word), visible(shown or name))

    def section(
        self, key: str, title: str, caller: Callable[[], str], *, level: int = 2, listed: bool = True
    ) -> Markup:
        """Write a section with its heading; one that is listed stands in the bar at the top."""
        if listed:
            self.sections[key] = title
        return Markup(
            '<section id="{0}" aria-labelledby="{0}-title">\n<h{1} id="{0}-title">{2}</h{1}>\n{3}</section>\n'
        ).format(key, level, visible(title), Markup(caller()))  # noqa: S704 (a template's own)


def _key_of(term: Term) -> str:
    return f"word-{normal(term.name).replace(' ', '-')}"


def _shown(value: Any) -> Any:
    """Escape what does not print in every string that a template shows; markup is ours."""
    return visible(value) if type(value) is str else value


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("onnxtop.render.html"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@functools.cache
def _style(*names: str) -> Markup:
    """Return style sheets; their colours are those of all pictures."""
    colours = {"ink": INK, "faint": FAINT, "grid": GRID, "series": COLOURS}
    return Markup("\n").join(Markup(_environment().get_template(name).render(colours)) for name in names)  # noqa: S704


@functools.cache
def _source(name: str) -> str:
    loader = _environment().loader
    assert loader is not None
    return loader.get_source(_environment(), name)[0]


def _policy(style: str, script: str) -> str:
    """Allow the one style sheet, the one script, and nothing else."""
    rules = {
        "default-src": "'none'",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
