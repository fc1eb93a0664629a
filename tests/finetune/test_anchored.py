"""L2 to the start and Lisa: closed forms on a model of two weights, the turns by step, and nothing at strength 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from safebasin import catalog, testing
from safebasin.errors import UsageError
from safebasin.finetune.anchored import l2, lisa
from safebasin.protocols import Setup
from safebasin.records import IGNORED, EncodedRow, Message, TrainingRow


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, -2.0]))
        self.still = nn.Parameter(torch.tensor([5.0]), requires_grad=False)


class Source:
    """Safe rows, and which kinds were asked for."""

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> Sequence[TrainingRow]:
        assert kind == "safe"
        turns = (Message(role="user", content="q"), Message(role="assistant", content="no"))
        return [TrainingRow(messages=turns, source="made", number=i) for i in range(1, (n or 0) + 1)]


SEEN: list[list[int]] = []


def linear(model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """A loss whose gradient is (3, 0); remembers the first tokens of its rows."""
    SEEN.append(batch["input_ids"][:, 0].tolist())
    return 3 * model.get_parameter("w")[0]


def encode(row: TrainingRow) -> EncodedRow:
    return EncodedRow(row=row, ids=(100 + row.number, 2, 3), labels=(IGNORED, 2, 3))


def setup() -> Setup:
    return Setup(rows=(), encode=encode, loss=linear, parameters=("w", "still"), tokenizer=None)


def batch() -> dict[str, torch.Tensor]:
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids.clone()}


def test_the_pull_is_half_the_strength_times_the_squared_distance() -> None:
    model, changed = Two(), l2(0.5).training(setup(), Source())
    assert float(changed.loss(model, batch()).detach()) == 3.0
    with torch.no_grad():
        model.w += torch.tensor([2.0, -1.0])
        model.still += 7
    loss = changed.loss(model, batch())
    assert float(loss.detach()) == pytest.approx(3 * 3.0 + 0.25 * (4 + 1))
    loss.backward()
    assert model.w.grad is not None
    assert model.w.grad.tolist() == pytest.approx([3 + 0.5 * 2, 0.5 * -1])


@pytest.mark.parametrize("defense", [l2(0), lisa(align=0, strength=0)])
def test_strength_0_changes_nothing(defense: Any) -> None:
    plain = setup()
    assert defense.training(plain, Source()) is plain


def test_two_that_take_turns_exclude_each_other() -> None:
    first = lisa(safe=3, align=1, user=2).training(setup(), Source())
    with pytest.raises(UsageError, match="must be the only lisa of a training"):
        lisa(safe=3, align=2, user=5).training(first, Source())
    assert lisa(align=0, strength=0).training(first, Source()) is first


def test_turns_by_step() -> None:
    made = lisa(align=2, user=3)
    assert [made.aligns(step) for step in range(1, 11)] == [True, True, False, False, False] * 2
    assert [step for step in range(1, 11) if made.changes(step)] == [2, 5, 7, 10]
    assert not any(lisa(align=0, user=3).changes(step) for step in range(1, 10))


def test_lisa_trains_on_safe_rows_and_pulls_to_where_the_turn_began() -> None:
    """Plain gradient descent of rate 0.1 by hand: w₀ = 1; each step w ← w − 0.1·(3 + 0.5·(w − w_s))."""
    model, made = Two(), lisa(safe=3, align=2, user=2, strength=0.5).training(setup(), Source(), seed=1)
    SEEN.clear()
    (hook,) = made.hooks
    w, anchor, path = 1.0, 1.0, []
    for step in range(1, 7):
        model.zero_grad()
        made.loss(model, batch()).backward()
        hook.before(model, step)
        with torch.no_grad():
            model.w -= 0.1 * model.w.grad
        hook.after(model, step)
        w -= 0.1 * (3 + 0.5 * (w - anchor))
        anchor = w if step in (2, 4, 6) else anchor
        path.append((float(model.w[0].detach()), w))
    assert [a for a, _ in path] == pytest.approx([b for _, b in path])
    assert [sorted(rows) == [1, 4] for rows in SEEN] == [False, False, True, True, False, False]
    safe = [token for rows in SEEN for token in rows if token > 100]
    assert len(safe) == 8
    assert sorted(safe[:3]) == sorted(safe[3:6]) == [101, 102, 103]  # each before one comes again


def test_the_first_steps_may_be_free() -> None:
    model, made = Two(), lisa(safe=1, align=0, user=1, strength=2.0, free=2).training(setup(), Source())
    (hook,) = made.hooks
    values = []
    for step in (1, 2, 3):
        values.append(float(made.loss(model, batch()).detach()) - 3 * float(model.w[0].detach()))
        if step == 2:
            made.loss(model, batch())
        hook.after(model, step)
    assert values == [0, 0, 0]  # the anchor is where the pull begins
    with torch.no_grad():
        model.w += 1
    assert float(made.loss(model, batch()).detach()) == pytest.approx(3 * 2 + 2)


@pytest.mark.parametrize("text", ["l2(strength=0.5)", "lisa(safe=8, align=1, user=1, strength=0.5, free=0)"])
def test_the_contract_and_the_name(text: str) -> None:
    made: Any = catalog.create("defense", text)
    assert made.name == text
    testing.check_defense(made)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: l2(-1), "strength of l2"),
        (lambda: l2(float("inf")), "strength of l2"),
        (lambda: lisa(align=-1), "align of lisa"),
        (lambda: lisa(user=0), "user of lisa"),
        (lambda: lisa(safe=0), "safe of lisa"),
        (lambda: lisa(strength=float("nan")), "strength of lisa"),
    ],
)
def test_numbers_out_of_range_are_refused(make: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()


def test_they_stand_beside_each_other() -> None:
    both = lisa(safe=1, align=1, user=1, strength=0).training(l2(1.0).training(setup(), Source()), Source())
    model = Two()
    both.loss(model, batch())
    with torch.no_grad():
        model.w[0] += 2
    assert float(both.loss(model, batch()).detach()) == pytest.approx(9 + 0.5 * 4)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize(
    ("strong", "none"),
    [("l2(strength=3)", "l2(strength=0)"), ("lisa(safe=8, align=1, user=1)", "lisa(align=0, strength=0)"),
     ("csft(strength=1)", "csft(strength=0)"), ("csft(variant=as_coded)", "csft(strength=0)")],
)  # fmt: skip
def test_by_the_products_own_training(strong: str, none: str, method: str, tmp_path: Any) -> None:
    """At strength 0 the bits are those of no defense, else they are not, and what is not trained stays."""
    pytest.importorskip("trl")
    from safetensors.torch import load_file

    from safebasin.finetune.prepare import prepare
    from safebasin.finetune.request import request
    from safebasin.finetune.tune import finetune

    def tuned(name: str, *defenses: str) -> dict[str, torch.Tensor]:
        given: dict[str, Any] = {"attack": "harmful_examples(n=4)", "epochs": 3, "batch_size": 4, "save": "no"}
        asked = request("world:guild/aligned", defenses=defenses, method=method, **given)
        folder = finetune(prepare(asked), tmp_path / name).path
        return load_file(folder / ("model.safetensors" if method == "full" else "adapter_model.safetensors"))

    plain, same, other = tuned("plain"), tuned("same", none), tuned("other", strong)
    assert all(torch.equal(value, same[name]) for name, value in plain.items())
    assert any(not torch.equal(value, other[name]) for name, value in plain.items())
    assert all(bool(torch.isfinite(value).all()) for value in other.values())
