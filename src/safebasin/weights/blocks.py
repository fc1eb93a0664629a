"""The blocks of a model by name: which parameters make up block 7, its attention, its MLP. No tensor is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from safebasin.errors import ModelError, StudyError, expected
from safebasin.records import matches

if TYPE_CHECKING:
    from torch import nn

__all__ = ["block_modules", "block_patterns", "check_only", "decoder_blocks", "finds_nothing", "inner_parts"]

_BLOCK = re.compile(r"^(?:.*?\.)?(?P<list>[a-z_]+)\.(?P<number>\d+)\.(?P<part>[^.]+)")
_NORM = re.compile(r"norm|^ln_|layer_?norm")
_ATTENTION = re.compile(r"attn|attention")

Each = Literal["block", "attention", "mlp"]


def check_only(only: str | None, names: Sequence[str]) -> None:
    """Check that each pattern of a direction's `only` finds a tensor.

    Args:
        only: patterns, as `records.matches` takes them; None is every tensor.
        names: canonical names of those of the model.

    Raises:
        StudyError: naming the first pattern that finds nothing: it may be misspelled.
    """
    for pattern in () if only is None else (part.strip() for part in only.split(",")):
        if not any(matches(name, pattern) for name in names):
            raise finds_nothing(pattern, names)


def finds_nothing(pattern: str | None, names: Sequence[str]) -> StudyError:
    """Make the error about a pattern that no tensor of these matches."""
    remedy = f"Names look like {names[len(names) // 2]!r}."
    return StudyError(expected("only", "a pattern that some perturbable tensor matches", pattern, remedy))


def block_patterns(names: Iterable[str], each: Each) -> tuple[tuple[str, str], ...]:
    """Label and `only` pattern of each block, or of the attention or MLP of each block, in order.

    The MLP is what a block holds beside attention and norm layers: experts and routers belong to it.

    Args:
        names: parameter names of the model, as loaded or as stored.
        each: what to single out.

    Raises:
        StudyError: where the names show no numbered blocks, or no such part in them.
    """
    parts: dict[tuple[str, int], set[str]] = {}
    for name in names:
        if found := _BLOCK.match(name):
            parts.setdefault((found["list"], int(found["number"])), set()).add(found["part"])
    # Experts are numbered inside their block; the list that comes first in the name is the list of blocks.
    patterns: list[tuple[str, str]] = []
    for (container, number), held in sorted(parts.items()):
        start = f"{container}.{number}"
        if each == "block":
            patterns.append((f"block {number}", f"{start}.*"))
            continue
        chosen = sorted(p for p in held if not _NORM.search(p) and bool(_ATTENTION.search(p)) == (each == "attention"))
        if chosen:
            patterns.append((f"{each} {number}", ",".join(f"{start}.{part}.*" for part in chosen)))
    if not patterns:
        remedy = "Name the parameters yourself with --only."
        raise StudyError(expected("each", "found in the names of the model's parameters", each, remedy))
    return tuple(patterns)


def decoder_blocks(names: Iterable[str]) -> tuple[str, ...]:
    """The path of each decoder block in order, `model.layers.0`: those of the longest list of numbered modules.

    Args:
        names: parameter names of the model, as loaded.

    Raises:
        ModelError: where there is no such list, two are equally long, or numbers are missing.
    """
    found: dict[str, set[int]] = {}
    for name in names:
        if match := _BLOCK.match(name):
            found.setdefault(name[: match.end("list")], set()).add(int(match["number"]))
    longest = max((len(numbers) for numbers in found.values()), default=0)
    lists = sorted(path for path, numbers in found.items() if len(numbers) == longest)
    constraint = "one list of numbered modules that is longer than any other"
    if len(lists) != 1:
        remedy = "Blocks of such a model cannot be told by their names."
        raise ModelError(expected("the decoder blocks", constraint, " and ".join(lists) or "none", remedy))
    if found[lists[0]] != set(range(longest)):
        remedy = "The numbers of its blocks must run from 0."
        raise ModelError(expected("the decoder blocks", constraint, f"{lists[0]} with gaps", remedy))
    return tuple(f"{lists[0]}.{number}" for number in range(longest))


def block_modules(model: nn.Module) -> tuple[nn.Module, ...]:
    """Give the decoder blocks of a model in order.

    Raises:
        ModelError: as `decoder_blocks`.
    """
    return tuple(model.get_submodule(path) for path in decoder_blocks(name for name, _ in model.named_parameters()))


def inner_parts(names: Iterable[str], block: str) -> tuple[str, ...]:
    """The attention and the MLP of a block: what it holds beside its own norm layers, by path, sorted."""
    start = f"{block}."
    parts = {name.removeprefix(start).partition(".")[0] for name in names if name.startswith(start)}
    return tuple(f"{start}{part}" for part in sorted(parts) if not _NORM.search(part))
