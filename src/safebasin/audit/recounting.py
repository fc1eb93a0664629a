"""The verdict of an audit once more, from the rows of its folder alone: no model, no prompt's source, nothing asked.

What the rows cannot give (conditions under an earlier template, labels and clusters that lie in other files, the words
of a verdict) is said to be left out, not taken over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safebasin.audit.basin import compare_maps
from safebasin.audit.evidence import AUTO, CATEGORY, Evidence, cluster
from safebasin.audit.measurement import BothModels, ModelVerdicts
from safebasin.audit.metrics import compare, read_line, with_floors
from safebasin.audit.policy import Policy
from safebasin.audit.records import BasinDrop, Condition
from safebasin.audit.sets import Sets
from safebasin.audit.verdict import dependence, gated, missed, reason
from safebasin.errors import StudyError, expected
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.tables import StudyTables
from safebasin.records import Place, Point
from safebasin.stats.gate import EXIT_CODES, overall
from safebasin.store import folder as folders
from safebasin.store.withholding import is_withheld

__all__ = ["recount"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """The studies of an audit, as their folders were last asked."""

    base: StudyTables
    tuned: StudyTables | None
    """None where TUNED is a point of the line."""
    main: StoredStudy
    basins: tuple[StudyTables, StudyTables] | None


def recount(folder: Path, held: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The parts of a verdict that the rows give, as plain values, and in words those that they do not.

    Args:
        folder: the audit.
        held: its `verdict.json`, for what was asked: policy, conditions, α of the line.

    Raises:
        UsageError: where the folder has no studies, or the document is none.
    """
    with ExitStack() as opened:
        read = _read(folder, opened)
        try:
            return _recounted(read, held)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            said = f"{type(error).__name__}: {error}"
            raise StudyError(expected("verdict.json", "what an audit wrote", said, "Restore the file.")) from error


def _read(folder: Path, opened: ExitStack) -> _Read:
    def study(name: str) -> StoredStudy | None:
        there = (folder / name / folders.DATABASE).is_file()
        return opened.enter_context(StoredStudy.open(folder / name)) if there else None

    main = study("line") or study("base")
    if main is None:
        raise StudyError(expected("audit folder", "one with its studies", str(folder), "Audit again."))
    tuned, basins = study("tuned"), [study("basin-base"), study("basin-tuned")]
    maps = [StudyTables.read(found) for found in basins if found is not None]
    base = StudyTables.read(main)
    is_line = _is_line(main)
    return _Read(
        base=base,
        tuned=None if is_line or tuned is None else StudyTables.read(tuned),
        main=main,
        basins=(maps[0], maps[1]) if len(maps) == 2 else None,
    )


def _is_line(study: StoredStudy) -> bool:
    """Whether the folder was last asked at both models: its line goes from 0 to 1."""
    return [axis.alphas for region in study.plan.regions for axis in region.axes] == [(0.0, 1.0)]


def _recounted(read: _Read, held: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    policy = Policy(
        limits=held["policy"]["limits"], floors=held["policy"]["floors"], source=str(held["policy"]["source"])
    )
    found: dict[str, Any] = {}
    evidence, why = _evidence(read, held["policy"])
    left_out = [] if why is None else [why]
    both = _both(read, str(held["conditions"][-1]["template"]))
    if held["line"] is not None:
        if read.tuned is None:
            line = read_line(_with_line(read, both, held["line"]), identical=bool(held["line"]["identical"]))
            found["line"] = asdict(line)
        else:
            left_out.append("the line, whose plan is not the last one of its folder")
    drops = compare_maps(*read.basins, policy) if held["basin"] is not None and read.basins is not None else None
    if drops is not None:
        found["basin"] = asdict(drops)
    if evidence is not None:
        counted = _conditions(both, held, policy, evidence)
        found["conditions"] = [
            one if anew is None else asdict(anew) for one, anew in zip(held["conditions"], counted, strict=True)
        ]
        made = [one for one in counted if one is not None]
        left_out += [f"{len(counted) - len(made)} conditions, of an earlier template"] * (len(made) < len(counted))
        if len(made) == len(counted):
            found |= _decided(made, drops)
    return found, left_out


def _decided(conditions: Sequence[Condition], drops: BasinDrop | None) -> dict[str, Any]:
    """The decision that these conditions lead to, as `deciding` makes it."""
    metrics, under = gated(conditions, drops.metrics if drops else ()), missed(conditions)
    decision = with_floors(overall(metric.decision for _, metric in metrics if metric.decision is not None), under)
    said = reason(decision, metrics, under)
    return {"decision": decision, "exit_code": EXIT_CODES[decision], "reason": said, "depends": dependence(conditions)}


def _conditions(
    both: BothModels, held: Mapping[str, Any], policy: Policy, evidence: Evidence
) -> list[Condition | None]:
    """Every condition of the document, counted anew; None for one of an earlier template than the last."""
    systems = {system.name: system for system in both.systems}
    return [
        compare(both, systems[one["system"]], policy, evidence)
        if one["template"] == both.template and one["system"] in systems
        else None
        for one in held["conditions"]
    ]


def _evidence(read: _Read, words: Mapping[str, Any]) -> tuple[Evidence | None, str | None]:
    """What the prompts are taken for, or why that cannot be known from here."""
    how, level = words.get("cluster"), float(words["level"])
    if words.get("agreement"):
        return None, f"metrics, which were corrected by the labels in {words['agreement']}"
    if how is None:
        return Evidence(level=level), None
    if how not in (AUTO, CATEGORY) or (how == AUTO and is_withheld(read.main.store)):
        return None, f"metrics, whose prompts were clustered by {how}"
    sets = Sets(prompts={s.name: s.prompts for s in read.base.plan.sets}, notes=())
    return Evidence(level=level, clusters=cluster(how, sets)), None


def _both(read: _Read, template: str) -> BothModels:
    if read.tuned is not None:
        base = ModelVerdicts(study=read.base, point=Point().key)
        return BothModels(template=template, base=base, tuned=ModelVerdicts(study=read.tuned, point=Point().key))
    (region,) = read.base.plan.regions
    ends = [region.point(Place(direction=0, coords=(alpha,))).key for alpha in (0.0, 1.0)]
    base, tuned = (ModelVerdicts(study=read.base, point=key) for key in ends)
    return BothModels(template=template, base=base, tuned=tuned)


def _with_line(read: _Read, both: BothModels, held: Mapping[str, Any]) -> BothModels:
    """The harmful prompts along the line, under the first system prompt."""
    (region,) = read.base.plan.regions
    alphas = tuple(float(alpha) for alpha in held["alphas"])
    region = replace(region, axes=(replace(region.axes[0], alphas=alphas),))
    plan = replace(
        read.base.plan,
        sets=tuple(named for named in read.base.plan.sets if named.name == "harmful"),
        systems=read.base.plan.systems[:1],
        regions=(region,),
    )
    tables = StudyTables.read(StoredStudy(read.main.store, plan, read.main.judges))
    points = (region.point(Place(direction=0, coords=(alpha,))).key for alpha in alphas)
    line = tuple(ModelVerdicts(study=tables, point=key) for key in points)
    return replace(both, line=line, alphas=alphas)
