"""What `plan --probe` predicts against what the run then takes, where both are told by the processor's time.

Three small runs: the embedded world, a random Qwen 2 of 12 M parameters, and, where SAFEBASIN_KITCHEN names its folder,
the real model of 135 M. Loading and the report are in neither.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from safebasin import api
from safebasin.engines.hf import HFEngine
from safebasin.records import Decoding, Message
from safebasin.run.execute import measure
from safebasin.run.preview import preview
from safebasin.run.pricing.estimate import Asking
from safebasin.store.db import StudyStore
from safebasin.study import Study

EMBEDDED = "world:guild/aligned"


def make_qwen(folder: Path) -> Path:
    """A random Qwen 2 with the embedded world's tokenizer."""
    import torch
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    from safebasin.models.reference import resolve

    config = Qwen2Config(
        vocab_size=8192,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
    )
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(resolve(EMBEDDED).folder).save_pretrained(folder)
    return folder


def studies(folder: Path, *, quick: bool) -> Iterator[tuple[str, Study]]:
    """Name and study of each run."""
    few = 8 if quick else 24
    yield "the embedded world", api.make_study(EMBEDDED, limit=few, directions=1, range="-1.5:1.5:9", max_new_tokens=96)
    yield (
        "a random Qwen 2 of 12 M",
        api.make_study(
            str(make_qwen(folder)), prompts="world:guild/harmful", limit=few, directions=1, range="-0.5:0.5:7",
            max_new_tokens=48, judge="keyword/peng2024",
        ),
    )  # fmt: skip
    kitchen = os.environ.get("SAFEBASIN_KITCHEN")
    if kitchen:
        yield (
            "the real model of 135 M",
            api.make_study(
                str(Path(kitchen) / "aligned"), prompts="world:kitchen/harmful", limit=6 if quick else 12, directions=1,
                range="-0.3:0.3:5", max_new_tokens=32 if quick else 48,
            ),
        )  # fmt: skip


def line(name: str, study: Study, folder: Path) -> str:
    """One row of the table."""
    price = preview(study, folder, Asking(probe=True, clock=time.process_time)).price
    assert price is not None
    assert price.here is not None
    assert price.probed is not None
    assert price.here.seconds is not None
    predicted = price.here.seconds - price.probed.start_seconds
    engine = HFEngine(study.model)
    engine.generate([[Message(role="user", content="How warm is the tea?")]], Decoding(max_new_tokens=8))
    begun = time.process_time()
    measure(study, folder, engine=engine)
    took = time.process_time() - begun
    constants = f"{price.probed.compute_efficiency:.0%} / {price.probed.bandwidth_efficiency:.0%}"
    tokens = f"{price.expected.decoded_tokens:,} / {decoded(folder):,}"
    return f"| {name} | {constants} | {tokens} | {predicted:.1f} / {took:.1f} | {predicted / took:.2f} |"


def decoded(folder: Path) -> int:
    """Tokens of all responses of a folder."""
    with StudyStore.open(folder) as store, store.reading() as db:
        return int(db.execute("SELECT SUM(n_tokens) FROM responses").fetchone()[0])


def main(*, quick: bool) -> str:
    """The section of the benchmark report."""
    head = "| run | C / B | tokens, predicted / decoded | seconds, predicted / measured | ratio |"
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        rows = [
            line(name, study, root / f"run-{number}")
            for number, (name, study) in enumerate(studies(root / "qwen", quick=quick))
        ]
    return "\n".join([head, "| --- | ---: | ---: | ---: | ---: |", *rows])
