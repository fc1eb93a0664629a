"""What the verbs give back of studies: a screen of text, frames, axes. On a small study of the embedded world."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

import safebasin
from helpers.landscapes import make_landscape
from safebasin.api.results import Compared, Mapped
from safebasin.errors import StoreError, UsageError
from safebasin.records import Estimate
from safebasin.stats.ranking import RankedPair, Ranking
from safebasin.store import folder as folders
from safebasin.store.sealing import seal

ALIGNED = "world:guild/aligned"


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Mapped:
    out = tmp_path_factory.mktemp("results") / "study"
    return safebasin.map_basin("world:guild/aligned", out=out, directions=1, range="-1:1:3", limit=3)


@pytest.fixture(autouse=True)
def _no_figures_left() -> Iterator[None]:
    yield
    from matplotlib import pyplot

    pyplot.close("all")


def test_a_repr_fits_a_screen(mapped: Mapped) -> None:
    lines = repr(mapped).splitlines()
    assert lines[0] == "Landscape of world:guild/aligned: 1 panel, 3 points, judges keyword/peng2024, outcome"
    assert any(line.startswith("  radius ") and "n = " in line for line in lines)
    assert lines[-1] == f"report: {mapped.report}"
    many = repr(make_landscape(points=3, prompts=2, panels=6)).splitlines()
    assert len(many) < 40
    assert max(map(len, lines)) <= 120


def test_a_stored_study_is_opened_as_it_was_mapped(mapped: Mapped) -> None:
    opened = safebasin.open_study(mapped.folder)
    assert opened.landscape == mapped.landscape
    assert opened.summary == mapped.summary


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["map", "merge"])
def test_nobody_else_writes_between_the_measurement_and_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    from safebasin.api import mapping

    small = safebasin.make_study(ALIGNED, directions=1, range="-1:1:3", limit=1, max_new_tokens=2, batch_size=1)
    made = partial(safebasin.map_basin, small)
    if verb == "merge":
        made = partial(mapping.merge_shards, mapping.map_shard(small, "1/1", out=tmp_path / "shard"))

    def other(folder: Path) -> None:
        with folders.writer(folder):
            pytest.fail("the folder was free before its report")

    def report(folder: Path, **_: object) -> None:
        with ThreadPoolExecutor(1) as threads, pytest.raises(StoreError, match="free of other writers"):
            threads.submit(other, folder).result()
        raise KeyboardInterrupt

    monkeypatch.setattr(mapping, "publish_study", report)
    with pytest.raises(KeyboardInterrupt):
        made(out=tmp_path / "study")
    with folders.writer(tmp_path / "study"):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("text", ["{", None, "edited"])
def test_a_manifest_that_was_damaged_gets_no_new_digests(mapped: Mapped, tmp_path: Path, text: str | None) -> None:
    folder = shutil.copytree(mapped.folder, tmp_path / "study")
    manifest, sealed = folder / "manifest.json", (folder / "digests.json").read_bytes()
    was = json.loads(manifest.read_text())
    if text is None:
        manifest.unlink()
    else:
        manifest.write_text(json.dumps({**was, "batch_size": 99}) if text == "edited" else text)
    for write in (safebasin.report_study, safebasin.judge_study):
        with pytest.raises(StoreError, match=r"manifest\.json of study must be what the results were made with"):
            write(folder)
    assert (folder / "digests.json").read_bytes() == sealed
    safebasin.map_basin(ALIGNED, out=folder, directions=1, range="-1:1:3", limit=3)
    assert {**json.loads(manifest.read_text()), "created": ""} == {**was, "created": ""}
    safebasin.report_study(folder)
    assert safebasin.verify_study(folder) == []


def test_a_manifest_that_no_digest_covers_is_still_read_by_verify(mapped: Mapped, tmp_path: Path) -> None:
    folder = shutil.copytree(mapped.folder, tmp_path / "study")
    (folder / "manifest.json").write_text("{")
    seal(folder)
    (found,) = safebasin.verify_study(folder)
    assert found == "manifest.json is not what a study writes: run `safebasin map` again, which writes it anew"


@pytest.mark.slow
def test_a_run_that_ended_early_has_replaced_its_manifest_and_may_be_reported(mapped: Mapped, tmp_path: Path) -> None:
    folder = shutil.copytree(mapped.folder, tmp_path / "study")
    (folder / "history").mkdir(exist_ok=True)
    shutil.copyfile(folder / "manifest.json", folder / "history" / "001-manifest.json")
    (folder / "manifest.json").write_text('{"batch_size": 4}')
    assert safebasin.report_study(folder).report.is_file()


def test_an_empty_database_beside_results_is_not_filled_anew(mapped: Mapped, tmp_path: Path) -> None:
    folder = shutil.copytree(mapped.folder, tmp_path / "study")
    (folder / "study.sqlite").write_bytes(b"")
    with pytest.raises(StoreError, match=r"study\.sqlite of .*; got 'an empty file'\. Restore it from a backup"):
        safebasin.map_basin(ALIGNED, out=folder, directions=1, range="-1:1:3", limit=3)
    with pytest.raises(StoreError, match="got 'an empty file'"):
        safebasin.report_study(folder)
    assert any("an empty file" in found for found in safebasin.verify_study(folder))
    assert (folder / "study.sqlite").read_bytes() == b""


def test_frames_hold_what_the_landscape_holds(mapped: Mapped) -> None:
    points = mapped.to_frame()
    (panel,) = mapped.landscape.panels
    assert len(points) == len(panel.points) * 2
    origin = points[(points.direction == -1) & (points.judge == panel.judge)].iloc[0]
    assert (origin.asr, origin.low, origin.n) == (panel.points[0].asr[panel.judge].value, *_bounds(panel.points[0]))
    statistics = mapped.to_frame("statistics").set_index("statistic")
    assert statistics.loc["margin", "value"] == mapped.summary["margin"].value
    rows = mapped.to_frame("rows")
    assert len(rows) == 9
    counted = rows[rows.alpha == 0]["success:keyword/peng2024"].sum()
    assert counted == panel.points[0].asr["keyword/peng2024"].value * 3
    with pytest.raises(safebasin.UsageError, match="table must be points, statistics or rows"):
        mapped.to_frame("cells")  # pyright: ignore[reportArgumentType]


def _bounds(cell) -> tuple[float | None, int]:
    rate = cell.asr["keyword/peng2024"]
    return rate.low, rate.n


def test_a_frame_without_pandas_names_the_remedy(mapped: Mapped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(safebasin.UsageError, match=r"pip install 'safebasin\[frames\]'"):
        mapped.to_frame()


def test_plots_draw_on_ones_own_axes(mapped: Mapped) -> None:
    from matplotlib import pyplot

    _, (first, second) = pyplot.subplots(1, 2)
    assert mapped.plot(ax=first, title="A", xlim=(-0.5, 0.5), ylim=(0, 50)) is first
    titles = {first.get_title(loc=loc) for loc in ("left", "center", "right")}
    assert titles == {"A", ""}
    assert (first.get_xlim(), first.get_ylim()) == ((-0.5, 0.5), (0, 50))
    assert mapped.plot("outcomes", ax=second, labels="de").get_ylabel() == "Anteil der Antworten (%)"
    assert tuple(mapped.plot(size=(3, 2)).get_figure(root=True).get_size_inches()) == (3, 2)
    for arguments, words in (
        ({"kind": "plane"}, "kind must be asr or outcomes"),
        ({"panel": 3}, "panel must be"),
        ({"ax": first, "size": (3, 2)}, "left out where ax is given"),
        ({"labels": "xx"}, "labels must be one of en, de"),
    ):
        with pytest.raises(safebasin.UsageError, match=words):
            mapped.plot(**arguments)


def test_a_bare_landscape_has_the_frames_and_plots_of_its_study(mapped: Mapped) -> None:
    bare = safebasin.read_study(mapped.folder)
    assert safebasin.to_frame(bare).equals(mapped.to_frame())
    assert safebasin.to_frame(bare, "statistics").equals(mapped.to_frame("statistics"))
    with pytest.raises(safebasin.UsageError, match="table must be points or statistics"):
        safebasin.to_frame(bare, "rows")  # pyright: ignore[reportArgumentType]
    axes = safebasin.plot_landscape(bare, "outcomes", title="A", size=(3, 2), xlim=(-0.5, 0.5))
    assert (axes.get_title(loc="left"), axes.get_xlim()) == ("A", (-0.5, 0.5))
    with pytest.raises(safebasin.UsageError, match="panel must be"):
        safebasin.plot_landscape(bare, panel=3)


def test_a_comparison_names_who_cannot_be_told_apart(mapped: Mapped) -> None:
    landscapes = tuple(
        dataclasses.replace(make_landscape(points=3, prompts=4, seed=seed), name=f"study-{seed}") for seed in (0, 1)
    )
    names = tuple(one.name for one in landscapes)
    margins = (Estimate(value=0.6, low=0.4, high=0.8), Estimate(value=0.5, low=0.2, high=0.7))
    pair = RankedPair(first=names[0], second=names[1], difference=Estimate(value=0.1, low=-0.1, high=0.3))
    ranking = Ranking(order=names, margins=margins, pairs=(pair,), groups=(names,))
    compared = Compared(ranking=ranking, report=Path("r.html"), landscapes=landscapes, judge="keyword/peng2024")
    assert "1  study-0  0.6 [0.4, 0.8]   not told apart from study-1" in repr(compared)
    frame = compared.to_frame()
    assert list(frame["study"]) == list(names)
    assert list(frame["alike"]) == [[names[1]], [names[0]]]
    assert len(compared.plot(title="B").get_legend().get_texts()) == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"xlim": (1,)}, "xlim must be two numbers"),
        ({"ylim": ("a", 1)}, "ylim must be two numbers"),
        ({"xlim": 3}, "xlim must be two numbers"),
        ({"size": "big"}, "size must be width and height"),
        ({"size": (3,)}, "size must be width and height"),
        ({"ax": 3}, "ax must be axes of matplotlib; got 3"),
        ({"panel": "x"}, "panel must be a whole number; got 'x'"),
        ({"panel": 9}, "panel must be the number of one"),
        ({"title": 3}, "title must be a text; got 3"),
    ],
)
def test_what_cannot_be_plotted_is_help(mapped: Mapped, given: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        mapped.plot(**given)
