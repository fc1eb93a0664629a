"""Rows at their own pace: guesses change no token, are used where rows repeat themselves, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, PreTrainedModel

from safebasin import catalog
from safebasin.engines.decoding import decode, greedy_config, left_padded
from safebasin.engines.paced.drafting import BESIDE, Drafter
from safebasin.engines.paced.loop import Paced
from safebasin.engines.stopping import LoopWatch, Rows

LENGTHS = (3, 11, 6, 19, 9, 14, 4, 8, 5, 5, 12, 7)
N = len(LENGTHS)


@pytest.fixture(scope="module")
def looping() -> PreTrainedModel:
    """The embedded model far outside its basin: within a few dozen tokens its rows repeat themselves."""
    model = AutoModelForCausalLM.from_pretrained(catalog.world("guild").checkpoint("aligned"), dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(1.2 * noise / noise.norm() * parameter.norm())
    model.generation_config = greedy_config(model, eos=[], pad=0)
    return model.eval()


def batch(model: PreTrainedModel) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(10, 440, (n,), generator=generator).tolist() for n in LENGTHS]
    return left_padded(rows, pad=0, device=model.device)


def decoded(model: PreTrainedModel, limits: list[int], *, eos: list[int] | None = None, loops: bool = False) -> Rows:
    ids, mask = batch(model)
    watch = LoopWatch(len(limits), max(limits)) if loops else None
    rows = Rows(limits, eos=eos or [], loops=watch)
    decode(model, ids, mask, rows)
    return rows


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens guesses gave, in each pass that rows took which repeat themselves."""
    found: list[int] = []
    see = Drafter.see

    def note(self: Drafter, rows: Sequence[int], tokens: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        cyclic = self.cyclic(rows)
        if cyclic.any():
            found.append(int(np.maximum(counts[cyclic] - 1, 0).sum()))
        see(self, rows, tokens, counts)

    monkeypatch.setattr(Drafter, "see", note)
    return found


def test_guesses_change_no_token(looping: PreTrainedModel, given: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [150, 150, 40, 150, 97, 150, 150, 8, 1, 150, 31, 150]
    with_guesses = decoded(looping, limits)
    assert sum(given) > sum(limits) / 2, "guesses did most of the work"
    n_guesses = len(given)
    monkeypatch.setattr(Drafter, "cyclic", lambda self, rows: np.zeros(len(rows), dtype=bool))
    monkeypatch.setattr(Drafter, "few", lambda self, rows: 1)
    without = decoded(looping, limits)
    assert len(given) == n_guesses
    assert with_guesses.ids == without.ids
    assert with_guesses.reason == without.reason == ["length"] * N
    assert np.allclose([with_guesses.gap(i) for i in range(N)], [without.gap(i) for i in range(N)], atol=1e-3)


def test_rows_that_repeat_themselves_take_few_tokens_beside_others_and_many_alone(
    looping: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: dict[bool, set[int]] = {True: set(), False: set()}
    plain = Paced._guessed

    def note(self: Paced, *given: Any, repeating: bool, alone: bool) -> NDArray[np.int64]:
        tokens = plain(self, *given, repeating=repeating, alone=alone)
        if repeating:
            sizes[alone].add(tokens.shape[1])
        return tokens

    monkeypatch.setattr(Paced, "_guessed", note)
    decoded(looping, [150] * N)
    assert max(sizes[False]) == BESIDE
    assert max(sizes[True]) > BESIDE


@pytest.mark.parametrize("loops", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_last_few_rows_take_fewer_passes_to_the_same_tokens(
    loops: bool, looping: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = [150, 20, 20, 150, *[20] * (N - 4)]
    sizes: list[int] = []
    few = Drafter.few

    def note(self: Drafter, rows: Sequence[int]) -> int:
        sizes.append(few(self, rows))
        return sizes[-1]

    monkeypatch.setattr(Drafter, "few", note)
    monkeypatch.setattr(Drafter, "cyclic", lambda self, rows: np.zeros(len(rows), dtype=bool))
    guessed, n_guessed = decoded(looping, limits, loops=loops), len(sizes)
    assert max(sizes) > 1
    sizes.clear()
    monkeypatch.setattr(Drafter, "few", lambda self, rows: sizes.append(1) or 1)
    plain = decoded(looping, limits, loops=loops)
    assert (guessed.ids, guessed.reason) == (plain.ids, plain.reason)
    assert ("loop" in guessed.reason) == loops
    assert n_guessed < (0.9 if loops else 0.6) * len(sizes)


@pytest.mark.slow
def test_wrong_guesses_change_no_token(looping: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    right = decoded(looping, [60] * N)
    generator = np.random.default_rng(0)
    monkeypatch.setattr(Drafter, "cyclic", lambda self, rows: generator.random(len(rows)) < 0.5)
    monkeypatch.setattr(Drafter, "few", lambda self, rows: int(generator.integers(1, 5)))
    monkeypatch.setattr(Drafter, "guess", lambda self, rows, n: generator.integers(10, 440, (len(rows), n)))
    assert decoded(looping, [60] * N).ids == right.ids


@pytest.mark.slow
def test_tokens_equal_generate_where_rows_repeat(looping: PreTrainedModel, given: list[int]) -> None:
    ids, mask = batch(looping)
    with torch.no_grad():
        free = looping.generate(ids, attention_mask=mask, max_new_tokens=120)[:, ids.shape[1] :].tolist()
    eos = [free[2][60], free[4][0]]
    expected = [row[: next((i for i, token in enumerate(row) if token in eos), 120)] for row in free]
    assert decoded(looping, [120] * N, eos=eos).ids == expected
    assert given


@pytest.mark.slow
def test_a_row_that_has_ended_is_in_no_further_pass(looping: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [150, 60, 90, *[150] * (N - 3)]
    monkeypatch.setattr(Drafter, "cyclic", lambda self, rows: np.zeros(len(rows), dtype=np.bool_))
    whole = decoded(looping, [150] * N).ids
    plain, sizes = Paced._pass, list[int]()

    def watched(self: Paced, pool: Any, sides: Any) -> None:
        assert all(self._rows.is_live(row) for row in pool.rows)
        sizes.append(len(pool.rows))
        plain(self, pool, sides)
        room = [LENGTHS[row] + limits[row] for row in pool.rows]
        assert (pool.cache.lengths <= room).all()

    monkeypatch.setattr(Paced, "_pass", watched)
    found = decoded(looping, limits).ids
    assert found == [ids[:limit] for ids, limit in zip(whole, limits, strict=True)]
    assert {N, N - 1, N - 2} <= set(sizes), "rows ended one by one, and left at once"


def test_logits_that_break_end_their_row(looping: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.no_grad():
        looping.lm_head.weight[20], kept = float("nan"), looping.lm_head.weight[20].clone()
        rows = decoded(looping, [30] * N)
        looping.lm_head.weight[20] = kept
    assert rows.broken == ["nan logits"] * N
    assert rows.reason == ["stop"] * N


def test_nothing_is_guessed_where_loops_end_rows(looping: PreTrainedModel, given: list[int]) -> None:
    assert "loop" in decoded(looping, [150] * N, loops=True).reason
    assert given == []
