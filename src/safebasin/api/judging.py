"""Judges as such: how they agree, what they say of responses made elsewhere, and what asking them costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safebasin.api.requests import checks_keywords
from safebasin.api.stored import OUT
from safebasin.items import items, path_of, texts_of

if TYPE_CHECKING:
    from safebasin.landscape.agreement import Agreement
    from safebasin.landscape.grades import Graded
    from safebasin.protocols import Cost

__all__ = ["agreement", "estimate_judging", "judge_file", "judging_cost", "read_grades"]


@checks_keywords
def agreement(folder: str | Path, *, judges: Sequence[str] = (), labels: str | Path | None = None) -> Agreement:
    """Compare the judges of a stored study with one another, and with human labels if there are some.

    Confusion, accuracy, Cohen's κ, Krippendorff's α, disagreements by id; with labels, sensitivity, specificity and the
    ASR corrected for them. Reads the folder, writes nothing, asks nobody.

    Args:
        folder: the study.
        judges: names, as stored; all that the study was judged with if empty.
        labels: CSV or JSONL with `id` (that of `export_study`) and `label` (an outcome, or yes and no).

    Raises:
        UsageError: where there are fewer than two judges, or the labels fit no response.
    """
    from safebasin.landscape.agreement import agree

    return agree(path_of(folder), judges=items(judges), labels=None if labels is None else Path(labels))


@checks_keywords
def estimate_judging(
    source: str | Path, judges: Sequence[str] = (), *, out: str | Path | None = None
) -> dict[str, Cost]:
    """Estimate what `judge_study` or `judge_file` would cost at most, by name of those judges that ask; asks nobody.

    Args:
        source: folder of a study, or a table of responses.
        judges: as in the catalogue; the default of the two functions if empty.
        out: of `judge_file`: what stands there is not asked again.

    Raises:
        UsageError: where the source is no study and no such file, or a judge is not known.
    """
    from safebasin.judges import load_judge
    from safebasin.judges.files import DEFAULT_JUDGES, estimate_file
    from safebasin.landscape.stored import StoredStudy
    from safebasin.run.judging import estimate_stored

    loaded, path = [load_judge(text) for text in items(judges)], Path(source)
    if not path.is_dir():
        loaded = loaded or [load_judge(text) for text in DEFAULT_JUDGES]
        return estimate_file(path, loaded, out=None if out is None else path_of(out, "out"))
    with StoredStudy.open(path) as study:
        loaded = loaded or [load_judge(text) for text in study.plan.study.judges]
        return estimate_stored(study.store, study.plan, loaded)


@checks_keywords
def judge_file(
    path: str | Path, judges: Sequence[str] = (), *, out: str | Path | None = None
) -> dict[str, dict[str, int]]:
    """Judge responses that were made elsewhere (JSONL with `prompt` and `response`); counts of labels by judge.

    Args:
        path: the file.
        judges: names, as in a study; `refusal` and `outcome` if empty.
        out: where to write the lines with their verdicts: not the file itself, nor one that safebasin keeps; None
            writes nothing.

    Raises:
        UsageError: where a line does not fit, a judge is not known or cannot ask, or `out` may not be written to.
    """
    from safebasin.judges import files, load_judge
    from safebasin.writing import target_file

    loaded = [load_judge(text) for text in texts_of(judges, "judge") or files.DEFAULT_JUDGES]
    target = None if out is None else target_file(path_of(out, "out"), OUT, reads=[path_of(path, "file")])
    return files.judge_file(path_of(path, "file"), loaded, out=target)


@checks_keywords
def judging_cost(folder: str | Path, judges: Sequence[str]) -> dict[str, Cost]:
    """Read what asking has cost in a study so far, in all sessions, by name of those judges that ask."""
    from safebasin.judges import load_judge
    from safebasin.protocols import AskedJudge
    from safebasin.run.judging import read_cost
    from safebasin.store import folder as folders
    from safebasin.store.db import StudyStore

    loaded = [load_judge(text) for text in items(judges)]
    with StudyStore.open(folders.require(path_of(folder))) as store:
        return {judge.name: read_cost(store, judge) for judge in loaded if isinstance(judge, AskedJudge)}


@checks_keywords
def read_grades(folder: str | Path, judge: str) -> tuple[Graded, ...]:
    """Harmfulness score and rate of a judge that grades at every measured place of a study, the origin first.

    Args:
        folder: the study.
        judge: name of the judge, as stored, e.g. `rubric/qi2023(model=NAME)`.

    Raises:
        UsageError: where it gave no grades here.
    """
    from safebasin.landscape import grades

    return grades.read_grades(path_of(folder), judge)
