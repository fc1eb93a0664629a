"""Write `licenses.md` from the metadata of what is installed: `python docs/licenses.py`, where the extras are."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Licenses of dependencies

What safebasin itself asks for, with the license that each package's own metadata name; a wheel
may bundle more, and says so in its own license files. Written by `python docs/licenses.py`.
safebasin is under Apache-2.0 and ships none of them. The pages of this site carry one file of others,
`iframe-worker` (MIT), which lets search run where they are opened as files; its license stands in it.

| package | license | for |
| --- | --- | --- |
"""


def direct() -> dict[str, list[str]]:
    """Package → what asks for it: nothing for safebasin itself, else the extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, list[str]] = {}
    for extra, requirements in groups.items():
        for requirement in requirements:
            name = re.split(r"[\[<>=!~; ]", requirement)[0].lower()
            if name != "safebasin":
                found.setdefault(name, []).append(extra)
    return found


def license_of(package: str) -> str | None:
    """The license that the metadata name, None where it is not installed."""
    try:
        said = metadata(package)
    except PackageNotFoundError:
        return None
    classes = [line.rpartition(" :: ")[2] for line in said.get_all("Classifier") or () if line.startswith("License ::")]
    short = (said.get("License") or "").strip()
    named = short if short and "\n" not in short and len(short) < 60 else ""
    return said.get("License-Expression") or named or ", ".join(classes) or "see its own files"


def main() -> None:
    """Write the page."""
    rows: list[str] = []
    for package, extras in sorted(direct().items()):
        found = license_of(package)
        if found is None:
            sys.stderr.write(f"{package} is not installed\n")
            found = "not looked up: not installed where this was written"
        asked = "safebasin" if "" in extras else ", ".join(f"`{extra}`" for extra in extras)
        rows.append(f"| {package} | {found} | {asked} |\n")
    (ROOT / "docs" / "licenses.md").write_text(HEAD + "".join(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
