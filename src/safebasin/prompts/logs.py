"""Logs of other evaluation tools as rows of `prompt` and `response`: Inspect, lm-eval and garak, by their shape.

A prompt is a text, or the turns that were sent. One row a response: a prompt that was answered several times stands
there as often. Which scores these tools gave is not taken over; judges of the catalogue are asked instead.
"""

from __future__ import annotations

import importlib
import io
import json
import logging
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safebasin.errors import MissingExtra, PromptError, expected
from safebasin.prompts.rows import CAP, Row, json_value, listed
from safebasin.untrusted import MIB, border, read_bytes

__all__ = ["READERS", "inspect_file", "is_inspect", "json_rows", "rows_of_harness"]

_log = logging.getLogger(__name__)
_UNPACKED = 4 * CAP
"""Bytes that a log of Inspect, which is a ZIP archive, may unpack to."""
_MEMBERS = 1_000_000
Located = tuple[str, Row]
"""Where a row stands (`line 3 of a.jsonl`), and the row."""


def rows_of_harness(rows: Sequence[Located]) -> list[Located] | None:
    """Convert the lines of lm-eval (`samples_*.jsonl` of `--log_samples`) or of a garak report; None of any other.

    Raises:
        PromptError: naming the line that is of another version, or holds no text.
    """
    first = rows[0][1] if rows else {}
    if {"doc", "arguments", "resps"} <= first.keys():
        return [one for where, row in rows for one in _numbered(where, _lm_eval(where, row))]
    if any("entry_type" in row for _, row in rows[:3]):
        return _garak(rows)
    return None


def _numbered(where: str, rows: Iterable[Row]) -> Iterator[Located]:
    """The responses of one line, each where it stands."""
    for number, row in enumerate(rows, 1):
        yield f"response {number} in {where}", row


# --- lm-eval ---------------------------------------------------------------------------------------------------------


def _lm_eval(where: str, row: Row) -> Iterator[Row]:
    """A row for each response; requests of a log-likelihood have none that is a text."""
    remedy = "Take the samples of a task that generates, of lm-eval 0.4 or later."
    asked, answered = row.get("arguments"), row.get("resps")
    requests = list(asked.values()) if isinstance(asked, Mapping) else asked
    if not isinstance(requests, list) or not isinstance(answered, list) or len(requests) != len(answered):
        raise PromptError(expected(where, "a sample with as many responses as arguments", sorted(row), remedy))
    for request, responses in zip(requests, answered, strict=True):
        first = request.get("arg_0") if isinstance(request, Mapping) else request
        given = first[0] if isinstance(first, list) and first else first
        texts = responses if isinstance(responses, list) else [responses]
        if not isinstance(given, str) or not all(isinstance(text, str) for text in texts):
            raise PromptError(expected(where, "a sample of a prompt and texts", type(given).__name__, remedy))
        for text in texts:
            yield {"prompt": _turns_of(given), "response": text, "doc_id": row.get("doc_id")}


def _turns_of(text: str) -> object:
    """A conversation that lm-eval wrote as JSON, as its turns; any other text as it is."""
    if not text.startswith("[{"):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    is_turns = all(isinstance(t, dict) and isinstance(t.get("content"), str) and "role" in t for t in value)
    return [{"role": t["role"], "content": t["content"]} for t in value] if is_turns else text


# --- garak -----------------------------------------------------------------------------------------------------------


def _garak(rows: Sequence[Located]) -> list[Located]:
    """The attempts that were completed, each once: an attempt is logged again when detectors have seen it.

    Raises:
        PromptError: also where there is none, as in a report that ends before its first probe does.
    """
    attempts: dict[object, Located] = {}
    for where, row in rows:
        if row.get("entry_type") == "attempt" and row.get("status") in (1, 2):
            attempts[row.get("uuid", where)] = (where, row)
    found = [one for where, row in attempts.values() for one in _numbered(where, _attempt(where, row))]
    if not found:
        what = "report of garak"
        raise PromptError(expected(what, "one with an attempt that was answered", f"{len(rows)} lines", "Run it anew."))
    return found


def _attempt(where: str, row: Row) -> Iterator[Row]:
    remedy = "Take a report of garak 0.9 or later."
    prompt, outputs = _garak_prompt(row.get("prompt")), row.get("outputs")
    if prompt is None or not isinstance(outputs, list):
        raise PromptError(expected(where, "an attempt with a prompt and outputs", sorted(row), remedy))
    for output in outputs:
        text = _garak_text(output)
        if text is not None:  # a generator that failed left none
            yield {"prompt": prompt, "response": text, "category": str(row.get("probe_classname") or "")}


def _garak_prompt(prompt: object) -> object:
    """A text, or turns: which of both depends on the version."""
    turns = prompt.get("turns") if isinstance(prompt, Mapping) else None
    if not isinstance(turns, list):
        return _garak_text(prompt)
    found = [
        {"role": t.get("role"), "content": _garak_text(t.get("content"))} if isinstance(t, Mapping) else {}
        for t in turns
    ]
    return found if all(isinstance(t.get("content"), str) for t in found) else None


def _garak_text(value: object) -> str | None:
    text = value.get("text") if isinstance(value, Mapping) else value
    return text if isinstance(text, str) else None


# --- Inspect ---------------------------------------------------------------------------------------------------------


def is_inspect(value: object) -> bool:
    """Tell whether a JSON value is a log of Inspect."""
    return isinstance(value, Mapping) and {"version", "status", "eval"} <= value.keys()


def inspect_file(path: Path, what: str) -> Iterator[tuple[int, Row]]:
    """Read the samples of a log of Inspect, `.eval` or `.json`, by its own reader.

    Samples that failed, and those whose text an export of ours withheld, are left out and counted in a warning.

    Raises:
        MissingExtra: without inspect-ai.
        PromptError: where it is broken, cut short, of another version, or unpacks to more than anybody asks.
    """
    try:
        api = importlib.import_module("inspect_ai.log")
    except ImportError as error:
        raise MissingExtra("a log of Inspect", "inspect-ai", "inspect") from error
    data = read_bytes(path, what, error=PromptError, most=CAP)
    kind = "json" if path.suffix.lower() == ".json" else "eval"
    remedy = "It is cut short or of another version; write it anew."
    with border(f"{what} {path.name}", "a log of Inspect", PromptError, remedy, value=path.name):
        if kind == "eval":
            _check_archive(data)
        samples = api.read_eval_log(io.BytesIO(data), format=kind, resolve_attachments=True).samples or []
    left_out = 0
    for number, sample in enumerate(samples, 1):
        if sample.error is not None or sample.metadata.get("withheld") is True:
            left_out += 1
            continue
        yield number, _sample(sample)
    if left_out:
        _log.warning("%s: %d of %d samples failed or are withheld and are left out", path.name, left_out, len(samples))


def _check_archive(data: bytes) -> None:
    members = zipfile.ZipFile(io.BytesIO(data)).infolist()
    if len(members) > _MEMBERS or sum(member.file_size for member in members) > _UNPACKED:
        raise ValueError(f"more than {_MEMBERS:,} parts, or than {_UNPACKED // MIB} MB unpacked")


def _sample(sample: Any) -> Row:
    asked = sample.input
    prompt = asked if isinstance(asked, str) else [{"role": turn.role, "content": turn.text} for turn in asked]
    kept = {name: sample.metadata.get(name) for name in ("category", "behavior")}
    return {
        "prompt": prompt,
        "response": sample.output.completion,
        "sample": f"{sample.id}/{sample.epoch}",
        **{name: value for name, value in kept.items() if isinstance(value, str) and value},
    }


def json_rows(path: Path, what: str) -> Iterable[tuple[int, Row]]:
    """The rows of a JSON file: a list of objects, or a log of Inspect."""
    value = json_value(path, what)
    return inspect_file(path, what) if is_inspect(value) else enumerate(listed(value, path, what), 1)


READERS: Mapping[str, Callable[[Path, str], Iterable[tuple[int, Row]]]] = {".eval": inspect_file, ".json": json_rows}
"""By ending, for `rows.read_rows`."""
