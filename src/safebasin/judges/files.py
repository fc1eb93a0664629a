"""Judging responses that were made elsewhere: a table with a prompt and a response per row. No model, no store.

Without a model there is no score, so a judge that needs one says `unscored` where the text alone does not decide. The
file that is written is the memory: the same command again goes on from it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from safebasin.errors import PromptError, expected
from safebasin.judges.apply import judge_all
from safebasin.prompts.columns import to_prompt
from safebasin.prompts.logs import READERS, rows_of_harness
from safebasin.prompts.reasoning import split_answer
from safebasin.prompts.rows import read_rows
from safebasin.protocols import AskedJudge, Cost, Judge
from safebasin.records import NO_REPLY, Message, Prompt, Response
from safebasin.writing import write_text

_RESPONSE_COLUMNS = ("response", "completion", "generation", "output", "answer")
"""`answer`: the inference scripts of Qi et al. 2023 and Peng et al. 2024."""
_PROMPT_COLUMNS = ("prompt", "instruction", "goal", "question")
VERDICTS = "verdicts"
DEFAULT_JUDGES = ("refusal", "outcome")
"""Those of an audit, for responses of today's models; the published lists are for published numbers."""


Verdicts = dict[str, Mapping[str, object]]
"""Of one line, as they are written: by name of the judge, in the order of judging."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    row: Mapping[str, object]
    """Without its verdicts."""
    prompt: Prompt
    response: Response
    verdicts: Verdicts


def judge_file(path: Path, judges: Sequence[Judge], *, out: Path | None = None) -> dict[str, dict[str, int]]:
    """Judge every line; returns counts of labels by judge.

    Args:
        path: JSONL, JSON, CSV or Parquet; a row has `prompt` and `response` (or another common name of either). Or a
            log of Inspect, lm-eval or garak (`prompts.logs`).
            Reasoning between marks (`prompts.marks`) is no part of a response.
        judges: the judges.
        out: where to write the same rows as JSONL with a `verdicts` list each, however the judging ends; None writes
            nothing. What stands there already, or in `path`, is kept, and nobody is asked again for it: a verdict of
            the same version of a judge is taken over.

    Raises:
        PromptError: naming the first line that does not fit.
        UsageError: where a judge that asks cannot ask; what it has said is in `out` then.
    """
    lines = _read(path)
    if out is not None:
        _take_up(lines, out)
    counts: dict[str, dict[str, int]] = {}
    try:
        for judge in judges:
            _judge(judge, lines)
            counts[judge.name] = dict(Counter(str(line.verdicts[judge.name]["label"]) for line in lines).most_common())
    finally:
        if out is not None:
            rows = ({**line.row, VERDICTS: list(line.verdicts.values())} for line in lines)
            write_text(out, "".join(json.dumps(row, default=str) + "\n" for row in rows))
    return counts


def estimate_file(path: Path, judges: Sequence[Judge], *, out: Path | None = None) -> dict[str, Cost]:
    """Estimate what `judge_file` would cost at most, by name of those judges that ask; asks nobody, writes nothing.

    Raises:
        PromptError: as `judge_file`.
    """
    asked = [judge for judge in judges if isinstance(judge, AskedJudge)]
    if not asked:
        return {}
    lines = _read(path)
    if out is not None:
        _take_up(lines, out)
    return {
        judge.name: judge.estimate((line.prompt, line.response, None) for line in _unsettled(judge, lines).values())
        for judge in asked
    }


def _unsettled(judge: Judge, lines: Sequence[_Line]) -> dict[str, _Line]:
    """Lines that a judge is to be asked about, by key of the response."""
    return {line.response.key: line for line in lines if not _is_settled(judge, line.verdicts.get(judge.name))}


def _judge(judge: Judge, lines: Sequence[_Line]) -> None:
    todo = _unsettled(judge, lines)
    if not todo:
        return
    prompts = {line.prompt.id: line.prompt for line in todo.values()}
    for verdict in judge_all(judge, prompts, [line.response for line in todo.values()], {}):
        found = {key: getattr(verdict, key) for key in ("judge", "version", "label", "success", "reason", "grade")}
        todo[verdict.response].verdicts[judge.name] = found


def _is_settled(judge: Judge, found: Mapping[str, object] | None) -> bool:
    """Whether this version of a judge has said something; that it could not be reached is nothing."""
    if found is None or found.get("version") != judge.version or "label" not in found:
        return False
    return not str(found.get("reason")).startswith(NO_REPLY)


def _take_up(lines: Sequence[_Line], out: Path) -> None:
    """Add the verdicts of an earlier run of the same rows; a file of others is none, and will be written over."""
    if not out.is_file():
        return
    try:
        earlier = [json.loads(text) for text in out.read_text(encoding="utf-8").split("\n") if text.strip()]
    except (OSError, ValueError, RecursionError):
        return
    if len(earlier) == len(lines) and all(isinstance(row, dict) for row in earlier):
        for line, row in zip(lines, earlier, strict=True):
            kept = _verdicts(row)
            if row == line.row:
                line.verdicts.update(kept)


def _verdicts(row: dict[str, object]) -> Verdicts:
    """Take the verdicts out of a row."""
    found = row.pop(VERDICTS, None)
    listed = cast("list[object]", found if isinstance(found, list) else [])
    kept = [cast("dict[str, object]", one) for one in listed if isinstance(one, dict)]
    return {str(one["judge"]): one for one in kept if "judge" in one}


def _read(path: Path) -> list[_Line]:
    rows = read_rows(path, "responses", also=READERS, usual=".jsonl")
    lines = [_line(path.name, where, row) for where, row in rows_of_harness(rows) or rows]
    if not lines:
        raise PromptError(expected("responses", "a file with at least one row", str(path), "It is empty."))
    return lines


def _line(file: str, where: str, row: Mapping[str, object]) -> _Line:
    fields = dict(row)
    verdicts = _verdicts(fields)
    thinking, response = split_answer(_column(fields, _RESPONSE_COLUMNS, where))
    prompt = replace(_prompt(fields, where), source=file)
    record = Response(
        point="origin",
        prompt=prompt.id,
        system="default",
        decoding=where,
        text=response,
        thinking=thinking,
        n_tokens=0,
        finish_reason="stop",
    )
    return _Line(row=fields, prompt=prompt, response=record, verdicts=verdicts)


def _prompt(row: Mapping[str, object], where: str) -> Prompt:
    """The prompt of a row: a text, or the turns that were sent."""
    name = next((name for name in _PROMPT_COLUMNS if isinstance(row.get(name), list)), None)
    if name is not None:
        return to_prompt({"messages": row[name]}, source="", where=where)
    return Prompt(messages=(Message(role="user", content=_column(row, _PROMPT_COLUMNS, where)),))


def _column(row: Mapping[str, object], names: Sequence[str], where: str) -> str:
    value = next((row[name] for name in names if name in row), None)
    if not isinstance(value, str):
        raise PromptError(
            expected(where, f"an object with a text under {names[0]!r}", sorted(row), "Rename the column.")
        )
    return value
