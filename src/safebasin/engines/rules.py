"""The rules that a decoding names, through the catalogue: engines do not know judges."""

from __future__ import annotations

from safebasin import catalog
from safebasin.errors import UnknownName, expected
from safebasin.protocols import RuleJudge
from safebasin.records import Decoding

__all__ = ["stop_rules"]


def stop_rules(decoding: Decoding) -> tuple[RuleJudge, ...]:
    """The judges of `Decoding.rules`, in order; none where rows run to their end.

    Raises:
        UnknownName: where a rule is no judge of the catalogue that has one, or is another version of it.
    """
    return tuple(_rule(text) for text in decoding.rules) if decoding.stop != "none" else ()


def _rule(text: str) -> RuleJudge:
    name, _, version = text.rpartition("@")
    judge = catalog.create("judge", name)
    if isinstance(judge, RuleJudge) and judge.rule != text:
        judge = _earlier(name, version) or judge
    if not isinstance(judge, RuleJudge) or judge.rule != text:
        found = judge.rule if isinstance(judge, RuleJudge) else repr(judge)
        remedy = "Use the version of safebasin that the study was made with, or another folder."
        raise UnknownName(expected("stop rule of a decoding", repr(text), found, remedy))
    return judge


def _earlier(name: str, version: str) -> object:
    """Look for the judge in an earlier version; None where it has none such."""
    try:
        return catalog.create("judge", f"{name}(version={version})")
    except UnknownName:
        return None
