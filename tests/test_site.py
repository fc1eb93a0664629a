"""The documentation's site where its pages are opened as files: search works, and nothing is asked of a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from helpers.browser import Visit

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of two pages, with the theme and the search of ours."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    plugins = [plugin for plugin in config["plugins"] if plugin in ("search", "offline")]
    for ours in ("nav", "hooks", "exclude_docs", "strict"):
        config.pop(ours, None)
    (folder / "docs").mkdir()
    (folder / "docs" / "index.md").write_text("# Start\n\nWhat a landscape is.\n")
    (folder / "docs" / "method.md").write_text("# Method\n\nThe sandpiper is a statistic of a landscape.\n")
    shutil.copytree(ROOT / "docs" / "assets", folder / "docs" / "assets")
    (folder / "mkdocs.yml").write_text(yaml.safe_dump({**config, "plugins": plugins}))
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet"]
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    return folder / "site"


@pytest.mark.browser
def test_search_finds_a_page_that_was_opened_as_a_file(browser, site: Path) -> None:
    seen = Visit(browser, (site / "index.html").as_uri(), "h1")
    seen.page.keyboard.press("s")
    seen.page.keyboard.type("sandpiper")
    seen.page.wait_for_selector(".md-search-result__item")
    links = seen.page.locator(".md-search-result__item a").evaluate_all("nodes => nodes.map(node => node.href)")
    assert any(link.split("?")[0] == (site / "method.html").as_uri() for link in links)
    assert [url for url in seen.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert seen.said == []
