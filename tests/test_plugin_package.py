"""A real plugin: installed by pip into a folder of its own, found by its entry point, used by the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent / "plugin_package"
MODULES = ("cool", "direction", "judge", "prompts", "sift", "steer", "temper", "thin")
PIP = (
    "-m",
    "pip",
    "--disable-pip-version-check",
    "install",
    "--quiet",
    "--no-index",
    "--no-build-isolation",
    "--no-deps",
)


def run(*arguments: str, site: Path | None, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run this Python with the plugin's folder on its path, or without it."""
    env = {**os.environ, "PYTHONPATH": str(site or "")}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=240)


def stdout(*arguments: str, site: Path | None, cwd: Path) -> str:
    done = run(*arguments, site=site, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package: building leaves files beside the sources."""
    return shutil.copytree(PACKAGE, tmp_path_factory.mktemp("source") / "safebasin-kiln")


@pytest.fixture(scope="module")
def site(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip has installed the plugin, offline."""
    folder = tmp_path_factory.mktemp("site")
    stdout(*PIP, "--target", str(folder), str(source), site=None, cwd=source)
    return folder


def test_every_seam_of_the_plugin_is_small() -> None:
    modules = sorted((PACKAGE / "src" / "safebasin_kiln").glob("*.py"))
    assert [m.name for m in modules] == [f"{name}.py" for name in ("__init__", *MODULES)]
    assert all(len(m.read_text().splitlines()) <= 60 for m in modules if m.name != "__init__.py")


@pytest.mark.slow
def test_list_shows_the_rows_under_the_name_of_the_package(site: Path, tmp_path: Path) -> None:
    rows = json.loads(stdout("-m", "safebasin", "list", "--json", site=site, cwd=tmp_path))
    mine = [(row["kind"], row["name"]) for row in rows if row["name"].startswith("safebasin-kiln/")]
    assert sorted(mine) == [
        *(("defense", f"safebasin-kiln/{name}") for name in ("cool", "sift", "steer", "temper")),
        ("direction", "safebasin-kiln/coin"),
        ("edit", "safebasin-kiln/thin"),
        ("judge", "safebasin-kiln/pardon"),
        ("prompts", "safebasin-kiln/firing"),
    ]
    without = stdout("-m", "safebasin", "list", "--json", site=None, cwd=tmp_path)
    assert "safebasin-kiln" not in without


@pytest.mark.slow
def test_show_prints_documentation_and_arguments(site: Path, tmp_path: Path) -> None:
    shown = stdout("-m", "safebasin", "show", "judge", "safebasin-kiln/pardon", site=site, cwd=tmp_path)
    assert "strict=False" in shown
    assert "complied where it says anything else" in shown


@pytest.mark.slow
def test_a_mistyped_plugin_name_is_a_usage_error(site: Path, tmp_path: Path) -> None:
    done = run("-m", "safebasin", "show", "judge", "safebasin-kiln/pardn", site=site, cwd=tmp_path)
    assert done.returncode == 2
    assert "Did you mean 'safebasin-kiln/pardon'?" in done.stderr


@pytest.mark.integration
@pytest.mark.slow
def test_the_plugin_passes_its_own_conformance_tests(site: Path, source: Path) -> None:
    shown = stdout("-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", site=site, cwd=source)
    assert "14 passed" in shown


@pytest.mark.integration
@pytest.mark.slow
def test_map_with_judge_and_direction_of_the_plugin(site: Path, tmp_path: Path) -> None:
    judge = "safebasin-kiln/pardon(strict=true)"
    printed = stdout(
        *("-m", "safebasin", "map", "world:guild/aligned", "-o", "study", "--json"),
        *("--judge", "outcome", "--judge", "safebasin-kiln/pardon", "--judge", judge),
        *("--axis", "safebasin-kiln/coin(heads=0.6)@-0.5:0.5:3", "--only", "layers.1.*, embed*"),
        *("--limit", "4", "--directions", "1", "--max-new-tokens", "32"),
        site=site,
        cwd=tmp_path,
    )
    landscape = json.loads(printed)
    assert landscape["judges"] == ["outcome", "safebasin-kiln/pardon", judge]
    assert {panel["judge"] for panel in landscape["panels"]} == {"safebasin-kiln/pardon"}, "the first of refusals"
    assert [region["name"] for region in landscape["regions"]] == ["safebasin-kiln/coin(heads=0.6)"]
    assert len(landscape["points"]) == 3
    origin = next(p for p in landscape["points"] if p["coords"] == [0.0])
    assert origin["asr"][judge]["value"] is not None
    assert origin["asr"][judge]["value"] <= 0.5, "the aligned model asks pardon"
    exported = stdout(
        "-m", "safebasin", "export", "study", "--format", "jsonl", "-o", "rows.jsonl", site=site, cwd=tmp_path
    )
    assert "rows.jsonl" in exported
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 3 * 4
    assert all({v["judge"] for v in row["verdicts"]} == {"outcome", "safebasin-kiln/pardon", judge} for row in rows)


@pytest.mark.integration
def test_prompts_of_the_plugin_are_a_source_like_any_other(site: Path, tmp_path: Path) -> None:
    shown = stdout(
        "-c",
        "from safebasin.prompts.sources import load_prompts\n"
        "print(len(load_prompts('safebasin-kiln/firing')), len(load_prompts('safebasin-kiln/firing[2:5]')))",
        site=site,
        cwd=tmp_path,
    )
    assert shown.split() == ["12", "3"]


def test_the_guide_shows_the_package_as_it_is() -> None:
    guide = (PACKAGE.parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")
    files = ["pyproject.toml", *(f"src/safebasin_kiln/{n}.py" for n in ("__init__", *MODULES))]
    for name in (*files, "tests/test_conformance.py"):
        assert (PACKAGE / name).read_text(encoding="utf-8").strip() in guide, f"docs/plugins.md must quote {name} whole"
