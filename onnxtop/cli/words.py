"""Everything that ``onnxtop explain`` knows, by its names: rules, terms, options, keys of the JSON.

Nothing is said twice: what a rule or an option tells is read off it, what a key of a result or the value of
an option means off the docstring of its dataclass: the sentence that names it.
"""

import dataclasses
import functools
import importlib
import inspect
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import click

from onnxtop.cli import EXIT_CODES, VERBS
from onnxtop.glossary.term import Term
from onnxtop.glossary.terms import TERMS, normal
from onnxtop.rules.catalogue import FAMILIES, RULES
from onnxtop.rules.rule import Rule

_DOCUMENTED = (
    "onnxtop.results.report.Report",
    "onnxtop.results.diff.Diff",
    "onnxtop.results.trace.Trace",
    "onnxtop.results.landscape.LossLandscape",
    "onnxtop.loss.summary.LossProbeResult",
    "onnxtop.results.graph.LayerGraph",
    "onnxtop.auditing.options.AuditOptions",
    "onnxtop.rules.options.CheckOptions",
    "onnxtop.loss.options.ProbeOptions",
    "onnxtop.landscape.options.BarcodeOptions",
    "onnxtop.comparison.options.DiffOptions",
    "onnxtop.tracing.options.TraceOptions",
)
"""Dataclasses whose docstrings say what their fields and the values of these mean, with all those inside."""


@dataclass(frozen=True)
class Explanation:
    """One explanation; ``parts`` are its paragraphs by their labels."""

    group: str
    names: tuple[str, ...]
    title: str
    parts: Mapping[str, str] = field(default_factory=dict)


_MANY = 8
"""So many verbs with one option are counted, not named, in a title."""


def find(name: str) -> list[Explanation]:
    """Return the explanations of a name; of a path or column such as ``np_z`` those of its last part."""
    own = re.sub(r"^(np|dgp)[_.]", "", name, flags=re.I)
    for spelling in (name, own, name.rpartition(".")[2]):
        if found := _index().get(normal(spelling)):
            better = [entry for entry in found if entry.group != KEYS]
            named = any(spelling.casefold() in map(str.casefold, entry.names) for entry in better)
            return better if named else [*better, *(entry for entry in found if entry.group == KEYS)]
    return []


KEYS = "keys of the JSON, values of options"
"""The group of what docstrings explain: it answers where nothing else does."""


@functools.cache
def entries() -> tuple[Explanation, ...]:
    """Return everything that can be asked."""
    terms = (_term(group, term) for group, terms in TERMS.items() for term in terms)
    return (*_families(), *map(_rule, RULES), *terms, _exit_codes(), *_options(), *_documented())


@functools.cache
def _index() -> dict[str, list[Explanation]]:
    found: dict[str, list[Explanation]] = {}
    for entry in entries():
        for name in dict.fromkeys(map(normal, entry.names)):
            found.setdefault(name, []).append(entry)
    return found


def _families() -> Iterator[Explanation]:
    for code, title in FAMILIES.items():
        rules = [f"{rule.code} {rule.name}" for rule in RULES if rule.code.startswith(code)]
        yield Explanation("families of rules", (code,), f"{code}: {title}", {"rules": ", ".join(rules)})


def _rule(rule: Rule) -> Explanation:
    parts = {"what": rule.what, "why": rule.why, "how": rule.how, "false alarms": rule.false_alarms}
    title = f"{rule.code} {rule.name}: {rule.severity}"
    return Explanation("rules", (rule.code, rule.name), title, {**parts, "source": rule.source})


def _term(group: str, term: Term) -> Explanation:
    parts = {"what": term.what, "how": term.how, "limits": term.limits, "source": term.source}
    told = {label: text for label, text in parts.items() if text}
    return Explanation(group, (term.name, *term.also), f"{term.name}: {term.title}", told)


def _exit_codes() -> Explanation:
    lines = [f"{code} {meaning}" for code, meaning in re.findall(r"^  (\d+) +(.*)$", EXIT_CODES, re.M)]
    several = " ".join(EXIT_CODES[EXIT_CODES.index("Several") :].split())
    parts = {"what": "; ".join(lines), "how": several, "source": "docs/formats.md"}
    return Explanation("check", ("exit code", "exit", "code"), "exit code: what a run returns", parts)


def _options() -> Iterator[Explanation]:
    """Yield what every verb does, and every option with the verbs that have it."""
    told: dict[str, dict[str, list[str]]] = {}
    shown: dict[str, click.Option] = {}
    for verb, (module, line) in VERBS.items():
        yield Explanation(
            "verbs", (verb,), f"onnxtop {verb}", {"what": line, "source": f"onnxtop help {verb}"}
        )
        for param in importlib.import_module(module).command.params:
            if isinstance(param, click.Option):
                flag = max(param.opts, key=len)
                shown[flag] = param
                told.setdefault(flag, {}).setdefault(param.help or "", []).append(verb)
    for flag, texts in told.items():
        verbs = [verb for verbs in texts.values() for verb in verbs]
        parts = (
            {"what": next(iter(texts))} if len(texts) == 1 else {", ".join(v): t for t, v in texts.items()}
        )
        option = shown[flag]
        names = (flag, *option.opts, *option.secondary_opts, option.name or flag)
        source = {"source": f"onnxtop help {verbs[0]}"}
        named = ", ".join(verbs) if len(verbs) < _MANY else f"{len(verbs)} verbs"
        title = f"{flag}: an option of {named}"
        yield Explanation("options", names, title, {**parts, **_choices(option), **source})


def _choices(option: click.Option) -> dict[str, str]:
    if not isinstance(option.type, click.Choice) or option.multiple:
        return {}
    return {"values": f"{', '.join(map(str, option.type.choices))}; {option.default} if not given"}


def _documented() -> Iterator[Explanation]:
    """Yield the sentences that docstrings say about fields and their values."""
    told: dict[str, dict[str, str]] = {}
    for kind in _kinds():
        for word, sentence in _sentences(inspect.getdoc(kind) or ""):
            places = told.setdefault(word, {})
            place = f"{kind.__module__}.{kind.__name__}"
            if sentence not in places.get(place, ""):
                places[place] = f"{places.get(place, '')} {sentence}".lstrip()
    for word, places in told.items():
        of = ", ".join(place.rpartition(".")[2] for place in places)
        parts = (
            {"what": next(iter(places.values()))}
            if len(places) == 1
            else dict(zip(of.split(", "), places.values(), strict=True))
        )
        yield Explanation(
            KEYS, (word,), f"{word}: of {of}", {**parts, "source": f"onnxtop schema; {', '.join(places)}"}
        )


def _kinds() -> list[type]:
    found: dict[type, None] = {}
    for path in _DOCUMENTED:
        module, _, name = path.rpartition(".")
        _collect(getattr(importlib.import_module(module), name), found)
    return list(found)


def _collect(hint: object, found: dict[type, None]) -> None:
    """Collect a dataclass and all that its fields may hold."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and hint not in found:
        found[hint] = None
        for each in typing.get_type_hints(hint).values():
            _collect(each, found)
    for part in typing.get_args(hint):
        _collect(part, found)


def _sentences(doc: str) -> Iterator[tuple[str, str]]:
    """Yield the words that a docstring marks or quotes, and heads of its lists, with what it says of them."""
    prose, *listed = re.split(r"^Attributes\n-+\n", doc, flags=re.M)
    for sentence in re.split(r"(?<=[.:])\s+(?=[A-Z`])", " ".join(prose.split())):
        yield from ((word, _plain(sentence)) for word in marked(sentence))
    for heads, text in re.findall(r"^(\w[\w, ]*)\n((?:    .*\n?)+)", "".join(listed), re.M):
        told = " ".join(text.split())
        yield from ((word, _plain(told)) for word in (*heads.split(", "), *marked(told)))


def marked(sentence: str) -> Iterable[str]:
    """Return the words that a sentence marks as code, or quotes."""
    return (word for pair in re.findall(r"``([\w-]+)``|\"([\w -]+)\"", sentence) for word in pair if word)


def _plain(sentence: str) -> str:
    return sentence.replace("``", "").replace("`", "")
