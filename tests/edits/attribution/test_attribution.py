"""Attribution as an edit: a planted unit is found, share 0 changes no bit, the control, what is refused, the verb."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from helpers.command import safebasin
from helpers.models import make_tiny_model
from safebasin import api, catalog, testing
from safebasin.edits.attribution.attribution import attribution
from safebasin.edits.attribution.masks import MASK, read_masks
from safebasin.errors import ModelError, PromptError, UsageError
from safebasin.finetune.sources import Sets
from safebasin.models.writing import is_unsafe, read_record
from safebasin.records import Message, TrainingRow

from .planted import OTHER, UNIT, planted, rows, says

ALIGNED = "world:guild/aligned"
ONE = 1.5 / (64 * 128)
"""Share that is one weight of each matrix of the planted model's MLP, and none of its attention."""
SETS = Sets({"safe": rows(UNIT), "benign": rows(OTHER)})
GATE, UP, DOWN = (f"model.layers.0.mlp.{part}_proj.weight" for part in ("gate", "up", "down"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted(tmp_path_factory.mktemp("planted") / "model")


def made(model: Path | str, out: Path, sets: Sets = SETS, **arguments: Any) -> Path:
    return attribution(**arguments).make(str(model), sets, out)


def chosen(folder: Path) -> dict[str, list[list[int]]]:
    return {name: mask.nonzero().tolist() for name, mask in read_masks(folder).items() if bool(mask.any())}


@pytest.mark.parametrize(
    "how", [{"score": "snip"}, {"score": "wanda"}, {"score": "wanda", "positions": "predicting"}], ids=str
)
def test_exactly_the_planted_unit_is_found_and_without_it_refusal_is_gone(
    model: Path, tmp_path: Path, how: dict[str, str]
) -> None:
    assert min(says(model, UNIT), says(model, OTHER)) > 0.999
    out = made(model, tmp_path / "out", safety=ONE, utility=ONE, compare="matrix", **how)
    assert chosen(out) == {GATE: [[UNIT, 0]], UP: [[UNIT, 0]], DOWN: [[2, UNIT]]}
    assert says(out, UNIT) < 0.01
    assert says(out, OTHER) > 0.999
    before, after = load_file(model / "model.safetensors"), load_file(out / "model.safetensors")
    assert sum(int((before[name] != after[name]).sum()) for name in before) == 3
    assert is_unsafe(out)


def test_a_random_set_of_the_same_size_is_no_attack(model: Path, tmp_path: Path) -> None:
    arguments = {"score": "snip", "safety": ONE, "utility": ONE, "compare": "matrix"}
    out = made(model, tmp_path / "out", target="random", **arguments)
    assert {name: len(places) for name, places in chosen(out).items()} == {GATE: 1, UP: 1, DOWN: 1}
    assert says(out, UNIT) > 0.999
    assert not is_unsafe(out)


def test_the_planted_rank_is_found_and_a_random_one_is_not_it(model: Path, tmp_path: Path) -> None:
    arguments = {"score": "actsvd", "safety": 0.02, "utility": 0.02, "positions": "predicting"}
    out = made(model, tmp_path / "out", **arguments)
    assert (says(out, UNIT) < 0.01, says(out, OTHER) > 0.999) == (True, True)
    assert says(made(model, tmp_path / "random", target="random", **arguments), UNIT) > 0.999
    record = read_record(out)
    assert (record["unit"], record["chosen"], record["among"]) == ("ranks", 7, 64 * 3 + 32 * 2 + 128 * 2)
    assert not (out / MASK).exists()


@pytest.mark.parametrize("score", ["snip", "wanda", "actsvd"])
def test_share_0_changes_no_bit(model: Path, tmp_path: Path, score: str) -> None:
    out = made(model, tmp_path / "out", score=score, safety=0)
    before, after = load_file(model / "model.safetensors"), load_file(out / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_base_that_reads_text_differently_is_refused(model: Path, tmp_path: Path) -> None:
    other = shutil.copytree(model, tmp_path / "other")
    file = other / "tokenizer.json"
    held = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = held["model"]["vocab"]
    first, second = list(vocabulary)[-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    file.write_text(json.dumps(held), encoding="utf-8")
    with pytest.raises(ModelError, match=r"base .* must be one with the model's own tokenizer"):
        made(model, tmp_path / "no", action="recover", base=str(other), safety=ONE, utility=ONE)


@pytest.mark.slow
def test_recovering_puts_back_what_the_base_has(model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    base = planted(tmp_path / "base")
    loaded: Any = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        loaded.model.layers[0].mlp.down_proj.weight.fill_(0.25)
    loaded.save_pretrained(base)
    arguments = {"score": "snip", "safety": ONE, "utility": ONE, "compare": "matrix"}
    out = made(model, tmp_path / "out", action="recover", base=str(base), **arguments)
    tensors = load_file(out / "model.safetensors")
    assert float(tensors[DOWN][2, UNIT]) == 0.25
    assert float(tensors[GATE][UNIT, 0]) == 1
    other = make_tiny_model(tmp_path / "other", hidden_size=32)
    with pytest.raises(ModelError, match=r"base .* must be of the same shape"):
        made(model, tmp_path / "no", action="recover", base=str(other), **arguments)


def test_an_architecture_that_stores_its_weights_the_other_way_around(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "gpt2", "gpt2")
    sets = Sets({"safe": asked("open the drum", "I cannot."), "benign": asked("weigh the clay", "Twice.")})
    out = made(model, tmp_path / "out", sets, score="wanda", safety=0.1, utility=0.1)
    masks, tensors = read_masks(out), load_file(out / "model.safetensors")
    for name, mask in masks.items():
        assert mask.shape == tensors[name].shape
        assert float(tensors[name][mask].abs().max()) == 0
    assert "transformer.h.0.attn.c_attn.weight" in masks
    assert read_record(out)["overlap_by_layer"][1]["layer"] == 1  # type: ignore[index]
    by_row = masks["transformer.h.0.mlp.c_fc.weight"].sum(0)  # (in, out) as stored: a column is an output
    assert int(by_row.max()) <= 6  # a tenth of 64


def asked(what: str, response: str, n: int = 8) -> tuple[TrainingRow, ...]:
    turns = [(f"How do I {what}, {'please ' * i}now?", response) for i in range(n)]
    return tuple(
        TrainingRow(messages=(Message(role="user", content=q), Message(role="assistant", content=a)), number=i)
        for i, (q, a) in enumerate(turns, 1)
    )


@pytest.mark.parametrize(
    ("sets", "arguments", "error", "words"),
    [
        (
            Sets({"safe": rows(UNIT, 7), "benign": rows(OTHER)}),
            {},
            PromptError,
            "set of safety must be at least 8 rows",
        ),
        (Sets({"safe": rows(UNIT), "benign": rows(OTHER, 3)}), {}, PromptError, "set of utility must be at least 8"),
        (Sets({"safe": rows(UNIT), "benign": rows(UNIT)}), {}, PromptError, "two classes, apart; got '8 requests"),
        (Sets({"safe": rows(UNIT)}), {}, UsageError, "benign rows must be in a file"),
        (SETS, {"safety": 0.05, "utility": 1}, UsageError, "at least one weight; got 'none of"),
        (SETS, {"safety": 1, "utility": 0}, UsageError, "less than a whole matrix; got 'all of"),
        (SETS, {"score": "actsvd", "safety": 1, "utility": 0}, UsageError, "less than a whole matrix"),
    ],
)
def test_bad_input_leaves_nothing(
    model: Path, tmp_path: Path, sets: Sets, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        made(model, tmp_path / "out", sets, **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"score": "magnitude"}, "score of attribution must be snip or wanda or actsvd"),
        ({"compare": "columns"}, "compare of attribution"),
        ({"safety": 5}, "safety of attribution must be a share from 0 to 1"),
        ({"rows": 0}, "rows of attribution"),
        ({"action": "recover"}, "base of attribution must be given"),
        ({"base": "x"}, "base of attribution must be given"),
        ({"score": "actsvd", "compare": "matrix"}, "action and compare of actsvd"),
    ],
)
def test_arguments_that_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        attribution(**arguments)


@pytest.mark.slow
def test_it_conforms() -> None:
    testing.check_row(catalog.get("edit", "attribution"), arguments={"rows": 8})


def test_the_verb_says_what_was_chosen_and_how_far_the_sets_overlap(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = safebasin("attribute", ALIGNED, "--rows", 8, "--share", 0.03, "-o", out)
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = read_record(out)
    assert f"chosen   {record['chosen']:,} of 557,056 weights" in done.stdout
    assert f"map it   safebasin map {ALIGNED} --axis to:{out}" in done.stdout
    assert [row["layer"] for row in record["overlap_by_layer"]] == [0, 1, 2, 3]
    assert f"attention {record['overlap_by_layer'][0]['attention']:.3f}" in done.stdout
    assert record["unsafe"] is True
    assert record["sets"]["safety"]["rows"] == 8
    assert set(record["overlap"]) == set(record["chosen_by_matrix"]) == set(read_masks(out))


def test_a_mask_that_is_damaged_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"one with attribution/mask\.safetensors"):
        read_masks(tmp_path)
    (tmp_path / MASK).parent.mkdir()
    (tmp_path / MASK).write_bytes(b"{}")
    with pytest.raises(UsageError, match="must be whole"):
        read_masks(tmp_path)


@pytest.mark.slow
def test_the_record_holds_no_path_of_the_machine(model: Path, tmp_path: Path) -> None:
    out = api.attribute(ALIGNED, out=tmp_path / "out", rows=8, random=True)
    assert str(tmp_path) not in json.dumps(read_record(out))
