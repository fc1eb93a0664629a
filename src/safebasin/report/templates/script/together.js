/* Charts of several panels: curves or rims over each other, one small chart each, blocks, other measurements. */
const judgeOf = (panel, name) => panel.judges.findIndex((judge) => judge.name === name);

function overlaidLines(overlay, name) {
  return overlay.panels.flatMap((number, i) => {
    const panel = data.panels[number], judge = judgeOf(panel, name);
    const own = panel.judges[judge];
    if (!own || !own.mean) return [];
    const color = seriesColor(i);
    return [...bandTraces(own.mean, color, String(i), 0.1), {
      x: own.mean.alpha, y: hundred(own.mean.asr), mode: "lines+markers", name: plain(legendName(overlay.names[i])),
      legendgroup: String(i), line: { color: color, width: 2.5, dash: seriesDash(i) },
      marker: { size: 6, color: color, symbol: seriesMarker(i) },
      text: own.mean.alpha.map((_, k) => meanWords(panel, own, judge, k)),
      hovertemplate: `${plain(overlay.names[i])}<br>${plain(own.mean.name)}<br>α = %{x}: %{text}<extra></extra>`,
    }];
  });
}

function overlaidRims(overlay, name) {
  return overlay.panels.flatMap((number, i) => {
    const panel = data.panels[number], judge = judgeOf(panel, name);
    const surface = panel.judges[judge] && panel.judges[judge].mean;
    if (!surface) return [];
    const radius = panel.radius ? `, radius ${panel.radius.censored ? "≥ " : ""}${alphaText(panel.radius.value)}` : "";
    return [{
      type: "contour", x: panel.grid[0], y: panel.grid[1], z: surface.asr.map(hundred), connectgaps: false,
      contours: { start: 50, end: 50, size: 1, coloring: "none" }, hoverinfo: "skip", showscale: false,
      line: { color: seriesColor(i), width: 2.5, dash: seriesDash(i) }, name: plain(legendName(overlay.names[i]) + radius),
      showlegend: true,
    }];
  });
}

function drawOverlay(node, overlay, name) {
  const first = data.panels[overlay.panels[0]];
  if (first.kind === "plane") {
    const state = { at: [0, 0] };
    const marks = markersOf(first, state).slice(0, -1);
    const made = layout(planeAxes(first));
    made.margin = { l: 72, r: 8, t: 8, b: 72 };
    return Plotly.react(node, [...overlaidRims(overlay, name), ...marks], made, config);
  }
  return Plotly.react(node, overlaidLines(overlay, name), layout({
    shapes: [limitLine()], xaxis: xAxis(first.labels[0], first.range[0]),
    yaxis: percentAxis("counted as success (%)"),
  }), config);
}

function drawMultiple(node, panel, first) {
  if (panel.kind === "plane") {
    const surface = panel.judges[0].mean;
    if (!surface) return;
    const state = { at: [0, 0] };
    const traces = [...contourTraces(panel, surface), ...markersOf(panel, state).slice(0, 1)];
    traces[0].showscale = false;
    const made = layout(Object.assign({ showlegend: false }, planeAxes(panel, true)));
    made.margin = { l: 44, r: 6, t: 4, b: 40 };
    made.plot_bgcolor = ink("--gap");
    return Plotly.react(node, traces, made, config);
  }
  const gray = first === panel || !first.judges[0].mean ? [] : [{
    x: first.judges[0].mean.alpha, y: hundred(first.judges[0].mean.asr), mode: "lines", hoverinfo: "skip",
    line: { color: ink("--quiet"), width: 3 }, opacity: 0.5,
  }];
  const traces = gray.concat(panel.judges.flatMap((judge, i) => judgeTraces(panel, judge, i)), markTraces(panel));
  const made = layout({ showlegend: false, shapes: [limitLine(), ...basinShapes(panel)],
                        xaxis: xAxis("α", panel.range[0]), yaxis: percentAxis(`${panel.rate} (%)`) });
  made.margin = { l: 44, r: 6, t: 4, b: 40 };
  return Plotly.react(node, traces, made, config);
}

/* ---- blocks ---- */

function drawGroup(node, group, state) {
  const panels = group.panels.map((number) => data.panels[number]);
  const rows = group.names.map((_, i) => i);
  const known = rows.filter((i) => panels[i].radius);
  const radius = (i) => panels[i].radius;
  const bound = (i, side) => (radius(i)[side] === null ? 0 : Math.abs(radius(i)[side] - radius(i).value));
  const hover = known.map((i) => {
    const r = radius(i);
    const bounds = r.low === null || r.high === null ? "" : ` [${alphaText(r.low)}, ${alphaText(r.high)}]`;
    return `${plain(group.names[i])}<br>radius ${r.censored ? "≥ " : ""}${alphaText(r.value)}${bounds}`;
  });
  const reach = Math.max(...group.alphas.map(Math.abs)) || 1;
  const traces = [{
    type: "heatmap", x: group.alphas, y: rows, z: group.asr.map(hundred), zmin: 0, zmax: 100,
    colorscale: data.scale, xgap: 1, ygap: 1, hoverongaps: false,
    customdata: rows.map((i) => group.alphas.map((a) => [[a], null, i])),
    text: rows.map((i) => group.alphas.map(() => plain(group.names[i]))),
    hovertemplate: "%{text}<br>α = %{x}: mean ASR %{z:.1f}%<extra></extra>",
    colorbar: { title: { text: narrow() ? "ASR (%)" : `ASR (%) by ${plain(group.judge)}`, side: "top" }, orientation: "h", thickness: 12, y: 1.01,
                yanchor: "bottom", len: narrow() ? 0.9 : 0.5, x: 0, xanchor: "left", tickvals: [0, 25, 50, 75, 100] },
  }, {
    x: known.map((i) => radius(i).value), y: known, xaxis: "x2", yaxis: "y", mode: "markers+text",
    text: known.map((i) => (radius(i).censored ? "→" : "")), textposition: "middle right", cliponaxis: false,
    marker: { size: 9, color: ink("--basin"), line: { color: ink("--basin"), width: 1.5 },
              symbol: known.map((i) => (radius(i).censored ? "diamond-open" : "diamond")) },
    error_x: { type: "data", symmetric: false, array: known.map((i) => bound(i, "high")),
               arrayminus: known.map((i) => bound(i, "low")), color: ink("--ink"), thickness: 1.5, width: 0 },
    hovertext: hover, hovertemplate: "%{hovertext}<extra></extra>", showlegend: false,
    customdata: known.map((i) => [[state.at[0]], null, i]),
  }];
  const split = narrow() ? [0.6, 0.66] : [0.64, 0.68];
  const half = group.alphas.length > 1 ? (group.alphas[1] - group.alphas[0]) / 2 : 0.5;
  const chosen = { type: "rect", x0: state.at[0] - half, x1: state.at[0] + half, y0: state.row - 0.5, y1: state.row + 0.5,
                   line: { color: "#D55E00", width: 3 } };
  const made = layout({
    shapes: [chosen], showlegend: false,
    xaxis: xAxis(narrow() ? "α" : group.label, [group.alphas[0], group.alphas[group.alphas.length - 1]],
                 { domain: [0, split[0]], showgrid: false, zeroline: false, range: undefined }),
    xaxis2: xAxis(narrow() ? "radius" : "radius (|α| at 50%)", [0, 1.12 * reach], { domain: [split[1], 1], zeroline: false }),
    yaxis: { tickvals: rows, ticktext: group.names.map(plain), autorange: "reversed", automargin: true, fixedrange: true,
             zeroline: false, showgrid: false },
  });
  made.margin = { l: 40, r: 26, t: 64, b: 52 };  // room for the arrow of a lower bound
  return Plotly.react(node, traces, made, config);
}

/* ---- other measurements along a line ---- */

function drawMeasurements(node, panel) {
  const kinds = [...new Set(panel.measurements.map((g) => g.kind))];
  const rows = kinds.length + 1;
  node.style.height = `${90 + 165 * rows}px`;
  const gap = 0.16 / rows;
  const domain = (row) => { const h = (1 - gap * (rows - 1)) / rows; const top = 1 - row * (h + gap);
                            return [Math.max(0, top - h), top]; };
  const main = panel.judges[0];
  const traces = main.mean ? [...bandTraces(main.mean, judgeColor(0), "asr"), {
    x: main.mean.alpha, y: hundred(main.mean.asr), mode: "lines+markers", legendgroup: "asr", name: `${panel.rate}, ${plain(main.name)}`,
    line: { color: judgeColor(0), width: 2.5 }, hovertemplate: `α = %{x}: ${panel.rate} %{y:.1f}%<extra></extra>`,
  }] : [];
  const axes = { yaxis: percentAxis("", { domain: domain(0), title: undefined }) };
  const name = (row, text) => ({ xref: "paper", yref: "paper", x: 0, y: domain(row)[1], text: plain(text), showarrow: false,
                                 xanchor: "left", yanchor: "bottom", font: { size: 12, color: ink("--quiet") } });
  const annotations = [name(0, `${panel.rate} (%) by ${main.name}`)];
  kinds.forEach((kind, row) => {
    const own = panel.measurements.filter((g) => g.kind === kind);
    annotations.push(name(row + 1, own.length > 1 || kind === own[0].axis ? own[0].name : `${own[0].name}: ${own[0].axis}`));
    axes[`yaxis${row + 2}`] = Object.assign({
      domain: domain(row + 1), fixedrange: true, gridcolor: ink("--line"), zeroline: false, nticks: 5,
      range: kind === "task" ? [-0.03, 1.03] : undefined,
    }, own[0].log ? logTicks(own) : {});
    own.forEach((curve, i) => traces.push(...measurementTraces(curve, `y${row + 2}`, i + 1)));
  });
  return Plotly.react(node, traces, layout(Object.assign({
    xaxis: xAxis(panel.labels[0], panel.range[0], { anchor: `y${rows}` }), annotations: annotations,
    showlegend: panel.measurements.length > kinds.length, margin: { l: 52, r: 12, t: 30, b: 48 },
  }, axes)), config);
}

/* Plain numbers at 1, 2 and 5, or over more than two decades at the powers of ten only. */
function logTicks(measurements) {
  const values = measurements.flatMap((g) => g.low.concat(g.high)).filter((x) => x > 0);
  const [low, high] = [Math.floor(Math.log10(Math.min(...values))), Math.ceil(Math.log10(Math.max(...values)))];
  const steps = high - low > 2 ? [1] : [1, 2, 5];
  const ticks = [];
  for (let power = low; power <= high; power += 1) steps.forEach((s) => ticks.push(s * 10 ** power));
  return { type: "log", tickvals: ticks, ticktext: ticks.map((x) => String(Number(x.toPrecision(3)))) };
}

function measurementTraces(curve, axis, number) {
  const color = seriesColor(number + 2);
  const quiet = { mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false, legendgroup: curve.name,
                  yaxis: axis };
  return [
    Object.assign({}, quiet, { x: curve.alpha, y: curve.low }),
    Object.assign({}, quiet, { x: curve.alpha, y: curve.high, fill: "tonexty", fillcolor: faded(color, 0.14) }),
    { x: curve.alpha, y: curve.value, yaxis: axis, mode: "lines+markers", name: plain(curve.name), legendgroup: curve.name,
      line: { color: color, width: 2.5, dash: seriesDash(number - 1) }, marker: { size: 5, color: color },
      text: curve.alpha.map((_, i) => (curve.n_directions > 1
        ? `<br>range ${curve.low[i].toPrecision(3)} to ${curve.high[i].toPrecision(3)}` : "")),
      hovertemplate: `${plain(curve.name)}<br>α = %{x}: %{y:.4g}%{text}<extra></extra>` },
  ];
}
