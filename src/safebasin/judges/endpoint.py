"""Questions over HTTP: any OpenAI-compatible endpoint, asked in parallel, with patience and without repeating itself.

What one question meets (a time-out, a rate limit, a reply that is no JSON) is tried again a bounded number of times and
then is that question's own failure. What every question would meet (wrong key, wrong model, wrong address) ends
the work with one line that says what to mend. The key comes from the environment, and appears nowhere else.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from safebasin.errors import UsageError, expected
from safebasin.judges.asked_judge import Question, Reply, guessed_tokens
from safebasin.judges.completion import Answered, Failed, Outcome
from safebasin.judges.transport import Transport
from safebasin.protocols import Cost

__all__ = ["Endpoint", "Patience"]

Send = Callable[[Question], Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Patience with an endpoint: attempts, and seconds between them."""

    attempts: int = 6
    """Requests for one question, ≥ 1."""
    backoff_s: float = 1.0
    """Wait before the second request; it doubles each time…"""
    longest_s: float = 60.0
    """…up to this. A server that asks to wait longer is not waited for."""
    hopeless: int = 5
    """Questions that fail in a row before any has succeeded: the endpoint is then taken to be wrong."""
    gone: int = 20
    """Questions that fail in a row after some have succeeded: the endpoint is then taken to have gone."""


class Endpoint:
    """Answers questions through one model of one endpoint (`asked_judge.Chat`).

    Args:
        transport: sends one request.
        parallel: requests at a time, ≥ 1.
        patience: how long to insist.
    """

    def __init__(self, transport: Transport, *, parallel: int = 8, patience: Patience | None = None) -> None:
        self._transport = transport
        self._parallel = parallel
        self._patience = patience or Patience()
        self._lock = threading.Lock()
        self._futures: dict[str, Future[Reply]] = {}
        self._spent = Cost()
        self._not_before = 0.0
        self._in_a_row = 0
        self._succeeded = False
        self._stop = threading.Event()

    @property
    def identity(self) -> str:
        """Address and model."""
        return self._transport.identity

    @property
    def spent(self) -> Cost:
        """Requests sent, and tokens as the endpoint counts them (a guess where it does not)."""
        return self._spent

    def ask(self, questions: Iterable[Question]) -> Iterator[Reply]:
        """One reply a question, in order. Equal questions are asked once as long as this object lives."""
        self._stop.clear()
        window: deque[Future[Reply]] = deque()
        pool = ThreadPoolExecutor(self._parallel, thread_name_prefix="judge")
        fatal = False
        with self._transport.session() as send:
            try:
                for question in questions:
                    window.append(self._submit(pool, send, question))
                    while window and (window[0].done() or len(window) >= 2 * self._parallel):
                        reply = window.popleft().result()
                        fatal = fatal or reply.fatal is not None
                        yield reply
                    if fatal:
                        break
                while window:
                    yield window.popleft().result()
            finally:
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, send: Send, question: Question) -> Future[Reply]:
        known = self._futures.get(question.key)
        if known is not None and not known.cancelled() and not (known.done() and _failed(known.result())):
            return known
        future = pool.submit(self._answer, send, question)
        self._futures[question.key] = future
        return future

    def _answer(self, send: Send, question: Question) -> Reply:
        """Ask until there is an answer, or patience ends."""
        failed = Failed(why="not asked: the work was stopped")
        for attempt in range(self._patience.attempts):
            if not self._wait_for_turn():
                break
            outcome = send(question)
            self._count(question, outcome)
            if isinstance(outcome, Answered):
                with self._lock:
                    self._in_a_row, self._succeeded = 0, True
                return Reply(text=outcome.text, cut=outcome.cut)
            failed = outcome
            if failed.fatal is not None:
                return Reply(error=failed.why, fatal=failed.fatal)
            wait = self._pause(attempt, failed)
            if not failed.again or wait is None or attempt + 1 == self._patience.attempts:
                break
            self._stop.wait(wait)
        return self._give_up(failed)

    def _pause(self, attempt: int, failed: Failed) -> float | None:
        """Seconds before the next request; None where the server asks for more than patience allows."""
        patience = self._patience
        wait = min(patience.longest_s, patience.backoff_s * 2**attempt)
        if failed.after_s is None:
            return wait
        if failed.after_s > patience.longest_s:
            return None
        with self._lock:  # one that is told to wait tells all
            self._not_before = max(self._not_before, time.monotonic() + failed.after_s)
        return failed.after_s

    def _wait_for_turn(self) -> bool:
        """Wait while the endpoint wants to be left alone; False where the work was stopped."""
        while not self._stop.is_set():
            with self._lock:
                left = self._not_before - time.monotonic()
            if left <= 0:
                return True
            self._stop.wait(left)
        return False

    def _count(self, question: Question, outcome: Outcome) -> None:
        guess_in = sum(4 + guessed_tokens(m.content) for m in question.messages)
        answered = isinstance(outcome, Answered)
        with self._lock:
            spent = replace(self._spent, requests=self._spent.requests + 1)
            if answered:
                tokens_in = guess_in if outcome.tokens_in is None else outcome.tokens_in
                tokens_out = guessed_tokens(outcome.text) if outcome.tokens_out is None else outcome.tokens_out
                spent = replace(spent, tokens_in=spent.tokens_in + tokens_in, tokens_out=spent.tokens_out + tokens_out)
            self._spent = spent

    def _give_up(self, failed: Failed) -> Reply:
        """This question's failure; of them all, where too many have failed in a row."""
        if self._stop.is_set():
            return Reply(error=failed.why)
        with self._lock:
            self._in_a_row += 1
            run, succeeded = self._in_a_row, self._succeeded
        wrong = not succeeded and (failed.hopeless or run >= self._patience.hopeless)
        if wrong or run >= self._patience.gone:
            return Reply(error=failed.why, fatal=self._ended(failed, wrong=wrong))
        return Reply(error=failed.why)

    def _ended(self, failed: Failed, *, wrong: bool) -> UsageError:
        remedy = "Check base_url (it usually ends in /v1) and that the server runs."
        if not wrong:
            remedy = "It has stopped answering; what was judged is kept: run the same command again to go on."
        return UsageError(expected(f"endpoint {self._transport.address}", "one that answers", failed.why, remedy))


def _failed(reply: Reply) -> bool:
    return bool(reply.error) or reply.fatal is not None
