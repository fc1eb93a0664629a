"""What an audit takes its prompts, its looks and its judges for: clusters, the level of a look, the judge's mistakes.

By default prompts are independent, the sample is looked at once and judges do not err; each of these is an option.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from safebasin.audit.sets import Sets
from safebasin.errors import PromptError, StudyError, expected
from safebasin.prompts.rows import json_value, read_rows
from safebasin.records import Prompt
from safebasin.stats import Accuracy
from safebasin.stats.assurance import spend
from safebasin.stats.gate import LEVEL, Clusters
from safebasin.stats.neighbors import near_duplicates
from safebasin.study.plan import PromptSet

__all__ = ["AUTO", "CATEGORY", "Evidence", "cluster", "parse_look", "repeats"]

AUTO = "auto"
CATEGORY = "category"
_NAMED = 0.1
"""Share of prompts with a near-duplicate from which it is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The weight of prompts, looks and judges in a decision."""

    clusters: Mapping[str, Mapping[str, int]] | None = None
    """Name of the set → prompt id → number of its cluster; None takes prompts as independent."""
    level: float = LEVEL
    """Of each bound, one-sided, at this look."""
    accuracies: Mapping[str, Accuracy] = field(default_factory=dict[str, Accuracy])
    """Judge → its mistakes on labelled responses; a judge that is not there is taken at its word."""

    words: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    """`cluster`, `look` and `agreement` as the user gave them."""
    notes: tuple[str, ...] = ()
    """What is to be said of the sample."""

    def numbers(self, prompts: PromptSet) -> Clusters | None:
        """The cluster of each prompt of a set, shape (prompts,)."""
        if self.clusters is None:
            return None
        known = self.clusters[prompts.name]
        return np.asarray([known[prompt.id] for prompt in prompts.prompts], dtype=np.intp)


def parse_look(text: str | None) -> tuple[int, int] | None:
    """`2/3` or `2 of 3` as numbers; None where nothing is given.

    Raises:
        StudyError: where it is written otherwise, the look is out of range, or so early of so many that it has no part
            of the error that all may make: its bounds would be infinite.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d{1,3})\s*(?:/|of)\s*(\d{1,3})\s*", text)
    if match is None:
        raise StudyError(expected("--look", "K/N", text, "Write it like 2/3: the second of three looks."))
    look, of = int(match[1]), int(match[2])
    if 1 - spend(look, of) >= 1:
        remedy = f"It can decide nothing: plan fewer than {of} looks, or look later."
        raise StudyError(expected("--look", "one with a part of the 5 %", text, remedy))
    return look, of


def level_of(look: tuple[int, int] | None, among: int) -> float:
    """The level of each bound of a model that is decided at a look, one of `among` that are decided together."""
    return 1 - (1 - LEVEL if look is None else spend(*look)) / among


def cluster(how: str | None, sets: Sets) -> Mapping[str, Mapping[str, int]] | None:
    """Name of the set → prompt id → number of its cluster.

    Args:
        how: `auto` (near-duplicates), `category`, a file, or None for none.
        sets: the prompts.

    Raises:
        StudyError: where the file cannot be read or misses prompts, or no prompt has a category.
    """
    if how is None:
        return None
    if how == AUTO:
        return {name: _near(prompts) for name, prompts in sets.prompts.items()}
    if how == CATEGORY:
        if not any(p.category for prompts in sets.prompts.values() for p in prompts):
            remedy = "Take prompts with a column 'category', or --cluster auto."
            raise StudyError(expected("--cluster category", "for prompts that have one", "no category", remedy))
        return {n: _numbered({p.id: p.category or p.id for p in prompts}) for n, prompts in sets.prompts.items()}
    named = _read(Path(how))
    return {name: _of_file(Path(how).name, named, prompts) for name, prompts in sets.prompts.items()}


def repeats(sets: Sets) -> tuple[str, ...]:
    """A sentence for each set of which many prompts nearly repeat another."""
    return tuple(said for name, prompts in sets.prompts.items() if (said := _repeats(name, prompts)))


def _repeats(name: str, prompts: Sequence[Prompt]) -> str:
    _, sizes = np.unique(list(_near(prompts).values()), return_counts=True)
    repeated = int(sizes[sizes > 1].sum())
    if repeated < _NAMED * len(prompts):
        return ""
    return (
        f"{repeated} of {len(prompts)} {name} prompts nearly repeat another (largest group: {int(sizes.max())}). The "
        "bounds take prompts as independent; --cluster auto counts each group as one."
    )


def _near(prompts: Sequence[Prompt]) -> dict[str, int]:
    numbers = near_duplicates([prompt.text for prompt in prompts])
    return {prompt.id: int(number) for prompt, number in zip(prompts, numbers, strict=True)}


def _numbered(names: Mapping[str, str]) -> dict[str, int]:
    index = {name: number for number, name in enumerate(dict.fromkeys(names.values()))}
    return {key: index[name] for key, name in names.items()}


def _of_file(file: str, named: Mapping[str, str], prompts: Sequence[Prompt]) -> dict[str, int]:
    missing = [p.id for p in prompts if p.id not in named and p.text not in named]
    if missing:
        found = f"{len(missing)} of {len(prompts)} missing, the first with id {missing[0]}"
        remedy = "Add a row for each: id (or prompt) and cluster."
        raise StudyError(expected(f"cluster file {file}", "a cluster for every prompt", found, remedy))
    return _numbered({p.id: named.get(p.id, named.get(p.text, "")) for p in prompts})


def _read(path: Path) -> dict[str, str]:
    """Id or text of a prompt → name of its cluster: JSON (a mapping, or rows), JSONL or CSV with `id` or `prompt`."""
    what = "file of clusters"
    try:
        held = json_value(path, what) if path.suffix.lower() == ".json" else None
        if isinstance(held, dict):
            return {str(key): str(value) for key, value in held.items()}
        rows = [row for _, row in read_rows(path, what, usual=".csv")]
        return {str(row.get("id") or row["prompt"]): str(row["cluster"]) for row in rows}
    except (PromptError, KeyError) as error:
        why = f"no column {error}" if isinstance(error, KeyError) else str(error)
        remedy = f"({why[:160]}) Write rows with id (or prompt) and cluster, or auto or category."
        raise StudyError(expected("--cluster", "auto, category or a file of clusters", str(path), remedy)) from error
