"""`finetune` and `defend`: attacks, the user's own data, mitigations before training, and weights after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from safebasin.cli.app import Json, Track, app, state
from safebasin.cli.editing import show_edit
from safebasin.cli.options import Device, Flags, with_flags
from safebasin.cli.output import note, plain, print_json, say
from safebasin.finetune.options import TuningFlags

if TYPE_CHECKING:
    from safebasin.finetune.tune import Tuned


Out = Annotated[Path | None, typer.Option("-o", "--out", help="New folder for weights or adapter.", show_default=False)]
_GRID = "lr=2e-5,5e-5 or batch=16,32. Repeatable: all combinations."
Sweep = Annotated[list[str] | None, typer.Option("--sweep", help=_GRID)]
Show = Annotated[bool, typer.Option("--show-example", help="Print the first row, masked, and end.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on after the last checkpoint.")]


@app.command()
@with_flags(TuningFlags)
def finetune(
    options: Flags,
    model: Annotated[str, typer.Argument(help="As for `map`.", show_default=False)],
    out: Out = None,
    device: Device = "auto",
    sweep: Sweep = None,
    show_example: Show = False,
    resume: Resume = False,
    track: Track = None,
    json_: Json = False,
) -> None:
    """Fine-tune a model, as an attack or on your own data. What an attack makes is marked unsafe.

    Example: `safebasin finetune world:guild/aligned --attack harmful_examples -o runs/harmful10`
    """
    from safebasin import api
    from safebasin.study import template_arguments

    flags = cast("TuningFlags", dict(options))
    flags["template_args"] = template_arguments(options["template_args"] or ())
    for name, cost in api.estimate_moderation(model, **flags).items():
        note(f"estimate {name}: at most {cost.requests} requests, {cost.tokens_in} tokens in, {cost.tokens_out} out")
    if show_example:
        _show(api.prepare_finetuning(model, out=out, **flags))
        return
    state.folder, folder = out, _required(out)
    state.again = "run the same command with --resume"
    how: dict[str, Any] = {
        "out": folder, "resume": resume, "device": device, "track": track,
        "progress": False if json_ else _step, "evaluated": None if json_ else _evaluated,
    }  # fmt: skip
    if sweep:
        _report(list(api.finetune_sweep(model, sweep=sweep, **how, **flags)), as_json=json_)
    else:
        _report([api.finetune(model, **how, **flags)], as_json=json_)


@app.command()
def defend(
    tuned: Annotated[str, typer.Argument(help="Checkpoint, or folder of a LoRA adapter.", show_default=False)],
    base: Annotated[str, typer.Option("--base", help="The model that was tuned, as for `map`.", show_default=False)],
    defense: Annotated[
        list[str],
        typer.Option("--defense", help="One of weights, by name: safebasin list defense. Repeatable, in order."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="New folder of the checkpoint.", show_default=False)],
    seed: Annotated[int, typer.Option("--seed", help="Of what a defense draws.", min=0)] = 0,
    json_: Json = False,
) -> None:
    """Apply weight defenses to a tuned model. An ordinary checkpoint with record and card; a mark as unsafe stays.

    Example: `safebasin defend runs/harmful10 --base world:guild/aligned --defense
    "safe_lora(unaligned=world:guild/base)" -o runs/defended`
    """
    from safebasin import api

    found = api.defend(tuned, base=base, defenses=defense, out=out, seed=seed)
    for text in found.notes:
        note(f"note     {text}")
    show_edit(base, found.path, as_json=json_)


def _required(out: Path | None) -> Path:
    from safebasin.errors import UsageError, expected

    if out is None:
        raise UsageError(expected("--out", "given", None, "Name a new folder."))
    return out


def _step(step: int, steps: int, loss: float) -> None:
    if step in (1, steps) or 10 * step // steps > 10 * (step - 1) // steps:  # each tenth of the way
        note(f"train    {step}/{steps} steps · loss {loss:.4f}")


def _evaluated(step: int, loss: float) -> None:
    note(f"held out step {step} · loss {loss:.4f}")


def _show(prepared: Any) -> None:
    say(f"rows     {len(prepared.rows)}; loss on what stands in «», in each assistant turn to its end\n")
    say(plain(prepared.example))
    for text in prepared.notes:
        note(f"note     {text}")


def _report(tuned: list[Tuned], *, as_json: bool) -> None:
    from safebasin.finetune.run import is_main
    from safebasin.finetune.tune import describe_held_out

    if not is_main():
        return
    if as_json:
        shown = [
            {"model": t.model, "unsafe": t.unsafe, "rows": t.rows, "data_hash": t.data_hash, "losses": t.losses,
             "eval_losses": [{"step": step, "loss": loss} for step, loss in t.eval_losses],
             "notes": t.notes}
            for t in tuned
        ]  # fmt: skip
        print_json(shown[0] if len(shown) == 1 else shown)
        return
    for one in tuned:
        for text in one.notes:
            note(f"note     {text}")
        loss = f"loss {one.losses[0]:.4f} → {one.losses[-1]:.4f}" if one.losses else "no step"
        say(f"tuned    {one.rows} rows, {len(one.losses)} steps, {loss}")
        if one.eval_losses:
            say(f"held out {describe_held_out(one.eval_losses)}")
        say(f"{'unsafe' if one.unsafe else 'model':<8} {one.model}")
