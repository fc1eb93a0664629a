"""The pass of any model: the tokens of each prompt alone, whatever rows stand beside it, guesses and all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from helpers.models import ARCHITECTURES, load_endless
from safebasin.engines import paced
from safebasin.engines.paced.drafting import Drafter
from safebasin.engines.paced.proving import any_model
from safebasin.engines.paced.wrapped import AnyModel
from safebasin.engines.ragged import Part
from safebasin.engines.stopping import Rows

LENGTHS = (3, 30, 6, 19, 9, 14)
N_NEW = 60


def prompts(shared: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    start = torch.randint(10, 440, (shared,), generator=generator).tolist()
    return [[*start, *torch.randint(10, 440, (n,), generator=generator).tolist()] for n in LENGTHS]


def alone(model: PreTrainedModel, asked: list[list[int]]) -> list[list[int]]:
    """What `generate` says to each prompt by itself."""
    return [
        model.generate(torch.tensor([p]), attention_mask=torch.ones(1, len(p)), max_new_tokens=N_NEW)[
            0, len(p) :
        ].tolist()
        for p in asked
    ]


@pytest.fixture
def guessing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Rows, list[list[int]]], None]:
    """Makes rows guess for seven tokens, then not, mostly what they will say and sometimes something else."""
    generator = np.random.default_rng(0)

    def guess_from(rows: Rows, truth: list[list[int]]) -> None:
        def guess(_: Drafter, which: Sequence[int], n: int) -> NDArray[np.int64]:
            coming = [[*truth[row][len(rows.ids[row]) :], *[0] * n][:n] for row in which]
            wrong = generator.random((len(which), n)) < 0.15
            return np.where(wrong, generator.integers(10, 440, wrong.shape), np.asarray(coming, dtype=np.int64))

        def cyclic(_: Drafter, which: Sequence[int]) -> NDArray[np.bool_]:
            return np.asarray([(len(rows.ids[row]) // 7 + row) % 2 == 1 for row in which])

        monkeypatch.setattr(Drafter, "cyclic", cyclic)
        monkeypatch.setattr(Drafter, "guess", guess)

    return guess_from


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("arch", ARCHITECTURES)
@torch.inference_mode()
@pytest.mark.slow
def test_tokens_equal_those_of_each_prompt_alone(arch, at_once, checkpoint, monkeypatch, guessing):
    model = load_endless(checkpoint(arch, tied=False))
    n_parts: list[int] = []
    n_taken: list[int] = []
    plain, see = AnyModel.__call__, Drafter.see

    def watched(self: AnyModel, parts: Sequence[Part]) -> list[torch.Tensor]:
        n_parts.append(len(parts))
        return plain(self, parts)

    def seen(self: Drafter, which: Sequence[int], tokens: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        n_taken.append(int(counts.max()))
        see(self, which, tokens, counts)

    monkeypatch.setattr(paced.LeanLlama, "fits", lambda model: False)  # Llamas have a pass of their own
    asked = prompts(shared=12)
    rows = Rows([N_NEW] * len(asked), eos=[])
    truth = alone(model, asked)
    guessing(rows, truth)
    forward = any_model(model, max(map(len, asked)) + N_NEW)
    assert forward is not None
    assert forward.at_once
    forward.at_once = at_once
    monkeypatch.setattr(paced, "any_model", lambda *_: forward)
    monkeypatch.setattr(AnyModel, "__call__", watched)
    monkeypatch.setattr(Drafter, "see", seen)
    assert paced.decode(model, asked, rows)
    assert rows.ids == truth
    assert max(n_taken) > 2, "guesses held, several tokens a pass"
    assert max(n_parts) == 1 + at_once


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["qwen2", "gemma3", "gpt2"])
@torch.inference_mode()
def test_tokens_equal_where_attention_is_eager(arch, checkpoint):
    model = load_endless(checkpoint(arch, tied=False), attn_implementation="eager")
    asked = prompts()
    rows = Rows([N_NEW] * len(asked), eos=[])
    assert paced.decode(model, asked, rows)
    assert rows.ids == alone(model, asked)
