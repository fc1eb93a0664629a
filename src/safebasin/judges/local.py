"""Questions to a chat model in this process, through the engine of the catalogue: judges import no engine.

The model is loaded at the first question and kept; it needs its own memory beside the model under study. Greedy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice

from safebasin import catalog
from safebasin.errors import PromptError, UsageError
from safebasin.judges.asked_judge import Question, Reply, guessed_tokens
from safebasin.protocols import Cost, Engine, EngineSpec, Generation
from safebasin.records import Decoding

__all__ = ["LocalChat"]

ASKED_ON = "2024-07-26"
"""The day that a judge is told whose template asks for it, so that verdicts do not hang on the day of judging. It is
the one that Llama 3's template writes where it has no clock."""
CHUNK = 64
"""Questions that are collected before the model is asked."""


class LocalChat:
    """Answers questions with a model of this machine (`asked_judge.Chat`).

    Args:
        model: as in a study: a folder, a hub id in the cache, `world:NAME/CHECKPOINT`, each with `@revision`.
        device: as in a study.
        engine: as in a study; or a ready engine instead.
    """

    def __init__(self, model: str, *, device: str = "auto", engine: str | Engine = "hf") -> None:
        self._spec = EngineSpec(
            engine=engine if isinstance(engine, str) else "", model=model, device=device, date=ASKED_ON
        )
        self._given = None if isinstance(engine, str) else engine
        self._spent = Cost()
        self._answers: dict[str, Reply] = {}

    @property
    def identity(self) -> str:
        """Fingerprint of the weights.

        Raises:
            ModelError: where the model cannot be seen from here.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        from safebasin.models.reference import resolve

        if self._given is not None:
            return self._given.facts().fingerprint
        return resolve(self._spec.model).fingerprint

    @property
    def spent(self) -> Cost:
        """Questions answered, tokens guessed on the way in and counted on the way out."""
        return self._spent

    def ask(self, questions: Iterable[Question]) -> Iterator[Reply]:
        """One reply a question, in order. A question that is too long for the model fails alone.

        A missing or unusable model is a fatal reply; memory that is short for a single question is, too.
        """
        rest = iter(questions)
        while chunk := list(islice(rest, CHUNK)):
            try:
                self._prepare(chunk)
            except UsageError as error:
                yield Reply(error=str(error), fatal=error)
                return
            yield from (self._answers[question.key] for question in chunk)

    @cached_property
    def _engine(self) -> Engine:
        if self._given is not None:
            return self._given
        return catalog.open_engine(self._spec)

    def _prepare(self, chunk: Sequence[Question]) -> None:
        """Answer what a chunk asks anew, in batches of equal settings."""
        groups: dict[Decoding, list[Question]] = {}
        for key, question in {q.key: q for q in chunk}.items():
            if key not in self._answers:
                decoding = Decoding(max_new_tokens=question.max_tokens, template_args=question.template_args)
                groups.setdefault(decoding, []).append(question)
        for decoding, members in groups.items():
            size = max(1, self._engine.suggest_batch_size(len(members), decoding.max_new_tokens))
            for start in range(0, len(members), size):
                self._batch(members[start : start + size], decoding)

    def _batch(self, members: Sequence[Question], decoding: Decoding) -> None:
        """Answer one batch; halve it where it does not fit into memory or one of it cannot be rendered."""
        try:
            found = self._engine.generate([question.messages for question in members], decoding)
        except (MemoryError, PromptError) as error:
            if len(members) == 1:
                why = "memory is too short for it" if isinstance(error, MemoryError) else str(error)
                self._answers[members[0].key] = Reply(error=why)
                return
            half = len(members) // 2
            self._batch(members[:half], decoding)
            self._batch(members[half:], decoding)
            return
        for question, generation in zip(members, found, strict=True):
            self._keep(question, generation)

    def _keep(self, question: Question, generation: Generation) -> None:
        broken = f"the judge could not decode: {generation.broken}" if generation.broken else ""
        thinks_on = bool(generation.thinking) and not generation.text.strip()
        cut = generation.finish_reason == "length" or thinks_on
        self._answers[question.key] = Reply(text=generation.text, error=broken, cut=cut)
        self._spent = replace(
            self._spent,
            requests=self._spent.requests + 1,
            tokens_in=self._spent.tokens_in + sum(4 + guessed_tokens(m.content) for m in question.messages),
            tokens_out=self._spent.tokens_out + generation.n_tokens,
        )
