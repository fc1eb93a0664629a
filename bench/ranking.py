"""How often a ranking of equal models says that some pair of them is apart: familywise error, by simulation.

Every model breaks as in `bench/coverage.py`: prompt p in direction d on side s once |α| reaches

    center + prompt(p) + own prompt(p) + direction(d) + side(d, s) + cell(d, s, p),

all normal. prompt(p) is shared, for all models are asked the same; the rest is each model's own, for a direction of one
model says nothing of the same noise added to another. All models have the same distribution, so that every pair that is
called apart is an error. `python bench/run.py ranking` (three minutes on one thread), or with `--quick`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bench.coverage import margin_of, past
from safebasin.stats.intervals import jackknife_means, leave_one_out
from safebasin.stats.landscape import Array

REPETITIONS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family of equal models, with the spreads (standard deviations, in units of α) of its random effects."""

    name: str
    n_models: int
    n_directions: int
    n_prompts: int = 80
    center: float = 0.3
    prompt: float = 0.06
    own_prompt: float = 0.02
    direction: float = 0.02
    side: float = 0.022
    cell: float = 0.02
    heavy: bool = False
    """Whether directions have the tails of Student's t with three degrees of freedom."""

    def draw(self, rng: np.random.Generator) -> list[Array]:
        """Success of each model, shape (directions, alphas, prompts)."""
        shared = self.prompt * rng.standard_normal((1, 1, self.n_prompts))
        return [self._model(rng, shared) for _ in range(self.n_models)]

    def _model(self, rng: np.random.Generator, shared: Array) -> Array:
        shape = (self.n_directions, 2, self.n_prompts)
        one = (self.n_directions, 1, 1)
        effects = rng.standard_t(3, one) / math.sqrt(3) if self.heavy else rng.standard_normal(one)
        breaks = (
            self.center
            + shared
            + self.own_prompt * rng.standard_normal((1, 1, self.n_prompts))
            + self.direction * effects
            + self.side * rng.standard_normal((*shape[:2], 1))
            + self.cell * rng.standard_normal(shape)
        )
        return past(breaks).astype(np.float64)


SPREADS: dict[str, dict[str, float | bool]] = {
    "typical": {},
    "directions apart": {"direction": 0.06, "side": 0.03, "center": 0.25},
    "heavy-tailed directions": {"direction": 0.06, "heavy": True, "center": 0.25},
    "directions alike": {"direction": 0.005, "side": 0.005},
}
SIZES = ((2, 3), (4, 3), (6, 3), (4, 5), (6, 5), (6, 8))
FAMILIES = tuple(
    Family(name=name, n_models=models, n_directions=directions, **spreads)  # type: ignore[arg-type]
    for name, spreads in SPREADS.items()
    for models, directions in SIZES
)


def familywise_error(family: Family, repetitions: int, *, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """Share of families of which some pair is called apart: by Satterthwaite's degrees of freedom, and as it is.

    Some pair is apart by Holm's procedure exactly where one is at its first step, 1 − (1 − level) / pairs.
    """
    rng = np.random.default_rng(seed)
    errors = [0, 0]
    for _ in range(repetitions):
        models = family.draw(rng)
        for i, cap in enumerate((None, family.n_directions - 1)):
            errors[i] += some_apart(models, level=level, most_df=cap)
    return errors[0] / repetitions, errors[1] / repetitions


def some_apart(models: list[Array], *, level: float, most_df: int | None) -> bool:
    """Whether the first step of Holm's procedure tells some pair apart."""
    left_out = [leave_one_out(success, margin_of) for success in models]
    pairs = list(combinations(left_out, 2))
    at = 1 - (1 - level) / len(pairs)
    return any(_is_apart(one, other, at, most_df) for one, other in pairs)


def _is_apart(one: tuple[Array, Array], other: tuple[Array, Array], level: float, most_df: int | None) -> bool:
    found = jackknife_means(one[0] - other[0], one[1] - other[1], bounds=(-1.0, 1.0), level=level, most_df=most_df)
    return found is not None and not found.low <= 0 <= found.high


def main(*, quick: bool) -> str:
    """The section of the benchmark report."""
    repetitions = 200 if quick else REPETITIONS
    error = math.sqrt(0.05 * 0.95 / repetitions)
    lines = [
        f"{repetitions} families a row, ± {error:.1%} at 5%: some pair of equal models is apart.\n",
        "| directions | models | of | before | at most directions − 1 |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for family in FAMILIES:
        free, capped = familywise_error(family, repetitions)
        lines.append(
            f"| {family.name} | {family.n_models} | {family.n_directions} directions | {free:.1%} | {capped:.1%} |"
        )
    return "\n".join(lines)
