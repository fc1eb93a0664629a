"""The API hands arguments on by name: what it takes is what lies below takes, with the same defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import safebasin
from safebasin import api, audit
from safebasin.api import requests
from safebasin.api.requests import checks_keywords
from safebasin.errors import StudyError, UsageError
from safebasin.items import items


def parameters(function: object, *without: str) -> dict[str, object]:
    """Name → default."""
    found = inspect.signature(function).parameters  # pyright: ignore[reportArgumentType]
    return {name: p.default for name, p in found.items() if name not in without}


@pytest.mark.parametrize("name", ["audit", "plan_audit"])
def test_the_api_takes_what_the_audit_takes(name: str) -> None:
    above = ("progress", "track")  # a bar by default, and trackers: what only the API knows of
    assert parameters(getattr(api, name), *above) == parameters(getattr(audit, name), *above)


ALIGNED = "world:guild/aligned"
TINY: Any = {"limit": 1, "directions": 1, "range": "0:1:2", "max_new_tokens": 1}
WRONG: dict[str, tuple[Callable[[Any], object], str]] = {
    "merge nothing": (lambda out: api.merge_shards([], out=out), "what is merged must be the folders of all shards"),
    "workers": (
        lambda out: api.map_basin(ALIGNED, out=out, workers="two"),
        "workers must be a whole number; got 'two'",
    ),
    "sweep": (
        lambda out: api.sweep_models(ALIGNED, [None], out=out),
        "tuned model must be a text, or a path; got nothing",
    ),
    "audit": (lambda out: api.audit(ALIGNED, None, out=out), "TUNED must be a text, or a path; got nothing"),
    "base": (lambda out: api.audit(None, ALIGNED, out=out), "BASE must be a text, or a path; got nothing"),
    "fleet": (lambda out: api.audit_fleet(ALIGNED, [3], out=out), "tuned model must be a text, or a path; got 3"),
    "screen": (lambda out: api.screen_models(ALIGNED, [3], out=out), "tuned model must be a text, or a path; got 3"),
    "open": (lambda _: api.open_study(None), "folder must be a path; got nothing"),
    "verify": (lambda _: api.verify_study(3), "folder must be a path; got 3"),
    "report": (lambda _: api.report_study(3), "folder must be a path; got 3"),
    "progress": (
        lambda out: api.map_basin(ALIGNED, out=out, progress=3, **TINY),
        "progress must be True, False or a hook; got 3",
    ),
    "backend": (lambda out: api.map_basin(ALIGNED, out=out, backend=3), "backend must be a text; got 3"),
    "true": (
        lambda out: api.map_basin(ALIGNED, out=out, **{**TINY, "limit": True}),
        "--limit must be a whole number; got True",
    ),
    "wording": (lambda out: api.map_basin(ALIGNED, out=out, limit="1e3"), "--limit must be a whole number; got '1e3'"),
    "flag": (
        lambda out: api.map_basin(ALIGNED, out=out, with_text="no", **TINY),
        "with_text must be True or False; got 'no'",
    ),
    "file": (lambda out: api.map_basin(api.make_study(file=3), out=out), "file must be a path; got 3"),
    "models": (lambda out: api.map_models(3, out=out), "model must be a text, or a path; got 3"),
    "shard": (lambda out: api.map_shard(api.make_study(ALIGNED), 3, out=out), "shard must be a text; got 3"),
    "study": (lambda out: api.map_shard(ALIGNED, "1/2", out=out), "study must be a study; got 'world:guild/aligned'"),
    "plan": (lambda out: api.plan_study(None, out=out), "study must be a study; got nothing"),
    "price": (
        lambda out: api.plan_study(api.make_study(ALIGNED), out=out, price_per_hour="2"),
        "price_per_hour must be a number; got '2'",
    ),
    "merge": (lambda out: api.merge_shards([out], out=out, progress=3), "progress must be True, False or a hook"),
    "sweep base": (lambda out: api.sweep_models(3, ALIGNED, out=out), "base must be a text, or a path; got 3"),
    "plan of an audit": (lambda _: api.plan_audit(3), "model must be a text, or a path; got 3"),
    "no base": (lambda _: api.plan_audit(None), "BASE must be a text, or a path; got nothing"),
    "harmful": (lambda _: api.plan_audit(ALIGNED, harmful=3), "harmful must be a text; got 3"),
    "policy": (lambda out: api.audit(ALIGNED, ALIGNED, out=out, policy=3), "policy must be a path, or a Policy; got 3"),
    "options": (lambda out: api.audit(ALIGNED, ALIGNED, out=out, options=3), "options must be keywords with their"),
    "judges": (lambda out: api.audit_fleet(ALIGNED, [ALIGNED], out=out, judges=3), "judges must be a text, or a list"),
    "judge": (lambda out: api.judge_file(out, [3]), "judges must be a text, or a list of them; got \\[3\\]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_argument_of_another_type_is_help_and_leaves_no_folder(name: str, tmp_path: Path) -> None:
    call, said = WRONG[name]
    with pytest.raises(UsageError, match=said):
        call(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_model_is_no_sequence_of_letters_and_numbers_of_numpy_are_numbers() -> None:
    (study,) = api.make_studies(ALIGNED, limit=2)
    assert study.model == ALIGNED
    planned = api.plan_audit(ALIGNED, limit=np.int64(2))  # pyright: ignore[reportArgumentType]
    assert [one.n for one in planned.sets] == [2] * 3


def test_what_can_be_read_once_is_read_by_the_verb() -> None:
    @checks_keywords
    def verb(judges: Sequence[str] = (), weight: float = 1.0) -> tuple[str, ...]:
        return items(judges) if weight else ()

    assert verb(iter(["refusal", "outcome"])) == ("refusal", "outcome")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match="weight must be a number; got 1000"):
        verb(weight=10**400)


VERBS = [
    name
    for name in api.__all__
    if inspect.isfunction(verb := getattr(api, name)) and inspect.signature(verb).parameters
]


def test_what_is_checked_is_every_verb_that_takes_something() -> None:
    assert {"make_study", "map_basin", "finetune", "audit", "export_study", "view"} <= {*VERBS}


@pytest.mark.parametrize("name", VERBS)
def test_a_thing_of_no_type_that_a_verb_takes_is_named(name: str) -> None:
    """Of each parameter, by itself: what else is lacking is not even looked at."""
    parameters = inspect.signature(getattr(api, name)).parameters
    thing = type("Thing", (), {"__repr__": lambda _: "<a thing>"})()
    checked = [key for key, p in parameters.items() if str(p.annotation).removesuffix(" | None") in requests._TYPES]
    for key in checked:
        if key not in requests._MODELS:
            with pytest.raises(UsageError, match=f"^{key} must be .*; got "):
                getattr(api, name)(**{key: thing})


@pytest.mark.parametrize("name", VERBS)
def test_a_keyword_that_is_not_known_is_told_what_the_verb_takes(name: str) -> None:
    verb = getattr(api, name)
    taken = [key for key, p in inspect.signature(verb).parameters.items() if p.kind is not p.VAR_KEYWORD]
    with pytest.raises(StudyError, match=f"keyword must be one that {name} takes; got 'zzz'") as caught:
        verb(zzz=3)
    assert {*taken} <= {*str(caught.value).partition("It takes: ")[2].rstrip(".").split(", ")}
    if "out" in taken:
        with pytest.raises(StudyError, match=rf"{name} takes; got 'outt'\. Did you mean 'out'\?"):
            verb(outt=3)


def test_a_keyword_that_is_not_known_is_told_the_fields_of_a_study(tmp_path: Path) -> None:
    for verb, model in ((api.map_basin, ALIGNED), (api.map_models, [ALIGNED] * 2), (api.sweep_models, [ALIGNED])):
        given = (ALIGNED, model) if verb is api.sweep_models else (model,)
        with pytest.raises(StudyError) as caught:
            verb(*given, out=tmp_path / "out", zzz=3)
        taken = str(caught.value).partition("It takes: ")[2].rstrip(".").split(", ")
        assert {"directions", "range", "max_new_tokens", "backend", "workers", "out"} <= {*taken}
    with pytest.raises(StudyError, match=r"make_study takes; got 'direction'\. Did you mean 'directions'\?"):
        safebasin.make_study(ALIGNED, direction=3)


def test_a_field_of_a_study_is_told_where_it_belongs(tmp_path: Path) -> None:
    ready: Any = safebasin.make_study(ALIGNED)
    with pytest.raises(StudyError, match="seed must be left out beside a ready study; got 3"):
        safebasin.map_basin(ready, out=tmp_path / "out", seed=3)
    for verb in (api.plan_study, partial(api.map_shard, shard="1/2")):
        with pytest.raises(StudyError, match=r"takes; got 'seed'\. Put it into the study: make_study\(…\)\."):
            verb(ready, out=tmp_path / "out", seed=3)
    audit: Any = api.audit
    with pytest.raises(StudyError, match=r"audit takes; got 'device'\. Put it into options\."):
        audit(ALIGNED, ALIGNED, out=tmp_path / "out", device="cpu")
    with pytest.raises(StudyError, match=r"audit takes; got 'judge'\. Did you mean 'judges'\?"):
        audit(ALIGNED, ALIGNED, out=tmp_path / "out", judge="refusal")
    assert not (tmp_path / "out").exists()
