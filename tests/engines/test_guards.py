"""Inference defenses in the engine: the right rows when others have ended, a key of their own, nothing left behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from safebasin import catalog, make_study
from safebasin.catalog import lookup
from safebasin.engines.hf import HFEngine
from safebasin.engines.scripted import ScriptedEngine
from safebasin.errors import StudyError, UnknownName, UsageError
from safebasin.records import Decoding, Message, Point
from safebasin.study.defenses import keys_of
from safebasin.study.plan import resolve_decoding

PLUGIN = Path(__file__).parents[1] / "plugin_package" / "src"
STEER = "safebasin-kiln/steer"


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tutorial's package in the catalogue, without installing it."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    from safebasin_kiln import ROWS

    every = (*lookup.BUILTIN, *(replace(row, name=f"safebasin-kiln/{row.name}") for row in ROWS))
    monkeypatch.setattr(lookup, "rows", lambda: every)


@pytest.fixture(scope="module")
def engine() -> HFEngine:
    return HFEngine("world:guild/aligned", device="cpu")


def steered(strength: float, version: str = "1", **settings: Any) -> Decoding:
    key = f"{STEER}(strength={strength})@{version}"
    return Decoding(max_new_tokens=24, defenses=(key,), **settings)


def asked(n: int = 8) -> list[tuple[Message, ...]]:
    """Prompts of different length, answered at different length, so that rows end one after the other."""
    world = catalog.world("guild")
    return [p.messages for s in ("harmful", "benign") for p in world.load_prompts(s)[: n // 2]]


@pytest.mark.slow
def test_rows_that_stay_are_steered_by_their_own_prompt(engine: HFEngine) -> None:
    together = engine.generate(asked(), steered(0.6))
    alone = [engine.generate([turns], steered(0.6))[0] for turns in asked()]
    assert [g.text for g in together] == [g.text for g in alone]
    assert len({g.n_tokens for g in together}) > 3, "rows end one after the other"
    bare = engine.generate(asked(), Decoding(max_new_tokens=24))
    assert [g.text for g in together] != [g.text for g in bare], "the defense has an effect"


@pytest.mark.slow
def test_strength_0_changes_no_token_and_nothing_is_left_behind(engine: HFEngine) -> None:
    bare = engine.generate(asked(), Decoding(max_new_tokens=24))
    none = engine.generate(asked(), steered(0.0))
    assert [(g.text, g.n_tokens, g.finish_reason) for g in none] == [
        (g.text, g.n_tokens, g.finish_reason) for g in bare
    ]
    engine.generate(asked(), steered(0.6))
    assert engine.generate(asked(), Decoding(max_new_tokens=24)) == bare


def test_a_guard_is_bound_anew_when_the_weights_move(engine: HFEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from safebasin_kiln.steer import Steer

    bound: list[float] = []
    guard = Steer.guard
    monkeypatch.setattr(Steer, "guard", lambda self, *given: bound.append(self.strength) or guard(self, *given))
    engine._guards.forget()
    for _ in range(2):
        engine.generate(asked(2), steered(0.3))
    assert bound == [0.3]
    engine.move_to(Point())
    engine.generate(asked(2), steered(0.3))
    assert bound == [0.3, 0.3]


def test_every_strength_has_a_key_and_none_has_that_of_old() -> None:
    keys = {steered(strength).key for strength in (0.0, 0.3, 0.6)} | {Decoding(max_new_tokens=24).key}
    assert len(keys) == 4
    assert Decoding(max_new_tokens=24, defenses=()).key == Decoding(max_new_tokens=24).key


def test_another_version_or_an_unknown_defense_is_refused(engine: HFEngine) -> None:
    with pytest.raises(UnknownName, match=r"defense of a decoding must be .*@2.*; got .*@1"):
        engine.generate(asked(2), steered(0.3, version="2"))
    with pytest.raises(UsageError, match="defense"):
        engine.generate(asked(2), Decoding(defenses=("no-such@1",)))
    with pytest.raises(UsageError, match="engine without a module"):
        ScriptedEngine().generate(asked(2), steered(0.3))


def test_a_study_names_its_defenses() -> None:
    study = make_study("world:guild/aligned", defense=f"{STEER}(strength=0.3)")
    assert study.defenses == (f"{STEER}(strength=0.3)",)
    assert resolve_decoding(study, ()).defenses == (f"{STEER}(strength=0.3)@1",)
    plain = make_study("world:guild/aligned")
    assert study.hash != plain.hash
    assert keys_of(plain.defenses) == ()


def test_a_defense_of_another_stage_is_no_part_of_a_study() -> None:
    study = make_study("world:guild/aligned", defense="mix_safe(amount=3)")
    with pytest.raises(StudyError, match=r"of the stage inference.*mix_safe.*for finetune"):
        resolve_decoding(study, ())


def test_what_a_defense_would_not_see_is_not_measured_beside_it(tmp_path: Path) -> None:
    (tmp_path / "tea.txt").write_text("Tea is steeped.")
    with pytest.raises(StudyError, match="capability must be left out"):
        make_study("world:guild/aligned", defense=STEER, text=str(tmp_path / "tea.txt"))
