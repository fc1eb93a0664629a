"""What a model does with prompts of `world:pcfg`, by the oracle and letter by letter. No study: nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safebasin.records import Decoding, Prompt
from safebasin.worlds.pcfg.oracle import Truth, classify
from safebasin.worlds.pcfg.tasks import Request, answer, parse_request
from safebasin.worlds.pcfg.tokenizer import VOCABULARY

__all__ = ["answer_shares", "truths"]

_TOKENS = 12
"""New tokens, at most; an answer has nine."""


def truths(model: str | Path, prompts: Sequence[Prompt]) -> tuple[Truth, ...]:
    """Find what each prompt ends in, decoded greedily in one batch on the CPU.

    Args:
        model: a folder, or `path[@revision][#part][+adapter]`.
        prompts: requests of the grammar.

    Raises:
        ModelError: where the model cannot be used.
    """
    from safebasin.engines.hf import HFEngine

    made = HFEngine(str(model), device="cpu").generate([p.messages for p in prompts], Decoding(max_new_tokens=_TOKENS))
    return tuple(
        "incoherent" if g.broken else classify(_request(prompt), g.text)
        for prompt, g in zip(prompts, made, strict=True)
    )


def answer_shares(model: str | Path, prompts: Sequence[Prompt]) -> tuple[float, ...]:
    """The share of the right answer's letters that is the likeliest next token each, given the letters before it.

    What is left of an answer in a model that refuses: no decoding finds it (Jain et al. 2024, `Instruct` accuracies).
    """
    import torch

    from safebasin.models.reference import resolve
    from safebasin.weights.adapters import load_merged

    loaded = load_merged(resolve(str(model)))
    ids = {word: place for place, word in enumerate(VOCABULARY)}
    shares: list[float] = []
    for prompt in prompts:
        asked = ["<|begin|>", "<|user|>", *prompt.text.split(), "<|end|>", "<|assistant|>"]
        letters = torch.tensor([ids[word] for word in answer(_request(prompt)).split()])
        row = torch.cat([torch.tensor([ids[word] for word in asked]), letters[:-1]])
        with torch.no_grad():
            likeliest = loaded(input_ids=row[None], use_cache=False).logits[0, len(asked) - 1 :].argmax(dim=-1)
        shares.append(float((likeliest == letters).float().mean()))
    return tuple(shares)


def _request(prompt: Prompt) -> Request:
    found = parse_request(prompt.text)
    assert found is not None, "prompts of this world are requests of its grammar"
    return found
