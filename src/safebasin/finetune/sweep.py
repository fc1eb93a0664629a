"""A sweep: the same fine-tuning at every combination of some settings, each in a folder of its own.

Qi et al. 2023 sweep learning rate × batch size on benign data (§4.4): larger rates and smaller batches hurt more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from safebasin.errors import UsageError, expected
from safebasin.finetune.prepare import Prepared, TuningRequest, prepare
from safebasin.finetune.run import is_main
from safebasin.finetune.tune import Tuned
from safebasin.writing import KINDS, target_folder, write_text

__all__ = ["MOST_RUNS", "combinations", "sweep"]

_NAMES: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "lr": ("learning_rate", float),
    "batch": ("batch_size", int),
    "epochs": ("epochs", int),
    "rank": ("rank", int),
    "seed": ("seed", int),
}
"""As a user writes it, beside the name of its option → field of `Tuning`, and how a value is read."""


MOST_RUNS = 1000


def combinations(texts: Sequence[str]) -> tuple[dict[str, object], ...]:
    """Settings of each run of a sweep such as `["lr=2e-5,5e-5", "batch=16,32"]`; the last one varies fastest.

    Raises:
        UsageError: where a part does not read so, or they are more than `MOST_RUNS`.
    """
    axes: dict[str, list[object]] = {}
    for text in texts:
        name, equals, values = (part.strip() for part in text.partition("="))
        name = next((short for short, (long, _) in _NAMES.items() if name.replace("-", "_") == long), name)
        if not equals or name not in _NAMES or name in axes:
            constraint = f"NAME=VALUE,VALUE with each of {', '.join(_NAMES)} at most once"
            raise UsageError(expected("the sweep", constraint, text, "Write lr=2e-5,5e-5."))
        axes[name] = [_value(name, value) for value in values.split(",")]
    runs = math.prod(len(values) for values in axes.values())
    if runs > MOST_RUNS:
        shown = " × ".join(f"{len(values)} {name}" for name, values in axes.items())
        constraint = f"of at most {MOST_RUNS:,} runs, each a training of its own"
        raise UsageError(expected("the sweep", constraint, f"{runs:,} ({shown})", "Take fewer values."))
    return tuple(dict(zip(axes, values, strict=True)) for values in product(*axes.values()))


def sweep(
    asked: TuningRequest,
    texts: Sequence[str],
    out: Path,
    train: Callable[[Prepared, Path], Tuned],
) -> Iterator[Tuned]:
    """Fine-tune at every combination, in folders like `lr-5e-05_batch-16` under `out`; `sweep.json` lists them.

    Args:
        asked: what all have in common.
        texts: as of `combinations`.
        out: a new or empty folder, or that of the same sweep.
        train: makes one of them, in its folder (`tune.finetune`).

    Raises:
        UsageError: as `combinations`, `prepare.prepare` and `train`.
    """
    target_folder(out, KINDS["a sweep"], error=UsageError)
    done: list[dict[str, object]] = []
    for chosen in combinations(texts):
        if "rank" in chosen and dict(asked.settings).get("method") != "lora":
            raise UsageError(expected("rank of the sweep", "given with --method lora", texts, "Add --method lora."))
        settings = {**dict(asked.settings), **{_NAMES[name][0]: value for name, value in chosen.items()}}
        folder = "_".join(f"{name}-{value}" for name, value in chosen.items())
        prepared = prepare(replace(asked, settings=tuple(settings.items())))
        tuned = train(prepared, out / folder)
        held_out = {"eval_loss": tuned.eval_losses[-1][1]} if tuned.eval_losses else {}
        done.append({"folder": folder, **chosen, "loss": tuned.losses[-1], **held_out})
        if is_main():
            write_text(out / "sweep.json", json.dumps(done, indent=1) + "\n")
        yield tuned


def _value(name: str, text: str) -> object:
    try:
        return _NAMES[name][1](text)
    except ValueError:
        raise UsageError(expected(f"{name} of the sweep", "numbers with commas", text, "Mend it.")) from None
