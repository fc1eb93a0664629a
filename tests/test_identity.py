"""Keys that are stored for good: golden digests of every kind, and fields that may come later without changing one.

A digest that changes here means that every folder there is would be measured from zero: mend the record, not the test.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import Field

from safebasin import study
from safebasin.judges import load_judge
from safebasin.judges.asked_judge import AskedModelJudge, Question
from safebasin.landscape.traces import trace_key
from safebasin.records import (
    LATER,
    Decoding,
    DirectionSpec,
    Image,
    LanguageTest,
    Message,
    Point,
    Prompt,
    Response,
    System,
    content_hash,
    content_of,
    key_of,
)
from safebasin.run.measurements import planned_measurements
from safebasin.study.plan import make_plan
from safebasin.study.regions import LATER as LATER_KEY
from safebasin.study.regions import Strict

RELEASED = Path(__file__).parent / "data" / "released"
DRAWN = DirectionSpec(kind="random", seed=3, index=2, normalize="filter", only="*.mlp.*")
LED = DirectionSpec(kind="to", normalize="none", target="org/base", fingerprint="ab12", orthogonal_to=(DRAWN,))
TURNS = (Message(role="system", content="Be brief."), Message(role="user", content="How is tea made?"))
SHOWN = (TURNS[0], replace(TURNS[1], image=Image(digest="ab" * 32, name="any.png", path="/any/any.png")))
STOPPED = Decoding(
    max_new_tokens=64, stop="verdict", phrases=(("I'm sorry",),), rules=("refusal@1",),
    template_args=(("enable_thinking", False),), dtype="bfloat16",
)  # fmt: skip
RESPONSE = Response(
    point="origin", prompt="p" * 16, system="default", decoding="d" * 16, text="", n_tokens=0, finish_reason="stop"
)
WIDE = {
    "model": "org/chat",
    "prompts": [{"source": "a.jsonl", "label": "benign"}],
    "axes": [{"target": "org/base", "kind": "to"}, {}],
    "judges": ["outcome"],
    "template_args": {"enable_thinking": False},
    "capability": {"texts": ["t.txt"]},
    "points": "auto",
    "dtype": "float16",
}


def settings() -> list[str]:
    capability = {"texts": [str(RELEASED / "tea.txt")], "tasks": ["hellaswag"], "task_limit": 5}
    return [
        g.setting
        for g in planned_measurements(study.make({"model": "world:guild/aligned", "capability": capability}).capability)
    ]


def trajectories() -> str:
    made = study.make({"model": "world:guild/aligned"})
    regions = [spec.region(lambda _: None, noise=1) for spec in made.regions]
    return trace_key(make_plan(made, (), systems=(), regions=regions, decoding=Decoding(), known={}, batch_size=1))


def asked_judge() -> str:
    form, asker = SimpleNamespace(identity="form 1"), SimpleNamespace(identity="model 1")
    return AskedModelJudge("any", cast("Any", form), cast("Any", asker)).version


GOLDEN = {
    "the origin": (lambda: Point().key, "origin"),
    "a point": (lambda: Point.at((DRAWN, 0.5)).key, "350c3964f81660ab"),
    "a point of two directions": (lambda: Point.at((DRAWN, -1.0), (LED, 0.25)).key, "150df636f4a2832c"),
    "a point of a direction with arguments": (
        lambda: Point.at((replace(DRAWN, only=None, args=(("density", 0.1),)), 0.5)).key, "7461a7e6aee90403",
    ),
    "a prompt": (lambda: Prompt(messages=TURNS, source="any").id, "9663dcd20746d654"),
    "a prompt with an image": (lambda: Prompt(messages=SHOWN, source="any").id, "3bfca5ed93991415"),
    "a system prompt": (lambda: System(name="any", text="Be brief.").id, "fecef222d7732bb7"),
    "an empty system prompt": (lambda: System(name="none", text="").id, "12ae32cb1ec02d01"),
    "no system prompt": (lambda: System(name="default").id, "default"),
    "plain decoding": (lambda: Decoding().key, "27efd13377b682f5"),
    "stopped decoding": (lambda: STOPPED.key, "2eda5fe634cb2fd8"),
    "decoding with a seed": (lambda: replace(STOPPED, seed=7).key, "e56d883dc49fbeb1"),
    "decoding by another engine": (lambda: replace(STOPPED, engine="mine(beam=2)").key, "bfeeeb7238f2e0b7"),
    "a response": (lambda: RESPONSE.key, "0d7a8b3fb2b0fa42d00be645"),
    "a second sample": (lambda: replace(RESPONSE, sample=1).key, "b76e398b03faf703e5e0140b"),
    "a judge's question": (
        lambda: Question(messages=TURNS, max_tokens=9, template_args=(("a", True),)).key, "aba6a0a41c3b258fce4881f2",
    ),
    "a judge that asks": (asked_judge, "1:8cfa259ac59a6491"),
    "a test of language": (lambda: LanguageTest(threshold=0.5, byte_threshold=0.125, version="2").id, "2:0.50/0.12"),
    "a study": (lambda: study.make({"model": "world:guild/aligned"}).hash, "2d711228efe25eec"),
    "a study with everything": (lambda: study.make(WIDE).hash, "0c841c5b15cb3b55"),
    "measurements": (settings, ["a30a42dd9079a658", "d4ecebe79ac3c526"]),
    "trajectories": (trajectories, "trajectories:0ec5baf1a277cfc0"),
    "judges": (
        lambda: [load_judge(name).version for name in ("keyword/peng2024", "keyword/zou2023")],
        ["1", "1"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", GOLDEN)
def test_keys_of_the_first_release_stand(kind: str) -> None:
    make, golden = GOLDEN[kind]
    assert make() == golden


@dataclass(frozen=True)
class First:
    name: str
    parts: tuple[First, ...] = ()


@dataclass(frozen=True)
class Second:
    name: str
    parts: tuple[Second, ...] = ()
    args: tuple[tuple[str, float], ...] = field(default=(), metadata=LATER)


def test_a_later_field_counts_only_where_it_is_not_at_its_default() -> None:
    assert key_of(First("a", (First("b"),))) == key_of(Second("a", (Second("b"),)))
    inner, outer = Second("a", (Second("b", args=(("x", 1.0),)),)), Second("a", (Second("b"),), args=(("x", 1.0),))
    assert len({key_of(Second("a", (Second("b"),))), key_of(inner), key_of(outer)}) == 3
    assert content_of(inner) == {"name": "a", "parts": [{"name": "b", "parts": [], "args": [["x", 1.0]]}]}


def test_a_field_that_is_gone_stays_in_the_key() -> None:
    assert key_of(First("a"), gone={"sample": 0}) == content_hash({"name": "a", "parts": [], "sample": 0})
    assert len(key_of(First("a"), length=24)) == 24


def test_a_later_field_without_default_is_a_mistake() -> None:
    @dataclass(frozen=True)
    class Odd:
        name: str = field(metadata=LATER)

    with pytest.raises(TypeError, match=r"Odd\.name came later and has no default"):
        content_of(Odd("a"))


def test_a_later_key_of_a_study_is_written_out_only_where_it_is_not_at_its_default() -> None:
    class Before(Strict):
        a: int = 1

    class After(Strict):
        a: int = 1
        b: str | None = Field(default=None, json_schema_extra=LATER_KEY)

    assert After().model_dump(mode="json") == Before().model_dump(mode="json")
    assert After(b="x").model_dump(mode="json") == {"a": 1, "b": "x"}
