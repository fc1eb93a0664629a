"""The commands of the pages: those of tutorial and cookbook run word for word, and every other one read as typed."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from helpers.command import safebasin
from safebasin import api, cli, study
from safebasin.audit.policy import load_policy

DOCS = Path(__file__).resolve().parent.parent / "docs"
ENDS_WITH = {
    "audit world:guild/aligned runs/harmful -o runs/audit": 1,
    "audit world:guild/aligned world:guild/base -o runs/cookbook-audit": 1,
}
"""Commands whose exit code is an answer: the audit of a model that complies fails."""
NEEDS_TRAINING = re.compile(r"^(finetune|defenses|claims) |runs/harmful|runs/cookbook-attack")
LONG = re.compile(r"^(claims|defenses) ")
"""Their own tests run them."""


def commands(page: str) -> list[str]:
    """What the page tells to type, without `safebasin` and comments; models of one's own are left out."""
    blocks = re.findall(r"^```\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    typed = [line.removeprefix("safebasin ") for line in lines if line.startswith("safebasin ")]
    return [line for line in typed if "org/model" not in line]


def fenced(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each fenced block of a page."""
    yield from re.findall(
        r"^```(\w*)[^\n]*\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )


def recipes(page: Path) -> list[list[str]]:
    """The words behind `safebasin` of every line in a block: of shells, schedulers, makefiles, pipelines, containers."""
    lines = [
        line.partition("  #")[0]
        for language, text in fenced(page)
        if language not in ("python", "toml")
        for line in text.replace("\\\n", " ").splitlines()
        if not line.startswith("#")
    ]
    typed = [re.search(r"(?:^\s*|- |-w \S+ |-m )safebasin (.*)", line) for line in lines]
    return [shlex.split(found[1].replace("…", "")) for found in typed if found]


def read_as_typed(words: list[str]) -> dict[str, Any]:
    """What the command line makes of the words, without doing it. Nothing that acts while it is read may be in them."""
    assert not {"--install-completion", "--show-completion"} & {*words}
    group: Any = typer.main.get_command(cli.app)
    verb = group.commands[words[0]]
    return verb.make_context(words[0], words[1:], parent=group.make_context("safebasin", ["list"])).params


PAGES = [*sorted(DOCS.glob("*.md")), DOCS.parent / "README.md"]
HOWTO = DOCS / "howto.md"


@pytest.mark.parametrize("page", [page for page in PAGES if recipes(page)], ids=lambda page: page.name)
def test_every_command_of_a_page_is_one(page: Path) -> None:
    for words in recipes(page):
        try:
            read_as_typed(words)
        except Exception as error:
            raise AssertionError(f"safebasin {shlex.join(words)}") from error


def test_the_recipes_of_clusters_and_pipelines_are_among_them() -> None:
    assert [words[0] for words in recipes(DOCS / "ci.md")] == ["audit"] * 4
    shared = [read_as_typed(words) for words in recipes(HOWTO) if words[0] in ("map", "merge")]
    assert any(found.get("shard") for found in shared)
    assert any(found.get("backend") == "ray" for found in shared)
    (vllm,) = re.findall(r"`safebasin (map [^`]*--engine vllm)`", HOWTO.read_text(encoding="utf-8"))
    assert read_as_typed(vllm.split())["engine"] == "vllm"


def test_a_command_with_a_typo_is_none() -> None:
    for words in ("map study.yaml --shards 1/2", "merge shards/1", "audit org/base ./tuned --junit"):
        with pytest.raises(Exception, match=r"shards|merge|out|argument"):
            read_as_typed(words.split())


def test_every_study_and_policy_of_a_page_loads(tmp_path: Path) -> None:
    found: dict[str, int] = {"study": 0, "policy": 0}
    for page in PAGES:
        for language, text in fenced(page):
            if language != "yaml" or not (fields := yaml.safe_load(text)).keys() & {"model", "models", "limits"}:
                continue
            if "limits" in fields:
                (tmp_path / "policy.yaml").write_text(text, encoding="utf-8")
                assert load_policy(tmp_path / "policy.yaml").limits
                found["policy"] += 1
            else:
                assert study.make(fields).model
                found["study"] += 1
    assert found == {"study": 2, "policy": 1}


@pytest.mark.slow
@pytest.mark.integration
def test_the_array_of_jobs_and_its_merge_are_run_by_bash(tmp_path: Path) -> None:
    """The study is that of the page, of fewer prompts and points."""
    blocks = [text for language, text in fenced(HOWTO) if language == "bash"]
    (array,) = (text for text in blocks if "SLURM_ARRAY_TASK_ID" in text)
    (merge,) = (text for text in blocks if "safebasin merge" in text)
    fields = next(yaml.safe_load(text) for language, text in fenced(HOWTO) if language == "yaml" and "model:" in text)
    fields |= {"limit": 6, "axes": [{**fields["axes"][0], "directions": 1, "range": "-1:1:5"}]}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
    first, last = map(int, re.findall(r"--array=(\d+)-(\d+)", array)[0])
    for task in range(first, last + 1):
        run(array, tmp_path, SLURM_ARRAY_TASK_ID=str(task), SLURM_ARRAY_TASK_COUNT=str(last))
    run(merge, tmp_path)
    once = safebasin("map", tmp_path / "study.yaml", "--batch-size", "40", "-o", tmp_path / "once")
    assert once.returncode == 0, once.stderr
    assert api.read_study(tmp_path / "runs" / "study").panels == api.read_study(tmp_path / "once").panels


def run(script: str, folder: Path, **extra: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env={**os.environ, "PATH": path, **extra}, capture_output=True, text=True,
        timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_pages_hold_commands() -> None:
    assert len(commands("tutorial.md")) > 15
    assert len(commands("cookbook.md")) > 8


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", ["tutorial.md", "cookbook.md"])
def test_every_command_does_what_it_says(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    can_train = importlib.util.find_spec("trl") is not None
    for line in commands(page):
        if LONG.match(line) or (NEEDS_TRAINING.search(line) and not can_train):
            continue
        done = safebasin(*shlex.split(line))
        assert done.returncode == ENDS_WITH.get(line, 0), f"{line}\n{done.stderr[-2000:]}"
