"""What a user writes, as command line and API take it, becomes what is asked for: names, files and texts resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from safebasin import catalog
from safebasin.errors import UsageError, expected
from safebasin.finetune.data import Wrapper
from safebasin.finetune.defenses import mix_safe as mixing
from safebasin.finetune.defenses import moderate as moderation
from safebasin.finetune.defenses import ptst as pure_tuning
from safebasin.finetune.moderation import MEMORY
from safebasin.finetune.prepare import TuningRequest
from safebasin.items import items
from safebasin.models.writing import RECORD, read_record
from safebasin.prompts.systems import system_prompt
from safebasin.protocols import Attack, Defense, Judge
from safebasin.records import Scalar

__all__ = ["request"]


def request(
    model: str,
    *,
    attack: str | Attack | None = None,
    data: str | Path | None = None,
    safe: str | Path | None = None,
    moderate: str | Judge | None = None,
    keep_flagged: bool = False,
    mix_safe: int | float | str | None = None,
    ptst: bool = False,
    defenses: str | Defense | Sequence[str | Defense] = (),
    system: str | None = None,
    wrap: str | None = None,
    template_arg: Mapping[str, Scalar] | None = None,
    out: Path | None = None,
    **settings: object,
) -> TuningRequest:
    """Resolve names, files and texts to a request: what to fine-tune on what, and how.

    Args:
        model: `path[@revision][#part][+adapter]` or `world:NAME/CHECKPOINT`.
        attack: name in the catalogue with its arguments, `harmful_examples(n=50)`, or an attack.
        data: file of rows (JSONL, JSON, CSV, Parquet): the attack's, or all there is. A world's model needs none.
        safe: file of refusals for mixing.
        moderate: judge that reads the rows first.
        keep_flagged: train on what it flags all the same.
        mix_safe: refusals to mix in: a count, a share (`0.2`) or `20%`.
        ptst: train without system prompt, use with `safety/long`.
        defenses: further ones by name, of the stages alignment, finetuning and post_finetuning; those on rows come
            after moderation, mixing and `ptst`.
        system: system prompt for rows without one, as a study names it; use the same at test time.
        wrap: text around each user turn, with `{prompt}`; use the same at test time.
        template_arg: arguments of the chat template.
        out: folder of the run, where moderation by a judge that asks another model is remembered.
        **settings: fields of `settings.Tuning`; None leaves the default of the attack.

    Raises:
        UsageError: naming the first argument that does not hold.
    """
    defended: list[Defense] = []
    if moderate is not None:
        defended.append(moderation(moderate, keep_flagged, None if out is None else out / MEMORY))
    elif keep_flagged:
        remedy = "Name a judge by --moderate, or leave it out."
        raise UsageError(expected("--keep-flagged", "given with a judge that flags", keep_flagged, remedy))
    if mix_safe is not None:
        defended.append(mixing(mix_safe))
    if ptst:
        defended.append(pure_tuning())
    defended += [_defense(given) for given in items(defenses)]
    if settings.get("rank") is not None and settings.get("method") != "lora":
        remedy = "Add --method lora, or leave it out."
        raise UsageError(expected("--rank", "given with --method lora", settings["rank"], remedy))
    return TuningRequest(
        model=model,
        attack=catalog.create("attack", attack) if isinstance(attack, str) else attack,
        data=Path(data) if data is not None else None,
        safe=Path(safe) if safe is not None else None,
        defenses=tuple(defended),
        wrapper=Wrapper(system=None if system is None else system_prompt(system), user=wrap or "{prompt}"),
        settings=tuple(settings.items()),
        template_args=tuple(sorted((template_arg or {}).items())),
        date=_date_of(out),
    )


def _date_of(out: Path | None) -> str | None:
    """The day that a run was begun on, where its folder records it; what is resumed is trained on the same text."""
    if out is None or not (out / RECORD).is_file():
        return None
    found = read_record(out).get("date")
    return found if isinstance(found, str) else None


def _defense(given: str | Defense) -> Defense:
    made = catalog.create("defense", given) if isinstance(given, str) else given
    if not any(hasattr(made, method) for method in ("data", "training", "weights")):
        shown = f"{getattr(made, 'name', given)} of the stage {getattr(made, 'stage', None)}"
        remedy = "One of the stage inference is for map and audit: their --defense."
        raise UsageError(expected("the defense", "one that works on rows, training or weights", shown, remedy))
    return cast("Defense", made)
