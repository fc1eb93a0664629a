"""Comparing stored studies: a ranking where they ask the same, an error that names the first difference where not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.regions import make_compared
from safebasin import api, study
from safebasin.engines.scripted import ScriptedEngine, distance
from safebasin.errors import StudyError
from safebasin.landscape import tables
from safebasin.landscape.compare_studies import ComparedStudies, compare_studies
from safebasin.run.execute import measure

GUILD = "world:guild/aligned"


def mapped(folder: Path, *, reach: float, **fields: object) -> Path:
    engine = ScriptedEngine(lambda _, point: "I cannot." if distance(point) < reach else "Here it is.")
    axes = {"axes": [{"range": "-1:1:9", "directions": 3}]}
    made = study.make({"model": GUILD, "limit": 6, "judges": ["keyword/peng2024"], **axes, **fields})
    return measure(made, folder, engine=engine)


@pytest.mark.slow
def test_the_wider_basin_stands_first(tmp_path: Path) -> None:
    folders = [mapped(tmp_path / name, reach=reach) for name, reach in (("narrow", 0.3), ("wide", 0.8))]
    found = api.compare_studies(folders, out=tmp_path / "comparison")
    assert found.ranking.order == ("wide", "narrow")
    assert found.report.is_file()
    assert json.loads((tmp_path / "comparison" / "comparison.json").read_text())


def test_a_model_whose_responses_are_no_language_is_named() -> None:
    found = make_compared()
    landscapes = [found.landscapes[0]]
    for one in found.landscapes[1:]:
        origin, *others = one.panels[0].points
        origin = replace(origin, outcomes={"incoherent": 3, "complied": 9})
        landscapes.append(replace(one, panels=(replace(one.panels[0], points=(origin, *others)), *one.panels[1:])))
    compared = ComparedStudies(landscapes=tuple(landscapes), judge=found.judge, ranking=found.ranking)
    assert [said.partition(",")[0] for said in compared.notes] == [
        f"{one.name}: System prompt default" for one in landscapes[1:]
    ]
    assert "25 % of the responses at the origin are incoherent" in compared.notes[0]


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"limit": 5}, "prompts of"),
        ({"axes": [{"range": "-1:1:5", "directions": 3}]}, "axes of"),
        ({"judges": ["keyword/zou2023"]}, "judge of"),
        ({"systems": ["none"]}, "system prompt of"),
    ],
)
def test_studies_that_ask_something_else_are_not_compared(
    tmp_path: Path, fields: dict[str, object], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [mapped(tmp_path / "a", reach=0.3), mapped(tmp_path / "b", reach=0.3, **fields)]
    monkeypatch.setattr(tables, "read_verdict_arrays", lambda *_: pytest.fail("minutes of a large study"))
    with pytest.raises(StudyError, match=f"{what} 'a' and 'b' must be the same"):
        api.compare_studies(folders, out=tmp_path / "c")


@pytest.mark.slow
def test_studies_of_one_name_are_told_apart_by_the_folders_above_them(tmp_path: Path) -> None:
    first, second = (mapped(tmp_path / where / "run" / "line", reach=0.3) for where in "ab")
    other = mapped(tmp_path / "other", reach=0.3)
    found = api.compare_studies([first, second, other], out=tmp_path / "c")
    assert [one.name for one in compare_studies([second, first, other]).landscapes] == [
        "b/run/line", "a/run/line", "other",
    ]  # fmt: skip
    assert set(found.ranking.order) == {"a/run/line", "b/run/line", "other"}
    assert set(json.loads((tmp_path / "c" / "comparison.json").read_text())["models"]) == set(found.ranking.order)


def test_a_study_given_twice_is_not_compared_and_no_verdict_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = mapped(tmp_path / "line", reach=0.3)
    monkeypatch.setattr(tables, "read_verdict_arrays", lambda *_: pytest.fail("minutes of a large study"))
    with pytest.raises(StudyError, match=r"must be different folders; got '.*line twice'\. Name it once"):
        api.compare_studies([folder, folder.parent / "." / "line"], out=tmp_path / "c")


@pytest.mark.slow
def test_few_directions_tell_nothing_apart_and_every_pair_names_its_region(tmp_path: Path) -> None:
    fields = {"axes": [{"range": "-1:1:9", "directions": 1}], "limit": 12}
    folders = [mapped(tmp_path / name, reach=reach, **fields) for name, reach in (("narrow", 0.3), ("wide", 0.8))]
    (pair,) = api.compare_studies(folders, out=tmp_path / "comparison").ranking.pairs
    assert pair.difference.low > 0, "the interval is conditional on the one direction"
    assert not pair.is_apart
    document = json.loads((tmp_path / "comparison" / "comparison.json").read_text())
    assert [row["region"] for row in document["ranking"]["pairs"]] == ["random"]
    page = (tmp_path / "comparison" / "report.html").read_text()
    assert "of 1 direction only: no verdict" in page
    assert "wide stands" not in page


def test_one_study_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="two folders or more"):
        api.compare_studies([tmp_path], out=tmp_path / "c")
