"use strict";
(function () {
  const by = (id) => document.getElementById(id);
  let at = -1;  // the row that the keyboard is at
  const rows = () => Array.from(document.querySelectorAll("#rows > li")).filter((row) => !row.hidden);

  // --- the list: search, kinds, parts, marks ---
  function filterFolders() {
    const words = by("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = by("kind").value, parts = !by("parts") || by("parts").checked;
    let shown = 0;
    for (const row of document.querySelectorAll("#rows > li")) {
      const fits = words.every((word) => row.dataset.search.includes(word)) && (!kind || row.dataset.kind === kind);
      row.hidden = !fits || (row.dataset.inside !== undefined && !parts && !words.length);
      shown += row.hidden ? 0 : 1;
    }
    by("none").hidden = shown > 0 || !document.querySelector("#rows > li");
    const state = new URLSearchParams();
    if (by("search").value) state.set("q", by("search").value);
    if (kind) state.set("kind", kind);
    if (by("parts") && parts) state.set("parts", "1");
    history.replaceState(null, "", state.size ? "#" + state : location.pathname + location.search);
  }
  const watched = by("rows") && by("rows").dataset.live !== undefined;
  const marks = () => Array.from(document.querySelectorAll(".mark:checked")).map((mark) => mark.value);
  function openBeside() {
    const two = marks();
    if (two.length !== 2) return;
    location.href = "beside.html" + (watched ? "?" : "#") + new URLSearchParams({ a: two[0], b: two[1] });
  }
  if (by("search")) {
    const state = new URLSearchParams(location.hash.slice(1));
    by("search").value = state.get("q") || "";
    by("kind").value = state.get("kind") || "";
    if (by("parts")) by("parts").checked = state.has("parts");
    for (const id of ["search", "kind", "parts"]) if (by(id)) by(id).addEventListener("input", filterFolders);
    filterFolders();
  }
  if (by("beside")) {
    by("beside").addEventListener("click", openBeside);
    const count = () => { by("beside").disabled = marks().length !== 2; };
    document.addEventListener("change", count);
    count();
  }

  // --- the list, as the folders are now ---
  function renew(found) {
    const shape = (page) => [!page.getElementById("parts"), !page.querySelector("#rows > li"), page.getElementById("kind").textContent].join();
    const busy = document.activeElement !== document.body || marks().length;
    if (shape(found) !== shape(document)) { if (!busy) location.reload(); return; }
    const old = new Map(Array.from(document.querySelectorAll("#rows > li"), (row) => [row.dataset.id, row]));
    const marked = new Set(marks()), focused = document.activeElement;
    let isNew = old.size !== found.querySelectorAll("#rows > li").length;
    const made = Array.from(found.querySelectorAll("#rows > li"), (row, place) => {
      const was = old.get(row.dataset.id);
      const same = was && was.innerHTML === row.innerHTML && was.dataset.search === row.dataset.search;
      if (same || (was && was.contains(focused))) { isNew ||= was !== document.querySelectorAll("#rows > li")[place]; return was; }
      isNew = true;
      for (const mark of row.querySelectorAll(".mark")) mark.checked = marked.has(mark.value);
      if (was) row.classList.toggle("at", was.classList.contains("at"));
      return row;
    });
    if (!isNew) return;
    by("rows").replaceChildren(...made);
    focused.focus({ preventScroll: true });
    by("total").textContent = found.getElementById("total").textContent;
    filterFolders();
    at = rows().findIndex((row) => row.classList.contains("at"));
  }
  async function watchList() {
    let wait = document.querySelector("#rows .state.running") ? 3000 : 15000;
    if (!document.hidden) {
      try {
        const reply = await fetch(location.pathname);
        if (reply.ok) renew(new DOMParser().parseFromString(await reply.text(), "text/html"));
      } catch { wait = 15000; }
    }
    setTimeout(watchList, wait);
  }
  if (watched) setTimeout(watchList, 3000);

  // --- two studies of a page that no server pairs ---
  function made(tag, text, ...inner) {
    const element = document.createElement(tag);
    if (text) element.textContent = text;
    element.append(...inner);
    return element;
  }
  function table(first, names, lines) {
    const head = [first, ...names].map((name) => made("th", name));
    const body = lines.map(([name, cells]) => {
      const row = made("tr", "", made("th", name), ...cells.map((cell) => made("td", "", ...cell)));
      Array.from(row.querySelectorAll("td"), (cell, place) => { cell.dataset.name = names[place]; });
      return row;
    });
    const found = made("table", "", made("thead", "", made("tr", "", ...head)), made("tbody", "", ...body));
    found.className = "rows";
    return found;
  }
  function quiet(text) {
    const span = made("span", text);
    span.className = "quiet";
    return span;
  }
  function pairPanels(pair, names) {
    const parts = [];
    for (const one of pair[0].panels) {
      const other = pair[1].panels.find((panel) => String(panel.key) === String(one.key));
      if (!other) continue;
      parts.push(made("h3", one.key[0] + ", " + one.key[1]));
      if (one.region !== other.region) parts.push(quiet(one.region + " beside " + other.region));
      const statistics = Array.from(new Set([...Object.keys(one.rows), ...Object.keys(other.rows)]));
      parts.push(table("statistic", names, statistics.map((name) => [name, [one, other].map((panel) => {
        const [value, interval] = panel.rows[name] || ["–", ""];
        return [made("b", value), " ", quiet(interval)];
      })])));
    }
    return parts.length ? parts : [made("p", "They have no panel of the same system prompt and prompts.")];
  }
  function showPair() {
    const sides = JSON.parse(by("pair").dataset.sides), asked = new URLSearchParams(location.hash.slice(1));
    const ids = ["a", "b"].map((name) => asked.get(name) || "");
    const missing = ids.filter((id) => id && !Object.hasOwn(sides, id));
    if (missing.length) by("lacks").textContent = "Not a study of this bundle that can be read: " + missing.join(", ");
    by("lacks").hidden = !missing.length && ids.every(Boolean);
    for (const id of ["heads", "panels", "settings", "pictures"]) by(id).replaceChildren();
    if (!by("lacks").hidden) return;
    const pair = ids.map((id) => sides[id]);
    const names = pair[0].name === pair[1].name ? ids : pair.map((side) => side.name);
    by("title").textContent = document.title = names.join(" beside ");
    by("heads").append(...pair.map((side, place) => {
      const link = made("a", names[place]);
      link.href = side.address + "index.html";
      return made("div", "", made("h2", "", link), made("p", "", quiet(side.model + " · " + side.responses)));
    }));
    by("panels").append(...pairPanels(pair, names));
    const settings = Array.from(new Set(pair.flatMap((side) => Object.keys(side.settings))));
    const lines = settings.map((name) => [name, pair.map((side) => [side.settings[name] ?? "null"])]);
    const differ = lines.filter(([, [one, other]]) => one[0] !== other[0]);
    if (differ.length) by("settings").append(made("h3", "Settings that differ"), table("setting", names, differ));
    const figures = Array.from(new Set(pair.flatMap((side) => side.figures))).sort();
    for (const name of figures) {
      const row = made("div", "", ...pair.map((side) => {
        if (!side.figures.includes(name)) return made("figure", "", made("figcaption", "none of this name"));
        const image = made("img");
        image.loading = "lazy";
        image.src = side.address + "figures/" + encodeURIComponent(name);
        image.alt = name.replace(/\.png$/, "");
        return made("figure", "", image, made("figcaption", image.alt));
      }));
      row.className = "sides";
      by("pictures").append(row);
    }
  }
  if (by("pair")) {
    addEventListener("hashchange", showPair);
    showPair();
  }

  // --- a study that runs: what is there is asked for again, and the report follows ---
  function told(found, live) {
    by("state").textContent = found.state;
    by("state").className = "state " + found.state;
    by("bar").value = found.planned ? found.done / found.planned : 0;
    by("count").textContent = found.done.toLocaleString("en-US") + " of " + found.planned.toLocaleString("en-US") + " responses";
    by("beat").textContent = found.heartbeat;
    by("lacks").hidden = !found.missing.length;
    by("missing").replaceChildren(...found.missing.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }));
    by("follow-label").hidden = found.state !== "running";
    const isNew = String(found.done) !== live.dataset.done;
    const reading = document.activeElement === by("report");
    if (isNew && by("follow").checked && !reading) show(found.done, live);
    else by("fresh").hidden = !isNew;
    live.dataset.latest = found.done;
  }
  function show(done, live) {
    live.dataset.done = done;
    by("fresh").hidden = true;
    by("report").src = by("report").dataset.page;
  }
  async function watch(live) {
    let wait = 3000;
    try {
      const reply = await fetch(live.dataset.status);
      if (reply.ok) {
        const found = await reply.json();
        told(found, live);
        wait = found.state === "running" ? 3000 : 15000;
      } else by("beat").textContent = "the folder cannot be read now";
    } catch { by("beat").textContent = "the viewer has ended"; wait = 15000; }
    setTimeout(() => watch(live), wait);
  }
  const live = by("live");
  if (live && live.dataset.status) {
    by("fresh").addEventListener("click", () => show(live.dataset.latest, live));
    setTimeout(() => watch(live), 3000);
  }

  // --- samples of a page that no server filters ---
  function filterHere() {
    const wanted = new FormData(by("filter"));
    let shown = 0;
    for (const row of document.querySelectorAll("#rows > li")) {
      const plain = ["outcome", "point", "category"].every((name) => !wanted.get(name) || wanted.get(name) === row.dataset[name]);
      const said = new Map(row.dataset.judges.split("\n").map((line) => line.split("\t")));
      const judge = wanted.get("judge"), success = wanted.get("success");
      const judged = !judge || !success || (said.get(judge) || "undecided") === success;
      row.hidden = !plain || !judged || (wanted.get("disagreement") && row.dataset.differ === undefined);
      shown += row.hidden ? 0 : 1;
    }
    by("none").hidden = shown > 0;
  }
  const filter = by("filter");
  if (filter) {
    const here = filter.dataset.here !== undefined;
    filter.addEventListener("change", () => (here ? filterHere() : filter.requestSubmit()));
    filter.addEventListener("submit", (event) => { if (here) event.preventDefault(); });
    filter.addEventListener("formdata", (event) => {
      if (!here) for (const [name, value] of Array.from(event.formData)) if (!value) event.formData.delete(name);
    });
    if (here) filterHere();
  }

  // --- keyboard ---
  function move(step) {
    const all = rows();
    if (!all.length) return;
    document.querySelectorAll("li.at").forEach((row) => row.classList.remove("at"));
    at = Math.max(0, Math.min(all.length - 1, at + step));
    all[at].classList.add("at");
    all[at].scrollIntoView({ block: "nearest" });
  }
  function go(selector) {
    const link = document.querySelector(selector);
    if (link) link.click();
  }
  const keys = {
    "/": () => { const field = by("search") || document.querySelector("#filter select"); if (field) field.focus(); },
    j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
    Enter: () => go("li.at a.open"),
    x: () => go("li.at .mark"), b: openBeside,
    r: () => go("#to-report"), s: () => go("#to-samples"), n: () => go("#next"), u: () => go("a.up"),
    "?": () => by("help").showModal(),
  };
  document.addEventListener("keydown", (event) => {
    const field = event.target.closest("input:not([type=checkbox]), select, textarea");
    if (event.ctrlKey || event.metaKey || event.altKey || by("help").open) return;
    if (field) {
      if (event.key === "Escape") field.blur();
      else if (field.id === "search" && event.key === "Enter") { field.blur(); at = -1; move(1); event.preventDefault(); }
      return;
    }
    if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
    const act = keys[event.key];
    if (act && (event.key !== "ArrowDown" && event.key !== "ArrowUp" || by("rows"))) { event.preventDefault(); act(); }
  });
})();
