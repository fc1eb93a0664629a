"""Headers of safetensors files: what is in them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from safebasin.errors import ModelError
from safebasin.models.headers import read_header, read_headers


def written(path: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(start: int, end: int, *, dtype: object = "F32", shape: object = (1,)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_names_shapes_types_and_places(tmp_path: Path) -> None:
    tensors = {"b": torch.zeros(2, 3, dtype=torch.bfloat16), "a": torch.ones(()), "c": torch.zeros(0, 4)}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    found = read_headers([tmp_path / "x.safetensors"])
    assert {name: (t.shape, t.dtype, t.n_elements) for name, t in found.items()} == {
        "a": ((), "F32", 1), "b": ((2, 3), "BF16", 6), "c": ((0, 4), "F32", 0),
    }  # fmt: skip
    assert {t.file for t in found.values()} == {tmp_path / "x.safetensors"}


def test_of_a_name_in_two_files_the_last_counts(tmp_path: Path) -> None:
    for file, size in (("a", 1), ("b", 2)):
        save_file({"x": torch.zeros(size)}, tmp_path / file)
    assert read_headers([tmp_path / "a", tmp_path / "b"])["x"].shape == (2,)


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (b"not json", b""),
        ([], b""),
        ({"x": 1}, b""),
        ({"x": {"dtype": "F32"}}, b""),
        ({"x": entry(0, 4, dtype=5)}, bytes(4)),
        ({"x": entry(0, 4, dtype="F31")}, bytes(4)),
        ({"x": entry(0, 4, shape=[-1])}, bytes(4)),
        ({"x": entry(0, 4, shape=[1.0])}, bytes(4)),
        ({"x": entry(0, 4, shape=[True])}, bytes(4)),
        ({"x": entry(0, 4, shape="1")}, bytes(4)),
        ({"x": entry(0, 4, shape=[2])}, bytes(4)),
        ({"x": entry(4, 0)}, bytes(4)),
        ({"x": entry(-4, 0)}, bytes(4)),
        ({"x": entry(2**63, 2**63 + 4)}, bytes(4)),
        ({"x": {**entry(0, 4), "data_offsets": [0, 2, 4]}}, bytes(4)),
        ({"x": entry(4, 8)}, bytes(8)),
        ({"x": entry(0, 4), "y": entry(2, 6)}, bytes(6)),
        ({"x": entry(0, 4)}, bytes(5)),
        ({"x": entry(0, 4)}, bytes(3)),
        (b"[" * 100_000, b""),
    ],
)
def test_what_the_format_forbids_is_one_line_with_the_name_of_the_file(tmp_path: Path, header, data: bytes) -> None:
    path = written(tmp_path / "x.safetensors", header, data)
    with pytest.raises(ModelError, match=r"^x\.safetensors must be") as caught:
        read_header(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [2**25 + 1, 2**40, 2**64 - 1])
def test_a_header_as_long_as_a_file_is_never_read(tmp_path: Path, length: int) -> None:
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write(length.to_bytes(8, "little"))
        file.truncate(10**12)
    with pytest.raises(ModelError, match="a whole safetensors file"):
        read_header(path)


def test_a_file_that_is_missing_or_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(ModelError, match="a regular file"):
            read_header(path)
