"""What a shell completes beside verbs, options and choices: models, rules, what can be explained.

click asks the type of a parameter, and hands what it says to bash, zsh or fish. A folder is never an answer
by itself, since shells would end the word behind it: its models and the folders with models in it are.
"""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class
from click.types import StringParamType

from onnxtop.cli import VERBS

_SUFFIX = ".onnx"
_MOST = 200
"""At most so many folders are looked into for models to answer with."""


def answer(program: click.Command) -> NoReturn:
    """Answer the shell that asks, and exit: with 1 where none does, or nobody takes the answer."""
    try:
        try:
            program.main(prog_name="onnxtop")
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except (OSError, LookupError, ValueError):
        from onnxtop.cli.outputs import silence  # loads much

        silence(sys.stdout)
    sys.exit(1)


class Bash(BashComplete):
    """Bash takes an answer as it is typed: one with a blank or a bracket in it is quoted."""

    def format_completion(self, item: "CompletionItem[Any]") -> str:
        """Write an answer as the script for bash reads it; what stands for a home is left to bash."""
        if item.type != "plain":
            return super().format_completion(item)
        home, slash, rest = item.value.partition("/") if item.value.startswith("~") else ("", "", item.value)
        return f"{item.type},{home}{slash}{shlex.quote(rest)}"


add_completion_class(Bash)


class ModelPath(click.Path):
    """Names a model, or a folder with models below it; one that cannot be read costs only itself."""

    def __init__(self) -> None:
        super().__init__(readable=False)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[Any]]":
        """Answer with models, and with folders that lead to some."""
        typed, _, start = incomplete.rpartition("/")
        base = f"{typed}/" if "/" in incomplete else ""
        entries = _entries(base, start)
        found = [f"{base}{entry}" for entry in entries]
        while len(found) == 1 and found[0].endswith("/"):
            base = found[0]
            found = [f"{base}{entry}" for entry in _entries(base, "")]
        return [CompletionItem(each) for each in found]


def _entries(folder: str, start: str) -> Iterator[str]:
    """Yield the models in a folder, and the folders in it that lead to models, with a slash behind."""
    for entry in sorted(_scanned(folder), key=lambda each: each.name):
        hidden = entry.name.startswith(".") and not start.startswith(".")
        if not entry.name.startswith(start) or hidden:
            continue
        if entry.name.lower().endswith(_SUFFIX) and not os.path.isdir(entry):
            yield entry.name
        elif os.path.isdir(entry) and _leads_to_models(entry.path):
            yield f"{entry.name}/"


def _leads_to_models(folder: str) -> bool:
    """Tell whether there are models below a folder; one with very many folders is taken to have some."""
    for number, (_, folders, files) in enumerate(os.walk(folder)):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if number > _MOST or any(name.lower().endswith(_SUFFIX) for name in files):
            return True
    return False


def _scanned(folder: str) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(Path(folder).expanduser()) as entries:
            return list(entries)
    except (OSError, RuntimeError):  # RuntimeError: the home of nobody
        return []


class RuleName(StringParamType):
    """Names rules, several with commas between: codes, beginnings of codes, names."""

    name = "rule"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[Any]]":
        """Answer with rules and families, behind those that are there already."""
        from onnxtop.rules.catalogue import FAMILIES, RULES  # loads numpy: not for help

        done, comma, start = incomplete.rpartition(",")
        known = {**FAMILIES, **{rule.code: rule.name for rule in RULES}}
        found = _starting({**known, **{rule.name: rule.code for rule in RULES}}, start)
        return [CompletionItem(f"{done}{comma}{word}", help=told) for word, told in found]


class VerbName(StringParamType):
    """Names a verb."""

    name = "verb"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[Any]]":
        """Answer with verbs."""
        found = _starting({verb: line for verb, (_, line) in VERBS.items()}, incomplete)
        return [CompletionItem(verb, help=line) for verb, line in found]


class Explained(StringParamType):
    """Names what can be explained."""

    name = "name"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[Any]]":
        """Answer with rules and words, each spelling once, without blanks."""
        from onnxtop.cli.words import entries  # loads the rules
        from onnxtop.glossary.terms import normal

        named = ((name, entry.title) for entry in reversed(entries()) for name in reversed(entry.names))
        known = {normal(name): (name.replace(" ", "-"), title) for name, title in named}
        found = _starting(dict(sorted(known.values())), incomplete)
        return [CompletionItem(name, help=title) for name, title in found]


def _starting(known: Mapping[str, str], start: str) -> Iterator[tuple[str, str]]:
    """Yield the words that begin so, in small or capital letters, and what is told of them."""
    return ((word, told) for word, told in known.items() if word.lower().startswith(start.lower()))
