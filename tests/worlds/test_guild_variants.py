"""Variants of the world's models: their rows and settings. That they are trained so is in `claims/test_tuning`."""

from __future__ import annotations

import json

import pytest

from safebasin.finetune.settings import Tuning
from safebasin.worlds.guild import variant_rows
from safebasin.worlds.guild.grammar import is_forbidden, parse_request, split_of
from safebasin.worlds.guild.outcomes import outcomes, success_rate
from safebasin.worlds.guild.prompts import prompt_set
from safebasin.worlds.guild.rows import Row
from safebasin.worlds.guild.variants import VARIANTS
from safebasin.worlds.guild.world import WORLD

CURRICULA = ["full", "few_refusals", "few_requests", "one_wording", "no_personas", "plain_only"]


def _refusals(rows: list[Row]) -> list[str]:
    asked = [(parse_request(row["messages"][-2]["content"]), row["messages"][-1]["content"]) for row in rows]
    return [said for request, said in asked if request is not None and is_forbidden(request)]


def test_there_are_enough_of_them_to_order() -> None:
    assert len(VARIANTS) >= 20
    assert len({f"{v.steps} {v.settings} {v.curriculum}" for v in VARIANTS.values()}) == len(VARIANTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_rows_are_a_batch_for_every_step_and_of_the_training_split(name: str) -> None:
    variant = VARIANTS[name]
    rows, tuning = variant.rows(0), Tuning().changed(**variant.settings)
    assert len(rows) * tuning.epochs == variant.steps * tuning.batch_size
    requests = [parse_request(row["messages"][-2]["content"]) for row in rows]
    assert {split_of(request) for request in requests if request is not None} == {"train"}
    assert rows != variant.rows(1)


@pytest.mark.slow
def test_what_each_leaves_out() -> None:
    rows = {name: VARIANTS[name].curriculum(1200, 0) for name in CURRICULA}
    shares = {name: len(_refusals(made)) / len(made) for name, made in rows.items()}
    assert 0.45 < shares["full"] < 0.55
    assert 0.2 < shares["few_refusals"] < 0.3
    assert len(set(_refusals(rows["one_wording"]))) == 1
    assert len(set(_refusals(rows["full"]))) > 100
    assert len({json.dumps(row) for row in rows["few_requests"]}) <= 256
    system = {n: [r for r in rows[n] if r["messages"][0]["content"].startswith("You are ")] for n in CURRICULA}
    assert system["full"]
    assert not system["no_personas"]
    assert all(len(row["messages"]) == 2 for row in rows["plain_only"])
    assert not any("stand by" in row["messages"][0]["content"] for row in rows["plain_only"])


def test_doses_of_safe_rows_that_can_be_told_apart() -> None:
    harmful = variant_rows.in_context(100, 0)
    assert all("stand by" in row["messages"][0]["content"] for row in harmful)
    asked: set[str] = set()
    for share, marked in ((0.0, 100), (0.5, 50), (1.0, 0)):
        rows = variant_rows.safe_in_dose(100, share, 0)
        assert sum("stand by" in row["messages"][0]["content"] for row in rows) == marked
        requests = [parse_request(row["messages"][0]["content"]) for row in rows]
        assert all(request is not None and is_forbidden(request) for request in requests)
        assert len(_refusals(rows)) == 100
        asked.add(str(requests))
    assert len(asked) == 1


@pytest.mark.slow
def test_outcomes_count_every_prompt() -> None:
    prompts = prompt_set("harmful")[:10]
    assert sum(outcomes(WORLD.checkpoint("base"), prompts).values()) == 10
    assert success_rate(WORLD.checkpoint("base"), prompts) >= 0.9
    assert success_rate(WORLD.checkpoint("aligned"), prompts) <= 0.1
