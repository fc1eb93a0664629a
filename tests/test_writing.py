"""What is written is there whole or not at all, and never over what safebasin keeps or reads, by whatever path."""

from __future__ import annotations

import ast
import errno
import os
import re
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from safebasin import writing
from safebasin.errors import StoreError, UsageError
from safebasin.writing import KINDS, is_leftover, target_file, target_folder, whole, write_bytes, write_text

SRC = Path(writing.__file__).parent

# --- whole or not at all ---------------------------------------------------------------------------------------------


def test_a_file_is_replaced_and_nothing_stands_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "landscape.json"
    write_text(path, "one")
    write_text(path, "lone surrogate \ud800")
    assert path.read_text() == "lone surrogate \\ud800"
    write_bytes(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    assert [p.name for p in tmp_path.iterdir()] == ["landscape.json"]


def test_the_old_file_stays_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    for error, seen, match in (
        (OSError(errno.ENOSPC, "No space left on device"), StoreError, r"x must be.*No space left.*free space"),
        (KeyboardInterrupt("ended"), KeyboardInterrupt, "ended"),
    ):
        with pytest.raises(seen, match=match):
            write_half(path, error)
    assert (path.read_text(), [p.name for p in tmp_path.iterdir()]) == ("old", ["x"])


def write_half(path: Path, error: BaseException) -> None:
    with whole(path) as file:
        file.write_text("half")
        raise error


def test_the_content_reaches_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "x", []
    path.write_text("old")
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (seen.append(path.read_text()), sync(handle)))
    write_text(path, "new")
    assert seen == ["old", "new"], "once for the file under its other name, once for the folder"


def test_a_file_keeps_its_mode_and_a_link_in_a_folder_of_ours_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(0o640)
    write_text(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.unlink()
    path.symlink_to(tmp_path / "theirs")
    write_text(path, "new")
    assert ((tmp_path / "theirs").read_text(), path.read_text()) == ("theirs", "new")


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from safebasin.writing import whole
    with whole(Path(sys.argv[1])) as file:
        file.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), str(path)], timeout=60)
    assert (done.returncode, path.read_text()) == (-signal.SIGKILL, "old")
    (left,) = (p.name for p in tmp_path.iterdir() if p != path)
    assert is_leftover(left), "a later run must know it as its own"


def writes_around(source: str) -> list[str]:
    """Calls that write a file by another way than `writing`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        modes = [a.value for a in [*node.args, *(k.value for k in node.keywords)] if isinstance(a, ast.Constant)]
        opens = name == "open" and any(isinstance(m, str) and set(m) & set("wax+") and len(m) < 4 for m in modes)
        if opens or name in WAYS:
            found.append(ast.unparse(node))
    return found


WAYS = {"write_text", "write_bytes", "savefig", "write_table", "to_csv", "to_parquet", "dump", "save_file", "copy"}
ALLOWED = {
    "writing.py": 1,  # the one way
    "__main__.py": 1,  # nowhere
    "evidence/packing.py": 1,  # a member of the file that `whole` gives
    "evidence/unpacking.py": 1,  # a new file in a temporary folder
    "landscape/export.py": 3,  # into the path that `whole` gives
    "weights/adapter_copies.py": 2,  # new files in a temporary folder
    "finetune/moderation.py": 1,  # a file that is added to, reply by reply
}
"""Calls that write by another way; figures are drawn into memory, folders of weights are renamed whole."""


def test_every_file_is_written_by_the_one_writer() -> None:
    found = {}
    for path in sorted(SRC.rglob("*.py")):
        calls = [c for c in writes_around(path.read_text(encoding="utf-8")) if not harmless(c)]
        found[str(path.relative_to(SRC))] = len(calls)
        assert len(calls) <= ALLOWED.get(str(path.relative_to(SRC)), 0), calls
    assert ALLOWED.items() <= found.items()


def harmless(call: str) -> bool:
    """The writer itself, drawing into memory, copies into a folder that is renamed whole, and what writes no file."""
    into_memory = re.search(r"savefig\((buffer|png|pdf)\b", call) or call.startswith(
        ("write_text(", "write_bytes(", "studies.dump(")
    )
    return bool(
        into_memory or call.startswith(("shutil.copy(file, ", "dump(")) or call.endswith(".copy()") or "yaml." in call
    )


@pytest.mark.parametrize(
    "way",
    ["p.write_text(x)", "open(p, 'w')", "p.open('xb')", "f.savefig(p)", "json.dump(x, p)", "open(p, mode='r+')"],
)
def test_a_way_around_the_writer_is_found(way: str) -> None:
    assert writes_around(way) == [way]


# --- what may be written to ------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder of each kind, marked only."""
    for name, kind in KINDS.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / kind.marks[0]).write_text("kept")
    (tmp_path / "a study" / "figures").mkdir()
    (tmp_path / "a study" / "figures" / "asr.svg").write_text("kept")
    (tmp_path / "free").mkdir()
    return tmp_path


OWN = [
    *("a study/study.sqlite", "a study/study.sqlite-journal", "a study/study.yaml", "a study/report.html"),
    *("a study/figures/asr.svg", "a study/figures/new.svg", "a study/history/001-study.yaml", "a study/.writer.lock"),
    *("an audit/verdict.json", "an audit/line/x.jsonl", "a comparison/comparison.json", "claims/claims.json"),
    *("a tuned model/safebasin.json", "a sweep/lr-5e-05/x.jsonl", "free/../a study/study.sqlite"),
]


@pytest.mark.parametrize("name", OWN)
def test_what_is_kept_is_no_target(kept: Path, name: str) -> None:
    (kept / name).parent.mkdir(parents=True, exist_ok=True)
    with pytest.raises(UsageError, match="outside of the files of"):
        target_file(kept / name, "-o")


@pytest.mark.parametrize("link", ["symlink", "of a folder", "chain", "dangling"])
def test_no_link_leads_around_it(kept: Path, link: str) -> None:
    path = kept / "free" / "x.jsonl"
    if link == "of a folder":
        (kept / "free" / "there").symlink_to(kept / "a study", target_is_directory=True)
        path = kept / "free" / "there" / "study.sqlite"
    elif link == "dangling":
        path.symlink_to(kept / "a study" / "landscape.json")
    else:
        first = path if link == "symlink" else kept / "free" / "first"
        first.symlink_to(kept / "a study" / "study.sqlite")
        if first != path:
            path.symlink_to(first)
    with pytest.raises(UsageError, match="outside of the files of a study"):
        target_file(path, "-o")


def test_nor_does_a_hard_link_to_what_is_read(kept: Path) -> None:
    study, rows = kept / "a study", kept / "free" / "rows.jsonl"
    rows.write_text("{}")
    for read, own in ((study, study / "study.sqlite"), (rows, rows)):
        path = kept / "free" / f"{own.name}-link.jsonl"
        path.hardlink_to(own)
        for given in (path, own):
            with pytest.raises(UsageError, match=r"another file than those of|outside of the files"):
                target_file(given, "-o", reads=[read])


def test_what_is_not_ours_may_be_written_to(kept: Path) -> None:
    for name in ("free/x.jsonl", "a study/rows.jsonl", "a tuned model/rows.jsonl", "x.csv"):
        assert target_file(kept / name, "-o", reads=[kept / "a study"]) == (kept / name).resolve()
    (kept / "free" / "old.csv").write_text("old")
    (kept / "free" / "link.csv").symlink_to("old.csv")
    assert target_file(kept / "free" / "link.csv", "-o").name == "old.csv", "a link of the user's is followed"


@pytest.mark.parametrize("name", ["free", "none/x.csv", "x" * 300, "nul\0byte", "loop", "pipe", "file/x.csv"])
def test_paths_that_hold_no_file_are_help(kept: Path, name: str) -> None:
    (kept / "loop").symlink_to(kept / "loop")
    (kept / "file").touch()
    os.mkfifo(kept / "pipe")
    with pytest.raises(UsageError, match=r"^-o must be"):
        target_file(kept / name, "-o")


@pytest.mark.parametrize("name", KINDS)
def test_a_folder_of_one_kind_is_not_written_to_as_another(kept: Path, name: str) -> None:
    for other, kind in KINDS.items():
        if other == name:
            assert target_folder(kept / name, kind) == kept / name
            continue
        with pytest.raises(StoreError, match=f"another one than that of {name}"):
            target_folder(kept / name, kind)


def test_a_folder_is_new_empty_or_of_its_kind(kept: Path) -> None:
    kind = KINDS["a comparison"]
    assert target_folder(kept / "new", kind) == kept / "new"
    assert target_folder(kept / "free", kind) == kept / "free"
    (kept / "free" / ".0-part.4711").touch()
    assert target_folder(kept / "free", kind) == kept / "free", "what a kill left closes no folder"
    (kept / "free" / "thesis.tex").touch()
    thesis = kept / "free" / "thesis.tex"
    for path in (kept / "free", thesis, thesis / "new", thesis / "new" / "er", kept / ("x" * 300)):
        with pytest.raises(UsageError, match="the folder of a comparison must be"):
            target_folder(path, kind, error=UsageError)
