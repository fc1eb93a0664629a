"""The border of checkpoint folders: pipes, sizes, and what parsers raise."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from safebasin.errors import ModelError, PromptError
from safebasin.models.files import border, check_entries, memory_errors, read_bytes, read_json


def test_a_pipe_a_socket_and_a_device_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "generation_config.json"
    os.mkfifo(path)
    for read in (lambda: check_entries(tmp_path, "m"), lambda: read_json(path, "m"), lambda: read_bytes(path)):
        with pytest.raises(ModelError, match=r"generation_config\.json must be a regular file"):
            read()
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(ModelError, match=r"generation_config\.json must be a regular file"):
        check_entries(tmp_path, "m")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        with pytest.raises(ModelError, match="a regular file"):
            check_entries(tmp_path, "m")


def test_links_to_files_folders_and_nowhere_are_no_matter(tmp_path: Path) -> None:
    (tmp_path / "blob").write_text("{}")
    (tmp_path / "config.json").symlink_to("blob")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "checkpoint-1").mkdir()
    check_entries(tmp_path, "m")
    assert read_json(tmp_path / "config.json", "m") == {}


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_a_file_larger_than_any_of_its_kind_is_refused_unread(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(10**12)  # a hole: it takes no room on the disk
    with pytest.raises(ModelError, match=rf"{name} must be of at most \d+ MB; got '1000000000000 bytes'"):
        check_entries(tmp_path, "m")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "config.json must be readable JSON; got 'm'"),
        (b"\xff\xfe", "config.json must be readable JSON; got 'm'"),
        (b"[" * 200_000, "config.json must be readable JSON; got 'm'"),
        (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, "config.json must be readable JSON; got 'm'"),
        (b'{"n": ' + b"9" * 5000 + b"}", "config.json must be readable JSON; got 'm'"),
        (b"[]", "config.json must be a JSON object; got 'm'"),
    ],
)
def test_json_that_cannot_be_read_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        read_json(path, "m")
    assert "\n" not in str(caught.value)


class Panic(BaseException):
    """As pyo3 raises it for a panic of Rust code."""


@pytest.mark.parametrize("error", [RecursionError("deep"), AssertionError(), Panic("at the disco"), Exception("rust")])
def test_whatever_a_parser_raises_is_a_model_error(error: BaseException) -> None:
    words = str(error) or type(error).__name__
    with (
        pytest.raises(ModelError, match=rf"x must be y; got 'z'\. \({words}\) Mend it\."),
        border("x", "y", "z", "Mend it."),
    ):
        raise error


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), MemoryError(), PromptError("ours"), RuntimeError("CUDA out of memory")]
)
def test_what_is_no_fault_of_the_file_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, border("x", "y", "z", "Mend it."):
        raise error
    assert caught.value is error


def test_memory_that_is_short_is_a_memory_error() -> None:
    with pytest.raises(MemoryError, match="DefaultCPUAllocator"), memory_errors():
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.\nmore")
