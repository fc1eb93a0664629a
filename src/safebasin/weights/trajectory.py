"""The checkpoints of a training run, as differences from θ₀: a folder of `checkpoint-*`, `epoch-*` or `step-*`.

Each holds full weights or a LoRA adapter. A checkpoint that cannot be used is left out and named, for runs are
interrupted and disks fill up. Where these lie in a landscape is the business of `projection`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from safebasin.errors import ModelError, expected
from safebasin.models.files import read_json
from safebasin.models.reference import locate_adapter, resolve
from safebasin.protocols import BaseWeights, Delta
from safebasin.records import Region, Trajectory, TrajectoryPlace
from safebasin.weights.adapters import read_adapter
from safebasin.weights.checkpoints import AdapterDelta, checkpoint_delta
from safebasin.weights.layout import layout_of
from safebasin.weights.projection import project_all
from safebasin.weights.stream import prepare_one

__all__ = ["TrajectoryRun", "TrajectoryStep", "find_checkpoints", "project_run", "read_trajectory"]

_WHICH_FOLDER = "Take the folder that holds checkpoint-*, epoch-* or step-*."
_NAME = re.compile(r"(?P<kind>checkpoint|epoch|step)[-_]?(?P<number>\d+(\.\d+)?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryStep:
    """One checkpoint of a run."""

    label: str
    """Name of its folder."""
    step: float
    """The number that its name ends in, which orders the run."""
    epoch: float | None
    """As the trainer wrote it, or the number of an `epoch-*` folder; None where neither says."""
    path: Path
    delta: Delta
    """θ − θ₀."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryRun:
    """The checkpoints of a run, in order."""

    steps: tuple[TrajectoryStep, ...]
    skipped: tuple[str, ...] = ()
    """Checkpoints that are missing or cannot be used, each with the reason."""


def read_trajectory(folder: Path, base: BaseWeights) -> TrajectoryRun:
    """Find the checkpoints in a folder, sorted by number.

    A number is missing where more than half of its neighbors are equally far apart and one is left out between two.

    Args:
        folder: of `checkpoint-*` (Trainer of transformers), `epoch-*` or `step-*`; a tokenizer is not needed in each.
        base: θ₀, whose names and shapes the checkpoints have.

    Raises:
        ModelError: where no checkpoint can be used, with the reason for the first.
    """
    found = find_checkpoints(folder)
    steps: list[TrajectoryStep] = []
    skipped: list[tuple[float, str]] = list(_missing([(number, path.name) for number, path in found]))
    for number, path in found:
        try:
            delta = _delta(path, base)
        except ModelError as error:
            skipped.append((number, f"{path.name}: {error}"))
        else:
            epoch = _epoch(path, number)
            steps.append(TrajectoryStep(label=path.name, step=number, epoch=epoch, path=path, delta=delta))
    reasons = tuple(reason for _, reason in sorted(skipped))
    if not steps:
        raise ModelError(expected("trajectory", "a folder with a usable checkpoint", str(folder), reasons[0]))
    return TrajectoryRun(steps=tuple(steps), skipped=reasons)


def project_run(folder: Path, regions: Sequence[Region], base: BaseWeights) -> Iterator[Trajectory]:
    """A run seen from each line and plane of some regions.

    Raises:
        ModelError: as `read_trajectory`, or where a direction does not fit.
    """
    run = read_trajectory(folder, base)
    for region in regions:
        for direction in range(region.n_directions):
            deltas = [prepare_one(spec, base) for spec in region.spanned_by(direction)]
            found = project_all(base, deltas, [step.delta for step in run.steps])
            places = tuple(
                TrajectoryPlace(
                    label=step.label,
                    epoch=step.epoch,
                    coords=place.coords,
                    residual=place.share,
                    distance=place.distance,
                )
                for step, place in zip(run.steps, found, strict=True)
            )
            name = folder.name
            yield Trajectory(name=name, region=region.name, direction=direction, steps=places, skipped=run.skipped)


def find_checkpoints(folder: Path) -> list[tuple[float, Path]]:
    """The checkpoints in a folder with their numbers, ascending; no weight is read.

    Raises:
        ModelError: where there is no such folder, no checkpoint in it, or those of two runs.
    """
    if not folder.is_dir():
        raise ModelError(expected("trajectory", "an existing folder", str(folder), _WHICH_FOLDER))
    named = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir() if path.is_dir()]
    found = [(match["kind"], float(match["number"]), path) for match, path in named if match is not None]
    kinds = sorted({kind for kind, _, _ in found})
    if len(kinds) > 1:
        shown = " and ".join(f"{kind}-*" for kind in kinds)
        remedy = "Their numbers do not compare; keep one of these in the folder."
        raise ModelError(expected("trajectory", "a folder of one run", f"{folder} with {shown}", remedy))
    if not found:
        raise ModelError(expected("trajectory", "a folder with a usable checkpoint", str(folder), _WHICH_FOLDER))
    return sorted(((number, path) for _, number, path in found), key=lambda item: (item[0], item[1].name))


def _delta(path: Path, base: BaseWeights) -> Delta:
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        return AdapterDelta(base=base, adapter=read_adapter(locate_adapter(str(path)), layout_of(base)))
    return checkpoint_delta(resolve(str(path), needs_tokenizer=False), base)


def _epoch(path: Path, number: float) -> float | None:
    """What `trainer_state.json` says; a file that is broken says nothing."""
    try:
        epoch = read_json(path / "trainer_state.json", path.name).get("epoch")
    except ModelError:
        epoch = None
    if isinstance(epoch, (int, float)) and not isinstance(epoch, bool) and 0 <= epoch < 1e9:
        return float(epoch)
    return number if path.name.startswith("epoch") else None


def _missing(found: list[tuple[float, str]]) -> Iterator[tuple[float, str]]:
    """Numbers that are left out of an even sequence. Uneven ones (1, 2, 4, 8, …) are left to be what they are."""
    gaps = [round(after - before, 6) for (before, _), (after, _) in pairwise(found)]
    if not gaps:
        return
    spacing, count = min(Counter(gaps).items(), key=lambda item: (-item[1], item[0]))
    if 2 * count <= len(gaps) or spacing <= 0:
        return
    for (before, name), gap in zip(found, gaps, strict=False):
        times = round(gap / spacing)
        if not math.isclose(times * spacing, gap):
            continue
        for i in range(1, times):
            number = round(before + i * spacing, 6)
            stem = re.sub(r"\d+(\.\d+)?$", "", name)
            yield number, f"{stem}{number:g}: not there, though the others are {spacing:g} apart"
