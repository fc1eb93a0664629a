"""The curve in the terminal: width, marks, numbers, hostile names, terminals that know ASCII only."""

from __future__ import annotations

import dataclasses
import io
import re
import sys

import pytest

from helpers.landscapes import make_landscape
from helpers.regions import make_group, make_plane_landscape, make_study
from safebasin.records import Estimate, Landscape
from safebasin.report.terminal import terminal_curve


@pytest.fixture(autouse=True)
def _utf8(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))


def with_summary(landscape: Landscape, **changed: Estimate) -> Landscape:
    first = landscape.panels[0]
    panel = dataclasses.replace(first, summary={**first.summary, **changed})
    return dataclasses.replace(landscape, panels=(panel,))


def bars(text: str) -> list[str]:
    return [line.split("┤" if "┤" in line else "│", 1)[1] for line in text.splitlines() if "┤" in line or "│" in line]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("points", [1, 3, 21, 101, 401])
def test_no_line_is_wider_than_asked(width, points):
    text = terminal_curve(make_landscape(directions=1, points=points, prompts=6), width=width)
    assert max(map(len, text.splitlines())) <= width


def test_it_draws_a_basin():
    rows = bars(terminal_curve(make_landscape(missing=0.0), width=80))
    assert len(rows) == 12
    assert rows[0].startswith("█")
    top, limit, lowest = rows[0], rows[6], rows[-1]
    assert top[20:40].strip() == ""
    assert "╌" in limit
    assert len(lowest.split()[0]) > 0


def test_axes_mark_origin_limit_and_percent():
    text = terminal_curve(make_landscape(), width=80)
    floor = next(line for line in text.splitlines() if "└" in line)
    ticks = text.splitlines()[text.splitlines().index(floor) + 1]
    assert floor.count("┴") == 1
    assert abs(floor.index("┴") - ticks.index(" 0 ") - 1) <= 1
    for words in ("100% ┤", " 50% ┤", "  0% └", "-1.5", "+1.5", "α (in units of ‖θ‖ per tensor)"):
        assert words in text


def test_statistics_with_interval_n_and_missing():
    text = terminal_curve(make_landscape(missing=0.05), width=80)
    row = next(line for line in text.splitlines() if line.startswith("depth"))
    assert "%" in row
    assert "[" in row
    lines = text.splitlines()
    assert lines.index(next(x for x in lines if x.startswith("radius "))) < lines.index(
        next(x for x in lines if x.startswith("VISAGE"))
    )


def test_a_column_that_does_not_fit_is_left_out_whole():
    wide, narrow = (terminal_curve(make_landscape(), width=width) for width in (100, 40))
    table = narrow[narrow.index("statistic  ") : narrow.index("\nresponses")]
    assert table.count("\n") > 9
    assert set(re.findall(r"[\d.]+", table)) <= set(re.findall(r"[\d.]+", wide))


def test_a_censored_radius_is_a_lower_bound():
    text = terminal_curve(make_landscape(rim=9), width=80)
    assert "≥ 1.50" in text
    assert "lower bound" in text


def test_an_undefined_statistic_says_so():
    text = terminal_curve(with_summary(make_landscape(), collapse=Estimate(value=None)), width=80)
    assert next(line for line in text.splitlines() if line.startswith("collapse")).split()[1] == "undefined"


def test_composition_and_notes():
    text = terminal_curve(make_landscape(), width=80)
    assert "α = +0.00" in text
    assert "% refused" in text
    assert "* 3 responses hold a near-tie." in text


def test_every_panel_is_there():
    text = terminal_curve(make_landscape(panels=3), width=80)
    assert text.count("statistic ") == 3
    assert "jailbreak/prefix_injection" in text


def test_a_panel_without_verdicts_says_so():
    text = terminal_curve(make_landscape(missing=1.0, points=5), width=80)
    assert "nothing measured yet" in text


def test_hostile_names_are_shown_not_obeyed():
    landscape = dataclasses.replace(make_landscape(model="evil\x1b]0;x\x07"), notes=("note\x1b[2J\u202e",))
    text = terminal_curve(landscape, width=80)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "evil\\x1b]0;x\\x07" in text


def test_a_terminal_without_blocks_gets_ascii(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    text = terminal_curve(make_landscape(rim=9), width=80)
    assert text.isascii()
    assert ">= 1.50" in text
    assert "alpha" in text


# --- regions ----------------------------------------------------------------------------------------------------------


def map_rows(text: str) -> list[str]:
    lines = text.splitlines()
    end = next(i for i, line in enumerate(lines) if "└" in line)
    return [line[8:] for line in lines[:end] if len(line) > 8 and line[7] in "┤│"]


@pytest.mark.parametrize("width", [40, 60, 100])
@pytest.mark.parametrize("points", [1, 2, 9, 21, 61])
@pytest.mark.slow
def test_no_line_of_a_map_is_wider_than_asked(width, points):
    landscape = make_plane_landscape(points=points, prompts=4, target="./" + "tuned" * 20)
    assert max(map(len, terminal_curve(landscape, width=width).splitlines())) <= width


def test_a_map_marks_origin_rim_target_and_gaps():
    landscape = make_plane_landscape(points=7, prompts=10, target="./tuned", gaps=0.1)
    text = terminal_curve(landscape, width=80)
    rows = map_rows(text)
    assert len(rows) == 7
    assert rows[3][6] == "+"
    assert rows[3][10] == "T"  # α = 1 is on the grid
    assert "o" in rows[3]
    assert "".join(rows).count("?") == 2 * landscape_gaps(landscape)
    assert f"not measured ({landscape_gaps(landscape)} of 49)" in " ".join(text.split())


def landscape_gaps(landscape: Landscape) -> int:
    return 49 - len(landscape.panels[0].points)


def test_beta_grows_upwards():
    lines = terminal_curve(make_plane_landscape(points=5, prompts=4), width=80).splitlines()
    labels = [line.split()[0] for line in lines if "┤" in line]
    assert labels[0] == "+1.5"
    assert labels[-1] == "-1.5"


def test_the_same_map_in_ascii(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert terminal_curve(make_plane_landscape(points=5, prompts=4), width=80).isascii()


def test_a_group_is_one_table_with_strips():
    text = terminal_curve(make_group(blocks=5, points=9), width=80)
    assert text.count("statistic ") == 0
    row = next(line for line in text.splitlines() if line.startswith("block 2 "))
    assert re.search(r"\[[ ·▒▓█]{9}\] +0\.\d\d +\[", row)
    assert "narrowest along block" in text


def test_a_study_shows_paths_measurements_and_differences():
    text = terminal_curve(make_study(points=5, prompts=4), width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("trajectory harmful fine-tuning") == 2
    assert "perplexity:crafts.txt" in text
    assert "default → none, margin on harmful: −12.0 points [−17.0, −7.0] (lower)" in " ".join(text.split())


def test_a_line_with_gaps_keeps_its_places():
    landscape = make_landscape(points=7, prompts=6, directions=1)
    panel = landscape.panels[0]
    kept = tuple(cell for cell in panel.points if cell.coords[0] not in (-1.0, 0.5))
    text = terminal_curve(dataclasses.replace(landscape, panels=(dataclasses.replace(panel, points=kept),)), width=80)
    floor = next(line for line in text.splitlines() if "└" in line)
    assert floor.count("?") == 2
    assert "? not measured: 2 of 7 points" in text
    assert "-1.5" in text
