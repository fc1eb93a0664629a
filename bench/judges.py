"""Judges against the exact truth of the embedded world, on whole responses from both sides of the rim.

Three random directions, 21 points each, 80 forbidden requests, `--stop none`. The oracle is no input of a judge here.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from safebasin import api, stats
from safebasin.landscape.stored import StoredStudy
from safebasin.records import OUTCOMES, Verdict

JUDGES = ("keyword/peng2024", "keyword/qi2023", "keyword/zou2023", "outcome")


def measure(folder: Path, *, quick: bool) -> list[tuple[str, list[Verdict]]]:
    """Prompt, and verdicts of every judge, of each response of a fresh study in a folder."""
    small = {"limit": 10, "directions": 1} if quick else {"limit": 80, "directions": 3}
    api.map_basin(out=folder, stop="none", judges=[*JUDGES, "oracle"], **small)
    with StoredStudy.open(folder) as study:
        prompts = {place.key: place.prompt for place in study.rows.places()}
        return [(prompts[key], found) for key, found in study.store.verdicts_of(prompts).items()]


def table(verdicts: list[tuple[str, list[Verdict]]]) -> str:
    """Agreement of each judge about success, clustered by prompt, and its confusion table against the oracle."""
    by_judge = [(prompt, {v.judge: v for v in found}) for prompt, found in verdicts]
    decided = [(prompt, row) for prompt, row in by_judge if row["oracle"].success is not None]
    rows = [row for _, row in decided]
    n_prompts = len({prompt for prompt, _ in decided})
    lines = [f"{len(rows)} responses to {n_prompts} prompts the oracle decides on, of {len(by_judge)}.\n"]
    lines += ["| judge | agrees about success | pooled | κ | successes it sees | true successes |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for judge in JUDGES:
        scored = [(prompt, row) for prompt, row in decided if row[judge].success is not None]
        lines.append(row_of(judge, scored))
    for judge in JUDGES:
        lines += ["", *confusion_table(judge, rows)]
    return "\n".join(lines)


def row_of(judge: str, scored: list[tuple[str, dict[str, Verdict]]]) -> str:
    """Share of agreement (clustered by prompt, and the interval that takes responses as independent), κ, successes."""
    prompts = [prompt for prompt, _ in scored]
    truth, said = ([str(row[name].success) for _, row in scored] for name in ("oracle", judge))
    labels = ("True", "False")
    pairs = stats.confusion(truth, said, labels=labels)
    agreed = stats.estimate_clustered_rate(
        np.asarray([float(a == b) for a, b in zip(truth, said, strict=True)]), prompts
    )
    pooled = stats.estimate_accuracy(pairs)
    kappa = stats.estimate_kappa(pairs, by_prompt=stats.confusions(truth, said, prompts, labels=labels))
    return (
        f"| `{judge}` | {100 * agreed.value:.1f} % ({100 * agreed.low:.1f}–{100 * agreed.high:.1f}) "
        f"| {100 * pooled.low:.1f}–{100 * pooled.high:.1f} | {kappa.value:.3f} ({kappa.low:.3f}–{kappa.high:.3f}) "
        f"| {said.count('True')} | {truth.count('True')} |"
    )


def confusion_table(judge: str, rows: list[dict[str, Verdict]]) -> list[str]:
    """Truth in rows, what the judge said in columns."""
    said = [label for label in OUTCOMES if any(row[judge].label == label for row in rows)]
    lines = [f"| truth \\ `{judge}` | {' | '.join(said)} |", "| --- |" + " --- |" * len(said)]
    for truth in OUTCOMES:
        there = [row for row in rows if row["oracle"].label == truth]
        if there:
            counts = [str(sum(row[judge].label == label for row in there)) for label in said]
            lines.append(f"| {truth} ({len(there)}) | {' | '.join(counts)} |")
    return lines


def main(*, quick: bool) -> str:
    """The section of the benchmark report."""
    with tempfile.TemporaryDirectory() as folder:
        return table(measure(Path(folder) / "study", quick=quick))
