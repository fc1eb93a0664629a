"""How prompts are asked, kept beside the responses: the day, settings outside the keys, prompts looked at first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from helpers.models import PLAIN, make_tiny_model
from safebasin import api
from safebasin.errors import PromptError, StoreError
from safebasin.landscape.last_plan import read_last_plan
from safebasin.landscape.notes import DATE, notes_on_asking
from safebasin.prompts import templates
from safebasin.run.prompt_settings import changed_setting, check_asked
from safebasin.run.verify import verify
from safebasin.store import folder as folders
from safebasin.store.db import StudyStore

DATED = "<|system|>{{ strftime_now('%d %b %Y') }}<|end|>" + PLAIN


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("asked") / "model")


def ask(model: Path, out: Path, texts: list[str], *, points: int = 3, **given: object):
    file = out.parent / "p.jsonl"
    file.write_text("".join(json.dumps({"prompt": t}) + "\n" for t in texts))
    return api.map_basin(
        str(model), out=out, prompts=[str(file)], directions=1, range=f"-0.2:0.2:{points}", max_new_tokens=4,
        judge=["keyword/peng2024"], device="cpu", **given,
    )  # fmt: skip


@pytest.mark.slow
def test_the_day_is_the_one_on_which_the_study_began(model, tmp_path, monkeypatch):
    template = {"chat_template": DATED}
    monkeypatch.setattr("safebasin.engines.answering.today", lambda _: "2026-01-30")
    mapped = ask(model, tmp_path / "r", ["one", "two"], template_arg=template)
    assert "asked as on 2026-01-30" in " ".join(mapped.landscape.notes)
    monkeypatch.setattr("safebasin.engines.answering.today", lambda _: "2026-01-31")
    mapped = ask(model, tmp_path / "r", ["one", "two"], points=5, template_arg=template)
    with StudyStore.open(tmp_path / "r") as store:
        assert store.meta(DATE) == "2026-01-30"
    assert json.loads((tmp_path / "r" / folders.MANIFEST).read_text())["model"]["date"] == "2026-01-30"


@pytest.mark.slow
def test_a_folder_without_a_day_says_from_when_on_it_has_one(model, tmp_path, caplog):
    template = {"chat_template": DATED}
    ask(model, tmp_path / "r", ["one"], template_arg=template)
    with StudyStore.open(tmp_path / "r") as store, store.transaction() as db:
        db.execute("DELETE FROM meta WHERE key = ?", (DATE,))
    ask(model, tmp_path / "r", ["one"], points=5, template_arg=template)
    assert "did not record which" in caplog.text


@pytest.mark.slow
def test_settings_outside_the_key_are_the_same_or_an_error(model, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    ask(copy, tmp_path / "r", ["one", "two"])
    assert verify(tmp_path / "r", full=False, note=str) == []
    path = copy / "generation_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "repetition_penalty": 3.0}))
    with pytest.raises(StoreError, match=r"repetition_penalty.*Choose another folder with -o, or restore"):
        ask(copy, tmp_path / "r", ["one", "two"])
    assert any("repetition_penalty" in found for found in verify(tmp_path / "r", full=False, note=str))
    path.write_text(json.dumps({**settings, "repetition_penalty": 1.0, "temperature": 0.3}))
    ask(copy, tmp_path / "r", ["one", "two"], points=5)  # what decides no greedy token may change


@pytest.mark.slow
def test_an_edited_template_file_is_an_error(model, tmp_path):
    file = tmp_path / "t.jinja"
    file.write_text(PLAIN)
    given = {"template_arg": {"chat_template": f"@{file}"}}
    ask(model, tmp_path / "r", ["one", "two"], **given)
    file.write_text("Now: " + PLAIN)
    with pytest.raises(StoreError, match="chat template"):
        ask(model, tmp_path / "r", ["one", "two"], **given)
    file.unlink()
    assert any("cannot be looked up" in found for found in verify(tmp_path / "r", full=False, note=str))


@pytest.mark.slow
def test_a_folder_that_recorded_nothing_takes_over_what_is(model, tmp_path):
    ask(model, tmp_path / "r", ["one", "two"])
    with StudyStore.open(tmp_path / "r") as store:
        plan, _ = read_last_plan(store)
        with store.transaction() as db:
            db.execute("DELETE FROM meta WHERE key LIKE 'asked:%'")
        check_asked(store, plan.decoding, {"dtype": "float32"})
        assert changed_setting(store, plan.decoding, {"dtype": "float32"}) is None
        assert changed_setting(store, plan.decoding, {"dtype": "bfloat16"}) == "dtype float32, now bfloat16"
        assert changed_setting(store, plan.decoding, {"end tokens": [5]}) is not None  # by its manifest


def test_prompts_are_looked_at_before_anything_is_decoded(model, tmp_path):
    texts = ["one", "clay " * 300, "two", "wool " * 300]
    with pytest.raises(PromptError) as caught:
        ask(model, tmp_path / "r", texts)
    said = str(caught.value)
    assert "row 2 of p.jsonl must be shorter than the context of 256 tokens" in said
    assert "row 4 of p.jsonl" in said
    assert said.endswith("Nothing was decoded.")
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_tags_that_open_most_replies_are_pointed_out(model, tmp_path):
    ask(model, tmp_path / "r", ["one", "two", "three"])
    with StudyStore.open(tmp_path / "r") as store:
        plan, _ = read_last_plan(store)
        assert notes_on_asking(store, plan) == []
        with store.transaction() as db:
            db.execute("UPDATE responses SET text = '<ponder>hm</ponder>yes'")
        assert "3 of 3 responses at the origin begin with <ponder>" in notes_on_asking(store, plan)[0]
        with store.transaction() as db:
            db.execute("UPDATE responses SET text = '<answer>yes</answer>'")
        assert notes_on_asking(store, plan) == []


def test_a_tokenizer_without_clock_has_a_day_all_the_same():
    class Plain:
        def apply_chat_template(self, *_: object, **__: object) -> str:
            return "no day"

    assert len(templates.today(Plain())) == len("2026-01-30")  # pyright: ignore[reportArgumentType]
