"""A comparison of defenses: the attack under each, every model asked the same, `defenses.json`, figure and page.

Each arm has its own folder; what is there is taken up. Asking, judging and the line are those of an audit of BASE and
the attacked model (`safebasin.audit.measurement`), under the defense where it is part of the model.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safebasin.audit.measurement import BASE, OWN, AuditRequest, BothModels, as_shipped, measure_both, read_distance
from safebasin.audit.metrics import read_line
from safebasin.audit.policy import DEFAULT_POLICY
from safebasin.audit.records import Headroom, PromptsUsed
from safebasin.audit.run import candidate_of, judges_of
from safebasin.audit.sets import choose_sources, look_at
from safebasin.errors import StudyError, expected
from safebasin.finetune.settings import Method
from safebasin.finetune.train import require_trl
from safebasin.landscape.tables import Array
from safebasin.models.reference import resolve
from safebasin.records import content_hash
from safebasin.report.defenses import save_defenses
from safebasin.run.progress import ProgressHook, silent
from safebasin.store import folder as folders
from safebasin.store.sealing import seal
from safebasin.trial.arms import COST, Attacked, Entrant, attacked, entrants, read_cost, timed
from safebasin.trial.curves import Curve, Stress
from safebasin.trial.pairing import measured, pairs_of, shares
from safebasin.trial.records import BEFORE, NONE, Arm, DefenseComparison
from safebasin.trial.stress import budget_of, pairs_by_budget, stress
from safebasin.untrusted import read_json, read_text
from safebasin.writing import KINDS, target_folder, write_text

__all__ = ["DOCUMENT", "DefensesCompared", "compare_defenses"]

DOCUMENT = "defenses.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class DefensesCompared:
    """A comparison of defenses, and where it is."""

    comparison: DefenseComparison
    folder: Path
    report: Path
    """The page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Questions:
    """What every arm is asked."""

    sources: Mapping[str, str]
    judges: tuple[str, ...]
    options: Mapping[str, Any]
    progress: ProgressHook
    steps: int | None
    """Of the stress test; None where there is none."""
    stress_seeds: int


def compare_defenses(
    base: str,
    *,
    out: Path,
    attack: str = "harmful_examples",
    defenses: Sequence[str] = (),
    harmful: str | None = None,
    benign: str | None = None,
    borderline: str | None = None,
    limit: int = 200,
    judges: Sequence[str] = (),
    method: Method = "full",
    data: Path | None = None,
    safe: Path | None = None,
    utility: Path | None = None,
    stress: int | None = None,
    stress_seeds: int = 1,
    seed: int = 0,
    device: str = "cpu",
    progress: ProgressHook = silent,
    training: Callable[[int, int, float], None] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> DefensesCompared:
    """Attack a model under each defense, ask all the same, and compare.

    Args:
        base: the model that is attacked.
        out: folder, made if needed. The same folder again takes up what is there.
        attack: name in the catalogue, with its arguments.
        defenses: by name, of any stage; those of the world if none is given for its model.
        harmful: source of harmful prompts; a world has its own, as of the other two.
        benign: of benign ones.
        borderline: of benign ones that look harmful.
        limit: at most this many prompts of each set.
        judges: as of `audit`.
        method: `full` or `lora`.
        data: rows of the attack; a world's model needs none.
        safe: refusals, where a defense mixes them in; of the stress test too.
        utility: answers to permitted requests, of the stress test; a world has its own, as of `safe`.
        stress: steps of the attack up to which each defense is put to the test; none if None.
        stress_seeds: of the trainings of that test, from `seed` on.
        seed: of rows and training.
        device: where models are trained and asked.
        progress: called while a model is asked.
        training: told of (step, steps, loss).
        note: told in a sentence what is being done.

    Raises:
        MissingExtra: where TRL or PEFT is not installed.
        UsageError: for what can be mended; what has been measured stays in the folder.
    """
    require_trl()
    target_folder(out, KINDS["a comparison of defenses"])
    found = entrants(base, defenses)
    sources = choose_sources(base, {"harmful": harmful, "benign": benign, "borderline": borderline}, DEFAULT_POLICY)
    names = judges_of(judges, base)
    sets = look_at(sources, limit)
    made = DefenseComparison(
        base=base, attack=attack, method=method, seed=seed, limit=limit, stress_seeds=stress_seeds, judges=names,
        sets=tuple(
            PromptsUsed(name=n, source=sources[n], n=len(p), hash=content_hash([one.id for one in p]))
            for n, p in sets.prompts.items()
        ),
        version=importlib.metadata.version("safebasin"),
    )  # fmt: skip
    _check_same(out, made)
    with folders.begun(out, "folder of the comparison", first=(DOCUMENT, f"arms/*/{COST}")):
        _write(out, made)
        asked = Attacked(
            base=base, attack=attack, method=method, data=data, safe=safe, utility=utility, seed=seed, device=device,
            folder=out, progress=training,
        )  # fmt: skip
        questions = _Questions(
            sources=sources,
            judges=names,
            options={"limit": limit, "device": device},
            progress=progress,
            steps=stress,
            stress_seeds=stress_seeds,
        )
        return _compared(made, asked, questions, found, note)


def _compared(
    made: DefenseComparison,
    asked: Attacked,
    questions: _Questions,
    found: Sequence[Entrant],
    note: Callable[[str], None],
) -> DefensesCompared:
    """The arms one after the other; the document holds those that are done."""
    none: dict[str, Array] = {}
    asr: dict[str, Array] = {}
    curves: dict[str, tuple[Curve, ...]] = {}
    report = asked.folder / "report.html"
    for entrant in found:
        note(f"arm      {entrant.name}")
        tuned = _attacked(asked, entrant)
        reading, moved, headroom = _read(asked, questions, entrant, tuned)
        own = shares(reading, reading.tuned)
        if not none:
            none = own
            before = shares(reading, reading.base)
            made = replace(made, arms=(Arm(name=BEFORE, stage="", measures=measured(reading, before, none)),))
        cost, _ = read_cost(asked.folder / "arms" / entrant.slug)
        arm = Arm(
            name=entrant.name,
            stage=entrant.stage,
            measures=measured(reading, own, none if entrant.stage else None),
            headroom=headroom,
            moved=moved,
            cost=cost,
        )
        asr[entrant.name] = own["asr"]
        if questions.steps is not None:
            note(f"stress   {entrant.name}")
            curves[entrant.name] = stress(_stress(asked, questions, questions.steps), entrant, tuned, own["asr"])
            arm = replace(arm, budgets=tuple(budget_of(curve) for curve in curves[entrant.name]))
        made = replace(made, arms=(*made.arms, arm), pairs=pairs_of(asr), budget_pairs=pairs_by_budget(curves))
        _write(asked.folder, made)
        report = save_defenses(json.loads(json.dumps(asdict(made))), asked.folder)
    seal(asked.folder)
    return DefensesCompared(comparison=made, folder=asked.folder, report=report)


def _attacked(asked: Attacked, entrant: Entrant) -> Path:
    """The attacked model, its time counted where a defense has a training of its own."""
    with nullcontext() if entrant.is_part else timed(asked.folder / "arms" / entrant.slug, "training"):
        return attacked(asked, entrant)


def _stress(asked: Attacked, questions: _Questions, steps: int) -> Stress:
    return Stress(
        asked=asked, prompts=questions.sources["harmful"], judges=questions.judges, limit=questions.options["limit"],
        steps=steps, n_seeds=questions.stress_seeds, progress=questions.progress,
    )  # fmt: skip


def _read(
    asked: Attacked, questions: _Questions, entrant: Entrant, tuned: Path
) -> tuple[BothModels, float | None, Headroom | None]:
    """Both models as an audit reads them, how far they are apart, and the headroom of the first judge."""
    folder = asked.folder / "arms" / entrant.slug
    defenses = [entrant.name] if entrant.is_part else []
    study = as_shipped(
        asked.base, questions.sources, judges=list(questions.judges), defenses=defenses, **questions.options
    )
    base = resolve(asked.base)
    candidate = candidate_of(str(tuned), base, study.dtype, folder, DEFAULT_POLICY)
    given = AuditRequest(
        folder=folder, base=asked.base, candidate=candidate, prompts=questions.sources, systems=("default",),
        judges=questions.judges, options=questions.options, study=study, progress=questions.progress,
        lender=_lender(asked, entrant),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with timed(folder, "asking"):
        distance, engine = read_distance(given, base.fingerprint)
        template = OWN if candidate.base_template else BASE
        reading = measure_both(given, template, engine=engine if template == BASE else None)
    moved = float(distance["relative"])
    return reading, moved, read_line(reading, identical=moved == 0).headroom[0]


def _lender(asked: Attacked, entrant: Entrant) -> Path | None:
    """The arm of no defense has asked the base already; a defense at inference makes another model of it."""
    if entrant.is_part or not entrant.stage:
        return None
    return asked.folder / "arms" / Entrant(name=NONE).slug


def _check_same(folder: Path, made: DefenseComparison) -> None:
    """A folder goes on with the attack that it was begun with.

    Raises:
        StudyError: where it was begun with another.
    """
    file = folder / DOCUMENT
    found = read_json(read_text(file, DOCUMENT), DOCUMENT) if file.is_file() else {}
    for key in ("base", "attack", "method", "seed"):
        value = getattr(made, key)
        if isinstance(found, dict) and found.get(key, value) != value:
            remedy = "Ask for the same, or choose another folder with -o."
            raise StudyError(expected(f"{key} of the comparison in {folder}", str(found[key]), value, remedy))


def _write(folder: Path, made: DefenseComparison) -> None:
    write_text(folder / DOCUMENT, json.dumps(asdict(made), indent=1, allow_nan=False) + "\n")
