"""Whatever is printed is explained: the words are found by printing, see `tests.vocabulary`."""

import re
from collections.abc import Container, Iterable

import pytest

from onnxtop.cli.words import KEYS, entries, find
from tests import vocabulary

HINT = "give a term in onnxtop/glossary the word, or the phrase it is in, among its names"
DOCUMENTED = "; a key or a value is also explained by the docstring of its dataclass"


def check(found: Iterable[tuple[str, str]], known: Container[str] = (), hint: str = HINT) -> None:
    """Complain of (word, where it is printed) pairs that are not known and `explain` cannot explain."""
    places: dict[str, set[str]] = {}
    for word, place in found:
        if word not in known and not find(word):
            places.setdefault(word, set()).add(place)
    complaints = [f"{word!r} (printed by {', '.join(sorted(each))})" for word, each in sorted(places.items())]
    assert not complaints, "\n".join(["nothing explains", *complaints, hint])


@pytest.fixture(scope="module")
def printed() -> list[tuple[str, str, str]]:
    return list(vocabulary.filled())


def test_every_key_title_and_label_is_explained(printed):
    labels = (
        (label, f"{result} -f {name}")
        for result, name, text in printed
        for label in vocabulary.labels(name, text)
    )
    check(((label, place) for label, place in labels if vocabulary.OWN not in label), hint=HINT + DOCUMENTED)


def test_every_column_of_the_terminal_is_explained():
    found = [(title, module) for module, title in vocabulary.columns() if title]
    assert {"bars", "SNR dB", "|grad|", "recall"} <= {title for title, _ in found}
    check(found)


def test_every_value_of_an_option_is_explained():
    check(
        ((word, option.flag) for option in vocabulary.OPTIONS for word in option.choices),
        hint=HINT + DOCUMENTED,
    )


def test_every_word_for_people_is_in_the_name_of_what_is_explained(printed):
    names = (name for entry in entries() for name in (*entry.names, entry.title))
    texts = [*printed, *vocabulary.real()]
    check(
        (
            (word, f"{result} -f {name}")
            for result, name, text in texts
            for word in vocabulary.words(vocabulary.shown(name, text))
        ),
        known={word for name in names for word in vocabulary.words(name)},
    )


def test_a_word_that_nothing_explains_is_complained_of():
    with pytest.raises(AssertionError, match=r"'flogiston' \(printed by diff -f json, report -f csv\)"):
        check([("bars", "here"), ("flogiston", "report -f csv"), ("flogiston", "diff -f json")])


def test_filled_results_show_every_field(printed):
    """A key of the JSON that no filled result has would never be looked at."""
    shown = {key for _, name, text in printed if name == "json" for key in vocabulary.labels(name, text)}
    assert {"null_mean", "tree_kept", "in_tree", "top5", "neurons", "other_kinds"} <= shown


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.names[0])
def test_an_explanation_is_whole(entry):
    assert all(part.strip() for part in entry.parts.values())
    if entry.group != KEYS:
        for name in entry.names:
            spellings = (name, name.upper(), name.replace(" ", "-"), name.replace("_", " "))
            assert all(entry in find(spelling) for spelling in spellings)
    if entry.group not in ("families of rules",):
        assert entry.parts["source"]
    for page in re.findall(r"\b(?:docs/)?[\w-]+\.md", entry.parts.get("source", "")):
        assert page.startswith("docs/IR") or page == "docs/Versioning.md" or (vocabulary.ROOT / page).exists()
