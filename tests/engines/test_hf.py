"""The reference engine end to end, on tiny real checkpoints."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from helpers.models import break_config, make_lora
from safebasin.engines import loading
from safebasin.engines.answering import Answering
from safebasin.engines.hf import HFEngine
from safebasin.engines.loading import batch_size_that_fits
from safebasin.engines.perplexity import TextReader
from safebasin.errors import ModelError, PromptError, UsageError
from safebasin.models.placement import resolve_device
from safebasin.protocols import Engine
from safebasin.records import Decoding, DirectionSpec, Message, Point
from safebasin.weights.stream import digest, prepare, weights_at

ASKED = (
    "How do I weigh the clay?",
    "Give me the steps to ring the bell.",
    "one two three",
    "The guild keeps wool, cedar and salt in the yard behind the hall, does it not?",
    "no",
)
CHAT = [[Message(role="user", content=text)] for text in ASKED]
PLAIN = Decoding(max_new_tokens=40)


@pytest.fixture(scope="module")
def engine(checkpoint) -> HFEngine:
    return HFEngine(str(checkpoint("llama")), device="cpu")


def by_hand(folder, conversations, *, suppress_tokens=None, **template):
    """What a user of transformers would write: template, left padding, `generate`, decode."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    turns = [[{"role": m.role, "content": m.content} for m in c] for c in conversations]
    given = {"add_generation_prompt": True, "tokenize": False, **template}
    batch = tokenizer(
        tokenizer.apply_chat_template(turns, **given), add_special_tokens=False, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        out = model.generate(**batch, do_sample=False, max_new_tokens=40, suppress_tokens=suppress_tokens)
    return tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)


def test_it_is_an_engine_and_says_what_it_is(engine):
    assert isinstance(engine, Engine)
    described = json.loads(json.dumps(engine.facts().described()))
    assert described["architecture"] == "LlamaForCausalLM"
    assert (described["dtype"], described["device"], described["n_context"]) == ("float32", "cpu", 256)
    assert len(described["template_hash"]) == 16
    assert described["fingerprint"]


@pytest.mark.parametrize("arch", ["llama", "gpt_neox", "mixtral"])
def test_text_is_what_generate_says(arch, checkpoint):
    folder = checkpoint(arch)
    texts = [g.text for g in HFEngine(str(folder), device="cpu").generate(CHAT, PLAIN)]
    assert texts == by_hand(folder, CHAT)


def test_a_tokenizer_without_pad_token_says_the_same(checkpoint, engine):
    bare = HFEngine(str(checkpoint("llama", pad_token=False)), device="cpu")
    assert bare.generate(CHAT, PLAIN) == engine.generate(CHAT, PLAIN)


@pytest.mark.parametrize("thinks", [True, False])
def test_qwen3_with_and_without_thinking(thinks, checkpoint):
    folder = checkpoint("qwen3", template="thinking")
    engine = HFEngine(str(folder), device="cpu", template_args=(("enable_thinking", thinks),))
    markers = [6, 7]  # a random model would write them anywhere
    engine._model.generation_config.suppress_tokens = markers
    texts = [g.text for g in engine.generate(CHAT, PLAIN)]
    assert texts == by_hand(folder, CHAT, suppress_tokens=markers, enable_thinking=thinks)
    same = HFEngine(str(folder), device="cpu")
    same._model.generation_config.suppress_tokens = markers
    args = (("enable_thinking", thinks),)
    assert [g.text for g in same.generate(CHAT, replace(PLAIN, template_args=args))] == texts


def test_thinking_that_never_ends_leaves_nothing_to_judge(checkpoint):
    template = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}<|assistant|><think>\n"
    engine = HFEngine(str(checkpoint("qwen3")), device="cpu", template_args={"chat_template": template})
    generation = engine.generate(CHAT[:1], PLAIN)[0]
    assert generation.n_tokens == 40
    assert (generation.text, bool(generation.thinking)) == ("", True)


def test_the_model_continues_an_opening(engine):
    opened = [*CHAT[0], Message(role="assistant", content="Begin with two turns")]
    text = engine.generate([opened], PLAIN)[0].text
    assert text != engine.generate(CHAT[:1], PLAIN)[0].text


def test_two_runs_are_equal_bit_for_bit(engine):
    assert engine.generate(CHAT, PLAIN) == engine.generate(CHAT, PLAIN)
    assert engine.generate([], PLAIN) == []


@pytest.mark.parametrize("tied", [True, False])
def test_there_and_back_again(tied, checkpoint):
    engine = HFEngine(str(checkpoint("llama", tied=tied)), device="cpu")
    spec = DirectionSpec(kind="random", seed=1)
    origin = engine.generate(CHAT, PLAIN)
    scores = engine.score(CHAT, ASKED, PLAIN)
    engine.move_to(Point.at((spec, 0.7)))
    moved = engine.generate(CHAT, PLAIN)
    assert [g.text for g in moved] != [g.text for g in origin]
    other = HFEngine(str(checkpoint("llama", tied=tied)), device="cpu")
    other.move_to(Point.at((spec, 0.7)))
    assert engine.score(CHAT, ASKED, PLAIN) == other.score(CHAT, ASKED, PLAIN) != scores
    model = engine._model
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
    engine.move_to(Point())
    assert engine.generate(CHAT, PLAIN) == origin
    assert engine.score(CHAT, ASKED, PLAIN) == scores


def test_a_point_is_written_as_it_is_computed(engine):
    spec = DirectionSpec(kind="random", seed=2)
    point, deltas = Point.at((spec, -0.4)), prepare([spec], engine.base)
    engine.move_to(point)
    blocks = list(weights_at(engine.base, point, deltas))
    parameters = dict(engine._model.named_parameters())
    for block in blocks:
        assert torch.equal(parameters[block.name][block.start : block.stop], block.values)
    engine.move_to(Point())
    assert digest(blocks) != digest(weights_at(engine.base, Point(), {}))


def test_nan_at_a_point_is_broken_not_a_crash(checkpoint):
    engine = HFEngine(str(checkpoint("llama")), device="cpu")
    with torch.no_grad():
        engine._model.model.norm.weight.fill_(float("nan"))
    for generation in engine.generate(CHAT, PLAIN):
        assert (generation.broken, generation.text, generation.n_tokens) == ("nan logits", "", 0)
        assert generation.gap is None


def test_tokens_that_the_tokenizer_does_not_know_leave_no_text(checkpoint):
    tokenizer = AutoTokenizer.from_pretrained(checkpoint("llama"))
    answers = Answering(tokenizer, {}, date=None, limit=None, n_rows=len(tokenizer) + 3, eos=[])
    unknown = sorted(answers._unknown)
    assert unknown == [len(tokenizer) + i for i in range(3)]
    assert [answers._decode_all(unknown), *answers._decode_tails([unknown])] == ["", ""]
    assert answers._silent > answers._unknown


@pytest.mark.parametrize("dtype", [pytest.param("float16", marks=pytest.mark.slow), "bfloat16"])
def test_whether_a_row_is_broken_does_not_depend_on_a_longer_prompt_beside_it(checkpoint, dtype):
    engine = HFEngine(str(checkpoint("llama")), device="cpu", dtype=dtype)
    model, pad, poisoned = engine._model.model, engine._pad, engine._tokenizer.encode("no", add_special_tokens=False)[0]
    with torch.no_grad():
        embedding, mlp = model.embed_tokens.weight, model.layers[0].mlp
        embedding[:, 0] = 0
        embedding[pad] = 0
        embedding[pad, 0] = 5  # the padding alone drives one unit beyond 65,504, as a far point does
        for weight in (mlp.gate_proj.weight, mlp.up_proj.weight):
            weight[0] = 0
            weight[0, 0] = 60
    together = engine.generate(CHAT, PLAIN)
    assert [one.broken for one in together] == [""] * len(CHAT)
    if dtype == "float16":
        assert together[0] == engine.generate(CHAT[:1], PLAIN)[0], "as alone"
    with torch.no_grad():
        embedding[poisoned] = float("nan")
    assert [one.broken for one in engine.generate(CHAT, PLAIN)] == ["", "", "", "", "nan logits"]


# --- stop rules -------------------------------------------------------------------------------------------------------


def said(text: str, *, after: int = 20) -> str:
    """A few letters of a text, from that place on."""
    return re.findall(r"[a-z]{4}", text[after:])[0]


def test_verdict_stop_cuts_after_the_phrase_and_changes_nothing_before_it(engine):
    full = engine.generate(CHAT, PLAIN)
    phrases = tuple(said(g.text) for g in full[:3])
    cut = engine.generate(CHAT, replace(PLAIN, stop="verdict", phrases=(phrases,)))
    assert sum(c.finish_reason == "verdict" for c in cut) >= 3
    for before, after in zip(full, cut, strict=True):
        hits = [before.text.find(p) + len(p) for p in phrases if p in before.text]
        if after.finish_reason == "verdict":
            clean = after.text.rstrip("\ufffd")
            assert before.text.startswith(clean)
            assert len(clean) >= min(hits)
            assert after.n_tokens < before.n_tokens
        else:
            assert replace(after, gap=None) == replace(before, gap=None)  # a smaller batch rounds differently


def test_two_judges_must_both_be_sure(engine):
    text = engine.generate(CHAT[:1], PLAIN)[0].text
    early, late = said(text, after=5), said(text, after=40)
    both = replace(PLAIN, stop="verdict", phrases=((early,), (late,)))
    cut = engine.generate(CHAT[:1], both)[0]
    assert cut.finish_reason == "verdict"
    assert late in cut.text
    never = replace(PLAIN, stop="verdict", phrases=((early,), ("a phrase it never says",)))
    assert engine.generate(CHAT[:1], never)[0].text == text


def test_a_rule_that_finds_nothing_changes_nothing(engine):
    ruled = engine.generate(CHAT, replace(PLAIN, stop="verdict", rules=("refusal@1",)))
    assert [g.text for g in ruled] == [g.text for g in engine.generate(CHAT, PLAIN)]
    text = ruled[0].text
    both = replace(PLAIN, stop="verdict", phrases=((said(text),),), rules=("refusal@1",))
    assert engine.generate(CHAT[:1], both)[0].text == text  # the rule has no hit


def test_loop_stop_ends_a_cycle_only(checkpoint):
    # a random Gemma with tied embeddings repeats its last token for ever
    engine = HFEngine(str(checkpoint("gemma2")), device="cpu")
    long = Decoding(max_new_tokens=60)
    full, cut = engine.generate(CHAT, long), engine.generate(CHAT, replace(long, stop="loop"))
    assert {g.finish_reason for g in cut} == {"loop"}
    assert all(f.text.startswith(c.text) and c.n_tokens == 33 for f, c in zip(full, cut, strict=True))


# --- limits -----------------------------------------------------------------------------------------------------------


def prompt_of(engine: HFEngine, n_tokens: int) -> list[Message]:
    """A conversation that renders to exactly so many tokens."""
    empty = len(engine._answers.asking(PLAIN).encode("", [Message(role="user", content="")]).ids)
    conversation = [Message(role="user", content="\x01" * (n_tokens - empty))]
    return conversation


def test_a_prompt_that_fills_the_context_is_named(engine):
    with pytest.raises(PromptError) as caught:
        engine.generate([CHAT[0], prompt_of(engine, 256)], PLAIN)
    message = str(caught.value)
    assert "prompt 1 must be shorter than the context of 256 tokens" in message
    assert "256 tokens" in message
    assert "\n" not in message


def test_generation_is_limited_to_the_context(engine):
    short, tight = engine.generate([CHAT[0], prompt_of(engine, 253)], PLAIN)
    assert (tight.n_tokens, tight.finish_reason) == (3, "length")
    assert short.n_tokens == 40


def test_scores_stop_at_the_context(engine):
    found = engine.score([prompt_of(engine, 250)], ["one two three four five six seven eight nine ten"], PLAIN)[0]
    assert len(found.nll) == len(found.ends) == 6


@pytest.mark.parametrize("arch", ["llama", "qwen3"])
def test_what_is_scored_of_a_text_is_the_beginning_of_the_whole(arch, checkpoint):
    engine = HFEngine(str(checkpoint(arch)), device="cpu")
    asked = [CHAT[0], CHAT[0], CHAT[1], CHAT[0]]
    texts = ["one two three four", "one two, and then six", "seven eight", "one two three four"]
    whole = engine.score(asked, texts, PLAIN)
    untils = [5, 9, 0, 18]
    for part, score, until in zip(engine.score_prefixes(asked, texts, untils, PLAIN), whole, untils, strict=True):
        n = sum(start < until for start in (0, *score.ends[:-1]))
        assert part.ends == score.ends[:n]
        assert part.nll == pytest.approx(score.nll[:n], abs=1e-3)
        assert until == 0 or part.ends[-1] >= until


def test_scores_are_those_of_the_rendered_conversation(engine):
    tokenizer, model = engine._tokenizer, engine._model
    text = "Weigh it twice."
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": ASKED[0]}], tokenize=False,
                                           add_generation_prompt=True)  # fmt: skip
    ids = tokenizer(prompt + text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    n = len(tokenizer(text, add_special_tokens=False)["input_ids"])
    with torch.no_grad():
        logits = model(ids).logits[0, -n - 1 : -1].double()
    nll = torch.nn.functional.cross_entropy(logits, ids[0, -n:], reduction="none").tolist()
    found = engine.score([CHAT[0], CHAT[1]], [text, ""], PLAIN)
    assert found[0].nll == pytest.approx(nll, abs=1e-3)
    assert found[0].ends[-1] == len(text)
    assert found[1].nll == ()


# --- where an answer begins and ends ----------------------------------------------------------------------------------


def test_what_a_user_says_opens_no_thinking(checkpoint):
    engine = HFEngine(str(checkpoint("qwen3", template="thinking")), device="cpu")
    engine._model.generation_config.suppress_tokens = [6, 7]
    asked = [Message(role="system", content="Use <think> tags."), Message(role="user", content="What is <think> for?")]
    generation = engine.generate([asked], PLAIN)[0]
    assert (bool(generation.text), generation.thinking) == (True, "")
    assert engine.score([asked], ["Weigh it twice."], PLAIN)[0].nll


def test_a_row_ends_where_the_template_ends_a_turn(checkpoint):
    written = "{% for m in messages %}<|user|>{{ m['content'] }}</turn>{% endfor %}<|assistant|>"
    folder, template = str(checkpoint("llama")), {"chat_template": written}
    engine, plain = (HFEngine(folder, device="cpu", template_args=template) for _ in range(2))
    assert engine.facts().details["end_texts"] == ["</turn>"]
    plain._answers.asking(PLAIN).ends = plain._answers.asking(PLAIN).ends._replace(texts=())
    whole = plain.generate(CHAT, PLAIN)
    word = re.findall(r"\w{4,}", whole[0].text)[2]  # one that this model writes stands for the end
    engine._answers.asking(PLAIN).ends = engine._answers.asking(PLAIN).ends._replace(texts=(word,))
    for cut, full in zip(engine.generate(CHAT, PLAIN), whole, strict=True):
        assert cut.text == full.text.partition(word)[0]
        assert cut.finish_reason == ("stop" if word in full.text else full.finish_reason)


# --- loading ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_adapter_in_the_reference_is_merged(checkpoint, tmp_path):
    peft = pytest.importorskip("peft")
    base = checkpoint("llama", tied=False)
    lora = make_lora(tmp_path / "lora", base)
    ours = HFEngine(f"{base}+{lora}", device="cpu")
    merged = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), lora).merge_and_unload()
    theirs = dict(merged.named_parameters())
    for name, parameter in ours._model.named_parameters():
        torch.testing.assert_close(parameter, theirs[name])
    assert ours.generate(CHAT, PLAIN) != HFEngine(str(base), device="cpu").generate(CHAT, PLAIN)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stored", "asked", "expected"),
    [
        ("float32", "auto", "float32"),
        ("float16", "auto", "float32"),
        ("bfloat16", "auto", "float32"),
        ("bfloat16", "float32", "float32"),
        ("bfloat16", "bfloat16", "bfloat16"),
    ],
)
def test_dtype(stored, asked, expected, checkpoint):
    engine = HFEngine(str(checkpoint("llama", dtype=stored)), device="cpu", dtype=asked)
    assert engine.facts().dtype == expected
    assert engine.generate(CHAT[:1], Decoding(max_new_tokens=3))[0].n_tokens == 3


def test_unknown_dtype_and_device(checkpoint):
    with pytest.raises(UsageError, match="dtype must be one of auto, float32"):
        HFEngine(str(checkpoint("llama")), device="cpu", dtype="int3")
    with pytest.raises(UsageError, match="device must be one that this machine has"):
        HFEngine(str(checkpoint("llama")), device="cuda:7")


def test_auto_prefers_an_accelerator(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto").type == "cuda"
    assert resolve_device("cuda:1").index == 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"\(auto, cpu, mps\)"):
        resolve_device("cuda")


def test_no_chat_template(checkpoint):
    engine = HFEngine(str(checkpoint("gpt2", template="none")), device="cpu")
    with pytest.raises(ModelError, match="chat template"):
        engine.generate(CHAT, PLAIN)
    with pytest.raises(ModelError, match="chat_template=@FILE"):
        engine.facts()


def test_system_turn_that_the_template_refuses(checkpoint):
    engine = HFEngine(str(checkpoint("gemma2", template="no_system")), device="cpu")
    assert engine.generate(CHAT[:1], Decoding(max_new_tokens=2))
    with pytest.raises(PromptError, match="--system default"):
        engine.generate([[Message(role="system", content="Be brief."), *CHAT[0]]], PLAIN)


def test_loading_says_nothing_and_leaves_logging_alone(checkpoint, capfd):
    from transformers.utils import logging

    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    folder = str(checkpoint("llama"))
    capfd.readouterr()
    HFEngine(folder, device="cpu")
    assert capfd.readouterr().err == ""
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_batch_size_follows_memory(engine, monkeypatch):
    def fits(free: int, n_prompts: int = 500) -> int:
        monkeypatch.setattr(loading, "_free_bytes", lambda device: free)
        return batch_size_that_fits(engine._model, n_prompts=n_prompts, max_new_tokens=512, limit=256)

    assert fits(2**40) == 125  # four batches of one size, not 128 three times and 116
    assert fits(2**40, n_prompts=128) == 128
    assert fits(2**40, n_prompts=129) == 65
    assert fits(2**40, n_prompts=5) == 5
    assert fits(0) == 1
    # two layers, two key heads of width 16, 256 tokens, float32, keys and values: 131,072 bytes a row at least
    assert 1 < fits(20 * 131_072) < 20


def test_suggested_batch_is_never_larger_than_the_prompts(engine):
    assert engine.suggest_batch_size(3, 10) == 3


# --- tokens beyond the embedding --------------------------------------------------------------------------------------


def with_tokens(folder, out, *names, pad=None):
    """A copy whose tokenizer has tokens that the embedding (512 rows) has no row for."""
    shutil.copytree(folder, out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    tokenizer.add_tokens([f"<|spare {i}|>" for i in range(512 - len(tokenizer))], special_tokens=True)
    tokenizer.add_tokens(list(names), special_tokens=True)
    if pad is not None:
        tokenizer.add_special_tokens({"pad_token": pad})
    tokenizer.save_pretrained(out)
    return out


@pytest.mark.slow
def test_a_padding_token_beyond_the_embedding_changes_nothing(engine, checkpoint, tmp_path):
    grown = HFEngine(str(with_tokens(checkpoint("llama"), tmp_path / "m", pad="[PAD]")), device="cpu")
    assert grown.generate(CHAT, PLAIN) == engine.generate(CHAT, PLAIN)
    texts = ["two turns", "a", "rest in moss", "", "twice"]
    assert grown.score(CHAT, texts, PLAIN) == engine.score(CHAT, texts, PLAIN)
    config = break_config(shutil.copytree(tmp_path / "m", tmp_path / "c"), pad_token_id=512)
    assert HFEngine(str(config), device="cpu").generate(CHAT, PLAIN) == engine.generate(CHAT, PLAIN)


def test_a_token_that_no_text_has_is_no_matter_and_one_that_a_text_has_names_both_sizes(checkpoint, tmp_path):
    grown = HFEngine(str(with_tokens(checkpoint("llama"), tmp_path / "m", "<|tool|>")), device="cpu")
    assert len(grown.generate(CHAT, PLAIN)) == len(CHAT)
    message = r"embedding for \(512, its tokenizer has 513\); got 'token 512'\. Resize the model"
    asked = [CHAT[0], [Message(role="user", content="use <|tool|> now")]]
    with pytest.raises(PromptError, match=rf"prompt 1 \(it begins 'use <\|tool\|> now'\) must be of tokens.*{message}"):
        grown.generate(asked, PLAIN)
    with pytest.raises(PromptError, match=message):
        grown.score(CHAT[:1], ["<|tool|>"], PLAIN)
    with pytest.raises(PromptError, match=message):
        TextReader(grown, "a <|tool|>")


def test_a_model_that_does_not_fit_the_memory_is_one_line(checkpoint, monkeypatch):
    def short(*_, **__):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", short)
    with pytest.raises(ModelError, match=r"model must be small enough for the memory.*Use a smaller dtype"):
        HFEngine(str(checkpoint("llama")), device="cpu")
