"""Points by their names, and the model there: it answers what the study has stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.models import make_tiny_model
from safebasin import api
from safebasin.errors import ModelError, StudyError
from safebasin.interop.point_model import PointModel, PointName
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Response
from safebasin.run.execute import measure


def test_a_point_is_read_as_it_is_named() -> None:
    assert PointName.parse("runs/demo") == PointName(folder=Path("runs/demo"))
    assert PointName.parse("runs/a@b") == PointName(folder=Path("runs/a@b"))
    named = PointName.parse("runs/a@b@alpha=0.3, beta=-1e-2,direction=2,region=to base")
    assert named == PointName(
        folder=Path("runs/a@b"), at=(("alpha", 0.3), ("beta", -0.01)), direction=2, region="to base"
    )
    assert (
        PointName.parse("runs/a@b@alpha=0.3@beta=-1e-2@direction=2@region=to base") == named
    )  # Inspect splits at commas
    assert PointName.parse("runs/lr=1@seed=2@alpha=0.3") == PointName(
        folder=Path("runs/lr=1@seed=2"), at=(("alpha", 0.3),)
    )


@pytest.mark.parametrize("part", ["gamma=1", "alpha=warm", "alpha=1,alpha=2", "direction=x,alpha=1", "region=,alpha=1"])
def test_a_name_that_is_none_is_told(part: str) -> None:
    with pytest.raises(StudyError, match=r"point of runs/a must be alpha, beta, direction or region, each once; got"):
        PointName.parse(f"runs/a@{part}")
    with pytest.raises(StudyError, match="must be a coordinate"):
        PointName.parse("runs/a@direction=1")


@pytest.mark.slow
def test_the_model_at_a_point_answers_what_the_study_has_stored(tmp_path: Path) -> None:
    file = tmp_path / "tea.txt"
    file.write_text("".join(f"How warm is pot {i}?\n" for i in range(4)))
    model = make_tiny_model(tmp_path / "model")
    made = api.make_study(
        str(model), prompts=file, directions=1, range="-0.2:0.2:3", max_new_tokens=6, judge="refusal", device="cpu",
        stop="none",
    )  # fmt: skip
    folder = measure(made, tmp_path / "study")
    with StoredStudy.open(folder) as study:
        point, prompts = study.plan.points[1], list(study.plan.prompts.values())
        stored = {r.prompt: r for r in study.store.responses(point=point.key)}
        at = next(place.coords[0] for _, place, found in study.plan.numbered_places() if found == point)
    ready = PointModel.open(PointName.parse(f"{folder}@alpha={at}"))
    assert ready.point == point
    answers = ready.answer([prompt.messages for prompt in prompts])
    assert [answer.text for answer in answers] == [stored[prompt.id].text for prompt in prompts]
    first: Response = stored[prompts[0].id]
    score = ready.score(prompts[0].messages, first)
    assert score is not None
    assert score.response == first.key
    assert ready.answer([prompts[0].messages])[0].text == first.text  # it is back at its point
    assert ready.answer([prompts[0].messages], 2)[0].n_tokens <= 2

    (model / "model.safetensors").write_bytes(
        (make_tiny_model(tmp_path / "b", seed=1) / "model.safetensors").read_bytes()
    )
    with pytest.raises(ModelError, match="Restore the model that the study was made for"):
        PointModel.open(PointName.parse(str(folder)))
