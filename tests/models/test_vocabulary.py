"""Tokenizers are compared by what ids mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.models import make_tokenizer
from safebasin.models.vocabulary import vocabulary_difference

BPE = {
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]},
    "added_tokens": [{"id": 3, "content": "<end>", "special": True}],
}


def folder(path: Path, tokenizer: dict[str, Any]) -> Path:
    path.mkdir()
    (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    return path


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, None),
        ({"truncation": {"max_length": 9}, "normalizer": None}, None),
        ({"added_tokens": [{"id": 3, "content": "<end>", "special": False}]}, None),
        ({"model": {**BPE["model"], "merges": ["a b"]}}, None),
        ({"model": {**BPE["model"], "merges": []}}, "another list of merges"),
        ({"model": {**BPE["model"], "vocab": {"a": 1, "b": 0, "ab": 2}}}, "token 'a' of id 0 has id 1"),
        ({"added_tokens": [{"id": 3, "content": "<stop>"}]}, "token '<end>' of id 3 does not exist"),
        ({"added_tokens": [*BPE["added_tokens"], {"id": 4, "content": "<x>"}]}, "additional token '<x>' of id 4"),
    ],
)
def test_the_first_difference_is_named(tmp_path: Path, changes: dict[str, Any], found: str | None) -> None:
    assert vocabulary_difference(folder(tmp_path / "a", BPE), folder(tmp_path / "b", {**BPE, **changes})) == found


def test_unigram_models_list_their_tokens_by_id(tmp_path: Path) -> None:
    pieces = [["<unk>", 0.0], ["a", -1.0], ["b", -2.0]]
    one = folder(tmp_path / "a", {"model": {"type": "Unigram", "vocab": pieces}})
    other = folder(tmp_path / "b", {"model": {"type": "Unigram", "vocab": [pieces[0], pieces[2], pieces[1]]}})
    assert vocabulary_difference(one, one) is None
    assert vocabulary_difference(one, other) == "token 'a' of id 1 has id 2"


def test_a_chat_template_makes_no_other_tokenizer(tmp_path: Path) -> None:
    for template in ("plain", "none"):
        make_tokenizer(template=template).save_pretrained(tmp_path / template)
    assert vocabulary_difference(tmp_path / "plain", tmp_path / "none") is None


def test_other_formats_are_compared_byte_by_byte_where_both_have_them(tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.model").write_bytes(content)
    assert vocabulary_difference(tmp_path / "a", tmp_path / "b") == "another tokenizer.model"
    assert vocabulary_difference(tmp_path / "a", folder(tmp_path / "c", BPE)) is None
