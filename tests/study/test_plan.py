"""Plans: resume is subtraction, batches do not depend on what is left to do."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebasin import study
from safebasin.errors import StudyError
from safebasin.records import Message, Prompt, System
from safebasin.study.answered import Answered
from safebasin.study.plan import Plan, PromptSet, assign_batches, make_plan, plain_decoding, resolve_decoding
from safebasin.study.stages import ask_order


def prompts(n: int, start: int = 0) -> tuple[Prompt, ...]:
    return tuple(
        Prompt(messages=(Message(role="user", content=f"Weigh lot {i}" + "." * (i * 7 % 5)),))
        for i in range(start, start + n)
    )


def plan(n: int = 10, *, batch_size: int = 4, known: dict[str, int] | None = None, **flags: object):
    made = study.make(study.with_flags({"model": "world:guild/aligned"}, {"range": "-1:1:5", **flags}))
    return make_plan(
        made,
        [PromptSet(name="harmful", source="x", prompts=prompts(n))],
        systems=[System(name="default")],
        regions=[spec.region() for spec in made.regions],
        decoding=resolve_decoding(made, ()),
        known=known or {},
        batch_size=batch_size,
    )


def test_the_origin_is_measured_once_for_all_directions() -> None:
    made = plan(directions=3)
    assert [p.key for p in made.points].count("origin") == 1
    assert len(made.points) == 1 + 3 * 4
    assert made.size == 13 * 10


def test_the_origin_is_measured_even_where_the_grid_leaves_it_out() -> None:
    assert plan(range="0.5:1:2").points[0].is_origin


def test_what_is_asked_is_told_without_building_every_key() -> None:
    made = plan(4, directions=2)
    keys = set(made.keys())
    assert len(keys) == made.size
    (point, system, prompt), *_ = sorted(keys)
    others = {("other", system, prompt), (point, "other", prompt), (point, system, "other")}
    assert made.asked(Answered.of(keys | others)) == Answered.of(keys)


def test_what_is_done_is_subtracted() -> None:
    made = plan()
    tasks = made.tasks()
    assert len(tasks) == 13 * 3
    done = {(t.point.key, t.system.id, p.id) for t in tasks[:5] for p in t.prompts}
    assert made.tasks(Answered.of(done)) == tasks[5:]
    assert made.tasks(Answered.of(made.keys())) == ()


def test_a_half_done_batch_is_done_again_as_a_whole() -> None:
    made = plan()
    first = made.tasks()[0]
    done = {(first.point.key, first.system.id, first.prompts[0].id)}
    assert made.tasks(Answered.of(done))[0] == first
    alone = made.tasks(Answered.of(done), whole=False)[0]
    assert alone.prompts == first.prompts[1:], "an engine that is invariant to its batch is asked for what is missing"


@given(n=st.integers(1, 30), more=st.integers(0, 30), size=st.integers(1, 9))
def test_known_prompts_keep_their_batch(n: int, more: int, size: int) -> None:
    first = assign_batches(prompts(n), {}, size)
    second = assign_batches(prompts(n + more), first, size)
    assert {k: second[k] for k in first} == first
    counts = [list(second.values()).count(b) for b in set(second.values())]
    assert max(counts) <= size
    assert len(second) == n + more


def test_batches_do_not_depend_on_the_order_of_the_prompts() -> None:
    assert assign_batches(prompts(9), {}, 4) == assign_batches(prompts(9)[::-1], {}, 4)


def test_wider_range_and_more_directions_only_add_points() -> None:
    small, large = plan(directions=1), plan(directions=3, range="-2:2:9")
    assert set(small.points) < set(large.points)


@dataclass(frozen=True)
class FakeJudge:
    phrases: tuple[str, ...]
    monotone: bool = True
    name: str = "fake"
    version: str = "1"


A, B, GUARD = FakeJudge(("No",)), FakeJudge(("Never",)), FakeJudge((), monotone=False)


@dataclass(frozen=True)
class FakeRule(FakeJudge):
    rule: str = "fake@1"
    cues: tuple[str, ...] = ("no",)
    horizon: int = 9

    def judge(self, prompt: object, response: object, score: object) -> None: ...

    def decides(self, text: str) -> bool:
        return False


RULE = FakeRule(())


@pytest.mark.parametrize(
    ("stop", "judges", "expected"),
    [
        ("auto", [A, B], "verdict"),
        ("auto", [A, GUARD], "none"),
        ("auto", [FakeJudge(())], "none"),
        ("auto", [A, RULE], "verdict"),
        ("auto", [RULE], "verdict"),
        ("auto", [RULE, GUARD], "none"),
        ("none", [A], "none"),
        ("verdict", [A, GUARD], "verdict"),
        ("loop", [A], "loop"),
    ],
)
def test_stop_auto_ends_a_row_only_if_every_judge_is_monotone(stop: str, judges: list, expected: str) -> None:
    made = study.make({"model": "world:guild/aligned", "decoding": {"stop": stop}})
    assert resolve_decoding(made, judges).stop == expected


def test_a_stop_rule_is_one_that_the_engine_honors() -> None:
    made = study.make({"model": "world:guild/aligned"})
    assert resolve_decoding(made, [A], stops={"none", "loop"}).stop == "none"
    stored = resolve_decoding(made, [A])
    assert resolve_decoding(made, [A], [stored], stops={"none"}).stop == "none"
    wanted = study.make({"model": "world:guild/aligned", "decoding": {"stop": "verdict"}})
    with pytest.raises(StudyError, match=r"auto, or one that the engine 'oven' honors \(loop, none\); got 'verdict'"):
        resolve_decoding(wanted, [A], plain=replace(plain_decoding(wanted), engine="oven"), stops={"none", "loop"})


def test_the_rules_of_judges_are_part_of_a_decoding_each_once() -> None:
    made = study.make({"model": "world:guild/aligned"})
    found = resolve_decoding(made, [A, RULE, FakeRule((), name="rests on the same")])
    assert (found.phrases, found.rules) == ((("No",),), ("fake@1",))
    assert found.unstopped == resolve_decoding(made, [GUARD])
    assert (
        resolve_decoding(study.make({"model": "world:guild/aligned", "decoding": {"stop": "none"}}), [RULE]).rules == ()
    )


def test_a_judge_added_later_finds_the_responses_there_are() -> None:
    made = study.make({"model": "world:guild/aligned"})
    first = resolve_decoding(made, [A])
    assert resolve_decoding(made, [A, B, GUARD], [first]) == first
    assert resolve_decoding(made, [A, B]).key != first.key


@pytest.mark.parametrize("stop", ["verdict", "loop"])
def test_a_stop_rule_by_name_reuses_what_an_earlier_set_of_judges_left(stop: str) -> None:
    made = study.make({"model": "world:guild/aligned", "decoding": {"stop": stop}})
    first, complete = (
        resolve_decoding(made, [A]),
        resolve_decoding(study.make({"model": "world:guild/aligned"}), [GUARD]),
    )
    assert first.stop == stop
    assert resolve_decoding(made, [A, B, GUARD], [complete, first]) == first
    assert resolve_decoding(made, [], [first]) == first
    both = resolve_decoding(made, [A, B])
    assert both.key != first.key
    assert resolve_decoding(made, [A, B], [first, both]) == both, "that of the same judges comes first"
    other = study.make({"model": "world:guild/aligned", "decoding": {"stop": stop, "max_new_tokens": 9}})
    assert resolve_decoding(other, [A], [first]) != first, "other settings are other responses"


# --- points that are stopped -----------------------------------------------------------------------------------------


def fast_plan(n: int = 160, *, batch_size: int = 16) -> Plan:
    made = study.make(study.with_flags({"model": "world:guild/aligned", "fast": True}, {"range": "-1:1:5"}))
    regions = [spec.region() for spec in made.regions]
    decoding = resolve_decoding(made, ())
    return make_plan(
        made,
        [PromptSet(name="harmful", source="x", prompts=prompts(n))],
        systems=[System(name="default"), System(name="none", text="")],
        regions=regions,
        decoding=decoding,
        known={},
        batch_size=batch_size,
        chosen={region.name: tuple(region.grid()) for region in regions},
        exact=decoding,
    )


def _asked_at(made: Plan, point: str) -> set[str]:
    return {question[2] for question in list(made.keys()) if question[0] == point}


def test_a_stopped_point_is_asked_the_first_prompts_alone() -> None:
    whole = fast_plan()
    (asked,), (_, point, other, *_) = whole.sets, [p.key for p in whole.points]
    made = replace(whole, stopped={point: {"harmful": 42}, "elsewhere": {"harmful": 42}})
    assert made.size == whole.size - 2 * (160 - 42) == len(set(made.keys()))
    assert set(made.left_out) == {point}
    assert _asked_at(made, point) == set(ask_order(asked.ids)[:42])
    assert _asked_at(made, other) == set(asked.ids)
    every = Answered.of(whole.keys())
    assert made.asked(every) == Answered.of(made.keys())
    assert made.tasks(Answered.of(made.keys())) == ()
    for is_whole in (True, False):
        tasks = made.tasks(whole=is_whole)
        assert {(t.point.key, t.system.id, p.id) for t in tasks for p in t.prompts} == set(made.keys())


def test_what_a_further_stage_asks_is_in_batches_of_its_own() -> None:
    whole = fast_plan(170)
    (asked,), point = whole.sets, whole.points[1].key
    assert asked.stages == (43, 128)
    first, second = (replace(whole, stopped={point: {"harmful": n}}) for n in asked.stages)
    tasks = second.tasks(Answered.of(first.keys()))
    further = {prompt for prompt, rank in asked.ranks.items() if 43 <= rank < 128}
    of_point = [t for t in tasks if t.point.key == point]
    assert {p.id for t in of_point for p in t.prompts} == further
    assert sum(len(t.prompts) for t in of_point) == 2 * len(further), "nothing is decoded again"
    again = replace(second, stopped={})
    left = [t for t in again.tasks(Answered.of(second.keys())) if t.point.key == point]
    assert sum(len(t.prompts) for t in left) == 2 * (170 - 128)


def test_batches_of_a_set_that_is_never_stopped_are_as_before() -> None:
    assert fast_plan(40).batches == assign_batches(prompts(40), {}, 16)
    assert fast_plan(160).batches != assign_batches(prompts(160), {}, 16)


def test_a_prompt_of_two_sets_is_asked_where_either_asks_it() -> None:
    one = fast_plan()
    both = replace(one, sets=(*one.sets, PromptSet(name="few", source="y", prompts=prompts(10))))
    point = both.points[1].key
    made = replace(both, stopped={point: {"harmful": 42}})
    asked = set(ask_order(one.sets[0].ids)[:42]) | set(both.sets[1].ids)
    assert _asked_at(made, point) == asked
