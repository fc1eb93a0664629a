"""What `--dtype auto` means in a study: settled once, before keys are made, or by the first worker elsewhere.

The rule itself is that of `models.computed`.
"""

from __future__ import annotations

from safebasin.errors import ModelError
from safebasin.models.computed import Settled
from safebasin.protocols import EngineFacts
from safebasin.study import Study

__all__ = ["explain_dtype", "settle_dtype"]


def settle_dtype(study: Study, before: str | None, *, elsewhere: bool) -> Settled:
    """Settle the dtype of a study; `auto` where the model, or where it runs, is not seen from here.

    Args:
        study: the study.
        before: what `auto` was settled to before, by its folder or those that it is compared with.
        elsewhere: whether the model will run where neither device nor memory can be seen from here.
    """
    from safebasin.models.computed import computed_dtype, computed_words
    from safebasin.models.dtypes import own_dtype
    from safebasin.models.files import read_json
    from safebasin.models.reference import folder_of
    from safebasin.models.whole import quantization

    if study.dtype != "auto" or study.engine != "hf":  # what `auto` means to another engine, it says itself
        return Settled(study.dtype)
    try:
        folder = folder_of(study.model)
        if before is not None and not quantization(read_json(folder / "config.json", folder.name)):
            # whether it runs on a CPU, `explain_dtype` can say: torch is not loaded where nothing is left to be done
            return Settled(before, computed_words(before, own_dtype(folder)))
        if elsewhere:
            return Settled("auto")
        return computed_dtype(folder, device=study.device, low_memory=study.low_memory)
    except ModelError:
        return Settled(before or "auto")


def explain_dtype(facts: EngineFacts, model: str) -> str:
    """Explain in words the dtype that an engine settled by itself; empty where that cannot be seen from here."""
    from safebasin.models.computed import computed_words
    from safebasin.models.dtypes import own_dtype
    from safebasin.models.reference import folder_of

    try:
        return computed_words(facts.dtype, own_dtype(folder_of(model)), on_cpu=facts.device == "cpu")
    except ModelError:
        return ""
