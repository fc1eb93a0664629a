"""Data sets of the hub in the cache of `datasets`: which revision is read without network, and what is said of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from safebasin.errors import PromptError
from safebasin.prompts.hub import fetch, licence_of, load_hub
from safebasin.prompts.sources import HubId, hub_id, load_prompts

datasets = pytest.importorskip("datasets")
OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """`org/tea` at one commit, as `datasets` caches it, and no network."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "Pour it", "completion": "Poured."}\n{"prompt": "Stir it", "completion": "Stirred."}\n')
    made = datasets.load_dataset("json", data_files=str(rows), cache_dir=str(tmp_path / "made"), split="train")
    folder = Path(made.cache_files[0]["filename"]).parent
    kept = tmp_path / "cache" / "org___tea" / "default" / "0.0.0" / NEW
    shutil.copytree(folder, kept)
    for file in kept.glob("json-train*"):
        file.rename(kept / file.name.replace("json-", "tea-"))
    info = kept / "dataset_info.json"
    changed = (
        info.read_text().replace(folder.parts[-3], "default").replace('"dataset_name": "json"', '"dataset_name": "tea"')
    )
    info.write_text(changed)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return "org/tea"


def test_what_is_cached_is_read_and_its_commit_is_known(cached: str) -> None:
    found = fetch(cached, what="rows", split="train")
    assert [row["prompt"] for row in found.rows] == ["Pour it", "Stir it"]
    assert found.revision == NEW
    assert fetch(cached, what="rows", split="train", revision=NEW).revision == NEW
    assert [p.text for p in load_prompts(f"hub:{cached}@train@{NEW}[1:]")] == ["Stir it"]


def test_another_commit_than_the_one_asked_for_is_refused(cached: str) -> None:
    """`datasets` takes the latest that it has, whatever was asked for, and only logs it."""
    with pytest.raises(PromptError, match=rf"must be at revision {OLD}; got '{NEW}'"):
        load_hub(cached, split="train", revision=OLD)


def test_what_is_not_cached_says_that_the_hub_was_not_asked(cached: str) -> None:
    with pytest.raises(
        PromptError, match=r"prompts org/pot must be a dataset that can be fetched.*HF_HUB_OFFLINE is set"
    ):
        load_prompts("org/pot")


def test_an_id_holds_configuration_split_and_commit() -> None:
    expected: dict[str, dict[str, Any]] = {
        f"hub:org/tea@{NEW}": {"repository": "org/tea", "revision": NEW},
        f"org/tea:green@train@{NEW}": {"repository": "org/tea", "config": "green", "split": "train", "revision": NEW},
        "hub:tea@train": {"repository": "tea", "split": "train"},
    }
    for source, parts in expected.items():
        assert hub_id(source) == HubId(**parts)
        assert hub_id(str(HubId(**parts))) == HubId(**parts)
    assert hub_id("tea.jsonl") is hub_id("./tea") is hub_id("tea") is None
    with pytest.raises(PromptError, match="a commit of 40 digits"):
        hub_id("hub:org/tea@0123abc")


def test_the_licence_is_that_of_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = tmp_path / "README.md"
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: str(card))
    for head, licence in (
        ("license: mit", "mit"), ("license:\n- mit\n- cc-by-4.0", "mit, cc-by-4.0"), ("pretty_name: Tea", None),
        ("license: [", None),
    ):  # fmt: skip
        card.write_text(f"---\n{head}\n---\n# Tea\n")
        assert licence_of("org/tea", NEW) == licence
    card.write_text("# Tea\n")
    assert licence_of("org/tea", NEW) is None


def test_a_card_that_cannot_be_reached_says_nothing(cached: str) -> None:
    assert licence_of(cached, NEW) is None
