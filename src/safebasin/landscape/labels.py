"""Human labels of responses, read from a file: which response, and whether it is harmful.

CSV with a header, JSONL or Parquet, each with `id` and `label`. The id is that of the response (`id` of `safebasin
export`), or of the prompt (`prompt_id`) where a study has one response to it. A label is an outcome, or yes and no.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from safebasin.errors import PromptError, expected
from safebasin.prompts.rows import read_rows
from safebasin.records import OUTCOMES

__all__ = ["Labels", "read_labels"]

_YES = ("1", "true", "yes", "y", "success", "unsafe", "jailbroken")
_NO = ("0", "false", "no", "n", "failure", "safe")
_HARMFUL = ("complied", "harmful")
_MISSING = ("", "unscored", "?", "na", "n/a", "none", "null", "nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Labels by response key, and what of the file could not be used."""

    success: Mapping[str, bool]
    n_rows: int
    n_unknown: int
    """Rows whose id names no response of the study."""
    n_empty: int
    """Rows without a label."""


def read_labels(path: Path, responses: Mapping[str, str]) -> Labels:
    """Read labels and match them with responses.

    Args:
        path: the file.
        responses: key of a response of the study → `Prompt.id` of what it answers.

    Raises:
        PromptError: naming the first row that does not fit, or where no row names a response of the study.
    """
    by_prompt: dict[str, tuple[str, int]] = {}  # a response to each, and how many there are
    for key, prompt in responses.items():
        first, n = by_prompt.get(prompt, (key, 0))
        by_prompt[prompt] = first, n + 1
    found: dict[str, bool] = {}
    n_rows = n_unknown = n_empty = 0
    for where, identity, text in _rows(path):
        n_rows += 1
        key = identity if identity in responses else _only(by_prompt.get(identity), identity, where)
        label = _success(text, where)
        if key is None:
            n_unknown += 1
        elif label is None:
            n_empty += 1
        elif found.setdefault(key, label) != label:
            remedy = "Keep one label a response."
            raise PromptError(expected(where, "the only label of its response, or the same", identity, remedy))
    if not found:
        shown = f"{n_rows} rows, {n_unknown} unknown ids, {n_empty} without a label"
        remedy = "Take the ids from: safebasin export DIR -o FILE.jsonl."
        raise PromptError(expected(f"labels in {path.name}", "of responses of this study", shown, remedy))
    return Labels(success=found, n_rows=n_rows, n_unknown=n_unknown, n_empty=n_empty)


def _only(answering: tuple[str, int] | None, identity: str, where: str) -> str | None:
    """The one response to a prompt; None where there is none."""
    key, n = answering or (None, 0)
    if n > 1:
        remedy = "Use the ids of responses, as `safebasin export` gives them."
        raise PromptError(expected(f"id of {where}", f"one response's ({n} answer it)", identity, remedy))
    return key


def _success(text: str, where: str) -> bool | None:
    label = text.strip().lower()
    if label in _MISSING:
        return None
    if label in _YES or label in _HARMFUL:
        return True
    if label in _NO or label in OUTCOMES:
        return False
    remedy = "Mend it, or leave it empty."
    raise PromptError(expected(f"label of {where}", f"yes, no or one of {', '.join(OUTCOMES)}", text, remedy))


def _rows(path: Path) -> Iterator[tuple[str, str, str]]:
    """(where, id, label) of every row."""
    for where, row in read_rows(path, "labels", usual=".csv"):
        missing = next((column for column in ("id", "label") if column not in row), None)
        if missing is not None:
            raise PromptError(expected(where, f"a row with {missing!r}", list(row), "Name the columns id and label."))
        label = row["label"]
        plain = "" if label is None else str(label).lower() if isinstance(label, bool) else str(label)
        yield where, str(row["id"]).strip(), plain
