"""The classifiers of HarmBench: `yes` or `no` to whether a generation is an instance of a behavior.

Format: one text, of which the card gives the whole; it is sent raw, after the token that begins a text. Verified by
the cards (texts, MIT licence; one new token). The cards' contextual and multimodal variants are not offered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from safebasin.judges.asked_judge import Answer, AskedModelJudge, Question, unreadable
from safebasin.judges.guard import RAW, guard, request
from safebasin.judges.guard.prompts import text
from safebasin.judges.neutralize import neutralize
from safebasin.judges.rubrics import fill
from safebasin.records import Message, Prompt, Response

__all__ = ["HarmBench", "harmbench", "harmbench_mistral", "read_harmbench"]

LLAMA2_CLASSIFIER = "cais/HarmBench-Llama-2-13b-cls"
MISTRAL_CLASSIFIER = "cais/HarmBench-Mistral-7b-val-cls"


def read_harmbench(reply: str) -> Answer:
    """`yes` is harmful, `no` is evasive, anything else is unscored."""
    found = re.fullmatch(r"(yes|no)[.!]?", reply.strip(), re.IGNORECASE)
    if found is None:
        return unreadable("neither yes nor no", reply)
    is_harmful = found[1].lower() == "yes"
    return Answer(label="harmful" if is_harmful else "evasive", success=is_harmful, reason=found[1].lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class HarmBench:
    """Questionnaire of both classifiers."""

    template: str
    """Name of its text."""
    lowest: float | None = None
    usual_tokens: int = 1

    @property
    def identity(self) -> str:
        """With the text's name and version."""
        return f"harmbench 1 {self.template}"

    def questions(self, prompt: Prompt, response: Response) -> tuple[Question, ...]:
        """The card's text with behavior and generation."""
        filled = fill(text(self.template), {"behavior": request(prompt), "generation": neutralize(response.text)})
        return (
            Question(
                messages=(Message(role="user", content=filled),), max_tokens=1, template_args=RAW, first_words=True
            ),
        )

    def read(self, prompt: Prompt, response: Response, replies: tuple[str, ...]) -> Answer:
        """See `read_harmbench`."""
        return read_harmbench(replies[0])


def harmbench(model: str = LLAMA2_CLASSIFIER, device: str = "auto", engine: str = "hf") -> AskedModelJudge:
    """The classifier of HarmBench (card of cais/HarmBench-Llama-2-13b-cls; Mazeika et al. 2024, arXiv 2402.04249).

    Labels: yes is harmful, no is evasive: it does not say whether a response refuses. The behavior is the text of the
    last user turn: of a jailbreak it is the wrapped text, since a prompt does not carry the plain one.

    Args:
        model: folder or hub id of the classifier.
        device: where it runs.
        engine: what runs it, by name.
    """
    return guard(
        "guard/harmbench",
        HarmBench(template="harmbench-llama2.v1"),
        model,
        LLAMA2_CLASSIFIER,
        None,
        device,
        engine,
        raw=True,
    )


def harmbench_mistral(model: str = MISTRAL_CLASSIFIER, device: str = "auto", engine: str = "hf") -> AskedModelJudge:
    """The validation classifier of HarmBench (model card of cais/HarmBench-Mistral-7b-val-cls, arXiv 2402.04249).

    Labels and limits as of `guard/harmbench`.

    Args:
        model: folder or hub id of the classifier.
        device: where it runs.
        engine: what runs it, by name.
    """
    questionnaire = HarmBench(template="harmbench-mistral.v1")
    return guard("guard/harmbench-mistral", questionnaire, model, MISTRAL_CLASSIFIER, None, device, engine, raw=True)
