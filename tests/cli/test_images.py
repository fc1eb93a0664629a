"""Prompts with images from the command line: mapped, continued, judged, shown, and refused where nothing reads them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from helpers.command import safebasin
from helpers.models import make_tiny_model
from helpers.vision import make_picture, make_seeing_model
from safebasin.engines.hf import HFEngine
from safebasin.models import tower
from safebasin.records import Prompt
from safebasin.store.db import StudyStore

pytestmark = pytest.mark.integration

SMALL = ("--max-new-tokens", "6", "--device", "cpu", "--judge", "keyword/peng2024", "--judge", "outcome")
RANDOM = ("--directions", "1", "--range", "-0.4:0.4:3")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tower.CACHE, str(tmp_path_factory.getbasetemp() / "towers"))


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_seeing_model(tmp_path_factory.mktemp("cli") / "sees")


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    make_picture(tmp_path / "a.png")
    make_picture(tmp_path / "b.png", seed=1)
    file = tmp_path / "asked.csv"
    file.write_text("prompt,image\nWhat is it,a.png\nWhat is it,b.png\nWeigh the clay,\nRing the bell,a.png\n")
    return file


def stored(folder: Path) -> tuple[int, list[Prompt]]:
    with StudyStore.open(folder) as store:
        return store.counts()["responses"], list(store.prompts().values())


@pytest.mark.slow
def test_a_landscape_of_prompts_with_images(
    seeing: Path, asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "study"
    command = ("map", f"{seeing}#language", "--prompts", asked, *SMALL, *RANDOM, "-o", out)
    done = safebasin(*command)
    assert done.returncode == 0, done.stderr
    n_responses, prompts = stored(out)
    assert n_responses == 3 * 4
    shown = [prompt for prompt in prompts if prompt.images]
    assert sorted(prompt.images[0].name for prompt in shown) == ["a.png", "a.png", "b.png"]
    assert not any(prompt.images[0].path for prompt in shown)
    # nothing is asked again, and the images need not be there for what only reads
    for asks in ("generate", "score_prefixes"):
        monkeypatch.delattr(HFEngine, asks)
    assert safebasin(*command).returncode == 0
    assert stored(out)[0] == n_responses
    for image in ("a.png", "b.png"):
        (tmp_path / image).unlink()
    assert safebasin("verify", out).returncode == 0
    exported = tmp_path / "rows.jsonl"
    assert safebasin("export", out, "--format", "jsonl", "-o", exported, "--with-text").returncode == 0
    rows = [json.loads(line) for line in exported.read_text().splitlines()]
    told = {prompt.told for prompt in prompts}
    assert {row["prompt"] for row in rows} == told
    assert sum(text.startswith("[image ") for text in told) == 3


@pytest.mark.slow
def test_the_report_names_the_image_and_shows_none(seeing: Path, asked: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    command = ("map", f"{seeing}#language", "--prompts", asked, *SMALL, *RANDOM, "-o", out)
    assert safebasin(*command).returncode == 0
    assert safebasin("report", out, "--with-text").returncode == 0
    page = (out / "report.html").read_text()
    _, prompts = stored(out)
    assert all(prompt.images[0].label in page for prompt in prompts if prompt.images)
    assert "a.png" not in page


@pytest.mark.slow
def test_an_image_that_changed_is_another_prompt(seeing: Path, asked: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    command = ("map", f"{seeing}#language", "--prompts", asked, *SMALL, *RANDOM, "-o", out)
    assert safebasin(*command).returncode == 0
    make_picture(tmp_path / "b.png", seed=7)
    done = safebasin(*command)
    assert done.returncode == 0, done.stderr
    n_responses, prompts = stored(out)
    assert (n_responses, len(prompts)) == (3 * 5, 5)


@pytest.mark.slow
def test_the_line_to_another_model_that_reads_images(seeing: Path, asked: Path, tmp_path: Path) -> None:
    other = make_seeing_model(tmp_path / "other", seed=1)
    out = tmp_path / "line"
    done = safebasin(
        "map", f"{seeing}#language", "--axis", f"to:{other}#language", "--range", "0:1:3", "--prompts", asked, *SMALL,
        "-o", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert stored(out)[0] == 3 * 4


def test_a_model_that_reads_text_alone_is_not_asked(asked: Path, tmp_path: Path) -> None:
    llama, out = make_tiny_model(tmp_path / "llama"), tmp_path / "study"
    done = safebasin("map", llama, "--prompts", asked, *SMALL, *RANDOM, "-o", out)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "image" in line]
    assert re.search(r"row \d of asked\.csv must be text alone for a model that reads no images; got 'the image ", line)
    assert "Nothing was decoded." in line
    assert not out.exists()


def test_an_image_that_is_not_there_is_one_line(seeing: Path, asked: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").unlink()
    done = safebasin("map", f"{seeing}#language", "--prompts", asked, *SMALL, "-o", tmp_path / "study")
    assert done.returncode == 2
    assert "image of row 1 of asked.csv must be an existing file" in done.stderr
    assert not (tmp_path / "study").exists()
