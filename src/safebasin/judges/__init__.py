"""Judges: functions of (prompt, response, score). `keyword` and `outcome` look at the text alone.

`rubric` and `guard` ask another model (`asked_judge`): over HTTP (`endpoint`), or in this process through an engine of
the catalogue (`local`). Nothing is loaded and nobody is asked before the first verdict.
"""

from __future__ import annotations

import inspect
from typing import TypeGuard

from safebasin import catalog
from safebasin.errors import UnknownName, expected
from safebasin.protocols import Judge


def load_judge(text: str) -> Judge:
    """The judge of `name` or `name(key=value, …)`, through the catalogue.

    Raises:
        UnknownName: where the name or an argument is not known, or what it names is no judge.
    """
    judge = catalog.create("judge", text)
    if not _is_judge(judge):
        raise UnknownName(expected(f"judge {text!r}", "a judge", judge, "Mend the package that provides it."))
    return judge


def _is_judge(made: object) -> TypeGuard[Judge]:
    """`isinstance(made, Judge)` without reading its version, which may need a model that is not here yet."""
    parts = ("name", "version", "monotone", "phrases", "judge")
    return all(inspect.getattr_static(made, part, None) is not None for part in parts)
