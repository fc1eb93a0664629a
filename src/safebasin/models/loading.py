"""A checkpoint as transformers loads it, whole or not at all: the one door for engine, directions, training and audit.

Configuration, model and tokenizer each behind a border (`files`): whatever transformers raises is one line. What the
model lacks, has too much, or has in another shape ends the load (`whole`), since transformers would fill it at random.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safebasin.errors import ModelError, expected
from safebasin.models.files import border, memory_errors
from safebasin.models.folder import weight_files
from safebasin.models.generation import check_generation
from safebasin.models.headers import read_headers
from safebasin.models.quiet import quiet
from safebasin.models.spreading import check_held, placed_over
from safebasin.models.tower import LANGUAGE
from safebasin.models.whole import check_loaded, is_spare, quantization, unwhole

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from safebasin.models.reference import ResolvedModel

__all__ = [
    "bare_model",
    "check_extra",
    "load_causal",
    "load_config",
    "load_generation",
    "load_tokenizer",
    "load_weights",
    "n_embeddings",
    "parameter_names",
]

_PACKING = 16
"""The most parameters in a byte of packed weights, twice that of the tightest format in use."""
_BUFFERS = 256 * 2**20
"""Bytes that tables of positions may take in any case, beside twice the weights."""


def load_config(
    folder: Path, *, what: str = "model", name: str = "", trust_remote_code: bool = False
) -> PretrainedConfig:
    """The configuration of a causal language model, before anything is built from it.

    A padding token beyond the embedding is taken out: padding is masked, and the embedding could not be built.

    Args:
        folder: of the checkpoint.
        what: `model`, or which checkpoint, for messages.
        name: as the user wrote it.
        trust_remote_code: whether code that comes with the model may run.

    Raises:
        ModelError: where it cannot be read, or is not that of a causal language model.
    """
    from transformers import AutoConfig

    shown = name or folder.name
    with quiet(), border(what, "a folder that transformers can read", shown, "Mend config.json, or take another."):
        config: PretrainedConfig = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trust_remote_code
        )
        is_paired = bool(getattr(config, "is_encoder_decoder", False))
    if is_paired:
        remedy = f"({shown}) Use a decoder-only model."
        raise ModelError(expected(what, "a causal language model, not an encoder-decoder", config.model_type, remedy))
    _check_causal(config, what, shown)
    with border(what, "a folder that transformers can read", shown, "Mend config.json, or take another."):
        for part in {id(c): c for c in (config, config.get_text_config(decoder=True))}.values():
            pad, size = getattr(part, "pad_token_id", None), getattr(part, "vocab_size", None)
            if isinstance(pad, int) and isinstance(size, int) and not -size <= pad < size:
                part.pad_token_id = None
    return config


def _check_causal(config: PretrainedConfig, what: str, shown: str) -> None:
    """Refuse what `AutoModelForCausalLM` does not know, such as a model that reads images too."""
    from transformers import AutoModelForCausalLM

    if type(config) in AutoModelForCausalLM._model_mapping or getattr(config, "auto_map", None):
        return
    inner = [key for key in ("vision_config", "audio_config", "speech_config") if hasattr(config, key)]
    if inner and hasattr(config, "text_config"):
        sense = inner[0].removesuffix("_config")
        remedy = f"({config.model_type} reads {sense} too) Its language tower is one: write {shown}#{LANGUAGE}."
        raise ModelError(expected(what, "a causal language model of text alone", shown, remedy))
    remedy = f"(model_type {config.model_type!r}) Take one whose architecture ends in ForCausalLM."
    raise ModelError(expected(what, "a causal language model that transformers knows", shown, remedy))


def load_causal(
    folder: Path,
    *,
    what: str = "model",
    name: str = "",
    dtype: torch.dtype | str = "auto",
    trust_remote_code: bool = False,
    config: PretrainedConfig | None = None,
    gpus: int = 1,
) -> PreTrainedModel:
    """Load a causal language model, whole, on the CPU or over several GPUs; nothing is fetched.

    Args:
        folder: an ordinary Hugging Face folder with safetensors weights.
        what: `model`, or which checkpoint, for messages.
        name: as the user wrote it.
        dtype: `auto` is the checkpoint's own.
        trust_remote_code: whether code that comes with the model may run.
        config: of `load_config`, where it is at hand.
        gpus: over how many it is spread, where more than 1 (`spreading`).

    Raises:
        ModelError: where tensors are missing, unexpected or of another shape, the configuration promises more than the
            files hold, transformers cannot load it, or it does not fit the memory.
    """
    from transformers import AutoModelForCausalLM

    shown = name or folder.name
    if config is None:
        config = load_config(folder, what=what, name=name, trust_remote_code=trust_remote_code)
    stored = read_headers(weight_files(folder, shown))
    packed = bool(quantization(config.to_dict()))
    n_bytes = sum(tensor.end - tensor.start for tensor in stored.values())
    n_stored = n_bytes * _PACKING if packed else sum(tensor.n_elements for tensor in stored.values())
    if not (trust_remote_code and getattr(config, "auto_map", None)):
        _check_size(config, what, shown, n_stored, n_bytes)
    placed = cast("dict[str, Any]", placed_over(gpus)) if gpus > 1 else {}
    constraint, remedy = "a causal language model that transformers can load", f"({config.model_type})"
    try:
        with quiet(), border(what, constraint, shown, remedy), memory_errors():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder, config=config, dtype=dtype, use_safetensors=True, local_files_only=True,
                trust_remote_code=trust_remote_code, output_loading_info=True, ignore_mismatched_sizes=True,
                **placed,
            )  # fmt: skip
    except MemoryError as error:
        raise ModelError(too_large(what, shown, error)) from error
    model, info = loaded
    check_held(model, shown)
    check_loaded(info, what, shown, packed=packed)
    check_generation(getattr(model, "generation_config", None), shown)
    return model


def too_large(what: str, shown: str, error: MemoryError) -> str:
    """The line on a model that does not fit the memory."""
    remedy = f"({' '.join(str(error).split())[:200]}) Use a smaller dtype, a smaller model, or another device."
    return expected(what, "small enough for the memory", shown, remedy)


def _check_size(config: PretrainedConfig, what: str, shown: str, n_stored: int, n_bytes: int) -> None:
    """Build the model without memory for it, and compare: what is not in the files would be made up in memory."""
    with border(what, "a causal language model that transformers can build", shown, "Mend config.json."):
        model = bare_model(config)
        promised = sum(parameter.numel() for parameter in model.parameters())
        tables = sum(buffer.numel() * buffer.element_size() for buffer in model.buffers())
    if promised > 2 * n_stored:
        constraint = f"the model that config.json promises ({promised:,} parameters)"
        remedy = f"(its files hold {n_stored:,}) Take config.json and weights from one and the same model."
        raise ModelError(expected(what, constraint, shown, remedy))
    if tables > 2 * n_bytes + _BUFFERS:
        remedy = f"(it promises tables of {tables:,} bytes beside weights of {n_bytes:,}) Mend the lengths in it."
        raise ModelError(expected("config.json", "in proportion to the weights", shown, remedy))


def bare_model(config: PretrainedConfig) -> Any:
    """The module of a configuration on the meta device: names and shapes, no memory; no code of the model runs."""
    import torch
    from transformers import AutoModelForCausalLM

    with quiet(), torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


def parameter_names(config: PretrainedConfig, *, name: str = "") -> tuple[str, ...]:
    """Names of the parameters that a configuration's model has once it is loaded; takes no memory for them.

    Raises:
        ModelError: where no such model can be built.
    """
    constraint = "a causal language model that transformers can build"
    with border("model", constraint, name or str(config.model_type), "Mend config.json."):
        return tuple(name for name, _ in bare_model(config).named_parameters())


def load_tokenizer(
    folder: Path, *, what: str = "model", name: str = "", trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint folder; nothing is fetched.

    Raises:
        ModelError: where there is none that transformers can read.
    """
    from transformers import AutoTokenizer

    remedy = "Copy whole tokenizer files into the folder."
    with quiet(), border(what, "accompanied by its tokenizer", name or folder.name, remedy):
        found = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)
        found.encode("a")
    return cast("PreTrainedTokenizerBase", found)


def load_generation(folder: Path, config: PretrainedConfig, *, name: str = "") -> GenerationConfig:
    """The generation settings that a model of a folder gets: of their file, else what its configuration says.

    Raises:
        ModelError: where they cannot be read, or hold what they must not.
    """
    from transformers import GenerationConfig

    shown = name or folder.name
    with quiet(), border("generation_config.json", "settings that transformers can read", shown, "Mend it."):
        has_own = (folder / "generation_config.json").is_file()
        found = GenerationConfig.from_pretrained(folder) if has_own else GenerationConfig.from_model_config(config)
    check_generation(found, shown)
    return found


def check_extra(model: ResolvedModel, names: Collection[str]) -> None:
    """Refuse a checkpoint that stores tensors beyond those of its model, but for what says nothing in its answers.

    Raises:
        ModelError: naming them.
    """
    if not names:
        return
    bare = bare_model(load_config(model.folder, what=f"checkpoint '{model.ref}'", name=model.folder.name))
    patterns = bare._keys_to_ignore_on_load_unexpected or ()
    known = bare.state_dict().keys()
    unexpected = sorted(n for n in names if n not in known and not is_spare(n, patterns))
    if unexpected:
        raise ModelError(unwhole(f"checkpoint '{model.ref}'", model.folder.name, unexpected=unexpected))


def load_weights(model: ResolvedModel) -> nn.Module:
    """Load a causal language model on the CPU in its own dtype; an adapter of the reference is not merged.

    Raises:
        ModelError: as `load_causal`; code that comes with a model does not run.
    """
    return cast("nn.Module", load_causal(model.folder, what=f"checkpoint '{model.ref}'", name=model.folder.name))


def n_embeddings(model: nn.Module) -> int:
    """Rows of the embedding: token ids at or above it cannot be read."""
    return int(cast("Any", model).get_input_embeddings().weight.shape[0])
