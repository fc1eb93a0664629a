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
