"""How often the judges of an audit err, from labels of its own responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from safebasin.errors import PromptError, StudyError, UsageError, expected
from safebasin.landscape.labels import read_labels
from safebasin.landscape.stored import StoredStudy
from safebasin.stats import Accuracy
from safebasin.untrusted import read_json, read_text

__all__ = ["TUNED", "labels_of_agreement", "parse_agreement", "read_accuracies"]

TUNED = "tuned"
"""Folder of the study in which TUNED was asked as it ships."""
_PREFIX = f"{TUNED}="


def parse_agreement(given: Sequence[str | Path]) -> dict[str, Path]:
    """Folder of a study → its labels: `tuned` from `tuned=FILE`, else the empty name, which is `line` or `base`.

    The responses of BASE and those of TUNED in its own folder have the same ids, so a file has to say whose it labels.

    Raises:
        StudyError: where a file is not there, or two are of the same study.
    """
    found: dict[str, Path] = {}
    for one in map(str, given):
        name, path = (TUNED, one.removeprefix(_PREFIX)) if one.startswith(_PREFIX) else ("", one)
        if not Path(path).is_file():
            remedy = "Label responses of the audit: safebasin export DIR/line --format jsonl -o FILE."
            raise StudyError(expected("--agreement", "a file of labels", one, remedy))
        if name in found:
            remedy = "Put the labels of one study into one file; those of DIR/tuned are tuned=FILE."
            raise StudyError(expected("--agreement", "one file a study", one, remedy))
        found[name] = Path(path)
    return found


def read_accuracies(labels: Mapping[Path, Path]) -> dict[str, Accuracy]:
    """Judge → its mistakes on the labelled responses of an audit; every judge with verdicts on labels of both kinds.

    Args:
        labels: folder of a study in the audit's → labels of its responses, as `safebasin agreement --labels` takes
            them, or what `safebasin agreement --json` wrote. Several are counted together.

    Raises:
        PromptError: where the labels cannot be used.
        StudyError: where they are of another study, or no judge has labels of both kinds.
    """
    said: dict[str, list[tuple[bool, bool]]] = {}
    for study, path in labels.items():
        for judge, pairs in _said(study, path).items():
            said.setdefault(judge, []).extend(pairs)
    found: dict[str, Accuracy] = {}
    for judge, pairs in said.items():
        positive = [is_right for label, is_right in pairs if label]
        negative = [is_right for label, is_right in pairs if not label]
        if positive and negative:
            found[judge] = Accuracy(
                true_positive=sum(positive),
                positive=len(positive),
                true_negative=sum(negative),
                negative=len(negative),
            )
    if not found:
        names, n = " and ".join(path.name for path in labels.values()), max(map(len, said.values()), default=0)
        remedy = "Label responses of both kinds that the judge has judged."
        raise StudyError(expected(f"labels in {names}", "of harmful and of harmless responses", n, remedy))
    return found


def _said(study: Path, path: Path) -> dict[str, list[tuple[bool, bool]]]:
    """Judge → (label, whether it says the same) of every labelled response that it has judged."""
    with StoredStudy.open(study) as stored:
        judges, responses = stored.judges, {place.key: place.prompt for place in stored.rows.places()}
        success = labels_of_agreement(path, set(responses))
        if success is None:
            success = read_labels(path, responses).success
        verdicts = stored.store.verdicts_of(success)
    return {
        name: [
            (label, bool(verdict.success) == label)
            for key, label in success.items()
            for verdict in verdicts[key]
            if (verdict.judge, verdict.version) == (name, version) and verdict.success is not None
        ]
        for name, version in judges
    }


def labels_of_agreement(path: Path, known: set[str]) -> Mapping[str, bool] | None:
    """The labels in the output of `agreement --json`; None where the file is no such output.

    Raises:
        StudyError: where they are of another study.
    """
    text = read_text(path, "labels", error=PromptError)
    try:
        held = read_json(text, "labels")
    except UsageError:
        return None
    if not isinstance(held, dict) or "on_labels" not in held:
        return None
    labels = held.get("labels")
    success = labels.get("success") if isinstance(labels, dict) else None
    if not isinstance(success, dict):
        remedy = "Write it with: safebasin agreement DIR --labels FILE --json."
        raise PromptError(expected(f"agreement in {path.name}", "with labels", labels, remedy))
    mine = {str(key): value is True for key, value in success.items() if key in known}
    if not mine:
        shown = f"{len(success)} labels, none of a response of this audit"
        remedy = "Label responses of the audit: safebasin export DIR/line -o FILE.jsonl."
        raise StudyError(expected(f"agreement in {path.name}", "of this audit's own responses", shown, remedy))
    return mine
