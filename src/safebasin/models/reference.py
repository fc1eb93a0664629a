"""From what a user writes to a checkpoint on disk: `path[@revision][#part][+adapter]` → folder, commit, fingerprint.

A GGUF file (`path.gguf`, `folder+file.gguf`) becomes the folder of its plain weights (`gguf`), the language tower of a
model that reads images too (`path#language`) a folder of its own (`tower`).

Imports no torch. What the folder holds is checked in `folder`; loading it is the business of `loading`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safebasin import catalog
from safebasin.errors import ModelError, UnseenModel, expected
from safebasin.models import gguf, tower
from safebasin.models.files import check_entries, read_json
from safebasin.models.folder import check_folder, fingerprint, full_hash
from safebasin.models.headers import read_header
from safebasin.models.whole import check_empty
from safebasin.records import ModelRef
from safebasin.untrusted import user_path

__all__ = [
    "ResolvedModel",
    "adapter_notes",
    "fingerprint",
    "folder_of",
    "full_hash",
    "locate",
    "locate_adapter",
    "resolve",
]

_HUB_PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py"]
_HUB_IGNORED = ["original/*", "consolidated*"]
"""A second copy of the weights, in the vendor's own layout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedModel:
    """A model that is there: where, and which one exactly."""

    ref: ModelRef
    folder: Path
    commit: str | None
    """Commit of a hub repository; None for a folder or a world."""
    fingerprint: str
    """`folder.fingerprint` of the checkpoint, and of the adapter if there is one."""
    adapter: Path | None = None
    whole: Path | None = None
    """Folder of the model that reads images, of which `folder` holds the language tower; else None."""
    notes: tuple[str, ...] = ()
    """What the user should know, such as an adapter that says it was trained on another model."""

    @property
    def is_world(self) -> bool:
        """True where it belongs to an embedded world."""
        return self.ref.path.startswith("world:")


def resolve(model: str | ModelRef, *, needs_tokenizer: bool = True) -> ResolvedModel:
    """Find a model and fingerprint it.

    Args:
        model: as the user wrote it.
        needs_tokenizer: whether a folder without a tokenizer is incomplete; checkpoints amid training often have none.

    Raises:
        ModelError: where it is missing, incomplete, not readable, or not a causal language model.
        UnknownName: where it names a world or a checkpoint that does not exist.
    """
    ref = _parse(model)
    folder, commit, identity, whole = _found(ref)
    check_folder(folder, str(ref), needs_tokenizer=needs_tokenizer)
    adapter = locate_adapter(ref.adapter) if ref.adapter else None
    return ResolvedModel(
        ref=ref,
        folder=folder,
        commit=commit,
        fingerprint=fingerprint(folder, adapter) if identity is None else _fingerprint_of(identity, adapter),
        adapter=adapter,
        whole=whole,
        notes=adapter_notes(ref, adapter) if adapter else (),
    )


def _found(ref: ModelRef) -> tuple[Path, str | None, str | None, Path | None]:
    """Folder and commit of a reference; of a folder that is made of a model, which it is by what it was made of, and of
    a language tower the folder of the whole.

    Another release of transformers may write such a folder otherwise: it is the same model.
    """
    if ref.part not in (None, tower.LANGUAGE):
        remedy = "A folder with # in its name is written with a final '/'."
        raise ModelError(expected("the part of a model behind #", tower.LANGUAGE, ref.part, remedy))
    file = _gguf(ref)
    if file is not None:
        return gguf.plain_folder(file), None, gguf.identity(file), None
    folder, commit = locate(ref)
    if ref.part is None:
        return folder, commit, None, None
    check_folder(folder, str(ref))
    return tower.tower_folder(folder, str(ref)), commit, tower.identity(folder), folder


def _parse(model: str | ModelRef) -> ModelRef:
    if isinstance(model, ModelRef):
        return model
    is_there = model != "" and (Path(model).is_dir() or (_is_gguf(model) and Path(model).is_file()))
    return ModelRef(path=model) if is_there else ModelRef.parse(model)


def _is_gguf(path: str) -> bool:
    return path.lower().endswith(".gguf") and not user_path(path).is_dir()


def _gguf(ref: ModelRef) -> Path | None:
    """The GGUF file of a reference, of the hub too; None where it names none."""
    if not _is_gguf(ref.path):
        return None
    path, is_local = user_path(ref.path), ref.path.startswith((".", "/", "~"))
    repository, _, name = ref.path.rpartition("/")
    if not is_local and not path.exists() and repository.count("/") == 1:
        return _from_hub(repository, ref.revision, patterns=[name])[0] / name
    if not path.exists() or ref.revision:
        remedy = "Check the path; only files of the hub have a revision, org/name@REVISION+FILE.gguf."
        raise ModelError(expected("model", "an existing GGUF file", str(ref), remedy))
    return path


def _fingerprint_of(identity: str, adapter: Path | None) -> str:
    return identity if adapter is None else hashlib.sha256(f"{identity}\0{fingerprint(adapter)}".encode()).hexdigest()


def folder_of(model: str) -> Path:
    """The folder of a model, without looking into it; of a GGUF file or a language tower, the one that is made of it.

    Raises:
        ModelError, UnknownName: as `locate`.
    """
    return _found(_parse(model))[0]


def locate(ref: ModelRef) -> tuple[Path, str | None]:
    """Folder and commit of a reference: a world's checkpoint, a folder, or a hub repository in the cache.

    Raises:
        ModelError: where it is not there.
        UnknownName: where it names a world that does not exist.
    """
    is_world, path = ref.path.startswith("world:"), user_path(ref.path)
    is_folder = not is_world and ref.path != "" and path.is_dir()
    if ref.revision and (is_world or is_folder):
        remedy = "Only hub repositories have revisions; remove '@…', or end a folder's name with '/'."
        raise ModelError(expected("revision", "left out for a folder or a world", str(ref), remedy))
    if is_world:
        world, _, name = ref.path.removeprefix("world:").partition("/")
        return catalog.world(world).checkpoint(name), None
    if is_folder:
        return path, None
    if ref.path.startswith((".", "/", "~")) or ref.path.count("/") != 1 or path.exists():
        what = "a file" if path.is_file() else "nothing there"
        remedy = "Check the path; a hub id has the form org/name."
        raise ModelError(expected("model", f"an existing folder or GGUF file ({what})", str(ref), remedy))
    return _from_hub(ref.path, ref.revision)


def _from_hub(
    repository: str, revision: str | None, patterns: Sequence[str] = _HUB_PATTERNS
) -> tuple[Path, str | None]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "on", "yes")
    try:
        found = snapshot_download(
            repository,
            revision=revision,
            allow_patterns=list(patterns),
            ignore_patterns=_HUB_IGNORED,
            local_files_only=offline,
        )
    except GatedRepoError as error:
        remedy = "Accept its licence on the hub and set HF_TOKEN."
        raise UnseenModel(expected("model", "a repository you have access to", repository, remedy)) from error
    except RevisionNotFoundError as error:
        remedy = "Check the branch, tag or commit after '@'."
        raise ModelError(expected("revision", f"one that {repository} has", revision, remedy)) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        remedy = "Check the name; a private repository needs HF_TOKEN."
        raise ModelError(expected("model", "a folder or an existing hub repository", repository, remedy)) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        why = "HF_HUB_OFFLINE is set" if offline else "the hub cannot be reached"
        at = f" --revision {revision}" if revision else ""
        remedy = f"Download it first (hf download {repository}{at}), or pass a folder; {why}."
        shown = f"{repository}@{revision}" if revision else repository
        raise UnseenModel(expected("model", "in the local cache", shown, remedy)) from error
    folder = Path(found)
    return folder, folder.name


def locate_adapter(text: str) -> Path:
    """Folder of a PEFT adapter: a folder, or a hub repository (`org/name[@revision]`) in the cache.

    Raises:
        ModelError: where there is no `adapter_config.json` with safetensors weights.
    """
    ref, path = _parse(text), user_path(text)
    is_hub_id = not path.is_dir() and ref.path.count("/") == 1 and not ref.path.startswith((".", "/", "~"))
    folder = _from_hub(ref.path, ref.revision)[0] if is_hub_id else path
    if not (folder / "adapter_config.json").is_file():
        raise ModelError(expected("adapter", "a folder with adapter_config.json", text, "Save it with PEFT."))
    if not (folder / "adapter_model.safetensors").is_file():
        remedy = "Save it again with safetensors; pickles are not loaded."
        raise ModelError(expected("adapter", "saved as adapter_model.safetensors", text, remedy))
    check_entries(folder, text)
    check_empty(read_header(folder / "adapter_model.safetensors")[1], "adapter", text)
    return folder


def adapter_notes(model: str | ModelRef, adapter: Path) -> tuple[str, ...]:
    """Say whether an adapter tells that it was trained on another model, as a sentence; none where it does not.

    By name only, and no error: an adapter is often moved on purpose, say from a base model to its chat version.
    """
    ref = _parse(model)
    trained_on = str(read_json(adapter / "adapter_config.json", adapter.name).get("base_model_name_or_path") or "")
    if not trained_on or Path(trained_on).name == Path(ref.path).name:
        return ()
    return (f"adapter {ref.adapter or adapter} says it was trained on {trained_on}, not on {ref.path}",)
