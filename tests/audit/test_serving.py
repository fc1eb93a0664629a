"""TUNED is asked as it would be served: what beside the weights decides an answer is found, named and used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from helpers.models import make_lora
from safebasin.audit import audit
from safebasin.audit.candidate import find_candidate
from safebasin.audit.serving import differences, read_serving, stand_in, template
from safebasin.errors import ModelError, PromptError
from safebasin.models.reference import resolve
from safebasin.worlds.guild.world import WORLD

ALIGNED = "world:guild/aligned"
FOLDER = WORLD.checkpoint("aligned")
SHORT: dict[str, Any] = {"options": {"decoding": {"max_new_tokens": 16}}, "limit": 3}


def edited(folder: Path, name: str, **fields: object) -> Path:
    """A copy of the aligned model with fields of one of its files changed."""
    copy = shutil.copytree(FOLDER, folder)
    held = json.loads((copy / name).read_text()) if (copy / name).is_file() else {}
    (copy / name).write_text(json.dumps({**held, **fields}))
    return copy


def test_a_copy_is_served_alike(tmp_path: Path) -> None:
    copy = edited(tmp_path / "copy", "config.json", _name_or_path="elsewhere", use_cache=False)
    assert differences(read_serving(FOLDER), read_serving(copy)) == ()


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("generation_config.json", {"suppress_tokens": [5]}, "other generation rules (suppress_tokens; BASE none)"),
        ("generation_config.json", {"repetition_penalty": 1.2}, "other generation rules (repetition_penalty"),
        ("generation_config.json", {"eos_token_id": [2, 3]}, "ends its turns at"),
        ("tokenizer_config.json", {"eos_token": "<other>"}, "ends its turns at '<other>'"),
        ("config.json", {"rms_norm_eps": 0.1}, "another configuration (rms_norm_eps)"),
        ("tokenizer.json", {"normalizer": {"type": "Lowercase"}}, "other tokenizer settings"),
        ("config.json", {"dtype": "bfloat16", "torch_dtype": "bfloat16"}, "is stored as bfloat16"),
    ],
)
def test_each_setting_that_decides_an_answer_is_named(
    tmp_path: Path, name: str, fields: dict[str, object], said: str
) -> None:
    copy = edited(tmp_path / "copy", name, **fields)
    (found,) = differences(read_serving(FOLDER), read_serving(copy))
    assert said in found


def test_a_dtype_that_is_given_is_the_same_for_both(tmp_path: Path) -> None:
    copy = edited(tmp_path / "copy", "config.json", dtype="bfloat16", torch_dtype="bfloat16")
    assert differences(read_serving(FOLDER), read_serving(copy), dtype="float32") == ()


@pytest.mark.slow
def test_other_rules_are_followed(tmp_path: Path) -> None:
    """Of a copy that may not write its first words, α = 1 under BASE's rules would see nothing."""
    from transformers import AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(FOLDER)
    every = [i for i in range(len(tokens)) if i % 2]
    copy = edited(tmp_path / "copy", "generation_config.json", suppress_tokens=every)
    found = audit(ALIGNED, str(copy), out=tmp_path / "out", **SHORT)
    assert "has other generation rules (suppress_tokens" in found.verdict.notes[0]
    assert found.verdict.line is not None
    assert found.verdict.line.identical
    rate = next(m for m in found.verdict.conditions[0].metrics if m.name == "asr")
    assert rate.tuned.value != rate.base.value
    assert found.verdict.line.rates["asr"][-1].value == rate.base.value


@pytest.mark.slow
def test_an_adapter_is_served_under_the_files_that_it_ships(tmp_path: Path) -> None:
    adapter = make_lora(tmp_path / "adapter", FOLDER, rank=2)
    assert find_candidate(str(adapter), resolve(ALIGNED)).notes == ()
    (adapter / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    candidate = find_candidate(str(adapter), resolve(ALIGNED))
    assert candidate.base_template == template(FOLDER)
    assert "another chat template" in candidate.notes[0]
    found = audit(ALIGNED, str(adapter), out=tmp_path / "out", **SHORT)
    assert [c.template for c in found.verdict.conditions] == ["own"]
    assert template(tmp_path / "out" / "served") == "{{ messages[0]['content'] }}"
    under_base = audit(ALIGNED, str(adapter), out=tmp_path / "out", templates=("base",), **SHORT)
    assert [c.template for c in under_base.verdict.conditions] == ["base"]
    outcomes = [v.verdict.conditions[0].outcomes for v in (found, under_base)]
    assert outcomes[0]["harmful"]["base"] == outcomes[1]["harmful"]["base"]


@pytest.mark.slow
def test_a_system_prompt_that_the_template_of_tuned_drops_is_named(tmp_path: Path) -> None:
    adapter = make_lora(tmp_path / "adapter", FOLDER, rank=2)
    (adapter / "chat_template.jinja").write_text(
        "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"
    )
    asked: dict[str, Any] = {**SHORT, "systems": ("Keep to the charter.",)}
    with pytest.raises(PromptError, match=r"system prompt must be passed on whole.*chat template of TUNED.*base"):
        audit(ALIGNED, str(adapter), out=tmp_path / "out", **asked)
    found = audit(ALIGNED, str(adapter), out=tmp_path / "out", templates=("base",), **asked)
    assert [c.template for c in found.verdict.conditions] == ["base"]


def test_a_template_that_is_none_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "chat_template.jinja").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ModelError, match=r"chat_template\.jinja must be of at most 4 MB"):
        template(tmp_path)


def test_a_stand_in_holds_the_template_of_an_older_adapter(tmp_path: Path) -> None:
    """Older trainers write the template into tokenizer_config.json; BASE's jinja file would win over it."""
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": [{"name": "default", "template": "x"}]})
    )
    stand_in(FOLDER, adapter, tmp_path / "served")
    assert template(tmp_path / "served") == "x"
    assert (tmp_path / "served" / "model.safetensors").read_bytes() == (FOLDER / "model.safetensors").read_bytes()
    assert read_serving(tmp_path / "served").template == read_serving(FOLDER, adapter).template == "x"
