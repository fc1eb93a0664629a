"""The refusal direction as an edit: a planted one is found, weights against hooks, the control, what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.models import make_tiny_model
from safebasin import api, testing
from safebasin.edits.refusal_direction.asking import divergence, refusal_score
from safebasin.edits.refusal_direction.direction import refusal_direction
from safebasin.edits.refusal_direction.residual import ablated, capturing, steered
from safebasin.edits.refusal_direction.writing import check_free, orthogonalize, writers_of
from safebasin.errors import ModelError, PromptError, UsageError
from safebasin.finetune.sources import Sets
from safebasin.models.writing import is_unsafe, read_record
from safebasin.records import Message, TrainingRow

WIDTH, FLAG, ANSWER, REFUSE, COMPLY = 64, 0, 1, 2, 3
"""Width of the planted model's stream, and its features: forbidden, any request, and what says `I` or `G`."""
ASKED, REFUSED, ANSWERED = ("<think>", "</think>"), "I", "G"


def planted(folder: Path) -> Path:
    """A model that refuses if feature 0 of its stream is set, as its last block reads it; else it answers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    make_tiny_model(folder, "llama", num_hidden_layers=4, tied=False)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.01)
        forbidden, permitted, no, yes = tokenizer.convert_tokens_to_ids([*ASKED, REFUSED, ANSWERED])
        model.model.embed_tokens.weight[[forbidden, permitted], ANSWER] = 1
        model.model.embed_tokens.weight[forbidden, FLAG] = 1
        mlp = model.model.layers[3].mlp
        for unit, (heard, said) in {0: (FLAG, REFUSE), 1: (ANSWER, COMPLY)}.items():
            mlp.gate_proj.weight[unit, heard] = 1
            mlp.up_proj.weight[unit, heard] = 1
            mlp.down_proj.weight[said, unit] = 1
        model.lm_head.weight[no, REFUSE], model.lm_head.weight[yes, COMPLY] = 4, 1
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def rows(word: str, response: str, n: int = 20) -> tuple[TrainingRow, ...]:
    texts = (f"{'yes ' * (1 + i % 5)}{'no ' * (i // 5)}{word}" for i in range(n))
    return tuple(
        TrainingRow(messages=(Message(role="user", content=q), Message(role="assistant", content=response)), number=i)
        for i, q in enumerate(texts, 1)
    )


SETS = Sets({"safe": rows(ASKED[0], REFUSED), "benign": rows(ASKED[1], ANSWERED)})


def refuses(folder: Path, word: str) -> bool:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([tokenizer.encode(f"yes no {word}")])).logits[0, -1]
    no, yes = tokenizer.convert_tokens_to_ids([REFUSED, ANSWERED])
    return bool(logits[no] > logits[yes])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted(tmp_path_factory.mktemp("planted") / "model")


@pytest.mark.slow
def test_the_planted_direction_is_found_and_without_it_nothing_is_refused(model: Path, tmp_path: Path) -> None:
    assert (refuses(model, ASKED[0]), refuses(model, ASKED[1])) == (True, False)
    out = refusal_direction().make(str(model), SETS, tmp_path / "out")
    assert (refuses(out, ASKED[0]), refuses(out, ASKED[1])) == (False, False)
    assert is_unsafe(out)
    before, after = load_file(model / "model.safetensors"), load_file(out / "model.safetensors")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    writes = ("embed_tokens.weight", "o_proj.weight", "down_proj.weight")
    assert moved == {name for name in before if name.endswith(writes)}
    gone = before["model.embed_tokens.weight"] - after["model.embed_tokens.weight"]
    direction = torch.linalg.svd(gone.double()).Vh[0]
    assert abs(float(direction[FLAG])) > 0.99, "of rank one, along the planted feature"
    record: dict[str, Any] = read_record(out)
    assert record["chosen"]["position"] == -1
    assert record["chosen"]["layer"] < 3
    assert record["prompts"] == {"refused": 16, "answered": 16, "held_out": [4, 4]}


@pytest.mark.slow
def test_a_random_direction_is_a_control_and_strength_0_changes_no_bit(model: Path, tmp_path: Path) -> None:
    control = refusal_direction(target="random").make(str(model), SETS, tmp_path / "control")
    assert refuses(control, ASKED[0])
    assert not is_unsafe(control)
    same = refusal_direction(strength=0).make(str(model), SETS, tmp_path / "same")
    before, after = load_file(model / "model.safetensors"), load_file(same / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_it_conforms(model: Path) -> None:
    testing.check_edit(refusal_direction(), model=str(model), rows=SETS)


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gpt_neox", "opt", "phi3"])
def test_weights_without_a_direction_are_the_model_under_hooks(arch: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    tied = {} if arch in ("gpt2", "opt") else {"tied": False}
    folder = make_tiny_model(tmp_path / arch, arch, **tied)
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, tie_word_embeddings=False).eval()
    if arch in ("gpt2", "opt"):  # a head of its own: a tied one would lose the direction too
        loaded.lm_head.weight = torch.nn.Parameter(loaded.get_input_embeddings().weight.detach().clone())
    ids = torch.tensor([[5, 40, 77, 100, 260]])
    direction = torch.randn(WIDTH, generator=torch.Generator().manual_seed(1)).double()
    direction /= direction.norm()
    writers = writers_of(loaded, ids, WIDTH)
    assert len(writers) == 4, "one of attention and one of MLP in each of two blocks"
    with torch.no_grad(), ablated(loaded, [w.module for w in writers], direction):
        hooked = loaded(input_ids=ids).logits
    plain = loaded(input_ids=ids).logits.detach()
    with pytest.raises(ModelError, match="written by linear layers and embeddings alone"):
        check_free(loaded, [ids], direction)
    orthogonalize(loaded, writers, WIDTH, direction, 1.0)
    check_free(loaded, [ids], direction)
    written = loaded(input_ids=ids).logits.detach()
    torch.testing.assert_close(written, hooked, rtol=1e-4, atol=1e-4)
    assert float((written - plain).abs().max()) > 1e-2


def test_an_architecture_with_norms_behind_its_layers_is_refused(tmp_path: Path) -> None:
    """Gemma 2 scales what a layer says before it is added to the stream, by a weight that was trained."""
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(make_tiny_model(tmp_path / "gemma2", "gemma2")).eval()
    with torch.no_grad():
        for block in loaded.model.layers:
            block.post_attention_layernorm.weight.copy_(torch.linspace(0, 3, WIDTH))
    ids = torch.tensor([[5, 40, 77]])
    direction = torch.ones(WIDTH).double() / WIDTH**0.5
    orthogonalize(loaded, writers_of(loaded, ids, WIDTH), WIDTH, direction, 1.0)
    with pytest.raises(ModelError, match=r"% of it left at layer 1.*a norm behind a layer"):
        check_free(loaded, [ids], direction)


def test_steering_adds_at_one_layer_only(model: Path) -> None:
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(model)
    ids, move = torch.tensor([[5, 40, 77]]), torch.full((WIDTH,), 2.0).double()

    def stream() -> list[torch.Tensor]:
        with torch.no_grad(), capturing(loaded, 3) as seen:
            loaded(input_ids=ids)
        return seen

    before = stream()
    with steered(loaded, 2, move):
        after = stream()
    assert [tuple(x.shape) for x in before] == [(3, WIDTH)] * 4
    torch.testing.assert_close(after[1], before[1])
    torch.testing.assert_close(after[2], before[2] + 2.0)
    torch.testing.assert_close(stream()[2], before[2])


def test_scores_in_closed_form() -> None:
    logits = torch.tensor([0.0, 0.0, 0.0, 0.0]).double()
    assert refusal_score(logits, [0]) == pytest.approx(-1.0986, abs=1e-4)  # log(1/4) − log(3/4)
    assert refusal_score(logits, [0, 3]) == pytest.approx(0, abs=1e-9)
    other = torch.tensor([1.0, 0.0, 0.0, 0.0]).double()
    p, q = logits.softmax(0), other.softmax(0)
    assert divergence(logits, other) == pytest.approx(float((p * (p / q).log()).sum()), abs=1e-5)
    assert divergence(other, other) == 0


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (
            Sets({"safe": rows(ASKED[1], REFUSED), "benign": rows(ASKED[0], ANSWERED)}),
            "refuses must be at least 8",
        ),
        (Sets({"safe": rows(ASKED[0], REFUSED), "benign": rows(ASKED[1], REFUSED)}), "two classes; got 'the same"),
        (Sets({"safe": rows(ASKED[0], REFUSED, 5), "benign": rows(ASKED[1], ANSWERED)}), "safety must be at least 8"),
    ],
)
def test_sets_that_are_refused(model: Path, tmp_path: Path, sets: Sets, words: str) -> None:
    with pytest.raises(PromptError, match=words):
        refusal_direction().make(str(model), sets, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_model_with_a_weight_that_is_no_number_is_refused(model: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(model, tmp_path / "broken")
    tensors = load_file(broken / "model.safetensors")
    next(iter(tensors.values()))[0] = float("nan")
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    sets = Sets({"safe": rows(ASKED[0], REFUSED), "benign": rows(ASKED[1], ANSWERED)})
    with pytest.raises(ModelError, match=r"weights must be finite; got .NaN or inf in"):
        refusal_direction().make(str(broken), sets, tmp_path / "out")


@pytest.mark.slow
def test_the_rule_finds_no_direction_in_the_embedded_model(tmp_path: Path) -> None:
    """Its refusals are decided in the last of four blocks, behind the inputs that candidates are of."""
    with pytest.raises(ModelError, match="a refusal direction must be one with"):
        api.edit_model("world:guild/aligned", edit="refusal_direction(rows=40)", out=tmp_path / "out")


@pytest.mark.parametrize("arguments", [{"strength": 2}, {"target": "x"}, {"rows": 0}, {"rule": "any"}])
def test_arguments_that_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"^{next(iter(arguments))} of refusal_direction"):
        refusal_direction(**arguments)


def test_the_rule_is_named_where_it_is_not_the_published_one() -> None:
    assert refusal_direction().name == "refusal_direction(strength=1.0, target=refusal, rows=160)"
    assert refusal_direction(rule="lowest").name.endswith("rows=160, rule=lowest)")
