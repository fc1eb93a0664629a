"""Which kinds of adapters are a ΔW on a model's own weights, and what to do with those that are not. Reads no weights.

Each remedy was followed on small models with PEFT: `tests/weights/test_adapter_kinds.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from safebasin.errors import ModelError, expected

__all__ = ["MERGE", "is_above_0", "refuse_other_kinds"]

MERGE = (
    "Merge it into a checkpoint with PEFT (merge_and_unload; save_pretrained of model and tokenizer) and "
    "use to:FOLDER, or FOLDER as the model."
)
_NO_CHANGE = "It changes no weight of the model, so there is no direction to it; nor can it be merged."
_NOT_MERGED = "It is no single set of weights of the model's own layers, so no checkpoint is the same."
_BIAS = "Layers of this model have no bias that it could be merged into; train it without lora_bias."
_CONVERT = (
    "It took a part out of the base that cannot be found again from the files. Save it where it was trained with "
    "path_initial_model_for_weight_conversion, which makes plain LoRA of it, or merge it there."
)
_NO_WEIGHTS = (
    "PROMPT_TUNING",
    "MULTITASK_PROMPT_TUNING",
    "P_TUNING",
    "PREFIX_TUNING",
    "ADAPTION_PROMPT",
    "CPT",
    "CARTRIDGE",
)
"""Kinds that put virtual tokens before a text, or keys and values beside it."""
_NEVER_ONE = ("XLORA", "POLY", "aLoRA", "Arrow", "LoRA with replicated layers")
"""Kinds that are not one set of weights of the model's own shapes."""

_LORA_BIAS = "LoRA with a bias on B"
_OTHER_KINDS = {
    "use_dora": "DoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "BD-LoRA",
    "alora_invocation_tokens": "aLoRA",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
    "arrow_config": "Arrow",
    "megatron_config": "Megatron LoRA",
    "lora_bias": _LORA_BIAS,
    "layer_replication": "LoRA with replicated layers",
    "target_parameters": "LoRA on bare parameters",
    "trainable_token_indices": "LoRA with trainable tokens",
}
"""Keys of `adapter_config.json` that, when set, make it another kind."""

_CHANGES_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Initializations that take something out of the model's own weights, so that ΔW alone is not the difference."""
_FOUND_AGAIN = ("pissa", "olora")
"""Those whose part PEFT finds again, from the base alone: a whole decomposition, no random or measured one."""


def refuse_other_kinds(config: Mapping[str, object], *, has_bias: bool) -> None:
    """Refuse what is no plain LoRA, by name, with what to do instead.

    Args:
        config: of `adapter_config.json`.
        has_bias: whether layers of the model have biases.

    Raises:
        ModelError: naming the kind, or the entry whose type is not the one that is read.
    """
    kind = str(config.get("peft_type"))
    start = str(config.get("init_lora_weights")).lower()
    found = [kind] if kind != "LORA" else [what for key, what in _OTHER_KINDS.items() if config.get(key)]
    begun = [f"LoRA begun by {start}"] * start.startswith(_CHANGES_THE_BASE)
    if found or begun:
        first = (found + begun)[0]
        remedy = _CONVERT if begun and start not in _FOUND_AGAIN else _remedy(first, has_bias=has_bias)
        raise ModelError(expected("adapter", "plain LoRA", first, remedy))
    _check_patterns(config)


def _remedy(kind: str, *, has_bias: bool) -> str:
    if kind in _NO_WEIGHTS:
        return _NO_CHANGE
    if kind == _LORA_BIAS and not has_bias:
        return _BIAS
    return _NOT_MERGED if kind in _NEVER_ONE else MERGE


def _check_patterns(config: Mapping[str, object]) -> None:
    for key in ("rank_pattern", "alpha_pattern"):
        patterns = config.get(key)
        if patterns is not None and not (isinstance(patterns, dict) and all(is_above_0(v) for v in patterns.values())):
            constraint = f"complete ({key}: names, each with a number above 0)"
            raise ModelError(expected("adapter_config.json", constraint, patterns, "Save it again with PEFT."))


def is_above_0(value: object) -> bool:
    """Tell whether an entry is a finite number above 0."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf
