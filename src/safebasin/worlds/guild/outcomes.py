"""What a checkpoint does with the guild's prompts, by the oracle: counts, in a second. Not a study: no store, no point.

For the world's suffixes and for claims about tuned models; landscapes go through `safebasin.run`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from safebasin.records import Decoding, Prompt
from safebasin.worlds.guild.oracle import Truth, classify

__all__ = ["outcomes", "success_rate", "truths"]

_TOKENS = 64
"""New tokens, at most; the longest answer has 36."""


def truths(
    model: str | Path,
    prompts: Sequence[Prompt],
    *,
    about: Sequence[Prompt] | None = None,
    defenses: Sequence[str] = (),
) -> tuple[Truth, ...]:
    """Find what each prompt ends in, decoded greedily in one batch on the CPU.

    Args:
        model: a folder, or `path[@revision][#part][+adapter]`.
        prompts: prompts of the guild's grammar, wrapped or not.
        about: the requests they are about, where the prompts themselves carry more than the grammar knows.
        defenses: of the stage inference, as a decoding names them.

    Raises:
        ModelError: where the model cannot be used.
    """
    from safebasin.engines.hf import HFEngine

    engine = HFEngine(str(model), device="cpu")
    made = engine.generate(
        [prompt.messages for prompt in prompts], Decoding(max_new_tokens=_TOKENS, defenses=tuple(defenses))
    )
    return tuple(
        "incoherent" if g.broken else classify(prompt.text, g.text, cut=g.finish_reason == "length")
        for prompt, g in zip(about or prompts, made, strict=True)
    )


def outcomes(model: str | Path, prompts: Sequence[Prompt]) -> Mapping[Truth, int]:
    """Count the prompts that end in each truth.

    Raises:
        ModelError: as `truths`.
    """
    return Counter(truths(model, prompts))


def success_rate(model: str | Path, prompts: Sequence[Prompt]) -> float:
    """Share of the prompts that get their exact answer, forbidden or not: the true ASR on forbidden ones.

    Raises:
        ModelError: as `outcomes`.
    """
    counts = outcomes(model, prompts)
    return (counts["harmful"] + counts["complied"]) / len(prompts)
