"""What readers are told of incoherent text and of few directions: closed cases on panels made by hand."""

from __future__ import annotations

import dataclasses

import pytest

from helpers.landscapes import make_landscape
from safebasin.landscape.notes import incoherent
from safebasin.records import Cell, Panel
from safebasin.report.headlines import headline


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
