"""Any point of a study as a model of Inspect, and a study's prompts and judges as its task. Needs inspect-ai.

    inspect eval safebasin/study -T folder=runs/demo --model "safebasin/runs/demo@alpha=0.3"

Inspect finds both through the entry point `inspect_ai`, which imports this file.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from inspect_ai import Task, task  # pyright: ignore[reportMissingImports]
from inspect_ai.dataset import MemoryDataset, Sample  # pyright: ignore[reportMissingImports]
from inspect_ai.model import (  # pyright: ignore[reportMissingImports]
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    get_model,
    modelapi,
)
from inspect_ai.scorer import Score, mean, scorer, stderr  # pyright: ignore[reportMissingImports]
from inspect_ai.solver import generate  # pyright: ignore[reportMissingImports]

try:
    from inspect_ai._util.error import PrerequisiteError  # pyright: ignore[reportMissingImports]
except ImportError:  # it has no public name, and may lose this one
    PrerequisiteError = RuntimeError

from safebasin.errors import StudyError, UsageError, expected
from safebasin.interop.point_model import PointModel, PointName, judge_answer, study_judges
from safebasin.landscape.stored import StoredStudy
from safebasin.prompts.chat import check_text_alone
from safebasin.prompts.reasoning import split_answer
from safebasin.protocols import Generation, Judge
from safebasin.records import Message, Prompt, Response, System
from safebasin.study.plan import Plan

__all__ = ["PointAPI", "judged", "study"]

BATCH = 32
"""Conversations that are decoded at once, at most."""
_TURNS = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}


@contextmanager
def _told() -> Generator[None]:
    """What a user can mend, as Inspect says such things: one line, no traceback."""
    try:
        yield
    except UsageError as error:
        raise PrerequisiteError(str(error)) from error


# --- the model -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Waiting:
    """A conversation that is to be answered."""

    turns: tuple[Message, ...]
    limit: int | None
    found: list[Generation] = field(default_factory=list[Generation])
    """Empty until it is answered."""


class PointAPI(ModelAPI):
    """The model at a point of a study, by `safebasin/DIR@alpha=0.3[@beta=0.1][@direction=2][@region=NAME]`.

    Inspect asks many at once: what waits while others are decoded becomes the next batch.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: Any = GenerateConfig(),  # noqa: B008  (as Inspect's own providers have it)
        **model_args: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config)
        remedy = "The study says how its model is asked."
        with _told():
            if model_args:
                raise StudyError(expected("-M", "left out", sorted(model_args), remedy))
            self.model = PointModel.open(PointName.parse(model_name))
        self._waiting: list[_Waiting] = []
        self._turn = anyio.Lock()

    def max_connections(self) -> int:
        """As many as are decoded at once."""
        return BATCH

    async def generate(self, input: Sequence[Any], tools: Sequence[Any], tool_choice: Any, config: Any) -> Any:
        """Answer one conversation, greedily.

        Raises:
            PrerequisiteError: where something else is asked for: sampling, tools, other than text.
        """
        with _told():
            _check(tools, config)
        mine = _Waiting(tuple(_message(turn) for turn in input), config.max_tokens)
        self._waiting.append(mine)
        async with self._turn:
            if not mine.found:
                await self._decode(mine)
        return self._output(mine.found[0])

    async def _decode(self, first: _Waiting) -> None:
        """Answer one and what waits beside it under the same limit."""
        batch = [first, *(w for w in self._waiting if w is not first and w.limit == first.limit)][:BATCH]
        self._waiting = [w for w in self._waiting if w not in batch]
        answer = functools.partial(self.model.answer, [w.turns for w in batch], first.limit)
        for waiting, found in zip(batch, await anyio.to_thread.run_sync(answer), strict=True):
            waiting.found.append(found)

    def _output(self, found: Generation) -> Any:
        reason = "max_tokens" if found.finish_reason == "length" else "stop"
        output = ModelOutput.from_content(self.model_name, found.text, stop_reason=reason)
        # without usage Inspect counts tokens itself, by a table that it downloads
        output.usage = ModelUsage(output_tokens=found.n_tokens, total_tokens=found.n_tokens)
        said = {"broken": found.broken, "thinking": found.thinking}
        output.metadata = {name: text for name, text in said.items() if text} or None
        return output


@modelapi(name="safebasin")
def point_api() -> type[Any]:
    """Name the class behind models whose names begin with `safebasin/`."""
    return PointAPI


def _check(tools: Sequence[Any], config: Any) -> None:
    remedy = "The model answers greedily, as it is mapped."
    for name in ("temperature", "top_p", "top_k", "num_choices"):
        value, plain = getattr(config, name, None), {"temperature": 0.0}.get(name, 1)
        if value is not None and value != plain:
            raise UsageError(expected(name, "left out", value, remedy))
    if tools:
        raise UsageError(expected("tools", "left out", len(tools), "The model is asked for text alone."))


def _message(turn: Any) -> Message:
    if turn.role not in _TURNS:
        raise UsageError(expected("a turn", "of system, user or assistant", turn.role, "Leave it out."))
    return Message(role=turn.role, content=turn.text)


# --- the task --------------------------------------------------------------------------------------------------------


@task
def study(folder: str, system: str = "", limit: int | None = None) -> Any:
    """The prompts of a study, and its judges as scores: 1 is a success of the request, as in ASR.

    Args:
        folder: the study.
        system: name of the system prompt, of those of the study; the first if empty.
        limit: at most so many prompts of each set.
    """
    with _told():
        plan = _plan(folder)
        chosen = _system(plan, system)
        asked = {p.id: p for prompts in plan.sets for p in prompts.prompts[:limit]}
        for prompt in asked.values():
            check_text_alone(prompt.messages)
    samples = [
        Sample(
            id=prompt.id,
            input=[_TURNS[turn.role](content=turn.content) for turn in chosen.messages(prompt)],
            metadata={"category": prompt.category, "behavior": prompt.behavior, "label": prompt.label},
        )
        for prompt in asked.values()
    ]
    dataset = MemoryDataset(samples, name=", ".join(prompts.name for prompts in plan.sets))
    return Task(dataset=dataset, solver=generate(), scorer=judged(folder), name="study")


def _plan(folder: str) -> Plan:
    with StoredStudy.open(Path(folder)) as stored:
        return stored.plan


def _system(plan: Plan, name: str) -> System:
    found = next((system for system in plan.systems if system.name == name or not name), None)
    if found is None:
        names = ", ".join(system.name for system in plan.systems)
        raise StudyError(expected("system", f"one of {names}", name, "Name one of the study."))
    return found


@scorer(metrics={"*": [mean(), stderr()]})
def judged(folder: str) -> Any:
    """By judge of a study: 1 for a success, 0 for none, NaN where it cannot tell; labels as metadata.

    Judges of language ask how surprising an answer is to θ₀: told where the model is a point of a study, else they
    cannot tell unless the text alone decides.
    """
    with _told():
        judges, prompts = study_judges(Path(folder)), _plan(folder).prompts

    async def score(state: Any, target: Any) -> Any:
        prompt = prompts[str(state.sample_id)]
        model = getattr(get_model(), "api", None)
        asked = functools.partial(_verdicts, judges, prompt, state, model if isinstance(model, PointAPI) else None)
        return await anyio.to_thread.run_sync(asked)

    return score


def _verdicts(judges: Sequence[Judge], prompt: Prompt, state: Any, api: PointAPI | None) -> Any:
    thinking, text = split_answer(state.output.completion)
    stopped = "length" if state.output.stop_reason == "max_tokens" else "stop"
    usage, metadata = state.output.usage, state.output.metadata or {}
    response = Response(
        point="origin" if api is None else api.model.point.key, prompt=prompt.id, system="default", decoding="inspect",
        text=text, thinking=thinking, n_tokens=0 if usage is None else usage.output_tokens, finish_reason=stopped,
        broken=str(metadata.get("broken", "")),
    )  # fmt: skip
    turns = [_message(turn) for turn in state.input] if isinstance(state.input, list) else prompt.messages
    under = None if api is None else api.model.score(turns, response)
    found = [judge_answer(judge, prompt, response, under) for judge in judges]
    return Score(
        value={v.judge: math.nan if v.success is None else float(v.success) for v in found},
        answer=", ".join(dict.fromkeys(v.label for v in found)),
        metadata={v.judge: {"label": v.label, "version": v.version, "reason": v.reason} for v in found},
    )
