"""End tokens and context of a folder are those of its model once loaded, whoever asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.models import make_tiny_model
from safebasin.errors import ModelError
from safebasin.models.loading import load_causal, load_config, load_generation, load_tokenizer
from safebasin.models.tokens import begin_id, context_length, end_ids, padding


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("own", [{"eos_token_id": [3, 2]}, {"eos_token_id": 4}, {}, None])
def test_a_folder_says_what_its_model_says(tmp_path: Path, architecture: str, own: dict[str, object] | None) -> None:
    folder = make_tiny_model(tmp_path / "m", architecture)
    file = folder / "generation_config.json"
    file.unlink(missing_ok=True)
    if own is not None:
        file.write_text(json.dumps(own))
    config, tokenizer = load_config(folder), load_tokenizer(folder)
    loaded = load_causal(folder).generation_config
    assert end_ids(load_generation(folder, config), tokenizer) == end_ids(loaded, tokenizer) != ()
    limit = context_length(config, tokenizer)
    assert limit is not None
    assert limit > 0


def test_settings_of_another_type_are_refused(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "m")
    (folder / "generation_config.json").write_text('{"eos_token_id": "two"}')
    with pytest.raises(ModelError, match=r"eos_token_id of generation_config\.json must be a token id"):
        load_generation(folder, load_config(folder))


def test_any_token_of_the_embedding_pads(tmp_path: Path) -> None:
    assert [padding(5, 9), padding(9, 9, [3]), padding(None, 9, ["x"])] == [5, 3, 0]
    assert begin_id(load_tokenizer(make_tiny_model(tmp_path / "m"))) is None
