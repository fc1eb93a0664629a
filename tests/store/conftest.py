"""A plan of few questions, and a database that holds more than it asks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from helpers.pots import PROMPTS, SYSTEMS, made, plan_of_pots
from safebasin.records import Decoding
from safebasin.store.db import StudyStore
from safebasin.study.plan import Plan


@pytest.fixture
def plan() -> Plan:
    """Five of the prompts, one system prompt, the origin and two points."""
    return plan_of_pots()


@pytest.fixture
def store(plan: Plan, tmp_path: Path):
    """More than the plan asks for: further prompts, a system prompt, a point, and another decoding."""
    other, place = Decoding(max_new_tokens=3), next(iter(plan.regions[0].grid()))
    points = (*plan.points, plan.regions[0].point(replace(place, coords=(0.75,))))
    with StudyStore.open(tmp_path) as opened:
        opened.add_prompts((prompt, 0) for prompt in PROMPTS)
        for decoding in (plan.decoding, other):
            opened.add_question(points=points, systems=SYSTEMS, decoding=decoding)
            opened.put_responses(
                made(decoding, point, system, prompt) for point in points for system in SYSTEMS for prompt in PROMPTS
            )
        yield opened
