"""What safety training did to a model, by mechanism."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebasin.api.requests import checks_keywords, engine_spec, given

if TYPE_CHECKING:
    from safebasin.mechanism.records import Mechanism
    from safebasin.records import Scalar

__all__ = ["measure_mechanism", "mechanism_document"]


@checks_keywords
def measure_mechanism(
    base: str = "world:guild/base",
    tuned: str = "world:guild/aligned",
    *,
    control: str | None = None,
    harmful: str | None = None,
    benign: str | None = None,
    out: str | Path | None = None,
    limit: int = 100,
    gradients: bool = True,
    system: str = "default",
    seed: int = 0,
    device: str = "auto",
    dtype: str = "auto",
    template_args: Mapping[str, Scalar] | None = None,
    trust_remote_code: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> Mechanism:
    """Compare a model before and after safety training by the measures of Jain et al. 2024 (arXiv 2407.10264).

    Args:
        base: the model before, as in `make_study`.
        tuned: after, of the same architecture; or `adapter:PATH`.
        control: the base tuned without safety training, such as on more instructions, written likewise.
        harmful: source of harmful prompts; a world has its own, of its split `val`.
        benign: of benign ones.
        out: folder for `mechanism.json`, figure and page; None writes nothing.
        limit: prompts of each kind, at most.
        gradients: whether to measure local sensitivity, which takes a backward pass a prompt.
        system: system prompt, as in a study.
        seed: of halves and resampling.
        device: as in `make_study`.
        dtype: as in `make_study`.
        template_args: of the chat template.
        trust_remote_code: whether code that comes with the model may run.
        note: told in a sentence what is being done.

    Raises:
        UsageError: for what can be mended, such as models that do not fit, or too few prompts.
    """
    from safebasin.mechanism.measure import MechanismRequest
    from safebasin.mechanism.measure import measure_mechanism as measure
    from safebasin.prompts.systems import system_prompt
    from safebasin.writing import KINDS, target_folder

    if out is not None:
        target_folder(Path(out), KINDS["a mechanism"], what="--out")
    spec = engine_spec(
        base, device=device, dtype=dtype, template_args=template_args, trust_remote_code=trust_remote_code
    )
    request = MechanismRequest(
        spec=spec,
        tuned=tuned,
        control=control,
        sources=given(harmful=harmful, benign=benign),
        limit=limit,
        no_gradients=not gradients,
        system=system_prompt(system),
        seed=seed,
    )
    found = measure(request, note)
    if out is not None:
        from safebasin.report.mechanism import save_mechanism

        save_mechanism(mechanism_document(found), Path(out))
    return found


def mechanism_document(found: Mechanism) -> dict[str, Any]:
    """Convert what was measured to what `mechanism.json` holds, as plain values; no text of any prompt."""
    return {"schema_version": 1, **asdict(found)}
