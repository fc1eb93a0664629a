"""Fast mode as a plan: which prompts calibrate it, which are checked, and what a study of it may say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from safebasin import study
from safebasin.errors import StudyError
from safebasin.records import Message, Prompt, System
from safebasin.study.fast import CHECKED, PILOT, POINTS, checked, exact_study, in_full, pilot
from safebasin.study.plan import Plan, PromptSet, make_plan, resolve_decoding


def a_study(**given: Any) -> study.Study:
    return study.make({"model": "world:guild/aligned", "fast": True, **given})


def a_plan(n: int, made: study.Study) -> Plan:
    prompts = tuple(Prompt(messages=(Message(role="user", content=f"Weigh lot {i}"),)) for i in range(n))
    regions = [spec.region() for spec in made.regions]
    full = make_plan(
        made,
        [PromptSet(name="harmful", source="x", prompts=prompts)],
        systems=[System(name="default")],
        regions=regions,
        decoding=resolve_decoding(made, ()),
        known={},
        batch_size=64,
        chosen={region.name: tuple(region.grid()) for region in regions},
        exact=resolve_decoding(exact_study(made), ()),
    )
    return replace(full, decoding=replace(full.decoding, max_new_tokens=16))


def test_a_study_of_fast_mode_is_adaptive_and_ends_repetition() -> None:
    made = a_study()
    assert ([r.points for r in made.regions], made.decoding.stop) == (["auto"], "loop")
    assert study.make(study.with_flags({"model": "world:guild/aligned"}, {"fast": True})) == made
    assert study.Study.model_validate(made.model_dump(mode="json")) == made
    plain = study.make({"model": "world:guild/aligned", "points": "auto", "decoding": {"stop": "loop"}})
    assert made.hash != plain.hash
    assert "fast" not in study.dump(plain), "a study of another mode is written, and known, as before"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"points": "grid"}, r"points must be auto where fast is asked for; got 'grid'\. Leave points out, or fast"),
        ({"decoding": {"stop": "none"}}, r"decoding\.stop must be loop where fast is asked for; got 'none'"),
        ({"decoding": {"stop": "verdict"}}, r"decoding\.stop must be loop where fast is asked for; got 'verdict'"),
        ({"axes": [{}, {}], "budget": 8}, r"budget must be at least 9, the ends and the origin .*; got 8"),
    ],
)
def test_what_contradicts_fast_mode_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        a_study(**given)


@pytest.mark.parametrize("n", [1, 2, 5, 16, 60])
def test_pilot_and_sample_are_bounded_and_no_prompt_is_in_both(n: int) -> None:
    plan = a_plan(n, a_study(axes=[{"directions": 2, "range": "-1:1:9"}]))
    first, second = pilot(plan), checked(plan)
    assert second is not None
    assert 1 <= len(first.prompts) <= min(PILOT, (n + 1) // 2)
    assert 1 <= len(second.prompts) <= CHECKED
    assert n == 1 or not set(first.prompts) & set(second.prompts)
    assert len(second.points) == 1 + 2 * POINTS
    assert len(first.points) == 1 + 2 * POINTS
    assert set(first.points) | set(second.points) < set(plan.points)
    assert first.decoding == in_full(plan) != plan.decoding
    assert (second.decoding.stop, second.decoding.max_new_tokens) == ("none", 128)


def test_the_choice_does_not_depend_on_order() -> None:
    plan = a_plan(40, a_study())
    (own,) = plan.sets
    turned = replace(plan, sets=(replace(own, prompts=own.prompts[::-1]),))
    for part in (pilot, checked):
        one, other = part(plan), part(turned)
        assert one is not None
        assert other is not None
        assert set(one.prompts) == set(other.prompts)
        assert one.points == other.points


def test_of_a_plane_twice_as_many_points_are_checked() -> None:
    sample = checked(a_plan(4, a_study(axes=[{"range": "-1:1:5"}, {"range": "-1:1:5"}])))
    assert sample is not None
    assert len(sample.points) == 1 + 2 * POINTS


@pytest.mark.parametrize(("n_asked", "n_of_pilot"), [(2, 1), (3, 2), (8, POINTS)])
def test_the_pilot_takes_points_halfway_out_half_as_many_as_few_points(n_asked: int, n_of_pilot: int) -> None:
    plan = a_plan(8, a_study(axes=[{"directions": 3, "range": "-1:1:9"}]))
    (region,) = plan.regions
    asked = [[p for p in region.grid() if p.direction == d and region.point(p).terms][:n_asked] for d in range(3)]
    begun = pilot(replace(plan, chosen={region.name: tuple(place for line in asked for place in line)}))
    there = [[abs(p.coords[0]) for p in begun.places(region) if p.direction == d] for d in range(3)]
    assert there == [[0.5] * n_of_pilot] * 3
    assert len(begun.points) == 1 + 3 * n_of_pilot


def test_the_pilot_of_a_plane_stands_on_the_square_halfway_out() -> None:
    plan = a_plan(8, a_study(axes=[{"range": "-1:1:5"}, {"range": "-3:3:5"}]))
    (region,) = plan.regions
    there = [place.coords for place in pilot(plan).places(region)]
    assert len(there) == 2 * POINTS
    assert all(max(abs(a), abs(b) / 3) == 0.5 for a, b in there)


def test_of_two_that_lie_as_near_the_pilot_takes_the_outer_one() -> None:
    plan = a_plan(8, a_study(axes=[{"directions": 1, "range": "0:2:6"}]))
    (region,) = plan.regions
    few = replace(plan, chosen={region.name: tuple(region.grid())[:2]})  # so that it takes one
    assert [place.coords for place in pilot(few).places(region)] == [pytest.approx((1.2,))]


def test_another_plan_has_nothing_to_check() -> None:
    assert checked(replace(a_plan(4, a_study()), exact=None)) is None
