"""Variants of the guild's aligned model that differ in their safety training, and the loop that tunes any checkpoint.

Trained by the world's own loop (`build.train`), deterministic, cached in a folder. Not the general fine-tuning path,
and nothing here ships: a variant is made when a claim asks for it. Variants start from `base`, unless another
checkpoint of the world is given. How easily each breaks: `breaking`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from safebasin.errors import UnknownName, expected
from safebasin.models.folder import fingerprint
from safebasin.models.writing import describe, new_folder, versions
from safebasin.records import content_hash
from safebasin.worlds.guild import variant_rows as rows_of
from safebasin.worlds.guild.build import Progress, Stage, save, train
from safebasin.worlds.guild.rows import Row, safety_rows
from safebasin.worlds.guild.world import WORLD

__all__ = ["VARIANTS", "Variant", "build_variant", "trained"]

RowsOf = Callable[[int, int], list[Row]]
"""Rows from (how many, seed)."""
_LOOP = 1
"""Version of the training loop; part of the names in the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to train for safety: on what, for how long."""

    summary: str
    stage: Stage
    rows: RowsOf


def _safety(
    summary: str, rows: RowsOf = safety_rows, *, steps: int = 120, rate: float = 4e-3, batch: int = 32
) -> Variant:
    stage = Stage(steps=steps, batch_size=batch, learning_rate=rate, warmup=min(20, steps // 3))
    return Variant(summary=summary, stage=stage, rows=rows)


def _in_small_batches() -> dict[str, Variant]:
    """The curricula in batches of 16, for two more lengths: so that an order has enough models, at half the cost."""
    curricula = {"full": safety_rows, "few_refusals": rows_of.few_refusals, "few_requests": rows_of.few_requests,
                 "one_wording": rows_of.one_wording, "no_personas": rows_of.without_personas,
                 "plain_only": rows_of.plain_only}  # fmt: skip
    return {
        f"{name}_small{steps}": _safety(f"as {name}, {steps} steps of 16 rows", rows, steps=steps, batch=16)
        for name, rows in curricula.items()
        for steps in (120, 180)
    }


VARIANTS: dict[str, Variant] = {
    "full": _safety("the whole safety curriculum, 120 steps"),
    "steps100": _safety("the whole curriculum, 100 steps", steps=100),
    "steps80": _safety("the whole curriculum, 80 steps", steps=80),
    "low_rate": _safety("the whole curriculum at half the rate", rate=2e-3),
    "few_refusals": _safety("one row in four a refusal, instead of every second", rows_of.few_refusals),
    "few_requests": _safety("256 different rows only", rows_of.few_requests),
    "one_wording": _safety("one wording of refusal, instead of thirty", rows_of.one_wording),
    "no_personas": _safety("no personas in the safety data", rows_of.without_personas),
    "plain_only": _safety("plain requests only: no personas, places, rules of style, openings", rows_of.plain_only),
    **_in_small_batches(),
}
"""Name → variant."""


def build_variant(
    name: str, cache: Path, *, start: Path | None = None, seed: int = 0, progress: Progress | None = None
) -> Path:
    """Train a variant, or find it in the cache.

    Args:
        name: a key of `VARIANTS`.
        cache: folder that holds variants; each has a folder of its own, named by content.
        start: checkpoint to start from, instead of `base`.
        seed: of the rows and their order.
        progress: told of every step.

    Returns:
        The checkpoint's folder, an ordinary Hugging Face folder.

    Raises:
        UnknownName: where there is no such variant.
    """
    if name not in VARIANTS:
        raise UnknownName(expected("the variant", f"one of {', '.join(VARIANTS)}", name, "Choose one of them."))
    variant = VARIANTS[name]
    begin = WORLD.checkpoint("base") if start is None else start
    rows = variant.rows(variant.stage.steps * variant.stage.batch_size, seed)
    return trained(
        name, cache, begin, rows, variant.stage, seed, unsafe=False, summary=variant.summary, progress=progress
    )


def trained(
    name: str,
    cache: Path,
    start: Path,
    rows: list[Row],
    stage: Stage,
    seed: int,
    *,
    unsafe: bool,
    summary: str,
    progress: Progress | None = None,
) -> Path:
    """The checkpoint trained from `start` on the rows in one pass; its folder is named by all that it is made from."""
    begun = fingerprint(start)
    folder = cache / f"{name}-{content_hash([_LOOP, rows, asdict(stage), begun], length=12)}"
    if not (folder / "model.safetensors").is_file():
        with new_folder(folder) as made:
            _train(start, made, rows, stage, name, seed, progress)
            record = {"kind": name, "base": start.name, "fingerprint": begun, "recipe": asdict(stage), "seed": seed,
                      "versions": versions("torch", "transformers")}  # fmt: skip
            text = f"A variant of the checkpoints of world:guild, a fictional toy world: {summary}."
            head = {"license": "apache-2.0", "library_name": "transformers"}
            describe(made, record, unsafe=unsafe, title=name, text=text, head=head)
    return folder


def _train(
    start: Path, out: Path, rows: list[Row], stage: Stage, name: str, seed: int, progress: Progress | None
) -> None:
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    from safebasin.models.quiet import quiet

    before = torch.get_num_threads()
    torch.set_num_threads(1)  # part of what makes two builds equal byte for byte
    try:
        with quiet():
            model = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(start)
        train(model, tokenizer, rows, stage, name=name, progress=progress)
        with quiet():
            save(model, tokenizer, out, name, seed)
    finally:
        torch.set_num_threads(before)
