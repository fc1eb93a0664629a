"""Requests to one vLLM: rows that are decoded until they end, and texts whose tokens are scored. Moves no weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from safebasin.engines.answering import Batch
from safebasin.protocols import Generation

__all__ = ["decode", "log_probabilities"]


def decode(llm: Any, asked: Sequence[tuple[Batch, Any]]) -> list[list[Generation]]:
    """Step vLLM until every row has ended; a request whose row ends before it is dropped.

    Args:
        llm: the `vllm.LLM`.
        asked: batches, each with the adapter that its rows are under (`LoRARequest`), or None.
    """
    engine = llm.llm_engine
    for number, (batch, lora) in enumerate(asked):
        for row, (encoded, limit) in enumerate(zip(batch.encoded, batch.limits, strict=True)):
            sampling = _sampling(
                max_tokens=limit, logprobs=2, stop_token_ids=sorted(batch.eos), ignore_eos=True, delta=True
            )
            prompt = {"prompt_token_ids": encoded.ids}
            engine.add_request(f"{number}:{row}", prompt, sampling, lora_request=lora)
    while engine.has_unfinished_requests():
        for output in engine.step():
            number, row = map(int, output.request_id.split(":"))
            rows, made = asked[number][0].rows, output.outputs[0]
            for token, position in zip(made.token_ids, made.logprobs, strict=True):
                best, gap = _best(position)
                rows.advance([row], [[token]], [[best]], [[gap]])
            if not (rows.is_live(row) or output.finished):
                engine.abort_request([output.request_id])
    return [batch.generations() for batch, _ in asked]


def log_probabilities(
    llm: Any, read: Sequence[Sequence[int]], starts: Sequence[int], lora: Any
) -> list[tuple[float, ...]]:
    """The negative log-likelihoods, in nats, of the tokens of each text from a position on.

    Args:
        llm: the `vllm.LLM`.
        read: tokens of each text, its prompt before it.
        starts: where each text begins.
        lora: the adapter that all are under (`LoRARequest`), or None.
    """
    asked = [{"prompt_token_ids": ids} for ids in read]
    found = llm.generate(asked, _sampling(max_tokens=1, prompt_logprobs=0), use_tqdm=False, lora_request=lora)
    return [
        tuple(-output.prompt_logprobs[at][ids[at]].logprob for at in range(start, len(ids)))
        for ids, start, output in zip(read, starts, found, strict=True)
    ]


def _sampling(*, delta: bool = False, **settings: object) -> Any:
    from vllm import SamplingParams  # pyright: ignore[reportMissingImports]
    from vllm.sampling_params import RequestOutputKind  # pyright: ignore[reportMissingImports]

    kind = RequestOutputKind.DELTA if delta else RequestOutputKind.FINAL_ONLY
    return SamplingParams(temperature=0, detokenize=False, output_kind=kind, **settings)


def _best(position: Mapping[int, Any]) -> tuple[float, float]:
    """The largest log-probability at a position, and how far the second lies below: that of the logits too."""
    found = [entry.logprob for entry in position.values()]
    if any(value != value for value in found):
        return float("nan"), 0.0
    first, second = sorted(found, reverse=True)[:2]
    return first, first - second
