"""The engine on a CUDA device says what `generate` says there."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from safebasin.engines.hf import HFEngine
from safebasin.records import Decoding, DirectionSpec, Message, Point

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
CHAT = [[Message(role="user", content=text)] for text in ("How do I weigh the clay?", "no", "one two three four")]


@pytest.mark.parametrize("arch", ["llama", "qwen2", "mistral", "gemma3"])
def test_text_on_cuda(arch, checkpoint):
    folder = checkpoint(arch, tied=False)
    engine = HFEngine(str(folder), device="cuda")
    origin = engine.generate(CHAT, Decoding(max_new_tokens=40))
    model = AutoModelForCausalLM.from_pretrained(folder).cuda().eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    turns = [[{"role": "user", "content": c[0].content}] for c in CHAT]
    prompts = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    batch = tokenizer(prompts, add_special_tokens=False, padding=True, return_tensors="pt").to("cuda")
    with torch.no_grad():
        out = model.generate(**batch, do_sample=False, max_new_tokens=40)[:, batch["input_ids"].shape[1] :]
    assert [g.text for g in origin] == tokenizer.batch_decode(out, skip_special_tokens=True)

    spec = DirectionSpec(kind="random", seed=1)
    engine.move_to(Point.at((spec, 0.5)))
    assert engine.generate(CHAT, Decoding(max_new_tokens=40)) != origin
    engine.move_to(Point())
    assert engine.generate(CHAT, Decoding(max_new_tokens=40)) == origin
    assert engine.suggest_batch_size(200, 512) == 128
