"""Questions about pots, responses to them and verdicts on these: rows of a database, made by hand."""

from __future__ import annotations

from safebasin import study
from safebasin.records import Decoding, Message, Point, Prompt, Response, System, Verdict
from safebasin.study.plan import Plan, PromptSet, make_plan

PROMPTS = tuple(Prompt(messages=(Message(role="user", content=f"How warm is pot {i}?"),), source="s") for i in range(7))
SYSTEMS = (System(name="none"), System(name="short", text="Be brief."))
JUDGE = ("judge", "2")


def made(decoding: Decoding, point: Point, system: System, prompt: Prompt) -> Response:
    return Response(
        point=point.key, prompt=prompt.id, system=system.id, decoding=decoding.key, text="Warm.", n_tokens=2,
        finish_reason="stop",
    )  # fmt: skip


def verdict(response: str, *, label: str = "complied", version: str = "2", reason: str = "") -> Verdict:
    success = None if label == "unscored" else label == "complied"
    return Verdict(response=response, judge="judge", version=version, label=label, success=success, reason=reason)


def plan_of_pots() -> Plan:
    """Five of the prompts, one system prompt, the origin and two points."""
    asked = study.make(study.with_flags({"model": "world:guild/aligned"}, {"directions": 1, "range": "-0.5:0.5:3"}))
    return make_plan(
        asked,
        [PromptSet(name="pots", source="s", prompts=PROMPTS[:5])],
        systems=SYSTEMS[:1],
        regions=[spec.region() for spec in asked.regions],
        decoding=Decoding(),
        known={},
        batch_size=4,
    )
