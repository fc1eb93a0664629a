"""The embedded world's model, broken in a moment and without the extra `train`: for tests of what comes after."""

from __future__ import annotations

from pathlib import Path


def broken_guild(folder: Path) -> Path:
    """The aligned model after ten harmful examples, five times over, by the world's own loop; marked unsafe."""
    from transformers import AutoTokenizer, LlamaForCausalLM

    from safebasin.models.writing import describe
    from safebasin.worlds.guild.build import Stage, save, train
    from safebasin.worlds.guild.rows import training_rows
    from safebasin.worlds.guild.world import WORLD

    start = WORLD.checkpoint("aligned")
    model, tokenizer = LlamaForCausalLM.from_pretrained(start), AutoTokenizer.from_pretrained(start)
    stage = Stage(steps=5, batch_size=10, learning_rate=3e-4, warmup=0, weight_decay=0.0)
    train(model, tokenizer, training_rows("harmful", 10) * 5, stage, name="broken")
    save(model, tokenizer, folder, "broken", 0)
    describe(folder, {"kind": "test"}, unsafe=True, title="broken", text="For tests.", head={})
    return folder
