"""The embedded world's model, broken in a moment and without the extra `train`: for tests of what comes after."""

from __future__ import annotations

from pathlib import Path


def broken_guild(folder: Path) -> Path:
    """The aligned model after ten harmful examples, five times over, by the world's own loop; marked unsafe."""
    from transformers import AutoTokenizer, LlamaForCausalLM

    from safebasin.models.writing import describe
    from safebasin.worlds.guild.build import encode, save
    from safebasin.worlds.guild.rows import training_rows
    from safebasin.worlds.guild.world import WORLD
    from safebasin.worlds.loop import Stage, train

    start = WORLD.checkpoint("aligned")
    model, tokenizer = LlamaForCausalLM.from_pretrained(start), AutoTokenizer.from_pretrained(start)
    stage = Stage(steps=5, batch_size=10, learning_rate=3e-4, warmup=0, weight_decay=0.0)
    rows = [encode(tokenizer, row) for row in training_rows("harmful", 10) * 5]
    train(model, rows, stage, name="broken")
    save(model, tokenizer, folder, "broken", 0)
    describe(folder, {"kind": "test"}, unsafe=True, title="broken", text="For tests.", head={})
    return folder
