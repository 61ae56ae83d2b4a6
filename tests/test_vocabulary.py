"""Whatever is printed is explained: the words are found by printing, see `tests.vocabulary`."""

import re
from collections.abc import Iterable, Iterator

import pytest

from onnxtop.cli.words import entries, find
from tests import vocabulary

HINT = "explain it in onnxtop/glossary, or in the docstring of the dataclass whose field or value it is"


def unexplained(found: Iterable[tuple[str, str]]) -> list[str]:
    """Return complaints about (word, where it is printed) pairs that `explain` does not know."""
    places: dict[str, set[str]] = {}
    for word, place in found:
        if not find(word):
            places.setdefault(word, set()).add(place)
    return [
        f"{word!r}, printed by {', '.join(sorted(each))}: {HINT}" for word, each in sorted(places.items())
    ]


@pytest.fixture(scope="module")
def printed() -> list[tuple[str, str, str]]:
    return list(vocabulary.filled())


def test_every_key_title_and_label_is_explained(printed):
    labels = (
        (label, f"{result} -f {name}")
        for result, name, text in printed
        for label in vocabulary.labels(name, text)
    )
    assert not unexplained((label, place) for label, place in labels if vocabulary.OWN not in label)


def test_every_column_of_the_terminal_is_explained():
    found = [(title, module) for module, title in vocabulary.columns() if title]
    assert {"bars", "SNR dB", "|grad|", "recall"} <= {title for title, _ in found}
    assert not unexplained(found)


def test_every_value_of_an_option_is_explained():
    found = [(word, option.flag) for option in vocabulary.OPTIONS for word in option.choices]
    assert not unexplained(found)


def test_every_word_for_people_is_one_that_explanations_use(printed):
    known = {word for told in _explanations() for word in vocabulary.words(told)}
    texts = [*printed, *vocabulary.real()]
    found = (
        (word, f"{result} -f {name}")
        for result, name, text in texts
        for word in vocabulary.words(vocabulary.shown(name, text))
    )
    assert not unexplained((word, place) for word, place in found if word not in known)


def _explanations() -> Iterator[str]:
    for entry in entries():
        yield from (*entry.names, entry.title, *entry.parts.values())


def test_a_word_that_nothing_explains_is_complained_of():
    assert unexplained([("bars", "here"), ("flogiston", "report -f csv")]) == [
        f"'flogiston', printed by report -f csv: {HINT}"
    ]


def test_filled_results_show_every_field(printed):
    """A key of the JSON that no filled result has would never be looked at."""
    shown = {key for _, name, text in printed if name == "json" for key in vocabulary.labels(name, text)}
    assert {"null_mean", "tree_kept", "in_tree", "top5", "neurons", "other_kinds"} <= shown


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.names[0])
def test_an_explanation_is_whole(entry):
    assert all(part.strip() for part in entry.parts.values())
    if entry.group not in ("families of rules",):
        assert entry.parts["source"]
    for page in re.findall(r"\b(?:docs/)?[\w-]+\.md", entry.parts.get("source", "")):
        assert page.startswith("docs/IR") or page == "docs/Versioning.md" or (vocabulary.ROOT / page).exists()
