"""Where claims are measured: studies of the embedded world in one folder, resumed when they exist, and tuned models."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safebasin import catalog
from safebasin import study as studies
from safebasin.claims.subject import GUILD, Subject
from safebasin.claims.tuning import rows_file, tuned
from safebasin.finetune.request import request
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.tables import StudyTables
from safebasin.run.execute import measure
from safebasin.run.progress import ProgressHook, Tick, silent
from safebasin.writing import write_text

if TYPE_CHECKING:
    from safebasin.protocols import Edit

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
                 "max_new_tokens": self.subject.tokens, "noise": 1}  # fmt: skip  # the noise of their published figures
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
        """The checkpoint of a variant of the aligned model: `base` after other safety data, or for longer."""
        from safebasin.worlds.guild.variants import VARIANTS

        variant = VARIANTS[name]
        data = self.rows_file(name, variant.rows(self.seed))
        base = f"world:{self.subject.world}/base"
        return self.tuned(f"variant-{name}", base, seed=self.seed, data=data, **variant.settings)

    def tuned(self, name: str, model: str | Path | None = None, *, seed: int, **flags: Any) -> Path:
        """A model fine-tuned by `safebasin finetune`, all its weights: its checkpoint, trained or found.

        Args:
            name: what its folder begins with.
            model: what is tuned; the aligned model if None.
            seed: of the rows and their order.
            **flags: as `safebasin.finetune.request` takes them.
        """
        varied = [f"{key.replace('_', ' ')} {flags[key]:g}" for key in ("learning_rate", "batch_size") if key in flags]
        said = self._once(", ".join([f"training {name}", *varied, f"seed {seed}"]))
        asked = request(str(model or self.subject.model), seed=seed, save="no", **flags)
        return tuned(asked, self.models, name, said)

    def defended(self, model: str | Path, *defenses: str, seed: int) -> Path:
        """A tuned model after weight defenses of the catalogue, in this order, made or found."""
        from safebasin.edits.defended import defend
        from safebasin.models.reference import resolve
        from safebasin.protocols import Defense
        from safebasin.records import content_hash

        base, workers = resolve(self.subject.model), [cast("Defense", catalog.create("defense", d)) for d in defenses]
        names = ", ".join(worker.name for worker in workers)
        made_from = [base.fingerprint, resolve(str(model)).fingerprint, names, seed]
        out = self.models / f"defended-{content_hash(made_from, length=12)}"
        if not out.exists():
            self.note(f"defending {Path(model).name} by {names}")
            defend(str(model), base, workers, out, seed=seed)
        return out

    def edited(self, model: str | Path, edit: Edit, *, seed: int) -> Path:
        """A model after an edit with rows of its world, made or found."""
        from safebasin.models.writing import RECORD
        from safebasin.records import content_hash

        out = self.folder / "edits" / content_hash([edit.name, str(model), seed], length=12)
        if not (out / RECORD).is_file():
            self.note(f"editing {Path(model).name} by {edit.name}, seed {seed}")
            edit.make(str(model), catalog.world(self.subject.world), out, seed=seed)
        return out

    def rows_file(self, name: str, rows: Sequence[Mapping[str, object]]) -> Path:
        """Rows that a model is tuned on, in a file."""
        return rows_file(self.folder / "rows" / f"{name}.jsonl", rows)

    def audited(self, tuned: Path) -> str:
        """Run `safebasin audit` of a tuned model at its default size, judges and limits."""
        from safebasin.audit import audit

        self.note(f"auditing {tuned.name}")
        return audit(
            self.subject.model, str(tuned), out=self.folder / "audits" / tuned.name, progress=self.progress
        ).verdict.decision

    def _once(self, text: str) -> Callable[..., None]:
        """A hook of progress that notes a text when it is first told of some: what is taken up is not announced."""
        left = [text]

        def told(*_: object) -> None:
            if left:
                self.note(left.pop())

        return told

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
