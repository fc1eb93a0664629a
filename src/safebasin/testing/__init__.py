"""The conformance suite: what must hold of every implementation of a seam, for your own tests. Needs no pytest.

    from safebasin import catalog, testing

    ROWS = [row for row in catalog.rows() if row.name.startswith("my-plugin/")]

    @pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
    def test_conformance(row):
        testing.check_row(row)

Each check is a plain function that returns nothing, or raises `AssertionError` with one line: what must hold, what came
instead, and what to do. Checks are black-box and take seconds at most; they show that a contract of
`safebasin.protocols` is kept, not that the numbers mean what you want them to mean.

    backends    conformance of backends: every task is answered, by rows of its own, and a second time by the same
    claims      how a check fails: what must hold, what came, what to do
    defenses    conformance of `safebasin.protocols.Defense`, each method of its stage
    directions  conformance of directions: deterministic, addressable in any order, finite, of their norm
    edits       conformance of `safebasin.protocols.Edit`
    engines     conformance of engines: reproducible, in order, honest about ends, back at θ₀ bit for bit
    finetuning  conformance of `safebasin.protocols.Attack`: deterministic rows, of a made-up source
    guards      conformance of inference defenses, on a small real model
    judges      conformance of judges: total, deterministic, honest about what is missing
    made_rows   training rows made up for these checks
    planes      conformance of directions in a plane: the second is orthogonal to the first
    prompts     conformance of prompt sources and worlds: something to ask, each thing once, always in the same order
    rows        conformance of rows of the catalogue: what a row points to keeps the contract of its kind
    setups      conformance of training defenses: a few steps of AdamW on a small real model
    tempered    conformance of weight defenses: bits at strength 0, blocks, finiteness
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
