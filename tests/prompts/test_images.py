"""Images before prompts: which file a row names, what it is known by, and every way in which that can be wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.vision import make_picture
from safebasin.errors import MissingFile, PromptError
from safebasin.prompts import images
from safebasin.prompts.files import from_rows
from safebasin.prompts.images import pixels
from safebasin.prompts.sources import load_prompts
from safebasin.records import Image, Message, Prompt


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shots").mkdir()
    make_picture(tmp_path / "a.png")
    make_picture(tmp_path / "shots" / "b.png", seed=1)
    return tmp_path


def written(folder: Path, ending: str, rows: list[dict[str, object]]) -> str:
    path = folder / f"asked.{ending}"
    if ending == "csv":
        lines = [",".join(str(row[name]) for name in rows[0]) for row in rows]
        path.write_text("\n".join([",".join(rows[0]), *lines]))
    elif ending == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_row_names_a_file_beside_the_prompts(folder: Path, ending: str) -> None:
    rows: list[dict[str, object]] = [
        {"prompt": "What is it", "Image": "a.png"},
        {"prompt": "What is it", "Image": "shots/b.png"},
        {"prompt": "What is it", "Image": ""},
    ]
    first, second, plain = load_prompts(written(folder, ending, rows))
    assert [i.digest for i in first.images] == [hashlib.sha256((folder / "a.png").read_bytes()).hexdigest()]
    assert (second.images[0].name, second.images[0].path) == ("shots/b.png", str(folder / "shots" / "b.png"))
    assert plain == Prompt(messages=(Message(role="user", content="What is it"),), source=plain.source)
    assert len({first.id, second.id, plain.id}) == 3
    assert first.text == "What is it"
    assert first.told == f"[image {first.images[0].digest[:16]}]\nWhat is it"
    assert pixels(first.images[0]).size == (24, 16)


def test_in_a_conversation_it_stands_before_the_last_turn(folder: Path) -> None:
    turns = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    rows: list[dict[str, object]] = [{"messages": [*turns, {"role": "user", "content": "three"}], "image": "a.png"}]
    (prompt,) = load_prompts(written(folder, "jsonl", rows))
    assert [turn.image is not None for turn in prompt.messages] == [False, False, True]


def test_a_prompt_is_known_by_the_image_not_by_its_place(folder: Path) -> None:
    (folder / "moved.png").write_bytes((folder / "a.png").read_bytes())
    row = {"prompt": "What is it", "image": "a.png"}
    (one,) = load_prompts(written(folder, "jsonl", [row]))
    (other,) = load_prompts(written(folder, "csv", [{**row, "image": "moved.png"}]))
    assert (one.id, one.messages) == (other.id, other.messages)
    with pytest.raises(PromptError, match="different from each other"):
        load_prompts(written(folder, "jsonl", [row, {**row, "image": "moved.png"}]))


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("none.png", r"image of row 1 of asked\.jsonl must be an existing file; got '.*none\.png'\. Check the path\."),
        ("shots", "a regular file"),
        ("asked.jsonl", r"an image that Pillow can read; got '.*asked\.jsonl'\. \(cannot identify"),
        ("https://example.org/a.png", "an existing file"),
        (["a.png"], r"'image' of row 1 .*must be the name of a file beside the prompts file; got 'a list'"),
        ({"bytes": "", "path": "a.png"}, "got 'a dict'"),
    ],
)
def test_what_is_no_image(folder: Path, cell: object, line: str) -> None:
    with pytest.raises(PromptError, match=line):
        load_prompts(written(folder, "jsonl", [{"prompt": "What is it", "image": cell}]))


def test_one_that_is_missing_is_a_missing_file(folder: Path) -> None:
    with pytest.raises(MissingFile):
        load_prompts(written(folder, "jsonl", [{"prompt": "What is it", "image": "none.png"}]))


def test_one_that_is_too_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_MOST_PIXELS", 24 * 16 - 1)
    with pytest.raises(PromptError, match=r"24 × 16 pixels are more than 383"):
        load_prompts(written(folder, "jsonl", [{"prompt": "What is it", "image": "a.png"}]))


def test_a_set_that_is_no_file_has_none_beside_it() -> None:
    with pytest.raises(PromptError, match=r"the name of a file beside the prompts file; got 'a\.png'"):
        from_rows([{"prompt": "What is it", "image": "a.png"}], "set")
    assert from_rows([{"prompt": "What is it", "image": None}], "set")[0].images == ()


def test_a_file_that_changed_is_not_asked(folder: Path) -> None:
    (prompt,) = load_prompts(written(folder, "jsonl", [{"prompt": "What is it", "image": "a.png"}]))
    (image,) = prompt.images
    make_picture(folder / "a.png", seed=5)
    with pytest.raises(PromptError, match=f"the file of digest {image.digest[:16]}"):
        pixels(image)
    cut = (folder / "shots" / "b.png").read_bytes()[:400]
    (folder / "cut.png").write_bytes(cut)
    (begun,) = load_prompts(written(folder, "jsonl", [{"prompt": "What is it", "image": "cut.png"}]))
    with pytest.raises(PromptError, match="an image that can be read whole"):
        pixels(begun.images[0])


def test_out_of_a_store_it_is_not_at_hand() -> None:
    with pytest.raises(PromptError, match=r"image a\.png must be at hand where it is to be asked"):
        pixels(Image(digest="ab" * 32, name="a.png"))
