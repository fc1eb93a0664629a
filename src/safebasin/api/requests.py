"""What verbs that ask a model without a study have in common: the engine that they open, the prompts they are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safebasin.protocols import EngineSpec
    from safebasin.records import Scalar

__all__ = ["engine_spec", "given"]


def engine_spec(
    model: str, *, device: str, dtype: str, template_args: Mapping[str, Scalar] | None, trust_remote_code: bool
) -> EngineSpec:
    """The engine of a model, as the keywords of a verb describe it."""
    from safebasin.protocols import EngineSpec

    arguments = tuple(sorted((template_args or {}).items()))
    return EngineSpec(
        model=model, device=device, dtype=dtype, trust_remote_code=trust_remote_code, template_args=arguments
    )


def given(**sources: str | None) -> tuple[tuple[str, str], ...]:
    """Kind of prompts → source, of those that were named."""
    return tuple((kind, source) for kind, source in sources.items() if source is not None)
