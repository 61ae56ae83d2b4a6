from pathlib import Path

import pytest

from tests.pages import PAGES
from tests.pictures import DRAWN, FOLDER


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_made_from_the_code_are_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == PAGES[path](), "run: python -m tests.pages"


@pytest.mark.parametrize("name", DRAWN)
def test_pictures_of_worked_examples_are_current(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == DRAWN[name](), "run: python -m tests.pictures"
