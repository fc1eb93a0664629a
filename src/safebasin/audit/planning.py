"""What an audit would ask, and how likely a harmless tune is to pass it, before any model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from safebasin.audit.evidence import AUTO, level_of, parse_look
from safebasin.audit.evidence import cluster as clusters
from safebasin.audit.policy import DEFAULT_POLICY, Policy, load_policy
from safebasin.audit.sets import DEFAULT_SIZE, choose_sources, look_at
from safebasin.errors import UnseenModel
from safebasin.items import texts_of
from safebasin.models.reference import locate_adapter, resolve
from safebasin.stats.planning import CHURNS, SIZES, passes_all

__all__ = ["AuditPlan", "PlannedSet", "plan_audit"]

_SET_OF = {"asr": "harmful", "asr_outcome": "harmful", "capability": "benign"}
_LARGER = (800, 1600)
"""Further sizes: sets that hold 5 % of changes each way to a limit of 5 points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSet:
    """One set of prompts."""

    name: str
    source: str
    n: int
    repeated: int
    """Prompts that nearly repeat another."""
    clusters: int | None
    """As how many they count; None where each counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPlan:
    """The prompts and points of an audit that has not begun, and how likely a harmless tune passes."""

    sets: tuple[PlannedSet, ...]
    level: float
    """Of each bound, one-sided: higher at a look, and for each of several models that are decided together."""
    chances: Mapping[float, float]
    """Share of prompts that change each way → the probability that all limits of rates pass, by `passes_all`."""
    by_size: Mapping[int, Mapping[float, float]]
    """Independent prompts in each set → the same, for sizes beyond those at hand: what size would decide."""
    notes: tuple[str, ...]


def plan_audit(
    base: str,
    *,
    tuned: str | None = None,
    harmful: str | None = None,
    benign: str | None = None,
    borderline: str | None = None,
    limit: int | None = DEFAULT_SIZE,
    policy: Policy | str | Path | None = None,
    cluster: str | None = None,
    look: str | None = None,
    among: int = 1,
) -> AuditPlan:
    """Plan an audit; the options are those of `audit`. No model is loaded, and one of the hub need not be here.

    Raises:
        UsageError: where a model is not there, or a set, the policy or the look cannot be used.
    """
    for model in filter(None, (base, tuned)):
        _check_there(model)
    limits = policy if isinstance(policy, Policy) else DEFAULT_POLICY if policy is None else load_policy(Path(policy))
    sources = choose_sources(base, {"harmful": harmful, "benign": benign, "borderline": borderline}, limits)
    sets = look_at(sources, limit)
    chosen = clusters(cluster or limits.cluster, sets)
    near = clusters(AUTO, sets) or {}
    planned: dict[str, PlannedSet] = {}
    for name, prompts in sets.prompts.items():
        _, sizes = np.unique(list(near[name].values()), return_counts=True)
        planned[name] = PlannedSet(
            name=name,
            source=sources[name],
            n=len(prompts),
            repeated=int(sizes[sizes > 1].sum()),
            clusters=None if chosen is None else len(set(chosen[name].values())),
        )
    careful = "borderline" if "borderline" in planned else "benign"
    asked = {m: planned[s] for m in limits.limits if (s := _SET_OF.get(m, careful if m == "over_refusal" else ""))}
    level = level_of(parse_look(look), among)
    sizes, margins = [s.clusters or s.n for s in asked.values()], [limits.limits[m] for m in asked]
    chances = {churn: passes_all(sizes, churn, limits=margins, level=level) for churn in CHURNS}
    by_size = {
        n: {churn: passes_all([n] * len(margins), churn, limits=margins, level=level) for churn in CHURNS}
        for n in (*SIZES, *_LARGER)
        if n > min(sizes, default=0)
    }
    return AuditPlan(sets=tuple(planned.values()), level=level, chances=chances, by_size=by_size, notes=sets.notes)


def _check_there(model: str) -> None:
    """A folder or a checkpoint of a world must be there; what can only be known by downloading it is left open."""
    (model,) = texts_of([model], "model")
    path = model.removeprefix("adapter:")
    is_adapter = model != path or (Path(path) / "adapter_config.json").is_file()
    with suppress(UnseenModel):
        _ = locate_adapter(path) if is_adapter else resolve(path, needs_tokenizer=False)
