"""Where prompts come from: a world, a file, a public set of the catalogue, or a hub id, each with an optional slice.

    world:guild/harmful@val[:80]    prompts.csv[10:20]    advbench[:80]    org/name    hub:org/name:config@split

A hub id takes a commit of 40 digits, alone or behind the split: `hub:org/name@train@COMMIT`.

After a file, `#COLUMN` names the column to read: `pair.json` holds the jailbreaks, `pair.json#goal` the plain requests
of the same rows, under the same behavior ids.

No prompt of a public set ships with safebasin; sets are fetched by id, with revision and licence in the catalogue. A
name with a dot, like a file's, is a hub id only with `hub:` before it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from safebasin import catalog
from safebasin.errors import PromptError, expected
from safebasin.prompts.files import read_file
from safebasin.prompts.labels import Label, labelled
from safebasin.protocols import PromptSource
from safebasin.records import Message, Prompt

_SLICE = re.compile(r"^(?P<source>.*?)(?:\[(?P<slice>[^\[\]]*)\])?$", re.DOTALL)
_HUB = re.compile(
    r"(?:hub:)?(?P<repository>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[^@/:]+))?"
    r"(?:@(?P<split>(?![0-9a-f]{40}$)[^@/:]+))?(?:@(?P<revision>[0-9a-f]{40}))?$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubId:
    """A data set of the hub as it is named."""

    repository: str
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    """A commit."""

    def __str__(self) -> str:
        config = "" if self.config is None else f":{self.config}"
        return f"hub:{self.repository}{config}" + "".join(f"@{part}" for part in (self.split, self.revision) if part)


def hub_id(source: str) -> HubId | None:
    """Read a source as a hub id; None where it is something else: a name with a dot, or one that is a file's.

    Raises:
        PromptError: where a commit in it is cut short.
    """
    path = os.path.expanduser(source)
    is_prefixed = source.startswith("hub:")
    if not is_prefixed and (Path(path).suffix or os.path.exists(path) or source.startswith((".", "/", "~"))):
        return None
    match = _HUB.match(source)
    if match is None or not (is_prefixed or "/" in match["repository"]):
        return None
    if re.fullmatch(r"[0-9a-f]{7,39}", match["split"] or ""):
        raise PromptError(expected("revision", "a commit of 40 digits", match["split"], "Write it out."))
    return HubId(**match.groupdict())


def load_prompts(source: str, *, limit: int | None = None, label: Label | None = None) -> tuple[Prompt, ...]:
    """The prompts of a source, in its order.

    Args:
        source: as in the module's docstring.
        limit: at most this many, from the start; None takes all.
        label: what they shall be; those that the set labels otherwise are left out before the limit (`labels`).

    Raises:
        PromptError: where the source is missing, empty, not readable, or slice or limit take nothing.
    """
    if limit is not None and limit < 1:
        raise PromptError(expected("limit of prompts", "at least 1", limit, "Leave it out to take all."))
    name, cut = split_slice(source)
    prompts = _load(name)
    if cut is not None:
        prompts = prompts[slice_of(cut, source, len(prompts))]
    if label is not None:
        prompts = labelled(prompts, label, source)
    once: dict[str, Prompt] = {}
    for prompt in prompts if limit is None else prompts[:limit]:
        once.setdefault(prompt.id, prompt)
    return tuple(once.values())


def placeholders(source: str, *, limit: int | None = None, label: Label | None = None) -> tuple[Prompt, ...]:
    """As many stand-ins as a public set is published to hold, so that a study can be planned without fetching it.

    Args:
        source: name of a public set, with an optional slice.
        limit: as `load_prompts`.
        label: as `load_prompts`; of a set that says how many it labels so, as many.

    Raises:
        PromptError: where the source is no set of a known size.
    """
    name, cut = split_slice(source)
    size = int(facts(source).get("n") or 0)
    if not size:
        raise PromptError(expected("prompts", "a public set of a known size", source, "See: safebasin list prompts."))
    made = [_placeholder(name, number) for number in range(size)]
    chosen = made if cut is None else made[slice_of(cut, source, size)]
    said = facts(source)
    known = said.get(f"n {label}")
    if label is not None and known is None and any(f"n {other}" in said for other in ("harmful", "benign")):
        raise PromptError(expected(f"{label} prompts", "in the source", source, "Give another set."))
    return tuple(chosen[: None if known is None else int(known)][:limit])


def facts(source: str) -> dict[str, str]:
    """Look up what the catalogue says of a public set (revision, licence, citation and more); empty for any other
    source.
    """
    name, _ = split_slice(source)
    return next((dict(row.facts) for row in catalog.of_kind("prompts") if row.name == name), {})


def split_slice(source: str) -> tuple[str, str | None]:
    """A source without its slice, and the slice."""
    match = _SLICE.match(source)
    return (match["source"], match["slice"]) if match else (source, None)


def _placeholder(name: str, number: int) -> Prompt:
    return Prompt(messages=(Message(role="user", content=f"prompt {number} of {name}, not fetched"),), source=name)


def _load(source: str) -> tuple[Prompt, ...]:
    if source.startswith("world:"):
        world, _, rest = source.removeprefix("world:").partition("/")
        name, _, split = rest.partition("@")
        return catalog.world(world).load_prompts(name, split or "test")
    path = os.path.expanduser(source)
    sets = {row.name: row for row in catalog.of_kind("prompts")}
    if source in sets and not os.path.isfile(path):
        found = sets[source].resolve()
        return cast("PromptSource", found() if isinstance(found, type) else found).load()
    if hub := hub_id(source):
        from safebasin.prompts.hub import load_hub

        return load_hub(hub.repository, config=hub.config, split=hub.split, revision=hub.revision)
    if Path(path).suffix or os.path.exists(path) or source.startswith((".", "/", "~")):
        whole, sharp, column = path.rpartition("#")
        with_column = bool(sharp and column) and not os.path.isfile(path)
        return read_file(Path(whole), column=column) if with_column else read_file(Path(path))
    raise PromptError(catalog.unknown("prompts", source, sets, "safebasin list prompts"))


def slice_of(text: str, source: str, size: int) -> slice:
    """Read the slice of a source that holds so many.

    Raises:
        PromptError: where it is none, takes nothing, or names more than are there.
    """
    parts = text.split(":")
    remedy = "Write it like [:80], [10:20] or [::2]."
    try:
        numbers = [int(p) if p.strip() else None for p in parts]
    except ValueError:
        numbers = []
    if not 2 <= len(numbers) <= 3 or (len(numbers) == 3 and numbers[2] == 0):
        raise PromptError(expected("slice of prompts", "START:STOP or START:STOP:STEP", source, remedy))
    chosen = slice(*numbers)
    if not range(size)[chosen]:
        raise PromptError(expected("slice of prompts", f"one that takes some of the {size} prompts", source, remedy))
    stop = numbers[1]
    if stop is not None and stop > size:
        constraint = f"within the {size} prompts that are there"
        raise PromptError(expected("slice of prompts", constraint, source, f"The last one it may name is [:{size}]."))
    return chosen
