(() => {
  "use strict";
  const all = (what, inside = document) => [...inside.querySelectorAll(what)];
  const make = (name, values = {}, ...inside) => {
    const made = Object.assign(document.createElement(name), values);
    made.append(...inside);
    return made;
  };

  /* The look: that of the system, or the one that was chosen here. */
  const root = document.documentElement;
  const remembered = (value) => {
    try {
      if (value !== undefined) localStorage.setItem("onnxtop-theme", value);
      return localStorage.getItem("onnxtop-theme");
    } catch {
      return null; // a browser that keeps nothing for files
    }
  };
  const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const theme = make("button", { type: "button", className: "theme" });
  const name = () => {
    theme.textContent = isDark() ? "Light" : "Dark";
    theme.setAttribute("aria-label", `Switch to the ${isDark() ? "light" : "dark"} theme`);
  };
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();
  theme.onclick = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remembered(root.dataset.theme);
    name();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();
  document.querySelector(".topbar")?.append(theme);

  /* Folded parts open when something leads into them, and for printing. */
  const open = () => {
    const aim = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let part = aim; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    if (aim) aim.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    if (folded.length < 400) folded.forEach((each) => (each.open = true));
  });
  addEventListener("afterprint", () => folded.forEach((each) => (each.open = false)));

  /* Tables: sorted by a column, searched, and filtered by the values of some columns. */
  const readOf = (cell, numeric) => {
    if (!numeric) return cell.innerText.trim().toLowerCase();
    const told = cell.dataset.v ?? cell.textContent.replace(/[,\s%]/g, "");
    return told === "" || Number.isNaN(Number(told)) ? null : Number(told);
  };
  const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));
  for (const table of all("table[data-tools]")) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const titles = [...table.tHead.rows[0].cells];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const search = make("input", { type: "search", placeholder: `Search ${rows.length.toLocaleString("en")} rows` });
    search.setAttribute("aria-label", `Search in ${table.caption.textContent}`);
    const count = make("output");
    const choices = titles.flatMap((title, column) => {
      if (!("choose" in title.dataset)) return [];
      const values = [...new Set(rows.map((row) => row.cells[column].textContent.trim()))].filter(Boolean).sort();
      if (values.length < 2) return [];
      const choice = make("select", {}, make("option", { value: "" }, `${title.firstChild.textContent.trim()}: all`));
      choice.setAttribute("aria-label", `Show by ${title.firstChild.textContent.trim()}`);
      choice.append(...values.map((value) => make("option", { value }, value.slice(0, 60))));
      return [{ choice, column }];
    });
    const show = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, place) => {
        const fits =
          words.every((word) => texts[place].includes(word)) &&
          choices.every(({ choice, column }) => !choice.value || row.cells[column].textContent.trim() === choice.value);
        row.hidden = !fits;
        shown += fits;
      });
      count.textContent = shown === rows.length ? "" : `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} shown`;
    };
    search.oninput = show;
    choices.forEach(({ choice }) => (choice.onchange = show));
    const tools = make("div", { className: "tools" }, search, ...choices.map(({ choice }) => choice), count);
    table.closest(".scroll").before(tools);

    titles.forEach((title, column) => {
      if (!title.textContent.trim()) return;
      const numeric = title.classList.contains("r");
      const button = make("button", { type: "button" }, "↕");
      button.setAttribute("aria-label", `Sort by ${title.textContent.trim()}`);
      button.onclick = () => {
        const next = { ascending: "descending", descending: "" }[title.getAttribute("aria-sort")] ?? "ascending";
        titles.forEach((each) => {
          each.removeAttribute("aria-sort");
          const sign = each.querySelector("button");
          if (sign) sign.textContent = "↕";
        });
        let sorted = rows;
        if (next) {
          title.setAttribute("aria-sort", next);
          button.textContent = next === "ascending" ? "↑" : "↓";
          const keyed = rows.map((row) => [readOf(row.cells[column], numeric), row]);
          const way = next === "ascending" ? 1 : -1;
          keyed.sort(([a], [b]) => (a === null ? (b === null ? 0 : 1) : b === null ? -1 : way * compare(a, b)));
          sorted = keyed.map(([, row]) => row);
        }
        body.append(...sorted);
      };
      title.append(" ", button);
    });
  }

  /* Words of the glossary: their text beside them while one points at them, or until Escape once clicked. */
  const tip = make("div", { className: "tip", id: "tip", hidden: true });
  tip.setAttribute("role", "tooltip");
  document.body.append(tip);
  let shownFor = null;
  let pinned = false;
  let leaving = 0;
  const hide = () => {
    shownFor?.removeAttribute("aria-describedby");
    tip.hidden = true;
    shownFor = null;
    pinned = false;
  };
  const tell = (word) => {
    clearTimeout(leaving);
    if (shownFor === word) return;
    const text = document.getElementById(decodeURIComponent(word.hash.slice(1)));
    if (!text) return;
    hide();
    shownFor = word;
    tip.replaceChildren(make("strong", {}, text.textContent), ...text.nextElementSibling.cloneNode(true).children);
    tip.hidden = false;
    word.setAttribute("aria-describedby", "tip");
    const place = word.getBoundingClientRect();
    const left = Math.min(place.left, root.clientWidth - tip.offsetWidth - 12);
    const below = place.bottom + tip.offsetHeight + 8 < innerHeight || place.top < tip.offsetHeight + 8;
    tip.style.left = `${Math.max(left, 12) + scrollX}px`;
    tip.style.top = `${(below ? place.bottom + 6 : place.top - tip.offsetHeight - 6) + scrollY}px`;
  };
  const leave = () => {
    clearTimeout(leaving);
    if (!pinned) leaving = setTimeout(hide, 250);
  };
  const wordAt = (event) => (event.target instanceof Element ? event.target.closest("a.term") : null);
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType === "touch") return;
    if (wordAt(event)) tell(wordAt(event));
    else if (tip.contains(event.target)) clearTimeout(leaving);
    else if (shownFor) leave();
  });
  document.addEventListener("focusin", (event) => (wordAt(event) ? tell(wordAt(event)) : shownFor && leave()));
  document.addEventListener("click", (event) => {
    const word = wordAt(event);
    if (word && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      tell(word);
      pinned = true;
    } else if (!tip.contains(event.target)) hide();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
})();
