"use strict";
(function () {
  const by = (id) => document.getElementById(id);
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
  const marks = () => Array.from(document.querySelectorAll(".mark:checked")).map((mark) => mark.value);
  function openBeside() {
    const two = marks();
    if (two.length === 2) location.href = "beside.html?" + new URLSearchParams({ a: two[0], b: two[1] });
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
  let at = -1;
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
