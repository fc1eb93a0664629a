"""A judge that asks another model: a questionnaire (what is asked, how a reply is read), put to a chat that answers it.

A questionnaire is pure. A chat has a model: `endpoint.Endpoint` over HTTP, `local.LocalChat` in this process. Not here:
any prompt, any network.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from safebasin.errors import SafebasinError
from safebasin.judges.scored import TextAlone
from safebasin.protocols import Cost
from safebasin.records import NO_REPLY, Message, Prompt, Response, Scalar, Score, Verdict, content_hash

__all__ = ["RAW_LIMIT", "Answer", "AskedModelJudge", "Chat", "Item", "Question", "Questionnaire", "Reply", "unreadable"]

RAW_LIMIT = 2_000
"""Characters of a raw reply that a verdict keeps."""

Item = tuple[Prompt, Response, Score | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One conversation to be answered."""

    messages: tuple[Message, ...]
    max_tokens: int
    """The most new tokens of the answer."""
    template_args: tuple[tuple[str, Scalar], ...] = ()
    """For the chat template of a local model."""
    first_words: bool = False
    """Whether the answer is read off its first words, as a guard's is, so that the limit cuts nothing that matters."""

    @property
    def key(self) -> str:
        """Content key: equal questions are asked once."""
        messages = [[m.role, m.content] for m in self.messages]
        return content_hash([messages, self.max_tokens, [list(pair) for pair in self.template_args]], length=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The reply to a question, or why there is none."""

    text: str = ""
    error: str = ""
    """Why there is no answer, with the raw reply if there was one; empty where there is an answer."""
    cut: bool = False
    """Whether the limit of new tokens ended it, or ended its thoughts."""
    fatal: SafebasinError | None = None
    """A mistake that every further question would meet too."""


class Chat(Protocol):
    """Answers questions in order. Total over text; what a user must mend is a `Reply.fatal`."""

    @property
    def identity(self) -> str:
        """The name of what answers, for the version of a judge: another model is another judge."""
        ...

    @property
    def spent(self) -> Cost: ...

    def ask(self, questions: Iterable[Question]) -> Iterator[Reply]:
        """One reply a question, in order; takes no further question after a fatal reply."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The reading that a questionnaire makes of the replies to its questions."""

    label: str
    success: bool | None
    reason: str
    grade: float | None = None


class Questionnaire(Protocol):
    """The questions of a judge about a response, and the reading of their answers. Pure."""

    @property
    def identity(self) -> str:
        """Changes whenever the same replies could give another verdict."""
        ...

    @property
    def lowest(self) -> float | None:
        """The grade of a response that says nothing; None where the questionnaire gives no grades."""
        ...

    @property
    def usual_tokens(self) -> int:
        """New tokens of a usual answer, for estimates."""
        ...

    def questions(self, prompt: Prompt, response: Response) -> tuple[Question, ...]: ...

    def read(self, prompt: Prompt, response: Response, replies: tuple[str, ...]) -> Answer: ...


def unreadable(why: str, *replies: str) -> Answer:
    """`unscored`, with the raw replies kept."""
    raw = " | ".join(repr(reply[:RAW_LIMIT]) for reply in replies)
    return Answer(label="unscored", success=None, reason=f"{why}: {raw}")


class AskedModelJudge(TextAlone):
    """A questionnaire put to a chat: a judge (`protocols.AskedJudge`).

    A response without text is `incoherent` and nobody is asked; neither is anybody about what could not be decoded.

    Args:
        name: as verdicts are stored under it.
        questionnaire: what is asked.
        chat: who answers.
    """

    monotone = False
    phrases: tuple[str, ...] = ()

    def __init__(self, name: str, questionnaire: Questionnaire, chat: Chat) -> None:
        self.name = name
        self._questionnaire = questionnaire
        self._chat = chat

    @property
    def version(self) -> str:
        """A hash of questionnaire and chat."""
        return f"1:{content_hash([self._questionnaire.identity, self._chat.identity])}"

    @property
    def spent(self) -> Cost:
        """The cost so far of this object."""
        return self._chat.spent

    def judge(self, prompt: Prompt, response: Response, score: Score | None) -> Verdict:
        """One verdict.

        Raises:
            UsageError: as `judge_many`.
        """
        return next(self.judge_many([(prompt, response, score)]))

    def judge_many(self, items: Iterable[Item]) -> Iterator[Verdict]:
        """Verdicts, many asked at once; those that nobody is asked about come last.

        Raises:
            UsageError: for what no verdict survives, after yielding what was had.
        """
        asked: deque[tuple[Prompt, Response, tuple[Question, ...]]] = deque()
        settled: list[Verdict] = []

        def stream() -> Iterator[Question]:
            for prompt, response, _ in items:
                questions = () if _is_settled(response) else self._questionnaire.questions(prompt, response)
                if questions:
                    asked.append((prompt, response, questions))
                else:
                    settled.append(self._settled(response))
                yield from questions

        replies = self._chat.ask(stream())  # one a question, in order: the first belongs to the front of `asked`
        fatal: SafebasinError | None = None
        for first in replies:
            prompt, response, questions = asked.popleft()
            found = [first, *islice(replies, len(questions) - 1)]
            fatal = fatal or next((reply.fatal for reply in found if reply.fatal), None)
            if len(found) == len(questions) and not any(reply.fatal for reply in found):
                yield self._verdict(response, self._answer(prompt, response, questions, found))
        yield from settled
        if fatal is not None:
            raise fatal

    def estimate(self, items: Iterable[Item]) -> Cost:
        """Requests, tokens of all questions (a quarter of their bytes), tokens of usual answers; asks nobody."""
        seen: set[str] = set()
        cost = Cost()
        for prompt, response, _ in items:
            for question in () if _is_settled(response) else self._questionnaire.questions(prompt, response):
                if question.key not in seen:
                    seen.add(question.key)
                    tokens = sum(4 + guessed_tokens(m.content) for m in question.messages)
                    cost = replace(
                        cost,
                        requests=cost.requests + 1,
                        tokens_in=cost.tokens_in + tokens,
                        tokens_out=cost.tokens_out + min(self._questionnaire.usual_tokens, question.max_tokens),
                    )
        return cost

    def _settled(self, response: Response) -> Verdict:
        """The verdict on a response that nobody is asked about."""
        reason = response.broken or "empty"
        return self._verdict(
            response, Answer(label="incoherent", success=False, reason=reason, grade=self._questionnaire.lowest)
        )

    def _answer(
        self, prompt: Prompt, response: Response, questions: Sequence[Question], replies: Sequence[Reply]
    ) -> Answer:
        missing = next((reply.error for reply in replies if reply.error), None)
        if missing is not None:
            return Answer(label="unscored", success=None, reason=f"{NO_REPLY}: {missing}"[: RAW_LIMIT + 200])
        texts = tuple(reply.text for reply in replies)
        is_whole = not all(question.first_words for question in questions)
        if is_whole and any(reply.cut for reply in replies):
            return unreadable("the reply was cut at its limit of tokens, so it may not have come to its score", *texts)
        return self._questionnaire.read(prompt, response, texts)

    def _verdict(self, response: Response, answer: Answer) -> Verdict:
        return Verdict(
            response=response.key,
            judge=self.name,
            version=self.version,
            label=answer.label,
            success=answer.success,
            reason=answer.reason[: 4 * RAW_LIMIT],
            grade=answer.grade,
        )


def guessed_tokens(text: str) -> int:
    """About how many tokens a text has: a quarter of its bytes, rounded up."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


def _is_settled(response: Response) -> bool:
    return bool(response.broken) or not response.text.strip()
