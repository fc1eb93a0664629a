"""The audit itself: find both models, ask them the same, decide, write `verdict.json` and the page.

What is made of the answers is `deciding`; here it is only which models, prompts and assumptions go into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safebasin import catalog
from safebasin.audit import verdict as verdicts
from safebasin.audit.candidate import Candidate, find_candidate, with_own_files, with_plain_weights
from safebasin.audit.deciding import decide, has_basin
from safebasin.audit.evidence import Evidence, level_of, parse_look, repeats
from safebasin.audit.evidence import cluster as clusters
from safebasin.audit.labelled import parse_agreement
from safebasin.audit.looks import Look, check_look, keep_look, read_looks
from safebasin.audit.measurement import BASE, OWN, AuditRequest, as_shipped
from safebasin.audit.policy import DEFAULT_POLICY, Policy, load_policy
from safebasin.audit.reading import read_verdict
from safebasin.audit.records import AuditVerdict
from safebasin.audit.sets import DEFAULT_SIZE, Sets, choose_sources, look_at
from safebasin.errors import StudyError, expected
from safebasin.items import items, path_of, texts_of
from safebasin.judges import load_judge
from safebasin.models.reference import ResolvedModel, resolve
from safebasin.report.figures.plots import look_of, plot_metrics
from safebasin.report.frames import flattened, frame_of
from safebasin.run.progress import ProgressHook, silent
from safebasin.store import folder as folders
from safebasin.store.sealing import seal
from safebasin.study import StudyFlags, with_flags
from safebasin.writing import KINDS, target_folder, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from safebasin.report.figures.look import Limits

__all__ = ["DEFAULT_JUDGES", "Audited", "audit", "candidate_of", "judges_of", "rewrite_page"]

DEFAULT_JUDGES = ("refusal", "outcome")
PLAIN = "dequantized"
"""Folder of the plain weights of a quantized model."""
SERVED = "served"
"""Folder of links that an adapter with files of its own is served from."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Audited:
    """An audit that came to a verdict, and where everything is."""

    verdict: AuditVerdict
    folder: Path
    report: Path
    """The page."""

    @property
    def path(self) -> Path:
        """`verdict.json`."""
        return self.folder / verdicts.VERDICT

    def to_frame(self) -> DataFrame:
        """The metrics as a frame of pandas, a row a metric under each system prompt and template.

        Raises:
            MissingExtra: where pandas is not installed.
        """
        return frame_of(
            {"system": condition.system, "template": condition.template, **flattened(asdict(metric))}
            for condition in self.verdict.conditions
            for metric in condition.metrics
        )

    def plot(
        self,
        *,
        condition: int = 0,
        ax: Axes | None = None,
        title: str | None = None,
        xlim: Limits | None = None,
        ylim: Limits | None = None,
        size: tuple[float, float] | None = None,
        labels: str = "en",
    ) -> Axes:
        """Draw how much worse the tuned model is by each metric that has a limit; returns the axes.

        Args:
            condition: number of the system prompt and template, from 0.
            ax: axes to draw on; new ones, of a figure that a notebook shows, if None.
            title: in place of the decision.
            xlim: ends of the axis of differences, in points of percent.
            ylim: ends of the axis of metrics, which are numbered from 0.
            size: of the new figure, in inches.
            labels: language, `en` or `de`.
        """
        asked = self.verdict.conditions[condition]
        named = f"{self.verdict.decision}: system {asked.system}, template {asked.template}"
        metrics = [metric for metric in asked.metrics if metric.limit is not None]
        return plot_metrics(metrics, named, ax, size, look_of(title, xlim, ylim, labels))

    def __repr__(self) -> str:
        return f"{self.verdict!r}\nreport: {self.report}"


def audit(
    base: str,
    tuned: str,
    *,
    out: str | Path,
    harmful: str | None = None,
    benign: str | None = None,
    borderline: str | None = None,
    limit: int | None = DEFAULT_SIZE,
    judges: Sequence[str] = (),
    policy: Policy | str | Path | None = None,
    basin: bool = False,
    systems: Sequence[str] = ("default",),
    templates: Sequence[str] = (),
    cluster: str | None = None,
    look: str | None = None,
    agreement: Sequence[str | Path] = (),
    options: StudyFlags | None = None,
    backend: str = "local",
    workers: int | None = None,
    lender: Path | None = None,
    among: int = 1,
    progress: ProgressHook = silent,
) -> Audited:
    """Decide whether a tuned model may ship: not worse than its base by more than the policy's limits.

    Args:
        base: the model before tuning, as for `map`.
        tuned: after: a checkpoint, an adapter's folder (or `adapter:PATH`), or `BASE+ADAPTER`.
        out: folder of the audit, made if needed. The same folder again resumes.
        harmful: source of harmful prompts; a world has its own.
        benign: of benign ones; required as `harmful`, unless the policy has no limit that needs it.
        borderline: of benign ones that look harmful, for over-refusal; taken from `benign` where there are none.
        limit: at most this many prompts of each set; None takes all.
        judges: instead of `refusal`; `outcome` is always among them, and on a world the judge of its truth.
        policy: limits, or a file of them; each 5 points if None.
        basin: also map random directions around both.
        systems: system prompts, as in a study. Each is decided, and all must pass.
        templates: `base` (that of BASE for both), `own` (each its own), or template arguments `K=V[,K=V]`. None given:
            as they would be served, which is `own` where TUNED ships another template, else `base`.
        cluster: `auto` (near-duplicates), `category`, or a file that maps ids or texts of prompts to clusters: each
            cluster counts as one prompt. None takes prompts as independent.
        look: `K/N` where the sample is looked at N times in all, and this is the K-th.
        agreement: labels of the audit's own responses, or the JSON of `agreement` on them: attack success is corrected
            for the mistakes of its judge. A file is of the study in `line` (`base` where there is no line),
            `tuned=FILE` of that in `tuned`; where both are given, they are counted together.
        options: further options of a study, as of `make_study`: `max_new_tokens`, `device`, `gpus_per_worker`, `dtype`,
            `batch_size`, `low_memory`, `defenses`, `template_args`, `trust_remote_code`.
        backend: where engines run, by name: `local`, in this process; `processes`, in several on this machine.
        workers: how many engines, where a backend has several; None is its own choice.
        lender: folder of an audit of the same BASE, whose answers are taken over where the same was asked.
        among: how many models are decided together. Each bound then allows the n-th part of the error (Bonferroni), so
            that the probability that any model at a limit passes stays what it is for one.
        progress: called while the models are asked.

    Raises:
        UsageError: for what can be mended; there is no `verdict.json` then.
    """
    catalog.get("backend", backend)
    (base,), (tuned,) = texts_of([base], "BASE"), texts_of([tuned], "TUNED")
    folder = target_folder(path_of(out, "out"), KINDS["an audit"], what="audit folder")
    verdicts.remove(folder)
    limits = policy if isinstance(policy, Policy) else DEFAULT_POLICY if policy is None else load_policy(Path(policy))
    sources = choose_sources(base, {"harmful": harmful, "benign": benign, "borderline": borderline}, limits)
    names, systems, templates = judges_of(items(judges), base), items(systems), items(templates)
    agreement = items(agreement)
    further = {"limit": limit, **with_flags({}, options or {})}
    study = as_shipped(base, sources, systems=list(systems), judges=list(names), **further)
    _check_basin(limits, basin=basin)
    sets = look_at(sources, study.limit)
    limits.check_categories({prompt.category for prompt in sets.prompts["harmful"] if prompt.category})
    earlier = read_looks(folder)
    labels = parse_agreement(agreement)
    evidence = _evidence(sets, earlier, cluster=cluster or limits.cluster, look=look, agreement=agreement, among=among)
    found = resolve(base)
    with folders.begun(folder, "audit folder", first=(f"{SERVED}/*",)):
        candidate = candidate_of(tuned, found, study.dtype, folder, limits)
        asked = AuditRequest(
            folder=folder, base=base, candidate=candidate, prompts=sources, systems=systems, judges=names,
            options=further, study=study, progress=progress, backend=backend, workers=workers, lender=lender,
        )  # fmt: skip
        chosen = templates or (OWN if candidate.base_template else BASE,)
        made = decide(asked, found, limits, chosen, sets, evidence, labels, basin=basin)
        return _written(folder, made, sets, earlier, look)


def candidate_of(tuned: str, base: ResolvedModel, dtype: str, folder: Path, policy: Policy) -> Candidate:
    """Find out what TUNED is, with the folders that it is measured from."""
    candidate = find_candidate(tuned, base, dtype=dtype)
    if candidate.kind == "quantized":
        candidate = with_plain_weights(candidate, base, folder / PLAIN)
    candidate = with_own_files(candidate, folder / SERVED)
    if policy.needs_basin and not has_basin(candidate):
        what = "policy for a quantized model that cannot be dequantized"
        raise StudyError(expected(what, "without margin and radius", policy.source, "Audit it without these limits."))
    return candidate


def _written(folder: Path, made: AuditVerdict, sets: Sets, earlier: tuple[Look, ...], look: str | None) -> Audited:
    """The verdict in its files, and the look remembered."""
    verdicts.write(folder, made)
    number, of = parse_look(look) or (None, None)
    keep_look(folder, earlier, Look(sample=sets.sample, n=sets.n, decision=made.decision, look=number, of=of))
    page = _page(folder, made)
    seal(folder)
    return Audited(verdict=made, folder=folder, report=page)


def _evidence(
    sets: Sets,
    earlier: tuple[Look, ...],
    *,
    cluster: str | None,
    look: str | None,
    agreement: Sequence[str | Path],
    among: int,
) -> Evidence:
    asked = parse_look(look)
    said = check_look(earlier, sets.sample, asked)
    return Evidence(
        clusters=clusters(cluster, sets),
        level=level_of(asked, among),
        words={
            "cluster": cluster,
            "look": look,
            "agreement": ", ".join(map(str, agreement)) or None,
            "among": None if among == 1 else str(among),
        },
        notes=(*((said,) if said else ()), *(() if cluster else repeats(sets))),
    )


def judges_of(given: Sequence[str], base: str) -> tuple[str, ...]:
    """The judges: what is given, `outcome`, and on a world the one that knows its truth."""
    judges = list(given or DEFAULT_JUDGES)
    if not any(catalog.measures(judge) == "outcome" for judge in judges):
        judges.append("outcome")
    if base.startswith("world:"):
        own = catalog.get("world", base.removeprefix("world:").partition("/")[0]).fact("judge")
        judges += [own] if own else []
    for judge in judges:
        load_judge(judge)  # an unknown one is found before any weights are
    return tuple(dict.fromkeys(judges))


def _check_basin(policy: Policy, *, basin: bool) -> None:
    if policy.needs_basin and not basin:
        raise StudyError(expected("policy", "without margin and radius, unless --basin", policy.source, "Add --basin."))


def rewrite_page(folder: Path) -> Path:
    """Write the page of an audit's folder anew, from its verdict.

    Raises:
        StoreError: where it has none.
    """
    page = _page(folder, read_verdict(folder))
    seal(folder)
    return page


def _page(folder: Path, made: AuditVerdict) -> Path:
    from safebasin.report.audit import render_audit

    path = folder / folders.REPORT
    write_text(path, render_audit(asdict(made)))
    return path
