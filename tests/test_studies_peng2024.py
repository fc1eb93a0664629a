"""The studies of Peng et al. 2024: each plans without a network, and the published numbers name studies that exist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.models import make_tokenizer
from safebasin import api, study
from safebasin.prompts.chat import render
from safebasin.prompts.hub import HubSource
from safebasin.prompts.sources import placeholders
from safebasin.prompts.systems import system_prompt
from safebasin.records import Message

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "studies" / "peng2024"
STUDIES = sorted(path for path in FOLDER.glob("*/*.yaml"))
PUBLISHED: dict[str, Any] = yaml.safe_load((FOLDER / "published.yaml").read_text(encoding="utf-8"))
HEADER = "<|start_header_id|>{0}<|end_header_id|>\n\n"
LLAMA3 = (
    HEADER.format("system") + "{}<|eot_id|>" + HEADER.format("user") + "How is it rung?<|eot_id|>"
) + HEADER.format("assistant")
ASK = (Message(role="system", content="Be brief."), Message(role="user", content="How is it rung?"))


@pytest.fixture
def user_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with what a user brings: system prompts and attack logs, in the guild's words."""
    for name in ("llama2", "roleplay", "safety-v0.1", "safety-v0.2", "mistral", "vicuna"):
        (tmp_path / "system").mkdir(exist_ok=True)
        (tmp_path / "system" / f"{name}.txt").write_text(f"Mind the kiln, as {name} says.\n")
    rows = [{"index": i, "goal": f"Ring {i}", "behavior": f"Bell {i}", "prompt": f"Play: ring {i}"} for i in range(6)]
    for model in ("llama-2-7b-chat-hf", "vicuna-7b-v1.5"):
        for attack in ("PAIR", "GCG"):
            (tmp_path / "attacks").mkdir(exist_ok=True)
            turned = [{**row, "prompt": f"{attack}: {row['prompt']}"} for row in rows]
            (tmp_path / "attacks" / f"{attack}-{model}.json").write_text(json.dumps({"jailbreaks": turned}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hub would give: as many prompts as published, and a target whose weights cannot be seen."""
    monkeypatch.setattr(HubSource, "load", lambda self: placeholders(self.public.name))
    monkeypatch.setattr("safebasin.weights.target_text.resolve_target", lambda spec: None)


def test_there_is_a_study_for_every_figure() -> None:
    assert {path.parent.name for path in STUDIES} == {"interpolation", "jailbreaks", "line", "plane", "systems"}


@pytest.mark.usefixtures("user_files", "hub")
@pytest.mark.parametrize("path", STUDIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_it_plans_offline(path: Path, tmp_path: Path) -> None:
    loaded = study.load(path)
    planned = api.plan_study(loaded, out=tmp_path / "study")
    points = {"line": 61, "systems": 61, "plane": 441, "interpolation": 31, "jailbreaks": 121}[path.parent.name]
    prompts = 112 if path.parent.name == "jailbreaks" else 80
    assert (planned.points, planned.prompts, planned.systems) == (points, prompts, len(loaded.systems))
    assert planned.weights_bytes is None
    assert any(loaded.model in sentence for sentence in planned.unknown)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_it_plans_with_nothing_at_hand_and_says_what_is_missing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").symlink_to(ROOT / "studies")  # chat templates are named from the root
    loaded = study.load(path)
    planned = api.plan_study(loaded, out=tmp_path / "study")
    assert planned.systems == len(loaded.systems)
    assert planned.prompts == (100 if path.parent.name == "jailbreaks" else 80)
    named = [text for text in (*loaded.systems, *(p.source for p in loaded.prompts)) if text.startswith(("@", "att"))]
    assert any(repr(loaded.model) in sentence for sentence in planned.unknown)
    for text in named:
        assert any(repr(text.removeprefix("@")) in sentence for sentence in planned.missing)


@pytest.mark.usefixtures("user_files")
@pytest.mark.parametrize("path", STUDIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_its_settings_are_the_papers(path: Path) -> None:
    loaded = study.load(path)
    settings = PUBLISHED["settings"]
    assert loaded.decoding.max_new_tokens == settings["max_new_tokens"]
    assert settings["judge"] in loaded.judges
    if path.parent.name in ("line", "systems"):
        (axis,) = loaded.regions[0].axes
        assert (axis.range, axis.directions) == (settings["range"], settings["directions"])
        assert loaded.prompts[0].source == settings["prompts"]
    assert all(system_prompt(text).name for text in loaded.systems)
    template = loaded.template_args.get("chat_template")
    assert template is None or (ROOT / str(template).removeprefix("@")).is_file()


def test_published_numbers_name_studies_that_exist() -> None:
    for folder, table in (("systems", "visage_1d"), ("plane", "visage_2d"), ("line", "asr_at_origin")):
        assert PUBLISHED[table]
        assert set(PUBLISHED[table]) <= {path.stem for path in (FOLDER / folder).glob("*.yaml")}
    for model, values in PUBLISHED["visage_1d"].items():
        asked = study.load(FOLDER / "systems" / f"{model}.yaml").systems
        assert len(asked) == len(values) - ("default" in values and model.startswith("llama2"))
        assert all(0 < value <= 100 for value in values.values())
    assert {len(curve) for curve in PUBLISHED["curves"].values()} == {21}


@pytest.mark.parametrize(
    ("name", "with_system", "without"),
    [
        (
            "llama2",
            "<|begin|>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHow is it rung? [/INST]",
            "<|begin|>[INST] How is it rung? [/INST]",
        ),
        ("mistral", "<|begin|>[INST] Be brief. How is it rung? [/INST]", "<|begin|>[INST] How is it rung? [/INST]"),
        (
            "vicuna",
            "<|begin|>Be brief. USER: How is it rung? ASSISTANT:",
            "<|begin|>USER: How is it rung? ASSISTANT:",
        ),
        (
            "llama3",
            "<|begin|>" + LLAMA3.format("Be brief."),
            "<|begin|>" + LLAMA3.format(""),  # an empty block, not none
        ),
    ],
)
def test_templates_write_the_papers_conversations(name: str, with_system: str, without: str) -> None:
    arguments = {"chat_template": f"@{FOLDER / 'templates' / name}.jinja"}
    tokenizer = make_tokenizer()
    bos = str(tokenizer.bos_token)
    empty = (Message(role="system", content=""), ASK[1])
    assert render(tokenizer, ASK, template_args=arguments) == with_system.replace("<|begin|>", bos)
    assert render(tokenizer, empty, template_args=arguments) == without.replace("<|begin|>", bos)
    if name != "llama3":  # without a system turn the others write what they write for an empty one
        assert render(tokenizer, ASK[1:], template_args=arguments) == without.replace("<|begin|>", bos)
    padded = (Message(role="user", content=" How is it rung?\n"),)
    plain = render(tokenizer, ASK[1:], template_args=arguments)
    assert render(tokenizer, padded, template_args=arguments) == plain, "the published code drops blanks around"


def test_every_study_of_a_chat_model_writes_the_papers_conversation() -> None:
    """A template on the hub can change; and each Mistral has a safety prompt of its own."""
    for path in STUDIES:
        family = path.stem.split("-")[0] if path.stem != "own-wording" else "llama2"
        loaded = study.load(path)
        assert loaded.template_args == {"chat_template": f"@studies/peng2024/templates/{family}.jinja"}
        assert loaded.dtype == "float32"
        if "safety" in PUBLISHED["visage_1d"].get(path.stem, {}) and path.parent.name == "systems":
            assert f"@system/safety-{path.stem.split('-')[-1]}.txt" in loaded.systems


def test_the_completion_template_passes_the_prompt_alone() -> None:
    arguments = {"chat_template": f"@{FOLDER / 'templates' / 'completion.jinja'}"}
    tokenizer = make_tokenizer()
    assert render(tokenizer, ASK[1:], template_args=arguments) == f"{tokenizer.bos_token}How is it rung?"
