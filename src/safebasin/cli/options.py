"""The options that several verbs share: of `map` and `plan`, made of the one table of a study's options; of verbs that
ask a model without one, each declared here once.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Concatenate, Literal, ParamSpec, get_args, get_origin, get_type_hints

import typer

from safebasin.errors import StudyError, expected
from safebasin.study.options import Arguments, Items, Option, StudyFlags, Switch

P = ParamSpec("P")
Flags = Mapping[str, Any]
"""Options as they were typed, by their keyword; None where they were not."""

Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL...|STUDY.yaml",
        help="Folder, GGUF file, hub id `org/name[@revision][+adapter]`, `world:guild/aligned`, or a study file. "
        "Without it: the embedded model. `map` compares several.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None, typer.Option("-o", "--out", help="Folder of the study. [default: runs/NAME]", show_default=False)
]

HarmfulPrompts = Annotated[
    str | None, typer.Option("--harmful", help="Harmful prompts, as `map --prompts`. A world has its own.")
]
TunedModels = Annotated[
    list[str] | None,
    typer.Argument(metavar="TUNED...", help="Checkpoints, or folders of adapters.", show_default=False),
]
Fleet = Annotated[
    Path | None,
    typer.Option("--fleet", metavar="DIR", help="Every model and adapter in a folder.", show_default=False),
]
BenignPrompts = Annotated[str | None, typer.Option("--benign", help="Benign prompts.")]
SystemPrompt = Annotated[str, typer.Option("--system", help="As for `map`.")]
Device = Annotated[str, typer.Option("--device", help="As for `map`: `auto`, `cpu`, `cuda` or `mps`.")]
DType = Annotated[str, typer.Option("--dtype", help="As for `map`.")]
TemplateArgs = Annotated[
    list[str] | None, typer.Option("--template-arg", metavar="K=V", help="As for `map`. Repeatable.")
]
RemoteCode = Annotated[bool, typer.Option("--trust-remote-code", help="As for `map`.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOptions:
    """A study as the command line describes it."""

    targets: tuple[str, ...]
    """Models, or one study file; none for the embedded model."""
    out: Path | None
    flags: Flags
    """Those of `StudyFlags` that have an option."""


def _options(
    declared: type[Any], names: Collection[str] = (), helps: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Name → annotation for Typer, of the options that a table of keywords declares, or these of them."""
    found: dict[str, Any] = {}
    for name, hint in get_type_hints(declared, include_extras=True).items():
        for option in (extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Option)):
            if not names or name in names:
                said = option._replace(help=(helps or {}).get(name, option.help))
                found[name] = _annotation(name, set(get_args(hint.__origin__)) - {NoneType}, said)
    return found


def _annotation(name: str, takes: set[Any], option: Option) -> Any:
    """The annotation that makes Typer read a value; what holds several may be repeated, what is no number is text."""
    flags = option.flags or ("--" + name.replace("_", "-"),)
    is_switch = takes == set(get_args(Switch))
    written = (f"{flags[0]}/--no-{flags[0][2:]}",) if is_switch else flags
    shown = typer.Option(*written, help=option.help, metavar=option.metavar, show_default=False)
    if is_switch or takes == {bool}:
        return Annotated[bool | None, shown]
    if set(get_args(Items)) <= takes or takes == {Arguments} or any(get_origin(one) is Sequence for one in takes):
        return Annotated[list[str] | None, shown]
    plain = next((kind for kind in (int, float) if takes == {kind}), str)
    return Annotated[plain | None, shown]


def with_study_options(verb: Callable[Concatenate[StudyOptions, P], None]) -> Callable[..., None]:
    """Let a verb that takes a `StudyOptions` first be called with its parts, so that Typer sees each as an option."""

    def pack(given: dict[str, Any]) -> StudyOptions:
        return StudyOptions(targets=tuple(given.pop("targets") or ()), out=given.pop("out"), flags=given)

    return _spread(verb, {"targets": Targets, "out": Out, **_options(StudyFlags)}, pack)


def with_flags(
    declared: type[Any], *names: str, helps: Mapping[str, str] | None = None
) -> Callable[[Callable[Concatenate[Flags, P], None]], Callable[..., None]]:
    """Let a verb that takes a mapping first be called with its items: the options that a table of keywords declares.

    Args:
        declared: `StudyFlags` or `TuningFlags`.
        *names: of its options; all if none is named.
        helps: name → what its help says instead, where the verb has another default.
    """

    def decorated(verb: Callable[Concatenate[Flags, P], None]) -> Callable[..., None]:
        return _spread(verb, _options(declared, names, helps or {}), lambda given: given)

    return decorated


def _spread(
    verb: Callable[Concatenate[Any, P], None], shared: Mapping[str, Any], pack: Callable[[dict[str, Any]], object]
) -> Callable[..., None]:
    """A verb whose first argument is packed of options with these annotations."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(name, keyword, default=None, annotation=a) for name, a in shared.items()]
    _, *own = inspect.signature(verb, eval_str=True).parameters.values()
    signature = inspect.Signature([*parameters, *(p.replace(kind=keyword) for p in own)])

    @functools.wraps(verb)
    def called(**given: Any) -> None:
        first = pack({name: given.pop(name) for name in shared})
        verb(first, **given)  # pyright: ignore[reportCallIssue]

    called.__signature__ = signature  # pyright: ignore[reportAttributeAccessIssue]
    called.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return called


def batch_size(text: str | None) -> int | Literal["auto"] | None:
    """Read what `--batch-size` says.

    Raises:
        StudyError: where it is neither `auto` nor a whole number.
    """
    if text is None or text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise StudyError(expected("--batch-size", "'auto' or a whole number", text, "E.g. --batch-size 16.")) from None


def check_tuned(tuned: object, fleet: Path | None) -> None:
    """Check that tuned models are named in one of the two ways.

    Raises:
        StudyError: where they are named in both, or in neither.
    """
    if bool(tuned) == (fleet is not None):
        got = "both" if tuned else "neither"
        raise StudyError(expected("TUNED or --fleet", "given, one of them", got, "Name what was tuned of BASE."))
