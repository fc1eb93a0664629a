"""The action of the repository: what it declares, and its own steps run by bash as a runner would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

ACTION = yaml.safe_load((Path(__file__).parents[1] / "action.yml").read_text(encoding="utf-8"))
STEPS: dict[str, dict[str, Any]] = {step["name"]: step for step in ACTION["runs"]["steps"]}


def run_step(name: str, folder: Path, inputs: dict[str, str], **extra: str) -> subprocess.CompletedProcess[str]:
    """A step with its inputs in its environment, as the runner puts them there."""
    given = {f"INPUT_{key.upper()}": str(value.get("default", "")) for key, value in ACTION["inputs"].items()}
    given |= {f"INPUT_{key.upper()}": value for key, value in inputs.items()} | extra
    files = {name: str(folder / name.lower()) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", STEPS[name]["run"]],
        cwd=folder, env=os.environ | {"PATH": path} | given | files, capture_output=True, text=True, timeout=240,
    )  # fmt: skip


def outputs(folder: Path) -> dict[str, str]:
    return dict(re.findall(r"^(verdict|code)=(.*)$", (folder / "github_output").read_text(), flags=re.MULTILINE))


def test_no_input_is_part_of_a_script() -> None:
    assert len(STEPS) == 4
    for step in STEPS.values():
        assert "${{" not in step.get("run", "")
        for value in step.get("env", {}).values():
            assert re.fullmatch(r"\$\{\{ ((inputs|steps)\.[a-z.]+|github\.action_path) \}\}", value)
    named = {value for value in STEPS["Audit"]["env"].values()} | {STEPS["Install"]["env"]["INPUT_INSTALL"]}
    known = {f"${{{{ inputs.{key} }}}}" for key in ACTION["inputs"]} - {"${{ inputs.artifact }}"}
    assert named == known
    assert STEPS["Audit"]["id"] == "audit"


@pytest.mark.slow
@pytest.mark.integration
def test_hostile_inputs_are_names_of_what_is_not_there(tmp_path: Path) -> None:
    hostile = '$(touch owned); `touch owned` "; touch owned; #'
    inputs = {"base": "--help", "tuned": hostile, "harmful": hostile, "policy": hostile, "out": f"out{hostile[:8]}"}
    done = run_step("Audit", tmp_path, inputs)
    assert done.returncode == 0, done.stderr
    assert outputs(tmp_path) == {"verdict": "error", "code": "2"}
    assert not list(tmp_path.rglob("owned"))
    assert run_step("Install", tmp_path, {"install": "--index-url=x"}).returncode == 2


def test_a_typo_in_what_undecided_is_ends_before_anything_is_run(tmp_path: Path) -> None:
    """Else a gate that should pass fails after hours, for a reason that nobody is told."""
    done = run_step("Audit", tmp_path, {"base": "no-such-model", "tuned": "x", "undecided": "Pass "})
    assert done.returncode == 2
    assert done.stdout == "::error::input undecided must be fail or pass\n"
    assert outputs(tmp_path) == {"verdict": "error", "code": "2"}


@pytest.mark.parametrize(
    ("code", "undecided", "ends"),
    [("0", "fail", 0), ("1", "pass", 1), ("3", "fail", 3), ("3", "pass", 0), ("2", "pass", 2)],
)
def test_the_gate_ends_as_the_audit(tmp_path: Path, code: str, undecided: str, ends: int) -> None:
    assert run_step("Gate", tmp_path, {}, CODE=code, UNDECIDED=undecided).returncode == ends


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize(
    ("tuned", "verdict", "tag"), [("base", "fail", "failure"), ("aligned", "undecided", "skipped")]
)
def test_an_audit_is_run_summed_up_and_kept(tmp_path: Path, tuned: str, verdict: str, tag: str) -> None:
    limit = "60" if verdict == "fail" else "4"
    inputs = {"base": "world:guild/aligned", "tuned": f"world:guild/{tuned}", "out": "an audit"}
    done = run_step("Audit", tmp_path, {**inputs, "arguments": f"--limit={limit}\n--max-new-tokens=48"})
    assert done.returncode == 0, done.stderr
    assert outputs(tmp_path)["verdict"] == verdict, done.stderr
    assert "an audit\n" in (tmp_path / "github_output").read_text()
    assert (tmp_path / "github_step_summary").read_text().startswith("## safebasin: ")
    assert len(list(ElementTree.parse(tmp_path / "an audit" / "junit.xml").getroot().iter(tag))) > 0
    left = {path.name for path in uploaded(tmp_path)}
    assert left == {"verdict.json", "report.html", "junit.xml", "summary.md"}
    assert run_step("Gate", tmp_path, {}, CODE=outputs(tmp_path)["code"], UNDECIDED="fail").returncode in (1, 3)


def uploaded(folder: Path) -> list[Path]:
    """What the step `Upload` matches, in the folder that the step `Audit` has named."""
    (audited,) = re.findall(r"^folder<<(\S+)\n(.*)\n\1$", (folder / "github_output").read_text(), flags=re.MULTILINE)
    patterns = STEPS["Upload"]["with"]["path"].replace("${{ steps.audit.outputs.folder }}", audited[1]).split("\n")
    return [path for pattern in patterns if pattern for path in folder.glob(pattern)]


def test_what_is_uploaded_holds_no_response() -> None:
    assert "study.sqlite" not in STEPS["Upload"]["with"]["path"]
    lines = STEPS["Upload"]["with"]["path"].splitlines()
    assert all(line.endswith((".json", ".html", ".xml", ".md")) for line in lines)


def test_install_is_of_the_copy_that_the_action_is_of(tmp_path: Path) -> None:
    """With the extra of public prompt sets, such as `advbench`: no index knows the repository."""
    stub = tmp_path / "bin" / "python3"
    stub.parent.mkdir()
    stub.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    stub.chmod(0o755)
    path = os.pathsep.join([str(stub.parent), os.environ["PATH"]])
    done = run_step("Install", tmp_path, {}, PATH=path, ACTION_PATH="/copy of it")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "/copy of it[hub]")
    done = run_step("Install", tmp_path, {"install": "tea"}, PATH=path, ACTION_PATH="/copy of it")
    assert done.stdout.splitlines()[-1] == "tea"


@pytest.mark.slow
def test_install_takes_what_it_is_given(tmp_path: Path) -> None:
    """A wheel made by hand, into a folder of its own: nothing is fetched."""
    pytest.importorskip("pip")
    wheel = tmp_path / "tea-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tea.py", "")
        file.writestr("tea-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tea\nVersion: 1.0\n")
        file.writestr("tea-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("tea-1.0.dist-info/RECORD", "")
    given = {"PIP_NO_INDEX": "1", "PIP_TARGET": str(tmp_path / "there")}
    done = run_step("Install", tmp_path, {"install": str(wheel)}, **given)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there" / "tea.py").is_file()
