"""Prompt files: CSV, TSV, TXT (one prompt a line), JSONL, JSON and Parquet, under the column names of the field.

Identical prompts are an error, not a silent loss: they would weigh a behavior twice in one place and once in another.
A column `image` names a file beside them that comes before the prompt (`images`). Logs of other tools (`logs`) are
read, too. They and logs of attacks repeat themselves, and attacks give up on some behaviors: repeats are taken once,
rows without a prompt are left out and counted in a warning.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from safebasin.errors import MissingFile, PromptError, expected
from safebasin.prompts.attacks import rows_of_log
from safebasin.prompts.columns import gave_up, to_prompt
from safebasin.prompts.images import with_image
from safebasin.prompts.logs import inspect_file, is_inspect, rows_of_harness
from safebasin.prompts.rows import Row, json_value, listed, read_rows, text_lines
from safebasin.records import Prompt
from safebasin.untrusted import border

_log = logging.getLogger(__name__)
_WHAT = "prompts file"


def read_file(path: Path, *, column: str | None = None) -> tuple[Prompt, ...]:
    """The prompts of a file, in its order.

    Args:
        path: the file.
        column: the column that holds the prompt; where None, the first that is known. With a column, repeats are taken
            once: several attacks on one goal repeat it.

    Raises:
        PromptError: where it is missing, empty, not UTF-8, of an unknown layout, or holds a prompt twice.
    """
    name = path.name
    if not os.path.exists(path):  # which takes names that are too long for the file system, too
        raise MissingFile(expected("prompts file", "an existing file", str(path), "Check the path."))
    rows, is_log = _rows(path)
    return from_rows(rows, name, repeats=column is not None or is_log, column=column, folder=path.parent)


def from_rows(
    rows: Iterable[Row],
    name: str,
    *,
    repeats: bool = False,
    column: str | None = None,
    folder: Path | None = None,
) -> tuple[Prompt, ...]:
    """Prompts of rows, numbered from 1 in messages; a row of an attack that found no prompt is left out.

    Args:
        rows: column → cell.
        name: of the file or set.
        repeats: whether a prompt may stand there twice; `load_prompts` then takes it once.
        column: the column that holds the prompt; where None, the first that is known.
        folder: where the files lie that a column `image` names; None where there can be none.

    Raises:
        PromptError: as `read_file`, or where an image is not there.
    """
    prompts: list[Prompt] = []
    seen: dict[str, int] = {}
    left_out = number = 0
    for number, row in enumerate(rows, 1):
        if gave_up(row):
            left_out += 1
            continue
        where = f"row {number} of {name}"
        asked = to_prompt(row, source=name, where=where, column=column)
        prompt = replace(with_image(asked, row, folder=folder, where=where), row=number)
        if seen.setdefault(prompt.id, number) != number and not repeats:
            what = f"prompts of {name}"
            found = f"row {number} equal to row {seen[prompt.id]}"
            raise PromptError(expected(what, "different from each other", found, "Remove one of the two rows."))
        prompts.append(prompt)
    if left_out:
        _log.warning("%s: %d of %d rows hold no prompt (the attack gave up) and are left out", name, left_out, number)
    if not prompts:
        found = f"{left_out} rows without a prompt" if left_out else "no row"
        raise PromptError(expected(f"prompts {name}", "a set with at least one prompt", found, "Fill it."))
    return tuple(prompts)


def _rows(path: Path) -> tuple[list[Row], bool]:
    """The rows of a file, and whether it is a log, which may repeat a prompt."""
    if path.suffix.lower() != ".json":
        found = read_rows(path, _WHAT, also={".txt": _txt, ".eval": inspect_file})
        answered = rows_of_harness(found)
        is_log = answered is not None or path.suffix.lower() == ".eval"
        return [row for _, row in answered or found], is_log
    with border(f"{_WHAT} {path.name}", "readable", PromptError):
        value = json_value(path, _WHAT)
        log = rows_of_log(value) if not is_inspect(value) else [row for _, row in inspect_file(path, _WHAT)]
    if log is not None:
        return log, True
    constraint = "a list of objects, or an attack log of a known layout (docs: Jailbreaks)"
    return listed(value, path, _WHAT, constraint), False


def _txt(path: Path, what: str) -> Iterable[tuple[int, Row]]:
    return enumerate(({"prompt": line} for line in text_lines(path, what) if line.strip()), 1)
