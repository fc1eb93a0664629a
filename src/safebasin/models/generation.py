"""What a model's generation settings may hold, as far as greedy decoding reads them. Nothing is decoded; no torch."""

from __future__ import annotations

import math

from safebasin.errors import ModelError, expected

__all__ = ["check_generation"]


def check_generation(settings: object, name: str) -> None:
    """Refuse end tokens and rules of another type than they have.

    Args:
        settings: the model's `GenerationConfig`, or None.
        name: the model as the user wrote it.

    Raises:
        ModelError: naming the entry of generation_config.json.
    """
    checks = {
        "eos_token_id": (_is_tokens, "a token id, or a list of them"),
        "repetition_penalty": (_is_penalty, "a number above 0"),
        "no_repeat_ngram_size": (_is_count, "a whole number"),
        "suppress_tokens": (_is_list, "a list of token ids"),
        "bad_words_ids": (_is_words, "a list of lists of token ids"),
    }
    for key, (is_right, constraint) in checks.items():
        value = getattr(settings, key, None)
        if value is not None and not is_right(value):
            remedy = f"({name}) Mend it, or leave it out of the file."
            raise ModelError(expected(f"{key} of generation_config.json", constraint, value, remedy))


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(_is_count(i) for i in value)


def _is_tokens(value: object) -> bool:
    return (type(value) is int and -1 <= value < 2**31) or _is_list(value)


def _is_words(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(_is_list(word) and len(word) > 0 for word in value)


def _is_penalty(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf
