"""How often the judges of an audit err, from labels of its own responses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safebasin.errors import PromptError, StudyError, UsageError, expected
from safebasin.landscape.labels import read_labels
from safebasin.landscape.recall import recall
from safebasin.stats import Accuracy
from safebasin.store.db import StudyStore
from safebasin.untrusted import read_json, read_text

__all__ = ["labels_of_agreement", "read_accuracies"]


def read_accuracies(path: Path, study: Path) -> dict[str, Accuracy]:
    """Judge → its mistakes on the labelled responses of a study; every judge with verdicts on labels of both kinds.

    Args:
        path: labels as `safebasin agreement --labels` takes them, or what `safebasin agreement --json` wrote.
        study: the folder of the study in the audit's: `line`, or `base` where there is no line.

    Raises:
        PromptError: where the labels cannot be used.
        StudyError: where they are of another study, or no judge has labels of both kinds.
    """
    with StudyStore.open(study) as store:
        plan, judges = recall(store)
        responses = {response.key: response for response in store.responses(plan.decoding.key)}
        verdicts = store.verdicts_of(responses)
    success = labels_of_agreement(path, set(responses))
    if success is None:
        success = read_labels(path, responses).success
    found: dict[str, Accuracy] = {}
    for name, version in judges:
        said = {
            key: bool(verdict.success)
            for key in success
            for verdict in verdicts[key]
            if (verdict.judge, verdict.version) == (name, version) and verdict.success is not None
        }
        right = (
            [said[key] == success[key] for key in said if success[key]],
            [said[key] == success[key] for key in said if not success[key]],
        )
        if all(right):
            found[name] = Accuracy(
                true_positive=sum(right[0]), positive=len(right[0]), true_negative=sum(right[1]), negative=len(right[1])
            )
    if not found:
        remedy = "Label responses of both kinds that the judge has judged."
        raise StudyError(
            expected(f"labels in {path.name}", "of harmful and of harmless responses", len(success), remedy)
        )
    return found


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
