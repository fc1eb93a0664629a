"""The API hands arguments on by name: what it takes is what lies below takes, with the same defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import safebasin
from safebasin import api, audit
from safebasin.errors import StudyError, UsageError


def parameters(function: object, *without: str) -> dict[str, object]:
    """Name → default."""
    found = inspect.signature(function).parameters  # pyright: ignore[reportArgumentType]
    return {name: p.default for name, p in found.items() if name not in without}


@pytest.mark.parametrize("name", ["audit", "plan_audit"])
def test_the_api_takes_what_the_audit_takes(name: str) -> None:
    above = ("progress", "track")  # a bar by default, and trackers: what only the API knows of
    assert parameters(getattr(api, name), *above) == parameters(getattr(audit, name), *above)


ALIGNED = "world:guild/aligned"
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
    "judge": (lambda out: api.judge_file(out, [3]), "judge must be a text, or a path; got 3"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_argument_of_another_type_is_help_and_leaves_no_folder(name: str, tmp_path: Path) -> None:
    call, said = WRONG[name]
    with pytest.raises(UsageError, match=said):
        call(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_keyword_that_is_not_known_is_told_what_the_verb_takes(tmp_path: Path) -> None:
    for verb, model in ((api.map_basin, ALIGNED), (api.map_models, [ALIGNED] * 2), (api.sweep_models, [ALIGNED])):
        given = (ALIGNED, model) if verb is api.sweep_models else (model,)
        said = f"keyword must be one that {verb.__name__} takes; got 'zzz'"
        with pytest.raises(StudyError, match=said) as caught:
            verb(*given, out=tmp_path / "out", zzz=3)
        taken = str(caught.value).partition("It takes: ")[2].rstrip(".").split(", ")
        assert {"directions", "range", "max_new_tokens", "backend", "workers", "out"} <= {*taken}
    with pytest.raises(StudyError, match=r"make_study takes; got 'direction'\. Did you mean 'directions'\?"):
        safebasin.make_study(ALIGNED, direction=3)
    with pytest.raises(StudyError, match="seed must be left out beside a ready study; got 3"):
        safebasin.map_basin(safebasin.make_study(ALIGNED), out=tmp_path / "out", seed=3)
