"""The losses of safety training on a model small enough to compute them a second time, with numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from safebasin.protocols import Setup
from safebasin.records import EncodedRow, TrainingRow
from safebasin.worlds.loop import Stage, collate
from safebasin.worlds.pcfg.build import Recipe, new_model
from safebasin.worlds.pcfg.methods import Contrast
from safebasin.worlds.pcfg.rows import training_rows
from safebasin.worlds.pcfg.tokenizer import VOCABULARY, build_tokenizer
from safebasin.worlds.pcfg.world import WORLD

STAGE = Stage(steps=1, learning_rate=1e-3)
RECIPE = Recipe(pretraining=STAGE, instruction=STAGE, width=16, layers=1, heads=2)


def encode(row: TrainingRow) -> EncodedRow:
    ids = {word: place for place, word in enumerate(VOCABULARY)}
    asked, said = (message.content.split() for message in row.messages)
    prompt = [ids[w] for w in ("<|begin|>", "<|user|>", *asked, "<|end|>", "<|assistant|>")]
    response = [ids[w] for w in (*said, "<|end|>")]
    return EncodedRow(row=row, ids=(*prompt, *response), labels=(*(-100 for _ in prompt), *response))


def mean_loss(model: Any, row: EncodedRow) -> float:
    """Cross entropy of a response, one token after the other, by numpy."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([row.ids])).logits[0].double().numpy()
    found = []
    for place, label in enumerate(row.labels):
        if label != -100:
            at = logits[place - 1]
            found.append(np.log(np.exp(at - at.max()).sum()) + at.max() - at[label])
    return float(np.mean(found))


@pytest.fixture
def setup() -> Setup:
    rows = tuple(encode(row) for row in training_rows("lesson", 6, 0))
    return Setup(rows=rows, encode=encode, loss=lambda model, batch: torch.zeros(()), parameters=(), tokenizer=None)


def other(row: EncodedRow) -> EncodedRow:
    """The same request with the other response, made by hand from the tasks."""
    from safebasin.records import Message
    from safebasin.worlds.pcfg.tasks import NULL, answer, parse_request

    request = parse_request(row.row.messages[0].content)
    assert request is not None
    text = answer(request) if NULL in row.row.messages[1].content else " ".join([NULL] * 8)
    return encode(
        TrainingRow(messages=(row.row.messages[0], Message(role="assistant", content=text)), source="", number=1)
    )


def test_unlearning(setup: Setup) -> None:
    model = new_model(0, RECIPE)
    loss = Contrast(method="unlearn", gamma=0.1).training(setup, WORLD).loss
    found = loss(model, collate([(row.ids, row.labels) for row in setup.rows]))
    expected = np.mean([mean_loss(model, row) - 0.1 * mean_loss(model, other(row)) for row in setup.rows])
    assert float(found.detach()) == pytest.approx(expected, abs=1e-5)


def test_dpo_is_log_two_before_the_first_step_and_the_formula_after_it(setup: Setup) -> None:
    start, model = new_model(0, RECIPE), new_model(0, RECIPE)
    loss = Contrast(method="dpo", beta=0.1, gamma=0.01).training(setup, WORLD).loss
    batch = collate([(row.ids, row.labels) for row in setup.rows])
    assert float(loss(model, batch).detach()) == pytest.approx(np.log(2), abs=1e-6)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    margins = [
        0.1 * (mean_loss(start, row) - mean_loss(model, row))
        - 0.01 * (mean_loss(start, other(row)) - mean_loss(model, other(row)))
        for row in setup.rows
    ]
    expected = np.mean([np.log1p(np.exp(-margin)) for margin in margins])
    assert float(loss(model, batch).detach()) == pytest.approx(expected, abs=1e-6)


def test_the_tokenizer_speaks_the_template_and_marks_the_answer() -> None:
    tokenizer = build_tokenizer()
    row = training_rows("benign", 1, 0)[0]
    chat = [{"role": m.role, "content": m.content} for m in row.messages]
    made: Any = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
    assert tuple(made["input_ids"]) == encode(row).ids
    kept = [i for i, mask in zip(made["input_ids"], made["assistant_masks"], strict=True) if mask]
    assert tokenizer.decode(kept) == f"{row.messages[1].content} <|end|>"
    system: Any = tokenizer.apply_chat_template([{"role": "system", "content": "Be brief."}, *chat[:1]], tokenize=True)
    assert "<|unknown|>" in tokenizer.decode(system["input_ids"] if not isinstance(system, list) else system)
