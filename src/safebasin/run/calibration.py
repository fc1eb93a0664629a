"""Calibrating the test of language: a model reads reference answers, in order and shuffled, and answers a few prompts.

Done by itself when a study first has a judge that needs it, once for each model whose opinion counts (θ₀; in an audit
the tuned model too), and kept in the folder. Not the rule itself: that is `judges.language`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import NamedTuple, cast

from safebasin.judges.language import Surprise, find_repetition, fit_language_test, shuffle_words, surprise
from safebasin.landscape.language_tests import LANGUAGE, read_tests
from safebasin.prompts.references import load_references
from safebasin.protocols import Backend, CalibratedJudge, Generate, Generation, Judge, ScoreTexts, Split, TokenScores
from safebasin.records import Decoding, LanguageTest, Point, Prompt, Score, System, TrainingRow
from safebasin.run.driver import under
from safebasin.store.db import StudyStore
from safebasin.study import Study
from safebasin.study.plan import Plan

OWN_ANSWERS = 12
"""How many of the references the model answers itself."""
OWN_TOKENS = 32
_BATCH = 16
_NO_SYSTEM = System(name="default")


def uncalibrated(judges: Iterable[Judge], store: StudyStore, points: Sequence[Point]) -> tuple[Point, ...]:
    """Points whose test of language a folder still lacks; none where no judge needs one."""
    if not any(isinstance(judge, CalibratedJudge) for judge in judges):
        return ()
    known = read_tests(store)
    return tuple(point for point in points if under(point) not in known)


def calibrate(
    backend: Backend, store: StudyStore, plan: Plan, points: Sequence[Point], *, date: str | None = None
) -> None:
    """Calibrate the test of language at each of these points, and keep it in the folder."""
    source, references = _references(plan.study)
    plain = replace(plan.decoding, stop="none", phrases=(), max_new_tokens=OWN_TOKENS)
    for point in points:
        made = _measure(_Model(backend, point, plain, date), references, source)
        kept: Mapping[str, LanguageTest] = {**read_tests(store), under(point): made}
        store.set_meta(LANGUAGE, json.dumps({key: asdict(test) for key, test in kept.items()}))


def references_for(study: Study) -> tuple[TrainingRow, ...]:
    """The reference answers that a study's model reads to be calibrated, in order and shuffled."""
    return _references(study)[1]


def _references(study: Study) -> tuple[str, tuple[TrainingRow, ...]]:
    return load_references(_world(study))


class _Model(NamedTuple):
    """A model at one point, as it is asked here."""

    backend: Backend
    point: Point
    decoding: Decoding
    date: str | None

    def say(self, prompts: Sequence[Prompt]) -> tuple[Generation, ...]:
        """What it answers, all of them as one batch, or in parts where that does not fit into memory."""
        task = Generate(
            point=self.point, system=_NO_SYSTEM, prompts=tuple(prompts), decoding=self.decoding, date=self.date
        )
        while True:
            ((_, answer),) = self.backend.run([task])
            if not isinstance(answer, Split):
                return cast("tuple[Generation, ...]", answer)
            task = replace(task, split=answer.factor)

    def read(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Surprise | None]:
        """How unlikely texts are to it, read a few at a time."""
        parts = [slice(start, start + _BATCH) for start in range(0, len(texts), _BATCH)]
        tasks = [
            ScoreTexts(
                point=self.point,
                system=_NO_SYSTEM,
                prompts=tuple(prompts[part]),
                texts=tuple(texts[part]),
                decoding=self.decoding,
                date=self.date,
            )
            for part in parts
        ]
        done = {task: cast("tuple[TokenScores, ...]", rows) for task, rows in self.backend.run(tasks)}
        scored = [one for task in tasks for one in done[task]]
        return [
            surprise(Score(response="", nll=s.nll, ends=s.ends), text) for s, text in zip(scored, texts, strict=True)
        ]


def _measure(model: _Model, references: Sequence[TrainingRow], source: str) -> LanguageTest:
    asked = [row.prompt for row in references]
    answers = [row.response for row in references]
    mixed = [shuffle_words(answer, number) for number, answer in enumerate(answers)]
    orders = [i for i, text in enumerate(mixed) if text is not None]
    chosen = range(0, len(asked), max(1, len(asked) // OWN_ANSWERS))
    said = model.say([asked[i] for i in chosen])
    own = [(i, g.text) for i, g in zip(chosen, said, strict=True) if g.text.strip() and not g.broken]
    mute = sum(1 for g in said if not g.text.strip() and g.thinking.strip())  # still thinking, so not mute
    sound = [(i, text) for i, text in own if not find_repetition(text)]
    shuffled: list[Surprise | None] = [None] * len(asked)
    read = model.read([asked[i] for i in orders], [mixed[i] or "" for i in orders])
    for i, found in zip(orders, read, strict=True):
        shuffled[i] = found
    return fit_language_test(
        model.read(asked, answers),
        shuffled,
        model.read([asked[i] for i, _ in sound], [text for _, text in sound]),
        n_asked=len(said) - mute,
        source=source,
    )


def _world(study: Study) -> str:
    """The world whose language is spoken: that of the model, or of every prompt set; empty for ordinary language."""
    if name := _world_name(study.model):
        return name
    names = {_world_name(spec.source) for spec in study.prompts}
    return names.pop() if len(names) == 1 else ""


def _world_name(reference: str) -> str:
    return reference.removeprefix("world:").partition("/")[0] if reference.startswith("world:") else ""
