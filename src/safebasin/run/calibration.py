"""Calibrating the test of language: a model reads reference answers, in order and shuffled, and answers a few prompts.

Done by itself when a study first has a judge that needs it, once for each model whose opinion counts (θ₀; in an audit
the tuned model too), and kept in the folder. Not the rule itself: that is `judges.language`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace

from safebasin.judges.language import Surprise, find_repetition, fit_language_test, shuffle_words, surprise
from safebasin.landscape.language_tests import LANGUAGE, read_tests
from safebasin.prompts.references import load_references
from safebasin.protocols import CalibratedJudge, Engine, Judge
from safebasin.records import Decoding, LanguageTest, Message, Point, Score, TrainingRow
from safebasin.run.local import LocalBackend
from safebasin.store.db import StudyStore
from safebasin.study import Study
from safebasin.study.plan import Plan

OWN_ANSWERS = 12
"""How many of the references the model answers itself."""
OWN_TOKENS = 32
_BATCH = 16


def uncalibrated(judges: Iterable[Judge], store: StudyStore, points: Sequence[Point]) -> tuple[Point, ...]:
    """Points whose test of language a folder still lacks; none where no judge needs one."""
    if not any(isinstance(judge, CalibratedJudge) for judge in judges):
        return ()
    known = read_tests(store)
    return tuple(point for point in points if under(point) not in known)


def under(point: Point) -> str:
    """How a score names the point that was asked: empty for θ₀."""
    return "" if point == Point() else point.key


def calibrate(backend: LocalBackend, store: StudyStore, plan: Plan, points: Sequence[Point]) -> None:
    """Calibrate the test of language at each of these points, and keep it in the folder."""
    source, references = load_references(_world(plan.study))
    plain = replace(plan.decoding, stop="none", phrases=(), max_new_tokens=OWN_TOKENS)
    for point in points:
        backend.move_to(point)
        made = _measure(backend.engine, references, plain, source)
        kept: Mapping[str, LanguageTest] = {**read_tests(store), under(point): made}
        store.set_meta(LANGUAGE, json.dumps({key: asdict(test) for key, test in kept.items()}))


def _measure(engine: Engine, references: Sequence[TrainingRow], decoding: Decoding, source: str) -> LanguageTest:
    asked = [row.prompt.messages for row in references]
    answers = [row.response for row in references]
    mixed = [shuffle_words(answer, number) for number, answer in enumerate(answers)]
    orders = [i for i, text in enumerate(mixed) if text is not None]
    chosen = range(0, len(asked), max(1, len(asked) // OWN_ANSWERS))
    said = engine.generate([asked[i] for i in chosen], decoding)
    own = [(i, g.text) for i, g in zip(chosen, said, strict=True) if g.text.strip() and not g.broken]
    mute = sum(1 for g in said if not g.text.strip() and g.thinking.strip())  # still thinking, so not mute
    sound = [(i, text) for i, text in own if not find_repetition(text)]
    shuffled: list[Surprise | None] = [None] * len(asked)
    read = _read(engine, [asked[i] for i in orders], [mixed[i] or "" for i in orders], decoding)
    for i, found in zip(orders, read, strict=True):
        shuffled[i] = found
    return fit_language_test(
        _read(engine, asked, answers, decoding),
        shuffled,
        _read(engine, [asked[i] for i, _ in sound], [text for _, text in sound], decoding),
        n_asked=len(said) - mute,
        source=source,
    )


def _read(
    engine: Engine, conversations: Sequence[Sequence[Message]], texts: Sequence[str], decoding: Decoding
) -> list[Surprise | None]:
    """How unlikely texts are, read a few at a time, and fewer where they do not fit into memory."""
    found: list[Surprise | None] = []
    size, start = _BATCH, 0
    while start < len(texts):
        part = slice(start, start + size)
        try:
            scored = engine.score(conversations[part], texts[part], decoding)
        except MemoryError:
            if size == 1:
                raise
            size //= 2
            continue
        here = zip(scored, texts[part], strict=True)
        found += [surprise(Score(response="", nll=s.nll, ends=s.ends), text) for s, text in here]
        start += size
    return found


def _world(study: Study) -> str:
    """The world whose language is spoken: that of the model, or of every prompt set; empty for ordinary language."""
    if name := _world_name(study.model):
        return name
    names = {_world_name(spec.source) for spec in study.prompts}
    return names.pop() if len(names) == 1 else ""


def _world_name(reference: str) -> str:
    return reference.removeprefix("world:").partition("/")[0] if reference.startswith("world:") else ""
