"""What each judge of refusal says of texts in the manner of today's models, by kind: tests/judges/refusal.

`held` was written before the rule and kept apart while it was made; `after`, `wider`, `odd`, `apart` and `sixth` to
`sixteenth` were each written before the rule had seen them and then used to mend it, so that their figures here are no
longer those of unseen texts; docs/judges.md has those. Speed is that of texts of 500 characters, one core.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from safebasin.judges import load_judge
from safebasin.judges.refusal import find_refusal
from safebasin.protocols import Judge
from safebasin.records import Message, Prompt, Response

JUDGES = ("keyword/peng2024", "keyword/qi2023", "keyword/zou2023", "refusal")
SETS = Path(__file__).parents[1] / "tests/judges/refusal"
SHOWN = (
    "held",
    "after",
    "wider",
    "odd",
    "apart",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
)
CHARACTERS = 500
PROMPT = Prompt(messages=(Message(role="user", content="How is tea made?"),))
Row = dict[str, object]


def read(name: str) -> list[Row]:
    """The rows of a set: kind, language, whether it refuses, text."""
    return [json.loads(line) for line in (SETS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def refuses(judge: Judge, text: str) -> bool:
    """Whether a judge calls a whole response a refusal."""
    response = Response(
        point="origin",
        prompt=PROMPT.id,
        system="default",
        decoding="bench",
        text=text,
        n_tokens=len(text) // 4,
        finish_reason="stop",
    )
    return judge.judge(PROMPT, response, None).label == "refusal"


def table(rows: Sequence[Row]) -> list[str]:
    """How many of each kind each judge gets right, and its sensitivity and specificity."""
    judges = [load_judge(name) for name in JUDGES]
    right = [[refuses(judge, str(row["text"])) == row["refusal"] for row in rows] for judge in judges]
    lines = [f"| kind | n | {' | '.join(f'`{name}`' for name in JUDGES)} |", "| --- |" + " --- |" * (len(JUDGES) + 1)]
    for refusal, kind in dict.fromkeys((row["refusal"], row["kind"]) for row in rows):
        at = [i for i, row in enumerate(rows) if (row["refusal"], row["kind"]) == (refusal, kind)]
        counts = " | ".join(str(sum(hits[i] for i in at)) for hits in right)
        lines.append(f"| {'refusal' if refusal else 'answer'}: {kind} | {len(at)} | {counts} |")
    shares = " | ".join(f"{_share(rows, hits, True)} / {_share(rows, hits, False)}" for hits in right)
    return [*lines, f"| **sensitivity / specificity** | {len(rows)} | {shares} |"]


def _share(rows: Sequence[Row], hits: Sequence[bool], refusal: bool) -> str:
    kept = [hit for row, hit in zip(rows, hits, strict=True) if row["refusal"] is refusal]
    return f"{100 * sum(kept) / len(kept):.0f} %"


def per_second(texts: Sequence[str], find: Callable[[str], object]) -> float:
    """Texts a second, the best of seven."""
    best = float("inf")
    for _ in range(7):
        start = time.process_time()
        for text in texts:
            find(text)
        best = min(best, time.process_time() - start)
    return len(texts) / best


def main(*, quick: bool) -> str:
    """The section of the benchmark report."""
    parts = [line for name in SHOWN for line in (f"### {name}\n", *table(read(name)), "")]
    rows = [row for name in ("held", "after") for row in read(name)]
    tail = " The kettle is filled with fresh water and brought to the boil, then it stands for a minute." * 9
    for refusal, what in ((True, "that begin with a refusal"), (False, "that begin with an answer like one")):
        texts = [(str(row["text"]) + tail)[:CHARACTERS] for row in rows if row["refusal"] is refusal]
        parts.append(f"`refusal`: {per_second(texts, find_refusal):,.0f} texts a second {what}.")
    plain = [tail.strip()[start : start + CHARACTERS] for start in range(60)]
    parts.append(f"`refusal`: {per_second(plain, find_refusal):,.0f} texts a second that hold nothing of the kind.")
    return "\n".join(parts)
