"""What is asked before a verb runs for long: that the user says so. Not what it costs, which `plan` says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safebasin.errors import StudyError
from safebasin.run.progress import duration

if TYPE_CHECKING:
    from safebasin.study import Study

MUCH = 50_000
"""Responses from which on a verb wants to hear --yes: more than a plane of 21 × 21 points over 80 prompts."""
Yes = Annotated[bool, typer.Option("--yes", help=f"Run more than {MUCH:,} responses.")]


def ask_before_much(study: Study, out: Path | None, *, less: str) -> None:
    """Refuse a study with very many responses to go.

    Args:
        study: what is to be run.
        out: its folder, whose responses count as done.
        less: the options that make it smaller, for the message.

    Raises:
        StudyError: where more than `MUCH` are left.
    """
    from safebasin import api

    if study.most_responses is not None and study.most_responses <= MUCH:
        return
    planned = api.plan_study(study, out=out, price=False)
    left = planned.responses - planned.done
    if left > MUCH:
        time = "" if planned.seconds_left is None else f", about {duration(planned.seconds_left)} at the pace so far"
        raise StudyError(
            f"study must be of at most {MUCH:,} new responses; got {left:,} ({planned.points} points × "
            f"{planned.prompts} prompts × {planned.systems} system prompts{time}). "
            f"Pass --yes to run it all the same, or take a smaller {less}."
        )
