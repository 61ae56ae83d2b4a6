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

  /* The layer graph: coloured by a column of the table, sized, dragged; nodes lead to their layers. */
  for (const figure of all("figure.graph")) {
    const box = figure.querySelector(".scroll");
    const drawing = box.querySelector("svg");
    const [, , width, height] = drawing.getAttribute("viewBox").split(" ").map(Number);
    const table = document.getElementById(figure.dataset.table);
    const titles = table ? [...table.tHead.rows[0].cells].map((title) => title.firstChild.textContent.trim()) : [];
    const rowOf = new Map(table ? [...table.tBodies[0].rows].map((row) => [`layer:${row.cells[0].textContent}`, row]) : []);
    const nodes = all(".node", drawing);
    const tools = make("div", { className: "tools" });

    const stops = figure.dataset.stops.split(" ").map((stop) => stop.split(","));
    const plain = figure.dataset.plain.split(","); // a layer that has no such figure
    const colour = (column) => {
      const place = titles.indexOf(column);
      const told = nodes.map((node) => {
        const cell = rowOf.get(node.dataset.key)?.cells[place];
        return cell && readOf(cell, true);
      });
      const known = told.filter((value) => typeof value === "number");
      const [low, high] = [Math.min(...known), Math.max(...known)];
      const bent = column === "NP" ? (value) => value : Math.asinh; // z and counts have long tails
      nodes.forEach((node, number) => {
        const value = told[number];
        if (value === undefined) return; // not in the table
        const share = high > low ? (bent(value) - bent(low)) / (bent(high) - bent(low)) : 0;
        const [fill, ink, opacity] = value === null ? plain : [...stops[Math.round(share * (stops.length - 1))], "1"];
        node.querySelector(".shape").setAttribute("fill", fill);
        node.querySelector(".shape").setAttribute("fill-opacity", opacity);
        all("text", node).forEach((text) => text.setAttribute("fill", ink));
      });
      const scale = figure.querySelector(".scale");
      scale.querySelector(".what").textContent = column;
      scale.querySelector(".low").textContent = low.toLocaleString("en", { maximumFractionDigits: 4 });
      scale.querySelector(".high").textContent = high.toLocaleString("en", { maximumFractionDigits: 4 });
    };
    const columns = figure.dataset.columns.split("\n").filter((column) => titles.includes(column));
    if (columns.length > 1) {
      const switches = columns.map((column) => {
        const button = make("button", { type: "button" }, column);
        button.setAttribute("aria-pressed", column === columns[0]);
        button.onclick = () => {
          switches.forEach((each) => each.setAttribute("aria-pressed", each === button));
          colour(column);
        };
        return button;
      });
      tools.append(make("span", { className: "soft" }, "Colour by"), ...switches);
    }

    let size = 1;
    const zoom = (next, x = box.clientWidth / 2, y = box.clientHeight / 2) => {
      const bounded = Math.min(Math.max(next, 0.05), 4);
      const [left, top] = [(box.scrollLeft + x) / size, (box.scrollTop + y) / size];
      size = bounded;
      drawing.setAttribute("width", width * size);
      drawing.setAttribute("height", height * size);
      box.scrollTo(left * size - x, top * size - y);
    };
    const whole = () => Math.min(1, (box.clientWidth - 2) / width, (box.clientHeight - 2) / height);
    const buttons = [
      ["+", "Larger", () => zoom(size * 1.4)],
      ["\u2212", "Smaller", () => zoom(size / 1.4)],
      ["Whole", "Show the whole graph", () => zoom(whole())],
      ["100 %", "Show it in its own size", () => zoom(1)],
    ].map(([text, label, onclick]) => {
      const button = make("button", { type: "button", onclick }, text);
      button.setAttribute("aria-label", label);
      return button;
    });
    tools.append(make("span", { className: "soft" }, "Size"), ...buttons);
    figure.prepend(tools);
    const first = new ResizeObserver(() => {
      if (!box.clientWidth) return; // in a part that is folded
      first.disconnect();
      zoom(Math.min(1, Math.max((box.clientWidth - 2) / width, 0.6)));
      box.scrollTo((width * size - box.clientWidth) / 2, 0);
    });
    first.observe(box);
    box.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const at = box.getBoundingClientRect();
      zoom(size * Math.exp(-event.deltaY / 300), event.clientX - at.left, event.clientY - at.top);
    }, { passive: false });
    let held = null;
    let moved = false;
    box.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse" && event.button === 0) held = [event.clientX + box.scrollLeft, event.clientY + box.scrollTop];
      moved = false;
    });
    addEventListener("pointermove", (event) => {
      if (!held) return;
      const [x, y] = [held[0] - event.clientX, held[1] - event.clientY];
      moved ||= Math.hypot(x - box.scrollLeft, y - box.scrollTop) > 4;
      if (moved) box.scrollTo(x, y);
    });
    addEventListener("pointerup", () => (held = null));

    const edges = all(".edge", drawing);
    const mark = (node) => {
      const number = node?.dataset.node;
      drawing.classList.toggle("marked", Boolean(number));
      const at = (told) => told.split(" ").includes(number);
      const near = new Set([number]);
      edges.forEach((edge) => {
        const near_ = Boolean(number) && (at(edge.dataset.from) || at(edge.dataset.to));
        edge.classList.toggle("near", near_);
        if (near_) `${edge.dataset.from} ${edge.dataset.to}`.split(" ").forEach((each) => near.add(each));
      });
      nodes.forEach((each) => each.classList.toggle("near", Boolean(number) && near.has(each.dataset.node)));
    };
    const nodeAt = (event) => (event.target instanceof Element ? event.target.closest(".node") : null);
    drawing.addEventListener("pointerover", (event) => mark(nodeAt(event)));
    drawing.addEventListener("pointerleave", () => mark(null));
    drawing.addEventListener("focusin", (event) => mark(nodeAt(event)));
    drawing.addEventListener("focusout", () => mark(null));
    const go = (node) => {
      const row = rowOf.get(node?.dataset.key);
      if (row) location.hash = row.querySelector("a")?.hash || `#${row.id}`;
    };
    drawing.addEventListener("click", (event) => moved || go(nodeAt(event)));
    nodes.forEach((node, number) => node.setAttribute("tabindex", number ? "-1" : "0")); // one stop for Tab
    drawing.addEventListener("keydown", (event) => {
      const at = nodes.indexOf(nodeAt(event));
      const steps = { ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowLeft: at - 1, Home: 0, End: nodes.length - 1 };
      const next = at < 0 ? undefined : nodes[steps[event.key]];
      if (event.key === "Enter") go(nodes[at]);
      if (!next) return;
      event.preventDefault();
      nodes[at].setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    });
    figure.append(make("figcaption", {}, "Drag to move it; Ctrl and the wheel change its size; arrow keys go from node to node, Enter to the layer."));
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
