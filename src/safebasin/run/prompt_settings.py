"""How the prompts of a study are asked beside what its keys say: kept once, so that a folder holds one thing.

The day that a template is told is fixed when a study begins. What else decides a response and is no part of its key
(generation settings, end tokens, a named template) is recorded with the first responses of a decoding; a difference
later is an error before the first token. Folders of versions that recorded nothing take over what is true when they
are next used. Engine, dtype and chat template, which a folder has one of, are the business of `continued`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from safebasin.errors import ModelError, PromptError, StoreError, expected
from safebasin.landscape.notes import DATE
from safebasin.protocols import Backend, EngineFacts, Inspect, Inspected
from safebasin.records import Decoding, Prompt, System, content_hash
from safebasin.run.manifest import read_manifest
from safebasin.store.db import StudyStore
from safebasin.study import Study
from safebasin.study.answered import Answered
from safebasin.study.plan import Plan

__all__ = [
    "CHAT_TEMPLATE",
    "DATE",
    "changed_setting",
    "check_asked",
    "file_settings",
    "inspect_prompts",
    "inspected",
    "is_asked_alike",
    "recorded",
    "settle_date",
    "share_settings",
]

CHAT_TEMPLATE = "chat template"
_log = logging.getLogger(__name__)
_RULES = ("eos_token_id", "repetition_penalty", "no_repeat_ngram_size", "suppress_tokens", "bad_words_ids")
_NAMED = 5
"""Prompts that a message names."""

Settings = Mapping[str, object]


def settle_date(store: StudyStore, facts: EngineFacts, wanted: str | None = None) -> str | None:
    """The day that a study began, on which all of it is asked; recorded where the template asks for one.

    Args:
        store: of the study.
        facts: of its engine.
        wanted: the day for a study that has none yet, such as that of the audit it belongs to; None is the engine's.

    Returns:
        The day, ISO 8601; None where the template does not ask.
    """
    known = store.meta(DATE)
    if facts.date is None:
        return None
    date = known or wanted or facts.date
    if known is None:
        store.set_meta(DATE, date)
        if store.counts()["responses"]:
            _log.warning(
                "the chat template writes the date, and this folder did not record which: from now on it is %s; "
                "what was asked before may have been asked on another day",
                date,
            )
    return date


def inspect_prompts(backend: Backend, plan: Plan, done: Answered, *, date: str | None) -> None:
    """Look at every prompt that is still to be asked before anything is decoded.

    Raises:
        PromptError: naming those that the template does not pass on or that are too long, and how to go on.
    """
    asked: dict[System, dict[str, Prompt]] = {}
    for task in plan.tasks(done):
        asked.setdefault(task.system, {}).update({prompt.id: prompt for prompt in task.prompts})
    failed: dict[str, str] = {}
    for prompts, looks in inspected(backend, asked, plan.decoding, date=date):
        for prompt, look in zip(prompts.values(), looks, strict=True):
            if look.problem:
                failed.setdefault(prompt.name, look.problem)
    if not failed:
        return
    names, first = list(failed), next(iter(failed.values()))
    said = first if names[0] in first else f"{names[0]}: {first}"
    others = f" So it is with {', '.join(names[1:_NAMED])}{', …' if len(names) > _NAMED else ''}." if names[1:] else ""
    raise PromptError(f"{said}{others} Nothing was decoded.")


def inspected(
    backend: Backend, asked: Mapping[System, Mapping[str, Prompt]], decoding: Decoding, *, date: str | None
) -> Iterator[tuple[Mapping[str, Prompt], tuple[Inspected, ...]]]:
    """The prompts of each system prompt, under whatever names, and how an engine would be given them, in order."""
    tasks = {
        system: Inspect(system=system, prompts=tuple(prompts.values()), decoding=decoding, date=date)
        for system, prompts in asked.items()
    }
    done = {task: cast("tuple[Inspected, ...]", rows) for task, rows in backend.run(tasks.values())}
    for system, prompts in asked.items():
        yield prompts, done[tasks[system]]


# --- settings --------------------------------------------------------------------------------------------------------


def file_settings(study: Study) -> Settings:
    """Read what the files of model and template say of decoding, without loading either; empty where they are not here.

    Raises:
        ModelError: where a `chat_template=@FILE` cannot be read.
    """
    from safebasin.models.reference import folder_of
    from safebasin.prompts.chat import read_template

    found: dict[str, object] = {}
    template = study.template_args.get("chat_template")
    if isinstance(template, str) and template.startswith("@"):
        found[CHAT_TEMPLATE] = content_hash(read_template(template))
    try:
        folder = folder_of(study.model)
    except ModelError:
        return found
    found["generation settings"] = _generation(folder)
    named = folder / "additional_chat_templates" / f"{template}.jinja"
    if isinstance(template, str) and CHAT_TEMPLATE not in found and "{" not in template and named.is_file():
        found[CHAT_TEMPLATE] = content_hash(named.read_text(encoding="utf-8", errors="replace"))
    return found


def _generation(folder: Path) -> dict[str, object]:
    """Settings that decide a greedy response, those without effect left out."""
    merged = {**_json(folder / "config.json"), **_json(folder / "generation_config.json")}
    kept = {key: merged[key] for key in _RULES if merged.get(key) not in (None, 0, 1.0, [], {}) or key == _RULES[0]}
    eos = kept.pop(_RULES[0], None)
    listed = cast("list[object]", eos) if isinstance(eos, list) else [] if eos is None else [eos]
    return {"eos_token_id": sorted(map(str, listed)), **kept}


def _json(path: Path) -> dict[str, object]:
    from safebasin.models.files import read_json

    try:
        return read_json(path, path.parent.name)
    except ModelError:
        return {}


_DESCRIBED = {
    "engine": "engine",
    "dtype": "dtype",
    "end tokens": "eos_ids",
    "end texts": "end_texts",
    "logit rules": "logit_rules",
    "template hash": "template_hash",
}
"""What an engine says of itself → under which key of `EngineFacts.described`."""


def engine_settings(facts: EngineFacts) -> Settings:
    """Read what an engine says of how it decodes."""
    described = facts.described()
    return {name: described[key] for name, key in _DESCRIBED.items() if key in described}


def changed_setting(store: StudyStore, decoding: Decoding, now: Settings) -> str | None:
    """Find what is not as it was when the responses of a decoding were made, in words; None where nothing differs."""
    kept = recorded(store, decoding)
    for name, value in now.items():
        if name in kept and kept[name] != _plain(value):
            return f"{name} {_shown(kept[name])}, now {_shown(value)}"
    return None


def check_asked(store: StudyStore, decoding: Decoding, now: Settings) -> None:
    """Record how the prompts of a decoding are asked, or check that it is still the same.

    Raises:
        StoreError: naming what was and what is.
    """
    alike = _like(store, decoding)
    changed = None if alike is None else changed_setting(store, alike, now)
    if changed is not None:
        remedy = "Choose another folder with -o, or restore what it was."
        raise StoreError(
            expected("settings of this folder", "those that its responses were made with", changed, remedy)
        )
    kept = recorded(store, decoding)
    made = {**kept, **{name: _plain(value) for name, value in now.items()}}
    if made != kept:
        store.set_meta(_key(decoding), json.dumps(made, sort_keys=True))


def is_asked_alike(store: StudyStore, one: Decoding, other: Decoding) -> bool:
    """Tell whether nothing that is recorded of two decodings differs."""
    first, second = recorded(store, one), recorded(store, other)
    return all(first[name] == second[name] for name in first.keys() & second.keys())


def share_settings(store: StudyStore, earlier: Decoding, decoding: Decoding) -> None:
    """Record for a decoding what is recorded of an earlier one, whose responses it takes over."""
    made = {**recorded(store, earlier), **recorded(store, decoding)}
    store.set_meta(_key(decoding), json.dumps(made, sort_keys=True))


def _like(store: StudyStore, decoding: Decoding) -> Decoding | None:
    """The decoding itself, or another of its kind (stop rule and length aside), if a folder holds responses of it."""
    used, kind = store.used_decodings(), replace(decoding.unstopped, max_new_tokens=0)
    if decoding.key in used:
        return decoding
    held = (held for key, held in store.decodings().items() if key in used)
    return next((one for one in held if replace(one.unstopped, max_new_tokens=0) == kind), None)


def recorded(store: StudyStore, decoding: Decoding) -> dict[str, object]:
    """Read what was recorded; of a folder that has no record, the end tokens that its manifest names."""
    text = store.meta(_key(decoding))
    if text is not None:
        return _object(text)
    model = read_manifest(store.path.parent).get("model")
    eos = cast("Mapping[str, object]", model).get("eos_ids") if isinstance(model, Mapping) else None
    return {} if eos is None else {"end tokens": eos}


def _object(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, object]", found) if isinstance(found, dict) else {}


def _key(decoding: Decoding) -> str:
    return f"asked:{decoding.key}"


def _plain(value: object) -> object:
    """A value as it comes back from JSON."""
    return json.loads(json.dumps(value, default=str))


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
