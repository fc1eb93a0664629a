/* The responses at the chosen point. */
const BATCH = 10;

function describe(panel, state) {
  const number = cellAt(panel, state.at, state.direction);
  if (number < 0) return "Nothing is measured here.";
  const cell = panel.cells[number];
  const rates = panel.judges.map((judge, i) => {
    const rate = cell.asr[i];
    if (!rate || rate[0] === null) return `${judge.name}: no verdict`;
    return `${judge.name}: ${panel.rate} ${rateWords(rate)}`;
  });
  const coords = state.at.map((x, axis) => `${"αβ"[axis]} = ${signed(x)}`).join(", ");
  const place = cell.direction < 0 ? "At the origin" : `At ${coords}, ${panel.directions[state.direction]}`;
  return `${place}. ${rates.join("; ")}.`;
}

function verdictWords(verdict) {
  const [judge, label, , reason] = verdict;
  return `${judge}: ${outcomeWord(label)}${reason ? ` (${reason})` : ""}`;
}

function item(panel, sample) {
  const prompt = panel.prompts[sample.prompt];
  const node = make("li");
  const meta = make("div", "meta");
  const badge = make("span", "badge", outcomeWord(sample.label));
  badge.style.setProperty("--badge", outcomeColor(sample.label));
  meta.append(badge);
  const about = [prompt.id, prompt.category, prompt.label, `${sample.tokens} tokens`, `ended by ${sample.finish}`];
  about.concat(sample.verdicts.map(verdictWords)).filter(Boolean).forEach((text) => meta.append(make("span", "", text)));
  node.append(meta);
  if (sample.asked && prompt.text !== null) node.append(make("p", "asked", prompt.text));
  node.append(sample.text === null
    ? make("p", "said withheld", "Text withheld. “safebasin report DIR --with-text” shows it.")
    : make("p", "said" + (sample.text ? "" : " withheld"), sample.text || "(empty)"));
  return node;
}

function listResponses(box, panel, state) {
  const number = cellAt(panel, state.at, state.direction);
  const here = panel.samples.filter((s) => s.cell === number);
  const found = [...new Set(here.map((s) => s.label))];
  if (!found.includes(state.outcome)) state.outcome = "";
  const count = (name) => here.filter((s) => s.label === name).length;
  options(box.querySelector("[name=outcome]"),
          [["", `all (${here.length})`]].concat(found.map((n) => [n, `${outcomeWord(n)} (${count(n)})`])), state.outcome);
  const chosen = here.filter((s) => !state.outcome || s.label === state.outcome);
  const planned = number < 0 ? 0 : Math.min(panel.cells[number].planned, here.length ? Infinity : 0);
  const cut = here.length && here.length < planned
    ? ` The first ${here.length} of ${planned} are shown; “safebasin export” gives all.` : "";
  box.closest(".responses").querySelector(".where").textContent = describe(panel, state) + cut;
  const target = box.querySelector(".list");
  box.querySelector(".scroll").scrollTop = 0;
  const more = box.querySelector(".more");
  target.replaceChildren();
  const grow = () => {
    const next = chosen.slice(target.children.length, target.children.length + BATCH);
    target.append(...next.map((sample) => item(panel, sample)));
    const left = chosen.length - target.children.length;
    more.hidden = left <= 0;
    more.textContent = `Show ${Math.min(BATCH, left)} more of ${left}`;
  };
  more.onclick = grow;
  grow();
}

/* The selects above the list, bound to the state; `changed` is called when a reader chose another point. */
function bindResponses(box, panelOf, state, changed) {
  const select = (name) => box.querySelector(`[name=${name}]`);
  const names = ["alpha", "beta"].filter((name) => select(name));
  const fill = () => {
    const panel = panelOf();
    names.forEach((name, axis) => {
      const coords = unique(panel.cells.map((c) => c.at[axis]));
      options(select(name), coords.map((x) => [x, signed(x)]), state.at[axis]);
    });
    options(select("direction"), panel.directions.map((name, i) => [i, name]), state.direction);
  };
  names.forEach((name, axis) => {
    select(name).onchange = () => { state.at[axis] = Number(select(name).value); changed(); };
  });
  select("direction").onchange = () => { state.direction = Number(select("direction").value); changed(); };
  select("outcome").onchange = (e) => { state.outcome = e.target.value; listResponses(box, panelOf(), state); };
  box.querySelector("form").onsubmit = (e) => e.preventDefault();
  box.hidden = false;
  return () => {
    fill();
    select("direction").disabled = state.at.every((x) => x === 0);
    listResponses(box, panelOf(), state);
  };
}

/* Open the list under the figure, and bring it into view where it is not. */
function openResponses(box) {
  const folded = box.closest(".responses");
  folded.open = true;
  folded.scrollIntoView({ block: "nearest" });
}

function showResponses(box) {
  openResponses(box);
  const where = box.closest(".responses").querySelector(".where");
  where.tabIndex = -1;
  where.focus({ preventScroll: true });
}
