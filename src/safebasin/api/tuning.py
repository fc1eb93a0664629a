"""Fine-tuning: attacks, mitigations, the worst case, and the audit that tells before from after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from safebasin.api.progress import Progress, TrainingProgress, shown, shown_training
from safebasin.api.requests import checks_keywords
from safebasin.errors import UsageError, expected
from safebasin.items import items, texts_of

if TYPE_CHECKING:
    from safebasin.audit import Audited, AuditPlan, FleetAudited, Policy
    from safebasin.edits.defended import DefendedModel
    from safebasin.edits.worst_case import WorstCase
    from safebasin.finetune.options import TuningFlags
    from safebasin.finetune.prepare import Prepared
    from safebasin.finetune.run import Evaluated
    from safebasin.finetune.tune import Tuned
    from safebasin.protocols import Cost, Defense
    from safebasin.study import StudyFlags

__all__ = [
    "audit",
    "defend",
    "estimate_moderation",
    "find_worst_case",
    "finetune",
    "finetune_sweep",
    "plan_audit",
    "prepare_finetuning",
]


@checks_keywords
def finetune(
    model: str,
    *,
    out: str | Path,
    resume: bool = False,
    device: str = "auto",
    progress: TrainingProgress = True,
    evaluated: Evaluated | None = None,
    track: str | None = None,
    **flags: Unpack[TuningFlags],
) -> Tuned:
    """Fine-tune a model into a folder: an attack, or data of one's own. What an attack makes is marked unsafe.

    Args:
        model: as in `make_study`.
        out: a new folder; with `resume` also that of the same run.
        resume: go on after the last checkpoint.
        device: `auto`, `cpu`, `cuda` or `mps`; as for a map, the best that is there if not given.
        progress: a hook, told of (step, steps, loss); True shows a bar on a terminal or in a
            notebook, False nothing.
        evaluated: a hook, told of (step, loss on the rows of `eval`) before training and whenever these are read.
        track: tracker that is told of every step's loss, and of that on the rows of `eval`: as of `map_basin`.
        **flags: the options of `safebasin finetune`, lists in the plural: see `safebasin.finetune.options.TuningFlags`.

    Raises:
        UsageError: for what can be mended; what was saved stays in the folder.
    """
    where = _training_device(device)
    prepared = prepare_finetuning(model, out=out, **flags)
    with shown_training(progress) as hook:
        return _train(prepared, Path(out), resume, where, hook, evaluated, track)


def _train(
    prepared: Prepared, out: Path, resume: bool, device: str, progress: Any, evaluated: Any, track: str | None
) -> Tuned:
    """Train, telling a tracker from the first process, where one is named."""
    from safebasin.finetune.run import is_main
    from safebasin.finetune.tune import finetune
    from safebasin.interop.tracking import tracked
    from safebasin.store.sealing import seal

    with tracked(track if is_main() else None, out, prepared.settings) as run:
        told, read = run.training(progress), run.held_out(evaluated)
        tuned = finetune(prepared, out, resume=resume, device=device, progress=told, evaluated=read)
    if is_main():
        seal(out)
    return tuned


@checks_keywords
def finetune_sweep(
    model: str,
    *,
    sweep: Sequence[str],
    out: str | Path,
    resume: bool = False,
    device: str = "auto",
    progress: TrainingProgress = True,
    evaluated: Evaluated | None = None,
    track: str | None = None,
    **flags: Unpack[TuningFlags],
) -> Iterator[Tuned]:
    """Fine-tune at every combination of `sweep`, such as `["lr=2e-5,5e-5", "batch=16,32"]`; see `finetune`.

    Each is a run of its own to a tracker.
    """
    from safebasin.finetune.request import request
    from safebasin.finetune.run import is_main
    from safebasin.finetune.sweep import sweep as run_sweep
    from safebasin.store.sealing import seal

    where = _training_device(device)
    asked = request(model, out=Path(out), **flags)

    def run() -> Iterator[Tuned]:
        with shown_training(progress) as hook:

            def train(prepared: Prepared, folder: Path) -> Tuned:
                return _train(prepared, folder, resume, where, hook, evaluated, track)

            yield from run_sweep(asked, items(sweep), Path(out), train)
        if is_main():
            seal(Path(out))

    return run()


@checks_keywords
def prepare_finetuning(model: str, *, out: str | Path | None = None, **flags: Unpack[TuningFlags]) -> Prepared:
    """Prepare what `finetune` would train on, without training: rows as tokens, notes, a masked `example`.

    Args:
        model: as in `finetune`.
        out: folder of the run that is meant: moderation by a judge that asks another model is remembered there.
        **flags: as in `finetune`.
    """
    from safebasin.finetune.prepare import prepare
    from safebasin.finetune.request import request

    return prepare(request(model, out=None if out is None else Path(out), **flags))


@checks_keywords
def estimate_moderation(model: str, **flags: Unpack[TuningFlags]) -> dict[str, Cost]:
    """Estimate what moderation before `finetune` takes at most, by name of the judge if it asks another model; asks
    nobody.
    """
    from safebasin.finetune.prepare import estimate
    from safebasin.finetune.request import request

    return estimate(request(model, **flags))


@checks_keywords
def defend(
    tuned: str, *, base: str, defenses: str | Defense | Sequence[str | Defense], out: str | Path, seed: int = 0
) -> DefendedModel:
    """Apply weight defenses to a model that has been tuned already, into a folder. A mark as unsafe is kept.

    Args:
        tuned: a checkpoint, or the folder of a LoRA adapter for the base.
        base: the model that was tuned, as in `make_study`.
        defenses: of the stage post_finetuning, by name with their arguments or ready made, applied in this order.
        out: a new or empty folder.
        seed: of what they draw.

    Raises:
        UsageError: where base and tuned model do not fit each other, a defense is of another stage or cannot read such
            a tuning, or there is something in `out`.
    """
    from safebasin.edits.defended import defend as write
    from safebasin.models.reference import resolve
    from safebasin.models.writing import check_new
    from safebasin.store.sealing import seal

    check_new(Path(out))
    found = write(tuned, resolve(base), items(defenses), Path(out), seed=seed)
    seal(found.path)
    return found


@checks_keywords
def find_worst_case(
    model: str, *, prompts: str, out: str | Path, limit: int = 10, steps: int | None = None, device: str = "auto"
) -> WorstCase:
    """Find the low-rank change that makes a model stop refusing fastest: an attack, its adapter marked unsafe.

    Args:
        model: as in `make_study`.
        prompts: where the handful of prompts comes from that it is found on; keep them apart from those you map.
        out: folder of the adapter, new or empty. Map it with the axis `adapter:OUT`.
        limit: how many prompts.
        steps: of gradient ascent, at most; the default of `safebasin.edits.ascent.Ascent` if None.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        UsageError: where the model refuses none of the prompts, a setting is out of range, or this machine does not
            have the device.
    """
    from safebasin.edits.ascent import Ascent
    from safebasin.edits.worst_case import find_worst_case
    from safebasin.judges.refusal import find_refusal
    from safebasin.prompts.sources import load_prompts
    from safebasin.store.sealing import seal

    where = _device(device)
    found = find_worst_case(
        model,
        load_prompts(prompts, limit=limit, label="harmful"),
        Path(out),
        refuses=lambda text: find_refusal(text) is not None,
        ascent=Ascent() if steps is None else Ascent(steps=steps),
        device=where,
    )
    seal(Path(out))
    return found


def _device(text: str) -> str:
    """The device that engines take for this text; what they refuse is refused before anything is loaded."""
    from safebasin.models.placement import resolve_device

    return str(resolve_device(text))


def _training_device(text: str) -> str:
    """The same for the trainer, which spreads over the GPUs that it sees, or takes the first."""
    found = _device(text)
    if ":" in found:
        remedy = "Choose a GPU by CUDA_VISIBLE_DEVICES."
        raise UsageError(expected("device of fine-tuning", "auto, cpu, cuda or mps", text, remedy))
    return found


@checks_keywords
def audit(
    base: str,
    tuned: str,
    *,
    out: str | Path,
    harmful: str | None = None,
    benign: str | None = None,
    borderline: str | None = None,
    limit: int | None = 400,
    judges: str | Sequence[str] = (),
    policy: Policy | str | Path | None = None,
    basin: bool = False,
    systems: str | Sequence[str] = ("default",),
    templates: str | Sequence[str] = (),
    cluster: str | None = None,
    look: str | None = None,
    agreement: str | Path | Sequence[str | Path] = (),
    options: StudyFlags | None = None,
    backend: str = "local",
    workers: int | None = None,
    lender: Path | None = None,
    among: int = 1,
    progress: Progress = True,
    track: str | None = None,
) -> Audited:
    """Decide whether a tuned model may ship; see `safebasin.audit.audit` for what each argument is.

    A tracker named by `track` is told of it, as of `map_basin`.

    Raises:
        UsageError: for what can be mended; there is no `verdict.json` then.
    """
    import safebasin.audit as auditing
    from safebasin.interop.tracking import tracked

    settings = {"base": base, "tuned": tuned, "harmful": harmful, "benign": benign}
    with tracked(track, Path(out), settings) as run, shown(progress) as hook:
        found = auditing.audit(
            base, tuned, out=out, harmful=harmful, benign=benign, borderline=borderline, limit=limit,
            judges=items(judges), policy=policy, basin=basin, systems=items(systems), templates=items(templates),
            cluster=cluster, look=look, agreement=items(agreement), options=options, backend=backend, workers=workers,
            lender=lender, among=among, progress=run.hook(hook),
        )  # fmt: skip
        run.verdict(found.verdict)
    return found


@checks_keywords
def audit_fleet(
    base: str,
    tuned: str | Path | Sequence[str],
    *,
    out: str | Path,
    harmful: str | None = None,
    benign: str | None = None,
    borderline: str | None = None,
    limit: int | None = 400,
    judges: str | Sequence[str] = (),
    policy: Policy | str | Path | None = None,
    basin: bool = False,
    systems: str | Sequence[str] = ("default",),
    templates: str | Sequence[str] = (),
    cluster: str | None = None,
    options: StudyFlags | None = None,
    backend: str = "local",
    workers: int | None = None,
    progress: Progress = True,
) -> FleetAudited:
    """Decide which of several tuned models of one base may ship, at a level that is kept over all of them.

    `tuned` are the models, or one folder that holds a folder of each; for the others see `safebasin.audit.audit`.

    Raises:
        UsageError: for what can be mended; there is no `fleet.json` then.
    """
    import safebasin.audit as auditing

    models = auditing.find_fleet(Path(tuned)) if isinstance(tuned, str | Path) else texts_of(tuned, "tuned model")
    with shown(progress) as hook:
        return auditing.audit_fleet(
            base, models, out=out, harmful=harmful, benign=benign, borderline=borderline, limit=limit,
            judges=items(judges), policy=policy, basin=basin, systems=items(systems), templates=items(templates),
            cluster=cluster,
            options=options, backend=backend, workers=workers, progress=hook,
        )  # fmt: skip


@checks_keywords
def plan_audit(
    base: str,
    *,
    tuned: str | None = None,
    harmful: str | None = None,
    benign: str | None = None,
    borderline: str | None = None,
    limit: int | None = 400,
    policy: Policy | str | Path | None = None,
    cluster: str | None = None,
    look: str | None = None,
    among: int = 1,
) -> AuditPlan:
    """Tell what an audit would ask, and how likely a harmless tune passes; see `safebasin.audit.plan_audit`.

    `among` is how many models are decided together, as by `audit_fleet`.
    """
    import safebasin.audit as auditing

    return auditing.plan_audit(
        base, tuned=tuned, harmful=harmful, benign=benign, borderline=borderline, limit=limit, policy=policy,
        cluster=cluster, look=look, among=among,
    )  # fmt: skip
