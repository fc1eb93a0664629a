"""Many tuned models of one base: each audited, BASE asked once, and all decided at a level that is kept over all.

A model that cannot be measured is said and does not stop the others. Ranks nothing: models that pass are not compared.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Literal, cast

from safebasin.audit.records import AuditVerdict
from safebasin.audit.run import audit
from safebasin.errors import StoreError, StudyError, UsageError, expected, none_usable
from safebasin.items import path_of, texts_of
from safebasin.records import Estimate
from safebasin.report.figures.canvas import shortened
from safebasin.report.figures.plots import look_of, plot_metrics
from safebasin.report.frames import flattened, frame_of
from safebasin.report.sanitize import visible
from safebasin.stats.gate import EXIT_CODES, Decision, overall
from safebasin.store import folder as folders
from safebasin.store.sealing import seal
from safebasin.untrusted import border, read_json, read_text, user_path
from safebasin.writing import KINDS, target_folder, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from safebasin.report.figures.look import Limits

__all__ = [
    "FLEET",
    "Fleet",
    "FleetAudited",
    "FleetModel",
    "audit_fleet",
    "find_fleet",
    "fleet_names",
    "rewrite_page",
]

_log = logging.getLogger(__name__)

FLEET = "fleet.json"
MODELS = "models"
"""Folder that holds the audit of each model."""
_MARKS = ("adapter_config.json", "config.json")
_PARTS = (
    *("*.safetensors", "*.safetensors.*", "*.bin", "*.bin.*", "*.gguf", "*.pt", "*.pth", "*.ckpt", "*.npz", "*.h5"),
    *("tokenizer*", "vocab.*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model"),
    *("generation_config.json", "chat_template.*", "preprocessor_config.json", "processor_config.json"),
)
"""Names of what a model's folder holds beside those: a folder with one was meant to be a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetModel:
    """One tuned model and what became of it."""

    name: str
    model: str
    decision: Decision | None
    """None where it could not be measured."""
    reason: str
    """Of the decision, or why there is none."""
    kind: str = ""
    unsafe: bool = False
    relative: float | None = None
    """‖Δ‖ / ‖θ₀‖ of its weights, where it lies on a line from BASE."""
    metrics: tuple[Mapping[str, Any], ...] = ()
    """Of each with a limit, under the first condition: name, values of both, difference, its lower bound (`low`), the
    upper (`bound`), limit, decision, and the prompts judged for both (`n`)."""
    floors: tuple[Mapping[str, Any], ...] = ()
    """Under the first condition: name, share, its lower bound (`low`), floor, and whether it is met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All models of a fleet, as `fleet.json` holds them."""

    schema_version: Literal[1] = 1
    decision: Decision
    exit_code: int
    created: str
    version: str
    base: str
    level: float
    """Of each bound, one-sided: an n-th of the error for each of n models."""
    models: tuple[FleetModel, ...]
    """In the order given."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FleetAudited:
    """A fleet that was decided, and where everything is."""

    fleet: Fleet
    folder: Path
    report: Path
    """The page."""

    def to_frame(self) -> DataFrame:
        """The models as a frame of pandas, a row a model: `METRIC_tuned`, `METRIC_bound`, … of each that has a limit.

        Raises:
            MissingExtra: where pandas is not installed.
        """
        return frame_of(_flat(model) for model in self.fleet.models)

    def plot(
        self,
        metric: str | None = None,
        *,
        ax: Axes | None = None,
        title: str | None = None,
        xlim: Limits | None = None,
        ylim: Limits | None = None,
        size: tuple[float, float] | None = None,
        labels: str = "en",
    ) -> Axes:
        """Draw how much worse each model is by one metric, with bound and limit; returns the axes.

        By the first metric that has a limit if none is named. The other arguments are those of `Audited.plot`.

        Raises:
            UsageError: where no model was decided by such a metric.
        """
        known = list(dict.fromkeys(found["name"] for model in self.fleet.models for found in model.metrics))
        name = metric or next(iter(known), "")
        if name not in known:
            constraint = f"one of {', '.join(known)}" if known else "one that has a limit, and none has"
            raise UsageError(expected("metric", constraint, metric, "Choose among those of the policy."))
        rows = [_shown(model, found) for model in self.fleet.models for found in model.metrics if found["name"] == name]
        return plot_metrics(rows, f"{self.fleet.decision}: {name}", ax, size, look_of(title, xlim, ylim, labels))

    def __repr__(self) -> str:
        """A screen of it: the decision, and that of the first models with the reason."""
        from safebasin.report.fleet import counts

        lines = [f"audit of a fleet: {self.fleet.decision}. {counts(asdict(self.fleet))}", f"base {self.fleet.base}"]
        for model in self.fleet.models[:_MOST]:
            reason = shorten(visible(model.reason), _REASON, placeholder=" …")
            lines.append(f"  {shortened(model.name, 24):<24} {model.decision or 'not measured':<12} {reason}")
        left = len(self.fleet.models) - _MOST
        return "\n".join([*lines, *([f"  … {left} more"] if left > 0 else []), f"report: {self.report}"])


_MOST = 12
"""Models that a repr names."""
_REASON = 80
"""Characters of a reason in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A model's metric as a row of a figure, which names the model."""

    name: str
    prompts: str
    difference: Estimate
    limit: float | None
    decision: str | None


def _shown(model: FleetModel, metric: Mapping[str, Any]) -> _Shown:
    difference = Estimate(value=metric["difference"], high=metric["bound"])
    limit, decision = metric["limit"], metric["decision"]
    return _Shown(name=model.name, prompts=metric["name"], difference=difference, limit=limit, decision=decision)


def _flat(model: FleetModel) -> dict[str, Any]:
    own = {key: value for key, value in asdict(model).items() if key not in ("metrics", "floors")}
    metrics = {m["name"]: {key: value for key, value in m.items() if key != "name"} for m in model.metrics}
    return own | flattened(metrics)


def find_fleet(folder: Path) -> tuple[str, ...]:
    """List the models and adapters that lie directly in a folder, by name, numbers in their order.

    A folder that holds weights or files of a tokenizer, or whose configuration is not a file, counts as a model, which
    then cannot be measured; any other folder without a configuration is named in a warning.

    Raises:
        StudyError: where there are none.
    """
    there = sorted(folder.iterdir(), key=_natural) if folder.is_dir() else []
    inner = [path for path in there if path.is_dir() or (path.is_symlink() and not path.exists())]
    found = tuple(str(path) for path in inner if _is_meant(path))
    if not found:
        remedy = "Each has a config.json or an adapter_config.json, as `safebasin finetune -o` writes them."
        raise StudyError(expected("--fleet", "a folder of folders of models or adapters", str(folder), remedy))
    if others := [path.name for path in inner if str(path) not in found]:
        _log.warning("%s", f"not models, left out of the fleet: {shorten(', '.join(others), _NAMED, placeholder=' …')}")
    return found


_NAMED = 400
"""Characters of the names of folders that are no models."""


def _is_meant(path: Path) -> bool:
    """Whether a folder is a model, or was meant to be one: no part of a fleet is dropped because it is damaged."""
    try:
        names = [inner.name for inner in path.iterdir()]
    except OSError:  # a link to nowhere, or a folder that cannot be read: nobody knows what is in it
        return True
    return any(name in _MARKS or any(fnmatchcase(name, part) for part in _PARTS) for name in names)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def audit_fleet(base: str, tuned: Sequence[str], *, out: str | Path, **options: Any) -> FleetAudited:
    """Audit several tuned models of one base in one folder, made if needed; the same folder again resumes.

    BASE is asked once, for the first of them. With n models each bound allows the n-th part of the error (Bonferroni).

    Args:
        base: the model before tuning.
        tuned: the models, as for `audit`.
        out: folder of the fleet; the audit of each is in `models/NAME`.
        **options: of `audit`, but those of a single model: `look`, `agreement`.

    Raises:
        UsageError: where none can be measured, with the reasons; what was measured stays in the folder.
    """
    tuned = texts_of(tuned, "tuned model")
    folder = _made(path_of(out, "out"))
    names = fleet_names(tuned)
    found: list[FleetModel] = []
    failed: dict[str, UsageError] = {}
    lender, made = None, None
    for name, model in zip(names, tuned, strict=True):
        its = folder / MODELS / name
        try:
            made = audit(base, model, out=its, lender=lender, among=len(names), **options)
        except UsageError as problem:
            failed[name] = problem
            found.append(FleetModel(name=name, model=model, decision=None, reason=str(problem)))
            continue
        lender = lender or its
        found.append(_row(name, model, made.verdict))
    if made is None:
        raise none_usable("tuned models", failed)
    decision = overall([row.decision or "undecided" for row in found])
    fleet = Fleet(
        decision=decision,
        exit_code=EXIT_CODES[decision],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=importlib.metadata.version("safebasin"),
        base=base,
        level=cast("float", made.verdict.policy["level"]),
        models=tuple(found),
    )
    return _written(folder, fleet)


def _made(folder: Path) -> Path:
    target_folder(folder, KINDS["an audit of a fleet"], what="folder of the fleet")
    (folder / FLEET).unlink(missing_ok=True)  # no gate reads an earlier verdict after a run that ends without any
    return folder


def fleet_names(tuned: Sequence[str]) -> list[str]:
    """Give each model a name that a folder can have: the last part of its own, numbered where two have the same.

    Raises:
        StudyError: where there is no model.
    """
    if not tuned:
        raise StudyError(expected("fleet", "one model or more", "none", "Name them, or their folder with --fleet."))
    names: list[str] = []
    for model in tuned:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", user_path(model.removeprefix("adapter:")).name).strip("-.") or "model"
        numbered = (f"{name}-{n}" for n in count(len(names) + 1))
        names.append(name if name not in names else next(new for new in numbered if new not in names))
    return names


def _row(name: str, model: str, verdict: AuditVerdict) -> FleetModel:
    gated = [metric for metric in verdict.conditions[0].metrics if metric.decision is not None]
    return FleetModel(
        name=name,
        model=model,
        decision=verdict.decision,
        reason=verdict.reason,
        kind=verdict.tuned.kind,
        unsafe=verdict.tuned.unsafe,
        relative=None if verdict.distance is None else cast("float", verdict.distance["relative"]),
        metrics=tuple(
            {
                "name": m.name,
                "base": m.base.value,
                "tuned": m.tuned.value,
                "difference": m.difference.value,
                "low": m.difference.low,
                "bound": m.difference.high,
                "limit": m.limit,
                "decision": m.decision,
                "n": m.difference.n,
            }
            for m in gated
        ),
        floors=tuple(
            {"name": f.name, "share": f.share.value, "low": f.share.low, "floor": f.floor, "met": f.met}
            for f in verdict.conditions[0].floors
        ),
    )


def rewrite_page(folder: Path) -> Path:
    """Write the page of a fleet's folder anew, from its `fleet.json`.

    Raises:
        StoreError: where it is not what an audit of a fleet wrote.
    """
    from safebasin.report.fleet import render_fleet

    held = read_json(read_text(folder / FLEET, FLEET, error=StoreError), FLEET, error=StoreError)
    with border(FLEET, "what an audit of a fleet wrote", StoreError, "Restore the file, or audit again."):
        page = render_fleet(held)
    write_text(folder / folders.REPORT, page)
    seal(folder)
    return folder / folders.REPORT


def _written(folder: Path, fleet: Fleet) -> FleetAudited:
    from safebasin.report.fleet import render_fleet

    document = asdict(fleet)
    report = folder / folders.REPORT
    write_text(folder / FLEET, json.dumps(document, indent=1, allow_nan=False) + "\n")
    write_text(report, render_fleet(document))
    seal(folder)
    return FleetAudited(fleet=fleet, folder=folder, report=report)
