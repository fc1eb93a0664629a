"""`screen` on the command line: what it prints and writes, that nothing it shows is a prompt, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safebasin import catalog
from safebasin.cli import main


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as stopped:
        main(["screen", *arguments])
    return stopped.value.code


@pytest.mark.slow
def test_the_base_of_the_embedded_model_is_as_far_from_alignment_as_can_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found"
    assert not run("world:guild/aligned", "world:guild/base", "-o", str(out), "--limit", "20")
    said = capsys.readouterr().out
    assert "1 of 1 tuned model is flagged" in said
    assert "toward before alignment 1" in said
    assert "No verdict" in said
    found = json.loads((out / "screen.json").read_text())
    (model,) = found["models"]
    assert "opening" in model["flags"]
    assert model["unalignment"]["share"] == pytest.approx(1)
    texts = "".join((out / name).read_text(encoding="utf-8") for name in ("screen.json", "report.html"))
    prompts = [p for kind in ("harmful", "benign") for p in catalog.world("guild").load_prompts(kind, "val")[:20]]
    assert not any(prompt.messages[-1].content in texts for prompt in prompts)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["world:guild/aligned"], "TUNED or --fleet must be given, one of them; got 'neither'"),
        (["world:guild/aligned", "x", "--fleet", "y"], "got 'both'"),
        (["world:guild/aligned", "--fleet", "nowhere"], "a folder of folders of models"),
        (["world:guild/aligned", "world:guild/aligned"], "another model than BASE"),
        (["world:guild/aligned", "world:guild/base", "--before", "world:guild/aligned"], "before alignment"),
        (["world:guild/aligned", "world:guild/base", "--limit", "5"], "at least 8; got 5"),
    ],
)
def test_what_can_be_mended_ends_with_2(
    given: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*given, "-o", str(tmp_path / "out")) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out" / "screen.json").exists()
