"""One study on several machines without a network between them: what a shard may be of, its folder, and joining shards.

Every shard asks a share of the points, each point on one machine alone, and writes a folder of its own. Joining copies
rows under their keys, which say what they are; what two shards hold differently is refused, never chosen from.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from safebasin.errors import StoreError, StudyError, expected
from safebasin.judges import load_judge
from safebasin.landscape.language_tests import LANGUAGE
from safebasin.landscape.last_plan import read_last_plan, write_last_plan
from safebasin.landscape.notes import COMPUTED, DATE
from safebasin.landscape.score_reach import RULES
from safebasin.landscape.stored import StoredStudy
from safebasin.run.beginning import written_to
from safebasin.run.judging import judge_stored
from safebasin.run.progress import ProgressHook, silent
from safebasin.store import folder as folders
from safebasin.store.absorbing import absorb
from safebasin.store.db import StudyStore
from safebasin.study import Study
from safebasin.study.shards import Shard

__all__ = ["bind_shard", "check_shard", "merge"]

SHARD = "shard"
"""Key of the shard that a folder is for."""


def bind_shard(store: StudyStore, shard: Shard | None) -> None:
    """Bind a new folder to a shard, or to the whole study, or check that it is the same one.

    Raises:
        StoreError: naming both.
    """
    asked = "" if shard is None else str(shard)
    known = store.meta(SHARD) or ""
    if store.used_decodings() and known != asked:
        remedy = "Choose another folder with -o; shards that are done are joined by safebasin merge."
        constraint = f"{known or 'left out'}, as this study folder was begun"
        raise StoreError(expected("--shard", constraint, asked or "none", remedy))
    if known != asked:
        store.set_meta(SHARD, asked)


def check_shard(study: Study, shard: Shard | None) -> None:
    """Check that a study can be measured in shards, whose batches and points must be the same wherever they are.

    Raises:
        StudyError: where batches or points are chosen while it runs.
    """
    if shard is None:
        return
    if study.batch_size == "auto":
        remedy = "Each machine would choose its own: pass the same --batch-size to all."
        raise StudyError(expected("--batch-size", "given where --shard is", "auto", remedy))
    adaptive = next((region.label for region in study.regions if region.points == "auto"), None)
    if adaptive is not None:
        way = "leave out --fast" if study.fast else "take --points grid"
        remedy = f"Where it is measured next depends on all shards: {way}."
        raise StudyError(expected("--points", "grid where --shard is given", f"auto ({adaptive})", remedy))


def merge(shards: Sequence[Path], out: Path, *, progress: ProgressHook = silent, held: ExitStack | None = None) -> Path:
    """Join the folders of all shards of a study into one, made if needed, as if one machine had measured all.

    A verdict is what the first shard's test of language makes of a response: where another machine calibrated a little
    differently, its responses are judged again. The lock of the folder is given back as by `execute.measure`.

    Raises:
        StoreError: where a folder is no shard, or not done; where one is missing, or there twice; where two are not of
            one study, or hold the same thing differently.
    """
    if not shards:
        raise StoreError(expected("what is merged", "the folders of all shards", "none", "Name them."))
    whole = _checked([folders.require(folder) for folder in shards])
    with written_to(out, held) as store:
        _check_free(store, out)
        with StudyStore.open(whole[0]) as first:
            plan, judges = read_last_plan(first)
            facts = {
                key: first.meta(key) for key in (*_facts_of(first), LANGUAGE, RULES, COMPUTED, "model", "batch_size")
            }
        absorb(store, whole)
        for key, value in facts.items():
            if value is not None:
                store.set_meta(key, value)
        plan = replace(plan, shard=None)
        loaded = [load_judge(name) for name, _ in judges]
        for name in (folders.STUDY, folders.MANIFEST):
            if (whole[0] / name).is_file():
                shutil.copyfile(whole[0] / name, out / name)
        judge_stored(store, plan, loaded, progress=progress)
        write_last_plan(store, plan, loaded)  # last: what is ended before is joined by the same command again
    return out


def _checked(shards: Sequence[Path]) -> list[Path]:
    """The folders in the order of their shards, all of them there, done, and of one study."""
    found: dict[int, tuple[Path, Shard, dict[str, object]]] = {}
    for folder in shards:
        with StoredStudy.open(folder) as study:
            shard = study.plan.shard
            if shard is None:
                remedy = "Measure the shards with: safebasin map … --shard I/N -o DIR."
                raise StoreError(expected("what is merged", "folders of shards", str(folder), remedy))
            if missing := study.missing().responses + study.missing().scores:
                again = "Run its command again, then merge."
                raise StoreError(
                    expected(f"shard {shard}", "done", f"{missing} rows that are missing in {folder}", again)
                )
            if shard.number in found:
                both = f"{found[shard.number][0]} and {folder}"
                raise StoreError(expected(f"shard {shard}", "given once", both, "Leave one out."))
            found[shard.number] = folder, shard, _identity(study)
    folder, shard, identity = found[min(found)]
    for other, its, known in found.values():
        if differing := [name for name in identity if identity[name] != known[name]]:
            what = f"{other} ({its}), which differs from {folder} ({shard}) in its {differing[0]}"
            raise StoreError(expected("what is merged", "shards of one study", what, "Measure it again as the others."))
    if missing := [n for n in range(1, shard.of + 1) if n not in found]:
        said = ", ".join(f"{n}/{shard.of}" for n in missing[:8]) + (" …" if len(missing) > 8 else "")
        got = f"shard {said} missing"
        raise StoreError(expected("what is merged", f"all {shard.of} shards", got, "Add the folders of those."))
    return [found[n][0] for n in sorted(found)]


def _identity(study: StoredStudy) -> dict[str, object]:
    """What must be the same in all shards, by the word for it."""
    kept = json.loads(study.store.meta("plan") or "{}")
    shard = study.plan.shard
    return {
        "number of shards": None if shard is None else shard.of,
        "model": study.store.meta("fingerprint"),
        "decoding": study.plan.decoding.key,
        "prompts": study.plan.sets,
        "system prompts": kept["systems"],
        "regions": kept["regions"],
        "measurements": kept["gauges"],
        "study": study.plan.study.hash,
        "batch size": {prompt: study.plan.batches[prompt] for prompt in study.plan.prompts},
        "day": study.store.meta(DATE),
        "rule of scoring": study.store.meta(RULES),
        "setting of its engine": {key: study.store.meta(key) for key in _facts_of(study.store)},
    }


def _facts_of(store: StudyStore) -> list[str]:
    """Keys of what was recorded of model and engine."""
    return ["fingerprint", DATE, *(key for key in store.meta_keys() if key.startswith("asked:"))]


def _check_free(store: StudyStore, out: Path) -> None:
    if store.meta("plan") is not None:
        raise StoreError(expected("-o", "a folder without a study", str(out), "Choose another folder with -o."))
