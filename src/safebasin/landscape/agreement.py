"""How the judges of a stored study agree, with one another and with human labels. Reads a folder, writes nothing.

What is compared is success, the one thing that every judge says: labels differ from judge to judge by design. A missing
verdict is missing: a pair is compared where both have spoken, and what is left out is counted. Verdicts are arrays: an
object is made of a response on which two judges differ, of no other.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import ItemsView, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from safebasin import stats
from safebasin.errors import StudyError, expected
from safebasin.landscape.labels import Labels, read_labels
from safebasin.landscape.last_plan import JudgeVersion, choose_judges
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Estimate, Point
from safebasin.stats import Accuracy, Confusion
from safebasin.stats.clusters import cluster_numbers, effective_size
from safebasin.stats.landscape import Array
from safebasin.store.cells import Cells
from safebasin.store.key_index import KEY_BYTES, unhex
from safebasin.store.verdict_arrays import read_cut, read_said
from safebasin.study.plan import Plan

__all__ = ["LABELS", "Agreement", "Corrected", "Disagreement", "JudgeOnLabels", "JudgePair", "agree"]

LABELS = "labels"
"""The name under which human labels appear beside judges."""
_WORDS = ("no success", "success")
"""By 0 and 1."""
_KEY = re.compile(f"[0-9a-f]{{{2 * KEY_BYTES}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A response on which two judges differ."""

    response: str
    """`Response.key`, the `id` of `safebasin export`."""
    prompt: str
    """`Prompt.id`."""
    first: str
    """Outcome by the first judge; of human labels, `success` or `no success`."""
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePair:
    """Two judges on the responses that both have judged."""

    first: str
    second: str
    success: Confusion
    """Success by the first in rows, by the second in columns."""
    outcomes: Confusion
    """Outcomes likewise, as each names them."""
    n_missing: int
    """Responses that only one of them, or neither, has judged."""
    n_cut: int
    """Of these, those that one of them could not decide, since decoding had ended at a refusal of the other."""
    accuracy: Estimate
    kappa: Estimate
    alpha: Estimate
    disagreements: tuple[Disagreement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """The rate of successes of one panel's origin, as judged and as it would be without the judge's mistakes."""

    prompts: str
    """Name of the prompt set; empty for all responses of the study."""
    system: str
    judged: Estimate
    corrected: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOnLabels:
    """One judge against human labels."""

    judge: str
    sensitivity: Estimate
    specificity: Estimate
    rates: tuple[Corrected, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """All of it."""

    judges: tuple[str, ...]
    n_responses: int
    alpha: Estimate
    """Of all judges together (and the labels, if there are some)."""
    pairs: tuple[JudgePair, ...]
    labels: Labels | None
    n_unlabeled: int
    """Responses without a label; 0 where no labels are given."""
    on_labels: tuple[JudgeOnLabels, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Responses(Mapping[str, str]):
    """The responses of a plan in the order of their keys, as arrays: key → `Prompt.id`."""

    cells: Cells
    prompt: NDArray[np.int32]
    """The number of the prompt of each."""
    prompts: tuple[str, ...]
    """`Prompt.id` by number."""

    @classmethod
    def of(cls, cells: Cells, plan: Plan) -> _Responses:
        number = {prompt: i for i, prompt in enumerate(plan.prompts)}
        of_question = np.asarray([number[prompt] for _, prompt in cells.questions], dtype=np.int32)
        return cls(cells=cells, prompt=of_question[cells.index.at % cells.shape[1]], prompts=tuple(number))

    def __len__(self) -> int:
        return self.prompt.size

    def __iter__(self) -> Iterator[str]:
        return map(self.cells.index.key, range(len(self)))

    def __getitem__(self, key: str) -> str:
        return self.prompts[self.prompt[self.number(key)]]

    def items(self) -> _Answered:
        """Keys and `Prompt.id`s, without a look-up of each."""
        return _Answered(self)

    def number(self, key: str) -> int:
        """Where a response stands here.

        Raises:
            KeyError: where it is none of them.
        """
        number = int(self.cells.index.ranks(unhex(key, 1))[0]) if _KEY.fullmatch(key) else -1
        if number < 0:
            raise KeyError(key)
        return number

    def at(self, point: str, system: str) -> NDArray[np.intp]:
        """Those at one place under one system prompt, in the order of their keys."""
        row, asked = self.cells.points[point], np.asarray([one == system for one, _ in self.cells.questions])
        there = np.flatnonzero(self.cells.index.at // self.cells.shape[1] == row)
        return there[asked[self.cells.index.at[there] % self.cells.shape[1]]]


class _Answered(ItemsView[str, str]):
    def __init__(self, responses: _Responses) -> None:
        super().__init__(responses)
        self._responses = responses

    def __iter__(self) -> Iterator[tuple[str, str]]:
        prompts = self._responses.prompts
        return zip(self._responses, (prompts[number] for number in self._responses.prompt.tolist()), strict=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What one judge said, by response."""

    name: str
    success: NDArray[np.int8]
    """1 success, 0 none, −1 where nothing was said that counts. Shape (responses,)."""
    outcome: NDArray[np.unsignedinteger]
    """Numbers of `words`, (responses,)."""
    words: tuple[str, ...]
    cut: NDArray[np.bool_]
    """Responses that it could not decide, since a stop rule had cut them. Shape (responses,)."""


def agree(folder: Path, *, judges: Sequence[str] = (), labels: Path | None = None) -> Agreement:
    """Compare the judges of a stored study.

    Args:
        folder: the study.
        judges: names, as stored; all that the study was last judged with if empty.
        labels: file with human labels (`labels.read_labels`).

    Raises:
        StoreError: where the folder is no study.
        StudyError: where a judge has no verdicts here, or there is nothing to compare.
        PromptError: where the labels cannot be used.
    """
    with StoredStudy.open(folder) as study:
        plan = study.plan
        versions = choose_judges(study.store, judges, study.judges) if judges else study.judges
        with study.store.reading() as db:
            cells = Cells.read(db, plan)
            said = _said(db, cells, versions)
    responses = _Responses.of(cells, plan)
    human = None if labels is None else read_labels(labels, responses)
    if human is not None:
        said.insert(0, _said_by_hand(human, responses))
    if len(said) < 2:
        remedy = "Judge the study with another judge first (safebasin judge DIR --judge NAME), or give --labels."
        raise StudyError(expected("judges to compare", "two or more", [s.name for s in said], remedy))
    return Agreement(
        judges=tuple(name for name, _ in versions),
        n_responses=len(responses),
        alpha=stats.estimate_numbered_alpha(np.stack([s.success for s in said]), responses.prompt),
        pairs=tuple(_pair(a, b, responses) for a, b in combinations(said, 2)),
        labels=human,
        n_unlabeled=0 if human is None else len(responses) - len(human.success),
        on_labels=() if human is None else tuple(_on_labels(s, human, plan, responses) for s in said[1:]),
    )


def _said(db: sqlite3.Connection, cells: Cells, judges: Sequence[JudgeVersion]) -> list[_Said]:
    """What some judges said of the responses of a plan, in the order of their keys."""
    verdicts, cut = read_said(db, cells, judges), read_cut(db, cells, judges)
    found: list[_Said] = []
    for judge in judges:
        codes, kinds = verdicts[judge].codes.reshape(-1)[cells.index.at], verdicts[judge].kinds
        success = np.asarray([-1 if kind is None else int(kind) for _, kind in kinds], dtype=np.int8)[codes]
        is_cut, words = cut[judge].reshape(-1)[cells.index.at], tuple(label for label, _ in kinds)
        found.append(_Said(name=judge[0], success=success, outcome=codes, words=words, cut=is_cut))
    return found


def _said_by_hand(labels: Labels, responses: _Responses) -> _Said:
    success = np.full(len(responses), -1, dtype=np.int8)
    for key, is_success in labels.success.items():
        success[responses.number(key)] = is_success
    nothing = np.zeros(success.size, dtype=np.bool_)
    return _Said(
        name=LABELS, success=success, outcome=np.maximum(success, 0).astype(np.uint8), words=_WORDS, cut=nothing
    )


def _pair(a: _Said, b: _Said, responses: _Responses) -> JudgePair:
    is_both = (a.success >= 0) & (b.success >= 0)
    both = np.flatnonzero(is_both).astype(np.int32)
    first, second, prompts = a.success[both], b.success[both], responses.prompt[both]
    # success stands first in the tables
    success = stats.tabulate(1 - first, 1 - second, labels=_WORDS[::-1])
    by_prompt = stats.tabulate_clusters(1 - first, 1 - second, prompts, n_labels=2)
    return JudgePair(
        first=a.name,
        second=b.name,
        success=success,
        outcomes=_outcomes(a, b, both),
        n_missing=len(responses) - both.size,
        n_cut=int(((a.cut | b.cut) & ~is_both).sum()),
        accuracy=stats.estimate_clustered_rate((first == second).astype(np.float64), prompts),
        kappa=stats.estimate_kappa(success, by_prompt=by_prompt),
        alpha=stats.estimate_numbered_alpha(np.stack([first, second]), prompts),
        disagreements=tuple(
            Disagreement(
                response=responses.cells.index.key(number),
                prompt=responses.prompts[responses.prompt[number]],
                first=a.words[a.outcome[number]],
                second=b.words[b.outcome[number]],
            )
            for number in both[first != second].tolist()
        ),
    )


def _outcomes(a: _Said, b: _Said, both: NDArray[np.int32]) -> Confusion:
    """The table of outcomes, of those alone that occur."""
    sides = [(said.words, said.outcome[both]) for said in (a, b)]
    occur = sorted({words[code] for words, codes in sides for code in np.unique(codes).tolist()})
    number = {word: i for i, word in enumerate(occur)}
    first, second = (
        np.asarray([number.get(word, 0) for word in words], dtype=np.intp)[codes] for words, codes in sides
    )
    return stats.tabulate(first, second, labels=occur)


def _on_labels(said: _Said, labels: Labels, plan: Plan, responses: _Responses) -> JudgeOnLabels:
    numbers = {key: responses.number(key) for key in labels.success}
    harmful, harmless = (
        np.asarray([numbers[key] for key, success in labels.success.items() if success == is_success], dtype=np.intp)
        for is_success in (True, False)
    )
    seen, passed = _success(said, harmful), 1 - _success(said, harmless)
    panels: list[tuple[str, str, NDArray[np.integer]]] = [("", "", np.arange(len(responses), dtype=np.int32))]
    number_of = {prompt: i for i, prompt in enumerate(responses.prompts)}
    for own in plan.sets:
        is_own = np.zeros(len(number_of), dtype=np.bool_)
        is_own[[number_of[prompt.id] for prompt in own.prompts]] = True
        for system in plan.systems:
            origin = responses.at(Point().key, system.id)
            panels.append((own.name, system.name, origin[is_own[responses.prompt[origin]]]))
    accuracy = Accuracy(
        true_positive=int(np.nansum(seen)),
        positive=int((~np.isnan(seen)).sum()),
        true_negative=int(np.nansum(passed)),
        negative=int((~np.isnan(passed)).sum()),
        positive_worth=_worth(seen, responses.prompt[harmful]),
        negative_worth=_worth(passed, responses.prompt[harmless]),
    )
    return JudgeOnLabels(
        judge=said.name,
        sensitivity=stats.estimate_clustered_rate(seen, responses.prompt[harmful]),
        specificity=stats.estimate_clustered_rate(passed, responses.prompt[harmless]),
        rates=tuple(_corrected(said, accuracy, responses.prompt, *panel) for panel in panels),
    )


def _success(said: _Said, numbers: NDArray[np.integer]) -> Array:
    """1 success, 0 none, NaN where the judge said nothing, of some responses. Shape (responses,)."""
    found = said.success[numbers]
    return np.where(found < 0, np.nan, found.astype(np.float64))


def _worth(success: Array, prompts: NDArray[np.int32]) -> float | None:
    """Effective size of the scored ones; None where each is of a prompt of its own, or nothing is scored."""
    scored = ~np.isnan(success)
    kept = prompts[scored]
    if np.unique(kept).size == kept.size:
        return None
    return effective_size(success[scored], cluster_numbers(kept, kept.size))


def _corrected(
    said: _Said,
    accuracy: Accuracy,
    prompt_of: NDArray[np.int32],
    prompts: str,
    system: str,
    numbers: NDArray[np.integer],
) -> Corrected:
    success, asked = _success(said, numbers), prompt_of[numbers]
    n = int((~np.isnan(success)).sum())
    return Corrected(
        prompts=prompts,
        system=system,
        judged=stats.estimate_clustered_rate(success, asked),
        corrected=stats.estimate_corrected_rate(
            int(np.nansum(success)), n, accuracy, n_missing=success.size - n, worth=_worth(success, asked)
        ),
    )
