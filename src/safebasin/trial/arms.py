"""The arms of a comparison: which defense works where, and the model that each leaves behind. Nobody is asked here."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

from safebasin import catalog, untrusted
from safebasin.errors import StudyError, UsageError, expected
from safebasin.finetune.prepare import prepare
from safebasin.finetune.request import request
from safebasin.finetune.settings import Method
from safebasin.finetune.tune import finetune
from safebasin.protocols import Attack, Defense
from safebasin.records import content_hash
from safebasin.study.defenses import with_world
from safebasin.trial.records import NONE, ArmCost
from safebasin.writing import write_text

__all__ = ["COST", "Attacked", "Entrant", "attacked", "entrants", "read_cost", "timed", "train", "world_of"]

COST = "cost.json"
"""In the folder of an arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A defense that takes part, or none."""

    name: str
    stage: str = ""

    @property
    def is_part(self) -> bool:
        """True where it is part of the model that is asked, rather than of its training."""
        return self.stage == "inference"

    @property
    def slug(self) -> str:
        """Name of its folder."""
        words = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")
        return f"{words[:32].strip('-')}-{content_hash(self.name, length=6)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacked:
    """The model that is attacked, and how."""

    base: str
    attack: str
    method: Method
    data: Path | None
    safe: Path | None
    utility: Path | None = None
    """Answers to permitted requests, which the refusal direction is found beside."""
    seed: int
    device: str
    folder: Path
    progress: Callable[[int, int, float], None] | None = None


def entrants(base: str, names: Sequence[str]) -> tuple[Entrant, ...]:
    """No defense, then those named; of a world's model by default those that the catalogue has for its world.

    Raises:
        UsageError: where one is not known, is named twice, or there is none.
    """
    world = world_of(base)
    if not names and world is not None:
        names = [part.strip() for part in (catalog.get("world", world).fact("defenses") or "").split(";") if part]
    if not names:
        raise StudyError(expected("--defense", "given", None, "Name some: safebasin list defense."))
    found = [Entrant(name=NONE)]
    for name in names:
        told = name if world is None else with_world(name, world)
        made = cast("Defense", catalog.create("defense", told))
        found.append(Entrant(name=told, stage=made.stage))
    twice = next((one.name for one in found if sum(other.name == one.name for other in found) > 1), None)
    if twice is not None:
        raise StudyError(expected("--defense", "named once each", twice, "Leave one of them out."))
    return tuple(found)


def world_of(model: str) -> str | None:
    """Name of the world that a model belongs to; None where it is of none."""
    return model.removeprefix("world:").partition("/")[0] if model.startswith("world:") else None


def attacked(asked: Attacked, entrant: Entrant) -> Path:
    """The checkpoint or adapter after the attack with a defense, trained or found in `models/`.

    Raises:
        MissingExtra: where TRL or PEFT is not installed.
        UsageError: as `prepare` and `finetune`.
    """
    names = () if entrant.is_part or not entrant.stage else (entrant.name,)
    slug = entrant.slug if names else Entrant(name=NONE).slug
    return train(asked, asked.folder / "models" / slug, names, save="no")


def train(
    asked: Attacked,
    out: Path,
    defenses: Sequence[str],
    *,
    model: str | None = None,
    attack: Attack | None = None,
    steps: int | None = None,
    save: Literal["doubling", "no"],
) -> Path:
    """Attack a model into a folder, or take up what is there.

    Args:
        asked: rows, method, seed.
        out: the folder.
        defenses: of rows, training and weights.
        model: what is attacked, if not the base.
        attack: the attack as made, if not by its name.
        steps: of the optimizer; those of the attack if None.
        save: the checkpoints that are kept beside the result.

    Raises:
        MissingExtra: where TRL or PEFT is not installed.
        UsageError: as `prepare` and `finetune`.
    """
    given = request(
        model or asked.base, attack=attack or asked.attack, data=asked.data, safe=asked.safe, defenses=defenses,
        seed=asked.seed, out=out, save=save, steps=steps, method=asked.method,
    )  # fmt: skip
    return finetune(prepare(given), out, resume=True, device=asked.device, progress=asked.progress).path


@contextmanager
def timed(folder: Path, part: str) -> Generator[None]:
    """Add the seconds of the block to the cost of an arm, kept in its folder; none once the block has come to its end.

    Args:
        folder: of the arm.
        part: `training` or `asking`.
    """
    kept, done = read_cost(folder)
    start = time.monotonic()
    ended = False
    try:
        yield
        ended = True
    finally:
        if part not in done:
            values = asdict(kept)
            values[part] += time.monotonic() - start
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            document = {**values, "done": sorted({*done, *([part] if ended else [])})}
            write_text(folder / COST, json.dumps(document) + "\n")


def read_cost(folder: Path) -> tuple[ArmCost, frozenset[str]]:
    """Read what an arm has cost so far, and which parts have come to their end."""
    with suppress(UsageError, KeyError, TypeError, ValueError):
        found = untrusted.read_json(untrusted.read_text(folder / COST, COST), COST)
        held = cast("dict[str, object]", found)
        cost = ArmCost(training=float(cast("float", held["training"])), asking=float(cast("float", held["asking"])))
        return cost, frozenset(cast("list[str]", held["done"]))
    return ArmCost(), frozenset()
