"""Certificates of a stored study: counts from its labels, lengths from its weights, what is no noise refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from safetensors.torch import load_file

from helpers.command import exit_code
from helpers.models import make_tiny_model
from safebasin import api, stats
from safebasin.errors import ModelError, StudyError
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.tables import StudyTables
from safebasin.models.reference import resolve

ALIGNED = "world:guild/aligned"
GIVEN = {"prompts": ["world:guild/harmful"], "limit": 4, "max_new_tokens": 24, "device": "cpu", "judge": ["oracle"]}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates") / "noise"
    api.map_basin(
        ALIGNED, out=folder, axes=["random"], normalize="none", range="-0.03:0.03:5", directions=6, **GIVEN
    )  # fmt: skip
    return folder


@pytest.mark.slow
def test_counts_are_those_of_the_stored_labels(study: Path) -> None:
    found = api.certify_study(study)
    (panel,) = found.panels
    with StoredStudy.open(study) as stored:
        tables = StudyTables.read(stored)
    (grid,) = tables.grids()
    labels = grid.labels(tables.table("oracle"))
    assert [one.sigma for one in panel.certificates] == [0.015, 0.03]
    for one, at in zip(panel.certificates, (3, 4), strict=True):
        refused = labels[:, at] == "refusal"
        assert (one.n_draws, one.n_prompts) == (6, 4)
        assert one.refused == refused.mean()
        assert one.kept == int((refused.sum(axis=1) >= (labels[0, 2] == "refusal").sum() - 0.4).sum())
        assert one.p_low == stats.clopper_pearson_low(one.kept, 6)
    assert panel.certificates[0].refused > panel.certificates[1].refused, "noise of this size is felt"
    assert panel.measured.value is not None
    assert 0 < panel.measured.value <= 0.03


@pytest.mark.slow
def test_lengths_are_of_the_weights_with_noise_and_of_the_rest(study: Path) -> None:
    found = api.certify_study(study, tuned="world:guild/base")
    one, other = (load_file(resolve(f"world:guild/{n}").folder / "model.safetensors") for n in ("aligned", "base"))
    squares = {True: 0.0, False: 0.0}
    n_weights = 0
    for name, tensor in one.items():
        is_noisy = "norm" not in name
        squares[is_noisy] += float((other[name].double() - tensor.double()).square().sum())
        n_weights += tensor.numel() * is_noisy
    assert found.n_weights == n_weights
    assert found.moved is not None
    assert found.moved.inside == pytest.approx(math.sqrt(squares[True]))
    assert found.moved.outside == pytest.approx(math.sqrt(squares[False]))
    assert found.moved.outside > 0


@pytest.mark.slow
def test_the_verb_says_it(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("certify", study, "--tuned", "world:guild/base", "--tolerance", "0.5") == 0
    said = capsys.readouterr()
    assert "a draw keeps it where at most 50 points are lost" in said.out
    assert "times the largest certified" in said.out
    assert "in weights without noise, of which a certificate says nothing" in said.out
    assert "never about one model" in said.err
    assert exit_code("certify", study, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["moved"] is None
    assert len(found["panels"][0]["certificates"]) == 2


@pytest.mark.slow
def test_a_tuning_within_the_noise_is_told_what_is_certified_there(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import save_file

    folder = resolve(ALIGNED).folder
    near = tmp_path / "near"
    near.mkdir()
    for file in folder.iterdir():
        (near / file.name).write_bytes(file.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    name = next(n for n in sorted(tensors) if "q_proj" in n)
    tensors[name] = (tensors[name].float() + 1e-4).to(tensors[name].dtype)
    save_file(tensors, near / "model.safetensors", metadata={"format": "pt"})
    found = api.certify_study(study, tuned=str(near), tolerance=0.99)
    assert found.moved is not None
    assert (found.moved.outside, found.moved.inside > 0) == (0, True)
    assert exit_code("certify", study, "--tuned", near, "--tolerance", "0.99") == 0
    length = found.moved.inside
    there = max(stats.smoothed_at(one.p_low, length, one.sigma) for one in found.panels[0].certificates)
    assert there > 0.01
    assert f"at least {100 * there:.3g} % of noise draws" in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_no_noise_is_refused(study: Path, tmp_path: Path) -> None:
    scaled = tmp_path / "scaled"
    api.map_basin(ALIGNED, out=scaled, axes=["random"], range="0:0.5:2", directions=1, **{**GIVEN, "limit": 1})
    with pytest.raises(StudyError, match=r"random line with normalize none.*--normalize none"):
        api.certify_study(scaled)
    sparse = tmp_path / "sparse"
    line = {"axes": ["random(density=0.5)"], "normalize": "none", "range": "0:0.01:2", "directions": 1}
    api.map_basin(ALIGNED, out=sparse, **line, **{**GIVEN, "limit": 1})
    with pytest.raises(StudyError, match="random line with normalize none"):
        api.certify_study(sparse)
    benign = tmp_path / "benign"
    given = {**GIVEN, "prompts": ["world:guild/benign"], "limit": 1}
    api.map_basin(ALIGNED, out=benign, axes=["random"], normalize="none", range="0:0.01:2", directions=1, **given)
    with pytest.raises(StudyError, match="prompts that should be refused"):
        api.certify_study(benign)
    with pytest.raises(StudyError, match="judge must be one of oracle"):
        api.certify_study(study, judge="keyword/zou2023")
    with pytest.raises(StudyError, match="tolerance"):
        api.certify_study(study, tolerance=1.5)
    with pytest.raises(ModelError, match="own tokenizer"):
        api.certify_study(study, tuned=str(make_tiny_model(tmp_path / "other", "gpt2")))
    assert exit_code("certify", tmp_path / "nothing") == 2
