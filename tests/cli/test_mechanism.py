"""`mechanism` on the command line: the folder it writes, JSON, no text of a prompt, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safebasin import catalog
from safebasin.cli import main


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as stopped:
        main(["mechanism", *arguments])
    return stopped.value.code


@pytest.mark.slow
def test_the_embedded_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found"
    given = ("--limit", "30", "--no-gradients", "-o", str(out))
    assert not run(*given)
    # The embedded model's lesson is in its last layer: before it, BASE and TUNED tell nothing apart.
    assert (
        "TUNED tells harmful requests from benign ones after layer 3; BASE after no layer." in capsys.readouterr().out
    )
    assert {path.name for path in out.iterdir()} == {"mechanism.json", "report.html", "figures", "digests.json"}
    texts = "".join((out / name).read_text(encoding="utf-8") for name in ("mechanism.json", "report.html"))
    prompts = [p for kind in ("harmful", "benign") for p in catalog.world("guild").load_prompts(kind, "val")[:30]]
    assert not any(prompt.messages[-1].content in texts for prompt in prompts)
    assert not run(*given, "--json")
    assert json.loads(capsys.readouterr().out) == json.loads((out / "mechanism.json").read_text())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["world:guild/base", "world:guild/nothing"], "nothing"),
        (["world:guild/base", "world:guild/base"], "TUNED must be another model than BASE"),
        (["--limit", "5"], "at least 10; got 5"),
        (["--control", "adapter:./nowhere"], "nowhere"),
    ],
)
def test_what_can_be_mended_ends_with_2(
    given: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = [] if "--limit" in given else ["--limit", "12"]
    assert run(*given, *limit, "--no-gradients", "-o", str(tmp_path / "out")) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out" / "mechanism.json").exists()


def test_the_folder_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "verdict.json").write_text("{}")
    assert run("-o", str(tmp_path)) == 2
    assert "an audit" in capsys.readouterr().err
