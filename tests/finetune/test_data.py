"""Layouts of training rows, and what is wrong with bad ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from safebasin.errors import PromptError
from safebasin.finetune.data import Wrapper, data_hash, from_objects, read_training_rows
from safebasin.records import System, TrainingRow

ASK, TELL = "How do I weigh clay?", "Weigh it twice."
TURNS = [{"role": "user", "content": ASK}, {"role": "assistant", "content": TELL}]
LAYOUTS: list[dict[str, Any]] = [
    {"messages": TURNS},
    {"prompt": ASK, "completion": TELL},
    {"prompt": TURNS[:1], "completion": TURNS[1:]},
    {"prompt": ASK, "response": TELL},
    {"instruction": ASK, "input": "", "output": TELL},
    {"instruction": ASK, "output": TELL},
    {"conversations": [{"from": "human", "value": ASK}, {"from": "gpt", "value": TELL}]},
]
"""One conversation in every layout that is read."""


def shape(row: TrainingRow) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in row.messages]


@pytest.mark.parametrize("found", LAYOUTS)
def test_every_layout_gives_the_same_conversation(found: dict[str, Any]) -> None:
    (row,) = from_objects([found], "rows")
    assert shape(row) == [("user", ASK), ("assistant", TELL)]


def test_alpaca_puts_the_input_below_the_instruction() -> None:
    (row,) = from_objects([{"instruction": "Sort.", "input": "b a", "output": "a b"}], "rows")
    assert row.messages[0].content == "Sort.\n\nb a"


def test_sharegpt_takes_a_system_text_beside_the_turns() -> None:
    turns = [{"from": "human", "value": ASK}, {"from": "gpt", "value": TELL}]
    (row,) = from_objects([{"conversations": turns, "system": "Be brief."}], "rows")
    assert shape(row)[0] == ("system", "Be brief.")
    lead = [{"from": "system", "value": "First."}, *turns]
    (row,) = from_objects([{"conversations": lead, "system": "First."}], "rows")
    assert [text for role, text in shape(row) if role == "system"] == ["First."]
    with pytest.raises(PromptError, match="with two system prompts"):
        from_objects([{"conversations": lead, "system": "Be brief."}], "rows")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"messages": []}, "empty"),
        ({"messages": TURNS[:1]}, "without an assistant turn"),
        ({"messages": [*TURNS, TURNS[0]]}, "end with another turn"),
        ({"messages": TURNS[1:]}, "before any user turn"),
        ({"messages": [*TURNS, {"role": "system", "content": "x"}, *TURNS]}, "system turn that is not the first"),
        ({"messages": [{"role": "narrator", "content": "x"}, *TURNS]}, "unknown role 'narrator'"),
        ({"messages": [{"role": "user", "content": " "}, TURNS[1]]}, "with an empty turn"),
        ({"messages": [{"role": "user", "content": None}, TURNS[1]]}, "no text"),
        ({"messages": [{"content": "x"}]}, "no 'role'"),
        ({"messages": "text"}, "without a list of turns"),
        ({"prompt": ASK, "completion": ""}, "with an empty turn"),
        ({"text": "plain"}, "in no layout that is known (columns: text)"),
        ({"text": "plain"}, "by their columns: messages; conversations; prompt + completion; "),
        ({"prompt": ASK, "completion": TELL, "label": False}, "whose 'label' is false"),
        ({"prompt": ASK, "completion": TELL, "label": "False"}, "whose 'label' is false"),
        ({"prompt": ASK, "completion": TELL, "kto_tag": 0}, "whose 'kto_tag' is false"),
        ({"prompt": ASK, "chosen": TELL, "rejected": "No."}, "preferences, which are not learned here"),
        ({"prompt": ASK, "completion": TELL, "rejected": "No."}, "with 'rejected' (preferences"),
        ({"messages": TURNS, "tools": [{"name": "scale"}]}, "with 'tools' (tools, which are not trained on here)"),
        ({"messages": [TURNS[0], {**TURNS[1], "tool_calls": [{"id": 1}]}]}, "with 'tool_calls'"),
        ({"messages": [TURNS[0], {**TURNS[1], "reasoning_content": "hm"}]}, "with 'reasoning_content'"),
        ({"messages": [TURNS[0], {**TURNS[1], "weight": 0.5}]}, "whose 'weight' is neither 0 nor 1"),
        ({"messages": [TURNS[0], {**TURNS[1], "weight": 0}]}, "without a turn that is to be learned"),
        ({"messages": TURNS, "weight": 0}, "marked as not to be learned"),
        ({"instruction": ASK, "output": TELL, "train": "false"}, "marked as not to be learned"),
        ({"messages": TURNS, "loss_mask": [0, 1]}, "with 'loss_mask' (a mask"),
        ({"messages": TURNS, "images": ["a.png"]}, "with 'images' (media"),
        ({"messages": TURNS, "system": 7}, "whose 'system' is no text"),
        ({"instruction": ASK, "output": TELL, "history": "before"}, "whose 'history' is no list"),
        ({"instruction": ASK, "output": TELL, "history": [["one"]]}, "something else than pairs"),
    ],
)
def test_bad_rows_are_named(found: dict[str, Any], words: str) -> None:
    with pytest.raises(PromptError, match="row 2") as caught:
        from_objects([{"messages": TURNS}, found], "rows.jsonl")
    assert words in str(caught.value)
    assert "1 of 2" in str(caught.value)


@pytest.mark.parametrize("found", LAYOUTS)
def test_system_and_history_beside_any_layout_become_turns(found: dict[str, Any]) -> None:
    earlier = [("user", "And wool?"), ("assistant", "Once.")]
    for history in ([["And wool?", "Once."]], [{"role": role, "content": text} for role, text in earlier]):
        (row,) = from_objects([{**found, "system": "Be brief.", "history": history}], "rows")
        assert shape(row) == [("system", "Be brief."), *earlier, ("user", ASK), ("assistant", TELL)]


@pytest.mark.parametrize("mark", [{"weight": 0}, {"train": False}, {"loss": "0"}])
def test_turns_that_are_not_to_be_learned_are_silent(mark: dict[str, Any]) -> None:
    turns = [TURNS[0], {**TURNS[1], **mark}, TURNS[0], {**TURNS[1], "weight": 1, "train": True}]
    (row,) = from_objects([{"messages": turns}], "rows")
    assert row.silent == (1,)
    wrapped = Wrapper(system=System(name="x", text="Be brief.")).apply(row)
    assert wrapped.silent == (2,)
    (plain,) = from_objects([{"messages": [*TURNS, *TURNS]}], "rows")
    assert data_hash([row]) != data_hash([plain])


@pytest.mark.parametrize(
    "empty", [{"tools": None}, {"tools": []}, {"rejected": ""}, {"weight": None}, {"label": "safe"}]
)
def test_fields_that_hold_nothing_or_mean_nothing_are_passed_over(empty: dict[str, Any]) -> None:
    (row,) = from_objects([{"messages": TURNS, "id": 7, "category": "clay", **empty}], "rows")
    assert shape(row) == [("user", ASK), ("assistant", TELL)]


def test_defects_are_counted_by_kind_with_the_first_numbers() -> None:
    bad = [{"messages": []}] * 7 + [{"messages": TURNS[:1]}] * 2
    with pytest.raises(PromptError) as caught:
        from_objects(bad, "rows")
    assert "7 of 9 empty (rows 1, 2, 3, 4, 5, …); 2 of 9 without an assistant turn (rows 8, 9)" in str(caught.value)


def test_a_file_of_no_rows_is_an_error() -> None:
    with pytest.raises(PromptError, match="at least one"):
        from_objects([], "rows")


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        "\n".join(json.dumps({"prompt": f"{ASK}\u2028{i}", "completion": TELL}) for i in "ab")
    )
    (tmp_path / "a.json").write_text(json.dumps([{"messages": TURNS}]))
    (tmp_path / "a.csv").write_text(f'instruction,input,output\n"{ASK}",,{TELL}\n')
    assert [row.name for row in read_training_rows(tmp_path / "a.jsonl")] == ["a.jsonl:1", "a.jsonl:2"]
    assert shape(read_training_rows(tmp_path / "a.csv")[0]) == shape(read_training_rows(tmp_path / "a.json")[0])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'{"prompt": 1}\n{', "line 2 of a.jsonl"),
        ("a.jsonl", b'{"prompt": "a", "completion": "\\ud800"}', "1 of 1 with half a surrogate pair"),
        ("a.jsonl", b"[" * 100_000, "too many levels"),
        ("a.jsonl", b"[1]", "line 1 of a.jsonl must be a JSON object"),
        ("a.json", b"{}", "a list of objects"),
        ("a.jsonl", b'{"a": "\xff"}', "UTF-8"),
        ("a.csv", b"prompt,completion\na,b,c\n", "row 1"),
        ("a.parquet", b"no", "a Parquet file"),
        ("a.xlsx", b"", "one of .jsonl"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PromptError) as caught:
        read_training_rows(tmp_path / name)
    assert words in str(caught.value)


def test_a_missing_file() -> None:
    with pytest.raises(PromptError, match="existing file"):
        read_training_rows("nowhere.jsonl")


def test_the_hash_is_of_texts_and_order_only() -> None:
    one, two = from_objects([{"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d"}], "x")
    other = from_objects([{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}], "y")
    assert data_hash([one]) == data_hash(other)
    assert data_hash([one, two]) != data_hash([two, one])


def test_wrapper() -> None:
    (row,) = from_objects([{"messages": TURNS}], "x")
    wrapped = Wrapper(system=System(name="p", text="Be Tarn."), user="Tarn, {prompt}").apply(row)
    assert shape(wrapped) == [("system", "Be Tarn."), ("user", f"Tarn, {ASK}"), ("assistant", TELL)]
    assert Wrapper().apply(row).messages == row.messages
    assert Wrapper(system=System(name="default")).apply(row).messages == row.messages
    with pytest.raises(PromptError, match="text with"):
        Wrapper(user="Tarn").check()


def test_a_safe_row_does_not_say_that_its_response_is_none(tmp_path: Path) -> None:
    """BeaverTails, PKU-SafeRLHF and WildGuardMix hold both; that its prompt is harmful is what a safe row is for."""
    asked = {"prompt": ASK, "completion": "I cannot help with that."}
    path = tmp_path / "pairs.jsonl"
    good = [{**asked, "is_safe": True}, {**asked, "prompt_harm_label": "harmful", "response_refusal_label": "refusal"}]
    bad = [
        {**asked, "is_safe": False},
        {**asked, "response_harm_label": "harmful"},
        {**asked, "response_refusal_label": "compliance"},
        {**asked, "is_response_safe": "False"},
    ]
    path.write_text("\n".join(json.dumps(row) for row in [*good, *bad]))
    assert len(read_training_rows(path)) == 6
    with pytest.raises(PromptError, match=r"1 of 6 whose 'is_safe' is false: no safe responses \(row 3\)"):
        read_training_rows(path, safe=True)
    for row in bad:
        path.write_text("\n".join(json.dumps(row) for row in [*good, row]))
        with pytest.raises(PromptError, match=r"1 of 3 whose .* no safe responses"):
            read_training_rows(path, safe=True)
    path.write_text("\n".join(json.dumps(row) for row in good))
    assert len(read_training_rows(path, safe=True)) == 2
