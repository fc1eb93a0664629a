"""What forward passes run on: kernels that this processor can run, and as many threads as the model can use.

Some sandboxes and virtual machines announce AMX and then kill the process at its first bfloat16 product (illegal
instruction): a child process is asked, and where it dies, oneDNN is left out for the calls of the engine that needs it.
A model of a few million parameters gains nothing from a second thread, and loses much where another process is busy:
threads that wait for each other were seen to make it eight times slower. It runs on one.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path

import torch

from safebasin.processors import share

__all__ = ["SMALL", "fitting_threads", "safe_kernels", "threads"]

SMALL = 20_000_000
"""Parameters below which a model on a CPU runs on one thread, and its weights are read from a cache."""

_log = logging.getLogger(__name__)
_PROBE = """
import torch
weight = torch.ones(256, 256, dtype=torch.bfloat16)
for rows in (1, 8, 256):  # which kernel is taken depends on the shape
    torch.nn.functional.linear(torch.ones(rows, 256, dtype=torch.bfloat16), weight)
"""


def safe_kernels(device: torch.device, dtype: torch.dtype) -> Callable[[], AbstractContextManager[None]]:
    """A context for forward passes in which no kernel is used that this processor cannot run."""
    if device.type == "cpu" and dtype == torch.bfloat16 and "amx_bf16" in processor_text() and not _survives():
        _log.warning("this processor announces AMX but cannot run it: bfloat16 goes without oneDNN, which is slower")
        return _without_onednn
    return nullcontext


def fitting_threads(device: torch.device, n_parameters: int) -> int:
    """Choose the number of threads for forward passes: torch's own number, or one for a small model on a CPU.

    No more than the quota of this process, unless the user said how many: torch may have been loaded before that was
    asked for.
    """
    if device.type == "cpu" and n_parameters < SMALL:
        return 1
    return min(torch.get_num_threads(), share(1) or torch.get_num_threads())


@contextmanager
def threads(number: int) -> Generator[None]:
    """Torch on this many threads, and on as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _without_onednn() -> Generator[None]:
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


def processor_text() -> str:
    """Return what Linux says of its processors, maker and instructions among it; nothing elsewhere."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@cache
def _survives() -> bool:
    """Whether a bfloat16 product ends well in a process of its own; takes a second or two, once."""
    return subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, check=False, timeout=120).returncode == 0
