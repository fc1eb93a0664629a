"""What verbs have in common: the engine that they open, the prompts they are given, the keywords that they take."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from numbers import Integral, Real
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from safebasin.errors import StudyError, UsageError, expected
from safebasin.items import items

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
    """Make a verb answer a keyword that it does not take, and an argument of another type, with help.

    Raises:
        StudyError: by the verb, naming the first such keyword, and the nearest that it takes or where it belongs.
        UsageError: by the verb, naming the first argument of another type, and what it takes.
    """

    @wraps(verb)
    def called(*args: _P.args, **keywords: _P.kwargs) -> _R:
        _check(verb, keywords)
        _check_types(verb, args, keywords)
        return verb(*args, **keywords)

    return called


def _check(verb: Callable[..., object], keywords: Iterable[str]) -> None:
    parameters = inspect.signature(verb).parameters
    own = [name for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD]
    further = next((str(p.annotation) for p in parameters.values() if p.kind is p.VAR_KEYWORD), "")
    unknown = [keyword for keyword in keywords if keyword not in own]
    if not unknown:  # nor is anything imported
        return
    flags, fields = _flags(further), _fields_of_studies()
    known = sorted({*own, *flags})
    for keyword in unknown:
        if keyword in flags or (further == _STUDY and keyword in fields):
            continue
        near = difflib.get_close_matches(keyword, known, n=1)
        remedy = f"Did you mean {near[0]!r}?" if near else f"It takes: {', '.join(known)}."
        if keyword in fields and fields[keyword] not in own:
            remedy = next((said for name, said in _ELSEWHERE.items() if name in own), remedy)
        raise StudyError(expected("keyword", f"one that {verb.__name__} takes", keyword, remedy))


_STUDY, _TUNING = "Unpack[StudyFlags]", "Unpack[TuningFlags]"
"""What the keywords of a verb beside its own parameters are annotated with."""


def _flags(further: str) -> Iterable[str]:
    """The options that a verb takes beside its own parameters, by the annotation of these."""
    from safebasin.finetune.options import TuningFlags
    from safebasin.study import StudyFlags

    return {_STUDY: StudyFlags, _TUNING: TuningFlags}[further].__annotations__ if further else ()


def _fields_of_studies() -> Mapping[str, str | None]:
    """Every name by which a field of a study is known → the plural by which verbs take it, where it has one."""
    from safebasin.study import Study, StudyFlags
    from safebasin.study.options import singular

    plurals = singular()
    return {name: plurals.get(name) for name in (*StudyFlags.__annotations__, *plurals, *Study.model_fields, "models")}


_ELSEWHERE = {"study": "Put it into the study: make_study(…).", "options": "Put it into options."}
"""Where a verb that takes no fields of a study by themselves takes them, by the name of its parameter."""


def _check_types(verb: Callable[..., object], args: tuple[object, ...], keywords: Mapping[str, object]) -> None:
    parameters = inspect.signature(verb).parameters
    for name, value in (*zip(parameters, args, strict=False), *keywords.items()):
        written = str(parameters[name].annotation) if name in parameters and name not in _MODELS else ""
        known = _TYPES.get(written.removesuffix(" | None"))
        if known is None or (value is None and written.endswith(" | None")):
            continue
        is_one, constraint, remedy = known
        if not is_one(value):
            raise UsageError(expected(name, constraint, value, remedy or f"Give {name} as {constraint}."))


def _is_bool(value: object) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool", "bool_")  # that of numpy, too


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, Real) and not _is_bool(value) and isinstance(float(value), float)
    except OverflowError:  # an integer beyond what floats reach
        return False


def _are_texts(value: object) -> bool:
    # An iterator can be read only once, by the verb.
    return isinstance(value, Iterator) or all(isinstance(one, str) for one in items(value))


def _is_path(value: object) -> bool:
    return isinstance(value, (str, os.PathLike))


def _are_paths(value: object) -> bool:
    return _is_path(value) or isinstance(value, Iterator) or all(_is_path(one) for one in items(value))


def _is_policy(value: object) -> bool:
    from safebasin.audit import Policy

    return _is_path(value) or isinstance(value, Policy)


def _is_study(value: object) -> bool:
    from safebasin.study import Study

    return isinstance(value, Study)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_hook(value: object) -> bool:
    return _is_bool(value) or callable(value)


_MODELS = ("base", "tuned", "model", "models")
"""Models, which verbs take in several shapes: each verb reads them, and says what it takes."""
_TYPES: Mapping[str, tuple[Callable[[object], bool], str, str]] = {
    "bool": (_is_bool, "True or False", ""),
    "int": (lambda value: isinstance(value, Integral) and not _is_bool(value), "a whole number", ""),
    "float": (_is_number, "a number", ""),
    "str": (lambda value: isinstance(value, str), "a text", ""),
    "str | Path": (_is_path, "a path", "Give its name as a string."),
    "str | Path | Sequence[str | Path]": (_are_paths, "a path, or a list of them", ""),
    "Sequence[str]": (_are_texts, "a text, or a list of them", ""),
    "str | Sequence[str]": (_are_texts, "a text, or a list of them", ""),
    "Policy | str | Path": (_is_policy, "a path, or a Policy", "`safebasin init` writes a file to begin with."),
    "StudyFlags": (_is_mapping, "keywords with their values", "E.g. {'batch_size': 8}."),
    "Mapping[str, Scalar]": (_is_mapping, "names with their values", "E.g. {'enable_thinking': False}."),
    "Study": (_is_study, "a study", "Make one: make_study(…)."),
    "Progress": (_is_hook, "True, False or a hook", ""),
    "TrainingProgress": (_is_hook, "True, False or a hook", ""),
    "Callable[[str], None]": (callable, "a function of a text", "E.g. print."),
}
"""How an argument is annotated, without None → whether a value is one, what it must be, and what to do."""
