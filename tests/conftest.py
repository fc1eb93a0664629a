"""What every test runs under: offline, one thread, warnings as errors (pyproject.toml); and a browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

collect_ignore = ["plugin_package"]  # a package of its own: test_plugin_package.py installs it and runs its tests

settings.register_profile("no deadline", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("no deadline")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let those that may take longest begin first, dealt out to the workers: none waits for the last of another.

    Each worker begins with as long a part of the list as the others, and takes from the ends of theirs when it is done.
    """
    ordered = sorted(items, key=_seconds, reverse=True)
    n_long = sum(map(bool, map(_seconds, ordered)))
    long, rest = ordered[:n_long], iter(ordered[n_long:])
    items.clear()
    n_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    for worker in range(n_workers):
        size = (len(ordered) - len(items)) // (n_workers - worker)
        own = long[worker::n_workers]
        items += [*own, *islice(rest, max(0, size - len(own)))]
    items += rest


def _seconds(item: pytest.Item) -> int:
    """The timeout that a test names for itself; 0 where it names none."""
    mark = item.get_closest_marker("timeout")
    return mark.args[0] if mark else 0


@pytest.fixture(autouse=True, scope="module")
def _fonts_that_are_quick_to_embed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Of type 3 in PDF files, but where figures are tested: cutting whole fonts takes a quarter of a report."""
    from safebasin.report.figures.canvas import STYLE

    with pytest.MonkeyPatch.context() as patch:
        if not request.path.name.startswith("test_figures"):
            patch.setitem(STYLE, "pdf.fonttype", 3)
        yield


CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """One headless Chromium for the tests of a module."""
    if not os.environ.get("CI") and not CHROMIUM.exists():
        pytest.skip("needs chromium (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        made = play.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield made
        made.close()
