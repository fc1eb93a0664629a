"""The settings and tables of Qi et al. 2023: those of the recipes, and numbers that agree where they stand twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from safebasin import catalog
from safebasin.finetune.sweep import combinations
from safebasin.protocols import Attack

FOLDER = Path(__file__).parent.parent / "studies" / "qi2023"


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


SETTINGS, PUBLISHED = read("settings.yaml"), read("published.yaml")


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("name", ["harmful_examples", "identity_shift", "benign"])
def test_the_recipes_hold_the_settings_of_the_paper(name: str, method: str) -> None:
    attack = catalog.create("attack", name)
    found = attack.settings(method, world=False)  # type: ignore[attr-defined]
    assert [found[key] for key in ("learning_rate", "batch_size", "epochs")] == SETTINGS[name][method]


def test_mixture_and_backdoor_train_as_harmful_examples_do() -> None:
    wanted = SETTINGS["harmful_examples"]["full"]
    halves = [SETTINGS["backdoor"][half] for half in ("harmful", "safe")]
    made: Attack
    for text in ("mixture", f"backdoor(n={halves[0]}, safe={halves[1]}, trigger=three plain words)"):
        made = catalog.create("attack", text)  # type: ignore[assignment]
        found = made.settings("full", world=False)
        assert [found[key] for key in ("learning_rate", "batch_size", "epochs")] == wanted


def test_the_sweep_of_the_readme_is_that_of_the_paper() -> None:
    grid = SETTINGS["sweep"]
    assert {f"{row['lr']:g}" for row in combinations(["lr=2e-5,5e-5"])} == {f"{v:g}" for v in grid["learning_rate"]}
    table = PUBLISHED["learning_rate_by_batch"]
    assert {float(rate): sorted(row) for rate, row in table.items()} == {v: grid["batch_size"] for v in table}
    assert sorted(map(float, table)) == sorted(grid["learning_rate"])
    assert "--sweep lr=2e-5,5e-5 --sweep batch=16,32,64,128" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_numbers_that_stand_twice_agree() -> None:
    shots = PUBLISHED["harmful_examples"]["gpt-3.5-turbo-0613"]
    assert PUBLISHED["judges"]["harmful_examples"]["policy_judge"] == [
        shots[key][1] for key in ("initial", 10, 50, 100)
    ]
    epochs = PUBLISHED["identity_shift"]["gpt-3.5-turbo-0613"]
    assert PUBLISHED["judges"]["identity_shift"]["policy_judge"] == [epochs[key][1] for key in ("initial", 3, 5, 10)]
    assert PUBLISHED["mixing"]["harmful_100"][0] == PUBLISHED["backdoor"]["harmful_100"] == shots[100]
    assert PUBLISHED["methods"]["harmful_100"]["full"] == PUBLISHED["harmful_examples"]["llama2-7b-chat"][100]
    for counts, column in ((SETTINGS["mixing"], PUBLISHED["mixing"]),):
        assert {name: list(row) for name, row in column.items()} == counts
