"""Statistics of a panel by name: a line to a target has each side's own, and no mean over both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from safebasin import catalog, stats, study
from safebasin.landscape.results import read_landscape
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.summaries import composing_judge, main_judge, panel_judge, summarize
from safebasin.landscape.tables import Grid, VerdictTable
from safebasin.records import Axis, DirectionSpec, Message, Prompt, Region, System
from safebasin.run.execute import measure
from safebasin.store.db import StudyStore
from safebasin.study.plan import PromptSet

ALPHAS = (-0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
TARGET = DirectionSpec(kind="to", target="org/unsafe", normalize="none")
DRAWN = DirectionSpec(kind="random")


def test_the_judge_of_prompts_that_should_be_answered_tells_answers_from_noise():
    tea = Prompt(messages=(Message(role="user", content="Tea?"),), label="benign")
    benign = PromptSet(name="tea", source="", prompts=(tea,))
    attacks = PromptSet(name="tea", source="", prompts=(replace(tea, label="harmful"),))
    every = ["guard/wildguard", "refusal", "keyword/peng2024", "outcome", "oracle"]
    assert [panel_judge(benign, every[:n]) for n in (5, 4, 3, 2, 1)] == [
        "oracle", "outcome", "keyword/peng2024", "refusal", "guard/wildguard"
    ]  # fmt: skip
    assert {panel_judge(attacks, every[:n]) for n in (5, 4, 3)} == {"keyword/peng2024"}


@pytest.mark.parametrize(
    ("facts", "main", "composing", "answers"),
    [
        ({"measures": "refusal"}, "kiln/own", None, "kiln/own"),
        ({"measures": "refusal", "by": "keywords"}, "kiln/own(n=2)", None, "kiln/own(n=2)"),
        ({"measures": "outcome"}, "refusal", "kiln/own", "kiln/own"),
        ({"measures": "truth"}, "refusal", "kiln/own", "kiln/own"),
        ({"measures": "truth", "exact": "yes"}, "refusal", "kiln/own", "kiln/own"),
        ({"measures": "harm"}, "refusal", None, "refusal"),
        ({}, "refusal", None, "refusal"),
    ],
)
def test_a_plugins_judge_stands_where_its_row_says(
    facts: dict[str, str], main: str, composing: str | None, answers: str, monkeypatch: pytest.MonkeyPatch
):
    row = catalog.Row(kind="judge", name="kiln/own", target="a:b", summary="", source="", facts=tuple(facts.items()))
    monkeypatch.setattr(catalog.lookup, "rows", lambda: (*catalog.BUILTIN, row))
    own = main if "(" in main else "kiln/own"
    asked = ["guard/wildguard", own, "refusal"] if "kiln" in main else ["guard/wildguard", "refusal", own]
    assert main_judge(asked) == main
    assert main_judge(["keyword/peng2024", *asked]) == "keyword/peng2024"
    assert main_judge([*asked, "keyword/peng2024"]) == (own if "by" in facts else "keyword/peng2024")
    assert composing_judge(asked) == composing
    assert composing_judge([*asked, "outcome"]) == (own if facts.get("measures") == "outcome" else "outcome")
    tea = Prompt(messages=(Message(role="user", content="Tea?"),), label="benign")
    benign = PromptSet(name="tea", source="", prompts=(tea,))
    assert panel_judge(benign, asked) == answers
    assert panel_judge(benign, ["outcome", *asked]) == (own if "exact" in facts else "outcome")


def test_a_judge_of_harm_does_not_say_what_is_answered():
    region = Region(axes=(Axis(directions=(DRAWN,), alphas=(-1.0, 0.0, 1.0)),), name="line")
    tea = Prompt(messages=(Message(role="user", content="Tea?"),), label="benign")
    grid = Grid(region=region, places=tuple(region.grid()), system=System(name="default"),
                prompts=PromptSet(name="tea", source="", prompts=(tea,)))  # fmt: skip
    verdicts = {
        (region.point(place).key, "default", tea.id): ("safe", False) for place in (region.origin, *region.grid())
    }
    found = summarize(grid, [VerdictTable.of("guard/wildguard", verdicts)])
    assert "answered" not in found
    assert found["depth"].value == 1
    assert summarize(grid, [VerdictTable.of("refusal", verdicts)])["answered"].value == 0


def summary(spec: DirectionSpec, alphas=ALPHAS, *, rim=0.5, points="grid", places=None):
    """Of three prompts, two of which succeed from `rim` on."""
    region = Region(axes=(Axis(directions=(spec,), alphas=alphas),), name="line", points=points)
    prompts = tuple(Prompt(messages=(Message(role="user", content=f"Tea {i}?"),)) for i in range(3))
    chosen = tuple(place for place in region.grid() if places is None or place.coords[0] in places)
    verdicts = {
        (region.point(place).key, "default", prompt.id): ("", i < 2 and place.coords[0] >= rim)
        for place in (region.origin, *region.grid())
        for i, prompt in enumerate(prompts)
    }  # fmt: skip
    table = VerdictTable.of("keyword/peng2024", verdicts)
    asked = PromptSet(name="tea", source="", prompts=prompts)
    return summarize(Grid(region=region, places=chosen, system=System(name="default"), prompts=asked), [table])


def test_sides_of_a_line_to_a_target_are_never_averaged():
    found = summary(TARGET)
    crossing = 0.25 + 0.25 * 0.5 / (2 / 3)
    assert found["radius_toward"].value == pytest.approx(crossing)
    assert (found["radius_away"].value, found["radius_away"].n_censored) == (0.5, 1)
    assert "the side never reaches it and counts as its range" in found["radius_away"].method
    assert replace(found["radius"], method="") == replace(found["radius_toward"], method="")
    assert "of the side toward the target (α > 0)" in found["radius"].method
    assert "mean over sides" not in found["radius"].method
    assert found["margin_toward"].value == pytest.approx((2 + 3 / 3) / 5)
    assert found["margin_away"].value == 1
    assert found["margin"].value == found["margin_toward"].value
    assert found["radius_10"].value == pytest.approx(0.25 + 0.25 * 0.1 / (2 / 3))


def test_sides_of_a_drawn_direction_are_averaged_as_ever():
    found = summary(DRAWN)
    assert not [name for name in found if name.endswith(("_toward", "_away"))]
    assert found["radius"].value == pytest.approx((0.5 + 0.25 + 0.25 * 0.75) / 2)
    assert found["radius"].n_censored == 1
    assert found["margin"].value == pytest.approx((4 + 3 / 3) / 7)
    assert "mean over sides" in found["radius"].method


def test_a_line_with_one_side_has_the_statistics_of_that_side():
    found = summary(TARGET, ALPHAS[2:])
    assert not [name for name in found if name.endswith(("_toward", "_away"))]
    assert found["radius"].value == pytest.approx(0.4375)
    assert found["radius"].n_censored == 0


def test_a_side_counts_what_was_measured_on_it():
    found = summary(TARGET, points="auto", places=(-0.5, 0.25, 0.5, 1.0))
    assert found["radius_toward"].n == 3 * 3
    assert found["radius_away"].n == 1 * 3
    assert "measured at 3 of 4 points beside the origin" in found["radius_toward"].method
    assert found["visage"].n == 4 * 3


@pytest.mark.slow
@pytest.mark.integration
def test_sides_are_compared_on_their_own(tmp_path: Path):
    made = study.make(
        {
            "model": "world:guild/aligned",
            "prompts": ["world:guild/harmful@val"],
            "limit": 2,
            "judges": ["keyword/peng2024"],
            "decoding": {"max_new_tokens": 4},
            "axes": [{"kind": "to", "target": "world:guild/base", "range": "-0.5:1:4"}],
            "systems": ["default", "none"],
        }
    )
    with StudyStore.open(measure(made, tmp_path / "study")) as store:
        found = read_landscape(StoredStudy.of(store))
    assert [c.statistic for c in found.comparisons] == [f"margin {side} on harmful@val" for side in ("toward", "away")]
    assert {c.region for c in found.comparisons} == {"to:world:guild/base"}
    assert [c.estimate.n for c in found.comparisons] == [3 * 2, 2 * 2]
    assert {"radius", "radius_toward", "radius_away"} <= set(found.summary)


def test_stats_of_a_side_agree_with_the_statistic_of_half_a_line():
    """Against the plain functions: each side is a line of its own."""
    found = summary(TARGET, rim=0.75)
    half = np.array(ALPHAS[2:])
    rates = np.where(half >= 0.75, 2 / 3, 0.0)
    assert found["radius_toward"].value == pytest.approx(stats.radius(half, rates).value)
    assert found["margin_toward"].value == pytest.approx(stats.margin(half, rates))
