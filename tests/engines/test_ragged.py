"""Tests of the cache of rows of their own lengths: letting go of rows in place, against a copy of those that stay."""

import numpy as np
import pytest
import torch

from safebasin.engines.ragged import RaggedCache

LENGTHS = np.asarray([3, 5, 1, 4, 2])


def filled() -> RaggedCache:
    """Five rows of two layers, every number in them another one; what lies behind the end of a row is -1."""

    def states(layer: int, side: int) -> torch.Tensor:
        every = torch.arange(5 * 2 * 7 * 3, dtype=torch.float32).view(5, 2, 7, 3) + 1000 * layer + 500 * side
        for row, length in enumerate(LENGTHS):
            every[row, :, length:] = -1
        return every

    return RaggedCache([(states(layer, 0), states(layer, 1)) for layer in range(2)], LENGTHS.copy())


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [0, 1], [3, 4], [1, 4], [2], [0, 2, 3, 4]])
def test_letting_go_of_rows_keeps_what_the_others_hold(rows: list[int]) -> None:
    before, cache = filled(), filled()
    order = cache.arrange([np.asarray(rows)])
    assert sorted(order.tolist()) == rows
    assert cache.lengths.tolist() == LENGTHS[order].tolist()
    for held, had in zip(cache._layers, before._layers, strict=True):
        for side in range(2):
            assert held[side].shape[0] == len(rows)
            for place, row in enumerate(order):
                assert torch.equal(held[side][place, :, : LENGTHS[row]], had[side][row, :, : LENGTHS[row]])


@pytest.mark.parametrize(
    ("groups", "moved"),
    [
        (([0, 1, 2], [3, 4]), 0),
        (([0, 2, 3], [1, 4]), 2),
        (([4, 3], [2, 1, 0]), 4),
        (([], [4, 0]), 1),
        (([2], []), 1),
        (([], []), 0),
    ],
)
def test_rows_of_a_group_stand_side_by_side(groups: tuple[list[int], list[int]], moved: int) -> None:
    before, cache = filled(), filled()
    order = cache.arrange([np.asarray(rows, dtype=np.int64) for rows in groups]).tolist()
    n = len(groups[0])
    assert (sorted(order[:n]), sorted(order[n:])) == (sorted(groups[0]), sorted(groups[1]))
    assert sum(place != row for place, row in enumerate(order)) == moved, "no more rows move than must"
    assert cache.lengths.tolist() == LENGTHS[order].tolist()
    for held, had in zip(cache._layers, before._layers, strict=True):
        assert all(torch.equal(states, old[order]) for states, old in zip(held, had, strict=True))


def test_what_is_written_to_some_places_is_written_to_the_cache() -> None:
    cache = filled()
    tokens = torch.zeros(2, 1, dtype=torch.int64)
    (given, some), (_, longer) = cache.parts(
        [(slice(1, 3), tokens), (slice(3, 4), torch.zeros(1, 2, dtype=torch.int64))]
    )
    assert given is tokens
    assert longer.lengths.tolist() == [4]
    assert some.lengths.tolist() == [5, 1]
    keys, _ = some.write(0, *(torch.full((2, 2, 1, 3), 7.0) for _ in range(2)), some.columns(1, 2), 6)
    assert keys.data_ptr() == cache._layers[0][0][1:].data_ptr()
    assert bool((cache._layers[0][0][1, :, 5] == 7).all() and (cache._layers[0][1][2, :, 1] == 7).all())
    assert torch.equal(cache._layers[0][0][[0, 3, 4]], filled()._layers[0][0][[0, 3, 4]])


def test_rows_that_stay_in_their_place_are_not_copied() -> None:
    cache = filled()
    places = [states.data_ptr() for layer in cache._layers for states in layer]
    assert cache.arrange([np.asarray([0, 1, 4])]).tolist() == [0, 1, 4]
    assert [states.data_ptr() for layer in cache._layers for states in layer] == places


def test_rows_that_stay_grow_and_are_written_as_before() -> None:
    cache, copied = filled(), filled().part(np.asarray([4, 1]))
    order = cache.arrange([np.asarray([1, 4])])
    assert order.tolist() == [4, 1]
    for one in (cache, copied):
        one.reserve(3)
        new = torch.full((2, 2, 3, 3), 7.0)
        keys, values = one.write(1, new, 2 * new, one.columns(3, 2), int(one.lengths.max()) + 3)
        for place, length in enumerate(one.lengths):
            assert bool((keys[place, :, length : length + 3] == 7).all())
            assert bool((values[place, :, length : length + 3] == 14).all())
            assert bool((keys[place, :, :length] != 7).all())


def test_nothing_is_left_of_a_row_that_broke() -> None:
    cache = filled()
    for states in (states for layer in cache._layers for states in layer):
        states[1] = float("nan")
    cache.arrange([np.asarray([0, 2, 3])])
    assert all(bool(states.isfinite().all()) for layer in cache._layers for states in layer)


def test_rows_that_leave_and_come_together_keep_their_room() -> None:
    cache = filled()
    left = cache.part(np.asarray([4, 1]))
    places = [states.data_ptr() for layer in left._layers for states in layer]
    left.reserve(2)  # 5 + 2 of 7 columns
    assert [states.data_ptr() for layer in left._layers for states in layer] == places
    wider = cache.part(np.asarray([0]))
    wider.reserve(9)
    joined = RaggedCache.joined([left, wider])
    assert joined.lengths.tolist() == [2, 5, 3]
    for held, had, wide in zip(joined._layers, filled()._layers, wider._layers, strict=True):
        for side in range(2):
            assert held[side].shape == (3, 2, wide[side].shape[2], 3)
            for place, row in enumerate([4, 1, 0]):
                assert torch.equal(held[side][place, :, :7], had[side][row])
            assert not held[side][:, :, 7:].any()


def test_parts_have_room_for_their_tokens_before_any_of_them_is_made() -> None:
    cache = filled()
    few, many = cache.parts([(slice(0, 2), torch.zeros(2, 1)), (slice(2, 5), torch.zeros(3, 9))])
    for part, n in ((few, 1), (many, 9)):
        part.cache.reserve(n)
        new = torch.full((*part.tokens.shape[:1], 2, n, 3), 7.0)
        part.cache.write(1, new, new, part.cache.columns(n, 2), int(part.cache.lengths.max()) + n)
    for row, (length, n) in enumerate(zip(LENGTHS, (1, 1, 9, 9, 9), strict=True)):
        assert bool((cache._layers[1][0][row, :, length : length + n] == 7).all())
