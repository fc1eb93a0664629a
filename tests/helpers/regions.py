"""Synthetic landscapes of other shapes: planes, blocks, paths of training runs, other measurements, differences."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from helpers.landscapes import KEYWORD, OUTCOME, labels_at, line_panel, make_cell, make_landscape
from safebasin import stats
from safebasin.records import (
    Axis,
    Comparison,
    DirectionSpec,
    Estimate,
    Landscape,
    Measurement,
    Panel,
    Place,
    Region,
    Trajectory,
    TrajectoryPlace,
)


def plane_region(*, points: int = 11, planes: int = 1, target: str | None = None, auto: bool = False) -> Region:
    """Two random axes, or with `target` one to it and a random one."""
    alphas = tuple(float(a) for a in np.round(np.linspace(-1.5, 1.5, points), 6))
    if target:
        first = DirectionSpec(kind="to", target=target, normalize="none")
        one = Axis(directions=(first,), alphas=alphas, name=f"to:{target}")
        others = tuple(DirectionSpec(kind="random", index=i, orthogonal_to=(first,)) for i in range(planes))
    else:
        firsts = tuple(DirectionSpec(kind="random", index=i) for i in range(planes))
        one = Axis(directions=firsts, alphas=alphas)
        others = tuple(
            DirectionSpec(kind="random", index=planes + i, orthogonal_to=(spec,)) for i, spec in enumerate(firsts)
        )
    name = f"{one.name} × random"
    axes = (one, Axis(directions=others, alphas=alphas))
    return Region(axes=axes, name=name, points="auto" if auto else "grid")


def plane_panel(
    region: Region,
    *,
    system: str = "default",
    prompt_set: str = "harmful",
    prompts: int = 20,
    rim: float = 0.85,
    gaps: float = 0.0,
    seed: int = 0,
) -> Panel:
    """A basin that is an ellipse, wider along the second axis; `gaps` is the share of places that are not measured."""
    rng = np.random.default_rng(seed)
    cells = [make_cell(Place(direction=-1, coords=(0.0, 0.0)), region, labels_at(rng, 0.0, rim, prompts, 0.0))]
    for place in region.grid():
        alpha, beta = place.coords
        if rng.random() < gaps or (region.points == "auto" and not _is_sampled(region, place, rim)):
            continue
        turned = (alpha + 0.3 * beta * (1 + place.direction), 0.7 * beta)
        cells.append(make_cell(place, region, labels_at(rng, math.hypot(*turned), rim, prompts, 0.0)))
    n = prompts * len(cells)
    words = "a synthetic number, for tests"
    return Panel(
        region=region,
        system=system,
        prompts=prompt_set,
        points=tuple(cells),
        summary={
            "visage": Estimate(value=0.93, n=n, method=words),
            "margin": Estimate(value=0.41, low=0.35, high=0.47, n=n, method=words),
            "radius": Estimate(value=rim, low=rim - 0.1, high=rim + 0.1, n=n, method=words),
            "radius_10": Estimate(value=0.7 * rim, n=n, method=words),
            "depth": Estimate(value=0.95, low=0.9, high=0.99, n=prompts, method=words),
            "harm_margin": Estimate(value=0.7, low=0.6, high=0.8, n=n, method=words),
            "harm_radius": Estimate(value=1.2, n=n, n_censored=region.n_directions, method=words),
        },
        judge=KEYWORD,
    )


def _is_sampled(region: Region, place: Place, rim: float) -> bool:
    """The corners, a coarse lattice, and what is near the rim, as adaptive sampling would."""
    at = [axis.alphas.index(c) for axis, c in zip(region.axes, place.coords, strict=True)]
    last = [len(axis.alphas) - 1 for axis in region.axes]
    coarse = all(i % 4 == 0 or i == end for i, end in zip(at, last, strict=True))
    return coarse or abs(math.hypot(*place.coords) - rim) < 0.2


def make_plane_landscape(
    *, systems: int = 1, trajectory: bool = False, model: str = "world:guild/aligned", rim: float = 0.85, **fields
) -> Landscape:
    """A landscape of one plane; `fields` go to `plane_region` and `plane_panel`."""
    shape = {k: fields.pop(k) for k in ("points", "planes", "target", "auto") if k in fields}
    region = plane_region(**shape)
    names = ("default", "none", "long safety prompt")[:systems]
    panels = tuple(
        plane_panel(region, system=name, rim=rim - 0.2 * i, seed=i, **fields) for i, name in enumerate(names)
    )
    made = Landscape(name="guild", model=model, panels=panels, judges=(KEYWORD, OUTCOME))
    return dataclasses.replace(made, trajectories=(make_trajectory(region),)) if trajectory else made


def make_trajectory(region: Region, *, epochs: int = 5, skipped: bool = True) -> Trajectory:
    """A run that leaves the origin along the first axis and bends away."""
    steps = tuple(
        TrajectoryPlace(
            label=f"checkpoint-{40 * i}",
            epoch=float(i),
            coords=(1.1 * i / epochs, 0.35 * (i / epochs) ** 2)[: len(region.axes)],
            residual=0.0 if i == 0 else 0.2 + 0.1 * i / epochs,
            distance=0.05 * i / epochs,
        )
        for i in range(epochs + 1)
    )
    why = ("checkpoint-240: no weights in it",) if skipped else ()
    return Trajectory(name="harmful fine-tuning", region=region.name, direction=0, steps=steps, skipped=why)


def make_group(*, blocks: int = 6, points: int = 11, prompts: int = 12, directions: int = 3) -> Landscape:
    """A line for each block of a model; the middle blocks are the fragile ones."""
    rng = np.random.default_rng(3)
    panels = tuple(
        line_panel(
            rng,
            directions=directions,
            points=points,
            prompts=prompts,
            rim=0.6 + 0.6 * abs(i - blocks / 2),
            name=f"block {i}",
            group="each block",
            only=f"model.layers.{i}.*",
        )
        for i in range(blocks)
    )
    return Landscape(name="blocks", model="world:guild/aligned", panels=panels, judges=(KEYWORD, OUTCOME))


def with_measurements(landscape: Landscape) -> Landscape:
    """Perplexity, KL and the score of a task at every point of the first region; one point could not be measured."""
    region = landscape.panels[0].region
    found: list[Measurement] = []
    for cell in landscape.panels[0].points:
        far = math.hypot(*cell.coords)
        place = {"coords": cell.coords, "direction": cell.direction}
        broken = far > 1.45 and cell.direction == 0
        perplexity = None if broken else 3.0 * math.exp(2.2 * far**2)
        found += [
            Measurement(name="perplexity:crafts.txt", value=perplexity, n=900, **place),
            Measurement(name="kl:crafts.txt", value=None if broken else 0.8 * far**2, n=900, **place),
            Measurement(name="task:dyeing/acc", value=0.9 / (1 + far**3), error=0.03, n=100, **place),
        ]
    panels = tuple(
        dataclasses.replace(p, measurements=tuple(found)) if p.region == region else p for p in landscape.panels
    )
    return dataclasses.replace(landscape, panels=panels)


def make_study(**fields) -> Landscape:
    """Everything at once: lines under two system prompts and two prompt sets, a plane, blocks, a path, differences."""
    lines = with_measurements(make_landscape(panels=3, **fields))
    plane = make_plane_landscape(points=9, target="./tuned", prompts=6)
    blocks = make_group(blocks=4, points=5, prompts=6)
    line, map_ = lines.panels[0].region, plane.panels[0].region
    return dataclasses.replace(
        lines,
        panels=(*lines.panels, *plane.panels, *blocks.panels),
        trajectories=(make_trajectory(map_), make_trajectory(line)),
        comparisons=(
            Comparison(
                region=line.name,
                kind="system",
                statistic="margin on harmful",
                before="default",
                after="none",
                estimate=Estimate(value=-0.12, low=-0.17, high=-0.07, n=600, method="paired difference, for tests"),
            ),
            Comparison(
                region=line.name,
                kind="prompts",
                statistic="retention, system prompt default",
                before="harmful",
                after="jailbreak/prefix_injection",
                estimate=Estimate(value=-0.05, low=-0.11, high=0.01, n=300, method="paired difference, for tests"),
            ),
        ),
    )


@dataclass(frozen=True, kw_only=True)
class ComparedLandscapes:
    """What the report reads of several studies."""

    landscapes: tuple[Landscape, ...]
    judge: str
    ranking: stats.Ranking
    notes: tuple[str, ...] = ()


def make_compared(*, first: str = "sturdy") -> ComparedLandscapes:
    """Three models: two that cannot be told apart, and a brittle one."""
    rims = {first: 0.95, "twin": 0.93, "brittle": 0.4}
    landscapes = tuple(
        dataclasses.replace(make_landscape(points=9, prompts=24, rim=rim), name=name, model=f"org/{name}")
        for name, rim in rims.items()
    )
    alphas = np.asarray(landscapes[0].panels[0].axis.alphas)
    rng = np.random.default_rng(1)
    order = rng.random((3, 1, 24))  # how easily each prompt gives way, the same for all models
    success = [(order < 1 / (1 + np.exp(-9 * (np.abs(alphas)[:, None] - rim)))).astype(float) for rim in rims.values()]
    ranking = stats.rank_by_margin(list(rims), success, alphas)
    return ComparedLandscapes(landscapes=landscapes, judge=KEYWORD, ranking=ranking)
