"""Tasks of lm-eval in memory, against log-likelihoods and greedy text computed by hand. Offline, with own tasks."""

from __future__ import annotations

import importlib.util
import json
import math
import random
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from safebasin.engines.hf import HFEngine
from safebasin.engines.scripted import ScriptedEngine
from safebasin.engines.tasks import TaskRunner, run_tasks
from safebasin.errors import MissingExtra, ModelError, StudyError
from safebasin.records import DirectionSpec, Point
from safebasin.weights.stream import digest, weights_at

ITEMS = [
    {"question": f"How does the guild keep the {thing}?", "choices": choices, "answer": n % 3}
    for n, (thing, choices) in enumerate(
        (thing, [f"in {place}", f"with {other}", "not at all"])
        for thing in ("clay", "wool", "cedar", "salt", "drum")
        for place, other in (("sand", "moss"), ("warm steam", "one bell"))
    )
]
CHOICE = """task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""
TEXT = """task: guild_text
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: said
generation_kwargs: {{until: ["|"], max_gen_toks: 6}}
metric_list: [{{metric: exact_match}}]
"""
GROUP = """group: guild
task: [guild_choice, guild_more]
aggregate_metric_list: [{metric: acc, weight_by_size: true}]
"""


def needs_lm_eval() -> None:
    pytest.importorskip("lm_eval", reason="needs the extra 'capability'")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    needs_lm_eval()
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    made = tmp_path / "tasks"
    made.mkdir()
    for name, items in (("guild_choice", ITEMS), ("guild_more", ITEMS[:4])):
        data = made / f"{name}.jsonl"
        data.write_text("".join(json.dumps(item) + "\n" for item in items))
        (made / f"{name}.yaml").write_text(CHOICE.format(name=name, data=data))
    (made / "guild.yaml").write_text(GROUP)
    return made


@pytest.fixture
def engine(checkpoint) -> HFEngine:
    return HFEngine(str(checkpoint("llama")), device="cpu")


def accuracy(engine: HFEngine, items: list[dict]) -> float:
    """Share of items whose answer is the likeliest of its choices, one unpadded forward pass each."""
    tokenizer = engine._tokenizer
    right = 0
    for item in items:
        sums = []
        for choice in item["choices"]:
            asked = tokenizer.encode(item["question"])
            whole = tokenizer.encode(f"{item['question']} {choice}")
            with torch.no_grad():
                logp = engine._model(torch.tensor([whole])).logits[0].log_softmax(-1)
            sums.append(sum(float(logp[n - 1, whole[n]]) for n in range(len(asked), len(whole))))
        right += max(range(3), key=sums.__getitem__) == item["answer"]
    return right / len(items)


def move(engine: HFEngine, alpha: float) -> None:
    spec = DirectionSpec(kind="random", seed=5)
    engine.move_to(Point.at((spec, alpha)))


def test_accuracy_is_that_of_the_current_weights(engine, folder):
    runner = TaskRunner(engine, ["guild_choice"], folder=folder)
    (origin,) = runner.run()
    assert (origin.task, origin.metric, origin.n, origin.broken) == ("guild_choice", "acc", 10, "")
    assert origin.value == accuracy(engine, ITEMS)
    assert origin.stderr == pytest.approx(math.sqrt(origin.value * (1 - origin.value) / 9))
    values = set()
    for alpha in (0.5, 1.0, 2.0):
        move(engine, alpha)
        (there,) = runner.run()
        assert there.value == accuracy(engine, ITEMS)
        values.add(there.value)
    assert len(values | {origin.value}) > 1
    engine.move_to(Point())
    assert runner.run() == (origin,)


def test_groups_limits_and_order(engine, folder):
    more, group = run_tasks(engine, ["guild_more", "guild"], folder=folder)
    assert (more.task, more.value, more.n) == ("guild_more", accuracy(engine, ITEMS[:4]), 4)
    assert (group.task, group.metric, group.n) == ("guild", "acc", 14)
    assert group.value == pytest.approx((10 * accuracy(engine, ITEMS) + 4 * more.value) / 14)
    (few,) = run_tasks(engine, ["guild_choice"], folder=folder, limit=3)
    assert (few.n, few.value) == (3, accuracy(engine, ITEMS[:3]))


def test_generated_text_is_greedy(engine, folder):
    asked = [item["question"] for item in ITEMS[:4]]
    tokenizer = AutoTokenizer.from_pretrained(engine._resolved.folder)
    items = []
    for n, question in enumerate(asked):
        ids = tokenizer(question, return_tensors="pt")
        with torch.no_grad():
            out = engine._model.generate(**ids, max_new_tokens=6)[0, ids["input_ids"].shape[1] :]
        said = tokenizer.decode(out, skip_special_tokens=True).split("|")[0]
        items.append({"question": question, "said": said if n else "something else"})
    data = folder / "text.jsonl"
    data.write_text("".join(json.dumps(item) + "\n" for item in items))
    (folder / "text.yaml").write_text(TEXT.format(data=data))
    (found,) = run_tasks(engine, ["guild_text"], folder=folder)
    assert (found.metric, found.value, found.n) == ("exact_match", 0.75, 4)


def test_nothing_is_left_behind(engine, folder, capfd):
    weights, tokenizer = digest(weights_at(engine.base, Point(), {})), len(engine._tokenizer)
    described, state = engine.facts(), random.getstate()
    move(engine, 0.5)
    before = [p.clone() for p in engine._model.parameters()]
    first = run_tasks(engine, ["guild_choice"], folder=folder)
    assert all(torch.equal(a, b) for a, b in zip(before, engine._model.parameters(), strict=True))
    assert digest(weights_at(engine.base, Point(), {})) == weights
    assert (len(engine._tokenizer), engine.facts(), random.getstate()) == (tokenizer, described, state)
    assert run_tasks(engine, ["guild_choice"], folder=folder) == first
    assert not engine._model._forward_hooks
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_broken_weights_give_a_reason_and_no_accuracy(engine, folder):
    runner = TaskRunner(engine, ["guild_choice"], folder=folder)
    engine._model.lm_head.weight[0, 0] = math.nan
    (found,) = runner.run()
    assert (found.value, found.stderr, found.n, found.broken) == (None, None, 10, "nan or inf logits")


def test_tasks_that_cannot_be_used(engine, folder):
    with pytest.raises(StudyError, match="folder of tasks must be an existing folder"):
        run_tasks(engine, ["guild_choice"], folder=folder / "no")
    with pytest.raises(StudyError, match=r"tasks must be at least one task.*\[\]"):
        run_tasks(engine, [], folder=folder)
    (folder / "away.yaml").write_text(CHOICE.format(name="guild_away", data=folder / "away.jsonl"))
    with pytest.raises(StudyError, match=r"got 'guild_away'. \(.*away.jsonl.*HF_HUB_OFFLINE"):
        run_tasks(engine, ["guild_away"], folder=folder)
    hub = CHOICE.format(name="guild_hub", data="x").replace("dataset_path: json", "dataset_path: guild/hall")
    (folder / "hub.yaml").write_text(hub)
    with pytest.raises(StudyError, match=r"got 'guild_hub'. \(.*guild/hall.*run it once without HF_HUB_OFFLINE"):
        run_tasks(engine, ["guild_hub"], folder=folder)
    (folder / "bad.yaml").write_text(
        CHOICE.format(name="guild_bad", data=folder / "guild_more.jsonl").replace("{{question}}", "{{question")
    )
    with pytest.raises(StudyError, match="got 'guild_bad'"):
        run_tasks(engine, ["guild_bad"], folder=folder)


@pytest.mark.slow  # indexes all of lm-eval's own tasks
def test_an_unknown_task_is_looked_for_among_all(engine, folder):
    with pytest.raises(StudyError, match=r"got 'hellaswagg'. Did you mean hellaswag"):
        run_tasks(engine, ["hellaswagg"], folder=folder)
    with pytest.raises(StudyError, match=r"got 'hellaswag'. \(.*run it once without HF_HUB_OFFLINE"):
        run_tasks(engine, ["hellaswag"])


def test_only_an_engine_in_this_process_runs_tasks():
    with pytest.raises(ModelError, match=r"in this process.*got 'ScriptedEngine'"):
        run_tasks(ScriptedEngine(), ["guild_choice"])


def test_without_lm_eval_the_extra_is_named(engine, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lm_eval" else find(name))
    with pytest.raises(MissingExtra, match=r"pip install 'safebasin\[capability\]'"):
        run_tasks(engine, ["guild_choice"])
