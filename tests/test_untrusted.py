"""Files that others wrote: whatever is in them, a value or one line of help."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from safebasin import study
from safebasin.audit.evidence import cluster
from safebasin.audit.labelled import labels_of_agreement
from safebasin.audit.policy import load_policy
from safebasin.audit.sets import Sets
from safebasin.engines.perplexity import read_text as read_plain
from safebasin.errors import MissingFile, PromptError, StudyError, UsageError
from safebasin.finetune.data import read_training_rows
from safebasin.judges import files
from safebasin.judges.rubric import qi2023
from safebasin.landscape.labels import read_labels
from safebasin.prompts.chat import read_template
from safebasin.prompts.files import read_file
from safebasin.prompts.systems import system_prompt
from safebasin.untrusted import read_bytes, read_json, scalar, user_path, yaml_value

BOMB = "a0: &a0 [1, 2]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}]\n" for i in range(1, 30))
HOSTILE_YAML = {
    "twice": "model: a\nmodel: b",
    "bomb": BOMB,
    "itself": "a: &a [*a]",
    "deep": "a: " + "[" * 3_000 + "]" * 3_000,
    "deep blocks": "\n".join(" " * i + "a:" for i in range(200)),
    "date": "a: 2024-13-45",
    "tag": "a: !!python/object/apply:os.system [ls]",
    "own tag": "a: !mine 1",
    "digits": "a: " + "9" * 5_000,
    "hex digits": "a: 0x" + "f" * 5_000,
    "number as key": "1: a",
    "date as key": "2024-01-01: a",
    "list as key": "[1]: a",
    "nothing as key": "~: a",
    "binary": "a: !!binary x",
    "set": "a: !!int x",
    "merge of no mapping": "<<: 1",
    "null byte": "a: \0",
    "two documents": "a: 1\n---\na: 2",
    "large": "a: '" + "x" * 600_000 + "'",
}


@pytest.mark.parametrize("text", HOSTILE_YAML.values(), ids=HOSTILE_YAML.keys())
@pytest.mark.parametrize("read", [study.load, load_policy], ids=["study", "policy"])
def test_hostile_yaml_is_one_line_with_the_name_of_the_file(tmp_path: Path, read, text: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    began = time.monotonic()
    with pytest.raises(StudyError, match=r"file") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1_000
    assert time.monotonic() - began < 60


def test_a_policy_that_names_a_limit_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("limits: {asr: 0.1, asr: 0.2}")
    with pytest.raises(StudyError, match="'asr' stands here twice"):
        load_policy(tmp_path / "p.yaml")


def test_plain_yaml_is_what_it_was() -> None:
    text = "a: &x {b: 1, c: [true, ~, 0.5, text]}\nd: {<<: *x, b: 2}"
    assert yaml_value(text, "it") == {
        "a": {"b": 1, "c": [True, None, 0.5, "text"]},
        "d": {"b": 2, "c": [True, None, 0.5, "text"]},
    }
    assert [scalar(t, "it") for t in ("false", "3", "some text", "2024-01-01")] == [False, 3, "some text", "2024-01-01"]
    with pytest.raises(UsageError, match="a plain value"):
        scalar("[1]", "it")


def test_only_regular_files_of_some_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"x" * 2_000)
    for name in ("pipe", "/dev/zero", "."):
        with pytest.raises(StudyError, match="regular file"):
            read_bytes(tmp_path / name, "it", error=StudyError)
    with pytest.raises(StudyError, match=r"at most 1 kB.*2000 bytes"):
        read_bytes(tmp_path / "file", "it", error=StudyError, most=1024)
    with pytest.raises(MissingFile, match="existing file"):
        read_bytes(tmp_path / "none", "it", error=PromptError)
    for name in ("x" * 300, "nul\0byte"):
        with pytest.raises(StudyError, match="can be read"):
            read_bytes(tmp_path / name, "it", error=StudyError)


@pytest.mark.parametrize("deep", [201, 900, 100_000])
@pytest.mark.parametrize("level", [("[", "]"), ('{"a": ', "}")])
def test_deep_json_is_help(deep: int, level: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="too many levels"):
        read_json(level[0] * deep + "1" + level[1] * deep, "it")


def test_a_key_that_stands_twice_is_refused_but_in_what_a_program_wrote() -> None:
    text = '{"a": 1, "rows": [{"label": "harmful", "id": 1, "label": "refusal"}]}'
    with pytest.raises(StudyError, match=r"labels must be valid JSON; got .the key 'label' twice in one object"):
        read_json(text, "labels", error=StudyError)
    assert read_json(text, "labels", lenient=True)["rows"] == [{"label": "refusal", "id": 1}]
    assert read_json('{"a": {"a": [{"a": 1}, {"a": 2}]}}', "it") == {"a": {"a": [{"a": 1}, {"a": 2}]}}


def test_wide_json_is_plain() -> None:
    assert len(read_json("[" + "[[[]]], " * 1_000 + "{}]", "it")) == 1_001
    assert read_json("[" * 200 + "]" * 200, "it")


HOSTILE_FILES = {
    "pipe": "a regular file",
    "zero": "a regular file",
    "folder": "a regular file",
    "none": "an existing file",
    "latin": "UTF-8",
    "deep": "",
}
READERS = {
    "study.yaml": study.load,
    "policy.yaml": load_policy,
    "prompts.jsonl": read_file,
    "prompts.csv": read_file,
    "prompts.json": read_file,
    "prompts.parquet": read_file,
    "training.jsonl": read_training_rows,
    "training.csv": read_training_rows,
    "training.json": read_training_rows,
    "training.parquet": read_training_rows,
    "labels.jsonl": lambda path: read_labels(path, {}),
    "labels.csv": lambda path: read_labels(path, {}),
    "clusters.json": lambda path: cluster(str(path), Sets(prompts={}, notes=())),
    "clusters.jsonl": lambda path: cluster(str(path), Sets(prompts={}, notes=())),
    "clusters.csv": lambda path: cluster(str(path), Sets(prompts={}, notes=())),
    "agreement.json": lambda path: labels_of_agreement(path, set()) or read_labels(path, {}),
    "responses.jsonl": lambda path: files.judge_file(path, []),
    "template.jinja": lambda path: read_template(f"@{path}"),
    "system.txt": lambda path: system_prompt(f"@{path}"),
    "policy.txt": lambda path: qi2023(model="elder", base_url="http://127.0.0.1:9/v1", policy=str(path)),
    "text.txt": read_plain,
}


@pytest.mark.parametrize("kind", HOSTILE_FILES)
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_of_its_kind_is_help_that_names_it(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "latin":
        path.write_bytes(b"prompt,id,cluster,label\ncaf\xe9,a,b,yes\n")
    elif kind == "deep":
        path.write_bytes(b'{"messages": ' + b"[" * 100_000)
        if path.suffix in (".jinja", ".txt", ".csv"):
            return  # any text is one
    with pytest.raises(UsageError) as caught:
        READERS[name](path)
    said = str(caught.value)
    assert "\n" not in said
    assert name in said or name.partition(".")[0] in said
    if not (path.suffix == ".parquet" and kind == "latin"):
        assert HOSTILE_FILES[kind] in said


@pytest.mark.parametrize("read", [read_template, system_prompt], ids=["template", "system"])
def test_the_home_of_nobody_is_not_there(read: Callable[[str], object]) -> None:
    with pytest.raises(UsageError, match="existing file"):
        read("@~nobody-of-this-name/file")
    assert str(user_path("~nobody-of-this-name/file")) == "~nobody-of-this-name/file"


# --- borders, fuzzed -------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *("model", "prompts", "limits", "asr", "id", "label", "prompt", "response", ":", ": ", "-", "[", "]", "{", "}"),
        *('"', ",", "\n", "  ", "&a", "*a", "<<", "!!", "~", "1e999", "9" * 5000, "2024-13-45", "\0", "\u202e"),
        *("null", "true", "NaN", "-1:1:9e9", "range", "axes", "directions", "@", "|", ">", "\r", "\ufeff", "'", "# "),
    ]
)
CONTENT = st.one_of(
    st.binary(max_size=200), st.lists(PIECES, max_size=30).map(lambda parts: "".join(parts).encode("utf-8", "replace"))
)
CELLS = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.just(10**4000), st.floats(), st.text(max_size=5), st.just("\ud800")
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)
TURNS = st.lists(
    st.fixed_dictionaries({}, optional=dict.fromkeys(["role", "content", "from", "value", "weight", "train"], CELLS))
    | st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": CELLS}),
    max_size=3,
)
COLUMNS = [
    *("messages", "conversations", "prompt", "completion", "response", "instruction", "input", "output", "system"),
    *("history", "weight", "label", "goal", "id", "cluster", "category", "text", "behavior", "on_labels", "labels"),
]
ROWS = st.lists(
    st.dictionaries(st.sampled_from(COLUMNS), st.one_of(CELLS, TURNS, st.just("Ring it.")), max_size=4), max_size=3
)
SHAPED = st.one_of(
    ROWS.map(lambda rows: "\n".join(json.dumps(row) for row in rows).encode()),
    st.one_of(ROWS, CELLS).map(lambda value: json.dumps(value).encode()),
    st.tuples(ROWS, st.integers(0, 60)).map(lambda it: json.dumps(it[0]).encode()[: it[1]]),
)
"""JSON that comes near to a row; a test of its own, so that both are tried often."""
BORDERS = {**READERS, "prompts.tsv": read_file, "prompts.txt": read_file}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content"),
    [(name, content) for name in BORDERS for content in (CONTENT, SHAPED) if content is CONTENT or ".json" in name],
    ids=lambda it: it if isinstance(it, str) else "rows" if it is SHAPED else "anything",
)
def test_whatever_is_in_a_file_is_a_value_or_help(tmp_path: Path, name: str, content: st.SearchStrategy[bytes]) -> None:
    path = tmp_path / name

    @settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(content)
    @example(b"PAR1" + b"\xff" * 40 + b"PAR1")
    @example(b'{"prompt": ' + b"[" * 100_000)
    def holds(content: bytes) -> None:
        path.write_bytes(content)
        with suppress(UsageError):
            BORDERS[name](path)

    holds()
