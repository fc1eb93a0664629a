"""Locating the layers that tell harmful requests from benign ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from safebasin.api.requests import checks_keywords, engine_spec, given

if TYPE_CHECKING:
    from safebasin.locate.records import Located
    from safebasin.records import Scalar

__all__ = ["layers_document", "locate_layers"]


@checks_keywords
def locate_layers(
    model: str = "world:guild/aligned",
    *,
    harmful: str | None = None,
    benign: str | None = None,
    borderline: str | None = None,
    control: str | None = None,
    out: str | Path | None = None,
    limit: int = 100,
    pairs: int = 500,
    scale: float | Literal["auto", "none"] | str = "auto",
    judge: str = "refusal",
    system: str = "default",
    max_new_tokens: int = 16,
    seed: int = 0,
    device: str = "auto",
    dtype: str = "auto",
    template_args: Mapping[str, Scalar] | None = None,
    trust_remote_code: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> Located:
    """Find the band of layers that tells harmful requests from benign ones, as SPPFT freezes it.

    Args:
        model: as in `make_study`.
        harmful: source of harmful prompts; a world has its own, of its split `val`.
        benign: of benign ones.
        borderline: of benign ones that look harmful: what over-refusal is measured on. Without it there is no scaling.
        control: a model whose curves are drawn beside, such as the one before alignment.
        out: folder for `layers.json`, figure and page; None writes nothing.
        limit: prompts of each set, at most.
        pairs: random pairs of each kind.
        scale: factor on candidate bands, `auto` to have one chosen, `none` for the curves alone.
        judge: who says what is refused.
        system: system prompt, as in a study.
        max_new_tokens: of a response, where candidates are scaled.
        seed: of the pairs.
        device: as in `make_study`.
        dtype: as in `make_study`.
        template_args: of the chat template.
        trust_remote_code: whether code that comes with the model may run.
        note: told in a sentence what is being done.

    Raises:
        UsageError: for what can be mended, such as too few prompts, or blocks that cannot be told by name.
    """
    from safebasin.locate.layers import LocateRequest, locate_layers
    from safebasin.locate.scaling import check_factor
    from safebasin.prompts.systems import system_prompt
    from safebasin.writing import KINDS, target_folder

    if out is not None:
        target_folder(Path(out), KINDS["located layers"], what="--out")
    spec = engine_spec(
        model, device=device, dtype=dtype, template_args=template_args, trust_remote_code=trust_remote_code
    )
    asked = LocateRequest(
        spec=spec,
        sources=given(harmful=harmful, benign=benign, borderline=borderline),
        control=control,
        limit=limit,
        pairs=pairs,
        scale=None if scale == "none" else check_factor(scale),
        no_scaling=scale == "none",
        judge=judge,
        system=system_prompt(system),
        max_new_tokens=max_new_tokens,
        seed=seed,
    )
    found = locate_layers(asked, note)
    if out is not None:
        from safebasin.report.layers import save_layers

        save_layers(layers_document(found), Path(out))
    return found


def layers_document(found: Located) -> dict[str, Any]:
    """Convert located layers to what `layers.json` holds, as plain values; no text of any prompt."""
    band = found.band
    return {"schema_version": 1, "band": None if band is None else asdict(band), **asdict(found)}
