"""A judge reads training rows: what it says of each, remembered in a file where it has to ask for it. No rows change.

A judge that asks another model is slow, costs, and may say something else the next time. What it said is therefore
written down reply by reply: a run that goes on, or one of several processes, reads it and asks nobody.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from safebasin.errors import UsageError, expected
from safebasin.protocols import AskedJudge, Judge
from safebasin.records import Prompt, Response, TrainingRow, Verdict, content_hash

__all__ = ["MEMORY", "judge_rows", "question"]

MEMORY = "moderation.jsonl"
"""The file in the folder of a run."""

Memory = dict[str, Verdict]
"""By content of the row."""


def judge_rows(judge: Judge, rows: Sequence[TrainingRow], memory: Path | None = None) -> tuple[Verdict, ...]:
    """One verdict a row, in order.

    Args:
        judge: any; one that asks is asked about many rows at once.
        rows: to be read.
        memory: file in which a judge that asks finds what it said before, and where it is added to.

    Raises:
        UsageError: where a judge that asks cannot ask (what it said is in the file then), or would have to in one of
            several processes.
    """
    if not isinstance(judge, AskedJudge):
        return tuple(judge.judge(*question(row), None) for row in rows)
    known = _read(memory, judge) if memory is not None else {}
    todo = list({_key(row): row for row in rows if _key(row) not in known}.values())
    if todo and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        remedy = "Moderate in one process first: the same command without torchrun and with --show-example."
        raise UsageError(expected(f"what {judge.name} says", "known before several processes start", None, remedy))
    for row, verdict in _ask(judge, todo):
        known[_key(row)] = verdict
        if memory is not None:
            _append(memory, row, verdict)
    return tuple(known[_key(row)] for row in rows)


def question(row: TrainingRow) -> tuple[Prompt, Response]:
    """The row's prompt and response, as a judge reads them; no point in weight space made it."""
    response = Response(
        point=row.name,
        prompt=row.prompt.id,
        system="default",
        decoding="",
        text=row.response,
        n_tokens=0,
        finish_reason="stop",
    )
    return row.prompt, response


def _ask(judge: AskedJudge, rows: Sequence[TrainingRow]) -> Iterator[tuple[TrainingRow, Verdict]]:
    """A judge may leave out verdicts before it gives up, so each is brought to its row by its response."""
    asked = {question(row)[1].key: row for row in rows}
    for verdict in judge.judge_many((*question(row), None) for row in rows):
        yield asked[verdict.response], verdict


def _key(row: TrainingRow) -> str:
    """Of what the judge reads, and where it stands: equal rows at two places have a verdict each."""
    return content_hash([row.name, [[m.role, m.content] for m in row.messages]])


def _read(memory: Path, judge: Judge) -> Memory:
    """What this version of the judge said before; a reply that never came is none, nor is a line half written."""
    if not memory.is_file():
        return {}
    found: Memory = {}
    for line in memory.read_bytes().split(b"\n"):
        try:
            entry = json.loads(line)
            verdict = Verdict(**entry["verdict"])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if (verdict.judge, verdict.version) == (judge.name, judge.version) and not verdict.is_unanswered:
            found[str(entry["row"])] = verdict
    return found


def _append(memory: Path, row: TrainingRow, verdict: Verdict) -> None:
    """Added in one write; half a line that a kill left is ended first, so that it spoils no other."""
    memory.parent.mkdir(parents=True, exist_ok=True)
    with memory.open("a+b", buffering=0) as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
        line = json.dumps({"row": _key(row), "verdict": asdict(verdict)}).encode() + b"\n"
        file.write(line if file.read(1) in (b"", b"\n") else b"\n" + line)
