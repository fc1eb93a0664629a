"""Whether a folder can be continued by what runs now: found before the first token, with both sides named.

A folder belongs to one model (`execute.bind_model`), one engine, one dtype and one chat template, and transformers has
to render its prompts as it did. A library of another version that still does so is a caveat, recorded and shown. What
else is recorded of how a decoding was asked is the business of `prompt_settings`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from safebasin.errors import PromptError, StoreError, expected
from safebasin.landscape.notes import VERSIONS, version_words
from safebasin.protocols import Backend, EngineFacts
from safebasin.records import Decoding, Prompt, System, content_hash
from safebasin.run.manifest import read_manifest
from safebasin.run.prompt_settings import CHAT_TEMPLATE, inspected, recorded
from safebasin.store.connection import parsed
from safebasin.store.db import StudyStore
from safebasin.store.folder import DATABASE
from safebasin.store.renaming import rename_decoding
from safebasin.study.plan import Plan

__all__ = [
    "check_renderings",
    "refuse",
    "settled_dtype",
    "take_up",
    "unlike",
]

_log = logging.getLogger(__name__)
_LIBRARIES = ("transformers", "tokenizers", "torch")
_PROBES = 4
"""Prompts of each system prompt whose rendering is remembered."""

Versions = Mapping[str, str]


# --- one engine, one dtype, one chat template ------------------------------------------------------------------------


def settled_dtype(*folders: Path) -> str | None:
    """The dtype of the first of these folders that holds responses; None where none does.

    What `auto` means is settled once: by the device, and by the memory that was free when the first response was made.

    Args:
        *folders: of studies; they need not be there yet.

    Raises:
        StoreError: where a database cannot be read.
    """
    for folder in folders:
        if not (folder / DATABASE).is_file():
            continue
        with StudyStore.open(folder) as store:
            used = store.used_decodings()
            held = {key: decoding.dtype for key, decoding in store.decodings().items() if key in used}
            found = [_dtype_of(store, key) if dtype == "auto" else dtype for key, dtype in held.items()]
        if told := next(filter(None, found), None):
            return told
    return None


def take_up(store: StudyStore, now: Decoding) -> None:
    """Give responses of earlier releases the keys that they have today, where only more than the database tells.

    The dtype that an `auto` meant stands in the manifest; the text of a template file is known by its recorded hash,
    if the file still holds it.

    Args:
        store: of the study.
        now: how the study decodes, with the text of its template.
    """
    for key, held in store.decodings().items():
        made = replace(held, dtype=_dtype_of(store, key) or held.dtype) if held.dtype == "auto" else held
        if (held.chat_template or "").startswith("@") and now.chat_template is not None:
            text = now.chat_template
            if recorded(store, held).get(CHAT_TEMPLATE) == content_hash(text):
                arguments = {**dict(held.template_args), "chat_template": text}
                made = replace(made, template_args=tuple(sorted(arguments.items())))
        if made != held:
            with store.transaction() as db:
                rename_decoding(db, key, made)


def _dtype_of(store: StudyStore, key: str) -> str | None:
    """The dtype that the manifest names, if it is the manifest of this decoding."""
    found = read_manifest(store.path.parent)
    model, settings = found.get("model"), found.get("decoding")
    if not isinstance(model, Mapping) or not isinstance(settings, Mapping):
        return None
    dtype = cast("Mapping[str, object]", model).get("dtype")
    known = {k: v for k, v in cast("Mapping[str, object]", settings).items() if k != "rules" or v}
    return str(dtype) if dtype and content_hash(known) == key else None


def unlike(store: StudyStore, decoding: Decoding, *, templates: bool = False) -> dict[str, tuple[str, str]]:
    """Find what is not as it was when a folder's responses were decoded: name → (then, now); empty where nothing is.

    Args:
        store: of the study.
        decoding: how it would be continued.
        templates: whether the folder may hold responses under several chat templates, as that of an audit.
    """
    used = store.used_decodings()
    now = _parts(decoding, templates=templates)
    found: list[dict[str, tuple[str, str]]] = []
    for held in (held for key, held in store.decodings().items() if key in used):
        then = _parts(held, templates=templates)
        found.append({name: (then[name], now[name]) for name in now if then[name] != now[name]})
    return min(found, key=len, default={})


def _parts(decoding: Decoding, *, templates: bool) -> dict[str, str]:
    parts = {"engine": decoding.engine, "dtype": decoding.dtype}
    return parts if templates else {**parts, CHAT_TEMPLATE: _template_words(decoding.chat_template)}


def _template_words(template: str | None) -> str:
    if template is None:
        return "of the model itself"
    return f"with content hash {content_hash(template)}" if "{" in template else template


def refuse(differing: Mapping[str, tuple[str, str]]) -> StoreError:
    """The error of a folder that cannot be continued, naming what was and what is."""
    words = ", ".join(f"{name} {then}, now {now}" for name, (then, now) in differing.items())
    then, _ = differing.get("dtype", ("", ""))
    if then == "auto":
        constraint, remedy = (
            "recorded with the dtype that its responses were decoded in",
            "Restore its manifest.json, or",
        )
    else:
        constraint = "continued with what its responses were decoded with"
        remedy = f"Ask for --dtype {then}, or" if then else "Restore what it was, or"
    return StoreError(expected("study folder", constraint, words, f"{remedy} choose another folder with -o."))


# --- renderings and versions -----------------------------------------------------------------------------------------


def check_renderings(store: StudyStore, backend: Backend, plan: Plan, facts: EngineFacts) -> None:
    """Check that prompts are rendered to the tokens that they were, and remember some of those that are new.

    A library whose version changed and that renders alike is recorded, and warned of once.

    Args:
        store: of the study.
        backend: renders.
        plan: what is asked.
        facts: of its engine, with the day of the study.

    Raises:
        StoreError: naming the prompt, and the versions where they differ.
    """
    now = _versions(facts.described())
    known = _known_versions(store)
    key = f"rendered:{content_hash([list(pair) for pair in plan.decoding.template_args])}"
    kept = _read(store, key)
    found = _rendered(backend, plan.decoding, _probes(store, plan, kept), facts.date)
    for pair, (prompt, tokens) in found.items():
        if kept.get(pair, tokens) != tokens:
            raise _rendered_otherwise(prompt, known, now)
    if fresh := {pair: tokens for pair, (_, tokens) in found.items() if pair not in kept}:
        store.set_meta(key, json.dumps({**kept, **fresh}, sort_keys=True))
    is_new = bool(now) and not any(_agree(one, now) for one in known)
    if is_new and known:
        _log.warning("%s", version_words([*known, now]))
    if is_new or store.meta(VERSIONS) is None:
        store.set_meta(VERSIONS, json.dumps([*known, now] if is_new else known))


def _rendered(
    backend: Backend, decoding: Decoding, probes: Mapping[str, tuple[System, Prompt]], date: str | None
) -> dict[str, tuple[Prompt, str]]:
    """Each probe's prompt, and a hash of the tokens that it becomes; those that an engine does not tell left out."""
    asked: dict[System, dict[str, Prompt]] = {}
    for pair, (system, prompt) in probes.items():
        asked.setdefault(system, {})[pair] = prompt
    found: dict[str, tuple[Prompt, str]] = {}
    for pairs, looks in inspected(backend, asked, decoding, date=date):
        for pair, prompt, look in zip(pairs, pairs.values(), looks, strict=True):
            if look.problem:
                raise PromptError(look.problem)
            if look.tokens:
                found[pair] = (prompt, look.tokens)
    return found


def _probes(store: StudyStore, plan: Plan, kept: Mapping[str, str]) -> dict[str, tuple[System, Prompt]]:
    """What was remembered, and the first prompts of each system prompt, as `SYSTEM PROMPT` → both; none whose image is
    not at hand.
    """
    systems = {**store.systems(), **{s.id: s for s in plan.systems}}
    prompts = {**store.prompts(), **plan.prompts}
    first = [f"{system.id} {prompt}" for system in plan.systems for prompt in list(plan.prompts)[:_PROBES]]
    named = {pair: pair.partition(" ") for pair in (*kept, *first)}
    return {
        pair: (systems[system], prompts[prompt])
        for pair, (system, _, prompt) in named.items()
        if system in systems and prompt in prompts and all(image.path for image in prompts[prompt].images)
    }


def _rendered_otherwise(prompt: Prompt, known: Sequence[Versions], now: Versions) -> StoreError:
    changed = [f"{name} {known[-1][name]}, now {now[name]}" for name in now if known and _differ(known[-1], now, name)]
    got = f"other tokens ({'; '.join(changed)})" if changed else "other tokens, under the same versions of libraries"
    then = f"Install what it was decoded under ({changed[0].partition(',')[0]})" if changed else "Restore its tokenizer"
    constraint = "rendered as it was when the responses of this folder were decoded"
    return StoreError(expected(prompt.name, constraint, got, f"{then}, or choose another folder with -o."))


def _versions(described: Mapping[str, object]) -> dict[str, str]:
    return {name: str(described[name]) for name in _LIBRARIES if described.get(name)}


def _known_versions(store: StudyStore) -> list[Versions]:
    """Those recorded; of a folder that recorded none, those of its manifest if it holds responses."""
    text = store.meta(VERSIONS)
    with parsed(store.path):
        if text is not None:
            return [dict(one) for one in json.loads(text)]
    model = read_manifest(store.path.parent).get("model")
    found = _versions(cast("Mapping[str, object]", model)) if isinstance(model, Mapping) else {}
    return [found] if found and store.used_decodings() else []


def _agree(one: Versions, other: Versions) -> bool:
    return not any(_differ(one, other, name) for name in one)


def _differ(one: Versions, other: Versions, name: str) -> bool:
    return name in one and name in other and one[name] != other[name]


def _read(store: StudyStore, key: str) -> dict[str, str]:
    text = store.meta(key)
    with parsed(store.path):
        return {} if text is None else {str(pair): str(tokens) for pair, tokens in json.loads(text).items()}
