"""The one table of a study's options: each leads to a key that a study has, and every such key can be reached."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_type_hints

import pytest
from pydantic import BaseModel

import safebasin
from safebasin import study
from safebasin.errors import StudyError
from safebasin.study import AxisSpec, CapabilitySpec, DecodingSpec, PromptsSpec, RegionSpec, Study, StudyFlags
from safebasin.study.options import Option, singular, under

OWNERS: dict[str, type[BaseModel]] = {
    "": Study,
    "prompts": PromptsSpec,
    "axes": AxisSpec,
    "regions": RegionSpec,
    "decoding": DecodingSpec,
    "capability": CapabilitySpec,
}
HINTS = get_type_hints(StudyFlags, include_extras=True)
OPTIONS = {name: extra for name, hint in HINTS.items() for extra in getattr(hint, "__metadata__", ())}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_leads_to_a_key_of_a_study(name: str) -> None:
    option: Option = OPTIONS[name]
    owner, _, key = option.key.rpartition(".")
    assert key in OWNERS[owner].model_fields or option.key == "axes"
    assert option.help.endswith((".", "]"))


def test_every_key_of_a_study_can_be_given_in_the_api() -> None:
    named = {option.key for option in OPTIONS.values()} | set(HINTS)
    assert set(Study.model_fields) - {"model"} <= named
    for owner in ("decoding", "capability"):
        assert {f"{owner}.{key}" for key in OWNERS[owner].model_fields if key != "max_tokens"} <= named


def test_what_lies_under_a_key() -> None:
    assert under("decoding") == {"max_new_tokens": "max_new_tokens", "stop": "stop"}
    assert under("prompts") == {"label": "label"}
    assert under("capability")["texts"] == "texts"


@pytest.mark.parametrize(("one", "many"), singular().items())
def test_a_list_is_named_in_the_plural_and_the_command_line_may_repeat_the_singular(one: str, many: str) -> None:
    own = {"model": "world:guild/aligned"}
    value: object = {"a": 1} if one == "template_arg" else ["random"] if one == "axis" else ["a.txt"]
    assert study.with_flags(own, {many: value}) == study.with_flags(own, {one: value}) != own
    assert many in HINTS
    assert one not in HINTS


def test_axes_of_the_command_line_stand_for_those_of_a_study_file() -> None:
    for before in ({"axes": [{}]}, {"axes": "random", "points": "auto"}, {"regions": [{"name": "a"}, {"name": "b"}]}):
        fields = {"model": "world:guild/aligned", **before}
        (region,) = study.make(study.with_flags(fields, {"axes": ["quant:int4"]})).regions
        assert (region.label, region.points) == ("quant:int4", before.get("points", "grid"))
    with pytest.raises(StudyError, match="'axes' must be left out beside 'regions'"):
        study.make(study.with_flags({"model": "world:guild/aligned"}, {"axes": ["random"], "regions": [{}]}))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"seed": -1}, "--seed must be at least 0; got -1. Change it, or leave it out."),
        ({"directions": 0}, "--directions must be at least 1; got 0. Change it, or leave it out."),
        ({"max_new_tokens": 0}, "--max-new-tokens must be at least 1; got 0. Change it, or leave it out."),
        ({"prompts": ""}, "--prompts must be a text that is not empty; got ''. Change it, or leave it out."),
        (
            {"prompts": "a.csv", "label": "evil"},
            "--label must be one of 'harmful' or 'benign'; got 'evil'. Change it, or leave it out.",
        ),
        (
            {"batch_size": 0},
            "--batch-size must be 'auto' or from 1 to 1,000,000,000; got 0. Change it, or leave it out.",
        ),
        ({"budget": 0}, "--budget must be at least 5; got 0. Change it, or leave it out."),
    ],
)
def test_an_option_that_does_not_hold_is_named_as_it_was_given(flags: dict[str, object], said: str) -> None:
    with pytest.raises(StudyError) as caught:
        safebasin.make_study("world:guild/aligned", **flags)
    assert str(caught.value) == said


def test_a_key_of_a_study_file_is_named_as_the_file_has_it(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("model: world:guild/aligned\naxes: [{seed: -1}]\n")
    with pytest.raises(StudyError, match=r"axes\.0\.seed must be .* Mend 'axes\.0\.seed' in the study"):
        safebasin.make_study(file=file, directions=2)


def test_numbers_of_a_study_file_are_told_in_words(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    for line, said in (
        ("limit: 1e3", "limit must be a whole number; got '1e3'"),
        ("limit: 2.5", "limit must be a whole number; got 2.5"),
        ("regions: [{name: a}, {name: a}]", "'a' is there twice. Mend the study."),
    ):
        file.write_text(f"model: world:guild/aligned\n{line}\n")
        with pytest.raises(StudyError, match=re.escape(said)):
            safebasin.make_study(file=file)
