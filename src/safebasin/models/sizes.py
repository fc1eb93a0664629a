"""How large a model is, from its files' headers or its configuration alone: parameters, cache, rows that fit.

No weight is read. Where the weights are there, nothing but config.json and headers is; where they are not, the model of
config.json is built without memory, which takes transformers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any, cast

from safebasin.errors import ModelError, expected
from safebasin.models.dtypes import own_dtype
from safebasin.models.files import read_json
from safebasin.models.folder import weight_files
from safebasin.models.headers import read_headers
from safebasin.models.whole import quantization

__all__ = ["ASSUMED_PROMPT", "ITEMSIZE", "CacheShape", "ModelSizes", "even_batch", "sizes_of"]

ITEMSIZE = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number in each dtype that a model is computed in."""
ASSUMED_PROMPT = 256
"""Tokens of a prompt, where memory is reckoned before the prompts are known."""
LARGEST_BATCH = 128
_SHARE = 0.6
"""Of the free memory, what rows may take."""
_ALIASES = {
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "hidden": ("hidden_size", "n_embd", "d_model", "dim"),
    "heads": ("num_attention_heads", "n_head", "n_heads"),
    "key_heads": ("num_key_value_heads", "num_kv_heads", "multi_query_group_num"),
    "width": ("head_dim", "kv_channels"),
    "vocabulary": ("vocab_size",),
    "context": ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length"),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "chosen": ("num_experts_per_tok", "moe_top_k"),
}
"""What architectures call the same number in config.json."""
_POSITIONS = re.compile(r"\bwpe\b|position")
"""Tables of positions, which are looked up and multiply nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheShape:
    """The numbers that decide the memory of a row that is decoded."""

    layers: int
    key_heads: int
    width: int
    """Of a head."""
    hidden: int
    vocabulary: int

    def cache_bytes(self, length: int, itemsize: int) -> int:
        """Bytes of the keys and values of a row of so many tokens, in every layer; less where layers share or slide."""
        return 2 * self.layers * self.key_heads * self.width * length * itemsize

    def row_bytes(self, length: int, itemsize: int) -> float:
        """Bytes that a row takes in all: its cache with a margin, logits, and what a pass over its prompt holds."""
        work = 3 * 4 * self.vocabulary + 8 * ASSUMED_PROMPT * self.hidden * itemsize
        return 1.3 * self.cache_bytes(length, itemsize) + work

    def rows(self, free: float, length: int, itemsize: int) -> int:
        """Rows of so many tokens that fit into memory that is free, with a margin; 0 where not even one does."""
        return max(0, int(free * _SHARE / self.row_bytes(length, itemsize)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSizes:
    """The sizes of a checkpoint, none of whose weights was read."""

    parameters: int
    """All of them; a tied one counts once."""
    body: int
    """Those that a token is multiplied with, embedding and head left out; of experts, those that a token is sent to."""
    head: int
    """Those of the head, which is the embedding where they are tied."""
    heads: int
    """Of attention."""
    cache: CacheShape
    context: int | None
    """The most tokens of prompt and response; None where config.json does not say."""
    dtype: str
    """The checkpoint's own."""
    stored_bytes: int | None
    """Of its weight files; None where there are none, and sizes are those that config.json promises."""
    packed: str = ""
    """How it is quantized; empty for plain weights."""


def even_batch(n_prompts: int, rows: int) -> int:
    """A batch size for so many prompts, of which so many rows fit: where it takes several, they are of nearly one size.

    At most `LARGEST_BATCH`, at least 1.
    """
    largest = max(1, min(rows, LARGEST_BATCH))
    return max(1, ceil(n_prompts / ceil(max(1, n_prompts) / largest)))


def sizes_of(folder: Path, name: str = "") -> ModelSizes:
    """The sizes of a checkpoint folder, whether or not its weights are there.

    Raises:
        ModelError: where config.json does not say what they are, or no model can be built of it.
    """
    shown = name or folder.name
    config = _text(read_json(folder / "config.json", shown))
    numbers = {key: _number(config, key) for key in _ALIASES}
    files = weight_files(folder, shown)
    stored = read_headers(files) if files else {}
    shapes = {tensor: found.shape for tensor, found in stored.items()} if files else _promised(folder, shown)
    vocabulary, hidden = numbers["vocabulary"] or 0, numbers["hidden"] or 0
    if not (numbers["layers"] and numbers["heads"] and hidden and vocabulary):
        missing = ", ".join(_ALIASES[key][0] for key in ("layers", "heads", "hidden", "vocabulary") if not numbers[key])
        remedy = f"({missing} not found) Its price cannot be told."
        raise ModelError(expected("config.json", "of an architecture whose sizes are known", shown, remedy))
    tables = [s for s in shapes.values() if len(s) == 2 and _is_table(s[0], vocabulary)][:2]
    is_tied = len(tables) < 2 or bool(config.get("tie_word_embeddings"))
    total = sum(prod(shape) for shape in shapes.values()) - (prod(tables[1]) if len(tables) > 1 and is_tied else 0)
    head = prod(tables[-1]) if tables else 0
    idle = _idle(shapes, numbers["experts"], numbers["chosen"])
    idle += sum(prod(shape) for tensor, shape in shapes.items() if _POSITIONS.search(tensor))
    return ModelSizes(
        parameters=total,
        body=max(0, total - head * (1 if is_tied else 2) - idle),
        head=head,
        heads=numbers["heads"],
        cache=CacheShape(
            layers=numbers["layers"],
            key_heads=numbers["key_heads"] or (1 if config.get("multi_query") else numbers["heads"]),
            width=numbers["width"] or hidden // numbers["heads"],
            hidden=hidden,
            vocabulary=vocabulary,
        ),
        context=numbers["context"],
        dtype=own_dtype(folder),
        stored_bytes=sum(found.end - found.start for found in stored.values()) if files else None,
        packed=quantization(config),
    )


def _text(config: Mapping[str, object]) -> Mapping[str, Any]:
    """The part of a configuration that is of the language model, what it leaves out taken from the whole."""
    inner = config.get("text_config")
    return {**config, **cast("Mapping[str, object]", inner)} if isinstance(inner, Mapping) else config


def _number(config: Mapping[str, object], key: str) -> int | None:
    found = (config.get(alias) for alias in _ALIASES[key])
    return next((n for n in found if isinstance(n, int) and not isinstance(n, bool) and n > 0), None)


def _promised(folder: Path, shown: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the model that config.json describes, which takes no memory."""
    from safebasin.models.files import border
    from safebasin.models.loading import bare_model, load_config

    config = load_config(folder, name=shown)
    with border("model", "a causal language model that transformers can build", shown, "Mend config.json."):
        return {name: tuple(p.shape) for name, p in bare_model(config).named_parameters()}


def _is_table(n_rows: int, vocabulary: int) -> bool:
    """Whether a matrix has a row a token: some are padded to a round number of them."""
    return vocabulary <= n_rows < vocabulary + 512


def _idle(shapes: Mapping[str, tuple[int, ...]], experts: int | None, chosen: int | None) -> int:
    """Parameters of the experts that a token is not sent to."""
    if not experts or not chosen:
        return 0
    all_of_them = sum(prod(shape) for name, shape in shapes.items() if ".experts." in name)
    return int(all_of_them * (1 - min(1.0, chosen / experts)))
