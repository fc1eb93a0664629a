"""What a study ran on and with, written before the first token. Not a result: only reports read it back."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from safebasin.errors import StoreError, UsageError, expected
from safebasin.prompts.sources import facts
from safebasin.protocols import EngineFacts
from safebasin.records import DirectionSpec, LanguageTest, Manifest, content_hash
from safebasin.store.folder import HISTORY, MANIFEST, STUDY, TABLES
from safebasin.store.sealing import Counted, read_seal, sha256_of
from safebasin.untrusted import read_json, read_text
from safebasin.writing import write_text

if TYPE_CHECKING:
    from safebasin.run.inputs import Inputs
    from safebasin.study.plan import Plan, PromptSet

PACKAGES = ("safebasin", "torch", "transformers", "tokenizers", "safetensors", "numpy", "scipy")


def keep_study(folder: Path, text: str) -> bool:
    """Write the study file; an earlier one that differs moves to `history/`. Returns whether there was such a one."""
    return _keep(folder, STUDY, text)


def keep_tables(folder: Path) -> None:
    """Move the tables of a sweep to `history/`: those of an earlier study are none of the rows that are asked now."""
    for name in TABLES:
        if (folder / name).exists():
            (folder / name).replace(_next_name(folder, name))


def write_manifest(
    folder: Path,
    plan: Plan,
    inputs: Inputs,
    facts: EngineFacts,
    *,
    batch_size: int,
    language: Mapping[str, LanguageTest] | None = None,
) -> None:
    """Write the manifest of a run; an earlier one moves to `history/`."""
    manifest = Manifest(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        study=plan.study.model_dump(mode="json"),
        study_hash=plan.study.hash,
        model={
            "reference": plan.study.model,
            "fingerprint": inputs.fingerprint,
            **facts.described(),
            **({"computed": inputs.computed} if inputs.computed else {}),
        },
        perturbed=facts.perturbed,
        excluded=facts.excluded,
        template_hash=facts.template_hash,
        batch_size=batch_size,
        environment=environment(),
        prompt_sets={found.name: _prompt_set(found) for found in inputs.sets},
        phrase_lists={judge.name: content_hash(list(judge.phrases)) for judge in inputs.judges if judge.phrases},
    )
    extra = {
        "decoding": plan.decoding.settings,
        "batches": len(plan.batch_members()),
        "points": len(plan.points),
        "judges": {judge.name: judge.version for judge in inputs.judges},
        "language": {under or "θ₀": asdict(test) for under, test in (language or {}).items()},
        "directions": [asdict(spec) for spec in dict.fromkeys(_directions(plan))],
    }
    _keep(folder, MANIFEST, json.dumps({**asdict(manifest), **extra}, indent=2, default=str) + "\n")


def _prompt_set(found: PromptSet) -> dict[str, object]:
    """Which prompts a set holds: prompt ids are hashes of their messages, so the hash is that of the content."""
    known = facts(found.source)
    published = {key: known[key] for key in ("hub", "revision", "licence", "citation") if key in known}
    return {
        "source": found.source,
        "n": len(found.prompts),
        "hash": content_hash([p.id for p in found.prompts]),
        **published,
    }


def _directions(plan: Plan) -> Iterator[DirectionSpec]:
    for region in plan.regions:
        for axis in region.axes:
            yield from axis.directions


def altered(folder: Path) -> list[str]:
    """Name study file and manifest where they are not what the results were written with, nor what replaced it.

    A run that writes one anew keeps the former in `history/`; whatever else differs from the list of digests, or cannot
    be read, was damaged or changed by other hands.
    """
    sealed: Mapping[str, Counted] = {}
    with suppress(StoreError):  # no list, or one that is damaged itself: `report` makes it anew
        sealed = read_seal(folder).files
    found: list[str] = []
    for name in (STUDY, MANIFEST):
        path, was = folder / name, sealed.get(name)
        is_there, versions = path.is_file(), (path, *(folder / HISTORY).glob(f"*-{name}"))
        is_kept = was is None or (is_there and any(sha256_of(one) == was for one in versions))
        if not is_kept or (name == MANIFEST and is_there and not read_manifest(folder)):
            found.append(name)
    return found


def check_unaltered(folder: Path) -> None:
    """Refuse to write digests over a study file or manifest that is not what the results were written with.

    Raises:
        StoreError: naming it.
    """
    for name in altered(folder):
        remedy = "Restore it, or run the same `safebasin map` command again, which writes it anew."
        raise StoreError(expected(f"{name} of {folder.name}", "what the results were made with", "another", remedy))


def set_aside(folder: Path) -> None:
    """Move a manifest that `altered` names to `history/`, so that the run writes it anew."""
    if MANIFEST in altered(folder) and (folder / MANIFEST).exists():
        (folder / MANIFEST).replace(_next_name(folder, MANIFEST))


def read_manifest(folder: Path) -> Mapping[str, object]:
    """The manifest of a folder as plain values; empty where there is none or it cannot be read."""
    try:
        found = read_json(read_text(folder / MANIFEST, MANIFEST), MANIFEST)
    except UsageError:
        return {}
    return found if isinstance(found, dict) else {}


def environment() -> Mapping[str, object]:
    """Versions, platform, processor count and thread settings of this process."""
    versions: dict[str, str] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    threads = {k: os.environ[k] for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if k in os.environ}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": threads,
        "versions": versions,
    }


def _keep(folder: Path, name: str, text: str) -> bool:
    """Write a file, keeping an earlier one that differs; whether there was such a one."""
    path = folder / name
    old = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
    if old == text:
        return False
    if old is not None:
        write_text(_next_name(folder, name), old)
    write_text(path, text)
    return old is not None


def _next_name(folder: Path, name: str) -> Path:
    """Where the next former version of a file goes."""
    history = folder / HISTORY
    history.mkdir(exist_ok=True)
    number = 1 + sum(1 for p in history.iterdir() if p.name.endswith(name))
    return history / f"{number:03d}-{name}"
