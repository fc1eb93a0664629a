"""Both models asked the same: the studies behind an audit, and their verdicts as arrays. No comparison here.

A checkpoint or an adapter is one study of BASE, with the line that leads to it: α = 0 is BASE and α = 1 is TUNED, bit
for bit. Everything is asked there; between and beyond the two only what the headroom is read from, the harmful prompts
under the first system prompt. Where anything beside the weights decides its answers (`serving`), and where it cannot
lie on a line, TUNED has a study of its own at its own θ₀, as it would be served; the line of a quantized model leads
to its plain weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from safebasin import study as studies
from safebasin import untrusted
from safebasin.audit.candidate import Candidate
from safebasin.audit.sets import LABELS
from safebasin.errors import ModelError, PromptError, StudyError, UsageError, expected
from safebasin.landscape.notes import COMPUTED, DATE
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.tables import Array, StudyTables, VerdictTable
from safebasin.models.reference import resolve
from safebasin.protocols import Engine, Inside
from safebasin.records import DirectionSpec, Place, Point, System
from safebasin.run.borrowing import borrow_origin
from safebasin.run.continued import settled_dtype
from safebasin.run.execute import measure
from safebasin.run.inputs import gather, load_engine
from safebasin.run.progress import ProgressHook, Tick
from safebasin.store import folder as folders
from safebasin.store.db import StudyStore
from safebasin.study import AxisSpec, RegionSpec, Study, StudyFlags
from safebasin.study.plan import PromptSet
from safebasin.writing import write_text

__all__ = [
    "BASE",
    "IDENTICAL",
    "OWN",
    "AuditRequest",
    "BothModels",
    "ModelVerdicts",
    "as_shipped",
    "computed_in",
    "measure_both",
    "read_distance",
    "take",
]

LINE, SHIPPED = "0:2:5", "0:0:1"
ENDS = IDENTICAL = "0:1:2"
"""The two models alone; between two with the same weights there is nothing else to measure."""
BASE = "base"
"""Template: that of BASE for both."""
OWN = "own"
"""Template: each its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRequest:
    """One audit to be measured: the questions to both models, and the folder of the answers."""

    folder: Path
    base: str
    candidate: Candidate
    prompts: Mapping[str, str]
    """Name of the set → source."""
    systems: tuple[str, ...]
    judges: tuple[str, ...]
    options: Mapping[str, Any]
    """Further keys of a study: `limit`, `decoding`, `device`, `dtype`, …"""
    study: Study
    """The study of BASE at θ₀ alone: `as_shipped`."""
    progress: ProgressHook
    range: str = LINE
    """α of the line from BASE (0) through TUNED (1), as in a study."""
    backend: str = "local"
    """Where engines run, by its name in the catalogue."""
    workers: int | None = None
    """How many engines, where a backend has several; None is its own choice."""
    lender: Path | None = None
    """Folder of an audit that has asked BASE the same already; None asks it anew."""

    def line(self, alphas: str) -> RegionSpec:
        """The line from BASE through TUNED, over a range of α."""
        axis = AxisSpec(kind=self.candidate.axis_kind, target=self.candidate.target, range=alphas)
        return RegionSpec(name="line", axes=(axis,))

    @property
    def direction(self) -> DirectionSpec:
        """The direction of that line."""
        return self.line(self.range).axes[0].specs()[0]

    @property
    def is_here(self) -> bool:
        """True where one engine in this process asks both models, so that one that is loaded is used again."""
        return self.backend == "local" and self.workers in (None, 1)


def as_shipped(base: str, prompts: Mapping[str, str], **keys: Any) -> Study:
    """The study of BASE at θ₀ alone: prompt sets as name → source, and further keys of a study.

    Raises:
        StudyError: where a key is not known or its value does not fit.
    """
    return studies.make(
        {
            "model": base,
            "prompts": [{"name": n, "source": s, "label": LABELS[n]} for n, s in prompts.items()],
            "regions": [{"name": "as shipped", "axes": [{"range": SHIPPED, "directions": 1}]}],
            **keys,
        },
        options=frozenset(StudyFlags.__annotations__) - {"prompts", "label"},  # an audit names its prompts otherwise
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVerdicts:
    """One model's verdicts: a study and the point of it where the model is."""

    study: StudyTables
    point: str

    def success(self, judge: str, system: System, prompts: PromptSet) -> Array:
        """1 success, 0 none, NaN missing; shape (prompts,)."""
        return self._success(self.study.table(judge), system, prompts)

    def held(self, judge: str, labels: Sequence[str], system: System, prompts: PromptSet) -> Array:
        """1 where the label is one of these, 0 where it is another, NaN missing; shape (prompts,)."""
        return self._success(self.study.table(judge).held(labels), system, prompts)

    def labels(self, judge: str, system: System, prompts: PromptSet) -> list[str]:
        """The outcome of each prompt."""
        ids = [prompt.id for prompt in prompts.prompts]
        return [str(label) for label in self.study.table(judge).labels([self.point], system.id, ids)[0]]

    def _success(self, table: VerdictTable, system: System, prompts: PromptSet) -> Array:
        return table.success([self.point], system.id, [prompt.id for prompt in prompts.prompts])[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class BothModels:
    """Both models under one template, every system prompt of the audit."""

    template: str
    base: ModelVerdicts
    tuned: ModelVerdicts
    line: tuple[ModelVerdicts, ...] = ()
    """The points of the line, at `alphas`; none where there is no line. Asked are the harmful prompts, under the first
    system prompt."""
    alphas: tuple[float, ...] = ()
    """Coordinates of the line: 0 is BASE, 1 is TUNED."""

    @property
    def systems(self) -> tuple[System, ...]:
        """The system prompts."""
        return self.base.study.plan.systems

    @property
    def sets(self) -> dict[str, PromptSet]:
        """The prompt sets by name."""
        return {s.name: s for s in self.base.study.plan.sets}


def measure_both(
    asked: AuditRequest, template: str, *, engine: Engine | None = None, with_line: bool = True
) -> BothModels:
    """Measure both models under one template, or take up what is there.

    Args:
        asked: what to ask.
        template: `base`, `own`, or arguments of the chat template, `K=V[,K=V…]`.
        engine: BASE, if it is loaded already and under this template.
        with_line: whether the line beyond the two is measured as well, where there is one.

    Raises:
        UsageError: for what can be mended; everything measured so far stays in the folder.
    """
    study = _with_arguments(asked.study, template)
    has_line = asked.candidate.has_line
    opinions = (_tuned_point(study, asked),) if has_line and asked.range != IDENTICAL else ()
    folder = asked.folder / ("line" if has_line else "base")
    alphas = studies.parse_range(asked.range) if has_line and with_line else ()
    line = _line(take(_harmful_line(study, asked), folder, asked, engine=engine, opinions=opinions)) if alphas else ()
    # Last, so that the folder's own statistics and exports are of everything that was asked of the two.
    if _is_on_line(asked.candidate, template):
        ends = study.model_copy(update={"regions": (asked.line(ENDS),)})
        base, tuned = _line(take(ends, folder, asked, engine=engine, opinions=opinions))
        return BothModels(template=template, base=base, tuned=tuned, line=line, alphas=alphas)
    base = ModelVerdicts(study=take(study, folder, asked, engine=engine, opinions=opinions), point=Point().key)
    arguments = dict(study.template_args)
    if template != OWN and asked.candidate.base_template:
        arguments.setdefault("chat_template", asked.candidate.base_template)
    tuned = asked.study.model_copy(update={"model": asked.candidate.model, "template_args": arguments})
    shipped = ModelVerdicts(study=_as_shipped(tuned, asked), point=Point().key)
    return BothModels(template=template, base=base, tuned=shipped, line=line, alphas=alphas)


def _is_on_line(candidate: Candidate, template: str) -> bool:
    """Whether α = 1 answers as TUNED does under this template: nothing beside the weights decides otherwise."""
    if not candidate.on_line or candidate.otherwise:
        return False
    return template != OWN or not candidate.base_template


def _harmful_line(study: Study, asked: AuditRequest) -> Study:
    """The harmful prompts under the first system prompt, along the whole line."""
    sets = tuple(named for named in study.prompts if named.name == "harmful")
    return study.model_copy(
        update={"prompts": sets, "systems": study.systems[:1], "regions": (asked.line(asked.range),)}
    )


def _line(tables: StudyTables) -> tuple[ModelVerdicts, ...]:
    """The points of a line in ascending order."""
    (region,) = tables.plan.regions
    places = [Place(direction=0, coords=(alpha,)) for alpha in region.axes[0].alphas]
    return tuple(ModelVerdicts(study=tables, point=region.point(place).key) for place in places)


def _tuned_point(study: Study, asked: AuditRequest) -> Point:
    """TUNED on the line of a study: its opinion of a text counts beside that of BASE."""
    (region,) = gather(study.model_copy(update={"regions": (asked.line(ENDS),)})).regions
    return region.point(Place(direction=0, coords=(1.0,)))


def take(
    study: Study,
    folder: Path,
    asked: AuditRequest,
    *,
    engine: Engine | None = None,
    opinions: Sequence[Point] = (),
) -> StudyTables:
    """Measure what a study lacks in its folder, and read all of it.

    Args:
        study: the study.
        folder: its folder.
        asked: the audit that it belongs to.
        engine: its model, if it is loaded already.
        opinions: points beside θ₀ by which a text may be language.
    """
    if asked.lender is not None and folder.name in ("line", "base"):
        for name in ("line", "base"):
            borrow_origin(folder, asked.lender / name, resolve(study.model).fingerprint)
    made = measure(
        study,
        folder,
        engine=engine if asked.is_here else None,
        progress=asked.progress,
        opinions=opinions,
        date=next(iter(_kept(folder.parent, DATE)), None),  # all are asked on the day of the first
        templates=True,
        backend=asked.backend,
        workers=asked.workers,
        beside=_studies_in(folder.parent),
    )
    with StoredStudy.open(made) as stored:
        return StudyTables.read(stored)


def _studies_in(folder: Path) -> list[Path]:
    """The folders of the studies that an audit has begun."""
    return [file.parent for file in sorted(folder.glob(f"*/{folders.DATABASE}"))]


def computed_in(folder: Path) -> list[str]:
    """Read what is to be said of the dtype of an audit's studies, each sentence once."""
    return list(dict.fromkeys(_kept(folder, COMPUTED)))


def _kept(folder: Path, key: str) -> list[str]:
    """What the studies of an audit keep under a key, where they do."""
    found: list[str | None] = []
    for study in _studies_in(folder):
        with StudyStore.open(study) as store:
            found.append(store.meta(key))
    return [text for text in found if text]


def _as_shipped(study: Study, asked: AuditRequest) -> StudyTables:
    try:
        is_packed = asked.candidate.kind == "quantized"
        engine = _packed(study, asked.candidate) if is_packed and asked.is_here else None
        return take(study, asked.folder / "tuned", asked, engine=engine)
    except PromptError as error:
        if not asked.candidate.base_template:
            raise
        said = "So says the chat template of TUNED; --template base asks it under that of BASE."
        raise PromptError(f"{error} {said}") from error
    except ModelError as error:
        if not asked.candidate.difference:
            raise
        remedy = f"It cannot be asked as it ships either: {error}"
        constraint = "on a line from BASE, or able to answer as it ships"
        raise ModelError(expected("TUNED", constraint, asked.candidate.difference, remedy)) from error


def _packed(study: Study, candidate: Candidate) -> Engine:
    """The engine of a quantized model; some kinds of packed tensors do not know what an engine asks of a tensor."""
    try:
        return load_engine(study)
    except NotImplementedError as error:
        why = " ".join(str(error).split())[:160]
        remedy = (
            f"Audit its dequantized weights instead: {candidate.plain}." if candidate.plain else "Audit its original."
        )
        raise ModelError(expected("its packed weights", "ones that an engine can read", why, remedy)) from error


def _with_arguments(study: Study, template: str) -> Study:
    if template in (BASE, OWN):
        return study
    if "=" not in template.split(",")[0]:
        remedy = "E.g. --template enable_thinking=false."
        raise StudyError(expected("--template", "base, own, or K=V[,K=V]", template, remedy))
    arguments = {**study.template_args, **studies.template_arguments(template.split(","), "--template")}
    return study.model_copy(update={"template_args": arguments})


def read_distance(asked: AuditRequest, fingerprint: str) -> tuple[Mapping[str, Any], Engine | None]:
    """Measure how far TUNED is from BASE, once, and kept in the folder; and BASE, if it was loaded for that.

    Args:
        asked: the two.
        fingerprint: of BASE.
    """
    file, key = asked.folder / "distance.json", [fingerprint, asked.candidate.fingerprint]
    from safebasin.weights.distance import Distance, measure_distance
    from safebasin.weights.stream import prepare_one

    with suppress(UsageError):  # what cannot be read is measured anew
        kept = untrusted.read_json(untrusted.read_text(file, file.name), file.name)
        found = kept.get("distance") if isinstance(kept, dict) and kept.get("models") == key else None
        if isinstance(found, dict) and {field.name for field in fields(Distance)} <= found.keys():
            return found, None
    asked.progress(Tick(stage="load", done=0, total=1))
    engine = load_engine(asked.study, settled_dtype(*_studies_in(asked.folder)))
    if not isinstance(engine, Inside):
        constraint = "one whose model is in this process where distances are to be measured"
        raise ModelError(expected("engine", constraint, type(engine).__name__, "Use the engine hf."))
    found = asdict(measure_distance(engine.base, prepare_one(asked.direction, engine.base)))
    write_text(file, json.dumps({"models": key, "distance": found}, indent=1) + "\n")
    return found, engine
