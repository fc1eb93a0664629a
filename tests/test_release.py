"""What a release says of itself in several places is the same everywhere."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_one_version() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == VERSION
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert heads[0] == "Unreleased"
    assert heads[1].startswith(f"{VERSION} (")
    assert f"@v{VERSION}" in (ROOT / "docs" / "ci.md").read_text()


def test_every_direct_dependency_has_its_license_listed() -> None:
    spec = importlib.util.spec_from_file_location("licenses", ROOT / "docs" / "licenses.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    listed = re.findall(r"^\| ([a-z0-9-]+) \| ", (ROOT / "docs" / "licenses.md").read_text(), flags=re.MULTILINE)
    assert set(listed) - {"package", "---"} == set(module.direct())
    assert len(listed) > 20


def test_issue_forms_are_forms() -> None:
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert len(forms) == 4
    for path in forms:
        form = yaml.safe_load(path.read_text())
        if path.name != "config.yml":
            assert {"name", "description", "body"} <= form.keys()
            assert all({"type", "attributes"} <= field.keys() for field in form["body"])


def test_every_figure_of_the_docs_says_what_it_does_not_show() -> None:
    pages = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
    unsaid, n = list[str](), 0
    for path in pages:
        blocks = re.split(r"\n{2,}", path.read_text(encoding="utf-8"))
        for at, block in enumerate(blocks):
            if not block.startswith("!["):
                continue
            n += 1
            below = next((one for one in blocks[at + 1 :] if not one.startswith("![")), "")  # two may share a caption
            if not re.search(r"\b(?:does|do)\s+not\s+show\b", below):
                unsaid.append(f"{path.name}: {block}")
    assert unsaid == []
    assert n >= 17
