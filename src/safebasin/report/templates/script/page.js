/* One section after the other: what is drawn, and what a click, a key or a select does. */
const clicked = (event) => event.points.map((p) => p.customdata).find(Boolean);

function startLine(section, panel) {
  const asr = section.querySelector(".asr");
  const made = section.querySelector(".composition");
  const box = section.querySelector(".samples");
  const state = { at: [0], direction: 0, outcome: "" };
  const draw = () => {
    drawAsr(asr, panel, state);
    if (made && panel.composition.length) drawComposition(made, panel, state);
  };
  const show = () => { list(); draw(); };
  const list = bindResponses(box, () => panel, state, show);
  const click = (event) => {
    const at = clicked(event);
    if (!at || !panel.cells.some((c) => c.at[0] === at[0])) return;  /* an interpolated point has no responses */
    state.at = [at[0]];
    if (at[1] !== null) state.direction = at[1];
    show();
    openResponses(box);
  };
  show();
  asr.on("plotly_click", click);
  if (made && panel.composition.length) made.on("plotly_click", click);
  const alphas = unique(panel.cells.map((c) => c.at[0]));
  onKeys(asr, (axis, by) => {
    if (axis === 0) state.at = [step(alphas, state.at[0], by)];
    else state.direction = step(panel.directions.map((_, i) => i), state.direction, by);
    show();
  }, () => showResponses(box));
  return draw;
}

function startPlane(section, panel) {
  const flat = section.querySelector(".map"), solid = section.querySelector(".surface");
  const box = section.querySelector(".samples");
  const state = { at: [0, 0], direction: 0, outcome: "" };
  const view = { judge: 0, plane: panel.directions.length > 1 ? "mean" : "0", solid: false };
  const draw = () => {
    flat.hidden = view.solid;
    solid.hidden = !view.solid;
    if (!view.solid) return drawPlane(flat, panel, state, view);
    return drawSurface(solid, panel, state, view);
  };
  const show = () => { list(); draw(); };
  const list = bindResponses(box, () => panel, state, show);
  const click = (event) => {
    const at = clicked(event);
    if (!at) return;
    state.at = [...at[0]];
    if (at[1] !== null) state.direction = at[1];
    show();
    openResponses(box);
  };
  const nearest = (event) => {
    const point = event.points[0];
    const far = (c) => Math.hypot(c.at[0] - point.x, c.at[1] - point.y);
    state.at = [...panel.cells.reduce((best, c) => (far(c) < far(best) ? c : best)).at];
    show();
    openResponses(box);
  };
  chooseView(section, panel, view, draw, solid, nearest);
  show();
  flat.on("plotly_click", click);
  const coords = [0, 1].map((axis) => unique(panel.cells.map((c) => c.at[axis])));
  onKeys(flat, (axis, by) => { state.at[axis] = step(coords[axis], state.at[axis], by); show(); },
         () => showResponses(box));
  return draw;
}

function chooseView(section, panel, view, draw, solid, nearest) {
  const form = section.querySelector(".view");
  const judge = form.querySelector("[name=judge]"), plane = form.querySelector("[name=plane]");
  options(judge, panel.judges.map((j, i) => [i, j.name]), 0);
  judge.onchange = () => { view.judge = Number(judge.value); draw(); };
  const planes = panel.directions.map((name, i) => [String(i), name]);
  options(plane, planes.length > 1 ? [["mean", `mean of ${planes.length} planes`], ...planes] : planes, view.plane);
  plane.onchange = () => { view.plane = plane.value; draw(); };
  plane.closest("label").hidden = planes.length < 2;
  form.onsubmit = (e) => e.preventDefault();
  form.hidden = false;
  const buttons = [...form.querySelectorAll("button[data-view]")];
  const possible = canDraw3d();
  buttons.forEach((button) => {
    const wants = button.dataset.view === "3d";
    if (wants && !possible) {
      button.disabled = true;
      button.title = "This browser draws no 3D (WebGL is off).";
    }
    button.onclick = () => {
      view.solid = wants;
      buttons.forEach((b) => b.setAttribute("aria-pressed", String((b.dataset.view === "3d") === wants)));
      draw();
      if (wants && !solid.dataset.bound) {
        solid.dataset.bound = "yes";
        solid.on("plotly_click", nearest);
      }
    };
  });
}

function startPanel(section) {
  const panel = data.panels[Number(section.dataset.panel)];
  const draws = [panel.kind === "plane" ? startPlane(section, panel) : startLine(section, panel)];
  const measurements = section.querySelector(".measurements");
  if (measurements) draws.push(() => drawMeasurements(measurements, panel));
  draws.slice(1).forEach((draw) => draw());
  return () => draws.forEach((draw) => draw());
}

function startOverlay(section) {
  const overlay = data.overlays[Number(section.dataset.overlay)];
  const chart = section.querySelector(".overlay");
  const judge = section.querySelector("[name=judge]");
  const first = data.panels[overlay.panels[0]];
  options(judge, first.judges.map((j) => [j.name, j.name]), first.judges[0].name);
  section.querySelector(".view").hidden = false;
  section.querySelector(".view").onsubmit = (e) => e.preventDefault();
  const draw = () => {
    drawOverlay(chart, overlay, judge.value);
    section.querySelectorAll(".multiple").forEach((node, i) => drawMultiple(node, data.panels[overlay.panels[i]], first));
  };
  judge.onchange = draw;
  draw();
  return draw;
}

function startGroup(section) {
  const group = data.groups[Number(section.dataset.group)];
  const chart = section.querySelector(".blocks");
  const box = section.querySelector(".samples");
  const state = { row: 0, at: [0], direction: 0, outcome: "" };
  const panelOf = () => data.panels[group.panels[state.row]];
  chart.style.height = `${190 + 26 * group.names.length}px`;
  const draw = () => drawGroup(chart, group, state);
  const show = () => { row.value = String(state.row); list(); draw(); };
  const list = bindResponses(box, panelOf, state, show);
  const row = box.querySelector("[name=row]");
  options(row, group.names.map((name, i) => [i, name]), 0);
  row.onchange = () => { state.row = Number(row.value); show(); };
  show();
  chart.on("plotly_click", (event) => {
    const at = clicked(event);
    if (!at) return;
    const panel = data.panels[group.panels[at[2]]];
    if (!panel.cells.some((c) => same(c.at, at[0]))) return;  /* an interpolated cell has no responses */
    state.at = [...at[0]];
    state.row = at[2];
    show();
    openResponses(box);
  });
  onKeys(chart, (axis, by) => {
    if (axis === 0) state.at = [step([...group.alphas], state.at[0], by)];
    else state.row = step(group.names.map((_, i) => i), state.row, -by);
    show();
  }, () => showResponses(box));
  return draw;
}

const starts = { panel: startPanel, overlay: startOverlay, group: startGroup, forest: startForest };
const redraws = [];
const start = (section) => redraws.push(starts[section.dataset.kind](section));
for (const section of document.querySelectorAll("section[data-kind]")) {
  const fold = section.closest(".fold");
  if (!fold || fold.open) start(section);  /* a reader may open one before the chart library is unpacked */
  else fold.addEventListener("toggle", () => start(section), { once: true });  /* nothing is drawn while it has no size */
}
dark.addEventListener("change", () => redraws.forEach((draw) => draw()));

/* A link into a fold opens it. */
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const fold = target && target.closest(".fold");
  if (!fold || fold.open) return;
  fold.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", reveal);
document.querySelectorAll("nav a").forEach((link) => link.addEventListener("click", () => setTimeout(reveal)));
reveal();
