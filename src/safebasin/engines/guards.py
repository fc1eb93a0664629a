"""Inference defenses around the module while a batch is decoded: bound and installed. What they do is theirs."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from safebasin.protocols import Guard, LiveBatch
from safebasin.records import Decoding
from safebasin.study.defenses import find_defense

__all__ = ["Guards"]


class Guards:
    """The defenses of decodings, each bound to one module until its weights move.

    Args:
        model: the module.
        tokenizer: of the model.
    """

    def __init__(self, model: nn.Module, tokenizer: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._bound: dict[str, Guard | None] = {}

    def forget(self) -> None:
        """The weights have moved: what a defense measured of them holds no more."""
        self._bound.clear()

    @contextmanager
    def installed(self, decoding: Decoding, ids: torch.Tensor, mask: torch.Tensor) -> Generator[LiveBatch | None]:
        """Install the defenses of a decoding, the first one innermost, for the batch that is decoded in the block.

        Args:
            decoding: names them; None comes back where it names none of a strength above 0: those change no bit, so
                that rows are decoded as without them.
            ids: (rows, width), the prompts, padded at the left.
            mask: (rows, width), 1 where a token is real.

        Raises:
            UnknownName: where one is not in the catalogue, or is another version of it.
        """
        guards = [guard for key in decoding.defenses if (guard := self._guard(key)) is not None]
        if not guards:
            yield None
            return
        batch = LiveBatch(ids=ids, mask=mask, alive=range(len(ids)))
        with ExitStack() as stack, torch.inference_mode():
            for guard in guards:
                stack.enter_context(guard.installed(batch))
            yield batch

    def _guard(self, key: str) -> Guard | None:
        if key not in self._bound:
            defense = find_defense(key)
            self._bound[key] = defense.guard(self._model, self._tokenizer) if defense.strength else None
        return self._bound[key]
