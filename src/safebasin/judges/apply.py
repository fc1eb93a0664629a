"""Applying a judge to stored responses, and the one rule about texts that a stop rule has cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from safebasin.judges.phrases import find_first
from safebasin.protocols import AskedJudge, Judge, RuleJudge, WordingJudge
from safebasin.records import Opinion, Prompt, Response, Score, Verdict, Wording


def judge_all(
    judge: Judge, prompts: Mapping[str, Prompt], responses: Iterable[Response], scores: Mapping[str, Score]
) -> Iterator[Verdict]:
    """Judge responses, in any order; a judge that asks another model is asked about many at once.

    Args:
        judge: the judge.
        prompts: by `Prompt.id`.
        responses: what to judge.
        scores: by `Response.key`; a response may have none.

    Raises:
        UsageError: where a judge that asks cannot ask (`protocols.AskedJudge.judge_many`).
    """
    if isinstance(judge, AskedJudge):
        yield from _ask_all(judge, prompts, responses, scores)
        return
    for response in responses:
        if is_undecidable(judge, response):
            yield _cut(judge, response)
        else:
            yield judge.judge(prompts[response.prompt], response, scores.get(response.key))


def _ask_all(
    judge: AskedJudge, prompts: Mapping[str, Prompt], responses: Iterable[Response], scores: Mapping[str, Score]
) -> Iterator[Verdict]:
    """Those that it is asked about first, then those that were cut; what the judge left out is left out."""
    cut: list[Verdict] = []

    def asked() -> Iterator[tuple[Prompt, Response, Score | None]]:
        for response in responses:
            if is_undecidable(judge, response):
                cut.append(_cut(judge, response))
            else:
                yield prompts[response.prompt], response, scores.get(response.key)

    yield from judge.judge_many(asked())
    yield from cut


def _cut(judge: Judge, response: Response) -> Verdict:
    label, success, reason = _CUT
    return Verdict(
        response=response.key, judge=judge.name, version=judge.version, label=label, success=success, reason=reason
    )


_CUT = Opinion("unscored", success=None, reason="cut")


def judge_wordings(judge: WordingJudge, wordings: Sequence[Wording]) -> list[Opinion]:
    """Judge wordings, equal ones once; in their order.

    Args:
        judge: the judge.
        wordings: what to judge.
    """
    found: dict[Wording, Opinion] = {}
    for wording in dict.fromkeys(wordings):
        found[wording] = _CUT if is_undecidable(judge, wording) else judge.judge_wording(wording)
    return [found[wording] for wording in wordings]


def is_undecidable(judge: Judge, response: Response | Wording) -> bool:
    """Tell whether a stop rule cut the text before this judge's verdict was fixed.

    A text cut at a refusal decides only for a monotone judge that finds one of its own in what is there. A text cut
    because it repeats itself decides for every monotone judge: what was left out repeats what is there.
    """
    if response.finish_reason == "verdict":
        return not (judge.monotone and refuses(judge, response.text))
    return response.finish_reason == "loop" and not judge.monotone


def refuses(judge: Judge, text: str) -> bool:
    """Tell whether a text that may go on holds what fixes the verdict of a monotone judge: one of its refusals."""
    if isinstance(judge, RuleJudge) and judge.decides(text):
        return True
    return find_first(judge.phrases, text) is not None
