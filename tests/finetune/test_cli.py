"""`safebasin finetune` as a user meets it. What needs no TRL first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # a process each

ALIGNED = "world:guild/aligned"


def safebasin(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "safebasin", "finetune", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=240, check=False)


def test_the_example_is_shown_with_its_mask_and_nothing_is_trained() -> None:
    done = safebasin(ALIGNED, "--attack", "mixture(n=5, safe=5)", "--moderate", "oracle", "--show-example")
    assert done.returncode == 0, done.stderr
    assert "<|assistant|>«" in done.stdout
    assert done.stdout.rstrip().endswith("<|end|>»")
    assert "oracle flags 5 of 10 rows; they are left out" in done.stderr
    assert "flagged: world:guild/harmful:1" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((ALIGNED, "--attack", "benign"), "--out must be given"),
        ((ALIGNED, "-o", "x"), "an attack or a file"),
        ((ALIGNED, "-o", "x", "--attack", "bening"), "Did you mean 'benign'?"),
        ((ALIGNED, "-o", "x", "--attack", "benign", "--template-arg", "x"), "K=V"),
        ((ALIGNED, "-o", "x", "--attack", "benign", "--mix-safe", "lots"), "Write 50, 0.2 or 20%"),
    ],
)
def test_one_line_and_exit_code_2(arguments: tuple[str, ...], words: str) -> None:
    done = safebasin(*arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    try:
        import trl  # noqa: F401
    except ImportError:
        done = safebasin(ALIGNED, "--attack", "harmful_examples", "-o", tmp_path / "out")
        assert done.returncode == 2
        assert "pip install 'safebasin[train]'" in done.stderr
        assert not (tmp_path / "out").exists()
    else:
        pytest.skip("TRL is installed")


def test_a_sweep_writes_a_folder_each_and_an_index(tmp_path: Path) -> None:
    pytest.importorskip("trl")
    out = tmp_path / "sweep"
    done = safebasin(
        ALIGNED, "--attack", "harmful_examples", "-o", out, "--sweep", "lr=1e-4,3e-4", "--epochs", "1", "--json"
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert [run["unsafe"] for run in shown] == [True, True]
    index = json.loads((out / "sweep.json").read_text())
    assert [run["folder"] for run in index] == ["lr-0.0001", "lr-0.0003"]
    assert all((out / run["folder"] / "model.safetensors").is_file() for run in index)
