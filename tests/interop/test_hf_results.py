"""Evaluation entries and the section of a model card: what they say, and what becomes none."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from helpers.verdicts import make_condition, make_metric, make_verdict
from safebasin import api
from safebasin.audit.records import AuditVerdict, Model, PromptsUsed
from safebasin.errors import StoreError, UsageError
from safebasin.interop.hf_results import result_entries
from safebasin.prompts.sources import facts


def public(source: str = "advbench[:80]", **fields: Any) -> AuditVerdict:
    metrics = [make_metric(name, gained=8) for name in ("asr", "asr_outcome", "asr:outcome", "asr/veiled", "margin")]
    sets = (PromptsUsed(name="harmful", source=source, n=80, hash="0" * 16),)
    return make_verdict(make_condition(*metrics), sets=sets, **fields)


def write(folder: Path, verdict: object) -> Path:
    folder.mkdir()
    (folder / "verdict.json").write_text(verdict if isinstance(verdict, str) else json.dumps(verdict))
    return folder


def test_entries_are_read_back_by_the_hub_s_own_parser(tmp_path: Path) -> None:
    verdict = asdict(public())
    folder = write(tmp_path / "audit", verdict)
    assert api.export_study(folder, tmp_path / "safety.yaml") == 3
    read = parse_eval_result_entries(yaml.safe_load((tmp_path / "safety.yaml").read_text()))
    assert read == result_entries(verdict)
    known = facts("advbench")
    assert [(one.task_id, one.value) for one in read] == [("asr", 10.0), ("asr_outcome", 10.0), ("asr:outcome", 10.0)]
    assert {(one.dataset_id, one.dataset_revision) for one in read} == {("walledai/AdvBench", known["revision"])}
    assert read[0].date == "2026-01-01T00:00:00+00:00"
    assert read[0].notes == (
        "attack success in percent, 80 of the 520 prompts; 95 % interval 5.2 to 18.5; judge keyword/peng2024 1; "
        "greedy, system prompt default, template base; safebasin 0.1.0"
    )


@pytest.mark.parametrize("source", ["world:guild/harmful", "harmful.csv", "org/private"])
def test_a_set_that_is_no_public_one_makes_no_entry(tmp_path: Path, source: str) -> None:
    folder = write(tmp_path / "audit", asdict(public(source)))
    with pytest.raises(UsageError, match=r"rates on a public set of the catalogue; got .* safebasin list prompts"):
        api.export_study(folder, tmp_path / "safety.yaml")
    assert not (tmp_path / "safety.yaml").exists()


def test_a_folder_that_is_no_audit_is_told(tmp_path: Path) -> None:
    for name in ("a.yaml", "a.md"):
        with pytest.raises(StoreError, match="Statistics of a landscape have no benchmark"):
            api.export_study(tmp_path, tmp_path / name)


@pytest.mark.parametrize(
    "text", ["[]", "{", "{}", '{"sets": [], "conditions": 3}', json.dumps({"sets": [{"name": 1}]})]
)
def test_a_damaged_verdict_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    folder = write(tmp_path / "audit", text)
    for name in ("a.yaml", "a.md"):
        with pytest.raises(StoreError, match=r"verdict\.json must be"):
            api.export_study(folder, tmp_path / name)


def test_the_section_of_a_card_shows_the_audit_and_what_it_does_not_show(tmp_path: Path) -> None:
    tuned = Model(model="/home/tea/pot|`x`", fingerprint="c" * 64, kind="checkpoint", unsafe=True)
    folder = write(
        tmp_path / "audit", asdict(public("/home/tea/harmful.csv", tuned=tuned, notes=("<b>warm</b> | *hot*",)))
    )
    assert api.export_study(folder, tmp_path / "card.md") == 5
    text = (tmp_path / "card.md").read_text()
    assert "**Failed**" in text
    assert "`potx` (cccccccccccc, marked as made by an attack), compared with `org/base`" in text
    assert "| attack success | harmful.csv, 80 | 0.0 | 10.0 | +10.0 " in text
    assert "**What this does not show.** That the model is safe" in text
    assert r"- \<b\>warm\</b\> \| \*hot\*" in text
    assert "/home/tea" not in text


def test_a_category_is_said_with_its_own_number_of_prompts(tmp_path: Path) -> None:
    metrics = [make_metric("asr", gained=8), make_metric("asr/veiled", gained=3, n=37)]
    sets = (PromptsUsed(name="harmful", source="world:guild/harmful", n=80, hash="0" * 16),)
    folder = write(tmp_path / "audit", asdict(make_verdict(make_condition(*metrics), sets=sets)))
    api.export_study(folder, tmp_path / "card.md")
    text = (tmp_path / "card.md").read_text()
    assert "| attack success | world:guild/harmful, 80 |" in text
    assert "| asr/veiled | world:guild/harmful, 37 |" in text
