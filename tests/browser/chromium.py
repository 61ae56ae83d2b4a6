"""Chromium, driven by Playwright: pages are opened as a reader opens them, and watched.

A page is a file that was written and is opened from disk; what it says on its console and what it asks for
beside itself is written down. Playwright is imported where it is used: these tests are collected without it.
"""

import contextlib
import functools
import http.server
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.web import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DESKTOP, PHONE = (1280, 900), (390, 844)

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)

QUESTIONS = Path(__file__).with_name("questions.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class View:
    """How a reader looks at a page: window in CSS pixels, colour scheme, with scripts or without."""

    size: tuple[int, int] = DESKTOP
    scheme: str = "light"
    scripts: bool = True
    reduced_motion: bool = False


@dataclass
class Opened:
    """A page in the browser; ``said`` is what its console complains of, ``asked`` what it requests."""

    page: "Page"
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def run(self, script: str, argument: Any = None) -> Any:
        """Run a function in the page, and return what it gives."""
        return self.page.evaluate(script, argument)

    def ask(self, question: str, argument: Any = None) -> Any:
        """Ask one of the questions of ``questions.js``."""
        return self.run(f"(argument) => {QUESTIONS.strip()}.{question}(argument)", argument)

    def text(self) -> str:
        """Return all text of the page, seen or folded away, with single blanks."""
        return " ".join(str(self.page.locator("main").text_content()).split())

    def seen(self) -> str:
        """Return the text that is seen."""
        return " ".join(self.page.locator("body").inner_text().split())

    def settle(self) -> None:
        """Wait until what was asked of the page has been drawn."""
        self.ask("drawn")

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write what the window shows, or the whole page, as a PNG file."""
        self.page.screenshot(path=path, full_page=whole)


@contextlib.contextmanager
def started(program: str) -> Iterator["Browser"]:
    """Start the browser that is installed; none is ever downloaded."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which(program) or program, args=list(FLAGS)
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser: "Browser", url: str, view: View) -> Iterator[Opened]:
    """Open a page in a window of its own, with no cache, no cookies and no network."""
    width, height = view.size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=view.scheme,
        java_script_enabled=view.scripts,
        reduced_motion="reduce" if view.reduced_motion else "no-preference",
        has_touch=view.size == PHONE,
        offline=not url.startswith("http://127.0.0.1"),
    )
    page = context.new_page()
    window = Opened(page)
    page.on("console", lambda message: _note(window, message.type, message.text))
    page.on("pageerror", lambda error: window.said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (window.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: window.asked.append(request.url))
    page.goto(url)
    yield window
    context.close()


def _note(window: Opened, kind: str, words: str) -> None:
    if kind in ("error", "warning"):
        window.said.append(f"{kind}: {words}")


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder quietly, with one more header."""

    policy = ""

    def end_headers(self) -> None:
        if self.policy:
            self.send_header("Content-Security-Policy", self.policy)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def served(folder: Path, policy: str) -> AbstractContextManager[str]:
    """Serve a folder over loopback with a Content-Security-Policy; give the address before file names."""
    handler = type("Handler", (_Handler,), {"policy": policy})
    return serving(functools.partial(handler, directory=str(folder)))
