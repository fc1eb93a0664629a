"""What decides a response beside the weights, and where TUNED would be served otherwise than BASE. Reads no weights.

A model that is asked on the line from BASE is asked under BASE's own files: its end tokens, its rules of generation,
its tokenizer, its configuration, its dtype. That is the tuned model as it would be served only where all of these are
the same; where they are not, each difference is named here, and TUNED is asked from its own folder. An adapter's folder
may ship such files too: they stand in the place of BASE's, as trainers write them and servers read them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from safebasin.errors import ModelError
from safebasin.models.files import read_bytes, read_json
from safebasin.models.loading import load_config

__all__ = ["Serving", "differences", "read_serving", "stand_in"]

RULES = ("repetition_penalty", "no_repeat_ngram_size", "suppress_tokens", "bad_words_ids")
"""Of `generation_config.json`: those that greedy decoding follows (`engines.decoding.greedy_config`)."""
OWN_FILES = ("generation_config.json", "chat_template.jinja", "tokenizer.json", "tokenizer_config.json",
             "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt")  # fmt: skip
"""What an adapter's folder may ship beside its weights."""
_READING = ("normalizer", "pre_tokenizer", "decoder")
_NO_MATTER = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache", "architectures",
              "eos_token_id", "bos_token_id", "pad_token_id", "auto_map", "quantization_config")  # fmt: skip
"""Keys of `config.json` that change no logit; dtype and end tokens are compared by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The settings of one model that decide what it answers."""

    template: str
    """The chat template; empty where there is none."""
    ends: tuple[object, ...]
    """Ids and token that end a response."""
    rules: Mapping[str, object]
    """Rules of generation that are not their defaults."""
    reading: object
    """How the tokenizer reads and writes, and which tokens it leaves out of a text."""
    config: Mapping[str, object]
    dtype: str


def read_serving(folder: Path, adapter: Path | None = None) -> Serving:
    """Read what a folder would be served with; of an adapter, its own files before those of the base.

    Args:
        folder: of the checkpoint.
        adapter: folder of an adapter on it.
    """

    def read(name: str) -> dict[str, Any]:
        own = {} if adapter is None else _json(adapter / name)
        return own or _json(folder / name)

    generation, config, tokenizer = (
        read("generation_config.json"),
        _json(folder / "config.json"),
        read("tokenizer.json"),
    )
    ids = generation.get("eos_token_id", config.get("eos_token_id"))
    token = read("tokenizer_config.json").get("eos_token")
    return Serving(
        template=(adapter is not None and template(adapter)) or template(folder),
        ends=(*sorted(ids if isinstance(ids, list) else [] if ids is None else [ids], key=str), _content(token)),
        rules={key: generation[key] for key in RULES if generation.get(key) not in (None, 1.0, 0, [])},
        reading=[[tokenizer.get(key) for key in _READING], _special(tokenizer)],
        config=_configuration(folder, config),
        dtype=str(config.get("dtype") or config.get("torch_dtype") or ""),
    )


def differences(base: Serving, tuned: Serving, *, dtype: str = "auto") -> tuple[str, ...]:
    """List what else than the template differs and decides a response, as phrases about TUNED; none where nothing does.

    Args:
        base: of BASE.
        tuned: of TUNED.
        dtype: that both are loaded in; only for `auto` their own ones matter.
    """
    found: list[str] = []
    if base.ends != tuned.ends:
        found.append(f"ends its turns at {_ends(tuned)} (BASE at {_ends(base)})")
    if base.rules != tuned.rules:
        found.append(f"has other generation rules ({_rules(tuned)}; BASE {_rules(base)})")
    if base.reading != tuned.reading:
        found.append("has other tokenizer settings")
    keys = sorted(k for k in {*base.config, *tuned.config} if base.config.get(k) != tuned.config.get(k))
    if keys:
        found.append(f"has another configuration ({', '.join(keys[:4])}{', …' if len(keys) > 4 else ''})")
    if dtype == "auto" and base.dtype != tuned.dtype:
        found.append(f"is stored as {tuned.dtype or 'an unnamed dtype'} (BASE as {base.dtype or 'an unnamed dtype'})")
    return tuple(found)


def stand_in(base: Path, adapter: Path, out: Path) -> None:
    """A folder of links: BASE's weights beside the files that the adapter ships, which is what would be served.

    Args:
        base: folder of BASE.
        adapter: of the adapter.
        out: made anew; it holds links, or copies where the file system has none.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    files = {file.name: file for file in base.iterdir() if file.is_file()}
    own = {name: adapter / name for name in OWN_FILES if (adapter / name).is_file()}
    if template(adapter):
        files.pop("chat_template.jinja", None)  # it would win over the one in the adapter's tokenizer_config.json
    for name, file in {**files, **own}.items():
        try:
            (out / name).symlink_to(os.path.realpath(file))
        except OSError:
            shutil.copy(file, out / name)


def template(folder: Path) -> str:
    """The chat template that a folder ships, the default one of several; empty where there is none.

    Raises:
        ModelError: where its file cannot be read, or is larger than any template.
    """
    file = folder / "chat_template.jinja"
    if file.is_file():
        return read_bytes(file).decode("utf-8", errors="replace").strip()
    found = _json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(found, list):
        named = [cast("Mapping[str, object]", row) for row in found if isinstance(row, Mapping)]
        found = next((row.get("template") for row in named if row.get("name") == "default"), "")
    return str(found or "").strip()


def _json(path: Path) -> dict[str, Any]:
    """What a settings file of a folder holds; empty where there is none.

    Raises:
        ModelError: where it cannot be read: settings that are not seen would pass for settings that are the same.
    """
    return dict(read_json(path, str(path.parent))) if path.is_file() else {}


def _content(token: object) -> object:
    """A special token as its text; older files write it as a mapping."""
    return token.get("content") if isinstance(token, dict) else token


def _special(tokenizer: Mapping[str, Any]) -> list[str]:
    added = tokenizer.get("added_tokens")
    rows = [row for row in added if isinstance(row, dict)] if isinstance(added, list) else []
    return sorted(str(row.get("content")) for row in rows if row.get("special"))


def _configuration(folder: Path, raw: Mapping[str, Any]) -> Mapping[str, object]:
    """The configuration with its defaults spelled out, where transformers knows the architecture; else as it stands."""
    try:
        found = load_config(folder).to_dict()
    except ModelError:  # its code comes with the model, or it cannot be loaded at all, which loading it says
        found = dict(raw)
    return {key: value for key, value in found.items() if key not in _NO_MATTER}


def _ends(serving: Serving) -> str:
    *ids, token = serving.ends
    return " or ".join([*([repr(token)] if token else []), *(f"id {i}" for i in ids)]) or "no token"


def _rules(serving: Serving) -> str:
    return ", ".join(serving.rules) or "none"
