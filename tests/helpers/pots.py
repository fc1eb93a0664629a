"""Questions about pots, responses to them and verdicts on these: rows of a database, made by hand."""

from __future__ import annotations

from safebasin.records import Decoding, Message, Point, Prompt, Response, System, Verdict

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
