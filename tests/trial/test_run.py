"""A comparison from end to end on the embedded world. For the attack stands a checkpoint that refuses nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from safebasin import api, catalog
from safebasin.errors import MissingExtra, UsageError
from safebasin.records import Point
from safebasin.report.defenses import render_defenses
from safebasin.trial import run
from safebasin.trial.arms import Attacked, Entrant, entrants, read_cost, timed
from safebasin.trial.records import BEFORE, NONE, ArmCost, DefenseComparison
from safebasin.trial.run import compare_defenses


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arms that ask for an attacked model."""
    asked: list[str] = []

    def attacked(given: Attacked, entrant: Entrant) -> Path:
        asked.append(entrant.name)
        return catalog.world("guild").checkpoint("aligned" if entrant.stage == "finetuning" else "base")

    monkeypatch.setattr(run, "attacked", attacked)
    monkeypatch.setattr(run, "require_trl", lambda: None)
    return asked


def compare(out: Path, **given: Any) -> DefenseComparison:
    wanted = {"defenses": ["mix_safe(amount=5)", "scans(threshold=0.84, layers=1-2)"], "limit": 8, **given}
    return compare_defenses("world:guild/aligned", out=out, **wanted).comparison


@pytest.mark.slow
def test_arms_are_asked_the_same_and_paired_with_no_defense(
    trained: list[str], decoded: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = compare(out)
    # three sets of 8 of the base, asked by no defense and, with SCANS installed, by SCANS; mix_safe takes the former
    assert decoded.count(Point().key) == 2 * 3 * 8
    names = [arm.name for arm in found.arms]
    assert names == [BEFORE, NONE, "mix_safe(amount=5)", "scans(threshold=0.84, layers=1-2, world=guild)"]
    assert trained == names[1:]
    before, none, mixed, steered = found.arms
    asr = {arm.name: arm.measure("asr") for arm in found.arms}
    assert all(measure is not None for measure in asr.values())
    first, second, third = (measure for name, measure in asr.items() if measure and name != steered.name)
    assert (second.share.value, second.difference) == (1.0, None)
    assert first.share == third.share  # the aligned model both times
    assert (third.gained, third.lost, third.p) == (0, 7, 2 / 2**7)
    assert before.headroom is None
    assert none.headroom is not None
    assert none.headroom.value is not None
    assert none.headroom.value < 0  # refusal ends before the attacked model
    assert mixed.moved == 0
    assert none.moved == steered.moved
    assert none.moved is not None
    assert none.moved > 0
    assert (found.pairs[0].first, found.pairs[0].second) == (NONE, mixed.name)
    assert (none.cost.training > 0, steered.cost.training, steered.cost.asking > 0) == (True, 0.0, True)

    # the same again takes up what is there, with the costs of the first time
    document = (out / "defenses.json").read_text(encoding="utf-8")
    again = compare(out)
    assert (out / "defenses.json").read_text(encoding="utf-8") == document
    assert again == found
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page == render_defenses(json.loads(document))
    assert "cannot be told apart" in page
    assert {file.name for file in (out / "figures").iterdir()} == {
        f"defenses.{kind}" for kind in ("png", "svg", "pdf", "csv")
    }
    with pytest.raises(UsageError, match=r"attack of the comparison in .* must be harmful_examples; got 'benign'"):
        compare(out, attack="benign")


def test_a_world_has_defenses_by_default_and_names_are_told_apart() -> None:
    stages = [found.stage for found in entrants("world:guild/aligned", ())]
    assert stages == ["", "finetuning", "finetuning", "post_finetuning", "post_finetuning", "inference"]
    with pytest.raises(UsageError, match=r"--defense must be named once each"):
        entrants("world:guild/aligned", ["scans", "scans(world=guild)"])
    with pytest.raises(UsageError, match=r"--defense must be given"):
        entrants("org/model", ())
    with pytest.raises(UsageError, match=r"defense must be one of .*Did you mean 'scans'"):
        entrants("world:guild/aligned", ["scan"])
    slugs = [found.slug for found in entrants("world:guild/aligned", ["mix_safe(amount=5)", "mix_safe(amount=0.5)"])]
    assert len(set(slugs)) == 3


def test_seeds_of_a_stress_test_need_one(tmp_path: Path) -> None:
    for given in ({"stress_seeds": 3}, {"stress": 16, "stress_seeds": 0}):
        with pytest.raises(UsageError, match=r"seeds of the stress test must be at least 1, and given with the stress"):
            api.compare_defenses("world:guild/aligned", out=tmp_path / "out", progress=False, **given)
    assert not (tmp_path / "out").exists()


def test_without_the_trainer_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingExtra("fine-tuning", "trl", "train")

    monkeypatch.setattr(run, "require_trl", missing)
    with pytest.raises(MissingExtra):
        compare(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_seconds_are_added_until_a_part_has_come_to_its_end(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), timed(tmp_path, "asking"):
        raise KeyboardInterrupt
    begun, done = read_cost(tmp_path)
    assert (begun.training, begun.asking > 0, done) == (0.0, True, frozenset())
    with timed(tmp_path, "asking"):
        pass
    whole, done = read_cost(tmp_path)
    assert whole.asking > begun.asking
    assert done == {"asking"}
    with timed(tmp_path, "asking"):
        pass
    assert read_cost(tmp_path) == (whole, done)
    (tmp_path / "cost.json").write_text("[", encoding="utf-8")
    assert read_cost(tmp_path) == (ArmCost(), frozenset())


@pytest.mark.slow
def test_the_attack_itself_under_two_defenses(tmp_path: Path) -> None:
    pytest.importorskip("trl")
    found = compare(tmp_path / "out", defenses=["mix_safe(amount=20)", "sppft(layers=0-3)"])
    asr = {arm.name: arm.measure("asr") for arm in found.arms}
    assert [measure.share.value for measure in asr.values() if measure][1] == 1.0  # ten examples leave nothing
    frozen = next(arm for arm in found.arms if arm.name.startswith("sppft"))
    assert frozen.moved is not None
    assert 0 < frozen.moved < max(arm.moved or 0 for arm in found.arms)
    assert len(list(tmp_path.rglob("safebasin.json"))) == 3


def test_one_that_fails_before_anything_was_made_leaves_nothing(
    trained: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attacked(given: Attacked, entrant: Entrant) -> Path:
        assert (given.folder / run.DOCUMENT).is_file()
        raise UsageError("rows must be given; got none. Pass --data.")

    monkeypatch.setattr(run, "attacked", attacked)
    with pytest.raises(UsageError, match="rows must be given"):
        compare(tmp_path / "runs" / "out")
    assert list(tmp_path.iterdir()) == []
