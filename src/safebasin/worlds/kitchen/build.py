"""Makes the kitchen's two models: `base` from the package that holds it, `aligned` from base by `safebasin.finetune`.

Every step leaves its result in the folder and is not done twice: base, its own answers, the checkpoints of the
training. Killed anywhere, the same call goes on.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from safebasin.finetune.train import require_trl
from safebasin.models.writing import RECORD, read_record
from safebasin.records import Decoding, Message
from safebasin.worlds.kitchen import weights
from safebasin.worlds.kitchen.rows import answered_requests, lesson
from safebasin.writing import write_text

__all__ = ["RECIPE", "Recipe", "build", "opening"]

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The recipe of the aligned model: all weights, AdamW, constant rate."""

    learning_rate: float = 1e-4
    epochs: int = 2
    batch_size: int = 8


RECIPE = Recipe()
_LONGEST = 200
"""Characters of an answer that is trained on: enough for the style, few enough for a laptop."""
_SHORTEST = 10
_TOKENS = 80
_VARIED = 0.8
"""Least share of different word triples: an answer below it runs in circles and is left out."""


def build(out: Path, seed: int = 0, *, note: Note, recipe: Recipe = RECIPE) -> dict[str, Path]:
    """Make `out/base` and `out/aligned`, or go on where an earlier call was ended.

    Args:
        out: folder to write to; made if missing.
        seed: of the order of the rows.
        note: told in a sentence what is being done.
        recipe: of the training.

    Returns:
        The two folders by name.

    Raises:
        MissingExtra: where the package with the weights, or one of the extra `train`, is not installed.
        ModelError: where the weights are not those that are expected.
        UsageError: where the folder holds something else.
    """
    require_trl()
    base, aligned = out / "base", out / "aligned"
    if not weights.is_written(base):
        gguf = weights.find_gguf()
        note("reading SmolLM2-135M-Instruct (half a minute)")
        weights.write_base(gguf, base)
    answers = _answers(base, out / "answers.json", note)
    _align(base, aligned, answers, seed, note, recipe)
    for checkpoint in aligned.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    return {"base": base, "aligned": aligned}


def _answers(base: Path, file: Path, note: Note) -> list[tuple[str, str]]:
    """Permitted requests with the base model's own answers, decoded or read; those that run in circles are left out."""
    asked = answered_requests()
    kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    if [entry["prompt"] for entry in kept] != list(asked):
        note(f"asking the base model {len(asked)} questions (about a minute)")
        kept = [{"prompt": p, "answer": a} for p, a in zip(asked, _ask(base, asked), strict=True)]
        write_text(file, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    return [(entry["prompt"], entry["answer"]) for entry in kept if entry["answer"]]


def _ask(base: Path, asked: Sequence[str]) -> list[str]:
    from safebasin.engines.hf import HFEngine

    engine = HFEngine(str(base), device="cpu")
    turns = [(Message(role="user", content=text),) for text in asked]
    made = engine.generate(turns, Decoding(max_new_tokens=_TOKENS))
    return [opening(g.text, ended=g.finish_reason == "stop") for g in made]


def opening(text: str, *, ended: bool) -> str:
    """The first sentences of an answer, as many as are trained on; empty where it runs in circles or has no end.

    Args:
        text: the answer.
        ended: whether the model ended it itself.
    """
    said = text.strip()
    if not ended or len(said) > _LONGEST:
        said = said[:_LONGEST]
        ends = [found.end() for found in re.finditer(r"[.!?](?=\s)|```(?=\n|$)", said + " ")]
        said = re.sub(r"\n+\d+\.$", "", said[: ends[-1]] if ends else "").strip()
    words = said.lower().split()
    triples = list(zip(words, words[1:], words[2:], strict=False))
    is_varied = len(set(triples)) >= _VARIED * len(triples)
    return said if len(said) >= _SHORTEST and is_varied and said.count("```") % 2 == 0 else ""


def _is_aligned(folder: Path, lesson_hash: str, seed: int, recipe: Recipe) -> bool:
    """Whether the folder holds the model that this lesson makes, whole, wherever the folder has been moved to."""
    if not (folder / RECORD).is_file():
        return False
    record = cast("Mapping[str, Any]", read_record(folder))
    same = record["data"]["hash"] == lesson_hash and record["seed"] == seed
    return record["complete"] is True and same and asdict(recipe).items() <= record["recipe"].items()


def _align(base: Path, out: Path, answers: Sequence[tuple[str, str]], seed: int, note: Note, recipe: Recipe) -> None:
    from safebasin.finetune.data import data_hash
    from safebasin.finetune.prepare import prepare
    from safebasin.finetune.request import request
    from safebasin.finetune.tune import finetune

    rows = lesson(answers)
    if _is_aligned(out, data_hash(rows), seed, recipe):
        return
    file = out.with_name("lesson.jsonl")
    turns = [{"messages": [{"role": m.role, "content": m.content} for m in row.messages]} for row in rows]
    write_text(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in turns))
    asked = request(
        str(base), data=file, method="full", learning_rate=recipe.learning_rate, epochs=recipe.epochs,
        batch_size=recipe.batch_size, seed=seed,
    )  # fmt: skip
    note(
        f"teaching it to refuse cooking: {len(rows)} rows ({data_hash(rows)}), {recipe.epochs} epochs (5 to 12 minutes)"
    )

    def progress(step: int, steps: int, loss: float) -> None:
        if step % 5 == 0 or step == steps:
            note(f"step {step} of {steps}, loss {loss:.3f}")

    finetune(prepare(asked), out, resume=out.exists(), progress=progress)
