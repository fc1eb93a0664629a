"""Prompts by role, harmful, benign and further ones: where they come from, and that no prompt is two things."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from safebasin import catalog
from safebasin.errors import PromptError, StudyError, expected
from safebasin.prompts.labels import Label
from safebasin.prompts.sources import load_prompts
from safebasin.records import Prompt
from safebasin.untrusted import check_typed_path

__all__ = ["load_roles", "role_sources"]

NEEDED = ("harmful", "benign")


def role_sources(model: str, given: Iterable[tuple[str, str]], roles: Iterable[str]) -> dict[str, str]:
    """Give role → source. Of a world the split `val`, so that none of what is measured later is used here.

    Args:
        model: as the user wrote it.
        given: role → source, which win over those of a world.
        roles: what a world is asked for.

    Raises:
        StudyError: where harmful or benign prompts have no source.
    """
    found = dict(given)
    if model.startswith("world:"):
        world = model.removeprefix("world:").partition("/")[0]
        known = catalog.world(world).prompt_sets
        found = {**{role: f"world:{world}/{role}@val" for role in roles if role in known}, **found}
    for role in NEEDED:
        if role not in found:
            check_typed_path(model)
            remedy = f"Pass --{role} FILE, or the name of a public set (see: safebasin list prompts)."
            raise StudyError(expected(f"--{role}", "given for a model that is not of an embedded world", None, remedy))
    return found


def load_roles(sources: Mapping[str, str], roles: Mapping[str, Label], limit: int) -> dict[str, tuple[Prompt, ...]]:
    """Load the prompts of each role.

    Args:
        sources: of `role_sources`.
        roles: role → label of the prompts that are taken.
        limit: prompts of each role, at most.

    Raises:
        PromptError: where a source cannot be read, or a prompt is harmful and benign.
    """
    found = {role: load_prompts(source, limit=limit, label=roles[role]) for role, source in sources.items()}
    both = {prompt.id for prompt in found["harmful"]} & {prompt.id for prompt in found["benign"]}
    if both:
        remedy = "Take them out of one of the two."
        raise PromptError(expected("harmful and benign prompts", "different ones", f"{len(both)} in both", remedy))
    return found
