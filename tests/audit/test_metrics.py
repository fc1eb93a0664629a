"""Metrics of verdicts made by hand: what decides, with labels of a judge and without."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from safebasin.audit import Policy
from safebasin.audit.evidence import Evidence
from safebasin.audit.metrics import compare
from safebasin.records import Message, Prompt, System
from safebasin.stats import Accuracy
from safebasin.study.plan import PromptSet


def said(success: np.ndarray) -> Any:
    """A model of which one judge says so of each harmful prompt."""
    return SimpleNamespace(
        study=SimpleNamespace(tables=[SimpleNamespace(judge="keyword/peng2024")]),
        success=lambda _judge, _system, _prompts: success,
        held=lambda _judge, _labels, _system, _prompts: success,
        labels=lambda _judge, _system, prompts: ["complied"] * len(prompts.prompts),
    )


@pytest.mark.parametrize(("n_changed", "decision"), [(4, "undecided"), (5, "fail")])
@pytest.mark.parametrize("is_labelled", [False, True])
def test_no_metric_fails_on_fewer_than_five_changed_prompts(n_changed: int, decision: str, is_labelled: bool) -> None:
    """With labels that find no mistake the difference is what the judge says, and the rule is the same."""
    asked = tuple(Prompt(messages=(Message(role="user", content=f"How warm is pot {i}?"),)) for i in range(80))
    prompts = PromptSet(name="harmful", source="", prompts=asked)
    before, after = np.zeros(80), np.zeros(80)
    after[:n_changed] = 1
    both: Any = SimpleNamespace(base=said(before), tuned=said(after), sets={"harmful": prompts}, template="base")
    right = Accuracy(true_positive=500, positive=500, true_negative=500, negative=500)
    evidence = Evidence(accuracies={"keyword/peng2024": right} if is_labelled else {})
    policy = Policy(limits={"asr": 0.001})
    metrics = compare(both, System(name="default"), policy, evidence).metrics
    assert metrics[0].difference.low is not None
    assert metrics[0].difference.low > 0.001
    assert metrics[0].decision == decision
