"""The likeliest token and the second, against `topk` and `argmax`, and against numpy's sorting where numbers tie."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from safebasin.engines.choosing import chosen, top_two

SIZES = (2, 3, 63, 64, 65, 127, 128, 129, 1000, 4097)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5)])
def test_the_two_largest_are_those_of_topk(n: int, shape: tuple[int, ...]) -> None:
    logits = torch.randn(*shape, n, generator=torch.Generator().manual_seed(n))
    found, values = top_two(logits), logits.topk(2, dim=-1).values
    assert torch.equal(found.tokens, logits.argmax(dim=-1))
    assert torch.equal(found.best, values[..., 0])
    assert torch.equal(found.second, values[..., 1])


@pytest.mark.parametrize("n", SIZES)
def test_of_equal_logits_the_first_is_taken_and_the_second_lies_as_high(n: int) -> None:
    draw = np.random.default_rng(n)
    logits = draw.integers(0, 3, size=(200, n)).astype(np.float32)
    found = top_two(torch.from_numpy(logits))
    assert np.array_equal(found.tokens.numpy(), logits.argmax(axis=-1))
    assert np.array_equal(found.second.numpy(), np.sort(logits, axis=-1)[:, -2])


@pytest.mark.parametrize("n", SIZES)
def test_the_largest_is_found_wherever_it_stands(n: int) -> None:
    logits = -torch.eye(n)  # row i: all 0, but -1 at i …
    logits[torch.arange(n), torch.arange(n)] = 2  # … where the largest is
    found = top_two(logits)
    assert found.tokens.tolist() == list(range(n))
    assert set(found.second.tolist()) == {0.0}


@pytest.mark.parametrize("at", [0, 64, 129])
def test_broken_logits_are_seen_wherever_they_stand(at: int) -> None:
    logits = torch.zeros(1, 130)
    logits[0, at] = float("nan")
    assert torch.isnan(top_two(logits).best).all()
    logits[0, at] = float("inf")
    assert chosen(logits).best == [[float("inf")]]


def test_tokens_that_are_ruled_out_are_no_second() -> None:
    logits = torch.full((1, 130), float("-inf"))
    logits[0, 100] = 1.0
    assert chosen(logits).tokens == [[100]]
    assert chosen(logits).gaps == [[float("inf")]]
