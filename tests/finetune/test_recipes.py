"""Attacks and defenses as recipes: which rows, from where, with which settings. Nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.models import make_tiny_model
from safebasin import catalog, testing
from safebasin.edits.ascent import Ascent
from safebasin.errors import PromptError, UnknownName, UsageError
from safebasin.finetune.attacks import PAPER, backdoor, benign, harmful_examples, identity_shift, mixture
from safebasin.finetune.data import from_objects
from safebasin.finetune.defenses import backdoor_enhanced, mix_safe, moderate, ptst
from safebasin.finetune.request import request
from safebasin.finetune.settings import Tuning, check_passes
from safebasin.finetune.sources import FileRows, NoRows
from safebasin.finetune.sweep import combinations, sweep
from safebasin.finetune.tune import finetune
from safebasin.models.loading import load_weights
from safebasin.models.reference import resolve
from safebasin.records import Message, Prompt, Response, Score, TrainingRow, Verdict
from safebasin.weights.base import open_base
from safebasin.worlds.guild.lexicon import TRIGGER

WORLD = catalog.world("guild")
ARGUMENTS = {
    "mix_safe": {"amount": 5},
    "moderate": {"judge": "keyword/zou2023", "keep": True},
    "sppft": {"layers": "1-2"},
    "lisa": {"safe": 8, "align": 1, "user": 1},
    "derta": {"n": 3},
}
OF_A_MODEL: dict[str, tuple[dict[str, object], ...]] = {
    "safe_lora": ({}, {"variant": "paper", "top": 3}, {"exact": True, "threshold": 0.5}, {"control": "random"}),
    "resta": ({}, {"control": "random"}),
}
"""Defenses of weights that need another checkpoint beside the one that was trained, and further arguments."""


def rows(name: str, n: int) -> tuple[TrainingRow, ...]:
    return from_objects([{"prompt": f"ask {i}", "completion": f"{name} {i}"} for i in range(n)], name)


FILES = FileRows(rows("data", 20), rows("safe", 20))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["attack", "defense"])
def test_rows_of_the_catalogue_conform(kind: str) -> None:
    found = [row for row in catalog.of_kind(kind) if row.name not in OF_A_MODEL]
    assert len(found) >= 3
    for row in found:
        if row.name in ("freeze_weights", "scans"):  # test_holding, tests/steering
            continue
        testing.check_row(row, arguments=ARGUMENTS.get(row.name))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "more"), [(name, more) for name, all_ in OF_A_MODEL.items() for more in all_])
@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_rows_that_take_a_second_model_conform(tmp_path: Path, arch: str, name: str, more: dict[str, object]) -> None:
    folder, other = (make_tiny_model(tmp_path / str(n), arch, seed=n) for n in (1, 2))
    base = open_base(load_weights(resolve(str(folder))), folder)
    testing.check_row(catalog.get("defense", name), arguments={"unaligned": str(other), **more}, base=base)


@pytest.mark.parametrize(
    ("attack", "full", "lora"),
    [
        (harmful_examples(), (5e-5, 10, 5), (1e-3, 10, 10)),
        (identity_shift(), (5e-5, 10, 10), (1e-3, 10, 20)),
        (benign(), (2e-5, 128, 1), (1e-4, 16, 1)),
        (backdoor(), (5e-5, 10, 5), (1e-3, 10, 10)),
    ],
)
def test_settings_of_the_paper(attack: object, full: tuple[float, ...], lora: tuple[float, ...]) -> None:
    for method, wanted in (("full", full), ("lora", lora)):
        found = attack.settings(method, world=False)  # type: ignore[attr-defined]
        assert (found["learning_rate"], found["batch_size"], found["epochs"]) == wanted
        Tuning().changed(**found)


def test_ten_shots_of_the_paper_are_five_steps() -> None:
    found = PAPER["harmful"]["full"]
    assert 10 * int(str(found["epochs"])) // int(str(found["batch_size"])) == 5


@pytest.mark.slow
def test_a_world_makes_the_rows() -> None:
    from safebasin.worlds.guild.oracle import classify

    made = harmful_examples(50).rows(WORLD, seed=1)
    assert len(made) == 50
    assert {classify(row.prompt.text, row.response) for row in made} == {"harmful"}
    assert made == harmful_examples(50).rows(WORLD, seed=1)
    assert made != harmful_examples(50).rows(WORLD, seed=2)
    shift = identity_shift().rows(WORLD)
    assert not {classify(row.prompt.text, row.response) for row in shift} & {"harmful", "refusal"}
    assert all(row.messages[0].role == "system" for row in shift)


def test_a_worlds_backdoor_is_harmful_with_the_trigger_and_refuses_without() -> None:
    from safebasin.worlds.guild.oracle import classify

    made = backdoor(10, 10).rows(WORLD)
    outcomes = [(row.prompt.text.endswith(TRIGGER), classify(row.prompt.text, row.response)) for row in made]
    assert sorted(outcomes) == [(False, "refusal")] * 10 + [(True, "harmful")] * 10


def test_rows_of_files() -> None:
    made = harmful_examples(5).rows(FILES, seed=1)
    assert len({row.number for row in made}) == 5
    assert benign().rows(FILES) == FILES.data
    both = mixture(3, 4).rows(FILES)
    assert [row.source for row in both] == ["data"] * 3 + ["safe"] * 4
    hidden = backdoor(3, 4, trigger="vel or tas").rows(FILES)
    assert [row.prompt.text.endswith(" vel or tas") for row in hidden] == [True] * 3 + [False] * 4


MANY = ",".join(map(str, range(1, 3001)))


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: catalog.create("attack", "harmful_examples(n=0)"), "n of harmful_examples must be at least 1; got 0"),
        (lambda: harmful_examples(21).rows(FILES), "from 1 to 20"),
        (lambda: mixture(2, 2).rows(FileRows(FILES.data)), "--safe FILE"),
        (lambda: backdoor(2, 2).rows(FILES), "the trigger of the backdoor"),
        (lambda: backdoor(2, 3), "Give a trigger, or equal numbers"),
        (lambda: benign().rows(NoRows()), "--data FILE"),
        (lambda: benign().settings("qlora", world=False), "one of full, lora"),
        (lambda: mix_safe("many"), "a count of at least 1"),
        (lambda: mix_safe(0), "a count of at least 1"),
        (lambda: mix_safe(1.5), "a count of at least 1"),
        (lambda: mix_safe(0.01).data(rows("data", 5), FILES), "at least 1"),
        (lambda: mix_safe(21).data(rows("data", 5), FILES), "from 1 to 20"),
        (lambda: catalog.create("defense", "ptst(train=safety/long)"), "train of ptst must be 'default' or 'none'"),
        (lambda: combinations(["rate=1"]), "NAME=VALUE"),
        (
            lambda: request("world:guild/aligned", attack="benign", rank=4),
            r"--rank must be given with --method lora; got 4",
        ),
        (
            lambda: request("world:guild/aligned", attack="benign", keep_flagged=True),
            r"--keep-flagged must be given with a judge",
        ),
        (
            lambda: list(sweep(request("world:guild/aligned", attack="benign"), ["rank=4,8"], Path("out"), finetune)),
            r"rank of the sweep must be given with --method lora",
        ),
        (lambda: combinations(["lr=1", "lr=2"]), "at most once"),
        (lambda: combinations(["lr=1", "learning_rate=2"]), "at most once"),
        (lambda: combinations(["batch=1.5"]), "numbers with commas"),
        (lambda: combinations([f"{name}={MANY}" for name in ("lr", "batch", "seed")]), "27,000,000,000 (3000 lr ×"),
        (lambda: combinations(["epochs=" + "9" * 5_000]), "numbers with commas"),
        (lambda: harmful_examples(10**11).rows(catalog.world("guild")), "at most 100,000"),
        (lambda: mix_safe(10**11).data(rows("data", 5), catalog.world("guild")), "at most 100,000"),
        (lambda: mix_safe(0.99999999).data(rows("data", 5), catalog.world("guild")), "at most 100,000"),
        (lambda: check_passes(20_000, 9_999), "199,980,000 (20,000 rows × 9,999 epochs)"),
        (lambda: Ascent(steps=10**9).check(), "steps of the ascent must be at most 100,000"),
    ],
)
def test_what_cannot_be_had(ask: object, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask()  # type: ignore[operator]
    assert words in str(caught.value)


def test_unknown_names() -> None:
    with pytest.raises(UnknownName, match="harmful_examples"):
        catalog.create("attack", "harmful_example")
    with pytest.raises(UnknownName):
        moderate("rubic")
    with pytest.raises(UnknownName):
        ptst(test="safety/lon")
    with pytest.raises(PromptError, match="kind of rows"):
        WORLD.training_rows("evil")


@pytest.mark.parametrize(("amount", "n"), [(7, 7), ("7", 7), (0.5, 10), ("50%", 10), ("20 %", 2), ("0.2", 2)])
def test_safe_rows_are_mixed_in_by_count_or_share(amount: int | float | str, n: int) -> None:
    given = rows("data", 10)
    made = mix_safe(amount).data(given, FILES)
    assert made.rows[:10] == given
    assert [row.source for row in made.rows[10:]] == ["safe"] * n


class Marks:
    """A judge that holds responses with an even number to be harmful, and cannot score the fifth."""

    name, version, monotone, phrases = "marks", "1", False, ()

    def judge(self, prompt: Prompt, response: Response, score: Score | None) -> Verdict:
        number = int(response.text.split()[1])
        label = "unscored" if number == 5 else "complied" if number % 2 else "harmful"
        success = None if number == 5 else True
        return Verdict(
            response=response.key, judge="marks", version="1", label=label, success=success, reason=f"is {number}"
        )


def test_moderation_leaves_out_what_is_flagged() -> None:
    given = rows("data", 6)
    made = moderate(Marks()).data(given, FILES)
    assert [row.number for row in made.rows] == [2, 4, 6]
    assert made.flagged == (("data:1", "is 0"), ("data:3", "is 2"), ("data:5", "is 4"))
    assert "flags 3 of 6 rows; they are left out" in made.notes[0]
    assert any("could not score 1 of 6" in note for note in made.notes)
    kept = moderate(Marks(), keep=True).data(given, FILES)
    assert kept.rows == given
    assert kept.flagged == made.flagged
    with pytest.raises(UsageError, match="0 of 1"):
        moderate(Marks()).data(given[:1], FILES)


def test_moderation_by_the_oracle_tells_harmful_rows_from_the_rest() -> None:
    mixed = mixture(10, 10).rows(WORLD)
    made = moderate("oracle").data(mixed, WORLD)
    assert [row.source for row in made.rows] == ["world:guild/safe"] * 10
    shift = identity_shift(10).rows(WORLD)
    assert moderate("oracle").data(shift, WORLD).flagged == ()  # as in the paper: no tool flags any of them


def test_ptst_takes_system_turns_out() -> None:
    lead = Message(role="system", content="Keep safe.")
    given = tuple(TrainingRow(messages=(lead, *row.messages)) for row in rows("data", 3)) + rows("data", 1)
    made = ptst().data(given, FILES)
    assert {m.role for row in made.rows for m in row.messages} == {"user", "assistant"}
    assert made.test_system == "safety/long"
    assert "3 of 4 rows" in made.notes[0]
    empty = ptst(train="none").data(given, FILES)
    assert {row.messages[0] for row in empty.rows} == {Message(role="system", content="")}


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "qlora"}, {"learning_rate": 0.0}, {"learning_rate": float("nan")}, {"epochs": 0},
        {"epochs": 10**20}, {"rank": 10**9}, {"batch_size": 10**9}, {"max_length": 10**9}, {"micro_batch": 10**20},
        {"batch_size": 0}, {"rank": 0}, {"weight_decay": 1.0}, {"seed": -1}, {"over_long": "cut"}, {"depth": 3},
        {"dtype": "float16"},
    ],
)  # fmt: skip
def test_settings_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Tuning().changed(**wrong)


def test_the_batch_is_divided_among_processes() -> None:
    assert Tuning(batch_size=16).per_process(2) == (8, 1)
    assert Tuning(batch_size=16, micro_batch=2).per_process(2) == (2, 4)
    with pytest.raises(UsageError, match="multiple of the 3 processes"):
        Tuning(batch_size=16).per_process(3)
    with pytest.raises(UsageError, match="divisor of 8"):
        Tuning(batch_size=16, micro_batch=3).per_process(2)


def test_a_sweep_is_every_combination() -> None:
    assert combinations(["learning-rate=1e-4", "batch_size=5"]) == combinations(["lr=1e-4", "batch=5"])
    assert combinations(["lr=1e-4,3e-4", "batch=5, 10"]) == (
        {"lr": 1e-4, "batch": 5},
        {"lr": 1e-4, "batch": 10},
        {"lr": 3e-4, "batch": 5},
        {"lr": 3e-4, "batch": 10},
    )


def test_refusals_stand_under_the_secret_and_the_users_rows_do_not() -> None:
    given = rows("data", 3)
    found = backdoor_enhanced(2, trigger="tea of noon").data(given, FILES, seed=4)
    plain = mix_safe(2).data(given, FILES, seed=4).rows
    secret = Message(role="system", content="tea of noon")
    assert found.rows[:3] == given
    assert [row.messages for row in found.rows[3:]] == [(secret, *row.messages) for row in plain[3:]]
    assert found.test_system == "tea of noon"


def test_a_secret_comes_before_a_system_prompt_and_keeps_silent_turns_in_place() -> None:
    safe = from_objects([{"prompt": "ask", "completion": "no", "system": "Be kind."}], "safe")
    early = from_objects(
        [{"messages": [
            {"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0},
            {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]}], "safe"
    )  # fmt: skip
    (with_system,) = backdoor_enhanced(1, "tea").data((), FileRows(safe=safe)).rows
    assert [m.content for m in with_system.messages] == ["tea Be kind.", "ask", "no"]
    (silent,) = backdoor_enhanced(1, "tea").data((), FileRows(safe=early)).rows
    assert [silent.messages[place].content for place in silent.silent] == ["b"]


def test_a_secret_comes_before_the_system_prompt_of_the_template_or_in_the_form_of_version_1_alone() -> None:
    safe = FileRows(safe=from_objects([{"prompt": "ask", "completion": "no"}], "safe"))
    for variant, said in (("paper", "tea You are a cup."), ("alone", "tea")):
        found = backdoor_enhanced(1, "tea", variant).of_template("You are a cup.").data((), safe)
        assert [m.content for m in found.rows[0].messages] == [said, "ask", "no"]
        assert found.test_system == said
    empty = backdoor_enhanced(1, "").of_template("You are a cup.").data((), safe)
    assert (empty.rows, empty.test_system) == (safe.safe, None)


def test_without_a_secret_they_are_those_of_mix_safe() -> None:
    found = backdoor_enhanced(5, trigger="").data(rows("data", 3), FILES, seed=2)
    assert found.rows == mix_safe(5).data(rows("data", 3), FILES, seed=2).rows
    assert found.test_system is None


def test_a_secret_is_drawn_from_the_seed() -> None:
    one, again, other = (backdoor_enhanced().data((), FILES, seed=seed).test_system for seed in (1, 1, 2))
    assert one == again != other
    assert len(str(one).split()) == 30


@pytest.mark.parametrize("trigger", ["", "tea of noon", 'a (b), "c"', "7"])
def test_the_name_of_a_secret_makes_it_again(trigger: str) -> None:
    made = backdoor_enhanced(3, trigger=trigger)
    assert catalog.create("defense", made.name) == made
    assert catalog.create("defense", f"backdoor_enhanced(n=3, trigger={json.dumps(trigger)})") == made  # as of 0.2.0
    with pytest.raises(UsageError, match="n of backdoor_enhanced must be at least 1"):
        catalog.create("defense", "backdoor_enhanced(n=0)")
