"""The model at one point of a stored study, ready to answer: for tools that ask conversations one by one.

Answers are greedy, by the engine and the settings of the study, decoded to their end; they are not stored. Batches are
not those of the study, so where two logits nearly tie an answer may part from the stored one.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from safebasin import catalog
from safebasin.errors import ModelError, StudyError, expected
from safebasin.judges import load_judge
from safebasin.judges.apply import judge_all
from safebasin.landscape.language_tests import calibrated
from safebasin.landscape.points import AXES, find_place
from safebasin.landscape.stored import StoredStudy
from safebasin.protocols import Engine, Generation, Judge
from safebasin.records import Decoding, Message, Point, Prompt, Response, Score, Verdict
from safebasin.run.inputs import engine_spec
from safebasin.run.prompt_settings import DATE
from safebasin.run.together import lines_of
from safebasin.study.plan import Plan

__all__ = ["PointModel", "PointName", "judge_answer", "study_judges"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointName:
    """A point as a user names it: `DIR@alpha=0.3[@beta=0.1][@direction=2][@region=NAME]`; θ₀ is `DIR` alone.

    Commas do as well, but not on Inspect's command line, where they part models.
    """

    folder: Path
    at: tuple[tuple[str, float], ...] = ()
    region: str | None = None
    direction: int = 0

    @classmethod
    def parse(cls, text: str) -> PointName:
        """Read such a name.

        Raises:
            StudyError: naming the part that is none.
        """
        folder, parts = _split(text)
        if not parts:
            return cls(folder=Path(text))
        remedy = "Write DIR@alpha=0.3, in a plane @beta=0.1 as well; then @direction=NUMBER and @region=NAME."
        coords, region, direction = dict[str, float](), None, 0
        for part in parts:
            key, _, value = (piece.strip() for piece in part.partition("="))
            try:
                if key == "region" and value:
                    region = value
                elif key == "direction":
                    direction = int(value)
                elif key in AXES and key not in coords:
                    coords[key] = float(value)
                else:
                    raise ValueError(key)
            except ValueError as error:
                what = f"point of {folder}"
                raise StudyError(expected(what, "alpha, beta, direction or region, each once", part, remedy)) from error
        if not coords:
            raise StudyError(expected(f"point of {folder}", "a coordinate", ",".join(parts), remedy))
        return cls(folder=Path(folder), at=tuple(coords.items()), region=region, direction=direction)

    def find(self, plan: Plan) -> Point:
        """The point of a plan.

        Raises:
            StudyError: where it has no such point.
        """
        if not self.at:
            return Point()
        region, place = find_place(plan, dict(self.at), region=self.region, direction=self.direction)
        return region.point(place)


def _split(text: str) -> tuple[str, list[str]]:
    """The folder of a name, which may hold signs of its own, and the parts of its point."""
    folder, parts = text, list[str]()
    while True:
        before, at, last = folder.rpartition("@")
        key = last.partition("=")[0].strip()
        if not at or "=" not in last or (parts and key not in (*AXES, "direction", "region")):
            return folder, parts
        folder, parts = before, [*last.split(","), *parts]


@dataclass(frozen=True, slots=True)
class PointModel:
    """An engine that answers at one point. One caller at a time; others wait."""

    plan: Plan
    point: Point
    engine: Engine
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def open(cls, name: PointName) -> PointModel:
        """Load the model of a study.

        Raises:
            UsageError: where the folder is no study, has no such point, or its model is not what it was.
        """
        with StoredStudy.open(name.folder) as study:
            plan, known, date = study.plan, study.store.meta("fingerprint"), study.store.meta(DATE)
        point = name.find(plan)
        lines = lines_of(plan.regions, name.folder)
        spec = engine_spec(plan.study, directions=lines)
        engine = catalog.open_engine(replace(spec, dtype=plan.decoding.dtype, date=date))
        found = engine.facts().fingerprint
        if known != found:
            what, remedy = f"model {plan.study.model!r}", "Restore the model that the study was made for."
            raise ModelError(expected(what, f"of fingerprint {str(known)[:12]}", found[:12], remedy))
        engine.move_to(point)
        return cls(plan, point, engine)

    def decoding(self, max_new_tokens: int | None = None) -> Decoding:
        """That of the study without its stop rule, with another limit of tokens if one is given."""
        plain = self.plan.decoding.unstopped
        return plain if max_new_tokens is None else replace(plain, max_new_tokens=max_new_tokens)

    def answer(self, conversations: Sequence[Sequence[Message]], max_new_tokens: int | None = None) -> list[Generation]:
        """Answer conversations, in their order.

        Raises:
            PromptError: where one is longer than the context allows.
            MemoryError: where one alone does not fit.
        """
        with self._lock:
            return self._answer(conversations, self.decoding(max_new_tokens))

    def _answer(self, conversations: Sequence[Sequence[Message]], decoding: Decoding) -> list[Generation]:
        try:
            return self.engine.generate(conversations, decoding)
        except MemoryError:
            if len(conversations) == 1:
                raise
        half = len(conversations) // 2
        return self._answer(conversations[:half], decoding) + self._answer(conversations[half:], decoding)

    def score(self, conversation: Sequence[Message], response: Response) -> Score | None:
        """Score an answer under θ₀, as judges of language ask; None of an empty one."""
        if not response.text:
            return None
        with self._lock:
            self.engine.move_to(Point())
            try:
                found = self.engine.score([conversation], [response.text], self.decoding())[0]
            finally:
                self.engine.move_to(self.point)
        return Score(response=response.key, nll=found.nll, ends=found.ends)


def study_judges(folder: Path) -> tuple[Judge, ...]:
    """The judges of a study, as they judge its folder: with its tests of language.

    Raises:
        UsageError: where the folder is no study, or a judge is not known here.
    """
    with StoredStudy.open(folder) as study:
        return tuple(calibrated(load_judge(text), study.store) for text in study.plan.study.judges)


def judge_answer(judge: Judge, prompt: Prompt, response: Response, score: Score | None) -> Verdict:
    """The verdict of a judge on one answer that stands in no folder."""
    scores = {} if score is None else {response.key: score}
    return next(iter(judge_all(judge, {prompt.id: prompt}, [response], scores)))
