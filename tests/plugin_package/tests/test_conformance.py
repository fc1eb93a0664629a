"""Everything that safebasin-kiln adds keeps the contract of its seam. Run where the plugin is installed."""

import pytest

from safebasin import catalog, testing
from safebasin.records import DirectionSpec

MINE = [row for row in catalog.rows() if row.name.startswith("safebasin-kiln/")]


def test_all_rows_are_found():
    assert {row.kind for row in MINE} == {"judge", "direction", "prompts", "defense", "edit"}


@pytest.mark.parametrize("row", MINE, ids=lambda row: row.name)
def test_row(row):
    testing.check_row(row)


def test_pardon_with_its_argument():
    testing.check_row(catalog.get("judge", "safebasin-kiln/pardon"), arguments={"strict": True})


def test_coin_with_its_argument():
    testing.check_row(catalog.get("direction", "safebasin-kiln/coin"), arguments={"heads": 0.6})


@pytest.mark.parametrize("normalize", ["layer", "filter", "model"])
def test_coin_has_the_norm_of_the_weights(normalize):
    recipe = DirectionSpec(kind="safebasin-kiln/coin", seed=7, index=1, normalize=normalize, only="*up*")
    testing.check_row(catalog.get("direction", recipe.kind), spec=recipe)
