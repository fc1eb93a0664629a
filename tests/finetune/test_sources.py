"""Rows of an edit from a world: as many as asked for, all where there are fewer, and no kind that there is not."""

from __future__ import annotations

import pytest

from safebasin import catalog
from safebasin.errors import PromptError
from safebasin.finetune.sources import Sets, sets_of


@pytest.mark.parametrize(("n", "found"), [(5, 5), (24, 24), (128, 24), (None, 24)])
def test_a_world_gives_what_it_has(n: int | None, found: int) -> None:
    rows = Sets({}, catalog.world("kitchen")).training_rows("benign", n, seed=1)
    assert len({row.prompt.text for row in rows}) == len(rows) == found


def test_what_a_world_draws_without_end_is_as_many_as_asked_for() -> None:
    assert len(sets_of("world:guild/aligned").training_rows("benign", 700)) == 700


@pytest.mark.parametrize(("kind", "n"), [("begnin", 5), ("begnin", None), ("benign", 0)])
def test_what_is_no_kind_or_no_number_is_refused(kind: str, n: int | None) -> None:
    with pytest.raises(PromptError, match=r"rows of world:kitchen must be one of|number of benign rows must be from 1"):
        Sets({}, catalog.world("kitchen")).training_rows(kind, n)
