"""What is wrong with a stored study: damage, incompleteness, a model that is no longer the one it was made for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safebasin.errors import StoreError, UsageError
from safebasin.landscape.stored import StoredStudy
from safebasin.run.manifest import read_manifest
from safebasin.run.prompt_settings import changed_setting, file_settings
from safebasin.store import folder as folders
from safebasin.store.db import StudyStore
from safebasin.store.integrity import damage, unchecked
from safebasin.store.withholding import is_withheld


def verify(
    folder: Path, *, full: bool, note: Callable[[str], None], published: bool = True, model: bool = True
) -> list[str]:
    """Sentences, one a finding; empty where nothing is wrong.

    Args:
        folder: the study.
        full: hash the weights too. The first time records the hash, later times compare with it.
        note: told what could not be checked and is no damage.
        published: whether it has results of its own; a study inside an audit has none.
        model: whether its model is looked for.
    """
    with StudyStore.open(folders.require(folder)) as store:
        try:
            found = [f"database: {what}" for what in damage(store)]
            old = unchecked(store)
            if old:
                note(f"{old} rows were written before digests were kept: whether their texts changed cannot be told")
            if is_withheld(store):
                note("this copy is without texts: prompts, responses and verdicts cannot be held against their digests")
            study = StoredStudy.of(store)
            found += _incomplete(folder, study, published=published, model=model)
            return found + (_model_findings(study, full=full) if model else [])
        except StoreError as error:
            return [f"database: {error}"]


def _incomplete(folder: Path, study: StoredStudy, *, published: bool, model: bool) -> list[str]:
    """What of the plan is not there."""
    missing, size, again = study.missing(), study.plan.size, "run `safebasin map` again"
    found: list[str] = []
    if (folder / folders.MANIFEST).exists() and not read_manifest(folder):
        found.append(f"{folders.MANIFEST} is not what a study writes: {again}, which writes it anew")
    if missing.responses:
        found.append(f"{missing.responses} of {size} responses are missing: {again}")
    if missing.scores:
        found.append(f"{missing.scores} scores of responses are missing: {again}")
    if missing.checks:
        found.append(f"{missing.checks} responses that fast mode is checked by are missing: {again}")
    for judge, n in missing.verdicts.items():
        found.append(f"{n} verdicts of {judge} are missing: run `safebasin judge {folder}` again")
    if missing.measurements:
        n = len({point for points in missing.measurements.values() for point in points})
        found.append(f"capability is missing at {n} of {len(study.plan.points)} points: {again}")
    if missing.traces and model:
        found.append(f"the trajectories, as their folders are now, are not projected: {again}")
    if published and study.plan.shard is None and not (folder / folders.LANDSCAPE).is_file():
        found.append(f"{folders.LANDSCAPE} is missing: run `safebasin report {folder}`")
    return found


def _model_findings(study: StoredStudy, *, full: bool) -> list[str]:
    from safebasin.models.reference import full_hash, resolve

    store, plan = study.store, study.plan
    model = plan.study.model
    try:
        resolved, settings = resolve(model), file_settings(plan.study)
    except UsageError as error:
        return [f"model: cannot be looked up from here ({error})"]
    if resolved.fingerprint != store.meta("fingerprint"):
        return [f"model: {model} is no longer the checkpoint that this study was made for"]
    changed = changed_setting(store, plan.decoding, settings)
    if changed is not None:
        return [f"settings: {changed}; the responses were made with the former"]
    if not full:
        return []
    digest = full_hash(resolved.folder)
    known = store.meta("weights_hash")
    if known is None:
        with folders.writer(store.path.parent):
            store.set_meta("weights_hash", digest)
        return []
    return [] if known == digest else [f"model: the weights of {model} changed since the last `verify --full`"]
