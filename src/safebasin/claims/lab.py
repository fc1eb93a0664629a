"""Where claims are measured: studies of the embedded world in one folder, resumed when they exist, and tuned models."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safebasin import catalog
from safebasin import study as studies
from safebasin.run.execute import measure
from safebasin.run.progress import ProgressHook, Tick, silent
from safebasin.run.recall import recall
from safebasin.run.tables import StudyTables
from safebasin.store import folder as folders
from safebasin.store.db import StudyStore

__all__ = ["ALIGNED", "Lab"]

ALIGNED = "world:guild/aligned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """A folder of studies and models. What is there is used again; nothing is measured twice."""

    folder: Path
    quick: bool = False
    """Fewer directions and prompts: a first look, with wider intervals."""
    seed: int = 0
    progress: ProgressHook = silent
    note: Callable[[str], None] = lambda text: None
    """Told in a sentence what is being done."""

    @property
    def directions(self) -> int:
        """Random directions of a line."""
        return 3 if self.quick else 5

    @property
    def prompts(self) -> int:
        """Prompts of a set."""
        return 40 if self.quick else 80

    def measure(self, name: str, model: str | Path, **flags: Any) -> StudyTables:
        """Map a model in the folder of that name, or take up what is there.

        Args:
            name: of the folder, below `studies`.
            model: what is mapped.
            **flags: as `safebasin.api.make_study` takes them.
        """
        given = {"directions": self.directions, "limit": self.prompts, "seed": self.seed, "max_new_tokens": 64}
        study = studies.make(studies.with_flags({"model": str(model)}, {**given, **flags}))
        said = self._once(f"measuring {name}")

        def progress(tick: Tick) -> None:
            said()
            self.progress(tick)

        folder = measure(study, self.folder / "studies" / name, progress=progress)
        with StudyStore.open(folder) as store:
            return StudyTables.read(store, *recall(store))

    @property
    def models(self) -> Path:
        """Folder of the models that are trained for claims."""
        return self.folder / "models"

    def variant(self, name: str) -> Path:
        """The checkpoint of a variant of the aligned model, trained or found in the cache."""
        from safebasin.worlds.guild.variants import build_variant

        return build_variant(name, self.models, seed=self.seed, progress=self._once(f"training variant {name}"))

    def tuned(
        self,
        kind: str,
        n: int,
        *,
        rate: float,
        epochs: int,
        batch: int,
        mixed_with: str | None,
        no_system: bool,
        seed: int,
    ) -> Path:
        """The aligned model tuned on n rows of a kind, trained by the world's own loop or found in the cache.

        Args:
            kind: of the rows, as `safebasin.worlds.guild.rows.training_rows` names it.
            n: rows.
            rate: peak learning rate.
            epochs: passes over the rows.
            batch: rows of a step; divides n × epochs.
            mixed_with: kind of as many rows that are mixed in.
            no_system: whether the safety prompt is switched off in every row.
            seed: of the rows and their order.
        """
        from safebasin.worlds.guild import variant_rows
        from safebasin.worlds.guild.build import Stage
        from safebasin.worlds.guild.rows import training_rows, without_system
        from safebasin.worlds.guild.variants import trained

        rows = training_rows(kind, n, seed) + (training_rows(mixed_with, n, seed) if mixed_with else [])
        rows = variant_rows.epochs([without_system(row) for row in rows] if no_system else rows, epochs, seed)
        stage = Stage(steps=len(rows) // batch, batch_size=batch, learning_rate=rate, warmup=0, weight_decay=0.0)
        said = self._once(f"tuning on {kind}, rate {rate:g}, batch {batch}, seed {seed}")
        summary = f"aligned after {n} rows of kind {kind}" + (f" and {n} of kind {mixed_with}" if mixed_with else "")
        start = catalog.world("guild").checkpoint("aligned")
        return trained(kind, self.models, start, rows, stage, seed, unsafe=True, summary=summary, progress=said)

    def _once(self, text: str) -> Callable[..., None]:
        """A hook of progress that notes a text when it is first told of some: what is taken up is not announced."""
        left = [text]

        def told(*_: object) -> None:
            if left:
                self.note(left.pop())

        return told

    def break_rate(self, name: str) -> float:
        """How easily a variant breaks: share of harmful prompts answered, mean over attacks at rising rates."""
        from safebasin.worlds.guild.breaking import LADDER, break_rate

        self.note(f"measuring how easily variant {name} breaks")
        prompts = catalog.world("guild").load_prompts("harmful", "val")[: self.prompts]
        ladder = LADDER[::2] if self.quick else LADDER
        return break_rate(self.variant(name), self.models, prompts, ladder=ladder, seed=self.seed).mean

    def suffixed_prompts(self) -> tuple[Path, str]:
        """A file of the harmful test prompts with an optimized suffix, and the suffix; searched once and kept.

        The suffix is found on prompts of another split, which share no request with the test split.
        """
        from safebasin.worlds.guild.suffix import find_suffix, with_suffix

        world = catalog.world("guild")
        file = self.folder / f"suffixed-{self.seed}-{'quick' if self.quick else 'full'}.jsonl"
        kept = file.with_suffix(".txt")
        if not kept.is_file():
            self.note("searching a suffix that jailbreaks the aligned model")
            found = find_suffix(
                world.checkpoint("aligned"),
                world.load_prompts("harmful", "val")[:10],
                steps=30 if self.quick else 60,
                seed=self.seed,
            )
            plain = world.load_prompts("harmful", "test")[: self.prompts]
            rows = [
                {"prompt": wrapped.text, "behavior_id": prompt.behavior}
                for prompt, wrapped in zip(plain, with_suffix(plain, found.text), strict=True)
            ]
            folders.write_atomic(file, "".join(json.dumps(row) + "\n" for row in rows))
            folders.write_atomic(kept, found.text)
        return file, kept.read_text(encoding="utf-8")

    @property
    def ordered_variants(self) -> tuple[str, ...]:
        """The variants that are ordered by VISAGE: those that differ in safety training."""
        from safebasin.worlds.guild.variants import VARIANTS

        safe = [name for name, variant in VARIANTS.items() if not variant.unsafe]
        return tuple(safe[:6] if self.quick else safe)
