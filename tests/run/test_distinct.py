"""What a study asks twice in other words is refused, or told apart, before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from safebasin import study
from safebasin.engines.scripted import ScriptedEngine
from safebasin.errors import StudyError
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Message, Point
from safebasin.run.execute import measure
from safebasin.run.inputs import gather

ASKED = {"model": "world:guild/aligned", "limit": 3, "judges": ["keyword/peng2024"]}


def line(seed: int, **fields: object) -> dict[str, object]:
    return {"axes": [{"range": "-1:1:41", "directions": 1, "seed": seed}], **fields}


def test_two_names_of_one_system_prompt_are_refused(tmp_path: Path) -> None:
    (tmp_path / "brief.txt").write_text("Be brief.\n")
    made = study.make({**ASKED, "systems": ["Be brief.", f"@{tmp_path / 'brief.txt'}"]})
    with pytest.raises(StudyError, match=r"system prompts must be different texts; got .*brief, which are the same"):
        gather(made)


def test_one_judge_in_two_spellings_is_refused() -> None:
    with pytest.raises(StudyError, match="judges must be different ones; got 'refusal twice'"):
        gather(study.make({**ASKED, "judges": ["refusal", "refusal()"]}))


def test_a_region_that_is_named_as_blocks_are_is_refused() -> None:
    regions = [line(0, each="block", name="near"), line(1, each="block", name="far"), line(2, name="far, block 0")]
    with pytest.raises(StudyError, match="regions must be ones with different names; got 'far, block 0 twice'"):
        gather(study.make({**ASKED, "regions": regions}))


@pytest.mark.slow
def test_blocks_of_one_region_keep_their_names_and_places_beside_those_of_another(tmp_path: Path) -> None:
    def answer(_: Sequence[Message], point: Point) -> str:
        steep = any(direction.seed == 0 and alpha > 0.33 for direction, alpha in point.terms)
        return "Certainly." if steep else "I cannot."

    def places(*seeds: int) -> dict[str, list[float]]:
        regions = [line(seed, each="block", points="auto", name=f"seed {seed}") for seed in seeds]
        folder = measure(
            study.make({**ASKED, "regions": regions}), tmp_path / str(seeds), engine=ScriptedEngine(answer)
        )
        with StoredStudy.open(folder) as stored:
            return {r.name: sorted(p.coords[0] for p in stored.plan.places(r)) for r in stored.plan.regions}

    alone, beside = places(0), places(0, 1)
    assert "block 0" in alone
    for name, found in alone.items():
        assert beside[f"seed 0, {name}"] == found
        assert 0.35 in found  # the rim is looked at
        assert 0.35 not in beside[f"seed 1, {name}"]
