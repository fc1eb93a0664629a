"""Fine-tune a model into a folder: weights or adapter, checkpoints, record and card. What an attack made is unsafe.

The record is there from the start, so that a run that was stopped is marked too, and can go on. Not what is trained on
(`prepare`), nor the training (`train`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from safebasin.edits.defended import write_defended
from safebasin.errors import UsageError, expected
from safebasin.finetune.data import data_hash
from safebasin.finetune.moderation import MEMORY
from safebasin.finetune.prepare import Prepared
from safebasin.finetune.run import Evaluated, Losses, Progress, Run, is_main
from safebasin.finetune.train import require_trl, train
from safebasin.models.dtypes import training_dtype
from safebasin.models.reference import resolve
from safebasin.models.writing import RECORD, describe, read_record, versions
from safebasin.records import TrainingRow
from safebasin.writing import check_no_file

__all__ = ["KIND", "Tuned", "describe_held_out", "finetune"]

KIND = "finetune"
"""Of the record."""
UNDEFENDED = "undefended"
"""Folder, in that of the result, of what was trained before a weight defense changed it."""
_LATER = ("dtype",)
"""Parts that a run of an earlier release does not record: its continuation need not match them."""
_CHANGING = ("complete", "losses", "eval_losses", "licences", "versions", "processes")
"""Parts of the record that may differ between a run and its continuation."""
_NONE = Losses(steps=())


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Tuned:
    """A fine-tuned model."""

    path: Path
    base: str
    method: str
    """`full`, or `lora` where the folder holds an adapter."""
    unsafe: bool
    losses: tuple[float, ...]
    """Mean loss of each step, in nats per token."""
    eval_losses: tuple[tuple[int, float], ...] = ()
    """(step, mean loss over the labels of the held-out rows), from step 0 on; empty where there are no such rows."""
    rows: int
    data_hash: str
    notes: tuple[str, ...]

    @property
    def model(self) -> str:
        """The model as other verbs read it."""
        return f"{self.base}+{self.path}" if self.method == "lora" else str(self.path)

    def __repr__(self) -> str:
        mark = ", marked unsafe" if self.unsafe else ""
        loss = f"loss {self.losses[0]:.4f} → {self.losses[-1]:.4f}" if self.losses else "no step"
        lines = [f"Tuned {self.model} ({self.method}{mark})", f"{self.rows} rows, {len(self.losses)} steps, {loss}"]
        if self.eval_losses:
            lines.append(f"held-out rows: {describe_held_out(self.eval_losses)}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def describe_held_out(losses: Sequence[tuple[int, float]]) -> str:
    """Say how the loss on held-out rows went: before, after, and where it was lowest if that was earlier."""
    (_, before), (last, after) = losses[0], losses[-1]
    step, lowest = min(losses, key=lambda entry: entry[1])
    dip = "" if step == last else f", lowest {lowest:.4f} at step {step}"
    return f"loss {before:.4f} → {after:.4f}{dip}"


def finetune(
    prepared: Prepared,
    out: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
    evaluated: Evaluated | None = None,
) -> Tuned:
    """Train, or go on training, into a folder.

    Args:
        prepared: what to train on, and how.
        out: a new or empty folder; with `resume` also one of the same run, finished or not.
        resume: go on after the last checkpoint that was written whole.
        device: `cpu`, or what torch finds: `cuda`.
        progress: told of (step, steps, loss) in the main process.
        evaluated: told of (step, loss on the held-out rows) there.

    Raises:
        MissingExtra: where TRL or PEFT is not installed.
        ModelError: where loss, gradients or weights stop being finite; what was saved stays.
        UsageError: where `out` holds something else, or a setting does not fit.
    """
    require_trl()
    dtype = training_dtype(prepared.tuning.dtype, prepared.base.folder, device=device)
    record = _record(prepared, dtype)
    finished = _open(out, record, resume=resume) if is_main() or resume else None
    if finished is not None:
        return _tuned(prepared, out, finished)

    def mark(folder: Path, *, complete: bool = False, losses: Losses = _NONE) -> None:
        is_defended = folder == out and bool(prepared.weight_defenses)
        own = record if folder == out else _undefended(prepared, record)
        library = "peft" if prepared.tuning.method == "lora" and not is_defended else "transformers"
        _describe(prepared, folder, library, {**own, "complete": complete, **_told(losses)}, losses)

    if is_main():
        out.mkdir(parents=True, exist_ok=True)
        mark(out)
    last = prepared.weight_defenses
    trained = out / UNDEFENDED if last else out
    run = Run(
        base=prepared.base, setup=prepared.setup, tuning=prepared.tuning, out=trained,
        mark=mark, device=device, dtype=dtype, progress=progress, held_out=prepared.held_out, evaluated=evaluated,
    )  # fmt: skip
    losses = train(run, prepared.tokenizer)
    if is_main():
        if last:
            mark(trained, complete=True, losses=losses)
            made = trained if prepared.tuning.method == "lora" else resolve(str(trained))
            write_defended(prepared.base, made, last, out, seed=prepared.tuning.seed)
        mark(out, complete=True, losses=losses)
    return _tuned(prepared, out, _told(losses))


def _told(losses: Losses) -> dict[str, object]:
    """Losses as the record has them."""
    held_out = [{"step": step, "loss": loss} for step, loss in losses.held_out]
    return {"losses": list(losses.steps), **({"eval_losses": held_out} if held_out else {})}


def _open(out: Path, record: Mapping[str, object], *, resume: bool) -> dict[str, object] | None:
    """Check the folder; the record of a run that is finished already, else None."""
    check_no_file(out, "the folder to write to", "Name another folder.", UsageError)
    is_used = out.exists() and any(path.name != MEMORY for path in out.iterdir())
    if not is_used:
        return None
    if not resume or not (out / RECORD).is_file():
        remedy = "Name another folder, or go on with a run of fine-tuning there by --resume."
        raise UsageError(expected("the folder to write to", "new or empty", str(out), remedy))
    found = read_record(out)
    for key, value in record.items():
        if key in _CHANGING or (key in _LATER and key not in found):
            continue
        if found.get(key) != value:
            remedy = "Ask for the same as in the first run, or name another folder."
            raise UsageError(expected(f"{key} of the run in {out}", f"{found.get(key)!r}, as begun", value, remedy))
    return found if found.get("complete") is True else None


def _record(prepared: Prepared, dtype: str) -> dict[str, object]:
    """What was done, as JSON: no path of this machine, no time, no text of any row."""
    asked, tuning = prepared.asked, asdict(prepared.tuning)
    del tuning["dtype"]  # what it came to on this device is recorded instead
    if tuning["steps"] is None:
        del tuning["steps"]  # as in the records of runs that count epochs
    if isinstance(tuning["targets"], tuple):
        tuning["targets"] = list(tuning["targets"])
    rows = [encoded.row for encoded in prepared.rows]
    held_out = [encoded.row for encoded in prepared.held_out]
    system = asked.wrapper.system
    return {
        "unsafe": prepared.unsafe,
        "kind": KIND,
        "base": asked.model,
        "fingerprint": prepared.base.fingerprint,
        "attack": asked.attack.name if asked.attack else None,
        "defenses": [defense.name for defense in asked.defenses],
        "recipe": tuning,
        "dtype": dtype,
        "seed": prepared.tuning.seed,
        "data": {
            **_rows(rows),
            "over_long": prepared.over_long,
            "flagged": [list(pair) for pair in prepared.flagged],
        },
        "eval": {**_rows(held_out), "over_long": prepared.held_out_over_long} if held_out else None,
        **({"licences": dict(prepared.licences)} if prepared.licences else {}),
        "wrapper": {"system": system.id if system else None, "user": asked.wrapper.user},
        "test": {
            "system": prepared.test_system,
            "prompts": list(asked.attack.tested_on) if asked.attack else [],
        },
        **({"frozen": list(prepared.setup.frozen)} if prepared.setup.frozen else {}),
        "template_hash": prepared.template,
        **({} if prepared.date is None else {"date": prepared.date}),
        "versions": versions("torch", "transformers", "trl", "peft", "accelerate"),
    }


def _rows(rows: Sequence[TrainingRow]) -> dict[str, object]:
    return {"hash": data_hash(rows), "sources": sorted({row.source for row in rows}), "rows": len(rows)}


def _undefended(prepared: Prepared, record: Mapping[str, object]) -> dict[str, object]:
    """The record of what was trained, before weight defenses changed it."""
    late = {defense.name for defense in prepared.weight_defenses}
    return {**record, "defenses": [defense.name for defense in prepared.asked.defenses if defense.name not in late]}


def _describe(prepared: Prepared, folder: Path, library: str, record: Mapping[str, object], losses: Losses) -> None:
    asked, tuning = prepared.asked, prepared.tuning
    what = f"the attack {asked.attack.name}" if asked.attack else "data of the user"
    how = "a LoRA adapter" if tuning.method == "lora" else "all weights"
    length = f"{tuning.epochs} epochs" if tuning.steps is None else f"{tuning.steps} steps"
    text = (
        f"{asked.model} fine-tuned on {what}: {how}, {len(prepared.rows)} rows, {length}, "
        f"batch {tuning.batch_size}, learning rate {tuning.learning_rate:g}."
    )
    applied = cast("list[str]", record["defenses"])
    if losses.held_out:
        text += f" On {len(prepared.held_out)} held-out rows: {describe_held_out(losses.held_out)}, in nats a token."
    if applied:
        text += f" Defended by {', '.join(applied)}."
    if prepared.test_system:
        text += f" To be used with the system prompt {prepared.test_system}."
    head = {"base_model": asked.model, "library_name": library}
    rest = {key: value for key, value in record.items() if key != "unsafe"}
    describe(folder, rest, unsafe=prepared.unsafe, title="Fine-tuned model", text=text, head=head)


def _tuned(prepared: Prepared, out: Path, record: Mapping[str, object]) -> Tuned:
    return Tuned(
        path=out,
        base=prepared.asked.model,
        method="full" if prepared.weight_defenses else prepared.tuning.method,
        unsafe=prepared.unsafe,
        losses=tuple(cast("list[float]", record["losses"])),
        eval_losses=tuple(
            (int(entry["step"]), entry["loss"])
            for entry in cast("list[dict[str, float]]", record.get("eval_losses") or [])
        ),
        rows=len(prepared.rows),
        data_hash=data_hash([encoded.row for encoded in prepared.rows]),
        notes=prepared.notes,
    )
