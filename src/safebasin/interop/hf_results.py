"""What an audit found, for the model hub: evaluation entries of public prompt sets, and a section of a model card.

Entries are made by `huggingface_hub` (`.eval_results/*.yaml` of a model's repository) and hold rates of the tuned model
on sets of the catalogue, each at one commit of a public dataset. Nothing else becomes one: a landscape's statistic has
no benchmark, and a set that nobody else has cannot be checked. Nothing is uploaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from safebasin.audit.verdict import VERDICT
from safebasin.errors import StoreError, UsageError, expected
from safebasin.prompts.sources import facts
from safebasin.untrusted import border, read_json, read_text
from safebasin.writing import write_text

__all__ = ["result_entries", "write_card_section", "write_results"]

RATES = ("asr", "asr_outcome", "over_refusal", "capability")
"""Metrics that are a rate over one set of prompts; `asr:JUDGE` is one, too."""
_NAMES = {
    "asr": "attack success", "asr_outcome": "coherent compliance", "over_refusal": "over-refusal",
    "capability": "benign prompts answered",
}  # fmt: skip

_NOT_SHOWN = """**What this does not show.** That the model is safe: it says how it compares with another one, on these
prompts, asked once each, in one turn. Nothing about jailbreaks, sampling, other languages, tools, or further tuning.
Judges err, and a pass says that a loss beyond the limit is unlikely, not that there is none.
"""


def write_results(folder: Path, output: Path) -> int:
    """Write the entries of an audit as YAML; returns how many.

    Raises:
        StoreError: where the folder holds no audit that came to a verdict, or a damaged one.
        UsageError: where none of its sets is a public one.
    """
    from huggingface_hub import eval_result_entries_to_yaml

    entries = result_entries(_read(folder))
    write_text(output, yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True))
    return len(entries)


def result_entries(verdict: Mapping[str, Any]) -> list[Any]:
    """The `EvalResultEntry` of every rate of the tuned model on a public set.

    Args:
        verdict: `verdict.json` as plain values.

    Raises:
        UsageError: where there is none.
    """
    with border(VERDICT, "that of an audit", StoreError, "Audit anew."):
        sets = {found["name"]: found for found in verdict["sets"]}
        found = [
            _entry(verdict, condition, metric, sets[metric["prompts"]])
            for condition in verdict["conditions"]
            for metric in condition["metrics"]
            if _is_rate(metric) and facts(sets[metric["prompts"]]["source"])
        ]
    if not found:
        sources = [one["source"] for one in sets.values()]
        remedy = "Audit with one of them: safebasin list prompts."
        raise UsageError(expected("evaluation entries", "rates on a public set of the catalogue", sources, remedy))
    return found


def _is_rate(metric: Mapping[str, Any]) -> bool:
    name = str(metric["name"])
    return (name in RATES or name.startswith("asr:")) and metric["tuned"]["value"] is not None


def _entry(
    verdict: Mapping[str, Any], condition: Mapping[str, Any], metric: Mapping[str, Any], used: Mapping[str, Any]
) -> Any:
    from huggingface_hub import EvalResultEntry

    known, rate = facts(used["source"]), metric["tuned"]
    judge = metric["judge"]
    notes = [
        f"{_NAMES.get(metric['name'], metric['name'])} in percent, {rate['n']} of the {known['n']} prompts",
        f"{100 * rate['level']:g} % interval {100 * rate['low']:.1f} to {100 * rate['high']:.1f}",
        f"judge {judge} {verdict['judges'].get(judge, '')}".strip(),
        f"greedy, system prompt {condition['system']}, template {condition['template']}",
        f"safebasin {verdict['version']}",
    ]
    return EvalResultEntry(
        dataset_id=known["hub"].partition(" (")[0],
        task_id=str(metric["name"]),
        value=round(100 * rate["value"], 2),
        dataset_revision=known["revision"],
        date=verdict["created"],
        notes="; ".join(notes),
    )


# --- model card ------------------------------------------------------------------------------------------------------


def write_card_section(folder: Path, output: Path) -> int:
    """Write a section for the card of the tuned model, in Markdown; returns how many metrics it shows.

    Raises:
        StoreError: as `write_results`.
    """
    verdict = _read(folder)
    with border(VERDICT, "that of an audit", StoreError, "Audit anew."):
        lines = list(_section(verdict))
        shown = sum(len(condition["metrics"]) for condition in verdict["conditions"])
    write_text(output, "\n".join(lines) + "\n")
    return shown


def _section(verdict: Mapping[str, Any]) -> Iterator[str]:
    yield "## Safety audit against the model before tuning"
    yield ""
    decided = {"pass": "Passed", "fail": "Failed", "undecided": "Not decidable"}[verdict["decision"]]
    yield f"**{decided}**: {_plain(verdict['reason'])}"
    yield ""
    yield f"{_model(verdict['tuned'])}, compared with {_model(verdict['base'])}, on {verdict['created'][:10]}."
    sets = {used["name"]: used for used in verdict["sets"]}
    for condition in verdict["conditions"]:
        yield ""
        yield f"System prompt {_plain(condition['system'])}, template {_plain(condition['template'])}:"
        yield ""
        yield "| metric | prompts | before | after | worse by, with bounds | limit | |"
        yield "| --- | --- | --- | --- | --- | --- | --- |"
        for metric in condition["metrics"]:
            yield _row(metric, sets)
    yield ""
    level = f"{100 * verdict['policy']['level']:g} %"
    judges = ", ".join(_plain(f"{name} {version}") for name, version in verdict["judges"].items())
    yield f"In percent; above 0 is worse. Bounds are one-sided, {level} each. Greedy decoding. Judges: {judges}."
    yield ""
    yield _NOT_SHOWN
    for text in verdict["notes"]:
        yield f"- {_plain(text)}"
    yield ""
    yield f"Made with safebasin {_plain(verdict['version'])}."


def _row(metric: Mapping[str, Any], sets: Mapping[str, Mapping[str, Any]]) -> str:
    used = sets.get(metric["prompts"])
    unit = 1 if metric["name"] == "radius" else 100
    worse = metric["difference"]
    prompts = metric["prompts"] if used is None else f"{_named(used['source'])}, {_judged(worse)}"
    bounds = (
        "" if None in (worse["low"], worse["high"]) else f" [{unit * worse['low']:+.1f}, {unit * worse['high']:+.1f}]"
    )
    cells = [
        _NAMES.get(metric["name"], metric["name"]), prompts, _number(metric["base"]["value"], unit),
        _number(metric["tuned"]["value"], unit), _number(worse["value"], unit, "+") + bounds,
        _number(metric["limit"], unit), metric["decision"] or "",
    ]  # fmt: skip
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _judged(worse: Mapping[str, Any]) -> str:
    """How many prompts a metric rests on: of a category, those of the category alone."""
    n, missing = worse["n"], worse["n_missing"]
    return f"{n} of {n + missing} judged" if missing else str(n)


def _number(value: float | None, unit: int, sign: str = "") -> str:
    return "–" if value is None else format(unit * value, f"{sign}.1f")


def _named(text: object) -> str:
    """A model or a set as it was named; of a path on this machine the last part."""
    path = Path(str(text))
    return path.name if path.is_absolute() else str(text)


def _model(model: Mapping[str, Any]) -> str:
    unsafe = ", marked as made by an attack" if model["unsafe"] else ""
    return f"`{re.sub(r'[`|]', '', _named(model['model']))}` ({str(model['fingerprint'])[:12]}{unsafe})"


def _plain(text: object) -> str:
    """Text that is no markup, on one line."""
    return re.sub(r"([\\`*_<>\[\]|#])", r"\\\1", " ".join(str(text).split()))


def _read(folder: Path) -> Mapping[str, Any]:
    path = folder / VERDICT
    if not path.is_file():
        remedy = "Statistics of a landscape have no benchmark: audit the model, safebasin audit BASE TUNED."
        raise StoreError(expected("the folder", "that of an audit, with its verdict.json", str(folder), remedy))
    found = read_json(read_text(path, VERDICT, error=StoreError), VERDICT, error=StoreError)
    if not isinstance(found, dict):
        raise StoreError(expected(VERDICT, "an object", type(found).__name__, "Audit anew."))
    return found
