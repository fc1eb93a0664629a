"""A look at tuned models before an audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebasin.api.requests import checks_keywords, engine_spec, given
from safebasin.items import texts_of

if TYPE_CHECKING:
    from safebasin.records import Scalar
    from safebasin.screen.records import Screening

__all__ = ["screen_document", "screen_models"]


@checks_keywords
def screen_models(
    base: str,
    tuned: str | Sequence[str],
    *,
    before: str | None = None,
    harmful: str | None = None,
    benign: str | None = None,
    out: str | Path | None = None,
    limit: int = 32,
    system: str = "default",
    device: str = "auto",
    dtype: str = "auto",
    template_args: Mapping[str, Scalar] | None = None,
    trust_remote_code: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> Screening:
    """Look at tuned models of a base in seconds, without generation, and put them in the order of an audit. No verdict.

    Args:
        base: the aligned model, as in `make_study`.
        tuned: what was tuned of it: checkpoints or adapters, or one.
        before: the model that the base was aligned from; that of a world is known.
        harmful: source of harmful prompts; a world has its own. Without prompts only weights are compared.
        benign: of benign ones.
        out: folder for `screen.json`, figure and page; None writes nothing.
        limit: prompts of each kind, at most.
        system: system prompt, as in a study.
        device: as in `make_study`.
        dtype: as in `make_study`.
        template_args: of the chat template.
        trust_remote_code: whether code that comes with the model may run.
        note: told in a sentence what is being done.

    Raises:
        UsageError: for what can be mended, such as models none of which fits; one that does not fit is in `failed`.
    """
    from safebasin.prompts.systems import system_prompt
    from safebasin.screen.measure import ScreenRequest, screen
    from safebasin.writing import KINDS, target_folder

    if out is not None:
        target_folder(Path(out), KINDS["a screen"], what="--out")
    spec = engine_spec(
        base, device=device, dtype=dtype, template_args=template_args, trust_remote_code=trust_remote_code
    )
    request = ScreenRequest(
        spec=spec,
        tuned=texts_of(tuned, "tuned model"),
        before=before,
        sources=given(harmful=harmful, benign=benign),
        limit=limit,
        system=system_prompt(system),
    )
    found = screen(request, note)
    if out is not None:
        from safebasin.report.screen import save_screen

        save_screen(screen_document(found), Path(out))
    return found


def screen_document(found: Screening) -> dict[str, Any]:
    """Convert what was found to what `screen.json` holds, as plain values, with the measured rates of each signal."""
    from safebasin.screen.rates import measured_rates

    return {
        "schema_version": 1,
        **asdict(found),
        "rates": [asdict(rates) for rates in measured_rates().values()],
    }
