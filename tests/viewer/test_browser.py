"""The viewer in a real browser: served, and as files; keyboard, filters, a study that grows, what never happens."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from safebasin import api

pytestmark = pytest.mark.browser


@pytest.fixture
def address(tree: Path) -> Iterator[str]:
    pytest.importorskip("uvicorn")
    command = [sys.executable, "-m", "safebasin", "view", str(tree), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[1]
        finally:
            process.send_signal(2)
            assert process.wait(20) == 0


class Tab:
    """A page that keeps what was asked of whom, and what went wrong."""

    def __init__(self, browser, width: int = 1280) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 800})
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


def names(page) -> list[str]:
    return [name for name in page.locator("#rows > li:visible .name").all_inner_texts() if name]


def test_the_list_by_keyboard(browser, address: str) -> None:
    with Tab(browser) as tab:
        page = tab.page
        page.goto(address)
        assert names(page) == ["audit", "claims", "target", "plain"]
        page.keyboard.press("?")
        assert page.locator("#help").is_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.type("target")
        assert names(page) == ["target"]
        assert page.url.endswith("#q=target")
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        page.wait_for_url("**/e/runs/more/target/index.html")
        page.keyboard.press("s")
        page.wait_for_url("**/samples.html")
        page.keyboard.press("u")
        page.wait_for_url("**/index.html")
        for key in ("j", "j", "j", "x", "ArrowDown", "x", "b"):
            page.keyboard.press(key)
        page.wait_for_url("**/beside.html*")
        assert page.locator("h1").inner_text() == "target beside plain"
        assert page.title() != "owned"
        assert all(url.startswith((address, "data:")) for url in tab.asked)


def test_the_list_follows_its_folders(browser, address: str, tree: Path) -> None:
    from playwright.sync_api import expect

    (tree / "plain" / ".writer.json").write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    with Tab(browser) as tab:
        page = tab.page
        page.goto(address)
        expect(page.locator("#rows .state.running")).to_have_count(1)
        page.locator(".mark").first.check()
        for key in ("j", "j"):
            page.keyboard.press(key)
        shutil.copytree(tree / "more" / "target", tree / "more" / "young")
        expect(page.locator("#rows > li")).to_have_count(5, timeout=20_000)
        assert names(page) == ["audit", "claims", "target", "young", "plain"]
        assert page.locator("#total").inner_text().startswith("5 folders")
        assert page.locator(".mark").first.is_checked()
        assert page.locator("li.at").get_attribute("data-id") == "runs/claims"
        (tree / "plain" / ".writer.json").unlink()
        expect(page.locator("#rows .state.running")).to_have_count(0, timeout=20_000)
        assert tab.wrong == []


def test_a_bundle_pairs_studies_without_a_server(browser, tree: Path, tmp_path: Path) -> None:
    api.bundle_view(tree, tmp_path / "pages")
    with Tab(browser) as tab:
        page = tab.page
        page.goto((tmp_path / "pages" / "index.html").as_uri())
        for mark in page.locator(".mark").all():
            mark.check()
        page.locator("#beside").click()
        page.wait_for_url("**/beside.html#a=runs%2Fmore%2Ftarget&b=runs%2Fplain")
        assert page.locator("#title").inner_text() == page.title() == "target beside plain"
        assert "Settings that differ" in page.locator("#settings").inner_text()
        assert "none of this name" in page.locator("#pictures").inner_text()
        page.goto((tmp_path / "pages" / "beside.html").as_uri() + "#a=runs%2Fplain&b=runs%2Fplain")
        cells = page.locator("#panels tbody tr").first.locator("td").all_inner_texts()
        assert len(cells) == 2
        assert cells[0] == cells[1]
        page.goto((tmp_path / "pages" / "beside.html").as_uri() + "#a=runs%2Fplain&b=%3Cb%3E")
        assert page.locator("#lacks").inner_text() == "Not a study of this bundle that can be read: <b>"
        assert tab.wrong == []


def test_a_report_follows_its_study(browser, address: str, tree: Path) -> None:
    from playwright.sync_api import expect

    database = tree / "plain" / "study.sqlite"
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("CREATE TEMP TABLE kept AS SELECT * FROM responses WHERE point = 'origin'")
        kept = db.execute("SELECT * FROM kept").fetchall()
        db.execute("DELETE FROM responses WHERE point = 'origin'")
    (tree / "plain" / ".writer.json").write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    (tree / "plain" / "heartbeat.json").write_text(json.dumps({"state": "generate <b>", "tokens_per_s": 99}))
    with Tab(browser) as tab:
        page = tab.page
        page.goto(f"{address}e/runs/plain/index.html")
        assert page.locator("#count").inner_text() == "8 of 12 responses"
        assert page.locator("#state").inner_text() == "running"
        page.get_by_text("What is missing").click()
        assert "4 responses to be asked for" in page.locator("#missing").inner_text()
        frame = page.frame_locator("#report")
        frame.locator(".chart svg").first.wait_for()
        with closing(sqlite3.connect(database)) as db, db:
            db.executemany(f"INSERT INTO responses VALUES ({', '.join('?' * len(kept[0]))})", kept)
        (tree / "plain" / ".writer.json").unlink()
        expect(page.locator("#count")).to_have_text("12 of 12 responses", timeout=20_000)
        expect(page.locator("#state")).to_have_text("complete")
        assert page.locator("#beat").inner_text() == "generate <b> · 99 tokens/s"
        assert page.locator("#lacks").is_hidden()
        frame.locator(".chart svg").first.wait_for()
        assert all(url.startswith((address, "data:", "blob:")) for url in tab.asked)
        assert tab.wrong == []


def test_samples_are_filtered_and_linked(browser, address: str) -> None:
    with Tab(browser) as tab:
        page = tab.page
        page.goto(f"{address}e/runs/plain/samples.html")
        assert page.locator("#rows > li").count() == 12
        page.select_option("select[name=outcome]", "incoherent")
        page.wait_for_url("**outcome=incoherent*")
        assert page.locator("#rows > li").count() == 8
        page.locator("#rows .open").first.click()
        page.wait_for_url("**#r-*")
        row = page.url.partition("#")[2]
        assert page.locator(f"#{row}").is_visible()
        assert tab.wrong == []


def test_a_report_of_others_reads_nothing_but_itself(browser, address: str, tree: Path) -> None:
    spy = """<!DOCTYPE html><title>quiet</title><p id="p">x</p><script>
        fetch('../plain/samples.html').then(() => { p.textContent = 'read'; }, () => { p.textContent = 'kept out'; });
        try { parent.document.title = 'owned'; } catch {}
        try { localStorage.x = 1; } catch {}
    </script><img src="http://evil.example/x.png">"""
    (tree / "audit" / "report.html").write_text(spy)
    with Tab(browser) as tab:
        tab.page.goto(f"{address}e/runs/audit/report.html")
        tab.page.get_by_text("kept out").wait_for()
        tab.page.goto(f"{address}e/runs/audit/index.html")
        tab.page.frame_locator("#report").get_by_text("kept out").wait_for()
        assert tab.page.title() == "audit"
        assert any("Content Security Policy" in said for said in tab.wrong)


def test_a_bundle_from_the_disk(browser, tree: Path, tmp_path: Path) -> None:
    api.bundle_view(tree, tmp_path / "pages")
    with Tab(browser) as tab:
        page = tab.page
        page.goto((tmp_path / "pages" / "index.html").as_uri())
        page.fill("#search", "plain")
        page.locator("li:visible a.name").click()
        page.frame_locator("#report").locator(".chart svg").first.wait_for()
        page.keyboard.press("s")
        page.wait_for_url("**/samples.html")
        page.select_option("select[name=outcome]", "refusal")
        assert page.locator("#rows > li:visible").count() == 3
        page.check("input[name=disagreement]")
        assert page.locator("#rows > li:visible").count() == 0
        assert page.get_by_text("No response of this page passes the filter.").is_visible()
        assert all(url.startswith(("file:", "data:", "blob:")) for url in tab.asked)
        assert tab.wrong == []


@pytest.mark.parametrize(
    "path", ["", "e/runs/plain/index.html", "e/runs/plain/samples.html", "beside.html?a=runs/plain&b=runs/more/target",
             "e/runs/claims/index.html", "e/nothing/index.html"]
)  # fmt: skip
def test_pages_fit_a_phone(browser, address: str, path: str) -> None:
    with Tab(browser, width=390) as tab:
        tab.page.goto(address + path)
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert re.match(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", tab.page.url)
