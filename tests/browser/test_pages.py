"""Every page, driven: it opens quietly, says the same without its script, and is handy with it."""

from itertools import pairwise

import pytest

from tests.browser.chromium import DESKTOP, PHONE, View
from tests.browser.pages import COMMANDS, MADE
from tests.render.conftest import HOSTILE_NAMES

pytestmark = pytest.mark.browser

PAGES = [*COMMANDS, *MADE]
REAL = list(COMMANDS)
HOSTILE = [name for name in MADE if name.startswith("hostile")]
POLICIES = {
    "nothing at all": "default-src 'none'",
    "no scripts": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "as of an artifact server": "sandbox; default-src 'none'; img-src 'self'; style-src 'self';",
}


@pytest.mark.parametrize("name", PAGES)
def test_opens_quietly_on_a_desk_and_on_a_phone(window, page_of, name):
    path = page_of(name)
    for view in (View(DESKTOP, "light"), View(PHONE, "dark")):
        opened = window(path, view)
        opened.settle()
        assert opened.said == []
        assert opened.asked == [path.as_uri()]
        assert opened.ask("overflow") == 0
        assert opened.ask("inside", "h1")


@pytest.mark.parametrize("name", PAGES)
def test_everything_has_a_name_and_every_link_an_end(window, page_of, name):
    opened = window(page_of(name))
    levels = opened.ask("headings")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    assert opened.ask("nameless") == []
    assert opened.ask("lost") == []
    assert opened.run("() => document.documentElement.lang") == "en"
    assert opened.page.locator("h1").text_content() in opened.page.title()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", [*REAL, "hostile-report"])
def test_every_text_can_be_read_on_its_ground(window, page_of, name, scheme):
    opened = window(page_of(name), View(scheme=scheme))
    opened.run("() => document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert opened.ask("faint") == []


@pytest.mark.parametrize("name", PAGES)
def test_says_the_same_without_its_script(window, page_of, name):
    path = page_of(name)
    parts = window(path, View(scripts=False)).page.locator("main td, main dd, main p")
    texts = [" ".join(each.split()) for each in parts.all_text_contents()]
    assert texts
    whole = window(path).text()
    assert [text for text in texts if text not in whole] == []


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("name", ["report", "diff", "trace", "probe", "barcode", "hostile-report"])
def test_can_be_read_under_a_policy_that_forbids_scripts(window, page_of, name, policy):
    path = page_of(name)
    opened = window(path, policy=policy)
    assert opened.text() == window(path, View(scripts=False)).text()
    assert opened.page.locator("h1").is_visible()
    assert opened.page.locator("input[type=search]").count() == 0
    assert all("Content Security Policy" in each or "sandboxed" in each for each in opened.said)
    assert len(opened.asked) == 1
    folded = opened.page.locator("summary")
    if folded.count():
        folded.first.click()
        assert opened.page.locator("details").first.evaluate("each => each.open")


@pytest.mark.parametrize("name", [*REAL, "large-report", "large-diff"])
def test_tables_are_sorted_searched_and_put_back(window, page_of, name):
    opened = window(page_of(name))
    tables = opened.ask("tables")
    for table in tables:
        _sorts(opened, table)
        _searches(opened, table)
    assert opened.said == []


def _sorts(opened, table):
    for column, (title, numeric) in enumerate(zip(table["titles"], table["numeric"], strict=True)):
        at = [table["key"], column]
        before = opened.ask("column", at)
        if not (numeric and title and len(set(before)) > 1):
            continue
        heading = opened.page.locator(f"[id='{table['key']}'] th").nth(column)
        button = heading.locator("button")
        orders = {}
        for order in ("ascending", "descending", None):
            button.press("Enter")
            assert heading.get_attribute("aria-sort") == order
            orders[order] = opened.ask("column", at)
        assert orders[None] == before
        for order, cells in orders.items():
            if order:
                values = [float(cell.rstrip(" %").replace(",", "")) for cell in cells if _is_number(cell)]
                assert values == sorted(values, reverse=order == "descending")
                assert sorted(cells) == sorted(before)
                assert not any(_is_number(cell) for cell in cells[len(values) :])  # what has none comes last


def _is_number(cell):
    try:
        float(cell.rstrip(" %").replace(",", ""))
    except ValueError:
        return False
    return True


def _searches(opened, table):
    at = [table["key"], 0]
    names = opened.ask("column", at)
    tools = opened.page.locator(f".tools:has(+ .scroll [id='{table['key']}'])")
    search, count = tools.locator("input[type=search]"), tools.locator("output")
    search.fill(names[-1])
    shown = opened.ask("column", at)
    assert names[-1] in shown
    search.fill("no such thing")
    assert opened.ask("column", at) == []
    assert count.inner_text().startswith("0 of ")
    search.fill("")
    assert opened.ask("column", at) == names
    for choice in tools.locator("select").all():
        values = [
            value for value in choice.evaluate("each => [...each.options].map((o) => o.value)") if value
        ]
        choice.select_option(values[0])
        assert 0 < len(opened.ask("column", at)) < len(names)
        choice.select_option("")
    assert opened.ask("column", at) == names


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "trace"])
def test_the_theme_is_that_of_the_system_until_it_is_switched(window, page_of, name, scheme):
    opened = window(page_of(name), View(scheme=scheme))
    grounds = [opened.ask("ground")]
    switch = opened.page.get_by_role("button", name="theme")
    for _ in range(2):
        switch.press("Enter")
        grounds.append(opened.ask("ground"))
    light, dark = grounds[:2] if scheme == "light" else grounds[1::-1]
    assert light == "rgb(255, 255, 255)"
    assert dark != light
    assert grounds[2] == grounds[0]


@pytest.mark.parametrize("name", REAL)
def test_a_word_has_its_text_at_hand(window, page_of, name):
    opened = window(page_of(name))
    word, tip = opened.page.locator("main a.term:visible").first, opened.page.locator("#tip")
    text = opened.run(
        "(key) => document.querySelector(key).textContent",
        f"[id='{word.evaluate('e => e.hash').lstrip('#')}']",
    )
    assert not tip.is_visible()
    word.hover()
    assert tip.is_visible()
    assert tip.inner_text().startswith(text)
    assert opened.ask("inside", "#tip")
    opened.page.mouse.move(2, 2)
    tip.wait_for(state="hidden")
    word.focus()
    assert tip.is_visible()
    assert word.get_attribute("aria-describedby") == "tip"
    opened.page.keyboard.press("Escape")
    assert not tip.is_visible()
    word.click()
    opened.page.mouse.move(2, 2)
    opened.page.wait_for_timeout(400)
    assert tip.is_visible()  # one that was clicked stays
    opened.page.keyboard.press("Escape")
    assert not tip.is_visible()


@pytest.mark.parametrize("name", REAL)
def test_the_keyboard_gets_everywhere_and_shows_where_it_is(window, page_of, name):
    opened = window(page_of(name))
    opened.page.keyboard.press("Tab")
    assert "skip" in opened.ask("focus")["what"]
    assert opened.page.locator(".skip").is_visible()
    places = []
    for _ in range(60):
        place = opened.ask("focus")
        if place["body"]:
            break
        assert place["shows"], place["what"]
        places.append(place["what"])
        opened.page.keyboard.press("Tab")
    assert any("theme" in each for each in places)
    assert any("Sort by" in each for each in places) or not opened.ask("tables")


@pytest.mark.parametrize("name", REAL)
def test_prints_in_black_on_white_without_tools(window, page_of, name):
    opened = window(page_of(name), View(scheme="dark"))
    opened.page.emulate_media(media="print")
    opened.settle()
    assert opened.ask("ground") == "rgb(255, 255, 255)"
    assert not opened.page.locator(".topbar").is_visible()
    assert not any(each.is_visible() for each in opened.page.locator(".tools").all())
    assert opened.ask("faint") == []
    assert opened.page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text(window, page_of, name):
    opened = window(page_of(name))
    assert opened.said == []
    text = opened.text()
    assert "<img src=x onerror=alert(1)>" in text
    assert "\\x1b[31mescape\\x1b[0m" in text or name == "hostile-barcode"
    assert not any(mark in text for mark in "\x1b\u202e\u2066")
    assert opened.page.locator("img, [onerror]").count() == 0
    if name == "hostile-report":
        assert all(each.isprintable() is False or " ".join(each.split()) in text for each in HOSTILE_NAMES)


@pytest.mark.parametrize("name", ["trace", "diff", "probe"])
def test_dots_of_curves_say_what_they_stand_for(window, page_of, name):
    opened = window(page_of(name))
    titles = opened.page.locator("path.dots title").all_text_contents()
    assert titles
    assert all(": " in each for each in titles)


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_long_names_leave_room_for_what_stands_beside_them(window, page_of, size):
    opened = window(page_of("long-names"), View(size))
    opened.run("() => document.querySelectorAll('details.card').forEach((each) => (each.open = true))")
    rows = opened.run(
        """() => [...document.querySelectorAll('.columns table.sheet')].flatMap((table) => {
          const box = table.closest('.scroll').getBoundingClientRect();
          return [...table.tBodies[0].rows].map((row) => {
            const cells = [...row.cells].map((cell) => cell.getBoundingClientRect());
            const line = parseFloat(getComputedStyle(row.cells[0]).lineHeight);
            return [cells[0].height / line, Math.max(...cells.map((cell) => cell.right)) - box.right];
          });
        })"""
    )
    assert len(rows) == 20
    assert max(lines for lines, _ in rows) < 7
    assert max(beyond for _, beyond in rows) <= 0


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("name", ["diff", "large-diff", "trace", "long-names"])
def test_words_of_charts_stay_inside_them(window, page_of, name, size):
    opened = window(page_of(name), View(size))
    opened.run("() => document.querySelectorAll('details.card').forEach((each) => (each.open = true))")
    beyond = opened.run(
        """() => [...document.querySelectorAll('svg.chart text')].map(
          (text) => text.getBoundingClientRect().right - text.closest('svg').getBoundingClientRect().right
        )"""
    )
    assert beyond
    assert max(beyond) <= 1


@pytest.mark.parametrize("name", ["report", "report-mlp"])
def test_the_layer_graph_is_coloured_zoomed_and_followed(window, page_of, name):
    opened = window(page_of(name))
    figure = opened.page.locator("figure.graph").first
    drawing = figure.locator("svg.layer-graph")
    node = drawing.locator(".node[data-key]").nth(2)
    node.hover()
    assert "marked" in drawing.get_attribute("class")
    assert node.locator("title").text_content().strip()
    opened.page.mouse.move(2, 2)
    opened.settle()
    assert "marked" not in drawing.get_attribute("class")
    width = float(drawing.get_attribute("width"))
    figure.get_by_role("button", name="Larger").click()
    assert float(drawing.get_attribute("width")) > width
    figure.get_by_role("button", name="Show it in its own size").press("Enter")
    fills = "each => [...each.querySelectorAll('.shape')].map((s) => getComputedStyle(s).fill)"
    figure.get_by_role("button", name="NP", exact=True).press("Enter")
    before = drawing.evaluate(fills)
    figure.get_by_role("button", name="z", exact=True).click()
    assert drawing.evaluate(fills) != before
    figure.get_by_role("button", name="NP", exact=True).click()
    assert drawing.evaluate(fills) == before
    node.focus()
    opened.page.keyboard.press("Enter")
    assert opened.run("() => location.hash.length > 1")
    assert opened.said == []


@pytest.mark.parametrize("name", ["report", "check-many", "probe-many"])
def test_a_link_opens_what_is_folded(window, page_of, name):
    opened = window(page_of(name))
    link = opened.page.locator("main td a[href^='#']:not(.term)").first
    key = link.get_attribute("href")[1:]
    part = opened.page.locator(f"[id='{key}']")
    assert not part.evaluate("each => each.closest('details').open")
    link.click()
    assert part.evaluate("each => each.closest('details').open")


def test_a_layer_without_a_figure_has_no_colour_of_another(window, page_of):
    opened = window(page_of("report-mlp"))
    figure = opened.page.locator("figure.graph").first
    table = next(each for each in opened.ask("tables") if each["key"] == "table")
    cells = opened.page.locator("[id='table'] tbody tr").first.locator("td")
    cells.nth(table["titles"].index("z")).evaluate("cell => (cell.textContent = '')")
    key = cells.first.text_content()
    shape = figure.locator(f"[data-key='layer:{key}'] .shape")
    plain = figure.get_attribute("data-plain").split(",")[0]
    assert shape.get_attribute("fill") != plain
    figure.get_by_role("button", name="z", exact=True).click()
    assert shape.get_attribute("fill") == plain
    figure.get_by_role("button", name="NP", exact=True).click()
    assert shape.get_attribute("fill") != plain
