"""The folder of a study: private, one writer, never another's files."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from safebasin.errors import StoreError
from safebasin.store import folder as folders
from safebasin.writing import KINDS, target_folder


def test_a_new_folder_is_private_and_ignored(tmp_path: Path) -> None:
    made = folders.create(tmp_path / "a" / "study")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert (made / ".gitignore").read_text() == "*\n"


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(StoreError, match=r"It is a file\. Choose another folder with -o\."):
        folders.create(path)


def test_a_folder_with_somebody_elses_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StoreError, match="empty, or the folder of a study"):
        folders.create(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.tex"]


@pytest.mark.slow
def test_processes_that_begin_at_once_all_find_the_folder_writable(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from safebasin.store.folder import create
        sys.stdin.read()
        for n in range(400):
            create(Path(sys.argv[1]) / str(n // 100))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    pipe = subprocess.PIPE
    begun = [subprocess.Popen(command, stdin=pipe, stderr=pipe, text=True) for _ in range(3)]
    for one in begun:
        assert one.stdin is not None
        one.stdin.close()
    for one in begun:
        with one:
            assert one.stderr is not None
            assert one.stderr.read() == ""
    assert [one.returncode for one in begun] == [0, 0, 0]
    assert {path.name for path in tmp_path.glob("*/*")} == {".gitignore"}


def test_the_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from safebasin.store.folder import writer
        with writer(Path(sys.argv[1])):
            print("locked", flush=True)
            sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(StoreError, match=f"Process {other.pid} on .* writes to it"), folders.writer(tmp_path):
            pass
        other.kill()
        other.wait()
        with folders.writer(tmp_path):
            pass  # the lock died with the process


def test_one_writer_may_hold_it_again_and_nobody_else_gets_in_before_the_outer_hold_ends(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as threads, folders.writer(tmp_path):
        with folders.writer(tmp_path):
            pass
        with pytest.raises(StoreError, match=f"Process {os.getpid()} on .* writes to it"):
            threads.submit(_write, tmp_path).result()
    _write(tmp_path)
    assert not (tmp_path / ".writer.json").exists()


def _write(folder: Path) -> None:
    with folders.writer(folder):
        pass


def test_require_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"Make one with: safebasin map -o DIR\."):
        folders.require(tmp_path)


@pytest.mark.parametrize("left", ["landscape.json", "manifest.json", "digests.json"])
def test_results_whose_database_is_gone_are_not_measured_anew(tmp_path: Path, left: str) -> None:
    (tmp_path / left).write_text("{}")
    for use in (folders.create, folders.require, folders.check_target):
        with pytest.raises(StoreError, match=rf"study\.sqlite of .* there beside its {left}; got 'none'\. Restore it"):
            use(tmp_path)
    (tmp_path / "study.sqlite").touch()
    for use in (folders.create, folders.require, folders.check_target):
        with pytest.raises(StoreError, match="got 'an empty file'"):
            use(tmp_path)
    (tmp_path / left).unlink()
    assert folders.create(tmp_path) == tmp_path


@pytest.mark.parametrize("name", ["report.html", "study.yaml", "study.sqlite", "digests.json"])
def test_a_folder_where_a_file_goes_is_found_before_anything_is_measured(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(StoreError, match=rf"{name} of .* must be a regular file; .* Move it away, then run"):
        folders.create(tmp_path)


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere")])
def test_a_file_where_a_folder_goes_is_found_too(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "figures")
    for kind in ("a study", "a screen", "a comparison"):
        with pytest.raises(StoreError, match=r"figures of .* must be a folder; "):
            target_folder(tmp_path, KINDS[kind])
    with pytest.raises(StoreError, match=r"figures of .* must be a folder; "):
        folders.create(tmp_path)


def test_the_folder_of_something_else_leads_to_a_study_in_it(tmp_path: Path) -> None:
    (tmp_path / "fleet.json").write_text("{}")
    with pytest.raises(StoreError, match=r"It is the folder of an audit of a fleet\. There is no study in it\."):
        folders.require(tmp_path)
    study = tmp_path / "models" / "step-2" / "line"
    study.mkdir(parents=True)
    (study / "study.sqlite").touch()
    (tmp_path / "digests.json").write_text("{}")
    with pytest.raises(StoreError, match=f"of an audit of a fleet. Name a study in it, such as {study}."):
        folders.require(tmp_path)


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / ".writer.lock").mkdir()  # as little a file to be locked as one of a disk that may only be read
    with (
        pytest.raises(StoreError, match=r"study folder must be writable; got .*\(Is a directory\) Reading it needs no"),
        folders.writer(tmp_path),
    ):
        pytest.fail("it was not locked")
