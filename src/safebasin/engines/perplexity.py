"""How well the model at a point still reads: perplexity of a plain text, and divergence of its next-token law from θ₀.

Not a benchmark of skill (`tasks` runs those), nor how surprising a response is to θ₀ (`Engine.score`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import torch

from safebasin import untrusted
from safebasin.engines.scoring import text_logits
from safebasin.errors import ModelError, StudyError, expected
from safebasin.models.loading import n_embeddings
from safebasin.models.tokens import begin_id, context_length
from safebasin.models.vocabulary import check_ids
from safebasin.protocols import Engine, Inside

__all__ = ["LARGEST_BASE", "WINDOW", "TextReader", "TextReading", "read_text"]

_log = logging.getLogger(__name__)

WINDOW = 512
"""The most tokens of one window, and of the context that a token is predicted from."""

LARGEST_BASE = 2 * 2**30
"""Bytes of log-probabilities of θ₀ that one text may hold: tokens × vocabulary × 4."""

_ROWS = 64
"""Positions compared at once: what several arrays of this height take stays in the cache of a processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextReading:
    """One text under one set of weights. All None where the model is broken there; `broken` says how."""

    nll: float | None
    """Mean −ln p of the tokens, in nats, ≥ 0."""
    kl: float | None
    """KL(p_θ₀ ‖ p_θ) of the next token, mean over positions, in nats, ≥ 0; exactly 0 at θ₀."""
    agreement: float | None
    """Share of positions at which the likeliest next token is that of θ₀, in [0, 1]."""
    n_tokens: int
    """Tokens predicted."""
    broken: str = ""

    @property
    def perplexity(self) -> float | None:
        """exp(nll), ≥ 1; None where nll is None or too large for a float."""
        return None if self.nll is None or self.nll > math.log(1e308) else math.exp(self.nll)


def read_text(path: str | Path) -> str:
    """The text of a plain UTF-8 file (a byte-order mark is dropped).

    Raises:
        StudyError: where it is missing, a folder, not UTF-8, or holds nothing but white space.
    """
    file = untrusted.user_path(path)
    what, shown = "text", str(path)
    text = untrusted.read_text(file, what, error=StudyError)
    if not text.strip():
        raise StudyError(expected(what, "a file with text in it", shown, "Give a text of some hundred words."))
    return text


class _Window(NamedTuple):
    """Consecutive tokens: each but the first is predicted from those before it in the window."""

    ids: list[int]
    base: torch.Tensor
    """ln p_θ₀ after each token but the last, (len(ids) − 1, vocabulary), float32, in host memory."""
    top: torch.Tensor
    """The likeliest token under θ₀ after each token but the last, (len(ids) − 1,), int64, in host memory."""


class TextReader:
    """Reads one text under whatever weights the engine has, and compares with those it has now: make it at θ₀.

    The text is tokenized once, without special tokens, and cut into windows of at most min(context, `WINDOW`) tokens.
    Every window begins with the beginning-of-sequence token where the tokenizer puts one, else with the last token of
    the window before, so that each token (but, without such a token, the first of all) is predicted exactly once.

    Args:
        engine: at θ₀; must be `safebasin.protocols.Inside` too.
        text: plain text of at least two tokens.
        name: of the text, for messages.
        max_tokens: the most tokens that are read, ≥ 2; a warning is logged where this leaves some out.

    Raises:
        PromptError: where it has tokens beyond the embedding.
        StudyError: where the text is too short, or the log-probabilities of θ₀ take more than `LARGEST_BASE`.
        ModelError: where the engine's model is not at hand, or θ₀ gives NaN or no finite loss on it.
        MemoryError: where a window does not fit on the device.
    """

    def __init__(self, engine: Engine, text: str, *, name: str = "text", max_tokens: int = 2048) -> None:
        if not isinstance(engine, Inside):
            constraint, kind = "one whose model is in this process where texts are to be read", type(engine).__name__
            raise ModelError(expected("engine", constraint, kind, "Leave out the texts."))
        self._engine = engine
        self.name = name
        with engine.lend() as (model, tokenizer):
            ids = cast("list[int]", tokenizer.encode(text, add_special_tokens=False, verbose=False))
            limit, first, n_rows = context_length(model.config, tokenizer), begin_id(tokenizer), n_embeddings(model)
            n_tokens = len(tokenizer)
        self.n_left_out = max(len(ids) - max_tokens, 0)
        """Tokens of the text beyond `max_tokens`."""
        if self.n_left_out:
            _log.warning("text %r: the first %d of its %d tokens are read", name, max_tokens, len(ids))
        ids = ids[:max_tokens]
        if len(ids) < 2:
            raise StudyError(
                expected(f"text {name!r}", "at least two tokens long", text[:40], "Give a text of some hundred words.")
            )
        parts = _windows(ids, bos=first, width=min(limit or WINDOW, WINDOW))
        for part in parts:
            check_ids(part, n_rows, n_tokens, where="text")
        self.n_tokens = sum(len(part) - 1 for part in parts)
        """Tokens that are predicted."""
        bases = [self._base(part) for part in parts]
        self._windows = [_Window(part, b, b.argmax(dim=-1)) for part, b in zip(parts, bases, strict=True)]
        origin = self.measure()
        if origin.broken:
            raise ModelError(expected("model", f"able to read {name!r} at θ₀", origin.broken, "Check the checkpoint."))

    def measure(self) -> TextReading:
        """Read the text under the engine's current weights.

        KL is Σ p·(r − 1 − ln r) with r = q/p: no term is below 0 but by rounding, and a common error of ln q cancels,
        where Σ p·ln(p/q) would leave it. So float32 is enough; sums over positions are float64.

        Raises:
            MemoryError: where a window does not fit on the device.
        """
        nll = kl = same = 0.0
        for window in self._windows:
            logits = self._logits(window.ids)
            if not bool(torch.isfinite(logits.amax(dim=-1)).all()):
                return self._broken("nan or inf logits")
            logp = torch.log_softmax(logits, dim=-1)
            targets = torch.tensor(window.ids[1:], device=logp.device)
            nll -= float(logp.gather(-1, targets[:, None]).double().sum())
            same += float((window.top.to(logp.device) == logp.argmax(dim=-1)).sum())
            for base, now in zip(window.base.split(_ROWS), logp.split(_ROWS), strict=True):
                kl += float(_divergence(base.to(logp.device), now).double().sum())
        if not math.isfinite(nll + kl):
            return self._broken("a token of probability 0")
        n = self.n_tokens
        return TextReading(nll=nll / n, kl=max(kl, 0.0) / n, agreement=same / n, n_tokens=n)

    def _base(self, ids: Sequence[int]) -> torch.Tensor:
        logits = self._logits(ids)
        size = self.n_tokens * logits.shape[1] * 4
        if size > LARGEST_BASE:
            most = LARGEST_BASE // (logits.shape[1] * 4)
            constraint = f"short enough that its log-probabilities stay within {LARGEST_BASE / 2**30:.3g} GiB"
            remedy = f"Lower max_tokens to {most} for this vocabulary of {logits.shape[1]}."
            raise StudyError(expected(f"text {self.name!r}", constraint, f"{self.n_tokens} tokens", remedy))
        return torch.log_softmax(logits, dim=-1).cpu()

    def _logits(self, ids: Sequence[int]) -> torch.Tensor:
        """Next-token logits after each of `ids` but the last, (len(ids) − 1, vocabulary), float32, where the model is.

        The model's own: no repetition penalty, no suppressed tokens.
        """
        with self._engine.lend() as (model, _):
            return text_logits(model, ids)[:-1]

    def _broken(self, reason: str) -> TextReading:
        return TextReading(nll=None, kl=None, agreement=None, n_tokens=self.n_tokens, broken=reason)


def _windows(ids: Sequence[int], *, bos: int | None, width: int) -> list[list[int]]:
    """Windows of at most `width` tokens, each with a first token that is context only."""
    head, rest = ([bos], list(ids)) if bos is not None else ([ids[0]], list(ids[1:]))
    step = max(width - 1, 1)
    parts: list[list[int]] = []
    for start in range(0, len(rest), step):
        if start and bos is None:
            head = [rest[start - 1]]
        parts.append([*head, *rest[start : start + step]])
    return parts


def _divergence(logp: torch.Tensor, logq: torch.Tensor) -> torch.Tensor:
    """KL(p ‖ q) of each row, in nats; both (rows, vocabulary). Tokens that neither law allows add nothing."""
    p, gap = logp.exp(), logq - logp
    small = p * (torch.expm1(gap) - gap)  # exact where the laws are near; overflows where they are far
    large = logq.exp() - p - p * gap
    terms = torch.where(gap.abs() < 1, small, large)
    return torch.where(p > 0, terms, logq.exp()).sum(dim=-1)
