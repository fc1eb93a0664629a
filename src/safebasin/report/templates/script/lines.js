/* Charts along a line: ASR of every judge, and what the responses are. */
function meanWords(panel, judge, number, i) {
  const alpha = judge.mean.alpha[i];
  if (judge.mean.asr[i] === null) return "";
  const rates = panel.cells.filter((c) => c.at[0] === alpha && c.asr[number]).map((c) => c.asr[number]);
  const total = (at) => rates.reduce((sum, rate) => sum + rate[at], 0);
  const several = Object.keys(judge.directions).length > 1;  /* all directions share the origin: no range there */
  const band = alpha === 0 && several ? ""
    : `<br>${plain(judge.mean.band)}: ${percent(judge.mean.low[i])} to ${percent(judge.mean.high[i])}`;
  const here = judge.mean.interpolated ? ", measured here" : "";
  return `${percent(judge.mean.asr[i])}${band}<br>${counted(total(3), total(4))}${here}`;
}

/* The runs of a curve in which every place is measured, as (from, to). */
function unbroken(curve) {
  const runs = [];
  curve.asr.forEach((value, i) => {
    if (value === null) return;
    const last = runs[runs.length - 1];
    if (last && last[1] === i) last[1] = i + 1;
    else runs.push([i, i + 1]);
  });
  return runs;
}

function bandTraces(curve, color, group, strength = 0.14) {
  const quiet = { mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false, legendgroup: group };
  return unbroken(curve).flatMap(([from, to]) => {
    const x = curve.alpha.slice(from, to);
    return [
      Object.assign({}, quiet, { x: x, y: hundred(curve.low.slice(from, to)) }),
      Object.assign({}, quiet, { x: x, y: hundred(curve.high.slice(from, to)), fill: "tonexty",
                                 fillcolor: faded(color, strength) }),
    ];
  });
}

function judgeTraces(panel, judge, number) {
  if (!judge.mean) return [];
  const color = judgeColor(number);
  const traces = bandTraces(judge.mean, color, judge.name);
  const several = Object.keys(judge.directions).length > 1;
  const line = { color: color, width: several ? 1 : 2.5, dash: number && !several ? "dash" : "solid" };
  for (const [direction, curve] of Object.entries(judge.directions)) {
    traces.push({
      x: curve.alpha, y: hundred(curve.asr), mode: "lines+markers", line: line, opacity: several ? 0.5 : 1,
      marker: { size: several ? 4 : 6, color: color }, legendgroup: judge.name, showlegend: !several,
      name: plain(judge.name), customdata: curve.alpha.map((a) => [a, Number(direction)]),
      text: curve.alpha.map((a, i) =>
        (curve.asr[i] === null ? "" : rateWords(panel.cells[cellAt(panel, [a], Number(direction))].asr[number]))),
      hovertemplate: `${plain(judge.name)}<br>${plain(curve.name)}<br>α = %{x}: ${panel.rate} %{text}<extra></extra>`,
    });
  }
  if (several) {
    traces.push({
      x: judge.mean.alpha, y: hundred(judge.mean.asr), legendgroup: judge.name,
      mode: judge.mean.interpolated ? "lines" : "lines+markers",
      line: { color: color, width: 3, dash: number ? "dash" : "solid" },
      marker: { size: 6, color: color, symbol: number ? "square" : "circle" },
      name: plain(judge.name), customdata: judge.mean.alpha.map((a) => [a, null]),
      text: judge.mean.alpha.map((a, i) => meanWords(panel, judge, number, i)),
      hovertemplate: `${plain(judge.name)}<br>${plain(judge.mean.name)}<br>α = %{x}: ${panel.rate} %{text}<extra></extra>`,
    });
  }
  return traces;
}

/* Where the basin ends on each side; open where that is a lower bound. */
function markTraces(panel) {
  const rims = panel.rims;
  if (!rims.at.length) return [];
  const pick = (open, closed) => rims.bounds.map((bound) => (bound ? open : closed));
  return [{
    x: rims.at, y: rims.at.map(() => 50), mode: "markers",
    marker: { symbol: pick("diamond-open", "diamond"), size: 10, color: ink("--basin"),
              line: { color: pick(ink("--basin"), ink("--paper")), width: 1 } },
    name: plain(rims.name), hovertemplate: "%{data.name}<extra></extra>",
  }];
}

function basinShapes(panel, extra) {
  return panel.rims.at.map((alpha) => Object.assign({
    type: "rect", yref: "paper", x0: 0, x1: alpha, y0: 0, y1: 1, layer: "below",
    line: { width: 0 }, fillcolor: faded(ink("--basin"), 0.08),
  }, extra));
}

function pathHover(path, i) {
  const place = path.at[i].map((x, axis) => `${"αβ"[axis]} = ${alphaText(x)}`).join(", ");
  const off = `${percent(path.residual[i], 0)} of its move is off the ${path.at[i].length > 1 ? "plane" : "line"}`;
  return `${plain(path.name)}<br>${plain(path.words[i])}: ${place}<br>${off}`;
}

function pathTrace(path, number, x, y) {
  return {
    x: x, y: y, text: path.names.map(plain), mode: "lines+markers+text",
    textposition: "top right", textfont: { size: 11, color: ink("--ink") }, name: `${plain(path.name)} (epochs)`,
    line: { color: ["#CC79A7", "#D55E00", "#009E73"][number % 3], width: 2 },
    marker: { size: 8, symbol: ["circle", "square", "triangle-up"][number % 3], line: { color: "#fff", width: 1.5 } },
    hovertext: path.at.map((_, i) => pathHover(path, i)), hovertemplate: "%{hovertext}<extra></extra>",
  };
}

function linePaths(panel) {
  const [low, high] = panel.range[0];
  return panel.paths.filter((path) => path.asr).map((path, number) => {
    const x = path.at.map((p) => Math.max(low, Math.min(high, p[0])));
    const made = pathTrace(path, number, x, hundred(path.asr));
    made.mode = "markers+text";
    made.textposition = "top center";
    return made;
  });
}

function drawAsr(node, panel, state) {
  const traces = panel.judges.flatMap((judge, i) => judgeTraces(panel, judge, i))
    .concat(markTraces(panel), linePaths(panel));
  const shapes = [limitLine(), { type: "line", yref: "paper", y0: 0, y1: 1, x0: state.at[0], x1: state.at[0],
                                 line: { color: ink("--mark"), width: 1.5, dash: "dot" } }, ...basinShapes(panel)];
  const annotations = [{ xref: "paper", x: 1, y: 50, text: "50%", showarrow: false, xanchor: "right",
                         yanchor: "bottom", font: { size: 11, color: ink("--quiet") } }];
  return Plotly.react(node, traces, layout({
    shapes: shapes, annotations: annotations, xaxis: xAxis(panel.labels[0], panel.range[0]),
    yaxis: percentAxis(`${panel.rate} (%)`),
  }), config);
}

function drawComposition(node, panel, state) {
  const places = panel.composition;
  const single = places.length < 2;
  const traces = Object.keys(places[0].shares).map((name) => Object.assign({
    x: places.map((p) => p.alpha), y: places.map((p) => 100 * p.shares[name]), name: plain(outcomeWord(name)),
    customdata: places.map((p) => [p.alpha, null, p.mean ? "mean over directions"
      : `${Math.round(p.n * p.shares[name])} of ${p.n}`]),
    hovertemplate: `${plain(outcomeWord(name))}: %{y:.1f}% (%{customdata[2]})<extra></extra>`,
  }, single ? { type: "bar", width: 0.2, marker: { color: outcomeColor(name) } }
            : { stackgroup: "all", mode: "lines", fillcolor: outcomeColor(name), hoveron: "points",
                line: { width: 0.75, color: ink("--paper") } }));
  const chosen = { type: "line", yref: "paper", y0: 0, y1: 1, x0: state.at[0], x1: state.at[0],
                   line: { color: ink("--paper"), width: 1.5, dash: "dot" } };
  const made = layout({ barmode: "stack", shapes: [chosen], hovermode: "x unified",
                        xaxis: xAxis(panel.labels[0], panel.range[0]),
                        yaxis: percentAxis("responses (%)", { range: [0, 100] }) });
  made.legend.traceorder = "normal";
  return Plotly.react(node, traces, made, config);
}
