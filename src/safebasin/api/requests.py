"""What verbs have in common: the engine that they open, the prompts they are given, the keywords that they take."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from safebasin.errors import StudyError, expected

if TYPE_CHECKING:
    from safebasin.protocols import EngineSpec
    from safebasin.records import Scalar

__all__ = ["check_keywords", "engine_spec", "given"]


def engine_spec(
    model: str, *, device: str, dtype: str, template_args: Mapping[str, Scalar] | None, trust_remote_code: bool
) -> EngineSpec:
    """The engine of a model, as the keywords of a verb describe it."""
    from safebasin.protocols import EngineSpec

    arguments = tuple(sorted((template_args or {}).items()))
    return EngineSpec(
        model=model, device=device, dtype=dtype, trust_remote_code=trust_remote_code, template_args=arguments
    )


def given(**sources: str | None) -> tuple[tuple[str, str], ...]:
    """Kind of prompts → source, of those that were named."""
    return tuple((kind, source) for kind, source in sources.items() if source is not None)


def check_keywords(verb: Callable[..., object], keywords: Iterable[str]) -> None:
    """Check that each further keyword of a verb is an option of a study.

    Raises:
        StudyError: naming the first that is none, and what the verb takes.
    """
    from safebasin.study import Study, StudyFlags
    from safebasin.study.options import singular

    options = StudyFlags.__annotations__
    own = [name for name, p in inspect.signature(verb).parameters.items() if p.kind is p.KEYWORD_ONLY]
    known = sorted({*options, *own})
    for keyword in keywords:
        if keyword not in {*options, *singular(), *Study.model_fields, "models"}:
            near = difflib.get_close_matches(keyword, known, n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else f"It takes: {', '.join(known)}."
            raise StudyError(expected("keyword", f"one that {verb.__name__} takes", keyword, remedy))
