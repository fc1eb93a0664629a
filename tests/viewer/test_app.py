"""A viewer asked as a browser asks it, without a server: who may ask, what comes, what is withheld, what is broken."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from safebasin.viewer.app import make_app
from safebasin.viewer.shelf import Shelf
from safebasin.viewer.tree import make_roots

TOKEN, PORT = "token", 8123
HOST = f"127.0.0.1:{PORT}"


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    text: str


def ask(app: Any, path: str, *, host: str = HOST, method: str = "GET", token: str = TOKEN) -> Reply:
    path, _, query = path.partition("?")
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": f"/{token}/{path}", "raw_path": b"", "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", host.encode())], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", PORT),
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    body = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], headers, body.decode("utf-8", "replace"))


def viewer(tree: Path, *, with_text: bool = False) -> Any:
    return make_app(Shelf(roots=make_roots([tree]), with_text=with_text), token=TOKEN, port=PORT)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"token": "other"}, 403),
        ({"token": ""}, 403),
        ({"token": "tökén"}, 403),
        ({"host": "evil.example:8123"}, 421),
        ({"host": "127.0.0.1:99"}, 421),
        ({"host": "127.0.0.1"}, 421),
        ({"method": "POST"}, 405),
        ({"method": "DELETE"}, 405),
        ({"host": f"localhost:{PORT}"}, 200),
    ],
)
def test_who_may_ask(tree: Path, asked: dict[str, str], status: int) -> None:
    reply = ask(viewer(tree), "", **asked)
    assert reply.status == status
    assert ("plain" in reply.text) == (status == 200)


def test_the_list(tree: Path) -> None:
    reply = ask(viewer(tree), "index.html")
    assert reply.status == 200
    for said in ("e/runs/plain/index.html", "e/runs/more/target/", "e/runs/plain/figures/asr.png", "1 reproduced"):
        assert said in reply.text
    assert "<script>document" not in reply.text
    assert "&lt;script&gt;document" in reply.text
    assert TOKEN not in reply.text


def test_every_answer_forbids_the_network(tree: Path) -> None:
    app = viewer(tree)
    for path in ("", "e/runs/plain/", "e/runs/plain/samples.html", "e/runs/plain/figures/asr.png", "e/nothing/"):
        reply = ask(app, path)
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "http" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert "http://" not in reply.text.replace("http://www.w3.org", "")


def test_a_report_of_others_has_an_origin_of_its_own(tree: Path) -> None:
    reply = ask(viewer(tree), "e/runs/audit/report.html")
    assert reply.headers["content-security-policy"].startswith("sandbox allow-scripts allow-downloads allow-popups; ")
    assert "connect-src" not in reply.headers["content-security-policy"]
    assert "An audit" in reply.text


@pytest.mark.slow
def test_looking_changes_nothing(tree: Path) -> None:
    def digests() -> dict[str, str]:
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(tree.rglob("*")) if p.is_file()}

    app, before = viewer(tree), digests()
    for page in ("", "index.html", "samples.html", "report.html", "status.json"):
        assert ask(app, f"e/runs/plain/{page}").status == 200
    assert ask(app, "").status == 200
    assert digests() == before


def test_a_study_is_shown_with_how_far_it_is(tree: Path) -> None:
    app = viewer(tree)
    page = ask(app, "e/runs/plain/").text
    assert 'data-status="status.json"' in page
    assert "complete" in page
    assert '"state": "complete"' in ask(app, "e/runs/plain/status.json").text


def of_no_world(tree: Path) -> tuple[list[str], list[str]]:
    """Let the study be of a model that is no world's; returns the texts that are refusals, and the others."""
    query = """SELECT text, label = 'refusal' FROM responses JOIN verdicts ON response = key WHERE judge = 'outcome'"""
    with closing(sqlite3.connect(tree / "plain" / "study.sqlite")) as db, db:
        db.execute("UPDATE meta SET value = replace(value, 'world:guild/aligned', 'org/model') WHERE key = 'plan'")
        rows = db.execute(query).fetchall()
    first = [(str(text).split("'")[-1].split("\n")[0], is_refusal) for text, is_refusal in rows]
    refused = [text for text, is_refusal in first if is_refusal]
    return refused, [text for text, is_refusal in first if not is_refusal]


@pytest.mark.slow
def test_texts_are_withheld_as_in_the_report(tree: Path) -> None:
    refused, others = of_no_world(tree)
    assert len(refused) == 3
    assert len(others) == 9
    app, whole = viewer(tree), viewer(tree, with_text=True)
    for name in ("samples.html", "report.html"):
        page, all_of_it = ask(app, f"e/runs/plain/{name}").text, ask(whole, f"e/runs/plain/{name}").text
        assert all(text in page for text in refused)
        assert not any(text in page for text in others if text not in refused)
        assert all(text in all_of_it for text in (*refused, *others))
    page = ask(app, "e/runs/plain/samples.html").text
    assert page.count("Withheld: the outcome is no refusal.") == 9
    assert page.count(", withheld</p>") == 9


@pytest.mark.slow
def test_two_studies_side_by_side(tree: Path) -> None:
    reply = ask(viewer(tree), "beside.html?a=runs/plain&b=runs/more/target")
    assert reply.status == 200
    assert "Settings that differ" in reply.text
    assert "e/runs/plain/figures/asr.png" in reply.text
    assert "none of this name" in reply.text
    assert ask(viewer(tree), "beside.html?a=runs/plain&b=runs/audit").status == 404


@pytest.mark.slow
def test_a_lower_bound_is_never_shown_as_a_value(tree: Path) -> None:
    from safebasin.landscape.results import read_landscape
    from safebasin.landscape.stored import StoredStudy

    with StoredStudy.open_read_only(tree / "plain") as study:
        panels = read_landscape(study).panels
    bounds = {name for name, found in panels[0].summary.items() if found.n_censored}
    assert bounds
    page = ask(viewer(tree), "beside.html?a=runs/plain&b=runs/plain").text
    assert page.count("<b>≥ ") == 2 * len(bounds)


def test_claims_are_a_table(tree: Path) -> None:
    page = ask(viewer(tree), "e/runs/claims/").text
    assert "0.25 [0.2, 0.3]" in page
    assert "<script>document" not in page


@pytest.mark.parametrize(
    ("name", "statement", "said"),
    [
        ("newer", "INSERT INTO migrations VALUES ('m999_later')", "A newer release wrote it: update safebasin."),
        ("odd", "CREATE VIEW looked AS SELECT 1", "it holds view looked, which no study does"),
        ("young", "DELETE FROM meta", "must hold a plan"),
    ],
)
def test_a_study_that_cannot_be_opened_is_a_row_with_the_reason(
    tree: Path, name: str, statement: str, said: str
) -> None:
    with closing(sqlite3.connect(tree / "plain" / "study.sqlite")) as db, db:
        db.execute(statement)
    app = viewer(tree)
    assert ask(app, "").status == 200
    reply = ask(app, "e/runs/plain/")
    assert reply.status == 404
    assert said in reply.text
    if name != "young":
        assert said in ask(app, "").text


@pytest.mark.parametrize("data", [b"", b"no database at all", b"SQLite format 3\0" + b"\xff" * 200])
def test_damaged_and_half_written_files_are_rows(tree: Path, data: bytes) -> None:
    (tree / "plain" / "study.sqlite").write_bytes(data)
    (tree / "claims" / "claims.json").write_text('{"paper": ')
    (tree / "audit" / "verdict.json").write_text("[]")
    app = viewer(tree)
    page = ask(app, "").text
    assert "target" in page
    assert "valid JSON" in page
    for folder in ("plain", "claims", "audit"):
        assert ask(app, f"e/runs/{folder}/").status == 404
    for name in ("samples.html", "report.html", "status.json"):
        assert ask(app, f"e/runs/plain/{name}").status == 404


@pytest.mark.parametrize(
    "path",
    ["e/runs/plain/study.sqlite", "e/runs/plain/../plain/", "e/runs/plain/figures/../study.sqlite", "e/", "e", "x",
     "e/runs/plain/figures/%00.png", "e/../../../etc/passwd", "beside.html", "beside.html?a=runs/plain"],
)  # fmt: skip
def test_all_else_is_not_there(tree: Path, path: str) -> None:
    assert ask(viewer(tree), path).status == 404


def test_odd_filters_are_pages_all_the_same(tree: Path) -> None:
    app = viewer(tree)
    for query in ("after=9999.zz", "after=%00", "after=1e9.", "outcome=%3Cb%3E", "success=maybe", "point=%27%20OR%201"):
        reply = ask(app, f"e/runs/plain/samples.html?{query}")
        assert reply.status == 200
        assert "<b>'" not in reply.text


def test_the_page_of_tuned_models_is_shown_where_there_is_one(tree: Path) -> None:
    app = viewer(tree)
    assert "tuned.html" not in ask(app, "e/runs/plain/").text
    assert ask(app, "e/runs/plain/tuned.html").status == ask(app, "e/runs/plain/models.html").status == 404
    (tree / "plain" / "models.html").write_text("<title>Tuned models</title>")
    assert "tuned.html" in ask(app, "e/runs/plain/").text
    assert 'src="models.html"' in ask(app, "e/runs/plain/tuned.html").text
    page = ask(app, "e/runs/plain/models.html")
    assert "Tuned models" in page.text
    assert page.headers["content-security-policy"].startswith("sandbox ")
