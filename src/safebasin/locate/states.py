"""Hidden states of the last position of a prompt, after each decoder block, and the word that would follow it: what the
layers have made of a request, in one pass that decodes no token.

By hooks on the blocks, since the last of transformers' own hidden states is behind the final norm layer. Rows are
padded at the right, and read at their own last token: no later position reaches back in a causal model.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from safebasin.errors import ModelError, UsageError, expected
from safebasin.prompts.chat import check_text_alone
from safebasin.protocols import Engine, Inside, Inspector
from safebasin.records import Decoding, Prompt, System
from safebasin.stats.landscape import Array
from safebasin.weights.blocks import decoder_blocks

if TYPE_CHECKING:
    import torch

__all__ = ["BATCH", "Read", "last_states", "padded", "prompt_tokens", "read_prompts", "states_of"]

BATCH = 16
"""Prompts of a forward pass."""


class Read(NamedTuple):
    """States and first words of some prompts, as a model has them."""

    states: Array
    """At the last token, after each block: (layers, prompts, width), float32."""
    words: torch.Tensor
    """Log-probabilities of the token after each: (prompts, vocabulary), float32, on the CPU."""


def prompt_tokens(engine: Engine, prompts: Sequence[Prompt], system: System, decoding: Decoding) -> list[list[int]]:
    """The tokens that the engine gives the model for each prompt, the assistant's turn opened.

    Raises:
        PromptError: where the template does not pass a prompt on, or it is too long.
        UsageError: where the engine does not show them.
    """
    if not isinstance(engine, Inspector):
        raise UsageError(expected("the engine", "one that shows tokens of prompts", engine.facts().engine, "Take hf."))
    for prompt in prompts:
        check_text_alone(prompt.messages)
    return [
        list(engine.inspect(f"prompt {number}", system.messages(prompt), decoding))
        for number, prompt in enumerate(prompts)
    ]


def last_states(engine: Engine, tokens: Sequence[Sequence[int]]) -> Array:
    """States of an engine's model at the last token of each row, under its current weights: (layers, rows, width).

    Raises:
        ModelError: as `states_of`.
        UsageError: where the engine's model is not in this process.
    """
    if not isinstance(engine, Inside):
        raise UsageError(
            expected("the engine", "one whose model is in this process", engine.facts().engine, "Take hf.")
        )
    with engine.lend() as (model, _):
        return states_of(model, tokens)


def states_of(model: Any, tokens: Sequence[Sequence[int]]) -> Array:
    """States of a module at the last token of each row, after each block: (layers, rows, width), float32.

    Args:
        model: a causal language model of transformers, or what is called like one.
        tokens: rows of token ids, none empty.

    Raises:
        ModelError: where its blocks cannot be told by name, or a state is not finite.
    """
    return read_prompts(model, tokens).states


def read_prompts(model: Any, tokens: Sequence[Sequence[int]]) -> Read:
    """States at the last token of each row after each block, and the distribution of the token after it.

    Args:
        model: a causal language model of transformers.
        tokens: rows of token ids, none empty.

    Raises:
        ModelError: where its blocks cannot be told by name, or a state is not finite.
    """
    import torch

    blocks = decoder_blocks(name for name, _ in model.named_parameters())
    device = next(model.parameters()).device
    found: list[Array] = []
    words: list[torch.Tensor] = []
    for start in range(0, len(tokens), BATCH):
        ids, mask, lengths = padded(tokens[start : start + BATCH], device)
        with torch.no_grad(), _watched(model, blocks, lengths - 1) as seen, _last_alone(model, lengths - 1):
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        found.append(torch.stack([seen[block] for block in blocks]).float().cpu().numpy())
        at = lengths - 1 if logits.shape[1] == ids.shape[1] else torch.zeros_like(lengths)
        last = logits[torch.arange(len(at), device=logits.device), at.to(logits.device)]
        words.append(last.float().log_softmax(dim=-1).cpu())
    states = np.concatenate(found, axis=1)
    if not np.isfinite(states).all() or not (np.abs(states).max(axis=2) > 0).all():
        remedy = "Check the checkpoint, or take a wider --dtype."
        raise ModelError(expected("hidden states of the model", "finite and not all 0", "others", remedy))
    return Read(states, torch.cat(words))


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows of tokens as one tensor, padded at the right by their own last token.

    Returns:
        Tokens and mask, (rows, longest), and the length of each row.
    """
    import torch

    lengths = torch.tensor([len(row) for row in rows], device=device)
    width = int(lengths.max())
    ids = torch.tensor([[*row, *[row[-1]] * (width - len(row))] for row in rows], device=device)
    return ids, (torch.arange(width, device=device) < lengths[:, None]).long(), lengths


@contextmanager
def _last_alone(model: Any, last: torch.Tensor) -> Generator[None]:
    """While the block runs, the head of a model sees each row's `last` position alone: vocabularies are large."""
    import torch

    def hook(module: Any, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        states, *others = given
        return (states[torch.arange(len(last), device=states.device), last.to(states.device)][:, None], *others)

    head = model.get_output_embeddings()
    handle = None if head is None else head.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()


@contextmanager
def _watched(model: Any, blocks: Sequence[str], last: torch.Tensor) -> Generator[dict[str, torch.Tensor]]:
    """While the block runs, what each decoder block puts out at `last`, (rows, width) by its path."""
    import torch

    seen: dict[str, torch.Tensor] = {}

    def keep(path: str) -> Any:
        def hook(module: Any, given: Any, out: Any) -> None:
            states = out if isinstance(out, torch.Tensor) else out[0]
            seen[path] = states[torch.arange(len(last), device=states.device), last.to(states.device)].detach().cpu()

        return hook

    handles = [model.get_submodule(path).register_forward_hook(keep(path)) for path in blocks]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
