"""Figures are valid files, the same bytes for the same landscape, and every word lies inside the picture."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import struct
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from matplotlib import rc_context

from helpers.landscapes import make_landscape
from safebasin.report.figures import Figures, draw_asr, draw_outcomes, files
from safebasin.report.figures.canvas import STYLE
from safebasin.report.figures.look import Look


@pytest.mark.slow
def test_files_of_every_panel(tmp_path):
    paths = Figures(make_landscape(points=3, prompts=4, panels=2, directions=1)).save(tmp_path / "figures")
    stems = [
        "asr-random-harmful", "outcomes-random-harmful", "asr-random-harmful-none", "outcomes-random-harmful-none",
        "overlay-random-system-harmful", "multiples-random-system-harmful",
    ]  # fmt: skip
    assert [p.name for p in paths] == [f"{stem}.{kind}" for stem in stems for kind in ("png", "svg", "pdf", "csv")]
    for path in paths:
        data = path.read_bytes()
        if path.suffix == ".svg":
            assert ET.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
        elif path.suffix == ".png":
            assert data[:8] == b"\x89PNG\r\n\x1a\n"
            assert min(struct.unpack(">II", data[16:24])) > 500
        elif path.suffix == ".pdf":
            assert data[:5] == b"%PDF-"
            assert data.rstrip().endswith(b"%%EOF")


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


@pytest.mark.slow
def test_the_data_of_a_figure_stand_beside_it(tmp_path):
    landscape = make_landscape(points=3, prompts=4, directions=2)
    Figures(landscape).save(tmp_path)
    rows = table(tmp_path / "asr-random-harmful.csv")
    panel = landscape.panels[0]
    assert len(rows) == len(panel.points) * len(landscape.judges)
    for row in rows:
        cell = next(
            c for c in panel.points if (c.direction, c.coords) == (int(row["direction"]), (float(row["alpha"]),))
        )
        rate = cell.asr[row["judge"]]
        assert [float(row[name]) for name in ("asr", "low", "high", "n")] == [rate.value, rate.low, rate.high, rate.n]
    for row in table(tmp_path / "outcomes-random-harmful.csv"):
        shares = [float(row[name]) for name in ("refusal", "complied", "incoherent") if name in row]
        assert sum(shares) == pytest.approx(1)


@pytest.mark.slow
def test_text_of_an_svg_is_text(tmp_path):
    Figures(make_landscape(points=3, directions=1)).save(tmp_path)
    found = ET.parse(tmp_path / "asr-random-harmful.svg").getroot().iter("{http://www.w3.org/2000/svg}text")
    assert "ASR (%)" in {"".join(node.itertext()) for node in found}


@pytest.mark.slow
def test_the_same_landscape_gives_the_same_bytes(tmp_path):
    landscape = make_landscape(points=3, directions=1)
    first, second = (Figures(landscape).save(tmp_path / name) for name in ("a", "b"))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


@pytest.mark.slow
def test_another_landscape_gives_another_picture():
    first, second = make_landscape(points=5), make_landscape(points=5, seed=7)
    assert Figures(first).of_panel(first.panels[0]) != Figures(second).of_panel(second.panels[0])


@pytest.mark.slow
def test_a_page_shows_the_saved_file_drawn_once_unless_it_has_another_look(tmp_path, monkeypatch):
    landscape = make_landscape(points=3, directions=1)
    [panel] = landscape.panels
    usual, other = Figures(landscape), Figures(landscape)
    saved = [path.read_bytes() for path in usual.save(tmp_path / "usual") if path.suffix == ".svg"]
    other.save(tmp_path / "other", Look(title="another"))
    anew = other.of_panel(panel)
    monkeypatch.setattr(files, "draw_asr", None)
    assert usual.of_panel(panel) == anew == [(words, image) for (words, _), image in zip(anew, saved, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["world:guild/aligned", "org/" + "long-name" * 20, "a$b_{$^", "x\x1b[0m\ny"])
@pytest.mark.parametrize("draw", [draw_asr, draw_outcomes])
def test_no_word_is_clipped(model, draw):
    import matplotlib

    landscape = make_landscape(points=5, directions=2, model=model)
    with matplotlib.rc_context(STYLE):
        figure = draw(landscape, landscape.panels[0])
        figure.canvas.draw()
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert 0 <= box.x0 < box.x1 <= width
    assert 0 <= box.y0 < box.y1 <= height


def test_legend_says_what_the_band_is():
    several, one = make_landscape(directions=3), make_landscape(directions=1)
    words = [t.get_text() for t in draw_asr(several, several.panels[0]).axes[0].get_legend().get_texts()]
    assert any("range over 3 directions" in w for w in words)
    assert any("mean radius" in w for w in words)
    words = [t.get_text() for t in draw_asr(one, one.panels[0]).axes[0].get_legend().get_texts()]
    assert any("Wilson 95% interval" in w for w in words)


@pytest.mark.parametrize("fields", [{"points": 1}, {"missing": 1.0, "points": 3}])
@pytest.mark.slow
def test_little_or_nothing_measured_still_draws(tmp_path, fields):
    assert Figures(make_landscape(directions=1, **fields)).save(tmp_path)


@pytest.mark.slow
def test_without_labels_there_is_no_figure_of_outcomes(tmp_path):
    landscape = make_landscape(points=3)
    panel = landscape.panels[0]
    bare = dataclasses.replace(panel, points=tuple(dataclasses.replace(c, outcomes={}) for c in panel.points))
    paths = Figures(dataclasses.replace(landscape, panels=(bare,))).save(tmp_path)
    assert [p.name for p in paths] == [f"asr-random-harmful.{kind}" for kind in ("png", "svg", "pdf", "csv")]


def test_a_line_is_broken_where_nothing_is_measured():
    landscape = make_landscape(points=7, prompts=6, directions=1)
    panel = landscape.panels[0]
    kept = tuple(cell for cell in panel.points if cell.coords[0] != 0.5)
    panel = dataclasses.replace(panel, points=kept)
    axes = draw_asr(dataclasses.replace(landscape, panels=(panel,)), panel).axes[0]
    main = next(line for line in axes.lines if str(line.get_label()).startswith("keyword/peng2024"))
    assert [x for x, y in zip(main.get_xdata(), main.get_ydata(), strict=True) if math.isnan(y)] == [0.5]
    assert any("1 of 7 points" in text.get_text() for text in axes.get_legend().get_texts())


def renamed(found, before: str, after: str):
    """A record with one word for another wherever it stands."""
    if isinstance(found, str):
        return after if found == before else found
    if isinstance(found, tuple):
        return tuple(renamed(part, before, after) for part in found)
    if isinstance(found, dict):
        return {renamed(key, before, after): renamed(value, before, after) for key, value in found.items()}
    if dataclasses.is_dataclass(found):
        fields = [field.name for field in dataclasses.fields(found) if field.init]
        return dataclasses.replace(found, **{f: renamed(getattr(found, f), before, after) for f in fields})
    return found


@pytest.mark.parametrize("judge", ["keyword/peng2024", "outcome"])
def test_a_judge_with_a_long_name_leaves_room_for_the_figure(judge):
    """A judge that asks a model is named with model and address; matplotlib warns where a legend leaves no axes."""
    name = f"rubric/qi2023(model=elders/{'very-' * 12}wise, base_url=https://guild.example/v1)"
    landscape = renamed(make_landscape(), judge, name)
    with rc_context(STYLE):
        figure = draw_asr(landscape, landscape.panels[0])
        figure.draw_without_rendering()
    assert figure.axes[0].get_position().width > 0.7
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert any("rubric/qi2023 … " in text.get_text() for text in legend.get_texts())
