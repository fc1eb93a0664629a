"""A page of samples: each filter against the rows themselves; pages neither skip nor repeat; the file is kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from safebasin.landscape.browsing import SampleFilter, browse, study_places
from safebasin.landscape.samples import Sample, read_samples
from safebasin.landscape.stored import StoredStudy

RELEASED = Path(__file__).parents[1] / "data" / "released" / "plain"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(RELEASED, tmp_path / "study")


def success(sample: Sample, judge: str) -> bool | None:
    return next((v.success for v in sample.verdicts if v.judge == judge), None)


FILTERS: dict[str, tuple[SampleFilter, Callable[[Sample], bool]]] = {
    "all": (SampleFilter(), lambda one: True),
    "outcome": (SampleFilter(outcome="incoherent"), lambda one: one.label == "incoherent"),
    "unscored": (SampleFilter(outcome="unscored"), lambda one: one.label == "unscored"),
    "point": (SampleFilter(point="origin"), lambda one: one.response.point == "origin"),
    "category": (SampleFilter(category="veiled"), lambda one: one.category == "veiled"),
    "judge": (SampleFilter(judge="outcome", success="yes"), lambda one: success(one, "outcome") is True),
    "not": (SampleFilter(judge="outcome", success="no"), lambda one: success(one, "outcome") is False),
    "undecided": (SampleFilter(judge="outcome", success="undecided"), lambda one: success(one, "outcome") is None),
    "differ": (SampleFilter(disagreement=True), lambda one: len({v.success for v in one.verdicts} - {None}) == 2),
    "differ from": (
        SampleFilter(disagreement=True, judge="outcome", category="bound"),
        lambda one: one.category == "bound" and success(one, "outcome") is not success(one, "keyword/peng2024"),
    ),
    "nobody": (SampleFilter(judge="nobody", success="yes"), lambda one: False),
    "nowhere": (SampleFilter(point="nowhere"), lambda one: False),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_admits_what_it_says(folder: Path, name: str) -> None:
    wanted, admits = FILTERS[name]
    with StoredStudy.open_read_only(folder) as study:
        found = browse(study, wanted)
        expected = {one.response.key for one in read_samples(study) if admits(one)}
    assert found.after == ""
    assert {one.response.key for one in found.samples} == expected
    if name in ("outcome", "judge", "not", "differ", "differ from", "category"):
        assert 0 < len(expected) < 12


@pytest.mark.parametrize("n", [1, 3, 4, 5, 12])
@pytest.mark.parametrize("patience", [0.0, 60.0])
def test_pages_neither_skip_nor_repeat(folder: Path, n: int, patience: float) -> None:
    keys: list[str] = []
    after = ""
    with StoredStudy.open_read_only(folder) as study:
        while True:
            page = browse(study, SampleFilter(), after=after, n=n, patience=patience)
            assert len(page.samples) <= n
            keys += [one.response.key for one in page.samples]
            after = page.after
            if not after:
                break
        points = [place.point for place in study_places(study)]
        order = [points.index(one.response.point) for one in browse(study, SampleFilter()).samples]
    assert len(keys) == len(set(keys)) == 12
    assert order == sorted(order)


def test_reading_an_older_study_leaves_its_file_as_it_is(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with StoredStudy.open_read_only(folder) as study:
        assert [one.text for one in browse(study, SampleFilter()).samples].count(None) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
