"""Decoding in float32 at each row's own pace: rows that repeat themselves take many tokens a pass.

The way in is `decode`. Every model is served for which `wrapped` is proven, plain Llamas by a pass written out
(`llama_float32`); all others, and half precision, are left to the general loop (`engines.decoding`).

    loop       decoding of one batch after its prompts have been read
    drafting   the guesses that passes over several tokens check
    reading    the prompts: what they share once, the rest in batches of like lengths
    passes     what is needed of a forward pass
    wrapped    the pass of any transformers model, where it is proven to be the model's own
    proving    whether it is: the model is tried
    grouped    attention without copies of grouped keys, and part by part
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedModel

from safebasin.engines.llama_float32 import LeanLlama
from safebasin.engines.paced.drafting import LONGEST, Drafter
from safebasin.engines.paced.loop import Paced
from safebasin.engines.paced.passes import Pass
from safebasin.engines.paced.proving import any_model
from safebasin.engines.paced.reading import read
from safebasin.engines.stopping import Rows

__all__ = ["decode"]


def decode(model: PreTrainedModel, prompts: Sequence[Sequence[int]], rows: Rows) -> bool:
    """Read prompts and decode them to their ends; False, with nothing touched, where the model is not served.

    Args:
        model: any, in eval mode; its logits are taken as they are, without processors.
        prompts: token ids, none empty.
        rows: one entry per prompt, empty; in the end the result.
    """
    # no row gets longer, whatever stands beside it: a model may have no positions for more
    longest = max(len(prompt) + rows.room(row) for row, prompt in enumerate(prompts))
    forward = _forward(model, longest)
    if forward is None:
        return False
    drafter = Drafter(len(prompts), longest + LONGEST, apart=not rows.watches_loops)
    last = np.asarray([prompt[-1] for prompt in prompts], dtype=np.int64)
    Paced(forward, rows, drafter).run(read(forward, prompts), last)
    return True


def _forward(model: PreTrainedModel, longest: int) -> Pass | None:
    if LeanLlama.fits(model):
        return LeanLlama(model, longest + LONGEST)
    return any_model(model, longest)
