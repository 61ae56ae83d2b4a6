from pathlib import Path

from onnxtop.glossary.untrained import FRESH, FRESH_NETWORK, STRUCTURE
from onnxtop.rules.catalogue import find_rule
from tests.rules_page import PAGE, page


def test_the_page_of_rules_is_current():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.rules_page"


def test_what_looks_untrained_is_said_in_one_way():
    """The rules take the words from the glossary; the page quotes them."""
    told = " ".join(find_rule(code).how for code in ("OT207", "OT208", "OT209"))
    quoted = (Path(__file__).parents[2] / "docs" / "null-model.md").read_text(encoding="utf-8")
    for words in (STRUCTURE, FRESH, FRESH_NETWORK):
        assert words in told
        assert f"> {words}\n" in quoted
