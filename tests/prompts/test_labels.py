"""Sets that hold harmful and benign prompts: each role takes those of its label, and says what it left out."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from safebasin.errors import PromptError
from safebasin.prompts.columns import to_prompt
from safebasin.prompts.labels import label_of, labelled, mixture
from safebasin.prompts.sources import facts, load_prompts, placeholders
from safebasin.records import Message, Prompt
from safebasin.study import PromptsSpec


def prompt(label: str, category: str = "") -> Prompt:
    return Prompt(messages=(Message(role="user", content=f"{label} {category}"),), label=label, category=category)


def row(**cells: object) -> Prompt:
    return to_prompt({"prompt": "How warm is tea?", **cells}, source="x", where="row 1")


@pytest.mark.parametrize(
    ("found", "label"),
    [
        (prompt("safe"), "benign"),
        (prompt("Unsafe "), "harmful"),
        (prompt("unharmful"), "benign"),
        (prompt("vanilla_harmful"), "harmful"),
        (prompt("adversarial-benign"), "benign"),
        (prompt("", "contrast_homonyms"), "harmful"),
        (prompt("", "homonyms"), None),
        (prompt("", "Harmless"), "benign"),
        (prompt("safe", "contrast_homonyms"), "benign"),
        (prompt("tea"), None),
        (prompt("1"), None),
        (row(prompt_harm_label="harmful"), "harmful"),
        (row(data_type="vanilla_benign"), "benign"),
        (row(toxicity=1), "harmful"),
        (row(toxicity="0"), "benign"),
        (row(is_harmful=False), "benign"),
        (row(harmful="a longer text"), None),
        (row(type="unsafe"), "harmful"),
    ],
)
def test_what_a_set_says_of_a_prompt(found: Prompt, label: str | None) -> None:
    assert label_of(found) == label


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
def test_a_role_takes_the_rows_of_its_label_before_the_limit(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"prompt": f"kettle {i}", "type": "homonyms", "label": ("unsafe", "safe")[i % 2]} for i in range(10)]
    lines = [json.dumps(r) for r in rows]
    path = tmp_path / f"set.{suffix}"
    head = "prompt,type,label\n"
    texts = {"csv": head + "\n".join(",".join(r.values()) for r in rows), "json": json.dumps(rows)}
    path.write_text(texts.get(suffix, "\n".join(lines)))
    with caplog.at_level(logging.WARNING):
        benign = load_prompts(str(path), limit=4, label="benign")
    assert [p.text for p in benign] == ["kettle 1", "kettle 3", "kettle 5", "kettle 7"]
    assert "5 of 10 prompts are not labelled benign and are left out" in caplog.text
    assert len(load_prompts(str(path), label="harmful")) == 5
    assert mixture(load_prompts(str(path))) == {"harmful": 5, "benign": 5}


def test_prompts_without_a_label_take_that_of_their_role() -> None:
    assert [p.label for p in labelled([prompt("", "tea"), prompt("safe")], "benign", "x")] == ["benign", "safe"]


def test_nothing_left_and_labels_that_say_nothing_are_errors() -> None:
    with pytest.raises(PromptError, match="all 2 labelled otherwise"):
        labelled([prompt("unsafe"), prompt("harmful")], "benign", "x.csv")
    with pytest.raises(
        PromptError, match=r"labels of x.csv must be words such as harmful and benign; got \['0', '1'\]"
    ):
        labelled([prompt("0"), prompt("1")], "benign", "x.csv")
    with pytest.raises(PromptError, match="labelled otherwise"):
        load_prompts("world:guild/harmful", label="benign")


def test_a_public_set_that_is_not_here_is_counted_by_its_labels() -> None:
    assert (facts("xstest")["n harmful"], facts("xstest")["n benign"]) == ("200", "250")
    assert len(placeholders("xstest", label="benign")) == 250
    assert len(placeholders("xstest", label="harmful", limit=80)) == 80
    assert len(placeholders("xstest")) == 450


def test_a_study_without_labels_is_written_as_before() -> None:
    assert PromptsSpec(source="x").model_dump() == {"name": "", "source": "x"}
    assert PromptsSpec(source="x", label="benign").model_dump()["label"] == "benign"
