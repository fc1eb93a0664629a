"""Which tensors a direction moves: several patterns, each of which has to find something."""

from __future__ import annotations

import pytest
import torch

from safebasin import testing
from safebasin.errors import StudyError
from safebasin.records import DirectionSpec
from safebasin.weights import selection
from safebasin.weights.selection import inner, matches, selected


@pytest.mark.parametrize(
    ("name", "only", "found"),
    [
        ("model.layers.1.mlp.up", "layers.1.*,layers.2.*", True),
        ("model.layers.2.mlp.up", "layers.1.*,layers.2.*", True),
        ("model.layers.3.mlp.up", "layers.1.*,layers.2.*", False),
        ("model.layers.3.mlp.up", "layers.1.*, *mlp*", True),
        ("model.layers.12.mlp.up", "layers.1.*,layers.2.*", False),
        ("model.layers.12.mlp.up", "layers.1[0-3].*", True),
        ("anything", None, True),
        ("anything", "", False),
    ],
)
def test_any_of_several_patterns_matches(name: str, only: str | None, found: bool) -> None:
    assert matches(name, only) is found


def spec(only: str) -> DirectionSpec:
    return DirectionSpec(kind="random", only=only)


def test_several_patterns_select_their_union_in_module_order() -> None:
    base = testing.small_weights()
    assert selected(spec("down.*, up.weight"), base, drawn=True) == ("up.weight", "down.weight")
    assert selected(spec("norm.*,up.weight"), base, drawn=True) == ("up.weight",), "what is excluded stays so"
    assert selected(spec("norm.weight,up.weight"), base, drawn=False) == ("up.weight", "norm.weight")


@pytest.mark.parametrize(("only", "idle"), [("up.*,dwon.*", "dwon.*"), ("up.*,", ""), ("norm.*", "norm.*")])
def test_a_pattern_that_finds_nothing_is_named(only: str, idle: str) -> None:
    base = testing.small_weights()
    with pytest.raises(StudyError, match="only must be a pattern that some perturbable tensor matches") as caught:
        selected(spec(only), base, drawn=True)
    assert f"got {idle!r}. Names look like " in str(caught.value)


class One:
    """A single tensor."""

    def __init__(self, *shape: int) -> None:
        self.size, self.values = shape, torch.randn(shape)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.size

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        return self.values[start:stop]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [(1, 5000), (2, 5000), (3, 40), (7, 11), (1000, 3), (64, 129), (900,), (6, 8, 50)])
def test_pieces_sum_a_row_as_the_whole_does(
    shape: tuple[int, ...], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "_PIECE", 100)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    one, other = One(*shape), One(*shape)
    whole = [field.values.double().reshape(shape[0], -1) for field in (one, other)]
    assert torch.equal(inner(one, "w", one.rows, by_rows=True), (whole[0] * whole[0]).sum(dim=1))
    assert torch.equal(inner(one, "w", one.rows, other.rows, by_rows=True), (whole[0] * whole[1]).sum(dim=1))
    assert torch.equal(inner(one, "w", one.rows, other.rows), (whole[0] * whole[1]).sum(dim=1).sum())
