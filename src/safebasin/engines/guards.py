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
        self._bound: dict[str, Guard] = {}

    def forget(self) -> None:
        """The weights have moved: what a defense measured of them holds no more."""
        self._bound.clear()

    @contextmanager
    def installed(self, decoding: Decoding, ids: torch.Tensor, mask: torch.Tensor) -> Generator[LiveBatch | None]:
        """Install the defenses of a decoding, the first one innermost, for the batch that is decoded in the block.

        Args:
            decoding: names them; None comes back where it names none.
            ids: (rows, width), the prompts, padded at the left.
            mask: (rows, width), 1 where a token is real.

        Raises:
            UnknownName: where one is not in the catalogue, or is another version of it.
        """
        if not decoding.defenses:
            yield None
            return
        batch = LiveBatch(ids=ids, mask=mask, alive=range(len(ids)))
        with ExitStack() as stack, torch.inference_mode():
            for key in decoding.defenses:
                stack.enter_context(self._guard(key).installed(batch))
            yield batch

    def _guard(self, key: str) -> Guard:
        if key not in self._bound:
            self._bound[key] = find_defense(key).guard(self._model, self._tokenizer)
        return self._bound[key]
