"""A model's own refusals, decoded greedily by the model itself. Not a judge: what counts as one is passed in.

Plain `generate` of transformers: a handful of prompts, once. The engine's loop is for landscapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from safebasin import catalog
from safebasin.models.loading import n_embeddings
from safebasin.models.tokens import end_ids, padding
from safebasin.models.vocabulary import check_ids
from safebasin.prompts.chat import Tokenizer, encode
from safebasin.protocols import Judge
from safebasin.records import Message, Prompt, Response, Scalar

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["OwnRefusal", "by_judge", "own_refusals", "predicate"]


_UNASKED = Prompt(messages=(Message(role="user", content=""),))
"""What a judge of refusals is told of the prompt: it reads the response."""


class OwnRefusal(NamedTuple):
    """A conversation that the model refuses, and how it does."""

    place: int
    """Place of the conversation among those given."""
    prompt: tuple[int, ...]
    """Tokens of the rendered conversation, the assistant's turn opened."""
    response: tuple[int, ...]
    """Tokens of the refusal, without the end-of-sequence token."""


def predicate(refuses: Callable[[str], bool] | Sequence[str]) -> Callable[[str], bool]:
    """Make a predicate of refusals: as given, or from phrases any of which occurs anywhere (case-sensitive)."""
    if callable(refuses):
        return refuses
    phrases = tuple(refuses)
    return lambda text: any(phrase in text for phrase in phrases)


def by_judge(name: str) -> Callable[[str], bool]:
    """Make a predicate of refusals of a judge of the catalogue: its label is `refusal`.

    Raises:
        UnknownName: where there is no such judge.
    """
    judge = cast("Judge", catalog.create("judge", name))

    def refuses(text: str) -> bool:
        response = Response(
            point="", prompt=_UNASKED.id, system="default", decoding="", text=text, n_tokens=0, finish_reason="stop"
        )
        return judge.judge(_UNASKED, response, None).label == "refusal"

    return refuses


def own_refusals(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[Sequence[Message]],
    refuses: Callable[[str], bool],
    *,
    max_new_tokens: int,
    template_args: Iterable[tuple[str, Scalar]] = (),
) -> tuple[OwnRefusal, ...]:
    """Find the conversations that the model refuses, in order, each with the tokens of its refusal.

    Raises:
        ModelError, PromptError: as `safebasin.prompts.chat.encode`, or for tokens beyond the embedding.
    """
    chat = cast("Tokenizer", tokenizer)
    arguments = tuple(template_args)
    prompts = [encode(chat, conversation, template_args=arguments) for conversation in conversations]
    for i, ids in enumerate(prompts):
        check_ids(ids, n_embeddings(model), len(tokenizer), where=f"prompt {i}")
    found: list[OwnRefusal] = []
    for i, response in enumerate(_greedy(model, tokenizer, prompts, max_new_tokens)):
        if response and refuses(str(tokenizer.decode(list(response), skip_special_tokens=True))):
            found.append(OwnRefusal(i, tuple(prompts[i]), response))
    return tuple(found)


def _greedy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Sequence[int]], max_new_tokens: int
) -> list[tuple[int, ...]]:
    """New tokens of one left-padded batch, each row up to its end-of-sequence token."""
    import torch
    from transformers import GenerationConfig

    if not prompts:
        return []
    ends = end_ids(model.generation_config, tokenizer)
    pad = padding(tokenizer.pad_token_id, n_embeddings(model), ends)
    width = max(len(ids) for ids in prompts)
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts], device=model.device)
    settings = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=pad, eos_token_id=list(ends) or None
    )
    with torch.no_grad():
        out = cast("Any", model).generate(input_ids=ids, attention_mask=mask, generation_config=settings)
    return [_until(row, ends) for row in out[:, width:].tolist()]


def _until(row: Sequence[int], ends: Sequence[int]) -> tuple[int, ...]:
    stop = next((i for i, token in enumerate(row) if token in ends), len(row))
    return tuple(row[:stop])
