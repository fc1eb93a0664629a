"""Many tuned models of one base in one study."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, cast

from safebasin.api.progress import Progress, shown
from safebasin.api.requests import checks_keywords
from safebasin.errors import ModelError, StudyError, UsageError, expected, none_usable
from safebasin.items import items, path_of, texts_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from safebasin.landscape.sweep import Sweep, SweptModel
    from safebasin.report.figures.look import Limits
    from safebasin.study import Study, StudyFlags

__all__ = ["Swept", "sweep_models", "sweep_study"]

_log = logging.getLogger(__name__)

JUDGES = ("refusal", "outcome")
RANGE = "0:1:2"
_OWN = ("axes", "regions", "directions", "seed", "normalize", "noise", "each", "trajectories")
_LESS = ("only", "points", "budget", "fast")
"""What would move a part of a model, or leave α = 1 or some of its prompts out."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Swept:
    """Tuned models that were asked the same, and where everything is."""

    sweep: Sweep
    folder: Path
    """A study: `judge`, `stats`, `export` and `report` work on it."""
    report: Path
    """The page."""

    def to_frame(self) -> DataFrame:
        """The models as a frame of pandas, a row a model under each prompt set and system prompt; rates are fractions.

        Raises:
            MissingExtra: where pandas is not installed.
        """
        from safebasin.landscape.sweep import sweep_document
        from safebasin.report.frames import frame_of, sweep_rows

        return frame_of(sweep_rows(sweep_document(self.sweep)))

    def plot(
        self,
        *,
        table: int = 0,
        ax: Axes | None = None,
        title: str | None = None,
        xlim: Limits | None = None,
        ylim: Limits | None = None,
        size: tuple[float, float] | None = None,
        labels: str = "en",
    ) -> Axes:
        """Draw the rate of each model with its interval, in percent, beside that of the base; returns the axes.

        Of the prompt set and system prompt number `table`, from 0. The other arguments are those of `plot_landscape`.

        Raises:
            UsageError: where there is no such table.
        """
        from safebasin.landscape.sweep import sweep_document
        from safebasin.report.figures.plots import look_of, plot_sweep

        return plot_sweep(sweep_document(self.sweep), table, ax, size, look_of(title, xlim, ylim, labels))

    def __repr__(self) -> str:
        """A screen of it."""
        failed = [f"not in it: {', '.join(list(self.sweep.failed)[:_MOST])}"] if self.sweep.failed else []
        return "\n".join([f"Models tuned from {self.sweep.base}", *self.words(), *failed, f"report: {self.report}"])

    def words(self) -> list[str]:
        """Lines of text: of each table how many models differ from the base, its rate, and those of the first."""
        from safebasin.landscape.sweep import sweep_document
        from safebasin.report.sweep import sweep_words

        lines: list[str] = []
        for counted, table in zip(sweep_words(sweep_document(self.sweep)), self.sweep.tables, strict=True):
            lines += [counted, f"  {'(before tuning)':<24} {table.base.words()}"]
            lines += [_line_of(model) for model in table.models[:_MOST]]
            left = len(table.models) - _MOST
            lines += [f"  … {left} more"] if left > 0 else []
        return lines


_MOST = 8
"""Models of a table that are named with their rates."""


def _line_of(model: SweptModel) -> str:
    told = model.told if model.told == "not told apart" else f"{model.told} than the base"
    return f"  {model.name:<24} {model.rate.words():<24} {told}"


@checks_keywords
def sweep_models(
    base: str,
    tuned: str | Path | Sequence[str],
    *,
    out: str | Path,
    backend: str = "local",
    workers: int | None = None,
    progress: Progress = True,
    **flags: Unpack[StudyFlags],
) -> Swept:
    """Ask many tuned models of one base the same, in one study, and tell which differ from the base.

    Each model is a line from the base on which α = 1 is that model; all share prompts and origin. What cannot lie on
    such a line (another architecture, quantized weights) is named in `failed`.

    Args:
        base: the model before tuning, as in `make_study`.
        tuned: checkpoints or adapters; a `Path` is a folder that holds a folder of each.
        out: folder of the study; the same again resumes or extends it.
        backend: as of `map_basin`.
        workers: as of `map_basin`.
        progress: as of `map_basin`.
        **flags: as of `map_basin`, but for axes, regions and what asks less (`only`, `points`, `budget`, `fast`).
            `range` is that of each line and must hold 1; judges are `refusal` and `outcome` if none is named.

    Raises:
        UsageError: where no model can be compared, or something is wrong with all of them; what was measured stays.
    """
    from safebasin.landscape.stored import StoredStudy
    from safebasin.landscape.sweep import read_sweep, sweep_document
    from safebasin.report.sweep import save_sweep
    from safebasin.run.execute import measure
    from safebasin.store.sealing import seal

    study, failed, notes = _planned(base, tuned, flags)
    for note in notes:
        _log.warning("%s", note)
    with ExitStack() as held:
        with shown(progress) as hook:
            folder = measure(study, path_of(out, "out"), backend=backend, workers=workers, progress=hook, held=held)
        with StoredStudy.open(folder, write=True) as stored:
            found = read_sweep(stored, failed)
            page = save_sweep(sweep_document(found), folder)
            seal(folder)
    return Swept(sweep=found, folder=folder, report=page)


def sweep_study(
    base: str, tuned: str | Path | Sequence[str], **flags: Unpack[StudyFlags]
) -> tuple[Study, dict[str, str]]:
    """The study that a sweep measures, and why models are not in it, by name. Measures nothing.

    Args:
        base: as of `sweep_models`, like the others.
        tuned: the models.
        **flags: of the study.

    Raises:
        UsageError: where no model can be compared.
    """
    study, failed, _ = _planned(base, tuned, flags)
    return study, failed


def _planned(
    base: str, tuned: str | Path | Sequence[str], flags: StudyFlags
) -> tuple[Study, dict[str, str], tuple[str, ...]]:
    """The study, why models are not in it, and what is to be said of those that are."""
    from safebasin.audit.fleet import find_fleet, fleet_names
    from safebasin.prompts.sources import load_prompts

    for source in items(flags.get("prompts") or ()):
        if isinstance(source, str):  # with keys it is a part of a study, which is checked below
            load_prompts(source)  # before weights are read: an empty file is told at once
    (base,) = texts_of([base], "base")
    given = find_fleet(tuned) if isinstance(tuned, Path) else texts_of(tuned, "tuned model")
    models = tuple(dict.fromkeys(given))
    notes = [f"{model} is given {n} times and asked once." for model in models if (n := given.count(model)) > 1]
    names = dict(zip(models, fleet_names(models), strict=True))
    lines, failed, alike = _lines(base, names, flags)
    why = {names[model]: str(problem) for model, problem in failed.items()}
    return _study(base, lines, flags), why, (*notes, *alike)


def _lines(
    base: str, names: dict[str, str], flags: StudyFlags
) -> tuple[list[dict[str, object]], dict[str, UsageError], list[str]]:
    """A region of a study file for each model, why others have none, and which have weights that are there already."""
    from safebasin.audit.candidate import find_candidate
    from safebasin.models.reference import locate_adapter, resolve
    from safebasin.weights.adapters import read_adapter
    from safebasin.weights.layout import load_layout

    found: list[dict[str, object]] = []
    failed: dict[str, UsageError] = {}
    notes: list[str] = []
    resolved = resolve(base)
    seen = {resolved.fingerprint: "the base"}
    for model, name in names.items():
        try:
            candidate = find_candidate(model, resolved, dtype=flags.get("dtype") or "auto")
            if candidate.kind == "adapter":
                read_adapter(locate_adapter(candidate.target), load_layout(resolved))
            if not candidate.on_line:
                remedy = f"({candidate.difference}) `safebasin audit` asks it alone."
                raise ModelError(expected("tuned model", "weights on a line from the base", model, remedy))
        except UsageError as problem:
            failed[model] = problem
            continue
        if candidate.fingerprint in seen:
            notes.append(f"{name} has the same weights as {seen[candidate.fingerprint]}.")
        seen.setdefault(candidate.fingerprint, name)
        axis = {"kind": candidate.axis_kind, "target": candidate.target, "range": flags.get("range") or RANGE}
        found.append({"name": name, "axes": [axis]})
    if not found:
        raise none_usable("tuned models", failed)
    return found, failed, notes


def _study(base: str, lines: list[dict[str, object]], flags: StudyFlags) -> Study:
    from safebasin.api.mapping import make_study

    for key, value in flags.items():
        if key in (*_OWN, *_LESS) and value and value != "grid":
            remedy = f"The lines of a sweep lead to its models{', which are asked whole' if key in _LESS else ''}."
            raise StudyError(expected(key, "left out of a sweep", value, remedy))
    given = {**flags, "regions": lines, "judges": flags.get("judges") or JUDGES}
    given.pop("range", None)
    study = make_study(base, **cast("StudyFlags", given))
    if 1.0 not in study.regions[0].region().axes[0].alphas:
        raise StudyError(expected("range", "one that holds 1, the tuned model", flags.get("range"), "E.g. 0:1:5."))
    return study
