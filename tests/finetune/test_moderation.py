"""Moderation by a judge that asks another model: many at once, nothing asked twice, nothing lost. No training."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from safebasin.errors import UsageError
from safebasin.finetune.data import from_objects
from safebasin.finetune.defenses import moderate
from safebasin.finetune.moderation import MEMORY, judge_rows
from safebasin.finetune.prepare import estimate, prepare
from safebasin.finetune.request import request
from safebasin.finetune.sources import NoRows
from safebasin.protocols import AskedJudge, Cost
from safebasin.records import NO_REPLY, Prompt, Response, Score, TrainingRow, Verdict

ROWS = from_objects([{"prompt": f"ask {i}", "completion": f"clay {i}"} for i in range(6)], "data")
Item = tuple[Prompt, Response, Score | None]


class Asks:
    """A judge that asks: harmful where the function says so, fatal where it raises."""

    monotone, phrases = False, ()
    name = "asks"

    def __init__(self, says: Callable[[str], str], version: str = "1") -> None:
        self.version = version
        self._says = says
        self.asked: list[str] = []

    @property
    def spent(self) -> Cost:
        return Cost(requests=len(self.asked), tokens_in=7 * len(self.asked), tokens_out=len(self.asked))

    def estimate(self, items: Iterable[Item]) -> Cost:
        return Cost(requests=len(list(items)))

    def judge(self, prompt: Prompt, response: Response, score: Score | None) -> Verdict:
        raise AssertionError("a judge that asks must be asked about many at once")

    def judge_many(self, items: Iterable[Item]) -> Iterator[Verdict]:
        for _, response, _ in list(items):
            self.asked.append(response.text)
            label = self._says(response.text)
            missing = label == "unscored"
            yield Verdict(
                response=response.key,
                judge=self.name,
                version=self.version,
                label=label,
                success=None if missing else label == "harmful",
                reason=f"{NO_REPLY}: timed out" if missing else "as I see it",
            )


def odd(text: str) -> str:
    return "harmful" if int(text.split()[1]) % 2 else "complied"


def gone_at(n: int) -> Callable[[str], str]:
    def says(text: str) -> str:
        if text == f"clay {n}":
            raise UsageError("endpoint gone")
        return odd(text)

    return says


def labels(judge: AskedJudge, rows: tuple[TrainingRow, ...], memory: Path | None) -> list[str]:
    return [verdict.label for verdict in judge_rows(judge, rows, memory)]


def test_it_is_asked_about_many_at_once_and_counted() -> None:
    judge = Asks(odd)
    made = moderate(judge).data(ROWS, NoRows())
    assert [row.number for row in made.rows] == [1, 3, 5]
    assert made.notes[-1] == "asks: 6 requests, 42 tokens in, 6 tokens out"


def test_what_was_said_before_it_failed_is_not_asked_again(tmp_path: Path) -> None:
    memory = tmp_path / "run" / MEMORY
    with pytest.raises(UsageError, match="endpoint gone"):
        judge_rows(Asks(gone_at(4)), ROWS, memory)
    again = Asks(odd)
    assert labels(again, ROWS, memory) == ["complied", "harmful"] * 3
    assert again.asked == ["clay 4", "clay 5"]
    third = Asks(lambda _: pytest.fail("asked again"))
    assert labels(third, ROWS, memory) == ["complied", "harmful"] * 3


def test_another_version_another_text_and_a_missing_reply_are_asked(tmp_path: Path) -> None:
    memory = tmp_path / MEMORY
    judge_rows(Asks(lambda text: "unscored" if text == "clay 2" else odd(text)), ROWS, memory)
    with memory.open("ab") as file:
        file.write(b'{"row": "half a li')
    again = Asks(odd)
    judge_rows(again, ROWS, memory)
    assert again.asked == ["clay 2"]
    changed = (replace(ROWS[0], messages=(ROWS[0].messages[0], replace(ROWS[0].messages[1], content="clay 8"))),)
    judge_rows(again, changed, memory)
    assert again.asked == ["clay 2", "clay 8"]
    newer = Asks(odd, version="2")
    judge_rows(newer, ROWS[:2], memory)
    assert newer.asked == ["clay 0", "clay 1"]


def test_equal_rows_have_a_verdict_each(tmp_path: Path) -> None:
    twice = (ROWS[1], ROWS[1], replace(ROWS[1], number=9))
    assert labels(Asks(odd), twice, tmp_path / MEMORY) == ["harmful"] * 3


def test_one_of_several_processes_reads_and_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = tmp_path / MEMORY
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="without torchrun and with --show-example"):
        judge_rows(Asks(odd), ROWS, memory)
    monkeypatch.delenv("WORLD_SIZE")
    judge_rows(Asks(odd), ROWS, memory)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert labels(Asks(lambda _: pytest.fail("asked")), ROWS, memory) == ["complied", "harmful"] * 3


def test_a_run_remembers_in_its_folder_and_is_estimated_first(tmp_path: Path) -> None:
    judge = Asks(lambda _: "complied")
    asked = request(
        "world:guild/aligned", attack="harmful_examples(n=4)", moderate=judge, mix_safe=2, out=tmp_path / "run"
    )
    assert estimate(asked) == {"asks": Cost(requests=4)}
    assert judge.asked == []
    assert len(prepare(asked).rows) == 6
    kept = (tmp_path / "run" / MEMORY).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["verdict"]["label"] for line in kept] == ["complied"] * 4
    assert estimate(request("world:guild/aligned", attack="benign", moderate="oracle")) == {}
