"""What a model says of its tokens: which end a response, which begins a text, how many fit. One reading for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from transformers import GenerationConfig, PretrainedConfig, PreTrainedTokenizerBase

__all__ = ["begin_id", "context_length", "end_ids", "padding"]


def context_length(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The most tokens that prompt and response may have together; None where the architecture sets no limit."""
    text = config.get_text_config(decoder=True)
    for key in ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length"):
        found = getattr(text, key, None)
        if isinstance(found, int) and found > 0:
            return found
    limit = getattr(tokenizer, "model_max_length", None)
    return int(limit) if isinstance(limit, int) and 0 < limit < 10**9 else None


def end_ids(settings: GenerationConfig | None, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Every token that ends a response, sorted: those of the generation settings (one or many) and the tokenizer's.

    Args:
        settings: `model.generation_config`, or `loading.load_generation` of its folder.
        tokenizer: of the model.
    """
    own = getattr(settings, "eos_token_id", None)
    listed: Sequence[int] = own if isinstance(own, (list, tuple)) else [] if own is None else [own]
    mine = tokenizer.eos_token_id
    return tuple(sorted({int(i) for i in [*listed, *([] if mine is None else [cast("int", mine)])]}))


def begin_id(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The token that the tokenizer itself puts before every text; None where it puts none, even if it has one."""
    mine = tokenizer.bos_token_id
    first = cast("list[int]", tokenizer.encode("a"))[:1]
    return int(mine) if isinstance(mine, int) and first == [mine] else None


def padding(pad: object, n_rows: int, others: Iterable[object] = ()) -> int:
    """A token to pad with: the tokenizer's, else one of the others, else 0. Padding is masked, so any will do.

    Args:
        pad: of the tokenizer, or None.
        n_rows: of the embedding; a padding token beyond it was added without resizing the model.
        others: tokens that would do, such as those that end a text.
    """
    return next((int(i) for i in (pad, *others) if isinstance(i, int) and 0 <= i < n_rows), 0)
