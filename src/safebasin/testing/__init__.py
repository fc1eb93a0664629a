"""The conformance suite: what must hold of every implementation of a seam, for your own tests. Needs no pytest.

    from safebasin import catalog, testing

    ROWS = [row for row in catalog.rows() if row.name.startswith("my-plugin/")]

    @pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
    def test_conformance(row):
        testing.check_row(row)

Each check is a plain function that returns nothing, or raises `AssertionError` with one line: what must hold, what came
instead, and what to do. Checks are black-box and take seconds at most; they show that a contract of
`safebasin.protocols` is kept, not that the numbers mean what you want them to mean.
"""

from safebasin.testing.backends import check_backend
from safebasin.testing.defenses import check_defense
from safebasin.testing.directions import check_direction, small_weights
from safebasin.testing.edits import check_edit
from safebasin.testing.engines import check_engine
from safebasin.testing.finetuning import check_attack
from safebasin.testing.judges import HOSTILE_TEXTS, check_judge
from safebasin.testing.prompts import check_prompt_source, check_system_source, check_world
from safebasin.testing.rows import check_row

__all__ = [
    "HOSTILE_TEXTS",
    "check_attack",
    "check_backend",
    "check_defense",
    "check_direction",
    "check_edit",
    "check_engine",
    "check_judge",
    "check_prompt_source",
    "check_row",
    "check_system_source",
    "check_world",
    "small_weights",
]
