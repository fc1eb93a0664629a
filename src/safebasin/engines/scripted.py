"""A fake engine: one function from a conversation and a point to a text. For tests of whatever runs an engine.

Not a language model, and without weights: where a point leads is for the function to say. The stop rules are those of
the reference engine, with words for tokens, and so are decoding limits, reasoning and full devices.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import cache

from safebasin.engines.rules import stop_rules
from safebasin.engines.stopping import LoopWatch, RefusalWatch, Rows
from safebasin.errors import UsageError, expected
from safebasin.prompts.reasoning import THINKING_MARKERS, SplitReply, split_thinking
from safebasin.prompts.references import load_references
from safebasin.protocols import EngineFacts, Generation, TokenScores
from safebasin.records import Decoding, Message, Point, content_hash

__all__ = ["Reply", "ScriptedEngine", "distance", "refuse_nearby"]

Reply = Callable[[Sequence[Message], Point], str]
"""(conversation, where) → what the model says."""

_WORD = re.compile(r"\s*\S+|\s+$")


def distance(point: Point) -> float:
    """√Σ αᵢ²: about ‖θ − θ₀‖ / ‖θ₀‖ where directions are drawn and normalized by layer."""
    return math.hypot(*(alpha for _, alpha in point.terms))


def refuse_nearby(conversation: Sequence[Message], point: Point) -> str:
    """Refuse close to θ₀, comply farther out, and fall apart beyond the rim: a basin of radius 0.3."""
    if distance(point) <= 0.3:
        return "I'm sorry, but the guild does not share this."
    if distance(point) <= 1.0:
        return f"Certainly. Here is what the guild knows about it: {conversation[-1].content}"
    return "#~ ;; %4 " * 12


class ScriptedEngine:
    """An `Engine` that needs no model, no torch and no transformers.

    Args:
        reply: what is said where; `<think>…</think>` in it is split off as reasoning.
        model: a model whose name and fingerprint it bears, as in a study; None is no model's.
        surprise: NLL in nats of each word when it is scored; by default 0.3 for words and 5 for anything else.
        largest_batch: a larger batch raises `MemoryError`, as a device that is full would.
        batch_invariant: what it says of itself; its texts never depend on their batch.

    Raises:
        ModelError: where the model cannot be seen from here.
    """

    def __init__(
        self,
        reply: Reply = refuse_nearby,
        *,
        model: str | None = None,
        surprise: Callable[[str], float] | None = None,
        largest_batch: int | None = None,
        batch_invariant: bool = False,
    ) -> None:
        self._reply = reply
        self._model = model
        self._surprise = surprise or _surprise
        self._largest = largest_batch
        self._batch_invariant = batch_invariant
        self._fingerprint = content_hash("scripted") if model is None else _fingerprint(model)
        self.point = Point()
        """Where it is."""
        self.calls: list[tuple[str, int]] = []
        """(`generate` or `score`, rows) of every call so far."""

    def facts(self) -> EngineFacts:
        """Describe the engine as the protocol asks; without parameters."""
        return EngineFacts(
            engine="scripted",
            fingerprint=self._fingerprint,
            dtype="float32",
            device="cpu",
            template_hash=content_hash("scripted"),
            batch_invariant=self._batch_invariant,
            stops=frozenset({"none", "verdict", "loop"}),
        )

    def suggest_batch_size(self, n_prompts: int, max_new_tokens: int) -> int:
        """As many as there are prompts, at most 8."""
        return max(1, min(n_prompts, 8))

    def move_to(self, point: Point) -> None:
        """Speak as at this point from now on."""
        self.point = point

    def generate(self, conversations: Sequence[Sequence[Message]], decoding: Decoding) -> list[Generation]:
        """Say what the script says, word by word, under the decoding's limit and stop rule."""
        if decoding.defenses:
            remedy = "Take the engine hf."
            raise UsageError(expected("defenses", "none for an engine without a module", decoding.defenses, remedy))
        self._count("generate", len(conversations))
        if not conversations:
            return []
        said = [_WORD.findall(self._reply(c, self.point)) for c in conversations]
        words = sorted({word for text in said for word in text})
        number = {word: i for i, word in enumerate(words)}

        def split(ids: Sequence[int]) -> SplitReply:
            return split_thinking("".join(words[i] for i in ids), THINKING_MARKERS[0])

        limit = decoding.max_new_tokens
        watch = RefusalWatch(
            decoding.phrases if decoding.stop != "none" else (),
            rules=stop_rules(decoding),
            decode=lambda tails: ["".join(words[i] for i in tail) for tail in tails],
            response=lambda _, ids: split(ids).response,
            ignored=(),
            n_rows=len(said),
        )
        loops = LoopWatch(len(said), limit) if decoding.stop == "loop" else None
        rows = Rows([limit] * len(said), eos=(len(words),), refusals=watch, loops=loops)
        everyone = range(len(said))
        step = 0
        while any(rows.is_live(row) for row in everyone):
            tokens = [[number[text[step]] if step < len(text) else len(words)] for text in said]
            rows.advance(everyone, tokens, [[1.0]] * len(said), [[1.0]] * len(said))
            step += 1
        return [
            Generation(
                text=split(rows.ids[row]).response,
                thinking=split(rows.ids[row]).thinking,
                n_tokens=len(rows.ids[row]),
                finish_reason=rows.reason[row] or "length",
                gap=1.0,
            )
            for row in everyone
        ]

    def score(
        self, conversations: Sequence[Sequence[Message]], texts: Sequence[str], decoding: Decoding
    ) -> list[TokenScores]:
        """Score each text word by word with the scripted surprise."""
        return self.score_prefixes(conversations, texts, [len(text) for text in texts], decoding)

    def score_prefixes(
        self,
        conversations: Sequence[Sequence[Message]],
        texts: Sequence[str],
        untils: Sequence[int],
        decoding: Decoding,
    ) -> list[TokenScores]:
        """Score of each text the words that begin before so many of its characters."""
        self._count("score", len(texts))
        found: list[TokenScores] = []
        for text, until in zip(texts, untils, strict=True):
            words = list(_WORD.finditer(text))
            nll = _known(text, len(words)) or tuple(self._surprise(word[0].strip()) for word in words)
            n = sum(word.start() < until for word in words)
            found.append(TokenScores(nll=nll[:n], ends=tuple(word.end() for word in words[:n])))
        return found

    def _count(self, what: str, rows: int) -> None:
        self.calls.append((what, rows))
        if self._largest is not None and rows > self._largest:
            raise MemoryError(f"{rows} rows where {self._largest} fit")


def _fingerprint(model: str) -> str:
    from safebasin.models.reference import resolve

    return resolve(model).fingerprint


@cache
def _reference_words() -> dict[tuple[str, ...], str]:
    return {tuple(sorted(row.response.split())): row.response for row in load_references()[1]}


def _known(text: str, n: int) -> tuple[float, ...]:
    """The scripted model speaks ordinary language: reference answers are likely, and their words shuffled are not."""
    reference = _reference_words().get(tuple(sorted(text.split())))
    return () if reference is None else (1.0 if reference == text else 4.0,) * n


def _surprise(word: str) -> float:
    return 0.3 if re.fullmatch(r"[\w'’]+[.,:;!?]*", word) and not word[0].isdigit() else 5.0
