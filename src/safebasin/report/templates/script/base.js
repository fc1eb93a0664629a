/* What every chart shares: colors, words, layout. What others wrote is set as text, never as markup. */
const data = JSON.parse(document.getElementById("payload").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const config = { displayModeBar: false, responsive: true };

const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const theme = (set) => set[dark.matches ? "dark" : "light"];
const judgeColor = (i) => { const all = theme(data.colors); return all[i % all.length]; };
const seriesColor = (i) => { const all = theme(data.series); return all[i % all.length]; };
const seriesDash = (i) => data.series.dashes[i % data.series.dashes.length];
const seriesMarker = (i) => data.series.markers[i % data.series.markers.length];
const outcomeColor = (name) => (data.outcomes[name] || { color: "#000000" }).color;
const outcomeWord = (name) => (data.outcomes[name] || { word: name }).word;
const faded = (hex, alpha) => {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
};
const percent = (x, digits = 1) => `${(100 * x).toFixed(digits)}%`;
const hundred = (values) => values.map((x) => (x === null ? null : 100 * x));
const signed = (x) => (x === 0 ? "0" : (x > 0 ? "+" : "−") + String(Math.abs(x)));
/* Plotly reads a little markup in names and hover texts. */
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const wrapped = (text) => plain(text).replace(/\n/g, "<br>");
const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};
const options = (select, entries, chosen) => {
  select.replaceChildren(...entries.map(([value, text]) => {
    const option = make("option", "", text);
    option.value = String(value);
    return option;
  }));
  select.value = String(chosen);
};
const unique = (values) => [...new Set(values)].sort((a, b) => a - b);
const same = (one, other) => one.every((x, i) => x === other[i]);
/* Two decimals, and below 0.05 two significant digits: what steps of fine grids need. */
const alphaText = (x) => (x !== 0 && Math.abs(x) < 0.05 ? String(Number(x.toPrecision(2))) : x.toFixed(2));
const narrow = () => window.innerWidth < 600;
/* A name in a legend, which a narrow screen would cut. */
const legendName = (text) => (narrow() && text.length > 32 ? `${text.slice(0, 15)}…${text.slice(-15)}` : text);

/* The x axis spans the whole range with a little room, whatever of it is measured: panels stay comparable. */
const spread = ([low, high], room = 0.02) => [low - room * (high - low || 1), high + room * (high - low || 1)];

function layout(extra) {
  return Object.assign({
    margin: { l: 52, r: 12, t: 8, b: 48 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 13, color: ink("--ink") },
    hoverlabel: { bgcolor: ink("--raised"), bordercolor: ink("--line"), align: "left", font: { color: ink("--ink") } },
    hovermode: "closest",
    dragmode: false,
    uirevision: "same",  /* a judge that a reader hid stays hidden when another point is chosen */
    legend: { orientation: "h", x: 0, y: 1.02, xanchor: "left", yanchor: "bottom" },
  }, extra);
}

function xAxis(title, range, extra) {
  return Object.assign({
    title: { text: wrapped(title), standoff: 8 }, range: spread(range), gridcolor: ink("--line"), zeroline: true,
    zerolinecolor: ink("--quiet"), zerolinewidth: 1, fixedrange: true,
  }, extra);
}

function percentAxis(title, extra) {
  return Object.assign({
    title: { text: title, standoff: 4 }, range: [-3, 103], dtick: 25, gridcolor: ink("--line"), zeroline: false,
    fixedrange: true,
  }, extra);
}

const limitLine = (extra) => Object.assign({
  type: "line", xref: "paper", x0: 0, x1: 1, y0: 50, y1: 50, line: { color: ink("--quiet"), width: 1, dash: "dash" },
}, extra);

const counted = (n, missing) => `n = ${n}` + (missing ? `, ${missing} missing` : "");

function rateWords(rate) {
  const bounds = rate[1] === null || rate[2] === null ? "" : ` [${percent(rate[1])}, ${percent(rate[2])}]`;
  return `${percent(rate[0])}${bounds}, ${counted(rate[3], rate[4])}`;
}

/* The number of the cell at a place; the origin serves every direction. */
function cellAt(panel, at, direction) {
  return panel.cells.findIndex((c) => same(c.at, at) && (c.direction === direction || c.direction < 0));
}

/* Arrow keys on a chart: `move` gets the axis (0: left and right, 1: up and down) and −1 or +1; Enter shows. */
function onKeys(node, move, enter) {
  const keys = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] };
  node.addEventListener("keydown", (event) => {
    if (event.key === "Enter") enter();
    else if (keys[event.key]) move(...keys[event.key]);
    else return;
    event.preventDefault();
  });
}

const step = (values, current, by) => {
  const at = values.indexOf(current);
  return values[Math.max(0, Math.min(values.length - 1, (at < 0 ? 0 : at) + by))];
};
