"""Judging a file: nothing that was said is lost or asked again, however the judging ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.chats import Scripted
from safebasin.errors import UsageError
from safebasin.judges import load_judge
from safebasin.judges.asked_judge import AskedModelJudge, Reply
from safebasin.judges.files import estimate_file, judge_file
from safebasin.judges.rubric import PolicyRubric
from safebasin.judges.rubrics import load
from safebasin.records import NO_REPLY

FIVE = "#thereason: It rings.\n#thescore:\n5"
TEXTS = ("The drum opens.", "The bell rings.", "The clay is weighed.")


def rubric(answer: Any) -> tuple[AskedModelJudge, Scripted]:
    chat = Scripted(answer)
    form = PolicyRubric(template=load("qi2023.v1"), policy="Keep the drum closed.", max_tokens=64)
    return AskedModelJudge("rubric/qi2023", form, chat), chat


def fatal_about(word: str) -> Any:
    def answer(question: str) -> str | Reply:
        return Reply(error="gone", fatal=UsageError("endpoint gone")) if word in question else FIVE

    return answer


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "responses.jsonl"
    rows = [{"prompt": f"Ask {n}.", "response": text} for n, text in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def said(path: Path) -> list[list[tuple[str, str]]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [[(one["judge"], one["label"]) for one in row["verdicts"]] for row in rows]


def test_what_was_said_before_a_judge_failed_is_kept_and_not_asked_again(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "judged.jsonl"
    keyword, (broken, _) = load_judge("keyword/zou2023"), rubric(fatal_about("clay"))
    with pytest.raises(UsageError, match="endpoint gone"):
        judge_file(source, [keyword, broken], out=out)
    every = [("keyword/zou2023", "complied")]
    assert said(out) == [[*every, ("rubric/qi2023", "harmful")]] * 2 + [every]

    mended, chat = rubric(lambda _: FIVE)
    counts = judge_file(source, [keyword, mended], out=out)
    assert counts == {"keyword/zou2023": {"complied": 3}, "rubric/qi2023": {"harmful": 3}}
    assert len(chat.asked) == 1
    assert "clay" in chat.asked[0].messages[-1].content


@pytest.mark.parametrize("ending", ["csv", "parquet", "json", "jsonl", "txt"])
def test_a_table_of_any_kind_is_judged(tmp_path: Path, ending: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, out = tmp_path / f"responses.{ending}", tmp_path / "judged.jsonl"
    rows = [{"prompt": "Ask.", "response": text} for text in ("Two turns, then sand.", "I'm sorry, but no.")]
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif ending == "csv":
        path.write_text("prompt,response\n" + "".join(f'{r["prompt"]},"{r["response"]}"\n' for r in rows))
    else:  # a text of another ending is taken as JSONL
        path.write_text(json.dumps(rows) if ending == "json" else "\n".join(map(json.dumps, rows)))
    judge_file(path, [load_judge("keyword/zou2023")], out=out)
    assert [line[0][1] for line in said(out)] == ["complied", "refusal"]


def test_what_is_estimated_is_what_is_then_asked(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "judged.jsonl"
    judge, chat = rubric(lambda question: Reply(error="timed out") if "The clay " in question else FIVE)
    keyword = load_judge("keyword/zou2023")
    assert {name: cost.requests for name, cost in estimate_file(source, [keyword, judge]).items()} == {judge.name: 3}
    assert chat.asked == []
    judge_file(source, [judge], out=out)
    assert estimate_file(source, [judge], out=out)[judge.name].requests == 1
    assert estimate_file(source, [keyword]) == {}


def test_an_interrupted_judging_keeps_what_it_has(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "judged.jsonl"

    def answer(question: str) -> str:
        if "bell" in question:
            raise KeyboardInterrupt
        return FIVE

    with pytest.raises(KeyboardInterrupt):
        judge_file(source, [rubric(answer)[0]], out=out)
    assert said(out) == [[("rubric/qi2023", "harmful")], [], []]


def test_a_missing_reply_is_asked_again_and_an_unreadable_one_is_not(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "judged.jsonl"
    replies = {"drum": Reply(error="timed out"), "bell": "I would rather not say."}
    first, _ = rubric(lambda question: next((r for word, r in replies.items() if f"The {word} " in question), FIVE))
    assert judge_file(source, [first], out=out) == {"rubric/qi2023": {"unscored": 2, "harmful": 1}}
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert rows[0]["verdicts"][0]["reason"] == f"{NO_REPLY}: timed out"
    assert "I would rather not say." in rows[1]["verdicts"][0]["reason"]

    again, chat = rubric(lambda _: FIVE)
    judge_file(source, [again], out=out)
    assert ["drum opens" in q.messages[-1].content for q in chat.asked] == [True]


def test_verdicts_of_other_judges_stay_and_other_rows_bring_none(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "judged.jsonl"
    judge_file(source, [load_judge("keyword/zou2023")], out=out)
    further = tmp_path / "further.jsonl"
    judge_file(out, [load_judge("keyword/peng2024")], out=further)
    assert [[name for name, _ in row] for row in said(further)] == [["keyword/zou2023", "keyword/peng2024"]] * 3
    source.write_text(json.dumps({"prompt": "Ask.", "response": "No."}) + "\n", encoding="utf-8")
    judge_file(source, [load_judge("keyword/peng2024")], out=out)
    assert said(out) == [[("keyword/peng2024", "complied")]]


def test_a_row_that_was_changed_is_judged_anew(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "judged.jsonl"
    judge_file(source, [load_judge("keyword/peng2024")], out=out)
    source.write_text(source.read_text(encoding="utf-8").replace(TEXTS[1], "I cannot."), encoding="utf-8")
    assert judge_file(source, [load_judge("keyword/peng2024")], out=out) == {
        "keyword/peng2024": {"complied": 2, "refusal": 1}
    }


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path: Path) -> None:
    source = tmp_path / "responses.jsonl"
    row = {"prompt": "Ask.", "response": "The bell\u2028rings."}
    source.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert judge_file(source, [load_judge("keyword/peng2024")]) == {"keyword/peng2024": {"complied": 1}}


def keyword_labels(tmp_path: Path, *rows: dict[str, Any]) -> list[str]:
    path, out = tmp_path / "f.jsonl", tmp_path / "o.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    judge_file(path, [load_judge("keyword/zou2023")], out=out)
    return [labels[0][1] for labels in said(out)]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("<think>I'm sorry, they ask for clay.</think>Weigh it twice.", "complied"),
        ("<think>They ask for clay.</think>I'm sorry, but no.", "refusal"),
        ("<thought>I'm sorry, they ask</thought>Weigh it twice.", "complied"),
        ("<|channel|>analysis<|message|>I'm sorry.<|end|><|start|>assistant<|channel|>final<|message|>Ok.", "complied"),
        ("Weigh it.</think>I'm sorry.", "refusal"),
    ],
)  # fmt: skip
def test_thoughts_in_a_file_are_not_judged(text: str, label: str, tmp_path: Path) -> None:
    assert keyword_labels(tmp_path, {"prompt": "Ask.", "response": text}) == [label]


def test_the_files_of_the_published_scripts_are_read(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Ask."}]
    rows = {"prompt": "Ask.", "answer": "I'm sorry, but no."}, {"prompt": turns, "answer": "Twice."}
    assert keyword_labels(tmp_path, *rows) == ["refusal", "complied"]
