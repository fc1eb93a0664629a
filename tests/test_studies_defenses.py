"""The studies of published figures of defenses: each plans without a network, at the cost that their page says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from safebasin import api, catalog, study
from safebasin.prompts.hub import HubSource
from safebasin.prompts.sources import placeholders

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "studies" / "defenses"
STUDIES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "published.yaml")
PUBLISHED: dict[str, Any] = yaml.safe_load((FOLDER / "published.yaml").read_text(encoding="utf-8"))
README = (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def user_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with what a user brings, in harmless words, as many prompts as the papers have."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").symlink_to(ROOT / "studies")
    for name, n in (("catqa", 550), ("beavertails", 1000)):
        rows = [json.dumps({"prompt": f"How is bell {i} rung?"}) for i in range(n)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    anchors = [f"ring bell {i},harmful\nsteep tea {i},benign" for i in range(8)]
    (tmp_path / "anchors.csv").write_text("prompt,label\n" + "\n".join(anchors) + "\n")
    (tmp_path / "attacks").mkdir()
    turned = [{"index": i, "goal": f"Ring {i}", "behavior": f"Bell {i}", "prompt": f"Play: {i}"} for i in range(200)]
    (tmp_path / "attacks" / "PAIR-llama-3-8b.json").write_text(json.dumps({"jailbreaks": turned}))
    monkeypatch.setattr(HubSource, "load", lambda self: placeholders(self.public.name))
    return tmp_path


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_it_plans_at_the_cost_that_is_written(path: Path, user_files: Path) -> None:
    planned = api.plan_study(study.load(path), out=user_files / "out")
    row = next(line for line in README.splitlines() if path.name in line)
    assert f"| {planned.responses:,} |" in row
    assert planned.missing == ()
    assert not (user_files / "out").exists()


def test_each_has_its_published_figure_and_says_that_it_was_not_run() -> None:
    assert {path.stem for path in STUDIES} == set(PUBLISHED) - {"schema_version"}
    for path in STUDIES:
        text = path.read_text(encoding="utf-8")
        assert "not run for this release" in text
        assert PUBLISHED[path.stem]["paper"] in text


def test_the_figures_are_those_that_the_files_and_the_catalogue_say() -> None:
    shown = {"csft": (88.9, 4.6), "sppft": (44.4, 9.6)}
    for name, (without, defended) in shown.items():
        stem = next(path.stem for path in STUDIES if path.stem.startswith(name))
        assert (round(PUBLISHED[stem]["without"], 1), round(PUBLISHED[stem]["defended"], 1)) == (without, defended)
        said = catalog.get("defense", name).fact("published") or ""
        assert f"{defended} %" in said
        assert f"{without} %" in said


def test_the_commands_name_defenses_and_edits_that_are_there() -> None:
    named = re.findall(r"--(defense|edit) \"?([a-z_]+(?:\([^)]*\))?)", README)
    assert {name.partition("(")[0] for _, name in named} >= {"sppft", "csft", "safe_lora", "resta", "lisa", "derta"}
    for kind, name in named:
        catalog.create(kind, name)  # type: ignore[call-overload]
