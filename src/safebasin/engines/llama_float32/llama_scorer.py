"""How surprising texts are to a plain Llama: every token is computed once, whatever texts and prompts begin with it.

The texts after a prompt are read as one tree of tokens, in which each token attends to those that lead to it, and many
trees in one pass without padding: a product with a weight sees all their tokens as rows of one matrix. What the prompts
of a call begin with is read once too. Nothing is kept between calls, so that a score does not depend on what was scored
before. Only what `lean` can run is taken; `scoring` does the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise, takewhile
from typing import NamedTuple

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from safebasin.engines.llama_float32.lean import LeanLlama, attended

__all__ = ["nll_of_texts"]

_STATE_BYTES = 256 * 2**20
"""Keys and values of prompts that are held at once; those of one prompt in any case."""
_TREE = 128
"""Tokens of a tree of several texts: attention compares each with each, so larger ones cost more than they save."""
_PASS = 512
"""Tokens of a pass from which weights are read often enough; more would leave the cache of a processor."""
_LOGIT_BYTES = 64 * 2**20
"""Logits that are held at once."""

Ids = tuple[int, ...]
State = list[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values of each layer, each (1, heads, tokens, width)."""


class _Tree(NamedTuple):
    """Tokens that follow a beginning that has been read: each after its parent, which stands before it."""

    state: State
    """Of the beginning."""
    ids: list[int]
    parents: list[int]
    """Places in `ids`; −1 where only the beginning comes before."""


class _Asked(NamedTuple):
    """The tree of some texts, and what is asked of it."""

    tree: _Tree
    at: list[int]
    """Places in the tree after which likelihoods are asked …"""
    targets: list[int]
    """… and of which token."""
    texts: dict[Ids, list[int]]
    """For each text, where in `at` the likelihood of each of its tokens is."""


def nll_of_texts(model: PreTrainedModel, asked: Iterable[tuple[Ids, Ids]]) -> dict[tuple[Ids, Ids], tuple[float, ...]]:
    """−ln p of each token of each text after its prompt, in nats, by prompt and text; neither is empty.

    Args:
        model: one that `LeanLlama.fits` accepts.
        asked: prompts, each with a text.
    """
    texts: dict[Ids, list[Ids]] = {}
    longest = 0
    for prompt, text in sorted(set(asked)):
        texts.setdefault(prompt, []).append(text)
        longest = max(longest, len(prompt) + len(text))
    llama = LeanLlama(model, longest)
    found: dict[tuple[Ids, Ids], tuple[float, ...]] = {}
    for prompts in _parts(list(texts), _STATE_BYTES // llama.state_bytes):
        states = _read(llama, prompts)
        asking = [(p, one) for p in prompts for one in _asked(states[p], p[-1], texts[p])]
        for some in _passes([len(one.tree.ids) for _, one in asking]):
            for (prompt, one), nll in zip(asking[some], _nll(llama, [one for _, one in asking[some]]), strict=True):
                found |= {(prompt, text): tuple(nll[i] for i in at) for text, at in one.texts.items()}
    return found


def _parts(prompts: Sequence[Ids], n_tokens: int) -> Iterator[list[Ids]]:
    """Consecutive prompts of so many tokens together."""
    part: list[Ids] = []
    for prompt in prompts:
        if part and sum(map(len, part)) + len(prompt) > n_tokens:
            yield part
            part = []
        part.append(prompt)
    if part:
        yield part


def _read(llama: LeanLlama, prompts: Sequence[Ids]) -> dict[Ids, State]:
    """The states of prompts without their last tokens, which the texts follow."""
    n = _n_common(min(prompts)[:-1], max(prompts)[:-1])  # in the order of tokens no others differ earlier
    begun = _states(llama, [_line(llama.nothing(1), prompts[0][:n])])[0] if n else llama.nothing(1)
    return dict(zip(prompts, _states(llama, [_line(begun, p[n:-1]) for p in prompts]), strict=True))


def _n_common(a: Ids, b: Ids) -> int:
    """How many tokens both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


# --- trees -----------------------------------------------------------------------------------------------------------


def _line(state: State, ids: Sequence[int]) -> _Tree:
    """A tree that does not branch."""
    return _Tree(state, list(ids), list(range(-1, len(ids) - 1)))


def _asked(state: State, last: int, texts: Iterable[Ids]) -> Iterator[_Asked]:
    """Trees of the texts after a prompt, given in the order of their tokens, so that those with equal beginnings meet.

    Args:
        state: of the prompt without its last token.
        last: that token, the root of each tree.
        texts: each is read but for its last token, after which nothing is asked.
    """
    one: _Asked | None = None
    before: Ids = ()
    path: list[int] = []  # the tokens of the tree that lead to each token of the text before
    for text in texts:
        n = _n_common(before, text)
        if one is None or len(one.tree.ids) + len(text) - n > _TREE:
            if one is not None:
                yield one
            one, n, path = _Asked(_Tree(state, [last], [-1]), [], [], {}), 0, [0]
            places: list[int] = []
        else:
            places = one.texts[before][:n]
        path = path[: min(n + 1, len(text))]
        for token in text[len(path) - 1 : -1]:
            one.tree.ids.append(token)
            one.tree.parents.append(path[-1])
            path.append(len(one.tree.ids) - 1)
        one.texts[text] = places + list(range(len(one.at), len(one.at) + len(text) - n))
        one.at.extend(path[n:])
        one.targets.extend(text[n:])
        before = text
    if one is not None:
        yield one


def _mask(tree: _Tree) -> tuple[torch.Tensor, list[int]]:
    """What each token of a tree attends to, (tokens, those of the beginning and these), and how deep it stands."""
    n, begun = len(tree.ids), tree.state[0][0].shape[2]
    sees = torch.eye(n, begun + n, dtype=torch.bool).roll(begun, dims=1)
    sees[:, :begun] = True
    rows = sees.numpy()
    depths: list[int] = []
    for at, parent in enumerate(tree.parents):
        depths.append(depths[parent] + 1 if parent >= 0 else begun)
        if parent >= 0:
            rows[at] |= rows[parent]
    return sees, depths


# --- passes ----------------------------------------------------------------------------------------------------------


def _passes(sizes: Sequence[int]) -> Iterator[slice]:
    """Consecutive trees, of so many tokens, that are read in one pass."""
    start = n_tokens = 0
    for at, size in enumerate(sizes):
        if n_tokens and n_tokens + size > _PASS:
            yield slice(start, at)
            start, n_tokens = at, 0
        n_tokens += size
    yield slice(start, len(sizes))


def _hidden(llama: LeanLlama, trees: Sequence[_Tree]) -> tuple[torch.Tensor, list[State]]:
    """What the last block gives for the tokens of trees, one after the other, (tokens, hidden), and their states."""
    masks, depths = zip(*map(_mask, trees), strict=True)
    biases = [llama.bias(~sees[None, None]) for sees in masks]  # (1, 1, tokens, those of the beginning and these)
    sizes, states = [len(tree.ids) for tree in trees], list[State]([] for _ in trees)

    def attend(layer: int, *new: torch.Tensor) -> torch.Tensor:
        mixed: list[torch.Tensor] = []
        for tree, bias, state, query, key, value in zip(
            trees, biases, states, *(states.split(sizes, dim=1) for states in new), strict=True
        ):
            begun = tree.state[layer]
            keys, values = (
                torch.cat([old, fresh.transpose(1, 2)], dim=2) for old, fresh in zip(begun, (key, value), strict=True)
            )
            state.append((keys, values))
            mixed.append(attended(query, keys, values, bias))
        return torch.cat(mixed, dim=1)

    tokens, at = (
        torch.tensor([[one for part in parts for one in part]], device=llama.device)
        for parts in ([tree.ids for tree in trees], depths)
    )
    return llama.hidden(tokens, at, attend)[0], states


def _states(llama: LeanLlama, trees: Sequence[_Tree]) -> list[State]:
    """The states after trees that do not branch, their beginnings included."""
    left = [i for i, tree in enumerate(trees) if tree.ids]
    found = [tree.state for tree in trees]
    for some in _passes([len(trees[i].ids) for i in left]) if left else ():
        _, states = _hidden(llama, [trees[i] for i in left[some]])
        for i, state in zip(left[some], states, strict=True):
            found[i] = state
    return found


def _nll(llama: LeanLlama, asked: Sequence[_Asked]) -> list[list[float]]:
    """What is asked of each tree, −ln p."""
    hidden, _ = _hidden(llama, [one.tree for one in asked])
    starts = [0, *accumulate(len(one.tree.ids) for one in asked)]
    at = torch.tensor([start + i for start, one in zip(starts, asked, strict=False) for i in one.at])
    targets = torch.tensor([token for one in asked for token in one.targets], device=llama.device)
    n = max(1, _LOGIT_BYTES // (4 * llama.vocabulary))
    nll: list[float] = []
    for places, wanted in zip(at.to(llama.device).split(n), targets.split(n), strict=True):
        nll += functional.cross_entropy(llama.logits(hidden[places]), wanted, reduction="none").tolist()
    ends = [0, *accumulate(len(one.at) for one in asked)]
    return [nll[start:end] for start, end in pairwise(ends)]
