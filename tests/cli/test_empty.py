"""Files with nothing in them: one line that says what to do, before a model is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.command import safebasin

ALIGNED, BASE = "world:guild/aligned", "world:guild/base"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ("audit", ALIGNED, BASE, "--policy", "none.yaml"),
            "policy file none.yaml must be a mapping with 'limits'; got",
        ),
        (("map", "none.yaml"), "study file none.yaml must be a mapping of keys; got 'an empty file'. `safebasin init`"),
        (("plan", "none.yaml"), "study file none.yaml must be"),
        *((("map", "--prompts", f"none.{kind}"), "none") for kind in ("txt", "csv", "tsv", "jsonl", "json", "parquet")),
        (("audit", ALIGNED, BASE, "--harmful", "none.txt"), "prompts none.txt must be a set with at least one prompt"),
        (("audit", ALIGNED, BASE, "--benign", "none.csv"), "none.csv"),
        (("sweep", ALIGNED, BASE, "--prompts", "none.txt"), "prompts none.txt must be a set with at least one prompt"),
        (("defenses", ALIGNED, "--harmful", "none.txt"), "none.txt"),
        (("prefill", ALIGNED, "--harmful", "none.txt"), "none.txt"),
        (("mechanism", ALIGNED, BASE, "--harmful", "none.txt"), "none.txt"),
        (("locate-layers", ALIGNED, "--harmful", "none.txt"), "none.txt"),
        (("finetune", ALIGNED, "--data", "none.jsonl"), "none.jsonl"),
    ],
    ids=lambda given: " ".join(given).replace("world:guild/", "") if isinstance(given, tuple) else "",
)
def test_an_empty_file_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], said: str
) -> None:
    if command[0] == "defenses":
        pytest.importorskip("trl")  # without it that is said first
    monkeypatch.chdir(tmp_path)
    for kind in ("yaml", "txt", "csv", "tsv", "jsonl", "json", "parquet"):
        Path(f"none.{kind}").touch()
    done = safebasin(*command, *(() if command[0] == "plan" else ("-o", "out")))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert said in done.stderr
    assert "; got " in done.stderr
    assert not Path("out").exists() or command[0] in ("audit", "defenses")  # which keep a record of what they began
