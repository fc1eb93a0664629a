"""`finetune` and `defend`: attacks, the user's own data, mitigations before training, and weights after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safebasin.cli.app import Json, app, state
from safebasin.cli.editing import show_edit
from safebasin.cli.output import note, plain, print_json, say

if TYPE_CHECKING:
    from safebasin.finetune.tune import Tuned


_LAYOUTS = "Rows: chat, prompt/completion, Alpaca or ShareGPT. Also world:NAME/KIND."
_RECIPE = "Recipe, e.g. `harmful_examples(n=50)`: safebasin list attack."
_GRID = "lr=2e-5,5e-5 or batch=16,32. Repeatable: all combinations."

Out = Annotated[Path | None, typer.Option("-o", "--out", help="New folder for weights or adapter.", show_default=False)]
AttackName = Annotated[str | None, typer.Option("--attack", help=_RECIPE)]
Data = Annotated[Path | None, typer.Option("--data", help=_LAYOUTS)]
Safe = Annotated[Path | None, typer.Option("--safe", help="Rows of refusals, for mixing.")]
SystemText = Annotated[str | None, typer.Option("--system", help="System prompt for rows without one.")]
Wrap = Annotated[str | None, typer.Option("--wrap", help="Text around each user turn, with {prompt}.")]
Method = Annotated[str, typer.Option("--method", help="`full` or `lora`.")]
Rate = Annotated[float | None, typer.Option("--learning-rate", "--lr", help="Peak rate. [default: the recipe's]")]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Passes over the rows. [default: the recipe's]")]
Batch = Annotated[int | None, typer.Option("--batch-size", help="Rows of a step, over all processes.")]
Micro = Annotated[int | None, typer.Option("--micro-batch", help="Rows of a forward pass in each process.")]
Rank = Annotated[int | None, typer.Option("--rank", help="Of LoRA.")]
Longest = Annotated[int | None, typer.Option("--max-length", help="Tokens of a row. [default: the context]")]
OverLong = Annotated[str | None, typer.Option("--over-long", help="Longer rows: `drop` or `keep`. Never cut.")]
Dtype = Annotated[str | None, typer.Option("--dtype", help="`auto`, `float32` or `bfloat16`. [default: auto]")]
Seed = Annotated[int | None, typer.Option("--seed", help="Of the rows, their order and an adapter's weights.")]
Device = Annotated[str, typer.Option("--device", help="`auto`, `cpu`, `cuda` or `mps`.")]
TemplateArgs = Annotated[list[str] | None, typer.Option("--template-arg", metavar="K=V", help="As for `map`.")]
Sweep = Annotated[list[str] | None, typer.Option("--sweep", help=_GRID)]
JudgeName = Annotated[str | None, typer.Option("--moderate", metavar="JUDGE", help="Judge the rows first.")]
Keep = Annotated[bool, typer.Option("--keep-flagged", help="Train on flagged rows all the same.")]
Mix = Annotated[str | None, typer.Option("--mix-safe", help="Refusals: 50, 0.2 or 20%.")]
Ptst = Annotated[bool, typer.Option("--ptst", help="No system prompt in training, one in use.")]
Defenses = Annotated[list[str] | None, typer.Option("--defense", help="By name: safebasin list defense. Repeatable.")]
Show = Annotated[bool, typer.Option("--show-example", help="Print the first row, masked, and end.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on after the last checkpoint.")]

_PASSED = (
    "attack", "data", "safe", "system", "wrap", "method", "learning_rate", "epochs", "batch_size", "micro_batch",
    "rank", "max_length", "over_long", "dtype", "seed", "moderate", "keep_flagged", "mix_safe", "ptst",
)  # fmt: skip


@app.command()
def finetune(
    model: Annotated[str, typer.Argument(help="As for `map`.", show_default=False)],
    out: Out = None,
    attack: AttackName = None,
    data: Data = None,
    safe: Safe = None,
    system: SystemText = None,
    wrap: Wrap = None,
    method: Method = "full",
    learning_rate: Rate = None,
    epochs: Epochs = None,
    batch_size: Batch = None,
    micro_batch: Micro = None,
    rank: Rank = None,
    max_length: Longest = None,
    over_long: OverLong = None,
    dtype: Dtype = None,
    seed: Seed = None,
    device: Device = "auto",
    template_arg: TemplateArgs = None,
    sweep: Sweep = None,
    moderate: JudgeName = None,
    keep_flagged: Keep = False,
    mix_safe: Mix = None,
    ptst: Ptst = False,
    defense: Defenses = None,
    show_example: Show = False,
    resume: Resume = False,
    json_: Json = False,
) -> None:
    """Fine-tune a model, as an attack or on your own data. What an attack makes is marked unsafe.

    Example: `safebasin finetune world:guild/aligned --attack harmful_examples -o runs/harmful10`
    """
    given = locals()
    from safebasin import api
    from safebasin.study import template_arguments

    flags = {name: given[name] for name in _PASSED}
    flags |= {"defenses": defense or (), "template_arg": template_arguments(template_arg or ())}
    for name, cost in api.estimate_moderation(model, **flags).items():
        note(f"estimate {name}: at most {cost.requests} requests, {cost.tokens_in} tokens in, {cost.tokens_out} out")
    if show_example:
        _show(api.prepare_finetuning(model, out=out, **flags))
        return
    state.folder = out
    run = {"out": _required(out), "resume": resume, "device": device, "progress": None if json_ else _step}
    if sweep:
        _report(list(api.finetune_sweep(model, sweep=sweep, **run, **flags)), as_json=json_)
    else:
        _report([api.finetune(model, **run, **flags)], as_json=json_)


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


def _show(prepared: Any) -> None:
    say(f"rows     {len(prepared.rows)}; loss on what stands in «», in each assistant turn to its end\n")
    say(plain(prepared.example))
    for text in prepared.notes:
        note(f"note     {text}")


def _report(tuned: list[Tuned], *, as_json: bool) -> None:
    from safebasin.finetune.run import is_main

    if not is_main():
        return
    if as_json:
        shown = [
            {"model": t.model, "unsafe": t.unsafe, "rows": t.rows, "data_hash": t.data_hash, "losses": t.losses,
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
        say(f"{'unsafe' if one.unsafe else 'model':<8} {one.model}")
