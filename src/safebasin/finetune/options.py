"""Every option of fine-tuning, declared once: keyword of the API, option of the command line, help.

Nothing is checked here: `request` reads them, and `settings` says what the settings take.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Annotated, Literal, TypeAlias, TypedDict

from safebasin.protocols import Attack, Defense, Judge
from safebasin.study.options import Arguments, Option

__all__ = ["TuningFlags"]

File: TypeAlias = str | PathLike[str]


def _shown(text: str, metavar: str | None = None, *flags: str) -> Option:
    return Option(key="", help=text, metavar=metavar, flags=flags)


class TuningFlags(TypedDict, total=False):
    """Keywords of `finetune`, `finetune_sweep`, `prepare_finetuning` and `estimate_moderation`; None is "not given".

    Those that are declared with an `Option` are options of the command line too.
    """

    attack: Annotated[
        str | Attack | None, _shown("Recipe, e.g. `harmful_examples(n=50)`: safebasin list attack.", "NAME")
    ]
    data: Annotated[
        File | None,
        _shown("Rows: chat, prompt/completion, Alpaca or ShareGPT. Also world:NAME/KIND, hub:ORG/NAME.", "FILE"),
    ]
    """The attack's rows, or all there is. A world's model needs none."""
    eval: Annotated[
        File | None, _shown("Held-out rows, as for --data: their loss before, and after each epoch.", "FILE")
    ]
    """Read in the wrapper of `system` and `wrap`; no defense changes them."""
    safe: Annotated[File | None, _shown("Rows of refusals, for mixing.", "FILE")]
    system: Annotated[str | None, _shown("System prompt for rows without one, as for `map`.")]
    """Use the same at test time."""
    wrap: Annotated[str | None, _shown("Text around each user turn, with {prompt}.")]
    """Use the same at test time."""
    method: Annotated[Literal["full", "lora"] | None, _shown("`full` or `lora`. [default: full]", "full|lora")]
    learning_rate: Annotated[
        float | None, _shown("Peak rate. [default: the recipe's]", None, "--learning-rate", "--lr")
    ]
    epochs: Annotated[int | None, _shown("Passes over the rows. [default: the recipe's]")]
    batch_size: Annotated[int | None, _shown("Rows of an optimizer step, over all processes.")]
    micro_batch: Annotated[int | None, _shown("Rows of a forward pass in each process.")]
    rank: Annotated[int | None, _shown("Of LoRA.")]
    alpha: Annotated[float | None, _shown("LoRA scales by alpha / rank. [default: 16]")]
    targets: Annotated[
        str | tuple[str, ...] | None,
        _shown("Modules that LoRA adapts: `q_proj,v_proj`. [default: all-linear]", "NAMES"),
    ]
    max_length: Annotated[int | None, _shown("Tokens of a row. [default: the context]")]
    over_long: Annotated[
        Literal["drop", "keep"] | None, _shown("Longer rows: `drop` or `keep`. Never cut.", "drop|keep")
    ]
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"] | None, _shown("`auto`, `float32` or `bfloat16`. [default: auto]")
    ]
    seed: Annotated[int | None, _shown("Of the rows, their order and an adapter's weights.")]
    moderate: Annotated[str | Judge | None, _shown("Judge the rows first.", "JUDGE")]
    keep_flagged: Annotated[bool | None, _shown("Train on flagged rows all the same.")]
    mix_safe: Annotated[int | float | str | None, _shown("Refusals to mix in: 50, 0.2 or 20%.", "N|SHARE")]
    ptst: Annotated[bool | None, _shown("No system prompt in training, one in use.")]
    defenses: Annotated[
        str | Defense | Sequence[str | Defense] | None,
        _shown("By name: safebasin list defense. Repeatable.", "NAME", "--defense"),
    ]
    """Of the stages alignment, finetuning and post_finetuning; those on rows come after the ones above."""
    template_args: Annotated[
        Arguments | None, _shown("Argument of the chat template. Repeatable.", "K=V", "--template-arg")
    ]

    # Settings that have no option.
    schedule: Literal["constant", "linear", "cosine"] | None
    weight_decay: float | None
    clip: float | None
    save: Literal["epoch", "doubling", "no"] | None
    steps: int | None
