/* Maps of a plane: ASR as contours with the 50% rim, or as a surface in three dimensions. */
function surfaceOf(panel, view) {
  const judge = panel.judges[view.judge];
  return view.plane === "mean" ? judge.mean : judge.directions[view.plane];
}

function contourTraces(panel, surface, extra) {
  const [x, y] = panel.grid;
  const field = Object.assign({ type: "contour", x: x, y: y, z: surface.asr.map(hundred), connectgaps: false,
                                hoverinfo: "skip" }, extra);
  const rim = (color, width) => Object.assign({}, field, {
    contours: { start: 50, end: 50, size: 1, coloring: "none" }, line: { color: color, width: width },
    showscale: false, showlegend: false,
  });
  const named = { x: [null], y: [null], mode: "lines", name: rimWords(panel), line: { color: ink("--ink"), width: 2.5 } };
  return [
    Object.assign({}, field, {
      zmin: 0, zmax: 100, colorscale: data.scale, contours: { start: 0, end: 100, size: 5, coloring: "fill" },
      line: { width: 0 }, showscale: true,
      colorbar: colorbar(panel),
    }),
    rim("#ffffff", 4.5), rim("#000000", 2), named,
  ];
}

/* Beside the map; on a narrow screen below it. */
function colorbar(panel) {
  const made = { title: { text: `${panel.rate} (%)`, side: "right" }, tickvals: [0, 25, 50, 75, 100], thickness: 12, len: 0.9,
                 outlinewidth: 0 };
  return narrow() ? Object.assign(made, { title: { text: `${panel.rate} (%)`, side: "top" }, orientation: "h", thickness: 10, len: 1,
                                          y: -0.22, yanchor: "top" }) : made;
}

function rimWords(panel) {
  if (!panel.radius) return "50% rim";
  return `50% rim, radius ${panel.radius.censored ? "≥ " : ""}${alphaText(panel.radius.value)}`;
}

/* Every measured place, seen where the map between them is interpolated or has gaps, and else only felt. */
function placeTrace(panel, surface, view) {
  const shown = panel.interpolated || surface.gaps > 0;
  const places = surface.measured;
  const words = places.map((at) => {
    const [i, j] = at.map((x, axis) => panel.grid[axis].indexOf(x));
    const mean = i < 0 || j < 0 ? null : surface.asr[j][i];
    const rates = panel.cells.filter((c) => same(c.at, at) && (view.plane === "mean" || c.direction < 0
      || c.direction === Number(view.plane))).map((c) => c.asr[view.judge]).filter(Boolean);
    if (rates.length === 1) return rateWords(rates[0]);
    const total = (k) => rates.reduce((sum, rate) => sum + rate[k], 0);
    return `${mean === null ? "" : percent(mean)}, ${counted(total(3), total(4))}`;
  });
  return {
    x: places.map((p) => p[0]), y: places.map((p) => p[1]), mode: "markers", showlegend: shown,
    name: panel.interpolated ? "measured; else interpolated" : "measured",
    customdata: places.map((p) => [p, view.plane === "mean" ? null : Number(view.plane)]), text: words,
    marker: { size: shown ? 5 : 12, color: "#ffffff", opacity: shown ? 0.9 : 0, line: { color: "#555", width: 1 } },
    hovertemplate: "α = %{x}, β = %{y}<br>%{text}<extra></extra>",
  };
}

function markersOf(panel, state) {
  const mark = (x, y, symbol, size, name, extra) => Object.assign({
    x: [x], y: [y], mode: "markers", name: plain(name), hovertemplate: "%{data.name}<extra></extra>",
    marker: { symbol: symbol, size: size, color: "#ffffff", line: { color: "#000000", width: 1.5 } },
  }, extra);
  const chosen = mark(state.at[0], state.at[1], "circle-open", 16, "chosen", { showlegend: false, hoverinfo: "skip" });
  chosen.marker.color = "#D55E00";
  chosen.marker.line = { color: "#D55E00", width: 3 };
  delete chosen.hovertemplate;
  return [mark(0, 0, "x", 11, "origin: the model itself"),
          ...panel.targets.map(([x, y, name], i) => mark(x, y, i ? "cross" : "star", 15, `target: ${name}`)), chosen];
}

function planeRange(panel, axis) {
  const marks = panel.targets.map((t) => t[axis]).concat(panel.paths.flatMap((p) => p.at.map((at) => at[axis])));
  return [Math.min(panel.range[axis][0], ...marks), Math.max(panel.range[axis][1], ...marks)];
}

function planeAxes(panel, small) {
  const [across, up] = [0, 1].map((axis) => planeRange(panel, axis));
  const ratio = (across[1] - across[0]) / (up[1] - up[0] || 1);
  const square = ratio >= 0.5 && ratio <= 2 ? { scaleanchor: "x", constrain: "domain" } : {};
  const names = small || narrow() ? ["α", "β"] : panel.labels;
  const bare = { showgrid: false, zeroline: false };
  return {
    xaxis: xAxis(names[0], across, Object.assign({ constrain: "domain" }, bare)),
    yaxis: xAxis(names[1], up, Object.assign({ title: { text: wrapped(names[1]), standoff: 4 } }, square, bare)),
  };
}

/* The trajectories that stand on the plane that is shown; on a mean of several planes none does. */
const pathsOn = (panel, view) => panel.paths.filter((path) =>
  panel.directions.length === 1 || String(path.direction) === view.plane);

function drawPlane(node, panel, state, view) {
  const surface = surfaceOf(panel, view);
  if (!surface) return Plotly.react(node, [], layout(planeAxes(panel)), config);
  const paths = pathsOn(panel, view).map((path, number) =>
    pathTrace(path, number, path.at.map((p) => p[0]), path.at.map((p) => p[1])));
  paths.forEach((path) => { path.textfont = { size: 12, color: "#111111", shadow: "0 0 3px #fff, 0 0 3px #fff" }; });
  const traces = [...contourTraces(panel, surface), ...paths, ...markersOf(panel, state),
                  placeTrace(panel, surface, view)];
  const made = layout(planeAxes(panel));
  made.margin = narrow() ? { l: 44, r: 8, t: 8, b: 112 } : { l: 72, r: 8, t: 8, b: 72 };
  made.plot_bgcolor = ink("--gap");
  return Plotly.react(node, traces, made, config);
}

const canDraw3d = () => {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl") || canvas.getContext("experimental-webgl"));
};

function drawSurface(node, panel, state, view) {
  const surface = surfaceOf(panel, view);
  if (!surface) return Plotly.react(node, [], layout({}), config);
  const [x, y] = panel.grid;
  const axis = (title, range, extra) => Object.assign({
    title: { text: title }, range: range, gridcolor: ink("--line"), zerolinecolor: ink("--quiet"),
    showbackground: false, color: ink("--ink"),
  }, extra);
  const height = (at) => {
    const row = y.indexOf(at[1]), column = x.indexOf(at[0]);
    return row < 0 || column < 0 || surface.asr[row][column] === null ? 0 : 100 * surface.asr[row][column];
  };
  const mark = (at, symbol, name) => ({
    type: "scatter3d", mode: "markers", x: [at[0]], y: [at[1]], z: [height(at) + 2], name: plain(name),
    showlegend: false, hovertemplate: "%{data.name}<extra></extra>",
    marker: { symbol: symbol, size: 5, color: "#ffffff", line: { color: "#000000", width: 2 } },
  });
  const traces = [{
    type: "surface", x: x, y: y, z: surface.asr.map(hundred), cmin: 0, cmax: 100, colorscale: data.scale,
    connectgaps: false, lighting: { ambient: 0.85, diffuse: 0.35, specular: 0.05 },
    contours: { z: { show: true, start: 50, end: 50.5, size: 1, color: "#000000", width: 5 } },
    colorbar: { title: { text: "ASR (%)", side: "right" }, tickvals: [0, 25, 50, 75, 100], thickness: 12, len: 0.8 },
    showscale: !narrow(),
    hovertemplate: "α = %{x}, β = %{y}<br>ASR %{z:.1f}%<extra></extra>",
  }, mark([0, 0], "cross", "origin: the model itself"), mark(state.at, "circle-open", "chosen")];
  return Plotly.react(node, traces, layout({
    margin: { l: 0, r: 0, t: 0, b: 0 },
    scene: {
      xaxis: axis("α", panel.range[0]), yaxis: axis("β", panel.range[1]), zaxis: axis("ASR (%)", [0, 103]),
      aspectmode: "manual", aspectratio: { x: 1.15, y: 1.15, z: 0.75 }, dragmode: "turntable",
      camera: { eye: narrow() ? { x: 1.8, y: -2.15, z: 1.3 } : { x: 1.6, y: -1.95, z: 1.15 }, center: { x: 0, y: 0, z: -0.15 } },
    },
  }), Object.assign({ scrollZoom: false }, config));
}
