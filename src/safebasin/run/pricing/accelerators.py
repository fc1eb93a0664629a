"""Named accelerators: peaks, memory and prices as the table that ships has them, for reckoning, not for comparing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from safebasin.errors import StudyError, expected

__all__ = ["Accelerator", "check_price", "chosen", "sources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One row of the table."""

    name: str
    title: str
    half_tflops: float
    """10¹² FLOP/s in bfloat16 and float16."""
    float32_tflops: float
    bandwidth_gb_s: float
    """10⁹ bytes/s of its memory."""
    memory_gb: float
    """10⁹ bytes."""
    price_per_hour: float

    def peak(self, dtype: str) -> float:
        """FLOP/s in a dtype."""
        return 1e12 * (self.float32_tflops if dtype == "float32" else self.half_tflops)


@cache
def _table() -> Mapping[str, Any]:
    return json.loads(resources.files("safebasin.run.pricing").joinpath("accelerators.json").read_text("utf-8"))


def sources() -> str:
    """Say where the numbers are from, and of when."""
    table = _table()
    return f"Of {table['written']}, none of it exact. Peaks: {table['peaks']}. Prices: {table['prices']}."


def chosen(names: Sequence[str]) -> tuple[Accelerator, ...]:
    """The accelerators of these names; all of them if none is named.

    Raises:
        StudyError: where there is no such accelerator.
    """
    known = {row["name"]: Accelerator(**row) for row in _table()["accelerators"]}
    for name in names:
        if name not in known:
            raise StudyError(expected("--accelerator", f"one of {', '.join(known)}", name, "Leave it out for all."))
    return tuple(known[name] for name in dict.fromkeys(names)) if names else tuple(known.values())


def check_price(price: float | None, *, devices: int) -> None:
    """Check a price that a user gave: of one device, and a number that money can be.

    Raises:
        StudyError: where it is not.
    """
    if price is None:
        return
    if not (math.isfinite(price) and price >= 0):
        remedy = "Give what an hour of the device costs, in US dollars."
        raise StudyError(expected("--price-per-hour", "a finite number, 0 or more", price, remedy))
    if devices != 1:
        constraint = "the price of one device, so that it goes with one --accelerator, or with --probe and none"
        remedy = "Name the device, or leave the price out: the table has one for each."
        raise StudyError(expected("--price-per-hour", constraint, f"{price} for {devices} devices", remedy))
