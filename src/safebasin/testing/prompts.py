"""Conformance of prompt sources and worlds: something to ask, each thing once, always in the same order."""

from __future__ import annotations

from collections.abc import Sequence

from safebasin.errors import ModelError, PromptError, UnknownName
from safebasin.protocols import PromptSource, SystemSource, World
from safebasin.records import Prompt
from safebasin.testing.claims import claim

_ROLES = ("system", "user", "assistant")
_NOWHERE = "no-such-name-conformance"
_SPLITS = ("train", "val", "test")


def check_prompt_source(source: PromptSource) -> None:
    """Check the contract of `safebasin.protocols.PromptSource`.

    There is a prompt at least; loading again gives the same prompts in the same order; no prompt is there twice; each
    ends with a turn of the user, and every turn but the system's has text.

    Raises:
        AssertionError: naming the first thing that does not hold.
    """
    what = f"prompts of {type(source).__name__}"
    _check_prompts(what, source.load(), source.load())


def check_system_source(source: SystemSource) -> None:
    """Check a system prompt of the catalogue: the same `System` each time, or an error that says where its text is.

    Raises:
        AssertionError: naming the first thing that does not hold.
    """
    what = f"system prompt of {type(source).__name__}"
    try:
        first, second = source.load(), source.load()
    except PromptError:
        return
    claim(first == second, what, "the same each time", (first, second), "Load it from a file.")
    claim(first.name.strip() == first.name != "", f"name of {what}", "there, without blanks", first.name, "Name it.")


def check_world(world: World) -> None:
    """Check the contract of `safebasin.protocols.World`, without building its checkpoints.

    Prompt sets hold as `check_prompt_source` says, and their splits share no prompt; there are harmful and benign rows
    to ask with, of which none of the split `train` is one; checkpoints are Hugging Face
    folders of safetensors with a tokenizer, or not built yet, with the command that builds them; an unknown name is an
    error that a user can mend.

    Raises:
        AssertionError: naming the first thing that does not hold.
    """
    claim(
        world.prompt_sets and world.checkpoints,
        "world",
        "one with a prompt set and a checkpoint",
        (list(world.prompt_sets), list(world.checkpoints)),
        "A world without either cannot be mapped.",
    )
    for name, summary in (*world.prompt_sets.items(), *world.checkpoints.items()):
        claim(
            isinstance(summary, str) and summary.strip() and "\n" not in summary,
            f"summary of {name!r}",
            "one line of text",
            summary,
            "`safebasin world info` prints it.",
        )
    for name in world.prompt_sets:
        _check_prompts(f"prompt set {name!r}", world.load_prompts(name), world.load_prompts(name))
        _check_splits(world, name)
    for kind in ("harmful", "benign"):
        _check_rows(world, kind)
    for name in world.checkpoints:
        _check_checkpoint(world, name)
    _refuses(lambda: world.load_prompts(_NOWHERE), "load_prompts", (PromptError, UnknownName))
    _refuses(lambda: world.checkpoint(_NOWHERE), "checkpoint", (ModelError, UnknownName))


def _check_rows(world: World, kind: str) -> None:
    named = world.rows_to_ask.get(kind)
    claim(named is not None, "rows_to_ask", f"with {kind!r}", dict(world.rows_to_ask), "`prefill` asks with them.")
    asked = {row.prompt.text for row in world.training_rows(str(named))}
    claim(asked, f"rows {named!r}", "at least one", asked, "`prefill` asks with them.")
    if named != kind:
        both = asked & {row.prompt.text for row in world.training_rows(kind)}
        claim(not both, f"rows {named!r}", "none that are trained on", sorted(both)[:1], "Ask with another split.")


def _check_prompts(what: str, first: Sequence[Prompt], again: Sequence[Prompt]) -> None:
    claim(
        isinstance(first, tuple) and all(isinstance(p, Prompt) for p in first),
        what,
        "a tuple of safebasin.records.Prompt",
        type(first).__name__,
        "Return tuple(prompts).",
    )
    claim(first, what, "at least one", first, "Raise PromptError where there is none.")
    claim(
        first == again,
        what,
        "the same, in the same order, each time",
        "another order or content",
        "Sort them, and draw only from an explicit seed.",
    )
    seen: set[str] = set()
    for number, prompt in enumerate(first):
        claim(prompt.id not in seen, f"{what}, number {number},", "there once", prompt.text[:60], "Drop duplicates.")
        seen.add(prompt.id)
        _check_messages(f"{what}, number {number},", prompt)


def _check_messages(what: str, prompt: Prompt) -> None:
    roles = [m.role for m in prompt.messages]
    claim(
        roles and set(roles) <= set(_ROLES), what, f"made of turns of {', '.join(_ROLES)}", roles, "Name the roles so."
    )
    claim(roles[-1] == "user", what, "one whose last turn is the user's", roles, "The response is the next turn.")
    for message in prompt.messages:
        has_text = isinstance(message.content, str) and (message.content.strip() or message.role == "system")
        claim(has_text, what, "one in which every turn has text", message, "Leave such prompts out, or mend them.")


def _check_splits(world: World, name: str) -> None:
    seen: dict[str, str] = {}
    for split in _SPLITS:
        for prompt in _split(world, name, split):
            claim(
                seen.setdefault(prompt.id, split) == split,
                f"prompt of {name!r}",
                "in one split only",
                f"{prompt.text[:60]!r} in {seen[prompt.id]} and {split}",
                "Split before you dress.",
            )


def _split(world: World, name: str, split: str) -> Sequence[Prompt]:
    """The prompts of a split; none where the world does not have it."""
    try:
        return world.load_prompts(name, split)
    except PromptError:
        return ()


def _check_checkpoint(world: World, name: str) -> None:
    try:
        folder = world.checkpoint(name)
    except ModelError as error:
        is_said = "safebasin world build" in str(error)
        claim(is_said, f"checkpoint {name!r}", "there, or missing with how to build it", error, "Name the command.")
        return
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    claim(
        "config.json" in found, f"checkpoint {name!r}", "a folder with config.json", found, "Ship it as package data."
    )
    claim(
        any(f.endswith(".safetensors") for f in found),
        f"checkpoint {name!r}",
        "saved as safetensors",
        found,
        "Pickles are not loaded.",
    )
    claim(
        any(f.startswith(("tokenizer", "vocab", "spiece")) for f in found),
        f"checkpoint {name!r}",
        "accompanied by its tokenizer",
        found,
        "Save the tokenizer into the folder.",
    )


def _refuses(call: object, what: str, errors: tuple[type[Exception], ...]) -> None:
    assert callable(call)
    try:
        got: object = call()
    except errors:
        return
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
    named = " or ".join(e.__name__ for e in errors)
    claim(False, f"{what} of an unknown name", f"refused with {named}", got, "Users mistype names; say which exist.")
