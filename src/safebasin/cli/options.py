"""The options that `map` and `plan` share: what a study is, and how it runs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, get_type_hints

import typer

P = ParamSpec("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOptions:
    """A study as the command line describes it. Each field but `target` and `out` is a keyword of `api.make_study`."""

    target: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL|STUDY.yaml",
            help="Folder, hub id `org/name[@revision][+adapter]`, `world:guild/aligned`, or a study file. "
            "Without it: the embedded model.",
            show_default=False,
        ),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder of the study. [default: runs/NAME]", show_default=False),
    ] = None
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            "--prompts",
            help="File, `world:guild/SET`, public set or hub id, with an optional slice `[:80]`. Repeatable.",
        ),
    ] = None
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="harmful|benign",
            help="What the prompts are, where they do not say: once for all of --prompts, or once for each. "
            "Benign ones should be answered; any others count as attacks.",
        ),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option("--limit", help="At most this many prompts of each set. [default: 80]"),
    ] = None
    system: Annotated[
        list[str] | None,
        typer.Option(
            "--system",
            help="`default`, `none`, a name (`list system`), a text, or `@FILE`. Repeatable.",
        ),
    ] = None
    axis: Annotated[
        list[str] | None,
        typer.Option(
            "--axis",
            help="`random`, `to:MODEL`, `adapter:PATH`, `quant:int8|int4` or `task:TUNED,BASE`, with an optional "
            "`@LO:HI:N`. One axis maps lines, two map a plane.",
        ),
    ] = None
    directions: Annotated[
        int | None,
        typer.Option("--directions", help="Independent random directions. [default: 3]"),
    ] = None
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the directions. [default: 0]")] = None
    range: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LO:HI:N",
            help="Grid along each direction. [default: -0.5:0.5:21; worlds: -1.5:1.5:21]",
        ),
    ] = None
    normalize: Annotated[
        str | None,
        typer.Option("--normalize", help="`layer`, `filter`, `model` or `none`. [default: layer]"),
    ] = None
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="PATTERN", help="Move only parameters whose name matches, e.g. `*.mlp.*`."),
    ] = None
    points: Annotated[
        str | None,
        typer.Option(
            "--points",
            metavar="grid|auto",
            help="Every point of the grid, or those where the landscape moves. [default: grid]",
        ),
    ] = None
    budget: Annotated[int | None, typer.Option("--budget", help="At most this many points a line or plane.")] = None
    each: Annotated[
        str | None,
        typer.Option(
            "--each",
            metavar="block|attention|mlp",
            help="Move each block of the model alone, or its attention or MLP, and compare their radii.",
        ),
    ] = None
    trajectory: Annotated[
        list[str] | None,
        typer.Option(
            "--trajectory",
            metavar="FOLDER",
            help="Checkpoints of a training run, to be drawn on the landscape. Repeatable.",
        ),
    ] = None
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            metavar="FILE",
            help="Plain text: perplexity, and KL divergence against θ₀, at every point. Repeatable.",
        ),
    ] = None
    task: Annotated[
        list[str] | None,
        typer.Option("--task", help="Task of lm-eval, at every point (extra `capability`). Repeatable."),
    ] = None
    task_folder: Annotated[str | None, typer.Option("--task-folder", help="Folder with lm-eval tasks of your own.")] = (
        None
    )
    task_limit: Annotated[int | None, typer.Option("--task-limit", help="At most this many items of each task.")] = None
    judge: Annotated[
        list[str] | None,
        typer.Option("--judge", help="Judge, by name (`list judge`). Repeatable. [default: keyword/peng2024, outcome]"),
    ] = None
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-new-tokens", help="Most tokens of a response. [default: 512; worlds: 128]", show_default=False
        ),
    ] = None
    stop: Annotated[
        str | None,
        typer.Option(
            "--stop",
            help="`auto`, `none`, `verdict` (end at a refusal) or `loop` (also end repetition). [default: auto]",
        ),
    ] = None
    template_arg: Annotated[
        list[str] | None,
        typer.Option("--template-arg", metavar="K=V", help="Argument of the chat template. Repeatable."),
    ] = None
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", help="`auto`, `float32`, `bfloat16` or `float16`. [default: auto]"),
    ] = None
    batch_size: Annotated[
        str | None, typer.Option("--batch-size", metavar="auto|N", help="Rows decoded at once. [default: auto]")
    ] = None
    device: Annotated[
        str | None,
        typer.Option("--device", help="`auto`, `cpu`, `cuda`, `cuda:N` or `mps`. [default: auto]"),
    ] = None
    low_memory: Annotated[
        bool | None,
        typer.Option(
            "--low-memory/--no-low-memory",
            help="Read θ₀ from the memory-mapped files instead of a copy in memory. [default: auto]",
            show_default=False,
        ),
    ] = None
    trust_remote_code: Annotated[
        bool,
        typer.Option("--trust-remote-code", help="Run code that a model's repository ships."),
    ] = False


def with_study_options(verb: Callable[Concatenate[StudyOptions, P], None]) -> Callable[..., None]:
    """Let a verb that takes a `StudyOptions` first be called with its fields, so that Typer sees each as an option."""
    hints = get_type_hints(StudyOptions, include_extras=True)
    shared = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields(StudyOptions)
    ]
    _, *own = inspect.signature(verb, eval_str=True).parameters.values()
    signature = inspect.Signature([*shared, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own)])

    @functools.wraps(verb)
    def called(**given: Any) -> None:
        options = StudyOptions(**{name: given.pop(name) for name in hints})
        verb(options, **given)  # pyright: ignore[reportCallIssue]

    called.__signature__ = signature  # pyright: ignore[reportAttributeAccessIssue]
    called.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return called
