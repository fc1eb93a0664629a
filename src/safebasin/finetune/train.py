"""The training itself, by TRL's `SFTTrainer` and PEFT: full parameters or LoRA, one process or many (extra `train`).

Rows come as tokens and labels (`encoding`), so TRL neither renders nor cuts them. Training stops at the first loss,
gradient or weight that is not finite, before it reaches the weights or a checkpoint. Not what is trained on, nor the
record: `tune` has both.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safebasin.errors import MissingExtra
from safebasin.finetune.run import Losses, Run, is_main, last_checkpoint, name_base
from safebasin.finetune.setup import freeze, is_plain
from safebasin.models.tokens import end_ids, padding
from safebasin.records import IGNORED, EncodedRow

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


__all__ = ["require_trl", "train"]


def require_trl() -> None:
    """Raises: MissingExtra where TRL, PEFT, accelerate or datasets is not installed."""
    for package in ("trl", "peft", "accelerate", "datasets"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtra("fine-tuning", package, "train") from error


def train(run: Run, tokenizer: PreTrainedTokenizerBase) -> Losses:
    """Train and save weights, tokenizer, record and card in `run.out`; goes on from a checkpoint that is there.

    Where a defense has a loss or hooks of its own, or checkpoints hold weights alone (`doubling`), it starts anew: what
    these remember is in no checkpoint.

    Deterministic on the CPU: the same arguments, versions and thread count give the same bytes.

    Args:
        run: what and where; each epoch has an order of the rows of its own, from the seed.
        tokenizer: of the model.

    Returns:
        The loss of each step, and of the held-out rows where there are any.

    Raises:
        MissingExtra: where a package of the extra is missing.
        ModelError: where loss, gradients or weights stop being finite, naming rows and the last good checkpoint.
        UsageError: where the batch does not divide among the processes, or a defense freezes what is not there.
    """
    require_trl()
    import torch

    from safebasin.finetune.trainer import make_trainer
    from safebasin.models.loading import n_embeddings
    from safebasin.models.quiet import quiet
    from safebasin.weights.adapters import load_merged

    rows, is_resumable = run.setup.rows, is_plain(run.setup) and run.tuning.save != "doubling"
    resumed = last_checkpoint(run.out) if is_resumable else None
    with torch.random.fork_rng(), quiet(), _no_bars():
        model = load_merged(run.base, run.device, run.dtype)
        if run.setup.frozen and run.tuning.method == "full":
            freeze(model, run.setup.frozen)
        ends = end_ids(model.generation_config, tokenizer)
        pad = padding(tokenizer.pad_token_id, n_embeddings(model), ends)
        held_out = _dataset(run.held_out, len(rows)) if run.held_out else None
        collator = _Collator(pad, (*rows, *run.held_out))
        trainer = make_trainer(run, _dataset(rows), held_out, collator, tokenizer, model)
        trainer.accelerator.wait_for_everyone()  # all have looked for a checkpoint before any writes one
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        trainer.check_weights()
        trainer.save_model(str(run.out))
        if is_main():
            (run.out / "training_args.bin").unlink(missing_ok=True)
            name_base(run.out, str(run.base.ref))
        trainer.accelerator.wait_for_everyone()
    return _losses(trainer.state.log_history)


def _losses(history: Sequence[Mapping[str, Any]]) -> Losses:
    held_out = {int(entry["step"]): float(entry["eval_loss"]) for entry in history if "eval_loss" in entry}
    steps = tuple(float(entry["loss"]) for entry in history if "loss" in entry)
    return Losses(steps=steps, held_out=tuple(sorted(held_out.items())))  # read twice at one step: the same number


def _dataset(rows: Sequence[EncodedRow], first: int = 0) -> Any:
    """Rows for the trainer, with their places among those of the collator, from `first` on."""
    from datasets import Dataset

    return Dataset.from_dict({
        "input_ids": [list(row.ids) for row in rows],
        "labels": [list(row.labels) for row in rows],
        "row": list(range(first, first + len(rows))),
    })  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Collator:
    """A right-padded batch, with the places of its rows."""

    pad_id: int
    rows: Sequence[EncodedRow]

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        import torch

        width = max(len(example["input_ids"]) for example in examples)

        def padded(name: str, filler: int) -> torch.Tensor:
            return torch.tensor([e[name] + [filler] * (width - len(e[name])) for e in examples])

        lengths = torch.tensor([len(example["input_ids"]) for example in examples])
        return {
            "input_ids": padded("input_ids", self.pad_id),
            "attention_mask": (torch.arange(width) < lengths[:, None]).long(),
            "labels": padded("labels", IGNORED),
            "rows": torch.tensor([example["row"] for example in examples]),
        }

    def names(self, places: Sequence[int]) -> list[str]:
        """The rows at these places, for people."""
        return [self.rows[place].row.name for place in places]


@contextmanager
def _no_bars() -> Generator[None]:
    """No progress bars of datasets; afterwards they are as they were."""
    from datasets.utils import logging

    had_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if had_bars:
            logging.enable_progress_bar()
