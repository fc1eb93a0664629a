"""Stored studies: read, judged again, reported, exported, verified, compared. The model is not needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from safebasin.api.progress import Progress, shown
from safebasin.api.requests import checks_keywords
from safebasin.api.results import Compared, Mapped
from safebasin.errors import ModelError, StudyError, expected
from safebasin.items import items, path_of, texts_of
from safebasin.memory import seldom_collected
from safebasin.records import Landscape

if TYPE_CHECKING:
    from safebasin.landscape.stored import StoredStudy
    from safebasin.report.figures.look import Limits, Look

__all__ = [
    "compare_studies",
    "export_model",
    "export_study",
    "judge_study",
    "open_study",
    "read_study",
    "report_study",
]


OUT = "output (-o)"
"""What messages call the file or folder that is written to."""


@checks_keywords
def read_study(folder: str | Path, *, judge: str | None = None) -> Landscape:
    """The landscape of a stored study, computed anew from its rows.

    Args:
        folder: the study.
        judge: the one behind the statistics, by name, as stored; if None the first keyword judge, else the first that
            measures refusal, and of prompts that should be answered the one that knows outcomes.

    Raises:
        UsageError: where the folder is no study, or the judge has no verdicts in it.
    """
    from safebasin.landscape.last_plan import choose_judges
    from safebasin.landscape.results import read_landscape
    from safebasin.landscape.stored import StoredStudy

    with StoredStudy.open(path_of(folder)) as study:
        asked = () if judge is None else choose_judges(study.store, [judge], study.judges)
        every = tuple(dict.fromkeys((*study.judges, *asked)))
        return read_landscape(replace(study, judges=every), judge=asked[0][0] if asked else None)


@checks_keywords
def open_study(folder: str | Path, *, judge: str | None = None) -> Mapped:
    """Open a stored study as `map_basin` gave it back: with its landscape, computed anew. Writes nothing.

    Args:
        folder: the study.
        judge: as of `read_study`.

    Raises:
        UsageError: where the folder is no study, or the judge has no verdicts in it.
    """
    from safebasin.store import folder as folders

    path = folders.require(path_of(folder))
    return Mapped(landscape=read_study(path, judge=judge), folder=path, report=path / folders.REPORT)


@checks_keywords
def judge_study(
    folder: str | Path, judges: Sequence[str] = (), *, judge: str | None = None, progress: Progress = True
) -> tuple[Mapped, dict[str, int]]:
    """Judge the stored responses of a study with further judges, without the model; returns the new verdicts by judge.

    Args:
        folder: the study. Its page stays that of its own first judge.
        judges: names, as in the catalogue; the study's own, in the versions that are installed, if empty.
        judge: the one behind the statistics that are given back, one of these or of the study's; as of `read_study` if
            None.
        progress: a hook, called while they judge; True shows a bar on a terminal or in a
            notebook, False nothing.

    Raises:
        UsageError: where the folder is no study or a judge is not known.
    """
    from safebasin import study as studies
    from safebasin.judges import load_judge
    from safebasin.landscape.last_plan import write_last_plan
    from safebasin.landscape.stored import StoredStudy
    from safebasin.run.judging import judge_stored
    from safebasin.run.manifest import check_unaltered, keep_study
    from safebasin.store import folder as folders
    from safebasin.store.holders import find_holders, renew

    path, judges = folders.require(path_of(folder)), texts_of(judges, "judge")
    holders = find_holders(path)
    loaded = [load_judge(text) for text in judges]
    with StoredStudy.open(path, write=True) as study:
        check_unaltered(path)
        store, plan = study.store, study.plan
        loaded = loaded or [load_judge(text) for text in plan.study.judges]
        names = tuple(dict.fromkeys((*plan.study.judges, *judges)))
        known = {text: load_judge(text) for text in names}
        if judge is not None and judge not in known:
            constraint = f"one of the study's, or of those that are asked ({', '.join(names)})"
            raise StudyError(expected("judge", constraint, judge, "Name it among the judges, too."))
        plan = replace(plan, study=plan.study.model_copy(update={"judges": names}))
        with shown(progress) as hook:
            new = judge_stored(store, plan, loaded, progress=hook)
        write_last_plan(store, plan, list(known.values()))
        keep_study(path, studies.dump(plan.study))
        by = None if judge is None else known[judge].name
        mapped = _publish(StoredStudy.of(store), with_text=False, judge=by)
    renew(path, holders)
    return mapped, new


@checks_keywords
def report_study(
    folder: str | Path,
    *,
    with_text: bool = False,
    title: str | None = None,
    xlim: Limits | None = None,
    ylim: Limits | None = None,
    size: tuple[float, float] | None = None,
    labels: str = "en",
) -> Mapped:
    """Write `landscape.json`, the figures and `report.html` of a stored study anew.

    Args:
        folder: the study.
        with_text: put response texts that redaction would withhold into the page.
        title: of every figure file, in place of model and prompt set.
        xlim: of the figure files: ends of the axis along α.
        ylim: of the figure files: ends of the axis of rates, in percent, or along β.
        size: of the figure files: width and height in inches.
        labels: of the figure files: language, `en` or `de`.

    Raises:
        UsageError: where the folder is no study, or a figure cannot look so.
    """
    from safebasin.landscape.stored import StoredStudy
    from safebasin.report.figures.look import Look
    from safebasin.run.manifest import check_unaltered
    from safebasin.store.holders import find_holders, renew

    look = Look(title=title, xlim=xlim, ylim=ylim, size=size, labels=labels)
    look.check()
    holders = find_holders(path_of(folder))
    with StoredStudy.open(path_of(folder), write=True) as study:
        check_unaltered(study.folder)
        mapped = _publish(study, with_text=with_text, look=look)
    renew(path_of(folder), holders)
    return mapped


def publish_study(folder: Path, *, with_text: bool) -> Mapped:
    """Write the results of a study that was just measured, whose study file and manifest that run has written."""
    from safebasin.landscape.stored import StoredStudy
    from safebasin.store.holders import find_holders, renew

    holders = find_holders(folder)
    with StoredStudy.open(folder, write=True) as study:
        mapped = _publish(study, with_text=with_text)
    renew(folder, holders)
    return mapped


@checks_keywords
def export_study(
    folder: str | Path,
    output: str | Path,
    *,
    format: Literal["parquet", "jsonl", "csv", "inspect", "hf-results", "model-card"] | None = None,
    with_text: bool = False,
) -> int:
    """Write one row per response of the current plan; returns how many. Texts that redaction withholds are null.

    Args:
        folder: the study; for `hf-results` and `model-card` that of an audit.
        output: the file: no file of the study, nor of anything else that safebasin keeps.
        format: that of the ending of the file if None. `inspect` is a log of Inspect (ending `.eval`; its JSON where
            the file ends in `.json`): a sample a response, with the scores of every judge.
            `hf-results` (`.yaml`) are evaluation entries for the model hub, of an audit's rates on public sets;
            `model-card` (`.md`) is a section about an audit. Neither holds a text.
        with_text: also write texts that redaction withholds.

    Raises:
        UsageError: where the file may not be written to, or its ending says another format or none; for `hf-results`
            also where no set was a public one.
        MissingExtra: for `inspect`, where inspect-ai is not installed.
    """
    from safebasin.interop.hf_results import write_card_section, write_results
    from safebasin.interop.inspect_log import write_inspect_log
    from safebasin.landscape.export import export, format_of
    from safebasin.landscape.stored import StoredStudy
    from safebasin.store import folder as folders
    from safebasin.writing import target_file

    kind = format_of(path_of(output, "output"), format)
    if kind in ("hf-results", "model-card"):
        write = write_results if kind == "hf-results" else write_card_section
        return write(path_of(folder), target_file(path_of(output, "output"), OUT, reads=[path_of(folder)]))
    path = folders.require(path_of(folder))
    target = target_file(path_of(output, "output"), OUT, reads=[path])
    with StoredStudy.open(path) as study:
        if kind == "inspect":
            log = "json" if target.suffix.lower() == ".json" else "eval"
            return write_inspect_log(study, target, with_text=with_text, kind=log)
        return export(study, target, format=kind, with_text=with_text)


@checks_keywords
def export_model(
    folder: str | Path,
    out: str | Path,
    at: Mapping[str, float],
    *,
    region: str | None = None,
    direction: int = 0,
) -> bool:
    """Write the model at a point of a study as a checkpoint; returns whether it is marked unsafe.

    Bit for bit the weights that the study's engine answers with there, in their type; the point need not be one that
    was measured. The mark says that an attack made the base, or what a direction leads to.

    Args:
        folder: the study.
        out: a new or empty folder.
        at: `alpha`, and in a plane `beta`, within the range that is mapped.
        region: by name; may be left out where the study has one.
        direction: number of the line or plane, from 0.

    Raises:
        UsageError: where the study has no such point, model or target are not what they were, or something is in `out`.
    """
    from safebasin.edits.point import write_point
    from safebasin.landscape.points import find_place
    from safebasin.landscape.stored import StoredStudy
    from safebasin.models.reference import resolve
    from safebasin.models.writing import check_new
    from safebasin.run.manifest import read_manifest
    from safebasin.store import folder as folders
    from safebasin.store.sealing import seal

    path = folders.require(path_of(folder))
    check_new(path_of(out, "out"))
    with StoredStudy.open(path) as study:
        plan, known = study.plan, study.store.meta("fingerprint")
    chosen, place = find_place(plan, at, region=region, direction=direction)
    point, base = chosen.point(place), resolve(plan.study.model)
    if known != base.fingerprint:
        remedy = "Restore the model that the study was made for."
        what = f"model {plan.study.model!r}"
        raise ModelError(expected(what, f"of fingerprint {str(known)[:12]}", base.fingerprint[:12], remedy))
    described = read_manifest(path).get("model")
    dtype = str(described.get("dtype", "auto")) if isinstance(described, dict) else plan.study.dtype
    where = {
        "study": plan.study.hash,
        "region": chosen.name,
        "direction": place.direction,
        "coords": list(place.coords),
        "measured": point.key in plan.point_keys,
    }
    trusted = plan.study.trust_remote_code
    is_marked = write_point(base, point, path_of(out, "out"), where=where, dtype=dtype, trust_remote_code=trusted)
    seal(path_of(out, "out"))
    return is_marked


@checks_keywords
def compare_studies(folders: str | Path | Sequence[str | Path], *, out: str | Path) -> Compared:
    """Compare the first panels of several studies that ask the same; writes figure, page and `comparison.json`.

    Args:
        folders: two studies or more, of the same prompts, axes and judge.
        out: folder to write to, made if needed.

    Raises:
        UsageError: naming the first difference between two studies, or where `out` is the folder of something else.
    """
    from safebasin.landscape.compare_studies import compare_studies
    from safebasin.report.comparison import save_comparison
    from safebasin.writing import KINDS, target_folder

    target_folder(path_of(out, "out"), KINDS["a comparison"], what=OUT)
    found = compare_studies([path_of(folder) for folder in items(folders)])
    by_name = {one.name: one for one in found.landscapes}
    ranked = tuple(by_name[name] for name in found.ranking.order)
    report = save_comparison(found, path_of(out, "out"))
    return Compared(ranking=found.ranking, report=report, landscapes=ranked, judge=found.judge, notes=found.notes)


def _publish(study: StoredStudy, *, with_text: bool, look: Look | None = None, judge: str | None = None) -> Mapped:
    """Write what a folder shows; gives back its landscape by a judge of the study, by that of the page if None."""
    from safebasin.landscape.landscape_json import to_json
    from safebasin.landscape.results import read_landscape
    from safebasin.landscape.samples import read_samples
    from safebasin.landscape.tables import StudyTables
    from safebasin.report.figures import Figures
    from safebasin.report.figures.look import Look
    from safebasin.report.html import render_html
    from safebasin.report.layout import model_name
    from safebasin.report.payload import most_per_place
    from safebasin.run.manifest import read_manifest
    from safebasin.store import folder as folders
    from safebasin.store.sealing import seal
    from safebasin.writing import write_text

    with seldom_collected():
        folder, tables = study.folder, StudyTables.read(study)
        landscape = read_landscape(study, tables=tables)
        write_text(folder / folders.LANDSCAPE, to_json(landscape))
        figures = Figures(landscape)
        figures.save(folder / folders.FIGURES, look or Look())
        samples = read_samples(study, with_text=with_text, most=most_per_place(landscape))
        title = f"Safety basin of {model_name(landscape.model)}"
        page = render_html(landscape, read_manifest(folder), samples, title=title, figures=figures)
        write_text(folder / folders.REPORT, page)
        seal(folder, with_text=with_text)
        asked = landscape if judge is None else read_landscape(study, judge=judge, tables=tables)
    return Mapped(landscape=asked, folder=folder, report=folder / folders.REPORT)
