"""SCANS bound to a module: what is measured of it, what prompts are taken for, what is added to its blocks."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from safebasin.errors import PromptError, StudyError, expected
from safebasin.models.tokens import context_length
from safebasin.prompts.chat import Tokenizer, encode
from safebasin.protocols import LiveBatch
from safebasin.records import Prompt
from safebasin.steering.labelled import Labelled
from safebasin.steering.residual import adding, last_states, padded
from safebasin.steering.settings import Settings
from safebasin.steering.thresholds import best_threshold
from safebasin.weights.blocks import block_modules

__all__ = ["Anchored", "Nothing", "Steered", "bind"]


class Nothing:
    """The guard of strength 0."""

    def installed(self, batch: LiveBatch) -> AbstractContextManager[None]:
        """Does nothing."""
        return nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchored:
    """The measures of a module by its anchors under its current weights, float32."""

    vectors: torch.Tensor
    """v: what is added at strength 1, (blocks, width of the model)."""
    harmful: torch.Tensor
    """d_harm: mean transition of harmful anchors, (blocks, width of the model)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads prompts with the word behind them: the second of the two passes."""

    model: nn.Module
    tokenizer: Any
    word: tuple[int, ...]
    """Tokens of the appended word."""
    scored: range
    """Blocks whose transitions count."""
    normed: bool

    def states(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """States at the end of the prompts and at the end of the word, (rows, 2, blocks, width of the model).

        Raises:
            PromptError: where the context has no room for the word.
        """
        n = len(self.word)
        most = context_length(cast("Any", self.model).config, self.tokenizer)
        if most is not None and ids.shape[1] + n > most:
            constraint = f"one that leaves room for {n} tokens more in the context of {most}"
            remedy = "Leave it out, or shorten it: scans reads it with a word behind it."
            raise PromptError(expected("the longest prompt", constraint, f"{ids.shape[1]} tokens", remedy))
        words = torch.tensor(self.word, device=ids.device).expand(len(ids), n)
        wide, seen = torch.cat([ids, words], dim=1), torch.cat([mask, torch.ones_like(words)], dim=1)
        return last_states(self.model, wide, seen, columns=(-1 - n, -1), normed=self.normed)

    def of_prompts(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        """The same of prompts without a system turn of the study, as their template renders them."""
        chat = cast("Tokenizer", self.tokenizer)
        device = next(self.model.parameters()).device
        return self.states(*padded([encode(chat, prompt.messages) for prompt in prompts], device))

    def scores(self, states: torch.Tensor, harmful: torch.Tensor) -> torch.Tensor:
        """s: mean over the scored blocks of cos(a_p − a_e, d_harm), (rows,)."""
        blocks = list(self.scored)
        moved = (states[:, 0] - states[:, 1])[:, blocks]
        return torch.cosine_similarity(moved, harmful[blocks], dim=-1).mean(dim=-1)


@dataclass(frozen=True, kw_only=True)
class Steered:
    """The guard."""

    settings: Settings
    reader: Reader
    blocks: tuple[nn.Module, ...]
    layers: range
    measured: Anchored
    threshold: float | None
    """T; None where no score decides."""
    known: tuple[tuple[str, float], ...] = ()
    """For an oracle: texts without blanks, the longest first, each with its sign."""

    def signs(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """σ of each row: +1 towards refusal, −1 away from it, (rows,).

        Raises:
            StudyError: where an oracle does not know a prompt.
        """
        if self.settings.sign == "oracle":
            return torch.tensor([self._told(row, real) for row, real in zip(ids, mask, strict=True)])
        if self.threshold is None:
            return torch.full((len(ids),), 1.0 if self.settings.sign == "harmful" else -1.0)
        scores = self.reader.scores(self.reader.states(ids, mask), self.measured.harmful)
        return torch.where(scores >= self.threshold, 1.0, -1.0)

    @contextmanager
    def installed(self, batch: LiveBatch) -> Generator[None]:
        """Add σ·α·v to the layers' output, from the last token of the prompt on."""
        signs, last = self.signs(batch.ids, batch.mask), batch.ids.shape[1] - 1

        def adder(vector: torch.Tensor) -> Any:
            def add(state: torch.Tensor) -> torch.Tensor:
                now = signs[list(batch.alive)].to(state.device)
                moved = (now[:, None, None] * vector.to(state.device)).to(state.dtype)
                if state.shape[1] == 1:  # a token that was decoded
                    return state + moved
                return torch.cat([state[:, :last], state[:, last:] + moved], dim=1)

            return add

        moves = self.settings.strength * self.measured.vectors
        with adding(self.blocks, {layer: adder(moves[layer]) for layer in self.layers}):
            yield

    def _told(self, row: torch.Tensor, real: torch.Tensor) -> float:
        text = _squeezed(self.reader.tokenizer.decode(row[real.bool()], skip_special_tokens=True))
        for known, sign in self.known:
            if known in text:
                return sign
        remedy = "Give the sets that hold it with truth=SOURCE|SOURCE."
        raise StudyError(expected("a prompt under sign=oracle", "one of its truth", text[-60:], remedy))


def bind(settings: Settings, model: nn.Module, tokenizer: Any) -> Steered:
    """Measure vectors, reference and threshold of a module.

    Raises:
        ModelError: where its blocks cannot be told.
        StudyError: where layers are not within it, or the word has no tokens.
    """
    blocks = block_modules(model)
    layers, scored = _within(settings, len(blocks))
    word = tuple(tokenizer.encode(settings.word, add_special_tokens=False))
    if not word:
        raise StudyError(expected("word of scans", "one that this tokenizer knows", settings.word, "Give another."))
    reader = Reader(model=model, tokenizer=tokenizer, word=word, scored=scored, normed=settings.variant == "as_coded")
    measured = measure(settings, reader)
    threshold = settings.threshold
    if settings.sign == "score" and threshold is None:
        assert settings.chosen is not None
        threshold = _choose(reader, measured, settings.chosen)
    return Steered(
        settings=settings,
        reader=reader,
        blocks=blocks,
        layers=layers,
        measured=measured,
        threshold=threshold if settings.sign == "score" else None,
        known=_known(settings.truth) if settings.truth else (),
    )


def measure(settings: Settings, reader: Reader) -> Anchored:
    """Vectors and reference of the anchors: v = mean harmful − mean benign at the end of the prompt, of unit length as
    coded; d_harm the mean of a_p − a_e over the harmful ones.
    """
    harmful, benign = (reader.of_prompts(p) for p in (settings.anchors.harmful, settings.anchors.benign))
    vectors = harmful[:, 0].mean(dim=0) - benign[:, 0].mean(dim=0)
    if settings.variant == "as_coded":
        vectors = _unit(vectors)
    if settings.vector == "random":
        drawn = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(settings.seed))
        vectors = _unit(drawn).to(vectors.device) * vectors.norm(dim=-1, keepdim=True)
    return Anchored(vectors=vectors, harmful=(harmful[:, 0] - harmful[:, 1]).mean(dim=0))


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    """Rows of length 1; a row of zeros stays."""
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(vectors.dtype).tiny)


def _choose(reader: Reader, measured: Anchored, chosen: Labelled) -> float:
    """T on prompts of another split than those that are asked."""
    harmful, benign = (
        reader.scores(reader.of_prompts(prompts), measured.harmful).tolist()
        for prompts in (chosen.harmful, chosen.benign)
    )
    return best_threshold(harmful, benign)


def _within(settings: Settings, n: int) -> tuple[range, range]:
    """The layers that are steered, and those that are scored: from the first of these to the last block."""
    first, last = settings.layers or (n // 3, max(2 * n // 3 - 1, n // 3))
    begin, end = settings.scored or (min(first, n - 1), n - 1)
    for what, one in (("layers", last), ("scored", end)):
        if one >= n:
            remedy = f"The model has the layers 0 to {n - 1}."
            raise StudyError(expected(f"{what} of scans", "layers of this model", one, remedy))
    return range(first, last + 1), range(begin, end + 1)


def _known(truth: Labelled) -> tuple[tuple[str, float], ...]:
    """Texts with their signs, the longest first: a prompt may hold another.

    Raises:
        StudyError: where a text is both.
    """
    signs = {_squeezed(prompt.text): -1.0 for prompt in truth.benign}
    for prompt in truth.harmful:
        text = _squeezed(prompt.text)
        if text in signs and signs[text] < 0:
            raise StudyError(expected("truth of scans", "one label a text", prompt.name, "Leave one of both out."))
        signs[text] = 1.0
    return tuple(sorted(signs.items(), key=lambda pair: -len(pair[0])))


def _squeezed(text: str) -> str:
    return "".join(text.split())
