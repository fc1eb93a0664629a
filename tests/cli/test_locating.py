"""`locate-layers` on the command line: the folder it writes, JSON, no text of a prompt, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safebasin import catalog
from safebasin.cli import main


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as stopped:
        main(["locate-layers", *arguments])
    return stopped.value.code


@pytest.mark.slow
def test_the_embedded_model_by_its_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "layers"
    given = ("--limit", "40", "--scale", "none", "-o", str(out))
    assert not run(*given)
    shown = capsys.readouterr().out
    assert "in the band" in shown
    assert "sppft(layers=" in shown
    assert {path.name for path in out.iterdir()} == {"layers.json", "report.html", "figures", "digests.json"}
    texts = "".join((out / name).read_text(encoding="utf-8") for name in ("layers.json", "report.html"))
    prompts = [p for kind in ("harmful", "benign") for p in catalog.world("guild").load_prompts(kind, "val")[:40]]
    assert not any(prompt.messages[-1].content in texts for prompt in prompts)
    assert not run(*given, "--json")
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((out / "layers.json").read_text())
    assert document["scaling"] is None
    assert document["n_layers"] == 4


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--scale", "loud"], "--scale must be auto, none, or a factor"),
        (["--limit", "5"], "at least 10; got 5"),
        (["--judge", "nobody"], "judge"),
        (["--control", "world:guild/nothing"], "nothing"),
    ],
)
def test_what_can_be_mended_ends_with_2(
    given: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if given[0] == "--control":
        given = [*given, "--scale", "none", "--limit", "12"]
    assert run(*given, "-o", str(tmp_path / "out")) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out" / "layers.json").exists()


def test_the_folder_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "verdict.json").write_text("{}")
    assert run("-o", str(tmp_path)) == 2
    assert "an audit" in capsys.readouterr().err
