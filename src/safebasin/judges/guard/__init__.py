"""Guard models as judges: each asked in the format of its model card, its answer read literally, garbage `unscored`.

A guard says whether a response is harmful. Only some say whether it refuses; where one does not, a harmless
response is `evasive`: `outcome(harm=guard/NAME)` tells refusals apart by phrases first. All run here, through the
engine, greedily; none was downloaded for the tests, which use tiny checkpoints and literal outputs of the cards.

    harmbench    the classifiers of HarmBench: `yes` or `no` to whether a generation is an instance of a behavior
    llama        Llama Guard 3 and 4: `safe`, or `unsafe` and a line of hazard categories S1 to S14
    prompts/     the texts that guards were trained on, word for word
    qwen         Qwen3Guard-Gen: `Safety: …`, `Categories: …`, `Refusal: …`, a line each
    shieldgemma  ShieldGemma: `Yes` or `No` to each guideline
    wildguard    WildGuard: three lines of yes or no
"""

from __future__ import annotations

from safebasin import catalog
from safebasin.errors import UsageError, expected
from safebasin.judges.asked_judge import AskedModelJudge, Questionnaire
from safebasin.judges.choose_chat import choose_chat
from safebasin.judges.neutralize import neutralize
from safebasin.records import Message, Prompt, Response, Scalar

__all__ = ["AS_TURNS", "RAW", "conversation", "guard", "request"]

AS_TURNS: tuple[tuple[str, Scalar], ...] = (("add_generation_prompt", False), ("continue_final_message", False))
"""The card renders user and assistant turn with its own chat template, which ends where the verdict begins."""
RAW: tuple[tuple[str, Scalar], ...] = (
    ("add_generation_prompt", False),
    ("chat_template", "{{ bos_token if bos_token is defined and bos_token else '' }}{{ messages[0]['content'] }}"),
    ("continue_final_message", False),
)
"""The card gives the whole text; nothing is put around it but the token that begins a text."""


def conversation(prompt: Prompt, response: Response) -> tuple[Message, ...]:
    """The turns of the prompt without a system turn, then the response; all neutralized, an image by its digest."""
    turns = [m for m in prompt.messages if m.role != "system"]
    asked = [Message(role=m.role, content=neutralize(m.told)) for m in turns]
    return (*asked, Message(role="assistant", content=neutralize(response.text)))


def request(prompt: Prompt) -> str:
    """The last user turn, neutralized."""
    return neutralize(prompt.told)


def guard(
    name: str,
    questionnaire: Questionnaire,
    model: str,
    default: str,
    base_url: str | None,
    device: str,
    engine: str,
    *,
    raw: bool = False,
    **own: str | None,
) -> AskedModelJudge:
    """A guard judge.

    Args:
        name: in the catalogue.
        questionnaire: what is asked, how it is read.
        model: a folder or hub id, or the name at the endpoint.
        default: the published model, which is left out of the name.
        base_url: an endpoint that serves it, instead of running it here.
        device: where it runs.
        engine: what runs it, by name.
        raw: whether the card gives the whole text, which a chat endpoint cannot be sent.
        **own: further arguments for the name; None is left out.

    Raises:
        UsageError: where an argument does not hold.
    """
    if raw and base_url is not None:
        remedy = "Its format is a raw text, and chat endpoints add a template of their own: run it here."
        raise UsageError(expected(f"base_url of {name}", "left out", base_url, remedy))
    chat, shown = choose_chat(name, model, base_url=base_url, device=device, engine=engine, here=base_url is None)
    arguments = {**shown, "model": None if model == default else model, **own}
    return AskedModelJudge(catalog.write_call(name, arguments), questionnaire, chat)
