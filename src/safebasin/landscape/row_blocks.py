"""Stored responses in columns, a place at a time: what an export writes. Redacted like the report.

What is said of each response, and how it scored, is read first, in the order of the file, and takes some 15 bytes a
response; then texts pass through, place by place. Not one record a response: `samples`, for what is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from safebasin.landscape.last_plan import JudgeVersion
from safebasin.landscape.samples import Shown, shows_text
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Place, System
from safebasin.store.cells import Cells
from safebasin.store.columns import Answers, Means, check_reasons, read_answers, read_grades, read_means
from safebasin.store.verdict_arrays import UNSCORED, VerdictArrays, read_said
from safebasin.study.plan import PromptSet

__all__ = ["Block", "Columns", "RowBlocks"]

Columns = dict[str, list[object]]
"""Name → values, all of one length."""


class Block(NamedTuple):
    """Responses at one place to one prompt set under one system prompt, in the order of the set."""

    plain: Columns
    """What every study has."""
    coords: tuple[float, ...]
    row: int
    """Of the arrays of verdicts."""
    columns: NDArray[np.intp]
    """The same of each response."""

    def __len__(self) -> int:
        return self.columns.size


class _Asked(NamedTuple):
    """The prompts of a set, in columns."""

    ids: tuple[str, ...]
    told: list[str]
    category: list[str]
    behavior: list[str]
    label: list[str]

    @classmethod
    def of(cls, prompt_set: PromptSet) -> _Asked:
        """The columns of a set."""
        prompts = prompt_set.prompts
        return cls(
            prompt_set.ids,
            [p.told for p in prompts],
            [p.category for p in prompts],
            [p.behavior for p in prompts],
            [p.label for p in prompts],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBlocks:
    """The responses of a study's plan, and what is said of them."""

    study: StoredStudy
    shown: Shown
    said: Mapping[JudgeVersion, VerdictArrays]
    """By each judge that is known here, the study's in the version that it was last judged with, of others all;
    sorted."""
    grades: Mapping[JudgeVersion, NDArray[np.float64]]
    """By those that gave any; NaN is none."""
    means: Means
    rows: Mapping[str, int]
    """`Point.key` → row of the arrays."""
    questions: Mapping[tuple[str, str], int]
    """(`System.id`, `Prompt.id`) → column of the arrays."""

    @classmethod
    def read(cls, study: StoredStudy, *, with_text: bool) -> RowBlocks:
        """Read what is said of the responses of a study; `with_text` also gives texts that redaction withholds."""
        shown = Shown.of(study, with_text=with_text)
        stored = [(name, version) for name, version, _ in study.store.judge_versions()]
        judges = sorted((name, version) for name, version in stored if shown.versions.get(name, version) == version)
        with study.store.reading() as db:
            check_reasons(db)
            cells = Cells.read(db, replace(study.plan, shard=None))
            return cls(
                study=study,
                shown=shown,
                said=read_said(db, cells, judges),
                grades=read_grades(db, cells, judges),
                means=read_means(db, cells),
                rows=cells.points,
                questions=cells.questions,
            )

    def __iter__(self) -> Iterator[Block]:
        """The origin first, then region by region, direction by direction, ascending."""
        plan = self.study.plan
        asked = {prompt_set.name: _Asked.of(prompt_set) for prompt_set in plan.sets}
        for number, place, point in plan.numbered_places():
            left_out = plan.left_out.get(point.key, frozenset[str]())
            for prompt_set in plan.sets:
                for system in plan.systems:
                    wanted = asked[prompt_set.name]
                    with self.study.store.reading() as db:
                        only = None if len(plan.sets) == 1 else wanted.ids
                        answers = read_answers(db, plan.decoding.key, point.key, system.id, only)
                    answered = {prompt: i for i, prompt in enumerate(answers.prompts) if prompt not in left_out}
                    where = number, place, self.rows[point.key]
                    block = self._block(answers, answered, wanted, prompt_set, system, where)
                    if len(block):
                        yield block

    def labels(self, judge: JudgeVersion, block: Block) -> list[object]:
        """Labels by a judge of the responses of a block, None where it says nothing."""
        return _looked_up(self._codes(judge, block), [label for label, _ in self.said[judge].kinds])

    def successes(self, judge: JudgeVersion, block: Block) -> list[object]:
        """Successes by a judge, None where it cannot tell."""
        return _looked_up(self._codes(judge, block), [success for _, success in self.said[judge].kinds])

    def grades_of(self, judge: JudgeVersion, block: Block) -> list[object]:
        """Grades by a judge, None where it gives none."""
        if judge not in self.grades:
            return [None] * len(block)
        return _finite(self.grades[judge][block.row, block.columns])

    def _codes(self, judge: JudgeVersion, block: Block) -> NDArray[np.unsignedinteger]:
        return self.said[judge].codes[block.row, block.columns]

    def _block(
        self,
        answers: Answers,
        order: Mapping[str, int],
        asked: _Asked,
        prompt_set: PromptSet,
        system: System,
        where: tuple[int, Place, int],
    ) -> Block:
        """What was answered of a set, in its order; `order` tells which answer is that to a prompt of the plan."""
        number, place, row = where
        there = [i for i, prompt in enumerate(asked.ids) if prompt in order]
        picked = [order[asked.ids[i]] for i in there]
        columns = np.asarray([self.questions[system.id, asked.ids[i]] for i in there], dtype=np.intp)
        outcomes = self._outcomes(row, columns)
        show = [shows_text(one, is_world=self.shown.is_world, with_text=self.shown.with_text) for one in outcomes]
        n = self.means.n[row, columns].tolist()
        plain: Columns = {
            "id": _taken(answers.keys, picked),
            "prompt_id": _taken(asked.ids, there),
            "prompt": _where(show, _taken(asked.told, there)),
            "response": _where(show, _taken(answers.texts, picked)),
            "region": [self.study.plan.regions[number].name] * len(there),
            "direction": [place.direction] * len(there),
            "system": [system.name] * len(there),
            "prompts": [prompt_set.name] * len(there),
            "category": _taken(asked.category, there),
            "behavior": _taken(asked.behavior, there),
            "label": _taken(asked.label, there),
            "outcome": list[object](outcomes),
            "n_tokens": _taken(answers.n_tokens, picked),
            "finish_reason": _taken(answers.finish_reasons, picked),
            "nll": _finite(self.means.mean[row, columns]),
            "n_scored": [None if count < 0 else count for count in n],
        }
        return Block(plain, place.coords, row, columns)

    def _outcomes(self, row: int, columns: NDArray[np.intp]) -> list[str]:
        """By the judge that composes outcomes; `unscored` where it says nothing."""
        found = [UNSCORED] * columns.size
        for (name, _), said in reversed(tuple(self.said.items())):
            if name == self.shown.judge:
                codes, labels = said.codes[row, columns].tolist(), [label for label, _ in said.kinds]
                found = [labels[code] if code else before for code, before in zip(codes, found, strict=True)]
        return found


def _looked_up(codes: NDArray[np.unsignedinteger], values: Sequence[object]) -> list[object]:
    """The value of each code, None where nothing is said."""
    known = [None, *values[1:]]
    return [known[code] for code in codes.tolist()]


def _taken(values: Sequence[object], at: Sequence[int]) -> list[object]:
    return [values[i] for i in at]


def _where(shown: Sequence[bool], values: Sequence[object]) -> list[object]:
    """None where a value is withheld."""
    return [value if show else None for show, value in zip(shown, values, strict=True)]


def _finite(values: NDArray[np.float64]) -> list[object]:
    """None where there is no number."""
    return [None if value != value else value for value in values.tolist()]
