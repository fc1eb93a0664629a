"""The stress test on the embedded world. For each training stand checkpoints that refuse everybody, or nobody."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from safebasin import catalog
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Response
from safebasin.run.execute import measure
from safebasin.run.progress import silent
from safebasin.store.db import StudyStore
from safebasin.study import AxisSpec, RegionSpec
from safebasin.trial import steps as stepping
from safebasin.trial.arms import Attacked, Entrant
from safebasin.trial.curves import Curve, Stress
from safebasin.trial.records import NONE
from safebasin.trial.steps import amounts_of, steps_after, steps_under
from safebasin.trial.stress import BUDGETS, budget_of, pairs_by_budget, stress

LIMIT = 6


def world(name: str) -> Path:
    return catalog.world("guild").checkpoint(name)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is trained: (model, folder). The attack breaks the model with its fourth step; of seed 1 with its second."""
    asked: list[tuple[str, str]] = []

    def train(given: Attacked, out: Path, defenses: Any, *, model: str | None = None, **rest: Any) -> Path:
        asked.append((model or given.base, f"{out.parent.name[:6]}/{out.name}"))
        for step in (1, 2, 4):
            target = out / f"checkpoint-{step}"
            if not target.exists():
                shutil.copytree(world("base" if step >= (2 if given.seed == 1 else 4) else "aligned"), target)
        return out

    monkeypatch.setattr(stepping, "train", train)
    return asked


def made(folder: Path) -> Stress:
    asked = Attacked(
        base="world:guild/aligned", attack="harmful_examples", method="full", data=None, safe=None, seed=0,
        device="cpu", folder=folder,
    )  # fmt: skip
    return Stress(
        asked=asked, prompts="world:guild/harmful", judges=("refusal",), limit=LIMIT, steps=5, progress=silent
    )


def test_steps_double() -> None:
    assert amounts_of(1) == (0, 1)
    assert amounts_of(5) == (0, 1, 2, 4)
    assert amounts_of(64) == (0, 1, 2, 4, 8, 16, 32, 64)


@pytest.mark.slow
def test_a_defense_that_holds_is_put_through_all_kinds(trained: list[tuple[str, str]], tmp_path: Path) -> None:
    bare = tmp_path / "models" / Entrant(name=NONE).slug
    shutil.copytree(world("base"), bare)
    kept = tmp_path / "kept"
    shutil.copytree(world("aligned"), kept)
    given, entrant = made(tmp_path), Entrant(name="mix_safe(amount=5)", stage="finetuning")
    found = stress(given, entrant, kept, np.zeros(LIMIT))
    steps, more, line, direction, radius = found
    assert [curve.name for curve in found] == list(BUDGETS)
    assert radius.radius is not None
    assert radius.radius.value is not None
    assert 0.1 < radius.radius.value < 1  # of the aligned model
    assert steps.amounts == more.amounts == (0, 1, 2, 4)
    assert [round(6 * row.mean()) for row in steps.success] == [1, 1, 1, 6]  # aligned, aligned, aligned, base
    assert np.array_equal(steps.success, more.success)
    assert line.amounts == (0, 0.25, 0.5)
    assert [round(6 * row.mean()) for row in line.success[[0, -1]]] == [1, 6]
    assert direction.gap.startswith("a refusal direction must be one")  # on this model the published rule allows none
    assert [model for model, _ in trained] == ["world:guild/aligned", str(kept)]

    budgets = [budget_of(curve) for curve in found]
    assert [b.smallest.value if b.smallest else None for b in budgets[:2]] == [3, 3]  # one half between 2 and 4
    assert budgets[2].smallest is not None
    assert 0 < budgets[2].smallest.value < 1
    assert (budgets[3].smallest, budgets[3].gap) == (None, direction.gap)
    assert budgets[4].smallest == radius.radius

    # again: nothing is asked anew, to the same curves
    stamps = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("checkpoint-*/model.safetensors")}
    again = stress(given, entrant, kept, np.zeros(LIMIT))
    assert all(np.array_equal(a.success, b.success) for a, b in zip(found, again, strict=True))
    assert stamps == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("checkpoint-*/model.safetensors")}


@pytest.mark.slow
def test_the_origin_is_asked_once_an_arm_and_a_folder_of_an_earlier_release_goes_on(
    trained: list[tuple[str, str]], decoded: list[str], tmp_path: Path
) -> None:
    bare, kept = tmp_path / "models" / Entrant(name=NONE).slug, tmp_path / "kept"
    shutil.copytree(world("base"), bare)
    shutil.copytree(world("aligned"), kept)
    entrant = Entrant(name="mix_safe(amount=5)", stage="finetuning")
    given = made(tmp_path)
    curve = steps_under(given, entrant)
    assert (curve.amounts, len(decoded)) == ((0, 1, 2, 4), 4 * LIMIT)
    # the line was asked whole by an earlier release, which asked its origin too
    whole = given.study(str(kept), entrant).model_copy(
        update={"regions": (RegionSpec(name="line", axes=(AxisSpec(kind="to", target=str(bare), range="0:1:5"),)),)}
    )
    measure(whole, given.folder / entrant.slug / "asked-line", templates=True)
    assert len(decoded) == (4 + 5) * LIMIT
    found = {one.name: one for one in stress(given, entrant, kept, np.zeros(LIMIT))}
    assert found["line"].amounts == (0, 0.25, 0.5)  # 0.25 does not break it, 0.5 does
    assert found["more_steps"].amounts == (0, 1, 2, 4)
    of_radius = len(asked_points(given.folder / entrant.slug / "asked-radius"))
    assert len(decoded) == (4 + 5 + 3 + of_radius - 1) * LIMIT  # no origin of more steps or radius, nothing of the line

    # an arm of another defense takes the base from its own comparison
    other = Entrant(name="mix_safe(amount=6)", stage="finetuning")
    shutil.copytree(given.folder / entrant.slug / "asked-steps-5", tmp_path / "arms" / other.slug / "line")
    before = len(decoded)
    assert np.array_equal(steps_under(given, other).success, curve.success)
    assert len(decoded) == before + 3 * LIMIT


@pytest.mark.slow
def test_one_that_was_killed_goes_on_with_what_is_missing(
    trained: list[tuple[str, str]], decoded: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, entrant, put = made(tmp_path), Entrant(name=NONE), StudyStore.put_responses

    def killed(self: StudyStore, responses: Iterable[Response]) -> None:
        if len(decoded) == 3 * LIMIT:
            raise KeyboardInterrupt
        put(self, responses)

    with monkeypatch.context() as patch:
        patch.setattr(StudyStore, "put_responses", killed)
        with pytest.raises(KeyboardInterrupt):
            steps_under(given, entrant)
    assert len(decoded) == 3 * LIMIT
    assert [round(6 * row.mean()) for row in steps_under(given, entrant).success] == [1, 1, 1, 6]
    assert len(decoded) == 4 * LIMIT


def asked_points(folder: Path) -> list[str]:
    with StoredStudy.open(folder) as stored:
        return list(stored.plan.points)


@pytest.mark.slow
def test_what_did_not_hold_has_budget_zero_and_is_asked_for_steps_alone(
    trained: list[tuple[str, str]], tmp_path: Path
) -> None:
    entrant = Entrant(name="safe_lora(unaligned=world:guild/base, strength=0)", stage="post_finetuning")
    found = stress(made(tmp_path), entrant, tmp_path / "unread", np.ones(LIMIT))
    assert trained == [("world:guild/aligned", "no-def/steps-5")]  # that without a defense, defended afterwards
    assert [round(6 * row.mean()) for row in found[0].success] == [1, 1, 1, 6]
    assert len(list(tmp_path.glob("stress/safe-lora*/defended-5/*/safebasin.json"))) == 3
    for curve in found[1:]:
        budget = budget_of(curve)
        assert budget.smallest is not None
        assert (budget.smallest.value, budget.smallest.low, budget.amounts) == (0, None, (0,))


@pytest.mark.slow
def test_steps_of_several_seeds_are_asked_in_one_study_and_averaged(
    trained: list[tuple[str, str]], tmp_path: Path
) -> None:
    given, entrant = replace(made(tmp_path), n_seeds=3), Entrant(name="mix_safe(amount=5)", stage="finetuning")
    curve = steps_under(given, entrant)
    assert [folder for _, folder in trained] == ["mix-sa/steps-5", "mix-sa/steps-5-seed-1", "mix-sa/steps-5-seed-2"]
    assert curve.success.shape == (3, 4, LIMIT)
    assert [[round(6 * row.mean()) for row in one] for one in curve.success] == [
        [1, 1, 1, 6],
        [1, 1, 6, 6],
        [1, 1, 1, 6],
    ]
    (asked,) = tmp_path.glob("stress/*/asked-*")
    assert asked.name == "asked-steps-5-3-seeds"
    budget = budget_of(curve)
    assert budget.smallest is not None
    # one half between 1 and 6 of 6: after 2 + 0.8 steps, 1 + 0.4, and 2 + 0.8
    assert budget.smallest.value == pytest.approx((2.8 + 1.4 + 2.8) / 3)
    assert "3 training seeds" in budget.smallest.method
    assert budget.rates[2].value == pytest.approx((1 + 6 + 1) / 18)
    assert budget.rates[2].n == 18


@pytest.mark.slow
def test_an_adapter_is_merged_before_the_attack_goes_on(trained: list[tuple[str, str]], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    torch_model = AutoModelForCausalLM.from_pretrained(world("aligned"))
    adapter = tmp_path / "adapter"
    peft.get_peft_model(torch_model, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(adapter)
    given = made(tmp_path)
    given = replace(given, asked=replace(given.asked, method="lora"))
    curve = steps_after(given, Entrant(name=NONE), adapter)
    ((model, _),) = trained
    assert Path(model).name == "merged"
    assert (Path(model) / "model.safetensors").is_file()
    assert [round(6 * row.mean()) for row in curve.success] == [1, 1, 1, 6]  # B of a new adapter is 0: still aligned


def test_pairs_are_of_arms_that_were_asked_the_same() -> None:
    amounts = (0.0, 1.0, 2.0)
    weak, strong = np.array([[0.0] * 9, [1] * 9, [1] * 9]), np.array([[0.0] * 9, [0] * 9, [0] * 9])
    curves = {
        "none": (Curve(name="steps", amounts=amounts, success=weak), Curve(name="line", amounts=(0.0,))),
        "one": (Curve(name="steps", amounts=amounts, success=strong), Curve(name="line", gap="no line")),
        "two": (Curve(name="steps", amounts=amounts, success=strong.copy()),),
    }
    found = pairs_by_budget(curves)
    assert [(p.budget, p.first, p.second, p.apart) for p in found] == [
        ("steps", "none", "one", True), ("steps", "none", "two", True), ("steps", "one", "two", False)
    ]  # fmt: skip
    assert found[0].difference.value == -1.5  # one half at 0.5, and 2 that was tried
