"""The plan of a study in a folder: its decoding as the folder has it, its batches, its first places. Asks nothing."""

from __future__ import annotations

from safebasin.landscape.fast_mode import read_budget
from safebasin.protocols import Backend
from safebasin.records import Decoding
from safebasin.run.inputs import Inputs
from safebasin.run.next_round import first_places
from safebasin.run.prompt_stopping import begun
from safebasin.run.token_budget import under_budget
from safebasin.store.db import StudyStore
from safebasin.study import Study
from safebasin.study.fast import exact_study, in_full
from safebasin.study.plan import Plan, make_plan, resolve_decoding
from safebasin.study.shards import Shard

__all__ = ["GUESSED_BATCH", "automatic_size", "plan_for"]

GUESSED_BATCH = 64
"""Batch size of a plan that is only shown, before an engine has chosen one."""
_EXTENDED = 128
"""Prompts that a folder's batch size, chosen once, is to do for: a study of two may be extended to hundreds."""


def automatic_size(backend: Backend, inputs: Inputs) -> int:
    """The batch size that is suggested for the prompts of all sets; where one batch holds them, for more of them."""
    asked, tokens = len({prompt.id for s in inputs.sets for prompt in s.prompts}), inputs.study.decoding.max_new_tokens
    size = backend.suggest_batch_size(asked, tokens)
    return size if size < asked else backend.suggest_batch_size(max(asked, _EXTENDED), tokens)


def plan_for(
    store: StudyStore | None,
    inputs: Inputs,
    *,
    batch_size: int,
    regenerate: bool = False,
    shard: Shard | None = None,
) -> Plan:
    """The plan of a study in a folder (or in none), given the batch size of new prompts.

    In fast mode it asks the first stage of each set, under the budget of the folder, to the full length where that is
    not calibrated yet.
    """
    stored = () if store is None or regenerate else tuple(store.decodings().values())

    def decoding(study: Study) -> Decoding:
        return resolve_decoding(study, inputs.judges, stored, inputs.decoding, stops=inputs.stops)

    made = make_plan(
        inputs.study,
        inputs.sets,
        systems=inputs.systems,
        regions=inputs.regions,
        decoding=decoding(inputs.study),
        known={} if store is None else store.batches(),
        batch_size=batch_size,
        chosen=first_places(inputs.regions),
        measurements=[one.setting for one in inputs.measurements],
        shard=shard,
        exact=decoding(exact_study(inputs.study)) if inputs.study.fast else None,
    )
    made = begun(made)
    budget = None if store is None or made.exact is None else read_budget(store, in_full(made))
    return made if budget is None else under_budget(made, budget)
