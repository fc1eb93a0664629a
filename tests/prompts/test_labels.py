"""Sets that hold harmful and benign prompts: each role takes those of its label, and says what it left out."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from safebasin.catalog.sets import PUBLIC_SETS
from safebasin.errors import PromptError
from safebasin.prompts.columns import to_prompt
from safebasin.prompts.files import from_rows
from safebasin.prompts.hub import HubSource, _headerless
from safebasin.prompts.labels import labelled, labels_of, mixture
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
        (prompt("not harmful"), "benign"),
        (prompt("non-toxic"), "benign"),
        (prompt("not_safe"), "harmful"),
        (prompt("", "not harmful"), None),
    ],
)
def test_what_a_set_says_of_a_prompt(found: Prompt, label: str | None) -> None:
    assert labels_of([found]) == [label]


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


def rows(*cells: dict[str, object]) -> list[Prompt]:
    return [to_prompt(cell, source="x", where=f"row {i}") for i, cell in enumerate(cells)]


def test_a_category_of_harm_is_no_label_of_a_benign_prompt() -> None:
    """OR-Bench names the harm that its benign prompts resemble, and one of these is called `harmful`."""
    or_bench = rows(
        {"prompt": "How do I kill a process?", "category": "harmful"},
        {"prompt": "How do I blow up a balloon?", "category": "violence"},
    )
    assert labels_of(or_bench) == [None, None]
    assert len(labelled(or_bench, "benign", "or-bench")) == 2
    two_words = rows({"prompt": "Boil tea.", "type": "benign"}, {"prompt": "Play a role.", "type": "jailbreak"})
    assert labels_of(two_words) == ["benign", "harmful"]
    mixed = rows({"prompt": "Boil tea.", "category": "benign"}, {"prompt": "That topic.", "category": "violence"})
    assert labels_of(mixed) == ["benign", None]
    assert len(labelled(mixed, "harmful", "x")) == 1, "what is benign is never an attack"


@pytest.mark.parametrize(
    "cells",
    [
        {"question": "That topic.", "risk_area": "x", "types_of_harm": "y", "specific_harms": "z", "id": 1},
        {"forbidden_prompt": "That topic.", "category": "Hate, harassment and discrimination", "source": "custom"},
        {"Behavior": "That topic.", "SemanticCategory": "illegal", "FunctionalCategory": "standard"},
    ],
    ids=["Do-Not-Answer", "StrongREJECT", "HarmBench"],
)
def test_sets_without_labels_take_that_of_their_role(cells: dict[str, object]) -> None:
    assert labels_of(rows(cells)) == [None]


def test_files_without_a_header_are_read_by_their_commas_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = next(public for public in PUBLIC_SETS if public.files)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: str(tmp_path / "found.csv"))
    (tmp_path / "found.csv").write_text("Weigh the clay, then knead it.\n", encoding="utf-8-sig")
    rows = list(_headerless(public))
    assert [row["category"] for row in rows] == [category for _, category in public.files]
    assert {row["prompt"] for row in rows} == {"Weigh the clay, then knead it."}
    for broken, said in ((b"a" * 200_000, "a table; got 'field larger"), (b"\xff", "a UTF-8 text file")):
        (tmp_path / "found.csv").write_bytes(broken)
        with pytest.raises(PromptError, match=said):
            list(_headerless(public))


@pytest.mark.parametrize("name", [public.name for public in PUBLIC_SETS])
def test_a_set_of_the_catalogue_stands_for_what_it_holds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them has labels of its own but XSTest: harmful requests must not count as benign ones."""
    public = next(public for public in PUBLIC_SETS if public.name == name)
    texts = [f"{name} {i}" for i in range(public.n)]
    cells = [{"prompt": text, "category": "harmful"} for text in texts]
    if public.n_harmful is not None:
        cells = [{"prompt": text, "label": "unsafe" if i < 200 else "safe"} for i, text in enumerate(texts)]
    made = from_rows(cells, name, repeats=True)
    monkeypatch.setattr("safebasin.prompts.hub.load_hub", lambda *_, **__: made)
    monkeypatch.setattr("safebasin.prompts.hub._headerless", lambda _: iter(cells))
    loaded = HubSource(public).load()
    found = {label: n for label in ("harmful", "benign") if (n := labels_of(loaded).count(label))}
    assert found == {label: int(facts(name)[f"n {label}"]) for label in found}
    assert sum(found.values()) == public.n
    for label in {"harmful", "benign"} - found.keys():
        with pytest.raises(PromptError, match="labelled otherwise"):
            labelled(loaded, label, name)
        with pytest.raises(PromptError, match=f"{label} prompts must be in the source"):
            placeholders(name, label=label)
