"""Files to begin with hold what they say, and their schemas know what the code knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from safebasin import api, study
from safebasin.audit.policy import DEFAULT_POLICY, load_policy
from safebasin.errors import StudyError, UsageError

STUDIES = sorted((Path(__file__).parents[2] / "studies").rglob("*.yaml"))


def checker(kind: str) -> jsonschema.Draft202012Validator:
    schema = api.file_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def uncommented(text: str) -> str:
    """The file with what is commented out as a key put in force."""
    return re.sub(r"^( *)# ?( *(?:- )?[a-z_/*]+:(?: |$))(?!.*:\d+:\d+\))", r"\1\2", text, flags=re.MULTILINE)


def test_what_is_written_is_read_as_the_defaults(tmp_path: Path) -> None:
    written = api.write_starter(tmp_path / "new")
    assert [path.name for path in written] == ["study.yaml", "policy.yaml", "study.schema.json", "policy.schema.json"]
    assert study.load(written[0]).hash == study.make({"model": "world:guild/aligned"}).hash
    assert load_policy(written[1]).limits == DEFAULT_POLICY.limits
    assert load_policy(written[1]).floors == DEFAULT_POLICY.floors
    for path, kind in zip(written, ("study", "policy"), strict=False):
        assert path.read_text().startswith(f"# yaml-language-server: $schema={kind}.schema.json\n")
        checker(kind).validate(yaml.safe_load(path.read_text()))


def test_every_default_in_a_comment_is_the_one_of_the_code(tmp_path: Path) -> None:
    path = api.write_starter(tmp_path)[0]
    text = path.read_text()
    for free in ("    # label: harmful", '    # only: "*mlp*"'):
        assert free in text
        text = text.replace(free, "")
    path.write_text(uncommented(text))
    fields = yaml.safe_load(path.read_text())
    assert {"limit", "systems", "judges", "points", "device", "dtype"} <= fields.keys()
    assert {"seed", "directions", "normalize", "range"} <= fields["axes"][0].keys()
    assert study.load(path) == study.make({"model": "world:guild/aligned"})


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("mine")
    with pytest.raises(UsageError, match=r"one without policy\.yaml"):
        api.write_starter(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["policy.yaml"]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_study_that_ships_fits_the_schema(path: Path) -> None:
    fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        study.make(fields)
    except (StudyError, TypeError):
        assert path.name in ("published.yaml", "settings.yaml"), "all else is a study"
        return
    checker("study").validate(fields)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("study", {"model": "m", "promts": "x"}),
        ("study", {"model": "m", "decoding": {"max_tokens": 1}}),
        ("study", {"model": "m", "axes": [{"kind": "random", "sed": 1}]}),
        ("study", {"model": "m", "points": "gird"}),
        ("policy", {"limits": {"capabilty": 0.1}}),
        ("policy", {"limits": {"asr": 5}}),
        ("policy", {"limits": {"asr/": 0.1}}),
        ("policy", {"limits": {"asr": 0.1}, "floors": {"base": 0.5}}),
        ("policy", {"limit": {"asr": 0.1}}),
    ],
)
def test_a_typo_is_seen_by_the_schema(kind: str, fields: dict[str, Any]) -> None:
    assert not checker(kind).is_valid(fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "m", "prompts": "advbench", "axes": "to:other@0:1:3", "judges": "refusal"},
        {"model": "m", "prompts": ["a.csv", {"source": "b.csv", "label": "benign"}], "axes": ["random", "quant:int4"]},
        {"model": "m", "prompts": "a", "regions": {"axes": {"kind": "random"}}, "decoding": {"stop": "none"}},
        {"model": "m", "prompts": "a", "capability": {"texts": "a.txt"}, "limit": None},
    ],
)
def test_what_the_code_reads_the_schema_allows(fields: dict[str, Any]) -> None:
    study.make(fields)
    checker("study").validate(fields)


def test_an_unknown_kind_is_told() -> None:
    with pytest.raises(UsageError, match="study or policy"):
        api.file_schema("polcy")
