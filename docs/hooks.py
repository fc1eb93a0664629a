"""Hooks of mkdocs: the figures of the gallery, drawn by the build from the studies that ship.

Each study is mapped into `runs/gallery`, where a second build finds it done; its figures are copied beside the pages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SHOWN: dict[str, dict[str, str]] = {
    "guild": {"basin": "asr-*", "composition": "outcomes-*"},
    "guild-line": {"line": "outcomes-*"},
    "guild-systems": {"systems": "overlay-*"},
    "guild-jailbreaks": {"jailbreaks": "overlay-*"},
    "guild-blocks": {"blocks": "blocks-*"},
    "guild-regions": {
        "plane": "plane-random-plane-*",
        "plane-to-base": "plane-to-*",
        "quantization": "outcomes-quantization-*",
    },
}
"""Study → name in the gallery → its figure, as a pattern that fits one."""
SMALL = ("--limit", "16", "--yes")
"""A gallery needs no narrow intervals: the captions say how many prompts stand behind a figure."""


def on_pre_build(config: Any) -> None:
    """Draw what the gallery shows; mkdocs calls it before it reads the pages."""
    gallery = Path(config["docs_dir"]) / "gallery"
    gallery.mkdir(exist_ok=True)
    with ThreadPoolExecutor(2) as pool:  # each is a process of one thread
        for folder, figures in zip(pool.map(_mapped, SHOWN), SHOWN.values(), strict=True):
            for name, pattern in figures.items():
                (figure,) = (folder / "figures").glob(f"{pattern}.png")
                shutil.copyfile(figure, gallery / f"{name}.png")


def _mapped(study: str) -> Path:
    """The folder of a study, mapped or found done."""
    folder = ROOT / "runs" / "gallery" / study
    command = [sys.executable, "-m", "safebasin", "map", str(ROOT / "studies" / f"{study}.yaml"), "-o", str(folder)]
    environment = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **os.environ}
    subprocess.run([*command, *SMALL], check=True, env=environment, capture_output=True)
    return folder
