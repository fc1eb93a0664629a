"""safebasin maps the safety basin of a language model, and audits what fine-tuning does to it.

The public names, nothing else. See `safebasin.api` for what they do. They are looked up on first use, so that importing
the package costs nothing and cannot fail: the command line is in charge before anything of ours is loaded.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safebasin.api import (
        Mapped,
        export_study,
        judge_study,
        make_study,
        map_basin,
        plan_study,
        read_study,
        report_study,
        verify_study,
    )
    from safebasin.errors import NotDecidable, SafebasinError, UsageError
    from safebasin.records import Estimate, Landscape, ModelRef, Prompt, Response, Score, Verdict
    from safebasin.study import Study

__all__ = [
    "Estimate",
    "Landscape",
    "Mapped",
    "ModelRef",
    "NotDecidable",
    "Prompt",
    "Response",
    "SafebasinError",
    "Score",
    "Study",
    "UsageError",
    "Verdict",
    "export_study",
    "judge_study",
    "make_study",
    "map_basin",
    "plan_study",
    "read_study",
    "report_study",
    "verify_study",
]


_HOMES = {
    "errors": ("NotDecidable", "SafebasinError", "UsageError"),
    "records": ("Estimate", "Landscape", "ModelRef", "Prompt", "Response", "Score", "Verdict"),
    "study": ("Study",),
}
"""Module → its public names; all others are of `api`."""


def __getattr__(name: str) -> object:
    if name not in (*__all__, "api", *_HOMES):
        raise AttributeError(f"module 'safebasin' has no attribute {name!r}")
    from importlib import import_module

    if name not in __all__:
        return import_module(f"safebasin.{name}")
    home = next((module for module, names in _HOMES.items() if name in names), "api")
    return getattr(import_module(f"safebasin.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
