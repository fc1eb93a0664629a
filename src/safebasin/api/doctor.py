"""What this machine and installation can do, check by check. Loads torch, loads no model, reaches no network."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from safebasin.processors import usable


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding about the environment."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    """What to do; empty where nothing has to be done."""
    required: bool = True
    """Whether mapping fails without it."""


_EXTRAS = (
    ("datasets", "hub"), ("peft", "adapters"), ("lm_eval", "capability"), ("httpx2", "judges"), ("trl", "train"),
    ("gguf", "real"), ("starlette", "view"), ("pandas", "frames"), ("ray", "ray"), ("vllm", "vllm"),
    ("inspect_ai", "inspect"), ("trackio", "trackio"), ("wandb", "wandb"), ("tensorboard", "tensorboard"),
    ("mlflow", "mlflow"),
)  # fmt: skip
"""A package that each extra brings, and the extra."""


def check_environment() -> tuple[Check, ...]:
    """Every check, the required ones first."""
    return (
        _python(),
        *(_package(name) for name in ("torch", "transformers", "safetensors", "numpy", "scipy")),
        _world(),
        _disk(),
        _device(),
        _memory(),
        _threads(),
        _offline(),
        *(_extra(package, extra) for package, extra in _EXTRAS),
    )


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check(name="python", ok=sys.version_info >= (3, 11), found=version)


def _package(name: str) -> Check:
    try:
        return Check(name=name, ok=True, found=importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name=name, ok=False, found="not installed", remedy="pip install safebasin")


def _world() -> Check:
    from safebasin import catalog

    folder = catalog.world("guild").checkpoint("aligned")
    there = (folder / "model.safetensors").is_file()
    return Check(
        name="world:guild", ok=there, found="shipped" if there else "missing", remedy="" if there else "Reinstall."
    )


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    enough = free > 1
    return Check(
        name="disk", ok=enough, found=f"{free:.1f} GB free here", remedy="" if enough else "Free space.", required=False
    )


def _device() -> Check:
    import torch

    if torch.cuda.is_available():
        found = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return Check(name="device", ok=True, found=f"cuda: {found}", required=False)
    if torch.backends.mps.is_available():
        return Check(name="device", ok=True, found="mps", required=False)
    return Check(name="device", ok=True, found="cpu only (a 7 B model takes hours a point here)", required=False)


def _memory() -> Check:
    import psutil

    available = psutil.virtual_memory().available / 1e9
    return Check(name="memory", ok=available > 2, found=f"{available:.1f} GB available", required=False)


def _threads() -> Check:
    threads, cpus = os.environ.get("OMP_NUM_THREADS"), os.cpu_count() or 1
    found = f"{cpus} CPUs, {usable()} for this process, OMP_NUM_THREADS={threads or 'unset'}"
    return Check(name="threads", ok=True, found=found, required=False)


def _offline() -> Check:
    offline = os.environ.get("HF_HUB_OFFLINE") in ("1", "true", "True", "ON", "YES")
    token = bool(os.environ.get("HF_TOKEN"))
    found = ("offline (HF_HUB_OFFLINE)" if offline else "online") + (
        ", token set" if token else ", no token in HF_TOKEN"
    )
    return Check(name="hub", ok=True, found=found, required=False)


def _extra(package: str, extra: str) -> Check:
    there = importlib.util.find_spec(package) is not None
    remedy = "" if there else f"pip install 'safebasin[{extra}]'"
    return Check(name=package, ok=there, found="installed" if there else "not installed", remedy=remedy, required=False)
