"""Model folders that somebody broke: whatever is in them, an answer or one line, soon and in little memory.

Each example takes a whole tiny folder and breaks one of its files: a value of another type or size in a JSON file,
bytes flipped, cut or put in, deep nesting, an odd safetensors header. Chat templates are not fuzzed here.
Slow: thousands of loads.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.models import make_lora, make_tiny_model
from safebasin.engines.hf import HFEngine
from safebasin.errors import UsageError
from safebasin.records import Decoding, Message

CHAT = [[Message(role="user", content=text)] for text in ("How do I weigh the clay?", "no")]
FILES = ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json", "adapter_config.json")
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.sampled_from([10**6, 10**9, 2**31, 2**63, 10**30, -(10**9), 1e400, -0.5, 1.5, 1e-30, float("nan")]),
    st.sampled_from(["", "x", "{{ 1/0 }}", "{{ x.y.z }}", "../config.json", "\ud800", "a\0b", "auto", "no such thing"]),
    st.sampled_from([[], {}, [0], [[]], {"x": None}, [None], {"rope_type": "linear"}, ["x"] * 3]),
)
BYTES = st.tuples(
    st.floats(0, 1, exclude_max=True), st.sampled_from(["flip", "cut", "put", "zero", "deep"]), st.integers(0, 255)
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fuzz")
    base = make_tiny_model(root / "base", hidden_size=16, intermediate_size=16, num_hidden_layers=1)
    make_lora(root / "lora", base, targets=["q_proj"])
    return root


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, but no more than a few of a long list or mapping."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for k, v in list(items)[:40] for p in places(v, (*path, k)))]


def put(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    if not path:
        return odd
    inner = put(value[path[0]], path[1:], odd)
    if isinstance(value, dict):
        return {**value, path[0]: inner}
    return [inner if i == path[0] else v for i, v in enumerate(value)]


def try_it(root: Path, part: str) -> None:
    """Load and ask; anything but an answer or a usage error is a failure, and so is what takes long or much."""
    said = ""
    memory, begun = psutil.Process().memory_info().rss, time.monotonic()
    try:
        model = str(root / "base") + (f"+{root / 'lora'}" if part == "lora" else "")
        engine = HFEngine(model, device="cpu")
        engine.facts()
        engine.generate(CHAT, Decoding(max_new_tokens=3))
        engine.score(CHAT, ["two turns", "x"], Decoding(max_new_tokens=3))
    except UsageError as error:
        said = str(error)
    assert "\n" not in said
    assert time.monotonic() - begun < 60
    assert psutil.Process().memory_info().rss - memory < 2 * 2**30


def broken_copy(whole: Path) -> Path:
    root = Path(tempfile.mkdtemp())
    for part in ("base", "lora"):
        shutil.copytree(whole / part, root / part)
    return root


def part_of(file: str) -> str:
    return "lora" if file.startswith("adapter") else "base"


MANY = settings(
    max_examples=1500,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)
SOME = settings(MANY, max_examples=750)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore")
@MANY
@given(data=st.data())
def test_odd_values_in_its_json_files(whole: Path, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(FILES))
    root = broken_copy(whole)
    try:
        path = root / part_of(file) / file
        value = json.loads(path.read_text())
        if data.draw(st.booleans()):
            place = data.draw(st.sampled_from(places(value)))
        else:  # the entries of the file itself, which are read most
            place = (data.draw(st.sampled_from(sorted(value))),)
        path.write_text(json.dumps(put(value, place, data.draw(ODD))), encoding="utf-8")
        try_it(root, part_of(file))
    finally:
        shutil.rmtree(root)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore")
@SOME
@given(
    file=st.sampled_from([*FILES, "model.safetensors", "adapter_model.safetensors", "chat_template.jinja"]),
    changes=st.lists(BYTES, min_size=1, max_size=3),
)
def test_bytes_that_are_flipped_cut_or_put_in(whole: Path, file: str, changes: list[tuple[float, str, int]]) -> None:
    root = broken_copy(whole)
    try:
        path = root / part_of(file) / file
        raw = bytearray(path.read_bytes() if path.exists() else b"{{ messages }}")
        for share, how, byte in changes:
            # half of the places are in the first bytes, where a header is
            at = int(2 * share * min(len(raw), 400)) if share < 0.5 else int((2 * share - 1) * len(raw))
            at = min(at, max(len(raw) - 1, 0))
            if how == "flip" and raw:
                raw[at] ^= byte or 1
            elif how == "cut":
                del raw[at:]
            elif how == "zero":
                raw[at : at + 8] = bytes(8)
            else:
                raw[at:at] = bytes([byte]) * 3 if how == "put" else b"[" * 5000
        path.write_bytes(bytes(raw))
        try_it(root, part_of(file))
    finally:
        shutil.rmtree(root)


@pytest.mark.slow
@pytest.mark.parametrize("file", [*FILES, "model.safetensors", "chat_template.jinja", "special_tokens_map.json"])
@pytest.mark.parametrize("kind", ["pipe", "zero", "random", "hole", "folder", "loop"])
@pytest.mark.filterwarnings("ignore")
def test_pipes_devices_holes_folders_and_loops_in_the_place_of_a_file(
    whole: Path, tmp_path: Path, file: str, kind: str
) -> None:
    for part in ("base", "lora"):
        shutil.copytree(whole / part, tmp_path / part)
    path = tmp_path / part_of(file) / file
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind in ("zero", "random"):
        path.symlink_to(f"/dev/{kind}")
    elif kind == "hole":
        with path.open("wb") as hole:
            hole.truncate(10**12)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path.name)
    try_it(tmp_path, part_of(file))
