"""Conformance of inference defenses: what they do to the logits of a small real model, prompt pass and decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from safebasin.protocols import Defense, Guard, InferenceDefense, LiveBatch
from safebasin.records import Decoding
from safebasin.testing.claims import claim

if TYPE_CHECKING:
    import torch

__all__ = ["check_guard"]

_MODEL = "world:guild/aligned"
_TOKENS = 3
"""Decoded after the prompt pass; rows are dropped after the first."""
_TOLERANCE = 1e-3
"""On logits: a smaller batch may take another kernel."""


def check_guard(defense: Defense) -> None:
    """Check what an inference defense does while three prompts of different length are decoded.

    Raises:
        AssertionError: naming the first thing that does not hold.
    """
    import torch

    from safebasin.records import Point
    from safebasin.weights.base import HostWeights
    from safebasin.weights.stream import digest, weights_at

    worker, name = cast("InferenceDefense", defense), defense.name
    _check_keys(worker)
    model, tokenizer, batch = _small()
    before = digest(weights_at(HostWeights(model), Point(), {}))
    with torch.inference_mode():
        bare = _decode(model, None, batch)
        none = worker.at(0.0)
        claim(none.strength == 0, f"strength of {name!r} at 0", "0", none.strength, "Mend `at`.")
        unmoved = _decode(model, none.guard(model, tokenizer), batch)
        claim(_equal(bare, unmoved), f"logits under {name!r} at strength 0", "those of the bare module", "others",
              "Install nothing.")  # fmt: skip
        guard = worker.guard(model, tokenizer)
        whole = _decode(model, guard, batch)
        again = _decode(model, worker.guard(model, tokenizer), batch)
        claim(_equal(whole, again), f"logits under {name!r}", "the same a second time", "others", "Draw from a seed.")
        _check_dropped(name, model, guard, batch, whole)
        after = _decode(model, None, batch)
    claim(_equal(bare, after), f"the module after {name!r}", "as it was", "other logits", "Remove what was installed.")
    left = digest(weights_at(HostWeights(model), Point(), {}))
    claim(left == before, f"the weights after {name!r}", "as they were", "others", "A guard reads weights only.")


def _check_keys(worker: InferenceDefense) -> None:
    """Responses of two strengths, or of none, must never be taken for each other's."""
    name = worker.name
    claim(isinstance(worker.version, str) and worker.version, f"version of {name!r}", "text", worker.version, "Add it.")
    keys = {d.name: Decoding(defenses=(f"{d.name}@{d.version}",)).key for d in (worker, worker.at(0.0), worker.at(9.0))}
    wanted = 3 if worker.strength not in (0, 9) else 2
    claim(len(set(keys.values()) | {Decoding().key}) == wanted + 1, f"names of {name!r} at other strengths",
          "different from each other", sorted(keys), "Write strength into the name.")  # fmt: skip


def _small() -> tuple[Any, Any, LiveBatch]:
    from safebasin import catalog
    from safebasin.models.loading import load_tokenizer, load_weights
    from safebasin.models.reference import resolve
    from safebasin.prompts.chat import encode

    found = resolve(_MODEL)
    model, tokenizer = load_weights(found).eval(), cast("Any", load_tokenizer(found.folder, name=_MODEL))
    prompts = sorted(catalog.world("guild").load_prompts("harmful"), key=lambda p: len(p.text))
    texts = [encode(tokenizer, p.messages) for p in (prompts[0], prompts[len(prompts) // 2], prompts[-1])]
    return model, tokenizer, _padded(texts)


def _padded(rows: list[list[int]]) -> LiveBatch:
    import torch

    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return LiveBatch(ids=ids, mask=mask, alive=range(len(rows)))


def _check_dropped(name: str, model: Any, guard: Guard, batch: LiveBatch, whole: list[torch.Tensor]) -> None:
    """Rows that stay must go on as they would beside the others, whichever of these have been dropped."""
    for kept in ([1, 2], [0, 2], [2], [1]):
        part = _decode(model, guard, batch, kept)
        for step, (some, every) in enumerate(zip(part, whole, strict=True)):
            rows = range(len(batch.ids)) if step == 0 else kept
            far = float((some - every[list(rows)]).abs().max())
            what = f"logits under {name!r} of rows {kept}, the others dropped"
            remedy = "Row i of a pass is row batch.alive[i]; ask it anew in every pass."
            claim(far <= _TOLERANCE, what, "those that they have beside the others", f"off by {far:.2g}", remedy)


def _decode(model: Any, guard: Guard | None, batch: LiveBatch, kept: list[int] | None = None) -> list[torch.Tensor]:
    """Logits of the next token after the prompt pass and after each further token, (rows, vocabulary) each.

    The tokens are fixed, so that the logits of two runs can be compared. After the prompt pass only `kept` stay.
    """
    from contextlib import nullcontext
    from dataclasses import replace

    import torch
    from transformers import DynamicCache

    live = replace(batch, alive=list(range(len(batch.ids))))
    with nullcontext() if guard is None else guard.installed(live):
        cache, mask, ids = DynamicCache(config=model.config), batch.mask, batch.ids
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        found: list[torch.Tensor] = []
        for step in range(_TOKENS + 1):
            out = model(
                input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
            )
            found.append(out.logits[:, -1].float().clone())
            if step == 0 and kept is not None:
                index = torch.tensor(kept)
                cache.batch_select_indices(index)
                mask, positions, live.alive = mask[index], positions[index], kept
            ids = torch.full((len(mask), 1), 5 + step)
            mask = torch.nn.functional.pad(mask, (0, 1), value=1)
            positions = positions[:, -1:] + 1
        return found


def _equal(some: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    import torch

    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))
