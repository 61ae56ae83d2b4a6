"""The documentation as a site: it builds without a warning, and nothing in it is loaded from elsewhere."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.chromium import DESKTOP, PHONE, Opened, View, opened, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]

LOADING = {
    *(("script", "src"), ("img", "src"), ("img", "srcset"), ("source", "src"), ("source", "srcset")),
    *(("iframe", "src"), ("embed", "src"), ("object", "data"), ("video", "src"), ("video", "poster")),
    *(("audio", "src"), ("track", "src"), ("use", "href"), ("image", "href"), ("input", "src")),
}
"""Attributes of elements that make a browser load something; links are apart."""

LOADED = {
    "stylesheet",
    "icon",
    "shortcut icon",
    "preload",
    "prefetch",
    "modulepreload",
    "preconnect",
    "manifest",
}
"""What a link is that makes a browser load something."""


class Loads(HTMLParser):
    """Collects the addresses that a page loads, and words that its scripts look for."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.classes: set[str] = set()
        self.policies: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at the attributes of an element."""
        values = {name: value or "" for name, value in attrs}
        self.classes |= {*values.get("class", "").split(), values.get("data-md-component", "")}
        self.addresses += [values[name] for element, name in LOADING if element == tag and name in values]
        if tag == "link" and values.get("rel", "") in LOADED:
            self.addresses.append(values.get("href", ""))
        if tag == "meta" and values.get("http-equiv") == "Content-Security-Policy":
            self.policies.append(values["content"])


def is_elsewhere(address: str) -> bool:
    """Tell whether an address leaves the site."""
    return bool(re.match(r"(?:[a-z][a-z0-9+.-]*:)?//", address, re.I))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as strictly as mkdocs can: pip install -r docs/requirements.txt."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Serve the site."""
    with served(site, "") as base:
        yield base


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        found = Loads()
        found.feed(page.read_text(encoding="utf-8"))
        assert not [each for each in found.addresses if is_elsewhere(each)], page
        # what would have the scripts of the theme load drawings from a CDN, and ask GitHub for stars
        assert not found.classes & {"mermaid", "source"}, page
        (policy,) = found.policies
        assert "default-src 'none'" in policy
        assert not re.search(r"https?:|\*", policy)


def test_no_style_loads_anything_from_elsewhere(site: Path) -> None:
    styles = sorted(site.rglob("*.css"))
    assert styles
    for style in styles:
        text = style.read_text(encoding="utf-8")
        named = re.findall(r"""(?:url\(|@import)\s*["']?([^"')\s]+)""", text)
        assert not [each for each in named if is_elsewhere(each)], style


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("page", ["index", "tutorial", "measures", "api", "rules", "how-it-works"])
def test_a_page_opens_quietly(page: str, size: tuple[int, int], chromium: "Browser", address: str) -> None:
    with opened(chromium, f"{address}/{page}.html", View(size)) as window:
        window.settle()
        assert window.said == []
        assert window.asked
        assert all(each.startswith((f"{address}/", "data:", "blob:")) for each in window.asked)
        width = window.run("() => [document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1]


def test_the_site_opens_from_disk(chromium: "Browser", site: Path) -> None:
    with opened(chromium, (site / "index.html").as_uri(), View()) as window:
        window.page.get_by_role("link", name="Null model", exact=True).first.click()
        window.page.wait_for_url("**/null-model.html")
        window.settle()
        assert window.said == []
        assert all(each.startswith(("file://", "data:", "blob:")) for each in window.asked)


def test_formulas_are_seen(chromium: "Browser", address: str) -> None:
    with opened(chromium, f"{address}/measures.html", View()) as window:
        fractions = "() => [...document.querySelectorAll('mfrac')].map(m => m.getBoundingClientRect().height)"
        (height,) = window.run(fractions)
        assert height > 25  # one above the other, as no line of text is


def test_pages_can_be_searched(chromium: "Browser", address: str) -> None:
    with opened(chromium, f"{address}/index.html", View()) as window:
        _search(window, "widest bottleneck")
        assert window.page.locator(".md-search-result__link").count() > 0
        assert window.said == []


def _search(window: Opened, words: str) -> None:
    window.page.locator(".md-search__input").fill(words)
    window.page.locator(".md-search-result__link").first.wait_for(state="attached", timeout=10_000)
