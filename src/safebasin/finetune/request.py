"""What a user writes, as command line and API take it, becomes what is asked for: names, files and texts resolved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Unpack, cast

from safebasin import catalog
from safebasin.errors import UsageError, expected
from safebasin.finetune.data import Wrapper
from safebasin.finetune.defenses import mix_safe as mixing
from safebasin.finetune.defenses import moderate as moderation
from safebasin.finetune.defenses import ptst as pure_tuning
from safebasin.finetune.moderation import MEMORY
from safebasin.finetune.options import TuningFlags
from safebasin.finetune.prepare import TuningRequest
from safebasin.finetune.settings import Tuning
from safebasin.items import items
from safebasin.models.writing import RECORD, read_record
from safebasin.prompts.systems import system_prompt
from safebasin.protocols import Defense

__all__ = ["request"]

_HELP = "safebasin finetune --help"


def request(model: str, *, out: Path | None = None, **flags: Unpack[TuningFlags]) -> TuningRequest:
    """Resolve names, files and texts to a request: what to fine-tune on what, and how.

    Args:
        model: `path[@revision][#part][+adapter]` or `world:NAME/CHECKPOINT`.
        out: folder of the run, where moderation by a judge that asks another model is remembered.
        **flags: see `options.TuningFlags`.

    Raises:
        UsageError: naming the first argument that does not hold.
    """
    attack, system, wrap = flags.get("attack"), flags.get("system"), flags.get("wrap")
    data, safe, held_out = flags.get("data"), flags.get("safe"), flags.get("eval")
    settings = {field.name: flags[field.name] for field in fields(Tuning) if field.name in flags}
    for name in ("rank", "alpha", "targets"):
        if settings.get(name) is not None and settings.get("method") != "lora":
            remedy = "Add --method lora, or leave it out."
            raise UsageError(expected(f"--{name}", "given with --method lora", settings[name], remedy))
    if isinstance(targets := settings.get("targets"), str) and "," in targets:
        settings["targets"] = tuple(part.strip() for part in targets.split(",") if part.strip())
    _check_known(flags)
    return TuningRequest(
        model=model,
        attack=catalog.create("attack", attack) if isinstance(attack, str) else attack,
        data=None if data is None else Path(data),
        safe=None if safe is None else Path(safe),
        held_out=None if held_out is None else Path(held_out),
        defenses=tuple(_defenses(flags, out)),
        wrapper=Wrapper(system=None if system is None else system_prompt(system), user=wrap or "{prompt}"),
        settings=tuple(settings.items()),
        template_args=tuple(sorted((flags.get("template_args") or {}).items())),
        date=_date_of(out),
    )


def _check_known(flags: TuningFlags) -> None:
    for name in flags:
        if name not in TuningFlags.__annotations__:
            raise UsageError(catalog.unknown("option of fine-tuning", name, TuningFlags.__annotations__, _HELP))


def _defenses(flags: TuningFlags, out: Path | None) -> Iterator[Defense]:
    """Moderation, mixing and `ptst`, then those that are named."""
    judge, keep, amount = flags.get("moderate"), flags.get("keep_flagged"), flags.get("mix_safe")
    if judge is not None:
        yield moderation(judge, bool(keep), None if out is None else out / MEMORY)
    elif keep:
        remedy = "Name a judge by --moderate, or leave it out."
        raise UsageError(expected("--keep-flagged", "given with a judge that flags", keep, remedy))
    if amount is not None:
        yield mixing(amount)
    if flags.get("ptst"):
        yield pure_tuning()
    yield from (_defense(given) for given in items(flags.get("defenses")))


def _date_of(out: Path | None) -> str | None:
    """The day that a run was begun on, where its folder records it; what is resumed is trained on the same text."""
    if out is None or not (out / RECORD).is_file():
        return None
    found = read_record(out).get("date")
    return found if isinstance(found, str) else None


def _defense(given: str | Defense) -> Defense:
    if isinstance(given, str) and catalog.declared_stage(given) == "inference":
        raise _of_inference(given, "inference")  # before what it lacks at its own stage is asked for
    made = catalog.create("defense", given) if isinstance(given, str) else given
    if not any(hasattr(made, method) for method in ("data", "training", "weights")):
        raise _of_inference(getattr(made, "name", given), getattr(made, "stage", None))
    return cast("Defense", made)


def _of_inference(name: object, stage: object) -> UsageError:
    remedy = "One of the stage inference is for map and audit: their --defense."
    shown = f"{name} of the stage {stage}"
    return UsageError(expected("the defense", "one that works on rows, training or weights", shown, remedy))
