"""Checking claims: on the embedded world, small, resumed, and with errors that help."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from safebasin import api
from safebasin.claims import curves, landscapes
from safebasin.claims.claim import load_claims, papers
from safebasin.claims.lab import Lab
from safebasin.claims.subject import GUILD, SUBJECTS, usual_subject
from safebasin.errors import MissingExtra, ModelError, StudyError, UnknownName
from safebasin.writing import KINDS, target_folder


class SmallLab(Lab):
    """Three directions, four prompts."""

    @property
    def directions(self) -> int:
        return 3

    @property
    def prompts(self) -> int:
        return 4

    @property
    def asked(self) -> int:
        return 4


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return SmallLab(folder=tmp_path_factory.mktemp("lab"), quick=True)


@pytest.mark.slow
@pytest.mark.integration
def test_a_study_that_is_there_is_not_announced_as_measured(tmp_path: Path) -> None:
    said: list[str] = []
    lab, flags = SmallLab(folder=tmp_path, note=said.append), {"directions": 1, "limit": 2, "range": "-1:1:3"}
    first = lab.measure("small", "world:guild/base", **flags)
    assert said == ["measuring small"]
    assert lab.measure("small", "world:guild/base", **flags).plan == first.plan
    assert len(said) == 1


@pytest.mark.integration
@pytest.mark.slow
def test_the_basin_of_the_embedded_model_has_a_radius(lab: Lab) -> None:
    finding = landscapes.basin_kept(lab)
    assert finding.estimate.value is not None
    assert 0 <= finding.estimate.value < 1.5
    assert (lab.folder / "studies" / "aligned" / "study.sqlite").is_file()
    width = landscapes.rim_width(lab)
    assert width.estimate.value is not None


def test_the_width_of_a_rim_is_that_of_a_straight_line_where_it_is_one() -> None:
    alphas = np.linspace(-1, 1, 21)
    assert curves.rise_width(alphas, np.abs(alphas)[None]) == pytest.approx([1.6])
    step = (np.abs(alphas) > 0.5).astype(float)[None]
    assert curves.rise_width(alphas, step) == pytest.approx([0.08 / 0.55], rel=0.02)


def test_a_side_that_does_not_rise_all_the_way_takes_the_upper_bound_away() -> None:
    alphas = np.linspace(-1, 1, 21)
    success = np.repeat((np.abs(alphas) > 0.5)[None, :, None], 4, axis=0).repeat(20, axis=2).astype(float)
    whole = curves.estimate_rim(success, alphas)
    assert whole.n_censored == 0
    success[0, alphas > 0, :4] = 0  # a fifth of the prompts on one side of one direction
    partly = curves.estimate_rim(success, alphas)
    assert (partly.n_censored, partly.high) == (1, None)
    assert partly.value is not None
    assert whole.value is not None
    assert partly.value > whole.value
    success[0, alphas > 0, :12] = 0
    assert curves.estimate_rim(success, alphas).low is None
    assert curves.estimate_rim(np.zeros_like(success), alphas).value is None


def test_the_width_of_a_rim_does_not_depend_on_the_unit_of_the_range() -> None:
    """It is in radii: a real model whose range ends at 0.2 has the same interval as one whose range ends at 2."""
    alphas, rims = np.linspace(-2, 2, 21), np.linspace(0.2, 1.4, 20)
    moved = rims[None, :] + np.asarray([-0.1, 0.0, 0.1])[:, None]
    success = (np.abs(alphas)[None, :, None] >= moved[:, None, :]).astype(float)
    wide, narrow = curves.estimate_rim(success, alphas), curves.estimate_rim(success, alphas / 10)
    assert (narrow.value, narrow.low, narrow.high) == pytest.approx((wide.value, wide.low, wide.high))
    assert narrow.low is not None
    assert narrow.value is not None
    assert narrow.high is not None
    assert narrow.low < narrow.value < narrow.high


def test_how_far_a_level_is_kept_counts_from_that_of_the_origin() -> None:
    alphas = np.linspace(-1, 1, 21)
    success = np.repeat((np.abs(alphas) > 0.5)[None, :, None], 3, axis=0).repeat(20, axis=2).astype(float)
    success[..., :4] = 1.0  # a fifth is answered everywhere
    found = curves.estimate_kept(success, alphas)
    assert found.value == pytest.approx(0.5 + 0.1 * 0.1 / 0.8)
    flat = curves.estimate_kept(np.zeros_like(success), alphas)
    assert (flat.value, flat.high, flat.n_censored) == (1.0, None, 6)


def test_an_unknown_claim_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="claim must be one of basin_exists"):
        api.check_claims("peng2024", out=tmp_path, only=["basin"])
    assert list(tmp_path.iterdir()) == []


def test_without_the_trainer_claims_about_fine_tuning_end_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)  # as where it is not installed
    for paper, only in (("qi2023", []), ("peng2024", []), ("peng2024", ["visage_orders_models"])):
        with pytest.raises(MissingExtra, match=r"'trl' installed.* pip install 'safebasin\[train\]'"):
            api.check_claims(paper, out=tmp_path / "lab", only=only)
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_out_on_a_subject_is_not_run_and_says_why(tmp_path: Path) -> None:
    (checked,) = api.check_claims("peng2024", on="real", out=tmp_path, only=["visage_orders_models"])
    assert checked.answer == "not run"
    assert checked.finding.estimate.value is None
    assert "two cores" in checked.finding.details[0]
    written = json.loads((tmp_path / "claims.json").read_text())
    assert (written["on"], written["claims"][0]["answer"]) == ("real", "not run")


def test_subjects_leave_out_claims_that_there_are_and_not_all() -> None:
    names = {claim.name for paper in papers() for claim in load_claims(paper)}
    for subject in SUBJECTS.values():
        assert set(subject.left_out) < names
        assert all(subject.left_out.values())
    assert GUILD.left_out == {}


def test_an_unknown_subject_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="--on must be one of guild, real, pcfg; got 'toy'"):
        api.check_claims("peng2024", on="toy", out=tmp_path)


def test_a_model_that_is_not_built_is_an_error_with_the_command_that_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFEBASIN_KITCHEN", str(tmp_path / "none"))
    with pytest.raises(ModelError, match="safebasin world build --world kitchen"):
        api.check_claims("peng2024", on="real", out=tmp_path, only=["basin_exists"])


def test_a_paper_with_a_world_of_its_own_is_checked_there_and_nowhere_else(tmp_path: Path) -> None:
    assert [usual_subject(paper) for paper in ("jain2024", "peng2024")] == ["pcfg", "guild"]
    (elsewhere,) = api.check_claims("jain2024", on="guild", out=tmp_path / "a", only=["slope_falls_on_unsafe"])
    assert (elsewhere.answer, elsewhere.finding.details) == ("not run", ("it is about world:pcfg; take --on pcfg",))
    (other,) = api.check_claims("peng2024", on="pcfg", out=tmp_path / "b", only=["basin_exists"])
    assert (other.answer, other.finding.details) == ("not run", ("pcfg is the world of jain2024 alone",))


def test_a_folder_that_was_ended_before_the_first_claim_is_taken_up(tmp_path: Path) -> None:
    """Whatever a claim keeps beside `claims.json` is there before it."""
    sources = Path(str(sys.modules[Lab.__module__].__file__)).parent.rglob("*.py")
    kept = {name for file in sources for name in re.findall(r'(?:lab|self)\.folder / f?"([a-z]+)', file.read_text())}
    assert {"studies", "models", "edits"} <= kept
    for name in kept - {"claims", "suffixed"}:
        (tmp_path / name).mkdir()
    (tmp_path / "suffixed-0-quick.jsonl").touch()
    assert target_folder(tmp_path, KINDS["claims"]) == tmp_path
