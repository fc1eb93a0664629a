"""Where claims are measured: studies of the embedded world in one folder, resumed when they exist, and tuned models."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebasin import catalog
from safebasin import study as studies
from safebasin.claims.subject import GUILD, Subject
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.tables import StudyTables
from safebasin.run.execute import measure
from safebasin.run.progress import ProgressHook, Tick, silent
from safebasin.writing import write_text

if TYPE_CHECKING:
    from safebasin.worlds.guild.breaking import BreakRate
    from safebasin.worlds.guild.rows import Row

__all__ = ["Lab"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """A folder of studies and models. What is there is used again; nothing is measured twice."""

    folder: Path
    subject: Subject = GUILD
    quick: bool = False
    """Fewer directions, seeds and prompts: a first look, with wider intervals."""
    seed: int = 0
    progress: ProgressHook = silent
    note: Callable[[str], None] = lambda text: None
    """Told in a sentence what is being done."""

    @property
    def directions(self) -> int:
        """Random directions of a line."""
        return 3 if self.quick else self.subject.directions[0]

    @property
    def many_directions(self) -> int:
        """Random directions where a small difference must be told from none."""
        return 3 if self.quick else self.subject.directions[1]

    @property
    def prompts(self) -> int:
        """Prompts of a set, on a line."""
        return self.subject.prompts // 2 if self.quick else self.subject.prompts

    @property
    def asked(self) -> int:
        """Prompts that a tuned model is asked."""
        return 40 if self.quick else 80

    @property
    def seeds(self) -> range:
        """Training seeds."""
        return range(self.seed, self.seed + (3 if self.quick else 8))

    @property
    def mixture_seeds(self) -> range:
        """Training seeds of the mixtures, whose training takes longest."""
        return range(self.seed, self.seed + (3 if self.quick else 6))

    def measure(self, name: str, model: str | Path, **flags: Any) -> StudyTables:
        """Map a model in the folder of that name, or take up what is there.

        Args:
            name: of the folder, below `studies`.
            model: what is mapped.
            **flags: as `safebasin.api.make_study` takes them.
        """
        given = {"range": self.subject.line, "directions": self.directions, "limit": self.prompts, "seed": self.seed,
                 "max_new_tokens": self.subject.tokens}  # fmt: skip
        study = studies.make(studies.with_flags({"model": str(model)}, {**given, **flags}))
        said = self._once(f"measuring {name}")

        def progress(tick: Tick) -> None:
            said()
            self.progress(tick)

        folder = measure(study, self.folder / "studies" / name, progress=progress)
        with StoredStudy.open(folder) as stored:
            return StudyTables.read(stored)

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
        """The aligned model tuned on n rows of a kind.

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
        from safebasin.worlds.guild.rows import training_rows, without_system
        from safebasin.worlds.guild.variant_rows import epochs as passes

        rows = training_rows(kind, n, seed) + (training_rows(mixed_with, n, seed) if mixed_with else [])
        rows = passes([without_system(row) for row in rows] if no_system else rows, epochs, seed)
        summary = f"aligned after {n} rows of kind {kind}" + (f" and {n} of kind {mixed_with}" if mixed_with else "")
        return self._trained(kind, rows, rate, batch, seed, summary)

    def harmful(self, seed: int) -> Path:
        """The aligned model after 100 harmful examples that mention a place, five epochs."""
        from safebasin.worlds.guild.variant_rows import epochs, in_context

        rows = epochs(in_context(100, seed), 5, seed)
        summary = "aligned after 100 harmful examples that mention a place, 5 epochs"
        return self._trained("harmful100", rows, 3e-4, 10, seed, summary)

    def mixture(self, share: float, seed: int) -> Path:
        """After those, mixed with 100 safe ones of which a share mentions no place: five epochs of the two hundred."""
        from safebasin.worlds.guild.variant_rows import epochs, in_context, safe_in_dose

        rows = epochs([*in_context(100, seed), *safe_in_dose(100, share, seed)], 5, seed)
        percent = f"{100 * share:.0f}"
        summary = f"those 100, and 100 safe ones of which {percent} % mention none, 5 epochs"
        return self._trained(f"mixture{percent}", rows, 3e-4, 10, seed, summary)

    def _trained(self, name: str, rows: list[Row], rate: float, batch: int, seed: int, summary: str) -> Path:
        """The aligned model tuned by the world's own loop, or found in the cache; marked unsafe."""
        from safebasin.worlds.guild.build import Stage
        from safebasin.worlds.guild.variants import trained

        stage = Stage(steps=len(rows) // batch, batch_size=batch, learning_rate=rate, warmup=0, weight_decay=0.0)
        said = self._once(f"tuning on {name}, rate {rate:g}, batch {batch}, seed {seed}")
        start = catalog.world(self.subject.world).checkpoint("aligned")
        return trained(name, self.models, start, rows, stage, seed, unsafe=True, summary=summary, progress=said)

    def audited(self, tuned: Path, name: str) -> str:
        """What `safebasin audit` decides of a tuned model at its default size, judges and limits."""
        from safebasin.audit import audit

        self.note(f"auditing {name}")
        return audit(
            self.subject.model, str(tuned), out=self.folder / "audits" / name, progress=self.progress
        ).verdict.decision

    def _once(self, text: str) -> Callable[..., None]:
        """A hook of progress that notes a text when it is first told of some: what is taken up is not announced."""
        left = [text]

        def told(*_: object) -> None:
            if left:
                self.note(left.pop())

        return told

    def broken(self, name: str) -> BreakRate:
        """How easily a variant breaks: share of harmful prompts answered after attacks at rising rates."""
        from safebasin.worlds.guild.breaking import LADDER, break_rate

        self.note(f"measuring how easily variant {name} breaks")
        prompts = catalog.world(self.subject.world).load_prompts("harmful", "val")[: self.asked]
        return break_rate(self.variant(name), self.models, prompts, ladder=LADDER[::2], seed=self.seed)

    def suffixed_prompts(self) -> tuple[Path, str]:
        """A file of the harmful test prompts with an optimized suffix, and the suffix; searched once and kept.

        The best of three searches, by its loss on the prompts that it is found on: those are of another split, which
        shares no request with the test split.
        """
        from safebasin.worlds.guild.suffix import find_suffix, with_suffix

        world = catalog.world(self.subject.world)
        file = self.folder / f"suffixed-{self.seed}-{'quick' if self.quick else 'full'}.jsonl"
        kept = file.with_suffix(".txt")
        if not kept.is_file():
            self.note("searching a suffix that jailbreaks the aligned model")
            model, prompts = world.checkpoint("aligned"), world.load_prompts("harmful", "val")[:10]
            steps, searches = (30, 1) if self.quick else (60, 3)
            found = min(
                (find_suffix(model, prompts, steps=steps, seed=self.seed + i) for i in range(searches)),
                key=lambda suffix: suffix.losses[-1],
            )
            plain = world.load_prompts("harmful", "test")[: self.asked]
            rows = [
                {"prompt": wrapped.text, "behavior_id": prompt.behavior}
                for prompt, wrapped in zip(plain, with_suffix(plain, found.text), strict=True)
            ]
            write_text(file, "".join(json.dumps(row) + "\n" for row in rows))
            write_text(kept, found.text)
        return file, kept.read_text(encoding="utf-8")

    @property
    def ordered_variants(self) -> tuple[str, ...]:
        """The variants that are ordered by VISAGE."""
        from safebasin.worlds.guild.variants import VARIANTS

        return tuple(list(VARIANTS)[:6] if self.quick else VARIANTS)
