"""The language tower of a model that reads images or sound too, as an ordinary folder of a causal language model.

`path#language`. Its weights are those of the tower, bit for bit, with the model's own tokenizer and template: what the
whole model says without an image, which is checked by running both. Made once, in `runs/language` or in the folder that
the environment variable `SAFEBASIN_LANGUAGE` names. Encoder and projector are left out; the engine fetches them where a
prompt has an image (`safebasin.engines.images`).

The study that asks what adaptation to vision does to safety (arXiv 2410.07571) publishes neither code nor coefficients:
this makes the weights that such a question needs, and is not its procedure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safebasin.errors import ModelError, expected
from safebasin.models.files import border, memory_errors
from safebasin.models.folder import fingerprint, weight_files
from safebasin.models.made import made_once
from safebasin.models.quiet import quiet
from safebasin.models.whole import check_loaded, quantization
from safebasin.models.writing import copy_settings, describe, is_unsafe, save_model, versions

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["CACHE", "LANGUAGE", "identity", "is_paired", "load_whole", "tower_folder"]

LANGUAGE = "language"
"""The part of a model that `path#language` names."""
CACHE = "SAFEBASIN_LANGUAGE"
"""The environment variable that names the folder of the language towers."""
_VERSION = 1
"""Of what is written for a model; part of its identity."""
_SENSES = ("vision_config", "audio_config", "speech_config")
_PROBE = (1, 2, 3, 5, 8, 13, 21, 34)
"""Tokens that both are asked; taken modulo the vocabulary."""
_ROUNDING = 1e-3
"""Most that logits may differ, as a share of the largest."""


def is_paired(config: PretrainedConfig) -> bool:
    """Tell whether a model reads something beside text, and has a language tower."""
    return hasattr(config, "text_config") and any(hasattr(config, key) for key in _SENSES)


def identity(folder: Path) -> str:
    """Identify a tower: a hash of the fingerprint of the whole model."""
    return hashlib.sha256(f"language v{_VERSION}\0{fingerprint(folder)}".encode()).hexdigest()


def tower_folder(folder: Path, name: str) -> Path:
    """The folder of a model's language tower, with tokenizer and template; written where it is not there yet.

    Args:
        folder: of the whole model, checked (`folder.check_folder`).
        name: as the user wrote it.

    Raises:
        ModelError: where the model has no tower, transformers knows no causal language model of its kind, the two do
            not say the same, or the disk is too small.
    """

    def make(made: Path) -> None:
        _write(folder, made, name)
        text = f"The language tower of {folder.name}."
        record = {"kind": LANGUAGE, "of": identity(folder), "versions": versions("torch", "transformers")}
        describe(made, record, unsafe=is_unsafe(folder), title=f"{folder.name}#{LANGUAGE}", text=text, head={})

    size = sum(file.stat().st_size for file in weight_files(folder, name))
    label = f"{folder.name}-{identity(folder)[:16]}"
    return made_once(label, make, variable=CACHE, default="runs/language", needed=size)


def _write(folder: Path, made: Path, name: str) -> None:
    whole = load_whole(folder, name)
    decoder, head = whole.get_decoder(), whole.get_output_embeddings()
    if decoder is None or head is None:
        remedy = f"({type(whole).__name__} names none) Save its language model as a folder of its own."
        raise ModelError(expected("model", "one whose language tower transformers can tell", name, remedy))
    tower = _causal(whole, cast("torch.nn.Module", decoder), head, name)
    if not _agree(whole, tower):
        remedy = f"({type(whole).__name__} is more than its parts) Its tower alone would be another model."
        raise ModelError(expected("model", "one that says of text what its language tower says", name, remedy))
    save_model(tower, made)
    copy_settings(folder, made)


def load_whole(folder: Path, name: str, *, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """The model with encoder and tower, on the CPU, in eval mode.

    Args:
        folder: of the whole model.
        name: as the user wrote it.
        dtype: that it is loaded in; None is its own.

    Raises:
        ModelError: where it reads text alone, its weights are packed, or transformers cannot load it whole.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText

    remedy = "Save its language model as a folder of its own."
    with quiet(), border("model", "one with a language tower that transformers can load", name, remedy):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if not is_paired(config):
            raise ValueError(f"{config.model_type} reads text alone: leave #{LANGUAGE} out")
        if quantization(config.to_dict()):
            raise ValueError("its weights are packed; take the original")
        with memory_errors():
            loaded: Any = AutoModelForImageTextToText.from_pretrained(
                folder, config=config, dtype=dtype or "auto", use_safetensors=True, local_files_only=True,
                trust_remote_code=False, output_loading_info=True, ignore_mismatched_sizes=True,
            )  # fmt: skip
    model, info = loaded
    check_loaded(info, "model", name)
    return model.eval()


def _causal(whole: PreTrainedModel, decoder: torch.nn.Module, head: torch.nn.Module, name: str) -> PreTrainedModel:
    """A causal language model that has the tensors of the tower, and no others."""
    import torch
    from transformers import AutoModelForCausalLM

    tied = head.weight is cast("Any", decoder).get_input_embeddings().weight
    tensors = dict(decoder.named_parameters())
    tried: list[str] = []
    for config in _configs(whole.config):
        config.tie_word_embeddings = tied
        with quiet(), border("model", "one whose tower can be built", name, "Mend config.json."), torch.device("meta"):
            made = AutoModelForCausalLM.from_config(config, dtype=whole.dtype)
        wanted = dict(made.get_decoder().named_parameters())
        unlike = sorted(n for n in wanted.keys() | tensors.keys() if _shape(wanted, n) != _shape(tensors, n))
        if unlike:
            tried.append(f"{config.model_type} differs at {unlike[0]}")
            continue
        with quiet():
            empty = AutoModelForCausalLM.from_config(config, dtype=whole.dtype)
        empty.get_decoder().load_state_dict(decoder.state_dict(), strict=False)
        empty.get_output_embeddings().load_state_dict(head.state_dict())
        return empty.eval()
    shown = whole.config.get_text_config(decoder=True).model_type
    remedy = f"({'; '.join(tried) or f'none has a name like {shown}'}) Save it as a folder of its own."
    raise ModelError(expected("model", "one whose tower is a causal language model of transformers", name, remedy))


def _shape(tensors: dict[str, Any], name: str) -> object:
    return tuple(tensors[name].shape) if name in tensors else None


def _configs(config: PretrainedConfig) -> Iterator[PretrainedConfig]:
    """Configurations of models of text alone that a tower may be: its own kind's, then those that its name starts with.

    `qwen2_vl_text` is built as `qwen2`: of text, every section of its rotary positions is the same.
    """
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    text: Any = config.get_text_config(decoder=True)
    fields = {**text.to_dict(), "architectures": None}
    for key in ("bos_token_id", "eos_token_id"):
        if fields.get(key) is None:
            fields[key] = getattr(config, key, None)
    rope = fields.get("rope_parameters")
    parts = str(text.model_type).split("_")
    kinds = [str(text.model_type), *("_".join(parts[:n]) for n in range(len(parts) - 1, 0, -1))]
    for kind in dict.fromkeys(kinds):
        if kind not in CONFIG_MAPPING or CONFIG_MAPPING[kind] not in AutoModelForCausalLM._model_mapping:
            continue
        given = {**fields, "model_type": kind}
        if kind != text.model_type and isinstance(rope, dict):
            given["rope_parameters"] = {key: value for key, value in rope.items() if not key.startswith("mrope")}
        yield CONFIG_MAPPING[kind].from_dict(given)


def _agree(whole: PreTrainedModel, tower: PreTrainedModel) -> bool:
    """Tell whether both say the same of a few tokens of text."""
    import torch

    size = int(cast("Any", tower).get_input_embeddings().weight.shape[0])
    ids = torch.tensor([[token % size for token in _PROBE]])
    with torch.no_grad():
        theirs, ours = (cast("Any", model)(input_ids=ids).logits.float() for model in (whole, tower))
    return bool((theirs - ours).abs().max() <= _ROUNDING * theirs.abs().max())
