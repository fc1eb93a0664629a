"""Refusal behind a forced beginning of the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebasin.api.requests import checks_keywords, engine_spec, given
from safebasin.items import items

if TYPE_CHECKING:
    from safebasin.prefill.records import Prefilled
    from safebasin.records import Scalar

__all__ = ["measure_prefill", "prefill_document"]


@checks_keywords
def measure_prefill(
    model: str = "world:guild/aligned",
    *,
    harmful: str | None = None,
    benign: str | None = None,
    tokens: int | Sequence[int] = (0, 1, 2, 4, 8, 16),
    text: str | None = None,
    out: str | Path | None = None,
    limit: int = 100,
    judge: str = "refusal",
    max_new_tokens: int = 48,
    system: str = "default",
    device: str = "auto",
    dtype: str = "auto",
    template_args: Mapping[str, Scalar] | None = None,
    trust_remote_code: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> Prefilled:
    """Measure refusal behind a forced beginning of the answer, by how many of its tokens are forced.

    Args:
        model: as in `make_study`.
        harmful: rows of harmful requests, with the harmful response as the last turn or as `harmful_response`; a world
            has its own, of its split `test`.
        benign: rows of permitted requests with their answers.
        tokens: how many are forced; 0 is always measured.
        text: one text for all answers, the prefilling attack; None takes the response of each row.
        out: folder for `prefill.json`, figure and page; None writes nothing.
        limit: rows of each side, at most.
        judge: by name; one that needs texts alone.
        max_new_tokens: behind what is forced.
        system: system prompt, as in a study.
        device: as in `make_study`.
        dtype: as in `make_study`.
        template_args: of the chat template.
        trust_remote_code: whether code that comes with the model may run.
        note: told in a sentence what is being done.

    Raises:
        UsageError: for what can be mended, such as a beginning that leaves no room in the context.
    """
    from safebasin.prefill.measure import PrefillRequest
    from safebasin.prefill.measure import measure_prefill as measure
    from safebasin.prompts.systems import system_prompt
    from safebasin.writing import KINDS, target_folder

    if out is not None:
        target_folder(Path(out), KINDS["forced beginnings"], what="--out")
    spec = engine_spec(
        model, device=device, dtype=dtype, template_args=template_args, trust_remote_code=trust_remote_code
    )
    request = PrefillRequest(
        spec=spec,
        sources=given(harmful=harmful, benign=benign),
        tokens=items(tokens),
        text=text,
        limit=limit,
        judge=judge,
        max_new_tokens=max_new_tokens,
        system=system_prompt(system),
    )
    found = measure(request, note)
    if out is not None:
        from safebasin.report.prefill import save_prefill

        save_prefill(prefill_document(found), Path(out))
    return found


def prefill_document(found: Prefilled) -> dict[str, Any]:
    """Convert what was measured to what `prefill.json` holds, as plain values; no text of a request or a response."""
    return {"schema_version": 1, **asdict(found)}
