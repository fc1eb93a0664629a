"""The options that `map` and `plan` share, made of the one table of a study's options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Concatenate, ParamSpec, get_args, get_type_hints

import typer

from safebasin.study.options import Arguments, Items, Option, StudyFlags, Switch

P = ParamSpec("P")

Target = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL|STUDY.yaml",
        help="Folder, GGUF file, hub id `org/name[@revision][+adapter]`, `world:guild/aligned`, or a study file. "
        "Without it: the embedded model.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None, typer.Option("-o", "--out", help="Folder of the study. [default: runs/NAME]", show_default=False)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOptions:
    """A study as the command line describes it."""

    target: str | None
    out: Path | None
    flags: Mapping[str, Any]
    """Those of `StudyFlags` that have an option, as they were typed; None where they were not."""


def _parameters() -> dict[str, Any]:
    """Name → annotation for Typer, of every option of a study."""
    found: dict[str, Any] = {"target": Target, "out": Out}
    for name, hint in get_type_hints(StudyFlags, include_extras=True).items():
        for option in (extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Option)):
            found[name] = _annotation(name, set(get_args(hint.__origin__)) - {NoneType}, option)
    return found


def _annotation(name: str, takes: set[Any], option: Option) -> Any:
    """The annotation that makes Typer read a value; what holds several may be repeated, what is no number is text."""
    flag = "--" + name.replace("_", "-")
    is_switch = takes == set(get_args(Switch))
    written = f"{flag}/--no-{flag[2:]}" if is_switch else flag
    shown = typer.Option(written, help=option.help, metavar=option.metavar, show_default=False)
    if is_switch or takes == {bool}:
        return Annotated[bool | None, shown]
    if set(get_args(Items)) <= takes or takes == {Arguments}:
        return Annotated[list[str] | None, shown]
    return Annotated[int | None if takes == {int} else str | None, shown]


def with_study_options(verb: Callable[Concatenate[StudyOptions, P], None]) -> Callable[..., None]:
    """Let a verb that takes a `StudyOptions` first be called with its parts, so that Typer sees each as an option."""
    shared = _parameters()
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(name, keyword, default=None, annotation=a) for name, a in shared.items()]
    _, *own = inspect.signature(verb, eval_str=True).parameters.values()
    signature = inspect.Signature([*parameters, *(p.replace(kind=keyword) for p in own)])

    @functools.wraps(verb)
    def called(**given: Any) -> None:
        target, out, *values = (given.pop(name) for name in shared)
        flags = dict(zip(list(shared)[2:], values, strict=True))
        verb(StudyOptions(target=target, out=out, flags=flags), **given)  # pyright: ignore[reportCallIssue]

    called.__signature__ = signature  # pyright: ignore[reportAttributeAccessIssue]
    called.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return called
