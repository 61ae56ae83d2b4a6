/* What a page is asked about itself: an object of functions, each of which returns plain values. */
({
  /* Wait until what was asked of the page has been drawn. */
  drawn: () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),

  /* Pixels by which the page is wider than its window. */
  overflow: () => document.documentElement.scrollWidth - document.documentElement.clientWidth,

  /* The levels of the headings, in their order. */
  headings: () => [...document.querySelectorAll("h1,h2,h3,h4,h5,h6")].map((each) => Number(each.tagName[1])),

  /* What has no name for those who do not see it. */
  nameless: () => {
    const all = (what) => [...document.querySelectorAll(what)];
    const named = (each) => (each.getAttribute("aria-label") || each.textContent || each.title).trim();
    const hidden = (each) => each.getAttribute("aria-hidden") === "true";
    return [
      ...all("a, button, summary").filter((each) => !named(each)),
      ...all("input, select").filter((each) => !each.getAttribute("aria-label") && !each.labels.length),
      ...all("svg").filter((each) => !hidden(each) && !each.querySelector(":scope > title")?.textContent.trim()),
      ...all("th").filter((each) => !each.scope),
      ...all("table").filter((each) => !each.caption),
      ...all("[aria-labelledby]").filter((each) => !document.getElementById(each.getAttribute("aria-labelledby"))),
    ].map((each) => each.outerHTML.slice(0, 200));
  },

  /* Texts whose contrast with their ground is less than WCAG 2.2 asks for (1.4.3, level AA). */
  faint: () => {
    const painter = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const seen = new Map();
    const rgba = (colour) => {
      if (!seen.has(colour)) {
        painter.clearRect(0, 0, 1, 1);
        painter.fillStyle = colour;
        painter.fillRect(0, 0, 1, 1);
        seen.set(colour, [...painter.getImageData(0, 0, 1, 1).data]);
      }
      return seen.get(colour);
    };
    const over = ([r, g, b, a], back) => [r, g, b].map((v, i) => (v * a + back[i] * (255 - a)) / 255);
    const filled = (style) => {
      const [r, g, b, a] = rgba(style.fill);
      return [r, g, b, a * Number(style.fillOpacity) * Number(style.opacity)];
    };
    const ground = (each) => {
      if (!each) return [255, 255, 255];
      const own = rgba(getComputedStyle(each).backgroundColor);
      return own[3] === 255 ? own.slice(0, 3) : over(own, ground(each.parentElement));
    };
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const light = (colour) => {
      const [r, g, b] = colour.map((v) => linear(v / 255));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const faint = new Map();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const each = node.parentElement;
      if (!node.data.trim() || each.closest("script, style, title") || !each.checkVisibility()) continue;
      const style = getComputedStyle(each);
      const drawing = each.closest("svg");
      const shape = each.closest(".node")?.querySelector(".shape");
      const paper = ground(drawing ? drawing.parentElement : each);
      const back = shape ? over(filled(getComputedStyle(shape)), paper) : paper;
      const ink = over(drawing ? filled(style) : rgba(style.color), back);
      const [high, low] = [light(ink), light(back)].sort((a, b) => b - a);
      const size = parseFloat(style.fontSize);
      const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      const contrast = (high + 0.05) / (low + 0.05);
      if (contrast < (isLarge ? 3 : 4.5)) {
        const look = `${each.tagName}.${each.className.baseVal ?? each.className}`;
        faint.set(look, `${look} ${contrast.toFixed(2)}: ${node.data.trim().slice(0, 40)}`);
      }
    }
    return [...faint.values()];
  },

  /* Tables that can be sorted, with the titles of their columns and which of them hold numbers. */
  tables: () =>
    [...document.querySelectorAll("table[data-tools]")]
      .filter((each) => each.checkVisibility())
      .map((each) => ({
        key: each.id,
        titles: [...each.tHead.rows[0].cells].map((cell) => cell.firstChild.textContent.trim()),
        numeric: [...each.tHead.rows[0].cells].map((cell) => cell.classList.contains("r")),
      })),

  /* The cells of a column of a table that are shown, by the figure that they are sorted by. */
  column: ([table, column]) =>
    [...document.getElementById(table).tBodies[0].rows]
      .filter((row) => !row.hidden)
      .map((row) => row.cells[column].dataset.v ?? row.cells[column].innerText.trim()),

  /* Links that lead nowhere. */
  lost: () =>
    [...document.querySelectorAll('a[href^="#"]')]
      .map((each) => decodeURIComponent(each.hash.slice(1)))
      .filter((key) => !document.getElementById(key)),

  /* What has the focus; and whether something shows that it has. */
  focus: () => {
    const each = document.activeElement;
    const style = getComputedStyle(each);
    const shows = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    return { what: each.outerHTML.slice(0, 120), shows, body: each === document.body };
  },

  /* The colour of the ground. */
  ground: () => getComputedStyle(document.body).backgroundColor,

  /* Whether all of something is inside of the window. */
  inside: (what) => {
    const box = document.querySelector(what).getBoundingClientRect();
    return box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight;
  },
})
