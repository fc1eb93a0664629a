"""Bounds of a band by parameter scaling: over-refusal with the weights of candidate bands times a factor.

Li et al. 2025, arXiv 2408.17003, §3.2. Above 1 a factor makes a band louder, and the band that holds all of what
refuses refuses most; below 1, least. The first bound stays while the last one moves, then the other way round. As in
the published code the matrices of attention and MLP are scaled, norm layers and biases are not. Ties are broken for
the smaller band. Where no factor makes the candidates differ, the bounds stay as they were. The paper says neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from safebasin.errors import ModelError, UsageError, expected
from safebasin.locate.records import Band, Scaled, Scaling, Sweep
from safebasin.protocols import Engine, Inside
from safebasin.records import DirectionSpec, Estimate, Point
from safebasin.stats.estimates import estimate_rate
from safebasin.stats.landscape import Array
from safebasin.stats.paired import estimate_paired_difference
from safebasin.weights.blocks import decoder_blocks, inner_parts

__all__ = ["FACTORS", "MEANT", "REACH", "Refused", "check_factor", "matrices", "scale_bands", "scaled"]

FACTORS = tuple(round(1 + 0.05 * step, 2) for step in range(1, 11))
"""Factors that are tried in order, until the candidates differ."""
MEANT = 0.02
"""Standard deviation of the share refused over candidates at which they differ: 15 of 721 (§3.2)."""
REACH = 2
"""How far a bound moves to each side of where it stood."""

Refused = Callable[[Point], Array]
"""A point → for each prompt, 1 where the model refuses there, 0 where not, NaN where nobody can say."""


def check_factor(factor: float | str | None) -> float | None:
    """The factor that is asked for; None lets `scale_bands` choose.

    Raises:
        UsageError: where it is no number above 0, or is 1.
    """
    if factor is None or factor == "auto":
        return None
    try:
        number = float(factor)
    except ValueError:
        number = -1.0
    if not 0 < number < 10 or number == 1:
        raise UsageError(expected("--scale", "auto, none, or a factor below 10 other than 1", factor, "E.g. 1.2."))
    return number


def matrices(engine: Engine, first: int, last: int) -> tuple[str, ...]:
    """Names of the weight matrices of attention and MLP in layers first … last.

    Raises:
        ModelError: where the blocks cannot be told, or hold none.
        UsageError: where the engine's model is not in this process.
    """
    if not isinstance(engine, Inside):
        raise UsageError(
            expected("the engine", "one whose model is in this process", engine.facts().engine, "Take hf.")
        )
    names = tuple(engine.base.names)
    parts = [p for block in decoder_blocks(names)[first : last + 1] for p in inner_parts(names, block)]
    found = tuple(n for n in names if any(n.startswith(f"{p}.") for p in parts) and len(engine.base.shape(n)) > 1)
    if not found:
        raise ModelError(expected(f"layers {first} to {last}", "with weight matrices", "none", "Take another band."))
    return found


def scaled(engine: Engine, band: Band, factor: float) -> Point:
    """θ₀ with the matrices of a band times a factor; θ₀ itself where the factor is 1."""
    if factor == 1:
        return Point()
    only = ",".join(matrices(engine, band.first, band.last))
    spec = DirectionSpec(kind="scale", target=f"{factor:g}", normalize="none", only=only)
    return Point.at((spec, 1.0))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was refused at a factor, by band; each band is asked once."""

    point: Callable[[Band], Point]
    refused: Refused
    known: dict[Band, Array]

    def __call__(self, band: Band) -> Array:
        if band not in self.known:
            self.known[band] = self.refused(self.point(band))
        return self.known[band]

    def share(self, band: Band) -> float:
        """Share refused; 0 where nothing is scored."""
        found = self(band)
        return float(np.nanmean(found)) if np.isfinite(found).any() else 0.0


def scale_bands(
    start: Band,
    n_layers: int,
    point: Callable[[Band, float], Point],
    refused: Refused,
    *,
    factor: float | None = None,
    judge: str = "",
    prompts: str = "",
) -> Scaling:
    """Refine a band: the best last layer for its first one, then the best first layer for that.

    Args:
        start: where to begin; also the answer, where no candidate is told from another.
        n_layers: layers of the model.
        point: the weights with a band times a factor.
        refused: what is refused there.
        factor: None takes the first of `FACTORS` at which the candidates differ, else the one at which they do most.
        judge: name of who says what is refused.
        prompts: name of what is asked.
    """
    lasts = range(max(start.first, start.last - REACH), min(n_layers - 1, start.last + REACH) + 1)
    candidates = [Band(start.first, last) for last in lasts]
    plain = refused(Point())
    asked, chosen, spread = _choose([*candidates, *_firsts(start)], point, refused, factor)
    ascending = chosen > 1
    kept = start if spread < MEANT else None
    upper = _sweep("last", candidates, asked, kept=kept, ascending=ascending)
    lower = _sweep("first", _firsts(upper.chosen), asked, kept=kept, ascending=ascending)
    return Scaling(
        factor=chosen, spread=spread, plain=_rate(plain), judge=judge, prompts=prompts, sweeps=(upper, lower)
    )


def _firsts(band: Band) -> list[Band]:
    """Bands that end with this one and start near it."""
    return [
        Band(first, band.last) for first in range(max(0, band.first - REACH), min(band.last, band.first + REACH) + 1)
    ]


def _choose(
    candidates: Sequence[Band], point: Callable[[Band, float], Point], refused: Refused, factor: float | None
) -> tuple[_Asked, float, float]:
    """The factor, what is refused with it, and how far the candidates differ."""
    tried: Mapping[float, tuple[_Asked, float]] = {}
    for number in FACTORS if factor is None else (factor,):
        asked = _Asked(lambda band, number=number: point(band, number), refused, {})
        spread = float(np.std([asked.share(band) for band in dict.fromkeys(candidates)]))
        tried = {**tried, number: (asked, spread)}
        if spread >= MEANT:
            break
    chosen = max(tried, key=lambda number: tried[number][1])
    return tried[chosen][0], chosen, tried[chosen][1]


def _sweep(bound: str, candidates: Sequence[Band], asked: _Asked, *, kept: Band | None, ascending: bool) -> Sweep:
    """The candidates at the factor, and the best of them, unless one is to be kept."""
    sign = 1 if ascending else -1
    best = kept or max(candidates, key=lambda band: (sign * asked.share(band), band.first - band.last))
    found = [
        Scaled(
            band=band,
            refused=_rate(asked(band)),
            lead=None if band == best else _lead(asked(best), asked(band)),
        )
        for band in candidates
    ]
    return Sweep(bound=bound, candidates=tuple(found), chosen=best)


def _lead(best: Array, other: Array) -> Estimate:
    found = estimate_paired_difference(other, best)
    return replace(found, method=found.method.replace("ASR", "the share refused"))


def _rate(found: Array) -> Estimate:
    known = found[np.isfinite(found)]
    return estimate_rate(int(known.sum()), len(known), len(found) - len(known))
