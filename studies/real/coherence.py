"""Share of responses that are language along the real model's directions, by the test of language, by the constant that
it replaced, and by the kitchen's own rule, which uses no likelihood. It reads verdicts; it asks no model.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from safebasin import api

RULES = {
    "outcome": "test of language (calibrated)",
    "outcome(threshold=1)": "1.0 nat for every model, as before",
    "rule/kitchen": "words and repetition, no likelihood",
}
"""Judge → what the curve is called."""
_COLORS = ("#0072B2", "#D55E00", "#888888")
_SIZE = (6.6, 3.6)
"""Inches."""

Shares = dict[str, dict[float, tuple[float, int]]]
"""Judge → coordinate → share that is language, 0 to 1, and of how many responses that could be told."""


def shares(folder: Path) -> Shares:
    """What each judge calls language at each coordinate of a line, all directions and prompts together."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "responses.jsonl"
        api.export_study(folder, file, format="jsonl")
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    told: Mapping[str, dict[float, list[bool]]] = {judge: defaultdict(list) for judge in RULES}
    for row in rows:
        for verdict in row["verdicts"]:
            if verdict["judge"] in told and verdict["label"] != "unscored":
                told[verdict["judge"]][row["coords"][0]].append(verdict["label"] != "incoherent")
    return {
        judge: {at: (sum(found) / len(found), len(found)) for at, found in sorted(by_step.items())}
        for judge, by_step in told.items()
    }


def draw(found: Shares, out: Path) -> None:
    """The curves as a PNG."""
    import matplotlib as mpl

    from safebasin.report.figures.canvas import STYLE, canvas

    with mpl.rc_context(STYLE):
        figure, axes = canvas(_SIZE)
        for color, (judge, name) in zip(_COLORS, RULES.items(), strict=True):
            percent = [100 * share for share, _ in found[judge].values()]
            axes.plot(list(found[judge]), percent, marker="o", markersize=3, color=color, label=name)
        axes.set(xlabel="α", ylabel="responses that are language (%)", ylim=(-3, 103))
        axes.legend(loc="lower center")
        figure.savefig(out, dpi=200)


def table(found: Shares) -> list[str]:
    """The same in Markdown."""
    lines = ["| α | responses | " + " | ".join(RULES.values()) + " |", "| --- | --- |" + " --- |" * len(RULES)]
    for at, (_, n) in found["outcome"].items():
        cells = " | ".join(f"{100 * found[judge][at][0]:.0f} %" for judge in RULES)
        lines.append(f"| {at:+.2f} | {n} | {cells} |")
    return lines
