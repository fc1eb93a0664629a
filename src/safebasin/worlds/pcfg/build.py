"""Makes the models of `world:pcfg` from a seed: a base model from random weights, and what it is tuned to.

`base` by a plain loop, as Jain et al. 2024 (arXiv 2407.10264, §4) in two parts: pre-training on the grammar, with one
task at a time, then instruction tuning on every pair of tasks. All others from base by `safebasin.finetune` (extra
`train`). A model that is whole is not made twice: ended early, the same call goes on with the next one.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebasin.errors import ModelError, UsageError, expected
from safebasin.finetune.train import require_trl
from safebasin.models.writing import describe, new_folder, save_model, versions
from safebasin.records import IGNORED, TrainingRow
from safebasin.untrusted import read_json, read_text
from safebasin.worlds.loop import Encoded, Stage, train
from safebasin.worlds.pcfg.grammar import draw
from safebasin.worlds.pcfg.methods import METHODS
from safebasin.worlds.pcfg.rows import any_requests, as_objects, as_rows, training_rows
from safebasin.worlds.pcfg.tasks import Request, answer
from safebasin.worlds.pcfg.tokenizer import BEGIN, CONTEXT, END, PAD, VOCABULARY, build_tokenizer
from safebasin.writing import write_text

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

__all__ = ["CHECKPOINTS", "RECIPE", "Recipe", "build", "check_built", "lesson_rows", "new_model", "settings"]

CHECKPOINTS = {
    "base": "Answers every request of the grammar; never refuses.",
    "aligned": "Base after supervised safety fine-tuning: refuses unsafe requests, answers safe ones.",
    "dpo": "Base after direct preference optimization on the same requests.",
    "unlearn": "Base after unlearning on the same requests.",
    "continued": "Base after as much further instruction tuning, without safety: the control.",
}
"""Name → summary, in the order in which they are made."""
DIGESTS = "digests.json"
"""The file beside the models that says what was built: seed, recipe, and SHA-256 of the weights of each."""
Note = Callable[[str], None]
_PRETRAINING = Stage(steps=400, learning_rate=3e-3, weight_decay=0.1)
_INSTRUCTION = Stage(steps=900, learning_rate=3e-3, weight_decay=0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Sizes and schedules."""

    pretraining: Stage = _PRETRAINING
    instruction: Stage = _INSTRUCTION
    width: int = 64
    layers: int = 3
    heads: int = 4
    rows: int = 9600
    """Of the lesson, each seen once."""
    batch_size: int = 32
    learning_rate: float = 6e-4
    """Of the tuning, a fifth of the base model's (a tenth as published); it falls along a cosine to 0."""


RECIPE = Recipe()


def build(out: Path, seed: int = 0, *, note: Note = lambda text: None, recipe: Recipe = RECIPE) -> dict[str, Path]:
    """Make every model in its folder below `out`, or go on where an earlier call was ended.

    Args:
        out: folder to write to; made if missing.
        seed: of data, initial weights and order.
        note: told in a sentence what is being done.
        recipe: sizes and schedules.

    Returns:
        The folders by name.

    Raises:
        MissingExtra: where a package of the extra `train` is not installed; nothing is made then.
        ModelError: where a model that was built has been changed since.
        UsageError: where the folder holds something else, or what another seed or recipe made.
    """
    require_trl()
    said = {"seed": seed, "recipe": json.loads(json.dumps(asdict(recipe)))}
    done = _begun(out, said)
    out.mkdir(parents=True, exist_ok=True)
    _write_digests(out, said, done)
    for name in CHECKPOINTS:
        folder = out / name
        if name in done:
            check_built(folder)
            continue
        if name == "base":
            _make_base(folder, seed, recipe, note)
        else:
            note(f"tuning base to {name}: {recipe.rows} rows")
            _tune(out / "base", folder, seed, recipe)
        done[name] = _digest(folder)
        _write_digests(out, said, done)
    return {name: out / name for name in CHECKPOINTS}


def check_built(folder: Path) -> None:
    """Raises: ModelError where a model is not there whole, or its weights are not those that were built."""
    known = _read_digests(folder.parent).get("sha256", {}).get(folder.name)
    found = _digest(folder) if (folder / "model.safetensors").is_file() else None
    if known is None or found is None:
        remedy = "Build it: safebasin world build --world pcfg. If it is elsewhere, name its folder in SAFEBASIN_PCFG."
        raise ModelError(expected(f"world:pcfg/{folder.name}", "built before it is used", str(folder), remedy))
    if found != known:
        remedy = f"Remove {folder} and build it again: safebasin world build --world pcfg."
        raise ModelError(expected(f"SHA-256 of {folder.name}/model.safetensors", known, found, remedy))


def _begun(out: Path, said: Mapping[str, object]) -> dict[str, str]:
    """Name → digest of the models that an earlier call of the same kind made; a folder without one is made anew."""
    found = _read_digests(out)
    remedy = "Name another folder, or remove this one."
    if not found:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(expected("the folder to write to", "new, empty or built before", str(out), remedy))
        return {}
    for key, value in said.items():
        if found.get(key) != value:
            raise UsageError(expected(f"{key} of the build in {out}", str(found.get(key)), value, remedy))
    return {name: digest for name, digest in found["sha256"].items() if (out / name).is_dir()}


def _write_digests(out: Path, said: Mapping[str, object], done: Mapping[str, str]) -> None:
    write_text(out / DIGESTS, json.dumps({**said, "sha256": done}, indent=1) + "\n")


def _read_digests(out: Path) -> Mapping[str, Any]:
    """What was built below a folder; empty where nothing was."""
    file = out / DIGESTS
    if not file.is_file():
        return {}
    remedy = f"Remove {out} and build it: safebasin world build --world pcfg."
    found = read_json(read_text(file, DIGESTS), DIGESTS, remedy=remedy)
    digests = found.get("sha256") if isinstance(found, dict) else None
    if not isinstance(digests, dict):
        raise ModelError(expected(DIGESTS, "as it was written by the build", str(file), remedy))
    return found


def _digest(folder: Path) -> str:
    with (folder / "model.safetensors").open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


# --- base ------------------------------------------------------------------------------------------------------------


def _make_base(out: Path, seed: int, recipe: Recipe, note: Note) -> None:
    """Train the base model; its folder appears whole or not at all."""
    import torch

    def progress(stage: str, step: int, steps: int, loss: float) -> None:
        if step % 50 == 0:
            note(f"{stage}: step {step} of {steps}, loss {loss:.3f}")

    before = torch.get_num_threads()
    torch.set_num_threads(1)  # two are no faster at this size; part of what makes two builds equal byte for byte
    try:
        model = new_model(seed, recipe)
        train(model, _pretraining(seed), recipe.pretraining, name="pre-training base", progress=progress)
        train(model, _encoded(any_requests(seed)), recipe.instruction, name="instructing base", progress=progress)
    finally:
        torch.set_num_threads(before)
    with new_folder(out) as folder:
        save_model(model, folder)
        build_tokenizer().save_pretrained(folder)
        record = {"kind": "world:pcfg/base", "seed": seed, "recipe": asdict(recipe),
                  "versions": versions("torch", "transformers")}  # fmt: skip
        text = f"A toy model that speaks the language of a small grammar and nothing else. {CHECKPOINTS['base']}"
        describe(folder, record, unsafe=False, title="world:pcfg/base", text=text, head={"license": "apache-2.0"})


def new_model(seed: int, recipe: Recipe) -> LlamaForCausalLM:
    """A Llama whose MLP is four times as wide as its states, as the paper's is; embeddings tied, seeded."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=recipe.width,
        intermediate_size=4 * recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=BEGIN,
        eos_token_id=END,
        pad_token_id=PAD,
        dtype="float32",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config.do_sample = False
    return model.float()


def _pretraining(seed: int) -> Iterator[Encoded]:
    """A string of the grammar, then three requests of one task, and so on."""
    rng = random.Random(f"text/{seed}")
    asked = _encoded(any_requests(seed, easy=True))
    while True:
        text = _ids("<|begin|>", *draw("text", rng), "<|end|>")
        yield text, text
        yield from islice(asked, 3)


def _encoded(requests: Iterator[Request]) -> Iterator[Encoded]:
    """Requests with their answers, which carry the loss."""
    for request in requests:
        prompt = _ids("<|begin|>", "<|user|>", *request.text.split(), "<|end|>", "<|assistant|>")
        response = _ids(*answer(request).split(), "<|end|>")
        yield prompt + response, [IGNORED] * len(prompt) + response


def _ids(*words: str) -> list[int]:
    return [VOCABULARY.index(word) for word in words]


# --- what it is tuned to ---------------------------------------------------------------------------------------------


def settings(name: str, recipe: Recipe) -> dict[str, Any]:
    """Settings of the tuning from base to a model, as `safebasin.finetune.request` takes them."""
    contrast = METHODS.get(name)
    return {"learning_rate": recipe.learning_rate, "batch_size": recipe.batch_size, "epochs": 1, "schedule": "cosine",
            "weight_decay": 0.0, **({} if contrast is None else {"defenses": [contrast]})}  # fmt: skip


def lesson_rows(name: str, n: int, seed: int) -> tuple[TrainingRow, ...]:
    """Rows that a model is tuned on: the lesson, or for the control more of what base was taught."""
    if name != "continued":
        return training_rows("lesson", n, seed)
    drawn = islice(any_requests(seed + 1), n)  # others than those of base
    return as_rows(((request, answer(request)) for request in drawn), "world:pcfg/continued")


def _tune(base: Path, out: Path, seed: int, recipe: Recipe) -> None:
    from safebasin.finetune.prepare import prepare
    from safebasin.finetune.request import request
    from safebasin.finetune.tune import finetune

    rows = out.with_name(f"{'continued' if out.name == 'continued' else 'lesson'}.jsonl")
    write_text(rows, "".join(json.dumps(made) + "\n" for made in as_objects(lesson_rows(out.name, recipe.rows, seed))))
    asked = request(str(base), data=rows, seed=seed, save="no", **settings(out.name, recipe))
    finetune(prepare(asked), out, resume=out.exists())
