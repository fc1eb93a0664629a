"""What a pipeline shows of an audit or a fleet: its rules one by one, as JUnit XML and as Markdown. No model's text.

Pure functions of `verdict.json` or `fleet.json`. A rule is what the policy limits, or a floor. Not the exit code: that
is the gate, and the last case of each model, `verdict`, says the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from safebasin.report.audit import FLOORS, METRICS, WORDS
from safebasin.report.fleet import as_before, counts, most_urgent_first
from safebasin.report.sanitize import visible

__all__ = ["Rule", "render_junit", "render_summary", "rules"]

VERDICT = "verdict"
_NOT_XML = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold, escaped or not."""
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~@:./-])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the policy, as it was decided for one model under one condition."""

    model: str
    condition: str
    """Empty where there is nothing to tell apart."""
    name: str
    decision: str | None
    """`pass`, `fail` or `undecided`; None where the model could not be measured."""
    said: str
    """In a sentence, with the numbers."""


def rules(document: Mapping[str, Any]) -> tuple[Rule, ...]:
    """List the rules of a document, those of a model together, its verdict last.

    Args:
        document: `verdict.json` or `fleet.json` as plain values. Of a fleet the models that fail come first.
    """
    return tuple(_of_fleet(document) if "models" in document else _of_audit(document))


def _of_audit(document: Mapping[str, Any]) -> Iterator[Rule]:
    model = document["tuned"]["model"]
    for condition in document["conditions"]:
        name = f"system prompt {condition['system']}, template {condition['template']}"
        yield from _limits(model, name, condition["metrics"])
        for floor in condition["floors"]:
            yield _floor(model, name, floor, floor["share"]["low"])
    if document["basin"] is not None:
        yield from _limits(model, "basin", document["basin"]["metrics"])
    yield Rule(model=model, condition="", name=VERDICT, decision=document["decision"], said=document["reason"])


def _limits(model: str, condition: str, metrics: list[Mapping[str, Any]]) -> Iterator[Rule]:
    for metric in metrics:
        if metric["limit"] is not None:
            difference = metric["difference"]
            bounds = difference["low"], difference["high"]
            said = _compared(metric["name"], metric["decision"], difference["value"], bounds, metric["limit"])
            yield Rule(model=model, condition=condition, name=metric["name"], decision=metric["decision"], said=said)


def _floor(model: str, condition: str, floor: Mapping[str, Any], least: float | None) -> Rule:
    low = "–" if least is None else f"{100 * least:.1f} %"
    said = f"{FLOORS.get(floor['name'], floor['name'])}: at least {low}, floor {100 * floor['floor']:g} %"
    decision = "pass" if floor["met"] else "undecided"
    return Rule(model=model, condition=condition, name=floor["name"], decision=decision, said=said)


def _of_fleet(document: Mapping[str, Any]) -> Iterator[Rule]:
    """Metrics and floors are those of the first condition; folders of earlier releases have no floor and no `low`."""
    for model in most_urgent_first(document["models"]):
        for metric in model["metrics"]:
            bounds = metric.get("low"), metric["bound"]
            said = _compared(metric["name"], metric["decision"], metric["difference"], bounds, metric.get("limit"))
            yield Rule(model=model["name"], condition="", name=metric["name"], decision=metric["decision"], said=said)
        for floor in model.get("floors", ()):
            yield _floor(model["name"], "", floor, floor["low"])
        decision, reason = model["decision"], model["reason"]
        yield Rule(model=model["name"], condition="", name=VERDICT, decision=decision, said=reason)


def _compared(
    name: str,
    decision: str | None,
    value: float | None,
    bounds: tuple[float | None, float | None],
    limit: float | None,
) -> str:
    """The difference with the bound that decides: the lower of what fails, the upper of what does not pass or does."""
    unit, sign = (1, "") if name == "radius" else (100, " points")
    worse, least, most = ("–" if x is None else f"{unit * x:+.1f}{sign}" for x in (value, *bounds))
    bound = f"at least {least}" if decision == "fail" and bounds[0] is not None else f"at most {most}"
    allowed = "" if limit is None else f", limit {unit * limit:g}{sign}"
    return f"{METRICS.get(name, (name, ''))[0]} worse by {worse}, {bound}{allowed}"


def render_junit(document: Mapping[str, Any]) -> str:
    """JUnit XML: a suite a model and condition, a case a rule.

    A rule that fails is a failure, one that cannot be decided is skipped, a model that could not be measured an error.
    """
    root = ElementTree.Element("testsuites", name="safebasin audit")
    grouped: dict[tuple[str, str], list[Rule]] = {}
    for rule in rules(document):
        grouped.setdefault((rule.model, rule.condition), []).append(rule)
    for (model, condition), its in grouped.items():
        name = _xml(f"{model}, {condition}" if condition else model)
        suite = ElementTree.SubElement(root, "testsuite", name=name, timestamp=document["created"][:19])
        for rule in its:
            _case(suite, rule)
        _count(suite)
    _count(root)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


_TAGS = {"fail": "failure", "undecided": "skipped", None: "error"}


def _case(suite: ElementTree.Element, rule: Rule) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname="safebasin.audit", name=_xml(rule.name), time="0")
    if rule.decision in _TAGS:
        ElementTree.SubElement(case, _TAGS[rule.decision], message=_xml(rule.said))
    else:
        ElementTree.SubElement(case, "system-out").text = _xml(rule.said)


def _count(element: ElementTree.Element) -> None:
    for key, tag in {"tests": "testcase", "failures": "failure", "skipped": "skipped", "errors": "error"}.items():
        element.set(key, str(len(list(element.iter(tag)))))


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", visible(text))


def render_summary(document: Mapping[str, Any]) -> str:
    """The decision and its rules as Markdown, for the summary of a job; names that others chose are text."""
    found = rules(document)
    lines = [f"## safebasin: {_word(document['decision'])}", "", _text(document.get("reason") or counts(document)), ""]
    several = len({(rule.model, rule.condition) for rule in found}) > 2
    lines += ["| model | rule | decision | found |", "| --- | --- | --- | --- |"]
    said = as_before([(rule.model, rule.said if rule.name == VERDICT else "") for rule in found])
    for rule, verdict in zip(found, said, strict=True):
        where = f"{rule.model}, {rule.condition}" if several and rule.condition else rule.model
        words = _text(verdict or rule.said)
        lines.append(f"| {_text(where)} | {_text(rule.name)} | {_word(rule.decision)} | {words} |")
    level = document["level"] if "level" in document else document["policy"]["level"]
    lines += ["", f"Bounds are one-sided, {100 * level:.4g} % each. A pass is of these prompts and judges alone."]
    return "\n".join(lines) + "\n"


def _word(decision: str | None) -> str:
    return WORDS[decision] if decision else "Not measured"


def _text(text: str) -> str:
    """Text that Markdown shows as it is: no link, mark-up, mention or line of its own."""
    one_line = " ".join(visible(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", one_line)
