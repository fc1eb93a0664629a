"""A folder keeps the noise that its first random directions were drawn by; a new one takes the newest."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.command import safebasin
from safebasin import study
from safebasin.errors import StudyError
from safebasin.records import NOISE_VERSION, Decoding, DirectionSpec, Point
from safebasin.run.inputs import gather
from safebasin.run.noise_version import noise_in
from safebasin.run.preview import preview
from safebasin.store.db import StudyStore

TO = DirectionSpec(kind="to", target="org/other", normalize="none")


def folder_of(path: Path, *points: Point) -> Path:
    path.mkdir()
    with StudyStore.open(path) as store:
        store.add_question(points=[Point(), *points], systems=(), decoding=Decoding())
    return path


def drawn(version: int, index: int = 0) -> DirectionSpec:
    return DirectionSpec(kind="random", index=index, version=version)


def test_a_folder_keeps_the_version_of_its_first_random_direction(tmp_path: Path) -> None:
    old, new = Point.at((drawn(1), 0.5)), Point.at((drawn(2), 0.5))
    assert noise_in(folder_of(tmp_path / "old", Point.at((TO, 0.5)), old, new)) == 1
    assert noise_in(folder_of(tmp_path / "new", new, old)) == 2
    across = DirectionSpec(kind="quant", target="int8", orthogonal_to=(TO, drawn(1)))
    assert noise_in(folder_of(tmp_path / "plane", Point.at((TO, 0.5), (across, 0.5)))) == 1


def test_where_nothing_was_drawn_it_is_the_newest_or_that_of_a_folder_beside(tmp_path: Path) -> None:
    led = folder_of(tmp_path / "led", Point.at((TO, 0.5)))
    old = folder_of(tmp_path / "old", Point.at((drawn(1), 0.5)))
    assert noise_in(led) == noise_in(tmp_path / "none") == NOISE_VERSION == 2
    assert noise_in(tmp_path / "none", led, old) == 1


def versions(made: study.Study, **given: int) -> set[int]:
    found = gather(made, **given).regions
    return {spec.version for region in found for axis in region.axes for spec in axis.directions}


def test_a_study_names_a_version_or_leaves_it_to_its_folder() -> None:
    plain = study.make({"model": "world:guild/aligned"})
    named = study.make(study.with_flags({"model": "world:guild/aligned"}, {"noise": 1}))
    assert versions(plain) == {2}
    assert versions(plain, noise=1) == versions(named) == versions(named, noise=2) == {1}
    assert "noise" not in plain.canonical()
    assert plain.hash != named.hash


@pytest.mark.parametrize("noise", [0, 3, "new"])
def test_a_version_that_is_none_is_refused(noise: object) -> None:
    with pytest.raises(StudyError, match=r"axes\.0\.noise must be"):
        study.make(study.with_flags({"model": "world:guild/aligned"}, {"noise": noise}))  # type: ignore[typeddict-item]


def test_the_command_line_takes_a_version(tmp_path: Path) -> None:
    done = safebasin("plan", "world:guild/aligned", "--noise", "1", "--limit", "1", "-o", tmp_path / "r")
    assert done.returncode == 0, done.stderr


def test_an_axis_that_draws_no_noise_of_ours_takes_no_version() -> None:
    axes = [{"kind": "to", "target": "world:guild/base", "noise": 1}]
    with pytest.raises(StudyError, match="noise must be left out for an axis of kind 'to'"):
        study.make({"model": "world:guild/aligned", "axes": axes})


def test_a_plan_counts_what_an_old_folder_holds(tmp_path: Path) -> None:
    made = study.make({"model": "world:guild/aligned", "axes": [{"range": "0:1:2", "directions": 1}], "limit": 1})
    assert preview(made, tmp_path / "none").points == 2
    old = folder_of(tmp_path / "old", Point.at((drawn(1), 1.0)))
    with StudyStore.open(old) as store:
        held = {key for (key,) in store._db.execute("SELECT key FROM points")}
    (region,) = gather(made, noise=noise_in(old)).regions
    assert {region.point(place).key for place in region.grid()} <= held
