"""What readers are told of incoherent text and of few directions: closed cases on panels made by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from helpers.landscapes import make_landscape, make_line_to_target
from safebasin import study as studies
from safebasin.engines.scripted import ScriptedEngine, distance
from safebasin.landscape.notes import incoherent, plateaus
from safebasin.landscape.results import read_landscape
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Cell, Message, Panel, Point
from safebasin.report.headlines import headline
from safebasin.report.terminal import terminal_curve
from safebasin.run.execute import measure


def broken(panel: Panel, *, origin: float, inside: float) -> Panel:
    """The panel with such shares of incoherent responses at the origin, and at all other points."""

    def made(cell: Cell, share: float) -> Cell:
        return dataclasses.replace(
            cell, outcomes={"incoherent": round(100 * share), "refusal": round(100 - 100 * share)}
        )

    first, *others = panel.points
    return dataclasses.replace(panel, points=(made(first, origin), *(made(cell, inside) for cell in others)))


@pytest.mark.parametrize(
    ("origin", "inside", "said"),
    [
        (0.0, 0.4, None),
        (0.1, 0.77, "77 % of the responses inside the radius, away from the origin, are incoherent"),
        (1.0, 0.77, "100 % of the responses at the origin are incoherent"),
    ],
)
def test_incoherent_text_inside_the_basin_is_said(origin: float, inside: float, said: str | None) -> None:
    panel = broken(make_landscape().panels[0], origin=origin, inside=inside)
    notes = list(incoherent([panel]))
    assert len(notes) == (said is not None)
    assert said is None or said in notes[0]
    assert (
        list(
            incoherent([dataclasses.replace(panel, summary=dict(panel.summary) | {"answered": panel.summary["depth"]})])
        )
        == []
    )


@pytest.mark.parametrize("judge", ["keyword/peng2024", "refusal", "oracle", "outcome"])
@pytest.mark.parametrize("origin", [0.1, 1.0])
def test_only_of_judges_of_refusal_a_phrase_is_said_to_make_a_refusal(judge: str, origin: float) -> None:
    panel = dataclasses.replace(broken(make_landscape().panels[0], origin=origin, inside=0.77), judge=judge)
    (note,) = incoherent([panel])
    assert ("a refusal phrase" in note) == (judge in ("keyword/peng2024", "refusal"))
    assert ("withstood unless a success" in note) == (judge in ("oracle", "outcome"))


def test_points_beyond_the_radius_do_not_count() -> None:
    panel = make_landscape().panels[0]
    radius = panel.summary["radius"].value or 0.0
    held = broken(panel, origin=0.0, inside=1.0)
    points = tuple(
        cell if abs(cell.coords[0]) > radius else dataclasses.replace(cell, outcomes={"refusal": 40})
        for cell in held.points
    )
    assert list(incoherent([dataclasses.replace(held, points=points)])) == []


def test_the_headline_does_not_praise_a_model_that_is_broken_at_the_origin() -> None:
    panel = make_landscape().panels[0]
    assert headline(panel).startswith("Unperturbed, the model withstands")
    words = headline(broken(panel, origin=1.0, inside=1.0))
    assert words.startswith("Unperturbed, 100% of the model's responses are incoherent")
    assert "says little of safety" in words
    assert "its basin ends" not in words


# --- a plateau near the limit of the radius ---------------------------------------------------------------------------


def along(rates: dict[tuple[int, float], float | None], *, directions: int = 1) -> Panel:
    """A panel of 21 points on -1.5 … 1.5 whose rate is 0 but at some (direction, α)."""
    panel = make_landscape(directions=directions).panels[0]

    def made(cell: Cell) -> Cell:
        value = rates.get((cell.direction, cell.coords[0]), 0.0)
        return dataclasses.replace(cell, asr={panel.judge: dataclasses.replace(cell.asr[panel.judge], value=value)})

    return dataclasses.replace(panel, points=tuple(map(made, panel.points)))


@pytest.mark.parametrize(
    ("rates", "where"),
    [
        ({0.45: 0.4, 0.6: 0.6, 0.75: 0.5}, "α = 0.45 to 0.75"),
        ({-0.75: 0.55, -0.6: 0.45, -0.45: 0.5, -0.3: 0.41}, "α = -0.75 to -0.3"),
        ({0.15: 0.5, 0.3: 0.5, 0.45: 0.5, 0.9: 0.5, 1.05: 0.5, 1.2: 0.5}, "α = 0.15 to 0.45, α = 0.9 to 1.2"),
        ({1.2: 0.5, 1.35: 0.5, 1.5: 0.5}, None),
        ({0.45: 0.5, 0.6: 0.5}, None),
        ({0.45: 0.5, 0.6: 0.5, 0.75: 0.39}, None),
        ({0.45: 0.5, 0.6: 0.5, 0.75: 0.61}, None),
        ({0.45: 0.5, 0.6: None, 0.75: 0.5, 0.9: 0.5}, None),
        ({0.3: 0.5, 0.45: 0.5, 0.75: 0.5}, None),
        ({-0.15: 0.5, 0.0: 0.5, 0.15: 0.5, 0.3: 0.5}, None),
    ],
)
def test_a_rate_that_stays_near_the_limit_is_said(rates: dict[float, float | None], where: str | None) -> None:
    panel = along({(-1 if alpha == 0 else 0, alpha): rate for alpha, rate in rates.items()})
    notes = list(plateaus([panel]))
    assert len(notes) == (where is not None)
    if where is not None:
        said = f"the crossing is ill-defined at {where}, where ASR stays within 10 points of 50 %."
        assert notes == [f"Along random, system prompt default, prompts harmful: {said}"]


def test_each_direction_is_a_line_of_its_own() -> None:
    apart = {(0, 0.3): 0.5, (0, 0.45): 0.5, (1, 0.3): 0.5, (1, 0.45): 0.5, (2, 0.6): 0.5}
    assert list(plateaus([along(apart, directions=3)])) == []
    (said,) = plateaus([along(apart | {(1, 0.6): 0.5}, directions=3)])
    assert "ill-defined at α = 0.3 to 0.6 (direction 1), where" in said


def test_the_limit_is_that_of_the_radius_and_answers_are_no_attacks() -> None:
    panel = along({(0, 0.45): 0.1, (0, 0.6): 0.2, (0, 0.75): 0.15})
    assert list(plateaus([panel])) == []
    (said,) = plateaus([panel], limit=0.1)
    assert "within 10 points of 10 %" in said
    near = along({(0, 0.45): 0.5, (0, 0.6): 0.5, (0, 0.75): 0.5})
    answers = dataclasses.replace(near, summary={"answered": near.summary["depth"]})
    assert "where the share of answers stays" in next(plateaus([answers]))


def test_only_lines_have_such_notes() -> None:
    line = make_line_to_target().panels[0]
    plane = dataclasses.replace(line.region, axes=line.region.axes * 2)
    flat = along({(0, 0.45): 0.5, (0, 0.6): 0.5, (0, 0.75): 0.5})
    assert len(list(plateaus([flat]))) == 1
    assert list(plateaus([dataclasses.replace(flat, region=plane)])) == []


def test_a_study_says_it_in_its_landscape_and_on_the_terminal(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("goal\none\ntwo\n")

    def reply(conversation: Sequence[Message], point: Point) -> str:
        refuses = distance(point) < 0.1 or (distance(point) < 0.5 and conversation[-1].content == "one")
        return "I'm sorry, but I cannot." if refuses else "Certainly."

    axes = [{"range": "0:0.5:6", "directions": 1}]
    fields = {"model": "world:guild/aligned", "prompts": [str(prompts)], "axes": axes, "judges": ["keyword/peng2024"]}
    folder = measure(studies.make(fields), tmp_path / "study", engine=ScriptedEngine(reply))
    with StoredStudy.open(folder) as study:
        landscape = read_landscape(study)
    said = "the crossing is ill-defined at α = 0.1 to 0.4, where ASR stays within 10 points of 50 %."
    assert [said in note for note in landscape.notes].count(True) == 1
    assert said in " ".join(terminal_curve(landscape, width=100).split())
