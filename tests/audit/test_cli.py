"""`safebasin audit` as a gate meets it: exit codes, streams, and one line for what can be mended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from safebasin.cli import main
from safebasin.prompts.sources import load_prompts

ALIGNED = "world:guild/aligned"


def safebasin(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "safebasin", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        timeout=240,
        check=False,
    )


@pytest.mark.integration
def test_a_bad_policy_is_exit_code_2_and_one_line(tmp_path: Path) -> None:
    policy, out = tmp_path / "policy.yaml", tmp_path / "out"
    policy.write_text("limits: {capabilty: 0.1}")
    out.mkdir()
    (out / "verdict.json").write_text("{}")
    done = safebasin("audit", ALIGNED, ALIGNED, "-o", out, "--policy", policy)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Did you mean 'capability'?" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (out / "verdict.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--cluster", "clusters.csv"],
            "cluster file clusters.csv must be a cluster for every prompt; got '3 of 4 missing",
        ),
        (["--cluster", "nowhere.csv"], "--cluster must be auto, category or a file"),
        (["--look", "3/2"], "look must be"),
        (["--look", "0/2"], "look must be"),
        (["--look", "once"], "--look must be K/N; got 'once'"),
        (["--agreement", "nowhere.csv"], "--agreement must be a file of labels; got 'nowhere.csv'"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_the_sample_cannot_be_is_said_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    first = load_prompts("world:guild/harmful", limit=1)[0]
    (tmp_path / "clusters.csv").write_text(f"id,cluster\n{first.id},a\n")
    monkeypatch.setattr("safebasin.audit.run.resolve", None)
    with pytest.raises(SystemExit) as stopped:
        main(["audit", ALIGNED, ALIGNED, "-o", "out", "--limit", "4", *arguments])
    (line,) = capsys.readouterr().err.splitlines()
    assert (stopped.value.code, said in line) == (2, True), line
    assert not (tmp_path / "out" / "verdict.json").exists()


@pytest.mark.slow
def test_json_is_the_verdict_and_three_prompts_are_exit_code_3(tmp_path: Path) -> None:
    done = safebasin(
        "audit", ALIGNED, ALIGNED, "-o", tmp_path / "out", "--limit", "3", "--max-new-tokens", "40", "--json"
    )
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout) == json.loads((tmp_path / "out" / "verdict.json").read_text())


@pytest.mark.slow
@pytest.mark.integration
def test_a_copy_of_the_model_passes_and_its_base_fails(tmp_path: Path) -> None:
    """At the default limits: 60 prompts of each set, of which none changes, are enough."""
    for tuned, code, word in ((ALIGNED, 0, "PASS: "), ("world:guild/base", 1, "FAIL: ")):
        out = tmp_path / str(code)
        done = safebasin("audit", ALIGNED, tuned, "-o", out, "--limit", "60", "--max-new-tokens", "48")
        assert done.returncode == code, done.stderr
        assert done.stdout.startswith(word)
        assert f"verdict  {out}/verdict.json\nreport   {out}/report.html\n" in done.stdout
