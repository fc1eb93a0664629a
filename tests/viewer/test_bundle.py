"""A tree as static pages, and the command line around both ways to view it."""

from __future__ import annotations

import html
import json
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.command import exit_code
from safebasin import api
from safebasin.errors import UsageError
from safebasin.landscape.results import read_landscape
from safebasin.landscape.stored import StoredStudy


@pytest.mark.slow
def test_a_bundle_holds_pages_that_find_each_other(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "pages"
    (tree / "plain" / "models.html").write_text("<title>Tuned models</title>")
    (tree / "young").mkdir()
    (tree / "young" / "study.sqlite").write_bytes(b"no database")
    told: list[str] = []
    assert api.bundle_view(tree, out, note=told.append) == 4
    assert len(told) == 1
    assert told[0].startswith("runs/young: study database must be an undamaged SQLite file")
    assert "<script>document" not in (out / "index.html").read_text()
    for page in out.rglob("*.html"):
        text = page.read_text()
        if page.name in ("report.html", "models.html"):
            continue
        for link in re.findall(r'(?:href|src)="([^"#?]+)', text):
            assert link.startswith("data:") or (page.parent / link).exists(), (page, link)
    assert (out / "e" / "runs" / "plain" / "figures" / "asr.png").is_file()
    assert (out / "e" / "runs" / "plain" / "models.html").read_text() == "<title>Tuned models</title>"
    assert not list(out.rglob("study.sqlite"))
    assert api.bundle_view(tree, out) == 4  # over itself


@pytest.mark.slow
def test_any_two_studies_of_a_bundle_are_paired_by_their_page(tree: Path, tmp_path: Path) -> None:
    api.bundle_view(tree, tmp_path / "pages")
    page = (tmp_path / "pages" / "beside.html").read_text()
    (held,) = re.findall(r'data-sides="([^"]*)"', page)
    sides = json.loads(html.unescape(held))
    assert list(sides) == ["runs/more/target", "runs/plain"]
    assert sides["runs/plain"]["figures"] == ["asr.png"]
    assert sides["runs/plain"]["settings"]["model"] == "world:guild/aligned"
    with StoredStudy.open_read_only(tree / "plain") as study:
        (panel,) = read_landscape(study).panels
    (shown,) = sides["runs/plain"]["panels"]
    assert shown["rows"].keys() == panel.summary.keys()
    assert (tmp_path / "pages" / "index.html").read_text().count('class="mark"') == 2


@pytest.mark.slow
def test_names_that_an_address_escapes(tree: Path, tmp_path: Path) -> None:
    shutil.move(tree / "claims", tree / "50% tea & more")
    api.bundle_view(tree, tmp_path / "pages")
    assert (tmp_path / "pages" / "e" / "runs" / "50% tea & more" / "index.html").is_file()
    assert "e/runs/50%25%20tea%20%26%20more/index.html" in (tmp_path / "pages" / "index.html").read_text()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (lambda tree: tree / "pages", "outside of what is bundled"),
        (lambda tree: tree, "outside of what is bundled"),
        (lambda tree: tree / "plain" / "pages", "outside of what is bundled"),
        (lambda tree: tree / "plain" / "figures" / "pages", "outside of what safebasin keeps"),
        (lambda tree: tree.parent, "a new or empty folder, or an earlier bundle"),
        (lambda tree: tree / "plain" / "study.yaml", "outside of"),
    ],
)
def test_where_a_bundle_may_not_go(tree: Path, place: Callable[[Path], Path], said: str) -> None:
    before = sorted(tree.rglob("*"))
    with pytest.raises(UsageError, match=said):
        api.bundle_view(tree, place(tree))
    assert sorted(tree.rglob("*")) == before


@pytest.mark.slow
def test_the_command_line_says_in_one_line_what_does_not_fit(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for arguments, said in {
            ("view", str(tree), "--no-open", "--port", port): "--port must be a free port",
            ("view", str(tree / "nowhere")): "a folder that exists",
            ("view", str(tree), "-o", "x"): "left out without `bundle`",
            ("view", "bundle", str(tree)): "-o must be given with `bundle`",
            ("view", "bundle", str(tree), "-o", "x", "--port", port): "left out with `bundle`",
        }.items():
            if arguments[1] != "bundle":
                pytest.importorskip("uvicorn")
            assert exit_code(*arguments) == 2
            lines = capsys.readouterr().err.splitlines()
            assert len(lines) == 1
            assert said in lines[0]
    assert exit_code("view", "bundle", str(tree), "-o", str(tmp_path / "pages")) == 0
    assert "4 folders in" in capsys.readouterr().out
