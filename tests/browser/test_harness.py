"""The harness hears what it listens for: pages with known faults."""

import pytest

from tests.browser.chromium import PHONE, View

pytestmark = pytest.mark.browser


def page(tmp_path, body, head=""):
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><html lang=en><title>t</title>{head}<body>{body}</body></html>")
    return path


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("<script>undefined_name</script>", "undefined_name is not defined"),
        ("<script>console.error('planted')</script>", "planted"),
        ("<script>console.warn('planted')</script>", "planted"),
        ("<p>nothing</p>", None),
    ],
)
def test_complaints_of_the_console_are_heard(window, tmp_path, body, wanted):
    said = window(page(tmp_path, body)).said
    assert [wanted in each for each in said] == [True] if wanted else said == []


@pytest.mark.parametrize(
    "body",
    [
        "<img src='http://127.0.0.1:9/x.png'>",
        "<script src='other.js'></script>",
        "<style>@font-face{font-family:f;src:url(f.woff2)} p{font-family:f}</style><p>a",
        "<script>fetch('http://127.0.0.1:9/').catch(() => 0)</script>",
    ],
)
def test_requests_that_leave_the_file_are_seen(window, tmp_path, body):
    path = page(tmp_path, body)
    opened = window(path)
    opened.settle()
    assert opened.asked[0] == path.as_uri()
    assert len(opened.asked) == 2


def test_a_policy_that_is_served_is_obeyed(window, tmp_path):
    body = "<p id=p>before</p><script>document.getElementById('p').textContent = 'after'</script>"
    path = page(tmp_path, body)
    assert window(path).seen() == "after"
    assert window(path, policy="").seen() == "after"
    blocked = window(path, policy="default-src 'none'")
    assert blocked.seen() == "before"
    assert any("Content Security Policy" in each for each in blocked.said)
    assert window(path, View(scripts=False)).seen() == "before"


def test_a_view_is_what_the_page_sees(window, tmp_path):
    path = page(tmp_path, "<p>a")
    asked = "() => [innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]"
    assert window(path).run(asked) == [1280, False]
    assert window(path, View(PHONE, "dark")).run(asked) == [390, True]
