"""Token ids: whether they mean the same in two checkpoint folders, and whether a model has a row for each. No torch.

Two vocabularies are compared token by token, not byte by byte.

Compared are vocabulary, added tokens and merges. Chat templates may differ, and which tokens a checkpoint calls
special: between a base model and its chat version they always do. So may the spelling of the file: θ₀'s own tokenizer
reads for both.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from safebasin.errors import PromptError, expected
from safebasin.models.files import read_json

_OPAQUE = ("tokenizer.model", "spiece.model", "vocab.json", "merges.txt", "vocab.txt")


def check_ids(ids: Iterable[int], n_rows: int, n_tokens: int, *, where: str) -> None:
    """Refuse token ids that the embedding has no row for: tokens were added, and the model was never resized.

    Args:
        ids: of a text.
        n_rows: of the embedding.
        n_tokens: of the tokenizer.
        where: whose ids these are, such as `prompt 3`.

    Raises:
        PromptError: naming both sizes.
    """
    beyond = next((i for i in ids if i >= n_rows), None)
    if beyond is not None:
        constraint = f"of tokens that the model has an embedding for ({n_rows}, its tokenizer has {n_tokens})"
        remedy = "Resize the model (resize_token_embeddings) and train it, or take the tokenizer that it came with."
        raise PromptError(expected(where, constraint, f"token {beyond}", remedy))


def vocabulary_difference(one: Path, other: Path) -> str | None:
    """The first difference between the tokenizers of two folders as a short phrase; None where there is none.

    Two folders that keep their tokenizers in different formats are not compared.
    """
    name = "tokenizer.json"
    if (one / name).is_file() and (other / name).is_file():
        return _json_difference(read_json(one / name, one.name), read_json(other / name, other.name))
    for name in _OPAQUE:
        here, there = one / name, other / name
        if here.is_file() and there.is_file() and here.read_bytes() != there.read_bytes():
            return f"another {name}"
    return None


def _json_difference(one: dict[str, object], other: dict[str, object]) -> str | None:
    ours, theirs = _tokens(one), _tokens(other)
    for token, number in sorted(ours.items(), key=lambda item: item[1]):
        if theirs.get(token) != number:
            found = f"has id {theirs[token]}" if token in theirs else "does not exist"
            return f"token {token!r} of id {number} {found}"
    if ours != theirs:
        extra = min(theirs.keys() - ours.keys(), key=lambda token: theirs[token])
        return f"additional token {extra!r} of id {theirs[extra]}"
    return "another list of merges" if _merges(one) != _merges(other) else None


def _merges(tokenizer: dict[str, object]) -> list[tuple[str, ...]]:
    """Pairs; older files write a pair as one text with a space."""
    model = tokenizer.get("model")
    found = model.get("merges") if isinstance(model, dict) else None
    return [tuple(m.split(" ") if isinstance(m, str) else m) for m in found or []]


def _tokens(tokenizer: dict[str, object]) -> dict[str, int]:
    """Token → id; a unigram model lists its tokens in the order of their ids."""
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    found: dict[str, int] = {}
    if isinstance(vocabulary, dict):
        found = {str(token): int(number) for token, number in vocabulary.items()}
    elif isinstance(vocabulary, list):
        found = {str(entry[0]): number for number, entry in enumerate(vocabulary)}
    added = tokenizer.get("added_tokens")
    for token in added if isinstance(added, list) else []:
        found[str(token["content"])] = int(token["id"])
    return found
