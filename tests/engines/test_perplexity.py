"""Perplexity and KL against forward passes of transformers and against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from safebasin.engines import perplexity
from safebasin.engines.hf import HFEngine
from safebasin.engines.perplexity import TextReader, TextReading, read_text
from safebasin.engines.scoring import text_logits
from safebasin.engines.scripted import ScriptedEngine
from safebasin.errors import ModelError, StudyError
from safebasin.models.tokens import begin_id
from safebasin.records import DirectionSpec, Point

TEXT = (
    "The guild keeps clay, wool, cedar and salt in the yard behind the hall. Weigh it twice and let it rest in sand.\n"
    "How do I ring the bell? Two turns, warm steam, rest in moss – the charter keeps the drum closed. "
) * 3


def moved(engine: HFEngine, alpha: float) -> None:
    spec = DirectionSpec(kind="random", seed=3)
    engine.move_to(Point.at((spec, alpha)))


def windows_by_hand(n: int, width: int) -> list[tuple[int, int]]:
    """Bounds of windows that overlap by one token and cover `n` tokens."""
    bounds, start = [], 0
    while start < n - 1:
        bounds.append((start, min(start + width, n)))
        start += width - 1
    return bounds


def by_hand(model, other, ids: list[int], width: int) -> tuple[float, float, float]:
    """(NLL, KL, agreement) of `other` against `model`, with `labels=` for the loss and float64 sums for KL."""
    nll = kl = same = count = 0.0
    for start, stop in windows_by_hand(len(ids), width):
        row = torch.tensor([ids[start:stop]])
        with torch.no_grad():
            p = model(row).logits[0, :-1].double().log_softmax(-1)
            out = other(row, labels=row)
        q = out.logits[0, :-1].double().log_softmax(-1)
        nll += float(out.loss) * (stop - start - 1)
        kl += float(torch.nn.functional.kl_div(q, p, log_target=True, reduction="sum"))
        same += float((p.argmax(-1) == q.argmax(-1)).sum())
        count += stop - start - 1
    return nll / count, kl / count, same / count


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gemma2", "qwen3"])
def test_nll_and_kl_equal_a_forward_pass(arch, checkpoint, monkeypatch):
    monkeypatch.setattr(perplexity, "WINDOW", 50)
    folder = checkpoint(arch)
    engine = HFEngine(str(folder), device="cpu")
    reader = TextReader(engine, TEXT)
    moved(engine, 0.1)
    origin, other = (AutoModelForCausalLM.from_pretrained(folder).eval() for _ in range(2))
    other.load_state_dict(engine._model.state_dict())
    ids = AutoTokenizer.from_pretrained(folder)(TEXT, add_special_tokens=False)["input_ids"]
    found, (nll, kl, agreement) = reader.measure(), by_hand(origin, other, ids, 50)
    assert len(ids) > 150
    assert found.n_tokens == len(ids) - 1
    assert found.nll == pytest.approx(nll, rel=1e-5)
    assert found.perplexity == pytest.approx(math.exp(nll), rel=1e-4)
    assert kl > 0.01
    assert found.kl == pytest.approx(kl, rel=1e-4)
    assert found.agreement == pytest.approx(agreement)


@pytest.mark.parametrize("arch", ["llama", "opt", "mistral"])
def test_logits_equal_token_for_token(arch, checkpoint):
    engine = HFEngine(str(checkpoint(arch)), device="cpu")
    ids = engine._tokenizer.encode(TEXT, add_special_tokens=False)[:40]
    with engine.lend() as (lent, _):
        logits = text_logits(lent, ids)
    found = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="none")
    model = AutoModelForCausalLM.from_pretrained(checkpoint(arch)).eval()
    for n in range(1, len(ids), 6):  # each token from a pass over its own prefix only
        with torch.no_grad():
            alone = model(torch.tensor([ids[:n]])).logits[0, -1].double().log_softmax(-1)
        assert float(found[n - 1]) == pytest.approx(-float(alone[ids[n]]), abs=1e-4)


def test_at_the_origin_and_back_there_kl_is_exactly_zero(checkpoint):
    engine = HFEngine(str(checkpoint("llama")), device="cpu")
    reader = TextReader(engine, TEXT)
    origin = reader.measure()
    assert (origin.kl, origin.agreement, origin.broken) == (0.0, 1.0, "")
    moved(engine, 0.5)
    away = reader.measure()
    assert away.kl is not None
    assert away.kl > 0.1
    assert 0 < away.agreement < 1
    engine.move_to(Point())
    assert reader.measure() == origin


def test_kl_of_a_small_step_falls_with_its_square(checkpoint):
    engine = HFEngine(str(checkpoint("llama")), device="cpu")
    reader = TextReader(engine, TEXT[:200])
    found = []
    for alpha in (1e-3, 1e-4):
        moved(engine, alpha)
        found.append(reader.measure().kl)
    assert found[0] / found[1] == pytest.approx(100, rel=0.2)  # a plain sum in float32 gives noise here


def test_divergence_of_two_coins():
    p, q = torch.tensor([[[0.5, 0.5, 0.0]], [[0.9, 0.1, 0.0]]], dtype=torch.float64)
    expected = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert float(perplexity._divergence(p.log(), q.log())) == pytest.approx(expected, rel=1e-12)
    far = torch.tensor([[0.0, -1000.0]]).double(), torch.tensor([[-1000.0, 0.0]]).double()
    assert float(perplexity._divergence(*far)) == pytest.approx(1000.0)
    assert float(perplexity._divergence(q.log(), torch.tensor([[0.0, 1.0, 0.0]]).double().log())) == math.inf


def test_windows_predict_each_token_once():
    assert perplexity._windows([1, 2, 3, 4, 5, 6], bos=None, width=3) == [[1, 2, 3], [3, 4, 5], [5, 6]]
    assert perplexity._windows([1, 2, 3, 4, 5], bos=9, width=3) == [[9, 1, 2], [9, 3, 4], [9, 5]]
    assert perplexity._windows([1, 2], bos=None, width=512) == [[1, 2]]


def test_a_beginning_token_is_put_where_the_tokenizer_puts_one(checkpoint):
    from tokenizers.processors import TemplateProcessing

    engine = HFEngine(str(checkpoint("llama")), device="cpu")
    assert begin_id(engine._tokenizer) is None  # it has one, but does not use it
    without = TextReader(engine, TEXT[:100])
    engine._tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", 1)]
    )
    assert begin_id(engine._tokenizer) == 1
    with_it = TextReader(engine, TEXT[:100])
    assert with_it.n_tokens == without.n_tokens + 1
    ids = [1, *engine._tokenizer.encode(TEXT[:100], add_special_tokens=False)]
    with torch.no_grad():
        loss = engine._model(torch.tensor([ids]), labels=torch.tensor([ids])).loss
    assert with_it.measure().nll == pytest.approx(float(loss), rel=1e-5)


def test_a_cut_is_told(checkpoint, caplog):
    engine = HFEngine(str(checkpoint("llama")), device="cpu")
    whole = TextReader(engine, TEXT)
    assert whole.n_left_out == 0
    assert not caplog.records
    cut = TextReader(engine, TEXT, name="yard", max_tokens=20)
    assert (cut.n_tokens, cut.n_left_out) == (19, whole.n_tokens - 19)
    assert caplog.messages == [f"text 'yard': the first 20 of its {whole.n_tokens + 1} tokens are read"]


def test_broken_weights_give_a_reason(checkpoint):
    engine = HFEngine(str(checkpoint("llama")), device="cpu")
    reader = TextReader(engine, TEXT)
    weight = engine._model.lm_head.weight
    kept = weight[0, 0].clone()
    weight[0, 0] = math.nan
    found = reader.measure()
    assert (found.nll, found.perplexity, found.kl, found.agreement) == (None, None, None, None)
    assert found.broken == "nan or inf logits"
    with pytest.raises(ModelError, match="able to read 'text' at θ₀; got 'nan or inf logits'"):
        TextReader(engine, TEXT)
    weight[0, 0] = kept
    assert reader.measure().kl == 0


def test_perplexity_beyond_floats_is_none():
    assert TextReading(nll=5000.0, kl=1.0, agreement=0.0, n_tokens=3).perplexity is None
    assert TextReading(nll=0.0, kl=0.0, agreement=1.0, n_tokens=3).perplexity == 1.0


def test_too_much_memory_says_what_to_lower(checkpoint, monkeypatch):
    monkeypatch.setattr(perplexity, "LARGEST_BASE", 512 * 4 * 30)
    engine = HFEngine(str(checkpoint("llama")), device="cpu")
    with pytest.raises(StudyError, match="Lower max_tokens to 30 for this vocabulary of 512"):
        TextReader(engine, TEXT)
    assert TextReader(engine, TEXT, max_tokens=30).n_tokens == 29


def test_texts_that_cannot_be_read(checkpoint):
    with pytest.raises(ModelError, match=r"in this process.*got 'ScriptedEngine'. Leave out the texts"):
        TextReader(ScriptedEngine(), TEXT)
    engine = HFEngine(str(checkpoint("llama")), device="cpu")
    with pytest.raises(StudyError, match="'short' must be at least two tokens long; got 'a'"):
        TextReader(engine, "a", name="short")


def test_files_that_are_no_text(tmp_path):
    good = tmp_path / "good.txt"
    good.write_bytes(b"\xef\xbb\xbfThe guild's clay.\n")
    assert read_text(good) == "The guild's clay.\n"
    for name, content, told in (
        ("empty.txt", b" \n", "a file with text in it"),
        ("latin.txt", "Größe".encode("latin-1"), r"a UTF-8 text file.*Byte 2"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StudyError, match=told):
            read_text(tmp_path / name)
    for missing, told in ((tmp_path / "missing.txt", "an existing file"), (tmp_path, "a regular file")):
        with pytest.raises(StudyError, match=rf"text must be {told}; got .*"):
            read_text(missing)
