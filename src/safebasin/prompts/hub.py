"""Data sets of a hub, through the package `datasets` (extra `hub`), and prompts of them. Offline, only what is cached.

Public sets are attributes of this module under their catalogue names, so that a row of the catalogue can point to them.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from safebasin.catalog.sets import PUBLIC_SETS, PublicSet
from safebasin.errors import MissingExtra, PromptError, expected
from safebasin.prompts.files import from_rows
from safebasin.records import Prompt
from safebasin.untrusted import border, read_text

COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubSource:
    """A public set of the catalogue, as a `protocols.PromptSource`."""

    public: PublicSet

    def load(self) -> tuple[Prompt, ...]:
        """Its prompts, in the published order, repeats included.

        Raises:
            MissingExtra: where `datasets` is not installed.
            PromptError: where the set cannot be fetched, its columns are not the ones known, or it holds another number
                of prompts than published.
        """
        it = self.public
        if it.files:
            found = from_rows(_headerless(it), it.name, repeats=True)
        else:
            found = load_hub(it.hub, name=it.name, config=it.config, split=it.split, revision=it.revision)
        if len(found) != it.n:
            constraint = f"the {it.n} that are published (at revision {it.revision[:7]})"
            remedy = "Empty the cache of the hub and fetch it again, or pass a local file."
            raise PromptError(expected(f"prompts {it.name!r}", constraint, len(found), remedy))
        return tuple(prompt if prompt.label else replace(prompt, label=it.label) for prompt in found)


def __getattr__(name: str) -> HubSource:
    """The public set of that name (PEP 562)."""
    for public in PUBLIC_SETS:
        if public.name == name:
            return HubSource(public)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_hub(
    repository: str,
    *,
    name: str | None = None,
    config: str | None = None,
    split: str | None = None,
    revision: str | None = None,
) -> tuple[Prompt, ...]:
    """The prompts of a dataset repository, repeats included: nobody here can mend them.

    Args:
        repository: as of `fetch`, with what follows.
        name: how messages call it; the repository if None.
        config: configuration of the dataset.
        split: the split.
        revision: commit.

    Raises:
        MissingExtra, PromptError: as `fetch`.
    """
    called = name or repository
    found = fetch(repository, what=f"prompts {called}", config=config, split=split, revision=revision)
    return from_rows(found.rows, called, repeats=True)


@dataclass(frozen=True, slots=True)
class HubTable:
    """A data set as it was fetched."""

    rows: list[dict[str, object]]
    """Column → cell, in order."""
    revision: str | None
    """The commit that it is of; None where the cache does not say."""


def fetch(
    repository: str,
    *,
    what: str,
    config: str | None = None,
    split: str | None = None,
    revision: str | None = None,
) -> HubTable:
    """The rows of a dataset repository, from the hub or from the cache of `datasets`.

    Args:
        repository: `org/name`.
        what: what it is, for messages.
        config: configuration of the dataset.
        split: the split; where None, the only one there is.
        revision: commit. Without network `datasets` takes whichever it has; another than this one is refused.

    Raises:
        MissingExtra: where `datasets` is not installed.
        PromptError: where it cannot be fetched, is of another revision, or has several splits to choose from.
    """
    try:
        import datasets
        from datasets.exceptions import DatasetsError
    except ImportError as error:
        raise MissingExtra(what, "datasets", "hub") from error
    datasets.disable_progress_bars()
    with _explained(what):
        try:
            loaded: Any = datasets.load_dataset(repository, config, split=split, revision=revision)
        except DatasetsError as error:
            raise ValueError(str(error)) from error
    if isinstance(loaded, Mapping):
        splits = cast("Mapping[str, Any]", loaded)
        if len(splits) != 1:
            remedy = f"Choose one, like {repository}@{min(splits, default='train')}."
            raise PromptError(expected(what, "a data set with a single split", sorted(splits), remedy))
        loaded = next(iter(splits.values()))
    found = _revision(loaded)
    if revision is not None and found not in (None, revision):
        remedy = "The latter is in the cache: fetch the other while the hub can be reached."
        raise PromptError(expected(what, f"at revision {revision}", found, remedy))
    return HubTable(cast("list[dict[str, object]]", loaded.to_list()), found or revision)


def _revision(loaded: Any) -> str | None:
    """The commit of a data set, after which `datasets` names the folder that it caches it in."""
    folders = {Path(file["filename"]).parent.name for file in loaded.cache_files}
    return next(iter(folders)) if len(folders) == 1 and all(map(COMMIT.fullmatch, folders)) else None


def licence_of(repository: str, revision: str | None) -> str | None:
    """Read the licence of a data set from its card; None where it states none, or cannot be read from here."""
    from huggingface_hub import hf_hub_download, metadata_load

    try:
        with _explained(repository), border("the card", "one that can be read", PromptError):
            card = hf_hub_download(repository, "README.md", repo_type="dataset", revision=revision)
            named = (metadata_load(card) or {}).get("license")
    except PromptError:
        return None
    return ", ".join(map(str, named)) if isinstance(named, list) else None if named is None else str(named)


def _headerless(public: PublicSet) -> Iterator[dict[str, object]]:
    """Rows of a set that is published as files of one column without a header, a file a category."""
    from huggingface_hub import hf_hub_download

    for file, category in public.files:
        with _explained(f"prompts {public.name}"):
            path = hf_hub_download(public.hub, file, repo_type="dataset", revision=public.revision)
        what = f"{file} of {public.name}"
        text = read_text(Path(path), what, error=PromptError)
        with border(what, "a table", PromptError, "Empty the cache of the hub and fetch it again."):
            rows = list(csv.reader(io.StringIO(text, newline="")))
        for cells in rows:
            if cells:
                yield {"prompt": ",".join(cells), "category": category}  # a comma without quotes cuts a prompt in two


@contextmanager
def _explained(what: str) -> Generator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        remedy = "Check name, network and HF_TOKEN (gated sets need it), or pass a local file."
        if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
            remedy = "HF_HUB_OFFLINE is set: fetch it once without that, or pass a local file."
        why = " ".join(str(error).split())[:160] or type(error).__name__
        raise PromptError(expected(what, "a dataset that can be fetched", why, remedy)) from error
