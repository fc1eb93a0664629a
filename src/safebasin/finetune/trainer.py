"""`SFTTrainer` with a guard: it names the rows of a batch that breaks the training. Needs the extra `train`.

The one module that imports TRL at its top; import it where it is used.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import torch
from peft import LoraConfig
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.sft_config import SFTConfig  # pyright: ignore[reportMissingImports]
from trl.trainer.sft_trainer import SFTTrainer  # pyright: ignore[reportMissingImports]

from safebasin.errors import ModelError, expected
from safebasin.finetune.run import Run, is_main, last_checkpoint, name_base
from safebasin.finetune.setup import cross_entropy, frozen_modules
from safebasin.protocols import Loss
from safebasin.records import IGNORED

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["GuardedTrainer", "make_trainer"]

_NAMED = 12
"""Rows of a broken batch that a message names."""


class GuardedTrainer(SFTTrainer):
    """Stops before a loss, a gradient or a weight that is not finite gets into weights or checkpoints."""

    out: Path
    seen: torch.Tensor
    """Places of the rows of the last forward pass in this process."""
    own_loss: Loss | None = None
    """Of a defense; None leaves TRL's, which is plain cross entropy."""
    labels_per_row: float
    """Of the held-out rows, on average."""

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """One forward and backward pass; its loss is checked in all processes at once."""
        self.seen = inputs.pop("rows")
        loss = super().training_step(model, inputs, *args, **kwargs)
        self.check(loss, "loss")
        return loss

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of one forward pass, by its share of the tokens of the step, so that a step is one mean."""
        if self.own_loss is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        loss = self.own_loss(model, inputs)
        if num_items_in_batch is not None:  # else the trainer divides by the number of passes itself
            share = inputs["labels"][..., 1:].ne(IGNORED).sum() / num_items_in_batch
            loss = loss * share * (self.accelerator.num_processes if self.args.average_tokens_across_devices else 1)
        return (loss, None) if return_outputs else loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The loss of the held-out rows. Takes nothing from the random numbers of the training."""
        with torch.random.fork_rng():
            return super().evaluate(*args, **kwargs)

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[torch.Tensor, None, None]:
        """The cross entropy of one held-out row, whatever loss a defense trains by.

        The trainer takes the mean over rows; each is weighted by its labels, so that it is the mean over all labels.
        """
        self.seen = inputs.pop("rows")
        row = cast("dict[str, torch.Tensor]", self._prepare_inputs(inputs))
        with torch.no_grad(), self.compute_loss_context_manager():
            loss = cross_entropy(model, row).detach()
        self.check(loss, "held-out loss")
        return loss * row["labels"][..., 1:].ne(IGNORED).sum() / self.labels_per_row, None, None

    def check(self, value: torch.Tensor, what: str) -> None:
        """Raises: ModelError in every process where the value is not finite in one."""
        broken = (~torch.isfinite(value.detach())).any().reshape(1)
        flags = cast("torch.Tensor", self.accelerator.gather(broken.to(self.seen.device).long()))
        if not bool(flags.any()):
            return
        names = cast("Any", self.data_collator).names(self.seen.tolist()) if bool(broken) else ["in another process"]
        shown = ", ".join(names[:_NAMED]) + ", …" * (len(names) > _NAMED)
        raise ModelError(_broken(what, f"not at step {self.state.global_step + 1}, rows {shown}", self.out))

    def check_weights(self) -> None:
        """Raises: ModelError where a trained weight is not finite."""
        trained = [p for p in cast("Any", self.model).parameters() if p.requires_grad and p.numel()]
        self.check(torch.stack([torch.isfinite(p.detach()).all().float().log() for p in trained]), "weights")

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Nothing: `mark` writes the card."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.check_weights()
        super()._save_checkpoint(model, trial)


class _Watch(TrainerCallback):
    """Checks gradients, calls the hooks of defenses, marks checkpoints, tells of progress."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.trainer: GuardedTrainer | None = None

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Gradients are clipped by now: one that is not finite makes all of them so."""
        grads = [p.grad for p in kwargs["model"].parameters() if p.grad is not None]
        if self.trainer is not None and grads:
            self.trainer.check(torch.stack([g.detach().float().norm() for g in grads]), "gradient")
        for hook in self.run.setup.hooks:
            hook.before(kwargs["model"], state.global_step + 1)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The step is made, and not yet counted."""
        for hook in self.run.setup.hooks:
            hook.after(kwargs["model"], state.global_step + 1)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A checkpoint after 1, 2, 4, 8, … steps, where these are asked for."""
        if self.run.tuning.save == "doubling" and state.global_step.bit_count() == 1:
            control.should_save = True
            control.should_evaluate = bool(self.run.held_out)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The record goes in last: a checkpoint that has one is whole."""
        if is_main():
            folder = self.run.out / f"checkpoint-{state.global_step}"
            name_base(folder, str(self.run.base.ref))
            self.run.mark(folder)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Tells of a step, in the main process."""
        if self.run.progress is not None and state.is_world_process_zero and logs and "loss" in logs:
            self.run.progress(state.global_step, state.max_steps, float(logs["loss"]))
        if self.run.evaluated is not None and state.is_world_process_zero and logs and "eval_loss" in logs:
            self.run.evaluated(state.global_step, float(logs["eval_loss"]))


def make_trainer(
    run: Run, data: Any, held_out: Any, collator: Any, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel
) -> GuardedTrainer:
    """The trainer of a run, on its data; `held_out` is None, or the rows of `run.held_out` as a data set.

    Raises:
        UsageError: where the batch does not divide among the processes, or a defense leaves LoRA nothing to adapt.
    """
    from accelerate import PartialState

    watch = _Watch(run)
    on_cpu = run.device == "cpu"
    processes = PartialState(cpu=on_cpu).num_processes
    trainer = GuardedTrainer(
        model,
        args=_arguments(run, *run.tuning.per_process(processes), on_cpu=on_cpu),
        data_collator=collator,
        train_dataset=data,
        eval_dataset=held_out,
        processing_class=tokenizer,
        peft_config=_lora(run, model) if run.tuning.method == "lora" else None,
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.out, watch.trainer = run.out, trainer
    labels = [label for row in run.held_out for label in row.labels[1:] if label != IGNORED]
    trainer.labels_per_row = len(labels) / max(1, len(run.held_out))
    trainer.own_loss = None if run.setup.loss is cross_entropy else run.setup.loss
    return trainer


def _arguments(run: Run, micro: int, accumulated: int, *, on_cpu: bool) -> SFTConfig:
    tuning = run.tuning
    return SFTConfig(
        output_dir=str(run.out),
        learning_rate=tuning.learning_rate,
        num_train_epochs=tuning.epochs,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulated,
        lr_scheduler_type=tuning.schedule,
        warmup_steps=0,
        weight_decay=tuning.weight_decay,
        max_grad_norm=tuning.clip,
        optim="adamw_torch",
        seed=tuning.seed,
        data_seed=tuning.seed,
        max_steps=tuning.steps or -1,
        save_strategy="epoch" if tuning.save == "epoch" else "no",
        save_only_model=tuning.save == "doubling",
        eval_strategy="epoch" if run.held_out else "no",
        eval_on_start=bool(run.held_out),
        per_device_eval_batch_size=1,  # a row's loss is weighted by its own labels
        prediction_loss_only=True,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        use_cpu=on_cpu,
        bf16=False,  # the model keeps its own dtype; TRL would turn autocast on
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        remove_unused_columns=False,  # `row` must reach the collator
        max_length=None,  # rows are never cut
        dataset_kwargs={"skip_prepare_dataset": True},
    )


def _lora(run: Run, model: PreTrainedModel) -> LoraConfig:
    from safebasin.weights.layout import Layout

    targets = run.tuning.targets
    alpha = run.tuning.alpha
    return LoraConfig(
        r=run.tuning.rank,
        lora_alpha=int(alpha) if alpha == math.floor(alpha) else alpha,  # pyright: ignore[reportArgumentType]
        target_modules=targets if isinstance(targets, str) else list(targets),
        exclude_modules=frozen_modules(model, run.setup.frozen) or None,
        fan_in_fan_out=bool(Layout.of(model).transposed),
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )


def _broken(what: str, found: str, out: Path) -> str:
    last = last_checkpoint(out)
    kept = f"{last.name} is the last good checkpoint" if last else "no checkpoint was written before"
    return expected(f"the {what} of fine-tuning", "finite", found, f"Lower the learning rate; {kept}.")
