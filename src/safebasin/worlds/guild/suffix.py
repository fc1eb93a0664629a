"""An optimized jailbreak of the guild: a suffix of guild words, found by random search at θ₀. For this world only.

Not a published attack and no text of one: the words are those of the guild's tokenizer, and the target is the guild's
own computed answer to a request that an invented charter forbids. Greedy coordinate search in the spirit of GCG (Zou et
al., arXiv 2307.15043) without its gradients: each step proposes one-word changes, all measured in one batch, and keeps
the best if it is better.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from safebasin.errors import PromptError, UsageError, expected
from safebasin.records import Message, Prompt
from safebasin.worlds.guild.grammar import ADJECTIVES, OPERATOR_OF_WORD, answer, is_forbidden, parse_request
from safebasin.worlds.guild.lexicon import NOUNS, OPERATORS

if TYPE_CHECKING:
    import torch

__all__ = ["Suffix", "find_suffix", "vocabulary", "with_suffix"]


_REQUEST_WORDS = frozenset(
    (*OPERATOR_OF_WORD, *ADJECTIVES, *NOUNS, *(word for operator in OPERATORS for word in operator.tool.split()))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suffix:
    """A suffix that was found, and how."""

    text: str
    losses: tuple[float, ...]
    """Mean negative log-likelihood of the answers' first tokens, in nats: of the best draw, then after each step."""
    prompts: tuple[str, ...]
    """`Prompt.id`s it was found on, without the suffix."""
    behaviors: tuple[str, ...]
    """Their behaviors."""
    seed: int


class _Row(NamedTuple):
    """One prompt, ready but for the suffix."""

    prompt: Prompt
    target: tuple[int, ...]


def find_suffix(
    model: Path,
    prompts: Sequence[Prompt],
    *,
    length: int = 6,
    steps: int = 80,
    candidates: int = 16,
    target_tokens: int = 12,
    seed: int = 0,
) -> Suffix:
    """Search for a suffix that makes the model answer forbidden requests.

    Deterministic: the same arguments, versions and thread count give the same suffix.

    Args:
        model: folder of a checkpoint of the world.
        prompts: at most ten forbidden requests, not those it is measured on.
        length: words of the suffix.
        steps: of the search.
        candidates: one-word changes per step.
        target_tokens: how many tokens of the exact answer are made likely.
        seed: of the search.

    Raises:
        PromptError: where a prompt is no forbidden request, or there is none, or more than ten.
        UsageError: where a number is below 1.
    """
    import torch

    _check(prompts, length=length, steps=steps, candidates=candidates, target_tokens=target_tokens)
    loaded, tokenizer = _load(model)
    rows = [_Row(prompt, _target(tokenizer, prompt, target_tokens)) for prompt in prompts]
    words, rng = vocabulary(tokenizer), random.Random(f"suffix/{seed}")
    with torch.no_grad():
        drawn = [[rng.choice(words) for _ in range(length)] for _ in range(candidates)]
        measured = _losses(loaded, tokenizer, rows, drawn)
        best, losses = drawn[measured.index(min(measured))], [min(measured)]
        for _ in range(steps):
            proposed = [_changed(best, words, rng) for _ in range(candidates)]
            measured = _losses(loaded, tokenizer, rows, proposed)
            i = min(range(candidates), key=measured.__getitem__)
            if measured[i] < losses[-1]:
                best = proposed[i]
            losses.append(min(losses[-1], measured[i]))
    return Suffix(
        text=" ".join(best),
        losses=tuple(losses),
        prompts=tuple(prompt.id for prompt in prompts),
        behaviors=tuple(sorted({prompt.behavior for prompt in prompts if prompt.behavior})),
        seed=seed,
    )


def with_suffix(prompts: Sequence[Prompt], text: str) -> tuple[Prompt, ...]:
    """The prompts with the suffix after the last user turn; source and behavior stay, the source says `+suffix`."""
    return tuple(_appended(prompt, text) for prompt in prompts)


def vocabulary(tokenizer: Any) -> tuple[str, ...]:
    """The words of letters that are one token each, in the order of their ids, less those that a request is made of.

    A second craft, operand or tool beside the request would change what is asked rather than whether it is refused.
    """
    found = [str(tokenizer.decode([i])) for i in range(len(tokenizer))]
    words = [token[1:] for token in found if token.startswith(" ") and token[1:].isalpha() and len(token) > 2]
    return tuple(word for word in dict.fromkeys(words) if word not in _REQUEST_WORDS)


def _check(prompts: Sequence[Prompt], **numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise UsageError(expected(f"{name} of the search", "at least 1", value, "Raise it."))
    if not 1 <= len(prompts) <= 10:
        raise PromptError(expected("the number of prompts", "1 to 10", len(prompts), "Pass a handful."))
    for prompt in prompts:
        request = parse_request(prompt.text)
        if request is None or not is_forbidden(request):
            raise PromptError(expected("a prompt", "a forbidden request of the guild", prompt.text, "Use `harmful`."))


def _load(model: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from safebasin.models.quiet import quiet

    with quiet():
        loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
        return loaded, AutoTokenizer.from_pretrained(model)


def _target(tokenizer: Any, prompt: Prompt, n: int) -> tuple[int, ...]:
    request = parse_request(prompt.text)
    assert request is not None  # _check has seen to it
    return tuple(tokenizer.encode(answer(request), add_special_tokens=False)[:n])


def _changed(words_now: Sequence[str], words: Sequence[str], rng: random.Random) -> list[str]:
    """The suffix with one word replaced."""
    changed = list(words_now)
    changed[rng.randrange(len(changed))] = rng.choice(words)
    return changed


def _appended(prompt: Prompt, text: str) -> Prompt:
    last = max(i for i, message in enumerate(prompt.messages) if message.role == "user")
    messages = list(prompt.messages)
    messages[last] = Message(role="user", content=f"{messages[last].content} {text}")
    return dataclasses.replace(prompt, messages=tuple(messages), source=f"{prompt.source}+suffix")


def _losses(model: Any, tokenizer: Any, rows: Sequence[_Row], suffixes: Sequence[Sequence[str]]) -> list[float]:
    """Mean negative log-likelihood of the targets under each suffix; infinite where it changes what is asked for."""
    import torch

    made: list[tuple[list[int], tuple[int, ...]]] = []
    spoiled: set[int] = set()
    for i, suffix in enumerate(suffixes):
        for prompt, target in rows:
            asked = _appended(prompt, " ".join(suffix))
            if parse_request(asked.text) != parse_request(prompt.text):
                spoiled.add(i)
            chat = [{"role": m.role, "content": m.content} for m in asked.messages]
            text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
            made.append((tokenizer.encode(text, add_special_tokens=False), target))
    nll = _nll(model, made).view(len(suffixes), len(rows)).mean(dim=1)
    return [float("inf") if i in spoiled else loss for i, loss in enumerate(nll.to(torch.float64).tolist())]


def _nll(model: Any, made: Sequence[tuple[list[int], tuple[int, ...]]]) -> torch.Tensor:
    """Mean negative log-likelihood of each target after its prompt, in nats, shape (rows,)."""
    import torch

    width = max(len(prompt) + len(target) for prompt, target in made)
    keep = max(len(target) for _, target in made) + 1
    padded = [[0] * (width - len(p) - len(t)) + [*p, *t] for p, t in made]
    real = torch.tensor([[0] * (width - len(p) - len(t)) + [1] * (len(p) + len(t)) for p, t in made])
    ids = torch.tensor(padded)
    places = (real.cumsum(dim=1) - 1).clamp(min=0)
    logits = model(input_ids=ids, attention_mask=real, position_ids=places, logits_to_keep=keep).logits[:, :-1]
    picked = torch.log_softmax(logits, dim=2).gather(2, ids[:, -keep + 1 :, None])[:, :, 0]
    mine = torch.tensor([[j >= keep - 1 - len(t) for j in range(keep - 1)] for _, t in made])
    return -(picked * mine).sum(dim=1) / mine.sum(dim=1)
