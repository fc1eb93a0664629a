"""A folder that is continued by something else: refused before the first token, both sides named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.models import PLAIN, make_lora, make_tiny_model
from safebasin import api, catalog
from safebasin.engines.hf import HFEngine
from safebasin.errors import StoreError
from safebasin.protocols import EngineFacts
from safebasin.records import Decoding
from safebasin.run.continued import unlike
from safebasin.store.db import StudyStore

CLOCK = "<|system|>{{ strftime_now('%d %b %Y') }}<|end|>" + PLAIN


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("continued") / "model")


def ask(model: Path | str, out: Path, *, points: int = 3, **given: object):
    file = out.parent / "p.jsonl"
    file.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in ("one", "two")))
    return api.map_basin(
        str(model), out=out, prompts=[str(file)], directions=1, range=f"-0.2:0.2:{points}",
        judge=["keyword/peng2024"], **{"device": "cpu", "max_new_tokens": 4, **given},
    )  # fmt: skip


def refused(model: Path | str, out: Path, match: str, **given: object) -> None:
    with StudyStore.open(out) as store:
        before = store.counts()["responses"]
    with pytest.raises(StoreError, match=match) as caught:
        ask(model, out, points=5, **given)
    assert "-o" in str(caught.value)
    with StudyStore.open(out) as store:
        assert store.counts()["responses"] == before


class Named(HFEngine):
    """Names itself otherwise."""

    def facts(self) -> EngineFacts:
        return replace(super().facts(), engine="mine(beam=2)")


@pytest.mark.slow
def test_another_engine(model, tmp_path):
    ask(model, tmp_path / "r")
    refused(model, tmp_path / "r", r"engine hf, now mine\(beam=2\)", engine=Named(str(model), device="cpu"))
    ask(model, tmp_path / "own", engine=Named(str(model), device="cpu"))
    refused(model, tmp_path / "own", r"engine mine\(beam=2\), now hf")
    with StudyStore.open(tmp_path / "own") as store:
        (decoding,) = store.decodings().values()
    assert (decoding.engine, decoding.dtype) == ("mine(beam=2)", "float32")


@pytest.mark.slow
def test_another_dtype(model, tmp_path, monkeypatch):
    ask(model, tmp_path / "r")
    refused(model, tmp_path / "r", r"dtype float32, now bfloat16'\. Ask for --dtype float32", dtype="bfloat16")
    monkeypatch.setattr(catalog, "open_engine", lambda _: pytest.fail("what auto means is what it is called"))
    ask(model, tmp_path / "r", dtype="float32")


@pytest.mark.slow
def test_auto_that_means_another_dtype_on_this_machine(tmp_path, monkeypatch):
    half = make_tiny_model(tmp_path / "half", dtype="float16")
    ask(half, tmp_path / "r")
    monkeypatch.setattr("safebasin.models.computed.is_cpu", lambda _: False)
    ask(half, tmp_path / "new", points=2)
    ask(half, tmp_path / "r", points=5)  # what auto means was settled when the folder was begun
    found: dict[str, str] = {}
    for name in ("r", "new"):
        with StudyStore.open(tmp_path / name) as store:
            (decoding,) = store.decodings().values()
            found[name] = decoding.dtype
    assert found == {"r": "float32", "new": "float16"}
    facts = HFEngine.facts
    monkeypatch.setattr(HFEngine, "facts", lambda self: replace(facts(self), dtype="float16"))
    with pytest.raises(StoreError, match=r"dtype float32, now float16"):
        ask(half, tmp_path / "r", points=9)


@pytest.mark.slow
def test_another_template(model, tmp_path):
    ask(model, tmp_path / "r")
    file = tmp_path / "t.jinja"
    file.write_text("Now: " + PLAIN)
    given = {"template_arg": {"chat_template": f"@{file}"}}
    refused(model, tmp_path / "r", r"chat template of the model itself, now with content hash", **given)
    ask(model, tmp_path / "own", **given)
    with StudyStore.open(tmp_path / "own") as store:
        (decoding,) = store.decodings().values()
        assert decoding.chat_template == "Now: " + PLAIN
        assert unlike(store, Decoding(dtype="float32"), templates=True) == {}
    file.write_text("Then: " + PLAIN)
    refused(model, tmp_path / "own", r"chat template with content hash \w+, now with content hash \w+'\.", **given)
    moved = tmp_path / "moved.jinja"
    moved.write_text("Now: " + PLAIN)
    ask(model, tmp_path / "own", template_arg={"chat_template": f"@{moved}"})
    with StudyStore.open(tmp_path / "own") as store:
        assert set(store.decodings()) == {decoding.key}, "the content is the template, not the path"


@pytest.mark.slow
def test_another_adapter(model, tmp_path):
    adapters = [make_lora(tmp_path / name, model, seed=seed) for name, seed in (("a", 1), ("b", 2))]
    ask(f"{model}+{adapters[0]}", tmp_path / "r")
    refused(f"{model}+{adapters[1]}", tmp_path / "r", r"must belong to the model it was made for, .*\+.*/a.*\+.*/b")


@pytest.mark.slow
def test_generation_settings_are_looked_at_under_another_limit_too(tmp_path):
    model = make_tiny_model(tmp_path / "model")
    ask(model, tmp_path / "r")
    path = model / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "repetition_penalty": 3.0}))
    refused(model, tmp_path / "r", r"repetition_penalty", max_new_tokens=6)


@pytest.mark.slow
def test_the_day_holds_when_a_study_is_resumed_row_by_row(model, tmp_path, monkeypatch):
    given = {"template_arg": {"chat_template": CLOCK}}
    monkeypatch.setattr("safebasin.engines.answering.today", lambda _: "2026-01-30")
    ask(model, tmp_path / "whole", points=5, **given)
    ask(model, tmp_path / "r", points=3, **given)
    monkeypatch.setattr("safebasin.engines.answering.today", lambda _: "2026-02-01")
    ask(model, tmp_path / "r", points=5, **given)  # a clock that was not held would be another rendering, and an error
    rows = []
    for name in ("whole", "r"):
        with StudyStore.open(tmp_path / name) as store:
            rows.append(list(store.responses()))
    assert rows[0] == rows[1]
    monkeypatch.setattr(HFEngine, "set_date", lambda *_: None)
    refused(model, tmp_path / "r", r"rendered as it was .*under the same versions", max_new_tokens=6, **given)


@pytest.mark.slow
def test_the_plan_of_a_template_file_counts_what_is_done(model, tmp_path):
    file = tmp_path / "t.jinja"
    file.write_text("Now: " + PLAIN)
    ask(model, tmp_path / "r", template_arg={"chat_template": f"@{file}"})
    made = api.make_study(
        str(model), prompts=[str(tmp_path / "p.jsonl")], directions=1, range="-0.2:0.2:3", max_new_tokens=4,
        judge=["keyword/peng2024"], device="cpu", template_arg={"chat_template": f"@{file}"},
    )  # fmt: skip
    planned = api.plan_study(made, out=tmp_path / "r")
    assert planned.done == planned.responses == 6
