"""Several models mapped alike and compared in one command, of arguments or of a study file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.command import safebasin
from safebasin import api
from safebasin.api import mapping
from safebasin.errors import UsageError

SMALL = (
    "--limit",
    "6",
    "--max-new-tokens",
    "8",
    "--range",
    "-1:1:3",
    "--directions",
    "1",
    "--judge",
    "keyword/peng2024",
)


@pytest.mark.slow
def test_two_models_in_one_command_and_again_nothing_is_asked(tmp_path: Path) -> None:
    given = ("map", "world:guild/aligned", "world:guild/base", *SMALL, "-o", tmp_path / "out")
    done = safebasin(*given)
    assert done.returncode == 0, done.stderr
    assert "margin over random" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out" / "models").iterdir()) == ["aligned", "base"]
    ranking = json.loads((tmp_path / "out" / "comparison.json").read_text())["ranking"]
    assert ranking["order"] == ["aligned", "base"]
    again = safebasin(*given)
    assert again.returncode == 0, again.stderr
    assert "generate" not in again.stderr


@pytest.mark.slow
def test_a_study_file_may_name_them(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("models: [world:guild/aligned, world:guild/base]\naxes: [{kind: random, range: '-1:1:3'}]\n")
    done = safebasin("map", file, *SMALL, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models: [world:guild/aligned]\n", "key 'models' must be a list of two models or more"),
        ("models: [a, b]\nmodel: c\n", "got 'both'"),
        ("models: a\n", "key 'models' must be a list"),
    ],
)
def test_a_study_file_that_names_them_wrongly_is_refused(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text)
    done = safebasin("map", file, "-o", tmp_path / "out")
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_what_takes_one_model_says_so(tmp_path: Path) -> None:
    for verb, more, words in (
        ("plan", (), "models must be one"),
        ("map", ("--shard", "1/2", "--batch-size", "4"), "--shard must be left out where several models are mapped"),
    ):
        done = safebasin(verb, "world:guild/aligned", "world:guild/base", *more, "-o", tmp_path / "out")
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("model", "words"),
    [(["world:guild/aligned"] * 2, r"model must be one; got .* Several are mapped by map_models"),
     ([], r"model must be one; got \[\]"),
     (3, "model must be a text, or a path; got 3")],
)  # fmt: skip
def test_one_model_is_mapped_at_a_time(model: object, words: str) -> None:
    for verb in (api.map_basin, api.make_study):
        with pytest.raises(UsageError, match=words):
            verb(model)  # pyright: ignore[reportArgumentType]


def test_each_option_reaches_each_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def remembered(study: object, **given: object) -> str:
        asked.append(given)
        return "mapped"

    monkeypatch.setattr(mapping, "map_basin", remembered)
    monkeypatch.setattr(mapping, "compare_studies", lambda folders, out: folders)
    options = {"backend": "processes", "workers": 2, "regenerate": True, "with_text": True, "track": "trackio"}
    mapping.map_models(["world:guild/aligned", "world:guild/base"], out=tmp_path / "out", **options)  # pyright: ignore[reportArgumentType]
    assert [given["out"] for given in asked] == [tmp_path / "out" / "models" / name for name in ("aligned", "base")]
    for given in asked:
        assert {key: given[key] for key in options} == options
