"""Work and memory → hours and cost on a device; and what to change where a model does not fit. Arithmetic alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil

from safebasin.models.sizes import ASSUMED_PROMPT, ITEMSIZE, ModelSizes, even_batch
from safebasin.run.pricing.accelerators import Accelerator
from safebasin.run.pricing.records import Memory, Probed, Quote, Work

__all__ = ["BANDWIDTH", "COMPUTE", "Spread", "advise", "memory_of", "quote", "quote_here"]

COMPUTE = 0.4
"""Share of the peak that is assumed to be reached where nothing was measured: none of these was run here; …"""
BANDWIDTH = 0.5
"""… and that of the bandwidth."""
_USABLE = 0.92
"""Of an accelerator's memory: the rest is its driver's and that of kernels."""

_SPREAD = 0.95
"""Of what is usable, that which whole layers fill where a model is spread over several accelerators."""

Works = Callable[[str, int], tuple[Work, Work]]
"""Dtype and batch size → work, expected and at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The way in which a worker's model lies on accelerators."""

    gpus: int = 1
    """Over so many, …"""
    at_once: bool = False
    """… which all compute at once, each a part of every matrix; else one after the other, each its layers."""


_ON_ONE = Spread()


def memory_of(sizes: ModelSizes, dtype: str, *, axes: int, max_new_tokens: int) -> Memory:
    """Bytes that a run takes in a dtype."""
    itemsize = ITEMSIZE[dtype]
    length = min(max_new_tokens + ASSUMED_PROMPT, sizes.context or max_new_tokens + ASSUMED_PROMPT)
    weights = sizes.parameters * itemsize
    return Memory(
        dtype=dtype,
        weights=weights,
        origin=weights,
        directions=4 * axes * sizes.parameters,
        row=round(sizes.cache.row_bytes(length, itemsize)),
        cache=sizes.cache.cache_bytes(length, itemsize),
    )


def batch_on(free: float, memory: Memory, *, asked: int | None, n_prompts: int) -> int:
    """Rows that are decoded together where so much memory is left beside the weights; 0 where none fits."""
    rows = int(free * 0.6 / memory.row) if free > 0 else 0
    if rows < 1:
        return 0
    return even_batch(n_prompts, rows) if asked is None else min(asked, rows)


def devices_for(memory: Memory, device: Accelerator) -> int:
    """The fewest of an accelerator that hold a model and one row, its layers spread over them."""
    usable = _USABLE * 1e9 * device.memory_gb
    whole = ceil((memory.weights + memory.row / 0.6) / usable)
    return 1 if whole == 1 else max(whole, ceil(memory.weights / (_SPREAD * usable)))


def quote(
    device: Accelerator,
    memory: Memory,
    works: Works,
    *,
    asked: int | None,
    n_prompts: int,
    price: float | None,
    spread: Spread = _ON_ONE,
) -> Quote:
    """Hours and cost of one worker on an accelerator, or on several of a kind.

    Layers that are spread run one after the other: several cost their number in money and save no time. Matrices that
    are cut take a part of the time each; what they tell each other is left out.
    """
    total, needed, n = round(device.memory_gb * 1e9), devices_for(memory, device), spread.gpus
    batch = 0
    if n >= needed:
        batch = batch_on(n * _USABLE * total - memory.weights, memory, asked=asked, n_prompts=n_prompts)
    faster = n if spread.at_once else 1
    blank = Quote(
        name=device.name if n == 1 else f"{n} × {device.name}",
        dtype=memory.dtype,
        memory_bytes=n * total,
        fits=batch > 0,
        devices=n,
        devices_needed=needed,
        batch=batch,
        peak_flops=faster * device.peak(memory.dtype),
        bandwidth=faster * 1e9 * device.bandwidth_gb_s,
        compute_efficiency=COMPUTE,
        bandwidth_efficiency=BANDWIDTH,
        seconds=None,
        seconds_most=None,
        price_per_hour=n * (device.price_per_hour if price is None else price),
        cost=None,
        cost_most=None,
    )
    return priced(blank, *works(memory.dtype, batch)) if batch else blank


def quote_here(probed: Probed, memory: Memory, works: Works, *, total: int, batch: int, price: float | None) -> Quote:
    """Hours, and cost where an hour has a price, on the machine that was probed."""
    blank = Quote(
        name=f"here ({probed.device})",
        dtype=memory.dtype,
        memory_bytes=total,
        fits=True,
        batch=batch,
        peak_flops=probed.peak_flops,
        bandwidth=probed.bandwidth,
        compute_efficiency=probed.compute_efficiency,
        bandwidth_efficiency=probed.bandwidth_efficiency,
        seconds=None,
        seconds_most=None,
        price_per_hour=price,
        cost=None,
        cost_most=None,
    )
    return priced(blank, *works(memory.dtype, batch), start=probed.start_seconds)


def priced(blank: Quote, expected: Work, most: Work, start: float = 0.0) -> Quote:
    """A quote with its hours and cost."""
    seconds, longest = (start + seconds_of(blank, work) for work in (expected, most))
    rate = blank.price_per_hour
    return replace(
        blank,
        seconds=seconds,
        seconds_most=max(seconds, longest),
        cost=None if rate is None else rate * seconds / 3600,
        cost_most=None if rate is None else rate * max(seconds, longest) / 3600,
    )


def seconds_of(quote: Quote, work: Work) -> float:
    """The formula: operations and bytes, each at what is reached of a peak, one after the other."""
    compute = work.flops / (quote.compute_efficiency * quote.peak_flops)
    return compute + work.bytes_moved / (quote.bandwidth_efficiency * quote.bandwidth)


def advise(
    sizes: ModelSizes, memory: Memory, quotes: Sequence[Quote], devices: Sequence[Accelerator]
) -> tuple[str, ...]:
    """Say what to change where a model does not fit, in sentences; none where it fits everywhere."""
    out = [(quote, device) for quote, device in zip(quotes, devices, strict=True) if not quote.fits]
    if not out:
        return ()
    names = ", ".join(quote.name for quote, _ in out)
    found = [f"it does not fit {names}: {_gb(memory.weights)} of weights, and {_gb(memory.row)} for each row"]
    need = memory.weights + memory.row / 0.6
    if memory.dtype == "float32":
        half = sizes.parameters * 2 + memory.row / 1.2
        holds = [device.name for _, device in out if half <= _USABLE * 1e9 * device.memory_gb]
        if holds:
            found.append(f"with --dtype bfloat16 it fits {', '.join(holds)} too")
    counts = ", ".join(f"{quote.devices_needed} of {device.name}" for quote, device in out)
    found.append(
        f"a worker may hold it over several: --gpus-per-worker takes {counts}. The engine hf runs its layers one after "
        "the other, so they cost their number in money and save no time; vllm cuts each matrix. Neither was run so"
    )
    if len(out) == len(quotes):
        found.append(
            f"else take a smaller model, or, slowly, --device cpu on a machine with {_gb(need + memory.origin)} of "
            f"memory ({_gb(need)} with --low-memory)"
        )
    found.append(
        "a smaller --batch-size or --max-new-tokens makes rows fewer or smaller, not weights; --low-memory spares the "
        f"copy of θ₀ in host memory ({_gb(memory.origin)}), not the device; packed (quantized) weights cannot be moved"
    )
    return tuple(found)


def _gb(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.0f} MB"
