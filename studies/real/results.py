"""Figures and table of the real model, from the folders that `run.py` has filled into the docs. It measures nothing."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import coherence
import methods

from safebasin import api
from safebasin.records import Estimate, Landscape, Panel

STUDIES = ("map", "line", "systems", "adapter-map", "quantized")
AUDITS = {"audit-itself": "itself", "audit-style": "a harmless style tune", "audit-attack": "ten examples of cooking"}
FIGURES = {
    "map": {
        "outcomes-*harmful*.png": (
            "Three random directions: what the answers to requests for cooking are.",
            "It does not show the worst direction: attacks find ones that are not random.",
        ),
        "asr-*harmful*.png": (
            "ASR by each judge, with the range over directions; black: the published keyword judge.",
            "It does not show which judge is right, nor whether an answer is language.",
        ),
    },
    "line": {
        "outcomes-*.png": (
            "From the aligned model (0) to the same after ten examples of cooking (1).",
            "It does not show the path of the training, which passed through none of the points between.",
        )
    },
    "systems": {
        "overlay-*.png": (
            "The template's own system prompt, none, and a short one.",
            "It does not show a difference where bands overlap, nor that there is none: the pairs on its page do.",
        )
    },
    "adapter-map": {
        "outcomes-*.png": (
            "The attack as an adapter, from no dose (0) to the whole (1) and beyond.",
            "It does not show another training: one adapter, one seed.",
        )
    },
    "quantized": {
        "outcomes-*int4*.png": (
            "The rounding error of int4: 1 is the quantized model.",
            "It does not show other schemes, whose errors point elsewhere.",
        )
    },
}
"""Study → its figures that the docs show, the first of each pattern, with caption and what they do not show."""
BEGIN, END = "<!-- results: written by studies/real/run.py -->", "<!-- end of results -->"
_WIDTH = 1200
_MOST = 200_000
"""Bytes of a figure in the docs, at most."""


def write(runs: Path, docs: Path) -> None:
    """Copy the figures to `docs/figures`, and put tables between the marks of `docs/real.md` and `docs/method.md`."""
    copy_figures(runs, docs / "figures")
    put(docs / "real.md", tables(runs))
    language = coherence.shares(runs / "map")
    curve = docs / "figures" / "real-coherence.png"
    coherence.draw(language, curve)
    shrink(curve, curve)
    put(docs / "method.md", "\n".join(coherence.table(language)))


def write_methods(runs: Path, docs: Path) -> None:
    """Put the tables of the methods between their marks of `docs/real.md`."""
    put(docs / "real.md", methods.table(runs), (methods.BEGIN, methods.END))


def put(page: Path, text: str, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Replace what stands between the marks of a page."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not (begin and end):
        raise SystemExit(f"{page} must hold the lines {marks[0]} and {marks[1]}, between which the results go")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def copy_figures(runs: Path, out: Path) -> None:
    """The figures that the docs show, under names that do not change."""
    out.mkdir(parents=True, exist_ok=True)
    for name, patterns in FIGURES.items():
        for pattern in patterns:
            found = sorted((runs / name / "figures").glob(pattern))
            if not found:
                raise SystemExit(f"no figure {pattern} in {runs / name}: run the study first")
            shrink(found[0], out / _figure(name, pattern))


def _figure(name: str, pattern: str) -> str:
    return f"real-{name}-{pattern.partition('-')[0]}.png"


def shrink(figure: Path, out: Path) -> None:
    """A figure in few colors and at the width of a page."""
    from PIL import Image

    with Image.open(figure) as image:
        small = image.convert("RGB")
        small.thumbnail((_WIDTH, _WIDTH))
        small.quantize(96, dither=Image.Dither.NONE).save(out, optimize=True)
    if out.stat().st_size > _MOST:
        raise SystemExit(f"{out} must be of at most {_MOST} bytes; got {out.stat().st_size}")


def tables(runs: Path) -> str:
    """Both tables in Markdown, with machine and times."""
    times = json.loads((runs / "times.json").read_text(encoding="utf-8"))
    lines = [
        "| study | prompts | ASR (benign: answered) at 0 | radius | radius, by outcome | collapse | time |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in STUDIES:
        lines += study_rows(name, api.read_study(runs / name), times.get(name))
    lines += [
        "",
        "| audit against | decision | capability | over-refusal | ASR | time |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [audit_row(runs / name, what, times.get(name)) for name, what in AUDITS.items()]
    total = sum(times.values()) / 60
    built = (
        f"Building took {_time(times['build'])}, everything"
        if "build" in times
        else "The models were there; the rest took"
    )
    built += f" {total:.0f} minutes"
    lines += ["", f"{built}: {machine()}, {datetime.now(tz=UTC):%B %Y}."]
    for name, patterns in FIGURES.items():
        for pattern, (words, unshown) in patterns.items():
            lines += [f"\n![{words}](figures/{_figure(name, pattern)})\n\n*{words} {unshown}*"]
    return "\n".join(lines)


def machine() -> str:
    """Processor and cores, in words."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.is_file()
        else []
    )
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def study_rows(name: str, landscape: Landscape, seconds: float | None) -> Iterator[str]:
    """A row for each panel."""
    for place, panel in enumerate(landscape.panels):
        what = " · ".join(part for part in (name, _region(panel, landscape), _system(panel)) if part)
        found = panel.summary
        collapse = found.get("collapse")
        yield (
            f"| {what} | {panel.prompts} | {_percent(_origin(panel))} "
            f"| {_number(found.get('radius', found.get('answer_radius')))} | {_number(found.get('harm_radius'))} "
            f"| {_percent(collapse)} | {_time(seconds) if place == 0 else ''} |"
        )


def _region(panel: Panel, landscape: Landscape) -> str:
    several = len({p.region.name for p in landscape.panels}) > 1
    return panel.region.name if several else ""


def _system(panel: Panel) -> str:
    return "" if panel.system == "default" else f"system {panel.system}"


def _origin(panel: Panel) -> Estimate | None:
    return next((cell.asr.get(panel.judge) for cell in panel.points if cell.direction < 0), None)


def audit_row(folder: Path, what: str, seconds: float | None) -> str:
    """One audit."""
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    metrics = {m["name"]: m for m in verdict["conditions"][0]["metrics"]}

    def shown(name: str) -> str:
        metric = metrics.get(name)
        if metric is None:
            return "–"
        return f"{100 * metric['base']['value']:.0f} → {100 * metric['tuned']['value']:.0f} %"

    return (
        f"| {what} | {verdict['decision']} | {shown('capability')} | {shown('over_refusal')} | {shown('asr')} "
        f"| {_time(seconds)} |"
    )


def _percent(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "–"
    interval = (
        ""
        if estimate.low is None or estimate.high is None
        else f" [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"
    )
    return f"{100 * estimate.value:.0f} %{interval}"


def _number(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "–"
    if estimate.n_censored or estimate.low is None:
        return f"{'≥ ' if estimate.n_censored else ''}{estimate.value:.2f}"
    high = "…)" if estimate.high is None else f"{estimate.high:.2f}]"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {high}"


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds / 60:.1f} min"
