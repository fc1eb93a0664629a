"""Judges: functions of (prompt, response, score). `keyword` and `outcome` look at the text alone.

`rubric` and `guard` ask another model (`asked_judge`): over HTTP (`endpoint`), or in this process through an engine of
the catalogue (`local`). Nothing is loaded and nobody is asked before the first verdict.

    alternatives  many patterns looked for as one, compiled as far as texts need them
    apply         applying a judge to stored responses, and the one rule about texts that a stop rule has cut
    asked_judge   a judge that asks: a questionnaire put to a chat
    choose_chat   from the argument `model` to what answers: a folder or world here, any other name at an endpoint
    completion    what the body of a chat completion says: an answer, or why it is none
    endpoint      a chat over HTTP: many requests at a time, patience, a cache
    files         judging responses that were made elsewhere: a table with a prompt and a response per row
    guard/        guard models as judges
    keyword       keyword judges, as published
    language      whether a text is language: by its likelihood under a calibrated model, and by its own repetition
    local         questions to a chat model in this process, through the engine of the catalogue
    neutralize    text under judgment made into data: nothing in it may end its frame or answer for the judge
    outcome       `outcome`: how a response refuses, and whether it is language
    phrases/      lists of refusal phrases, as versioned data files
    refusal       the rule `refusal`: whether a text refuses, in its opening sentences
    reply_scores  scores read out of a reply, strictly
    rubric        `rubric/qi2023` and `rubric/strongreject`: a chat model grades a response against a rubric
    rubrics/      texts that rubric judges ask with, as versioned data files
    scored        how much of a text has to be scored for the verdicts on it
    secret        the key of an endpoint, kept out of every text that comes back from it, however the server spells it
    sentences     the opening of a text, cut into sentences
    transport     one chat request to an OpenAI-compatible endpoint, and everything that may come back, sorted
    wire          one POST over HTTP, bounded
    wording       what the rule `refusal` looks for, from `phrases/refusal.v*.toml`
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
