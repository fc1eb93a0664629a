"""Planes, adaptive sampling, blocks, system prompts, trajectories: from a study to a landscape, with real engines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import safebasin
from safebasin import study
from safebasin.engines.hf import HFEngine
from safebasin.engines.scripted import ScriptedEngine
from safebasin.errors import ModelError, StudyError
from safebasin.landscape.results import read_landscape
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Landscape
from safebasin.run.execute import measure
from safebasin.store.db import StudyStore

GUILD = "world:guild/aligned"


def landscape_of(folder: Path) -> Landscape:
    with StudyStore.open(folder) as store:
        return read_landscape(StoredStudy.of(store))


def scripted(tmp_path: Path, name: str = "study", **fields: object) -> tuple[Landscape, ScriptedEngine]:
    """A study of a scripted engine that refuses near θ₀, six prompts."""
    engine = ScriptedEngine()
    made = study.make({"model": GUILD, "limit": 6, "judges": ["keyword/peng2024"], **fields})
    return landscape_of(measure(made, tmp_path / name, engine=engine)), engine


AXIS = {"range": "-1:1:9"}


@pytest.mark.slow
def test_a_plane_has_two_coordinates_and_a_radius(tmp_path: Path) -> None:
    landscape, _ = scripted(tmp_path, axes=[AXIS, AXIS])
    (panel,) = landscape.panels
    assert len(panel.points) == 81
    assert {len(cell.coords) for cell in panel.points} == {2}
    assert panel.points[0].coords == (0.0, 0.0)
    radius = panel.summary["radius"]
    assert radius.value is not None
    assert 0 < radius.value < 1
    assert panel.summary["visage"].n == 81 * 6


@pytest.mark.slow
def test_an_adaptive_plane_asks_less_and_agrees(tmp_path: Path) -> None:
    full, _ = scripted(tmp_path, "full", axes=[AXIS, AXIS])
    part, _ = scripted(tmp_path, "part", axes=[AXIS, AXIS], points="auto", budget=50)
    assert len(part.panels[0].points) <= 50 < len(full.panels[0].points)
    for name, tolerance in (("margin", 0.03), ("radius", 0.25)):
        assert part.summary[name].value == pytest.approx(full.summary[name].value, abs=tolerance)
    assert "interpolated linearly" in part.summary["margin"].method
    assert part.summary["margin"].n == len(part.panels[0].points) * 6 - 6, "what was measured, the origin once"


def test_an_adaptive_line_goes_on_where_it_was(tmp_path: Path) -> None:
    fields = {"axes": [{"range": "-1:1:21", "directions": 2}], "points": "auto"}
    first, engine = scripted(tmp_path, **fields)
    asked = sum(rows for kind, rows in engine.calls if kind == "generate")
    again, idle = scripted(tmp_path, **fields)
    assert asked < 41 * 6
    assert not [rows for kind, rows in idle.calls if kind == "generate"]
    assert again == first


@pytest.mark.slow
def test_several_regions_are_several_panels(tmp_path: Path) -> None:
    regions = [{"name": "line", "axes": [AXIS]}, {"name": "plane", "axes": [{"range": "-1:1:3"}] * 2}]
    landscape, _ = scripted(tmp_path, regions=regions)
    assert [panel.region.name for panel in landscape.panels] == ["line", "plane"]


def test_system_prompts_are_compared_in_pairs(tmp_path: Path) -> None:
    landscape, _ = scripted(tmp_path, axes=[AXIS], systems=["default", "none", "safety/short"])
    found = [(c.before, c.after) for c in landscape.comparisons]
    assert found == [("default", "none"), ("default", "safety/short")]
    assert landscape.comparisons[0].estimate.value == 0, "the scripted engine does not look at the system prompt"


@pytest.mark.slow
@pytest.mark.integration
def test_each_block_is_a_line_of_its_own(tmp_path: Path) -> None:
    fields = {"axes": [{"range": "-0.5:0.5:3", "directions": 1}], "each": "attention", "limit": 3}
    made = study.make({"model": GUILD, "decoding": {"max_new_tokens": 12}, **fields})
    landscape = landscape_of(measure(made, tmp_path / "study"))
    assert [panel.region.name for panel in landscape.panels] == [f"attention {i}" for i in range(4)]
    assert {panel.region.group for panel in landscape.panels} == {"each attention"}
    assert len({panel.points[-1].point for panel in landscape.panels}) == 4


@pytest.mark.slow
@pytest.mark.integration
def test_a_line_to_the_base_model_and_its_trajectory(tmp_path: Path) -> None:
    from safebasin import catalog

    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoint-10").symlink_to(catalog.world("guild").checkpoint("base"), target_is_directory=True)
    (run / "checkpoint-20").mkdir()
    (run / "checkpoint-20" / "config.json").write_text("{}")
    made = study.make(
        {
            "model": GUILD,
            "axes": [{"kind": "to", "target": "world:guild/base", "range": "0:1:2"}],
            "trajectories": [str(run)],
            "limit": 3,
            "decoding": {"max_new_tokens": 12},
        }
    )
    landscape = landscape_of(measure(made, tmp_path / "study"))
    (trajectory,) = landscape.trajectories
    (step,) = trajectory.steps
    assert step.coords == pytest.approx((1.0,))
    assert step.residual == pytest.approx(0.0, abs=1e-6)
    assert len(trajectory.skipped) == 1
    assert "checkpoint-20" in trajectory.skipped[0]


@pytest.mark.slow
def test_a_plane_of_one_direction_twice_is_an_error(tmp_path: Path) -> None:
    axes = [{"kind": "to", "target": "world:guild/base", "range": "0:1:2"}] * 2
    with pytest.raises((ModelError, StudyError), match="parallel"):
        measure(study.make({"model": GUILD, "axes": axes, "limit": 2}), tmp_path / "study", engine=HFEngine(GUILD))


@pytest.mark.slow
def test_a_region_that_is_half_measured_is_drawn_with_gaps(tmp_path: Path) -> None:
    class Tired(ScriptedEngine):
        def generate(self, conversations, decoding):
            if len(self.calls) > 4:
                raise KeyboardInterrupt
            return super().generate(conversations, decoding)

    made = study.make({"model": GUILD, "limit": 6, "judges": ["keyword/peng2024"], "axes": [AXIS, AXIS]})
    with pytest.raises(KeyboardInterrupt):
        measure(made, tmp_path / "study", engine=Tired())
    landscape = landscape_of(tmp_path / "study")
    assert any("not there yet" in note for note in landscape.notes)
    written = safebasin.report_study(tmp_path / "study")
    document = json.loads((written.folder / "landscape.json").read_text())
    assert sum(point["asr"]["keyword/peng2024"]["n"] == 0 for point in document["points"]) > 70
