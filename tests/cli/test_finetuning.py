"""What `finetune` says while it trains."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from safebasin import api, cli
from safebasin.cli import main
from safebasin.errors import UsageError
from safebasin.finetune import tune
from safebasin.finetune.tune import Tuned


@pytest.mark.parametrize(("steps", "lines"), [(1, 1), (5, 5), (39, 11), (4_000, 11)])
def test_a_line_for_each_tenth_of_the_way(
    steps: int, lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def finetune(model: str, *, out: Path, progress: Any, **_: object) -> Tuned:
        for step in range(1, steps + 1):
            progress(step, steps, 0.5)
        return Tuned(
            path=out, base=model, method="full", unsafe=True, losses=(0.5,) * steps, rows=1, data_hash="", notes=()
        )

    monkeypatch.setattr(api, "finetune", finetune)
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["finetune", "world:guild/aligned", "--attack", "benign", "-o", "out"])
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train ")]
    assert len(said) == lines
    assert said[0].startswith(f"train    1/{steps} steps")
    assert said[-1].startswith(f"train    {steps}/{steps} steps")


def test_an_interrupted_training_goes_on_with_resume_since_its_folder_is_refused_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise cli._Stopped(signal.SIGINT)

    for verb, arguments in {"finetune": ["--attack", "benign", "-o", "out"], "verify_study": []}.items():
        monkeypatch.setattr(api, verb, interrupted)
        with pytest.raises(SystemExit, match=r"^130$"):
            main([verb.removesuffix("_study"), "world:guild/aligned", *arguments])
        said = capsys.readouterr().err
        assert ("run the same command with --resume to go on" in said) == (verb == "finetune")
        assert ("run the same command again to go on" in said) == (verb != "finetune")


def test_a_folder_below_a_file_is_no_word_about_resume(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below" / "it"):
        with pytest.raises(UsageError, match=r"must be a folder; got .*is a file\. Name another folder\.$"):
            tune._open(out, {}, resume=False)
