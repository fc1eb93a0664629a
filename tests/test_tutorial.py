"""The commands of tutorial and cookbook, word for word, in one folder; those of all other pages are parsed, or run."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.command import COMMAND, safebasin
from safebasin.audit.policy import load_policy
from safebasin.study.files import load

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


FENCE = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
PAGES = ["../README.md", *sorted(path.name for path in DOCS.glob("*.md"))]
STARTS = re.compile(r"^\s*(?:- )?(?:torchrun .* -m |docker run .* )?safebasin (?=[a-z-])(.*)")
"""A line of a shell, of a pipeline's script, of a Makefile, or behind a launcher."""
SLURM = "#SBATCH --array=1-4\n"


def fenced(page: str, *languages: str) -> list[str]:
    blocks = FENCE.findall((DOCS / page).read_text(encoding="utf-8"))
    return [text for language, text in blocks if language in languages]


def typed(page: str) -> list[str]:
    """Every whole call of `safebasin` in the fenced blocks of a page."""
    text = "\n".join(fenced(page, "", "bash", "console", "yaml", "make")).replace("\\\n", " ")
    found = [STARTS.match(line) for line in text.splitlines()]
    return [match[1] for match in found if match and "…" not in match[1]]


def parse(line: str) -> None:
    """Hold a call against verbs, options and arguments of the command line; nothing is run."""
    command: Any = COMMAND
    arguments, context = shlex.split(line, comments=True), None
    while hasattr(command, "commands"):
        context = command.make_context("safebasin", arguments, parent=context)
        arguments = [*getattr(context, "_protected_args", []), *context.args]
        _, command, arguments = command.resolve_command(context, arguments)
    command.make_context("safebasin", arguments, parent=context)


def test_calls_of_every_kind_are_found() -> None:
    assert sum(len(typed(page)) for page in PAGES) > 100
    assert [line.split()[0] for line in typed("ci.md")] == ["audit"] * 4
    assert any("$SLURM_ARRAY_TASK_ID" in line for line in typed("howto.md"))
    assert any(line.startswith("finetune MODEL") for line in typed("finetuning.md"))


@pytest.mark.parametrize("page", PAGES)
def test_every_call_is_one_that_the_command_line_takes(page: str) -> None:
    for line in typed(page):
        try:
            parse(line)
        except Exception as error:
            pytest.fail(f"{page}: safebasin {line}\n{error}")


@pytest.mark.parametrize("line", ["map --max-tokens 3", "mapp", "world biuld", "merge --batch-size", "audit a --yes=1"])
def test_a_call_with_a_typo_is_found(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|requires|does not take|unexpected|invalid"):
        parse(line)


@pytest.mark.parametrize("page", PAGES)
def test_study_and_policy_files_are_what_their_readers_take(page: str, tmp_path: Path) -> None:
    for number, text in enumerate(fenced(page, "yaml")):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text, encoding="utf-8")
        keys = yaml.safe_load(text)
        if "model" in keys:
            load(file)
        elif "limits" in keys:
            load_policy(file)


def test_the_workflow_gives_the_action_what_it_takes() -> None:
    (workflow,) = [keys for text in fenced("ci.md", "yaml") if "jobs" in (keys := yaml.safe_load(text))]
    action = yaml.safe_load((DOCS.parent / "action.yml").read_text(encoding="utf-8"))
    (step,) = [step for step in workflow["jobs"]["audit"]["steps"] if "safebasin@" in step.get("uses", "")]
    assert set(step["with"]) <= set(action["inputs"])
    assert {name for name, about in action["inputs"].items() if about.get("required")} <= set(step["with"])
    parse(shlex.join(["audit", *step["with"]["arguments"].split(), step["with"]["base"], step["with"]["tuned"]]))
    used = re.findall(r"steps\.safety\.outputs\.(\w+)", str(workflow))
    assert used
    assert set(used) <= set(action["outputs"])


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(900)
def test_the_array_of_jobs_and_its_merge_do_what_they_say(tmp_path: Path) -> None:
    """Both scripts by bash, as Slurm would: every job with its number in the environment."""
    (job,) = [text for text in fenced("howto.md", "bash") if "#SBATCH" in text]
    (join,) = [text for text in fenced("howto.md", "bash") if text.startswith("safebasin merge")]
    assert SLURM in job
    (tmp_path / "study.yaml").write_text(
        "schema_version: 1\nmodel: world:guild/aligned\nlimit: 4\n"
        'axes: [{kind: random, directions: 1, range: "-1:1:5"}]\ndecoding: {max_new_tokens: 24}\n'
    )
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for number in range(1, 5):
        task = {"SLURM_ARRAY_TASK_ID": str(number), "SLURM_ARRAY_TASK_COUNT": "4"}
        done = run_bash(job, tmp_path, {"PATH": path, **task})
        assert done.returncode == 0, done.stderr[-2000:]
    done = run_bash(join, tmp_path, {"PATH": path})
    assert done.returncode == 0, done.stderr[-2000:]
    assert safebasin("verify", tmp_path / "runs" / "study", "--recompute").returncode == 0


def run_bash(script: str, folder: Path, given: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["bash", "--noprofile", "--norc", "-c", script]
    return subprocess.run(command, cwd=folder, env=os.environ | given, capture_output=True, text=True, timeout=600)
