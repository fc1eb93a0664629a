"""What a folder was last asked, kept in its database: so that statistics and reports need neither model nor prompts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from safebasin.errors import StoreError, StudyError, expected
from safebasin.judges.scored import score_rules
from safebasin.landscape.language_tests import calibrated
from safebasin.protocols import Judge
from safebasin.records import Place, Prompt, Region, System, canonical_json
from safebasin.store.connection import parsed
from safebasin.store.db import StudyStore
from safebasin.study import Study
from safebasin.study.plan import Plan, PromptSet
from safebasin.study.shards import parse_shard

JudgeVersion = tuple[str, str]
"""Name and version."""
_TOLD = {"labels": "label", "categories": "category", "behaviors": "behavior", "sources": "source"}
"""What a set says of its prompts, by the name under which it is kept → the field of a prompt."""


def write_last_plan(store: StudyStore, plan: Plan, judges: Sequence[Judge]) -> None:
    """Keep what the plan covers, so that statistics and reports need neither the model nor the prompts' source."""
    store.set_meta(
        "plan",
        canonical_json(
            {
                "study": json.loads(plan.study.canonical()),
                "sets": [
                    {
                        "name": s.name,
                        "source": s.source,
                        "ids": [p.id for p in s.prompts],
                        **{name: [getattr(p, field) for p in s.prompts] for name, field in _TOLD.items()},
                    }
                    for s in plan.sets
                ],
                "systems": [{"name": s.name, "text": s.text} for s in plan.systems],
                "regions": [asdict(region) for region in plan.regions],
                "chosen": {
                    name: [[place.direction, place.coords] for place in places] for name, places in plan.chosen.items()
                },
                "gauges": plan.measurements,
                "decoding": plan.decoding.key,
                "judges": [[judge.name, calibrated(judge, store).version] for judge in judges],
                **({} if plan.shard is None else {"shard": str(plan.shard)}),
                **({} if plan.exact is None else {"exact": plan.exact.key}),
                **({"stopped": plan.stopped} if plan.stopped else {}),
                "scored": bool(score_rules(judges)),
            }
        ),
    )


def read_last_plan(store: StudyStore) -> tuple[Plan, tuple[JudgeVersion, ...]]:
    """The plan that a folder was last run with, and the (name, version) of its judges, from the database alone.

    Raises:
        StoreError: where the folder never got as far as a plan.
    """
    text = store.meta("plan")
    if text is None:
        raise StoreError(f"study folder must hold a plan; got none in {store.path.parent}. Run: safebasin map -o DIR.")
    with parsed(store.path):
        plan, judges = _plan(store, json.loads(text))
        _check(plan)
        return plan, judges


def is_scored(store: StudyStore) -> bool:
    """Tell whether a judge of the last plan looks at scores, so that responses without one lack something."""
    with parsed(store.path):
        return bool(json.loads(store.meta("plan") or "{}").get("scored", True))


def choose_judges(
    store: StudyStore, names: Sequence[str], remembered: Sequence[JudgeVersion]
) -> tuple[JudgeVersion, ...]:
    """Name and version of judges with verdicts in a folder; of one that its plan does not name, the version used most.

    Raises:
        StudyError: where a judge has no verdicts here.
    """
    known = dict(remembered)
    if not known.keys() >= set(names):  # all verdicts are counted to know
        stored = sorted(store.judge_versions(), key=lambda row: row[2])
        known = {name: version for name, version, _ in stored} | known
    for name in names:
        if name not in known:
            remedy = f"Run: safebasin judge DIR --judge {name!r}."
            constraint = f"one whose verdicts are stored here ({', '.join(sorted(known))})"
            raise StudyError(expected("judge", constraint, name, remedy))
    return tuple((name, known[name]) for name in dict.fromkeys(names))


def _plan(store: StudyStore, kept: Any) -> tuple[Plan, tuple[JudgeVersion, ...]]:
    study = Study.model_validate(kept["study"])
    prompts = store.prompts()
    plan = Plan(
        study=study,
        sets=tuple(
            PromptSet(name=s["name"], source=s["source"], prompts=_told([prompts[i] for i in s["ids"]], s))
            for s in kept["sets"]
        ),
        systems=tuple(System(name=s["name"], text=s["text"]) for s in kept["systems"]),
        regions=tuple(Region.from_record(region) for region in kept["regions"]),
        decoding=store.decodings()[kept["decoding"]],
        batches=store.batches(),
        chosen={
            name: tuple(Place(direction=direction, coords=tuple(coords)) for direction, coords in places)
            for name, places in kept["chosen"].items()
        },
        measurements=tuple(kept["gauges"]),
        shard=parse_shard(kept["shard"]) if "shard" in kept else None,
        exact=store.decodings()[kept["exact"]] if "exact" in kept else None,
        stopped={point: dict(counts) for point, counts in kept.get("stopped", {}).items()},
    )
    return plan, tuple((name, version) for name, version in kept["judges"])


def _check(plan: Plan) -> None:
    """Raise where a stored plan has values that no plan has: they would fail far from the file that holds them."""
    _ = plan.decoding.key  # identities are hashes, which numbers that are none do not have
    _ = hash((plan.regions, plan.systems))  # they are kept by value, which a list in the place of a number has not
    _ = plan.left_out  # counts are compared with numbers
    for _, _, point in plan.numbered_places():
        _ = point.key
    for prompt in (prompt for prompt_set in plan.sets for prompt in prompt_set.prompts):
        for text in (prompt.id, prompt.label, prompt.category, prompt.behavior, prompt.source):
            if not isinstance(text, str):
                raise TypeError(f"a prompt with {text!r} for a text")


def _told(prompts: Sequence[Prompt], kept: Any) -> tuple[Prompt, ...]:
    """The prompts of a set with what it says of them: they may have entered the folder from another, or uncorrected.

    Earlier releases kept labels alone, or nothing; the rest is then as it entered the folder.
    """
    told = {field: kept[name] for name, field in _TOLD.items() if name in kept}
    rows = zip(prompts, *told.values(), strict=True)
    return tuple(replace(prompt, **dict(zip(told, said, strict=True))) for prompt, *said in rows)
