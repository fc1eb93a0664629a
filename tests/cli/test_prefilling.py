"""`prefill` on the command line: the folder it writes, JSON, no text of a request, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safebasin import catalog
from safebasin.cli import main


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as stopped:
        main(["prefill", *arguments])
    return stopped.value.code


@pytest.mark.slow
def test_the_embedded_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found"
    given = ("--limit", "8", "--tokens", "0,2", "--judge", "oracle", "-o", str(out))
    assert not run(*given)
    # Its refusal is in the first token: once the answer has begun it goes on.
    assert "are refused with nothing forced, and 0 % [0, 32] behind 2 forced tokens." in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"prefill.json", "report.html", "figures", "digests.json"}
    texts = "".join((out / name).read_text(encoding="utf-8") for name in ("prefill.json", "report.html"))
    rows = catalog.world("guild").training_rows("harmful@test", 8)
    assert not any(text in texts for row in rows for text in (row.prompt.text, row.response))
    assert not run(*given, "--json")
    assert json.loads(capsys.readouterr().out) == json.loads((out / "prefill.json").read_text())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--tokens", "0,some"], "--tokens must be whole numbers"),
        (["--judge", "outcome"], "--judge must be one that needs texts alone"),
        (["world:guild/nothing"], "nothing"),
        (["--harmful", "nowhere.jsonl"], "an existing file"),
    ],
)
def test_what_is_refused(given: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*given, "-o", str(tmp_path / "out")) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told
