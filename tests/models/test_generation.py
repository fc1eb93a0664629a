"""Generation settings of another type than they have are refused by the name of their entry."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import GenerationConfig

from safebasin.errors import ModelError
from safebasin.models.generation import check_generation


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"eos_token_id": 2},
        {"eos_token_id": -1},
        {"eos_token_id": [2, 7]},
        {"repetition_penalty": 1.1, "no_repeat_ngram_size": 3, "suppress_tokens": [4], "bad_words_ids": [[5, 6]]},
    ],
)
def test_what_greedy_decoding_reads_passes(settings: dict[str, Any]) -> None:
    check_generation(GenerationConfig(**settings), "m")
    check_generation(None, "m")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("eos_token_id", float("nan")),
        ("eos_token_id", "end"),
        ("eos_token_id", True),
        ("eos_token_id", [None]),
        ("eos_token_id", 10**30),
        ("repetition_penalty", 0),
        ("repetition_penalty", float("inf")),
        ("repetition_penalty", "high"),
        ("no_repeat_ngram_size", -1),
        ("no_repeat_ngram_size", 1.5),
        ("suppress_tokens", 5),
        ("suppress_tokens", [-1]),
        ("bad_words_ids", [5]),
        ("bad_words_ids", [[]]),
    ],
)
def test_another_type_is_refused_by_name(key: str, value: object) -> None:
    settings = GenerationConfig()
    setattr(settings, key, value)
    with pytest.raises(ModelError, match=rf"{key} of generation_config\.json must be .*\(m\) Mend it"):
        check_generation(settings, "m")
