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

    def read(self, prompts: Sequence[Prompt], kinds: Sequence[Mapping[int, str]]) -> list[dict[int, Surprise | None]]:
        """How unlikely texts are to it, by the number of the prompt that each answers, one kind of text after another.

        Those that answer one prompt are read side by side, so that an engine need read the prompt once.
        """
        texts = sorted((number, kind, text) for kind, of in enumerate(kinds) for number, text in of.items())
        tasks = [self._scoring(prompts, texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH)]
        done = {task: cast("tuple[TokenScores, ...]", rows) for task, rows in self.backend.run(tasks)}
        found: list[dict[int, Surprise | None]] = [{} for _ in kinds]
        for (number, kind, text), told in zip(texts, (one for task in tasks for one in done[task]), strict=True):
            found[kind][number] = surprise(Score(response="", nll=told.nll, ends=told.ends), text)
        return found

    def _scoring(self, prompts: Sequence[Prompt], texts: Sequence[tuple[int, int, str]]) -> ScoreTexts:
        return ScoreTexts(
            point=self.point,
            system=_NO_SYSTEM,
            prompts=tuple(prompts[number] for number, _, _ in texts),
            texts=tuple(text for _, _, text in texts),
            decoding=self.decoding,
            date=self.date,
        )


def _measure(model: _Model, references: Sequence[TrainingRow], source: str) -> LanguageTest:
    asked = [row.prompt for row in references]
    answers = {number: row.response for number, row in enumerate(references)}
    shuffled = {number: text for number in answers if (text := shuffle_words(answers[number], number)) is not None}
    chosen = range(0, len(asked), max(1, len(asked) // OWN_ANSWERS))
    said = dict(zip(chosen, model.say([asked[number] for number in chosen]), strict=True))
    mute = sum(1 for g in said.values() if not g.text.strip() and g.thinking.strip())  # still thinking, so not mute
    sound = {n: g.text for n, g in said.items() if g.text.strip() and not g.broken and not find_repetition(g.text)}
    in_order, in_disorder, own = model.read(asked, [answers, shuffled, sound])
    return fit_language_test(
        list(in_order.values()),
        [in_disorder.get(number) for number in in_order],
        list(own.values()),
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
