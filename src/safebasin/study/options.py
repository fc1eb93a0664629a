"""Every option of a study, declared once: keyword of the API, option of the command line, key of a study file, help.

Nothing is checked here: what the keys take is said by the models of `model` and `regions`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Annotated, Literal, NamedTuple, TypeAlias, TypedDict, get_type_hints

from safebasin.protocols import Engine

__all__ = [
    "Arguments",
    "Item",
    "Items",
    "Option",
    "StudyFlags",
    "Switch",
    "option_at",
    "owner_of",
    "singular",
    "study_help",
    "under",
]

Item: TypeAlias = str | PathLike[str] | Mapping[str, object]
"""One entry of a list of a study: its text, or its fields as a study file writes them."""
Items: TypeAlias = Item | Iterable[Item]
"""One entry or several."""
Arguments: TypeAlias = Mapping[str, str | int | float | bool | None]
"""Arguments by name."""
Switch: TypeAlias = bool | Literal["auto"]


class Option(NamedTuple):
    """An option of a study, as it is written outside the API."""

    key: str
    """Its key in a study file, with dots: `axes.range` is a key of every axis, `regions.points` of every region. Empty
    of what no study has."""
    help: str
    """For the command line; one sentence or two."""
    metavar: str | None = None
    """What stands for its value in help."""
    flags: tuple[str, ...] = ()
    """How the command line writes it, where not by its name."""


class StudyFlags(TypedDict, total=False):
    """Keywords of `make_study` and `map_basin`; those that have an `Option` are options of `map` and `plan` too.

    None is "not given".
    """

    prompts: Annotated[
        Items | None,
        Option("prompts", "File, `world:guild/SET`, public set or hub id, with an optional slice `[:80]`. Repeatable."),
    ]
    label: Annotated[
        Items | None,
        Option(
            "prompts.label",
            "What the prompts are, where they do not say: once for all of --prompts, or once for each. "
            "Benign ones should be answered; any others count as attacks.",
            "harmful|benign",
        ),
    ]
    limit: Annotated[int | None, Option("limit", "At most this many prompts of each set. [default: 80]")]
    systems: Annotated[
        Items | None,
        Option(
            "systems", "`default`, `none`, a name (`list system`), a text, or `@FILE`. Repeatable.", flags=("--system",)
        ),
    ]
    axes: Annotated[
        Items | None,
        Option(
            "axes",
            "`random`, `random(density=0.1)`, `to:MODEL`, `adapter:PATH`, `quant:int8|int4`, `scale:FACTOR` "
            "or `task:TUNED,BASE`, with an optional `@LO:HI:N`. One axis maps lines, two map a plane.",
            flags=("--axis",),
        ),
    ]
    directions: Annotated[int | None, Option("axes.directions", "Independent random directions. [default: 3]")]
    seed: Annotated[int | None, Option("axes.seed", "Seed of the directions. [default: 0]")]
    range: Annotated[
        str | None,
        Option("axes.range", "Grid along each direction. [default: -0.5:0.5:21; worlds: -1.5:1.5:21]", "LO:HI:N"),
    ]
    normalize: Annotated[str | None, Option("axes.normalize", "`layer`, `filter`, `model` or `none`. [default: layer]")]
    only: Annotated[
        str | None,
        Option("axes.only", "Move only parameters whose name matches, e.g. `*.mlp.*`.", "PATTERN"),
    ]
    noise: Annotated[
        int | None,
        Option(
            "axes.noise",
            "Version of the noise of random directions; 1 is that of release 0.1. [default: the folder's own; new: 2]",
            "1|2",
        ),
    ]
    points: Annotated[
        str | None,
        Option(
            "regions.points",
            "Every point of the grid, or those where the landscape moves. [default: grid]",
            "grid|auto",
        ),
    ]
    budget: Annotated[int | None, Option("regions.budget", "At most this many points a line or plane.")]
    each: Annotated[
        str | None,
        Option(
            "regions.each",
            "Move each block of the model alone, or its attention or MLP, and compare their radii.",
            "block|attention|mlp",
        ),
    ]
    trajectories: Annotated[
        Items | None,
        Option(
            "trajectories",
            "Checkpoints of a training run, to be drawn on the landscape. Repeatable.",
            "FOLDER",
            flags=("--trajectory",),
        ),
    ]
    texts: Annotated[
        Items | None,
        Option(
            "capability.texts",
            "Plain text: perplexity, and KL divergence against θ₀, at every point. Repeatable.",
            "FILE",
            flags=("--text",),
        ),
    ]
    tasks: Annotated[
        Items | None,
        Option(
            "capability.tasks", "Task of lm-eval, at every point (extra `capability`). Repeatable.", flags=("--task",)
        ),
    ]
    task_folder: Annotated[str | None, Option("capability.task_folder", "Folder with lm-eval tasks of your own.")]
    task_limit: Annotated[int | None, Option("capability.task_limit", "At most this many items of each task.")]
    judges: Annotated[
        Items | None,
        Option(
            "judges",
            "Judge, by name (`list judge`). Repeatable. [default: keyword/peng2024, outcome]",
            flags=("--judge",),
        ),
    ]
    defenses: Annotated[
        Items | None,
        Option(
            "defenses",
            "Inference defense that is part of the model (`list defense`). Repeatable.",
            "NAME",
            flags=("--defense",),
        ),
    ]
    max_new_tokens: Annotated[
        int | None,
        Option("decoding.max_new_tokens", "Most tokens of a response. [default: 512; worlds: 128]"),
    ]
    stop: Annotated[
        str | None,
        Option(
            "decoding.stop",
            "`auto`, `none`, `verdict` (end at a refusal) or `loop` (also end repetition). [default: auto]",
        ),
    ]
    fast: Annotated[
        bool | None,
        Option(
            "fast",
            "Fewer points and tokens: adaptive points, `--stop loop`, a token budget calibrated on the first points. "
            "No VISAGE; agreement with exact mode is measured on a sample and shown.",
        ),
    ]
    template_args: Annotated[
        Arguments | None,
        Option("template_args", "Argument of the chat template. Repeatable.", "K=V", flags=("--template-arg",)),
    ]
    dtype: Annotated[
        str | None,
        Option(
            "dtype",
            "`auto`, `float32`, `bfloat16` or `float16`; on a CPU `auto` computes half precision in float32 where "
            "memory allows. [default: auto]",
        ),
    ]
    batch_size: Annotated[
        int | Literal["auto"] | None, Option("batch_size", "Rows decoded at once. [default: auto]", "auto|N")
    ]
    engine: Annotated[
        str | Engine | None, Option("engine", "What runs the model, by name (`list engine`). [default: hf]", "NAME")
    ]
    """`map_basin` takes a ready one, too."""
    device: Annotated[str | None, Option("device", "`auto`, `cpu`, `cuda`, `cuda:N` or `mps`. [default: auto]")]
    gpus_per_worker: Annotated[
        int | None,
        Option(
            "gpus_per_worker",
            "Spread each worker's model over so many GPUs, where it does not fit one; one worker in this process, too. "
            "[default: 1]",
        ),
    ]
    low_memory: Annotated[
        Switch | None,
        Option(
            "low_memory",
            "Read θ₀ from the memory-mapped files instead of a copy in memory. [default: auto]",
        ),
    ]
    trust_remote_code: Annotated[bool | None, Option("trust_remote_code", "Run code that a model's repository ships.")]

    # Keys of a study file that hold more than an option can say.
    regions: Items | None
    decoding: Mapping[str, object] | None
    capability: Mapping[str, object] | None
    schema_version: int | None


def under(owner: str) -> dict[str, str]:
    """The options whose key lies under another key, as option → last part: `under("axes")` has `range`, `seed`, …"""
    places = {name: option.key.rpartition(".") for name, option in _options()}
    return {name: last for name, (above, _, last) in places.items() if above == owner}


def singular() -> dict[str, str]:
    """Map what the command line writes in the singular, because it repeats it, to its keyword: `judge` → `judges`."""
    return {flag[2:].replace("-", "_"): name for name, option in _options() for flag in option.flags}


def option_at(place: Sequence[str], given: Collection[str]) -> str:
    """Tell how the command line writes the option that leads to a place in a study; empty where none given does.

    Args:
        place: keys of the study, from the top, without numbers of entries.
        given: keywords of the options that were given.
    """
    its = [singular().get(name, name) for name in given]
    for n in range(len(place), 0, -1):
        key = ".".join(place[:n])
        for name, option in _options():
            if name in its and option.key and option.key in (key, key.removeprefix("regions.")):
                return option.flags[0] if option.flags else f"--{name.replace('_', '-')}"
    return ""


def owner_of(key: str) -> str:
    """Tell below which key of a study file another stands, as `axes` of `range`; empty where below none."""
    owners = (option.key.rpartition(".") for _, option in _options())
    return next((owner for owner, _, name in owners if name == key), "")


def study_help() -> dict[str, str]:
    """Map each key of a study file, dots where it lies under another, to the help of its option, defaults left out."""
    said = {option.key: option.help for _, option in _options() if option.key}
    return {key: text.partition(" [default")[0].replace(" Repeatable.", "") for key, text in said.items()}


def _options() -> Iterator[tuple[str, Option]]:
    for name, hint in get_type_hints(StudyFlags, include_extras=True).items():
        yield from ((name, option) for option in getattr(hint, "__metadata__", ()))
