"""Points that an engine answers in one running batch: which of them stand together, and their tasks.

Groups are kept with the study, as batches of prompts are: whatever is left to do, a row is decoded beside the same
rows. Points that come later, of a finer grid or another adapter, make groups of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from safebasin.landscape.notes import ADAPTERS, adapter_words
from safebasin.protocols import UNMERGED, EngineFacts, Generate, GenerateTogether
from safebasin.records import DirectionSpec, Point, Region
from safebasin.store.connection import parsed
from safebasin.store.db import StudyStore
from safebasin.store.folder import DATABASE
from safebasin.study.answered import Answered
from safebasin.study.plan import Plan

__all__ = ["bundled", "lines_of", "note_adapters", "settled_groups", "tasks_in"]

Group = tuple[Point, ...]


def lines_of(regions: Iterable[Region], *folders: Path) -> tuple[DirectionSpec, ...]:
    """The directions of a study's lines, for an engine that can prepare for them (`EngineSpec.directions`).

    None where one of the folders holds responses of an engine that merges adapters into the weights: it goes on so.

    Args:
        regions: of the study; planes have points that are on no line.
        *folders: of studies; they need not be there yet.
    """
    for folder in folders:
        if (folder / DATABASE).is_file():
            with StudyStore.open(folder) as store:
                used = store.used_decodings()
                if any(UNMERGED not in one.engine for key, one in store.decodings().items() if key in used):
                    return ()
    lines = (spec for region in regions if not region.is_plane for axis in region.axes for spec in axis.directions)
    return tuple(dict.fromkeys(lines))


def note_adapters(store: StudyStore, facts: EngineFacts) -> None:
    """Remember what is to be said of adapters that are served beside the weights, and of those that are not."""
    words = adapter_words(facts.details.get("adapters"))
    if words != (store.meta(ADAPTERS) or ""):
        store.set_meta(ADAPTERS, words)


def settled_groups(store: StudyStore, plan: Plan, done: Answered, facts: EngineFacts) -> tuple[Group, ...]:
    """The points of a plan that are asked together, those that were grouped before as they were.

    Args:
        store: of the study; keeps them.
        plan: what is asked.
        done: the responses that exist; a point that has some and no group, as after joining shards, stays alone.
        facts: of the engine, which says what it can.
    """
    lines = frozenset(facts.unmerged)
    fit = {point.key: point for point in plan.points if len(point.terms) == 1 and point.terms[0][0] in lines}
    if facts.at_once < 2 or not fit:
        return ()
    name = f"together:{plan.decoding.key}"
    with parsed(store.path):
        known = [[str(key) for key in group] for group in json.loads(store.meta(name) or "[]")]
    there = {key for group in known for key in group}
    new = [key for key in fit if key not in there and not any(done.prompts(key, s.id) for s in plan.systems)]
    groups = [*known, *(new[start : start + facts.at_once] for start in range(0, len(new), facts.at_once))]
    if new:
        store.set_meta(name, json.dumps(groups))
    return tuple(tuple(fit[key] for key in group if key in fit) for group in groups)


def bundled(
    left: Sequence[Generate], groups: Sequence[Group], every: Sequence[Generate] = ()
) -> tuple[Generate | GenerateTogether, ...]:
    """Tasks, with those of a group of points that are one batch of prompts in one.

    Args:
        left: what is to be done, in its order.
        groups: points that stand together.
        every: all tasks of these points: a bundle of which something is left is done whole; none where an engine is
            invariant to its batch.
    """
    if not groups:
        return tuple(left)
    wanted, whole = _by_bundle(left, groups), _by_bundle(every, groups)
    return tuple(_one(whole.get(key, tasks)) for key, tasks in wanted.items())


def tasks_in(task: Generate | GenerateTogether) -> tuple[Generate, ...]:
    """The tasks of a bundle, or the one that is none."""
    return task.tasks if isinstance(task, GenerateTogether) else (task,)


def _by_bundle(
    tasks: Iterable[Generate], groups: Sequence[Group]
) -> dict[tuple[int | str, str, int], tuple[Generate, ...]]:
    number = {point: n for n, group in enumerate(groups) for point in group}
    found: dict[tuple[int | str, str, int], tuple[Generate, ...]] = {}
    for task in tasks:
        key = (number.get(task.point, task.point.key), task.system.id, task.batch)
        found[key] = (*found.get(key, ()), task)
    return found


def _one(tasks: tuple[Generate, ...]) -> Generate | GenerateTogether:
    return tasks[0] if len(tasks) == 1 else GenerateTogether(tasks=tasks)
