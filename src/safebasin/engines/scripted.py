"""A fake engine with scripted replies and real weights, for tests of plugins and of whatever runs an engine.

Not a language model: what it says is a function of the prompt and of the distance to θ₀. Directions, points and
streams act on a real (tiny) module, and the stop rules are those of the reference engine, with words for tokens.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

import torch
from torch import nn

from safebasin.engines.rules import stop_rules
from safebasin.engines.stopping import LoopWatch, RefusalWatch, Rows
from safebasin.errors import UsageError, expected
from safebasin.prompts.reasoning import THINKING_MARKERS, Split, split_thinking
from safebasin.prompts.references import load_references
from safebasin.protocols import BaseWeights, Generation, TokenScores, WeightBlock
from safebasin.records import Decoding, Message, Point, content_hash
from safebasin.weights.base import HostWeights
from safebasin.weights.stream import apply, digest, weights_at

__all__ = ["Reply", "ScriptedEngine", "refuse_nearby"]

Reply = Callable[[str, float], str]
"""(text of the last user turn, ‖θ − θ₀‖ / ‖θ₀‖) → what the model says."""

_WORD = re.compile(r"\s*\S+|\s+$")
_VOCABULARY = 12


def refuse_nearby(prompt: str, distance: float) -> str:
    """Refuse close to θ₀, comply farther out, and fall apart at the rim: a basin of radius 0.3."""
    if distance < 0.3:
        return "I'm sorry, but the guild does not share this."
    if distance < 1.0:
        return f"Certainly. Here is what the guild knows about it: {prompt}"
    return "#~ ;; %4 " * 12


class ScriptedEngine:
    """An `Engine` that needs no model and no transformers.

    Args:
        reply: what is said where; `<think>…</think>` in it is split off as reasoning.
        surprise: NLL in nats of each word when it is scored; by default 0.3 for words and 5 for anything else.
        largest_batch: a larger batch raises `MemoryError`, as a device that is full would.
        seed: of the module's weights.
    """

    def __init__(
        self,
        reply: Reply = refuse_nearby,
        *,
        surprise: Callable[[str], float] | None = None,
        largest_batch: int | None = None,
        seed: int = 0,
    ) -> None:
        self._reply = reply
        self._surprise = surprise or _surprise
        self._largest = largest_batch
        self._module = _module(seed)
        self._base = HostWeights(self._module)
        self._distance = 0.0
        self.calls: list[tuple[str, int]] = []
        """(`generate` or `score`, rows) of every call so far."""

    @property
    def base(self) -> BaseWeights:
        """θ₀ of the tiny module."""
        return self._base

    @property
    def distance(self) -> float:
        """‖θ − θ₀‖ / ‖θ₀‖ of the current weights."""
        return self._distance

    def describe(self) -> Mapping[str, object]:
        """Fingerprint of the weights and what the protocol asks for."""
        return {
            "engine": "scripted",
            "fingerprint": digest(weights_at(self._base, Point(), {})),
            "dtype": "float32",
            "device": "cpu",
            "template_hash": content_hash("scripted"),
        }

    def suggest_batch_size(self, n_prompts: int, max_new_tokens: int) -> int:
        """As many as there are prompts, at most 8."""
        return max(1, min(n_prompts, 8))

    def set_weights(self, stream: Iterable[WeightBlock]) -> None:
        """Overwrite parameters of the module, and measure how far from θ₀ they now are."""
        apply(stream, self._module)
        moved = whole = 0.0
        for name, parameter in self._module.named_parameters():
            origin = self._base.rows(name, 0, parameter.shape[0]).double()
            moved += float((parameter.detach().double() - origin).square().sum())
            whole += float(origin.square().sum())
        self._distance = math.sqrt(moved / whole)

    def generate(self, conversations: Sequence[Sequence[Message]], decoding: Decoding) -> list[Generation]:
        """Say what the script says, word by word, under the decoding's limit and stop rule."""
        if decoding.defenses:
            remedy = "Take the engine hf."
            raise UsageError(expected("defenses", "none for an engine without a module", decoding.defenses, remedy))
        self._count("generate", len(conversations))
        if not conversations:
            return []
        said = [_WORD.findall(self._reply(_asked(c), self._distance)) for c in conversations]
        words = sorted({word for text in said for word in text})
        number = {word: i for i, word in enumerate(words)}

        def split(ids: Sequence[int]) -> Split:
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
        self._count("score", len(texts))
        found: list[TokenScores] = []
        for text in texts:
            words = list(_WORD.finditer(text))
            nll = _known(text, len(words)) or tuple(self._surprise(word[0].strip()) for word in words)
            found.append(TokenScores(nll=nll, ends=tuple(word.end() for word in words)))
        return found

    @property
    def n_context(self) -> int | None:
        """No limit."""
        return None

    @property
    def bos_id(self) -> int | None:
        """None."""
        return None

    def encode(self, text: str) -> list[int]:
        """One of twelve tokens for each word."""
        return [zlib.crc32(word.strip().encode()) % _VOCABULARY for word in _WORD.findall(text)]

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        """What the tiny module says after each token, from that token alone."""
        with torch.inference_mode():
            return self._module(torch.tensor(list(ids)))

    def _count(self, what: str, rows: int) -> None:
        self.calls.append((what, rows))
        if self._largest is not None and rows > self._largest:
            raise MemoryError(f"{rows} rows where {self._largest} fit")


def _module(seed: int) -> nn.Module:
    """Embedding, linear layer and norm: enough for every kind of direction to act on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Embedding(_VOCABULARY, 8), nn.LayerNorm(8), nn.Linear(8, _VOCABULARY))
    return module.requires_grad_(requires_grad=False)


def _asked(conversation: Sequence[Message]) -> str:
    return next((m.content for m in reversed(conversation) if m.role == "user"), "")


@cache
def _reference_words() -> dict[tuple[str, ...], str]:
    return {tuple(sorted(row.response.split())): row.response for row in load_references()[1]}


def _known(text: str, n: int) -> tuple[float, ...]:
    """The scripted model speaks ordinary language: reference answers are likely, and their words shuffled are not."""
    reference = _reference_words().get(tuple(sorted(text.split())))
    return () if reference is None else (1.0 if reference == text else 4.0,) * n


def _surprise(word: str) -> float:
    return 0.3 if re.fullmatch(r"[\w'’]+[.,:;!?]*", word) and not word[0].isdigit() else 5.0
