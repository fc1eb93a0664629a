"""A chat that answers by a function, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from safebasin.judges.asked_judge import Question, Reply
from safebasin.protocols import Cost


class Scripted:
    """Answers each question's last message with `answer`."""

    identity = "scripted"
    spent = Cost()

    def __init__(self, answer: Callable[[str], str | Reply]) -> None:
        self._answer = answer
        self.asked: list[Question] = []

    def ask(self, questions: Iterable[Question]) -> Iterator[Reply]:
        for question in questions:
            self.asked.append(question)
            found = self._answer(question.messages[-1].content)
            yield found if isinstance(found, Reply) else Reply(text=found)
