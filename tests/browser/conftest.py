"""A browser for all tests, and a window for each; pages of real results are made once."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.chromium import Opened, View, opened, served, started
from tests.browser.pages import write

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Window = Callable[..., Opened]


@pytest.fixture(scope="session")
def chromium(request: pytest.FixtureRequest) -> Iterator["Browser"]:
    """Return the browser that was named."""
    with started(request.config.getoption("--chromium")) as browser:
        yield browser


@pytest.fixture
def window(chromium: "Browser") -> Iterator[Window]:
    """Return a function that opens a file: from disk, or served over loopback if it gets a ``policy``."""
    with contextlib.ExitStack() as stack:

        def show(path: Path, view: View | None = None, policy: str | None = None) -> Opened:
            url = path.as_uri()
            if policy is not None:
                url = f"{stack.enter_context(served(path.parent, policy))}/{path.name}"
            return stack.enter_context(opened(chromium, url, view or View()))

        yield show


@pytest.fixture(scope="session")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that writes one of the pages, once a run."""
    folder = tmp_path_factory.mktemp("pages")

    @functools.cache
    def written(name: str) -> Path:
        return write(name, folder)

    return written
