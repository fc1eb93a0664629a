"""Files that others wrote: whatever is in them, a value or one line of help."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from safebasin import study
from safebasin.audit.policy import load_policy
from safebasin.errors import MissingFile, PromptError, StudyError, UsageError
from safebasin.prompts.files import read_file
from safebasin.run import foreign
from safebasin.run.labels import read_labels
from safebasin.untrusted import read_bytes, read_json, scalar, yaml_value

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


def test_deep_json_is_help() -> None:
    with pytest.raises(UsageError, match="too many levels"):
        read_json("[" * 100_000, "it")


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
BORDERS = {
    "study.yaml": study.load,
    "policy.yaml": load_policy,
    "prompts.csv": read_file,
    "prompts.tsv": read_file,
    "prompts.txt": read_file,
    "prompts.jsonl": read_file,
    "prompts.json": read_file,
    "prompts.parquet": read_file,
    "labels.csv": lambda path: read_labels(path, {}),
    "labels.jsonl": lambda path: read_labels(path, {}),
    "responses.jsonl": lambda path: foreign.judge_file(path, []),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BORDERS)
def test_whatever_is_in_a_file_is_a_value_or_help(tmp_path: Path, name: str) -> None:
    path = tmp_path / name

    @settings(max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(CONTENT)
    @example(b"PAR1" + b"\xff" * 40 + b"PAR1")
    @example(b'{"prompt": ' + b"[" * 100_000)
    def holds(content: bytes) -> None:
        path.write_bytes(content)
        with suppress(UsageError):
            BORDERS[name](path)

    holds()
