"""What verbs have in common: the engine that they open, the prompts they are given, the keywords that they take."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from safebasin.errors import StudyError, expected

if TYPE_CHECKING:
    from safebasin.protocols import EngineSpec
    from safebasin.records import Scalar

_P = ParamSpec("_P")
_R = TypeVar("_R")

__all__ = ["checks_keywords", "engine_spec", "given"]


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


def checks_keywords(verb: Callable[_P, _R]) -> Callable[_P, _R]:
    """Make a verb that takes fields of a study, or a ready one, answer a keyword that it does not take with help.

    Raises:
        StudyError: by the verb, naming the first such keyword, and the nearest that it takes or where it belongs.
    """

    @wraps(verb)
    def called(*args: _P.args, **keywords: _P.kwargs) -> _R:
        _check(verb, keywords)
        return verb(*args, **keywords)

    return called


def _check(verb: Callable[..., object], keywords: Iterable[str]) -> None:
    from safebasin.study import Study, StudyFlags
    from safebasin.study.options import singular

    parameters = inspect.signature(verb).parameters
    has_flags = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    own = [name for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD]
    fields = {*StudyFlags.__annotations__, *singular(), *Study.model_fields, "models"}
    known = sorted({*own, *(StudyFlags.__annotations__ if has_flags else ())})
    for keyword in keywords:
        if keyword in own or (has_flags and keyword in fields):
            continue
        near = difflib.get_close_matches(keyword, known, n=1)
        remedy = f"Did you mean {near[0]!r}?" if near else f"It takes: {', '.join(known)}."
        if keyword in fields and singular().get(keyword) not in own:
            remedy = next((said for name, said in _ELSEWHERE.items() if name in own), remedy)
        raise StudyError(expected("keyword", f"one that {verb.__name__} takes", keyword, remedy))


_ELSEWHERE = {"study": "Put it into the study: make_study(…).", "options": "Put it into options."}
"""Where a verb that takes no fields of a study by themselves takes them, by the name of its parameter."""
