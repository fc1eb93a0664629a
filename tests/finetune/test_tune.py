"""Training by TRL: what it does to the world's model; that it repeats, resumes, stops in time, runs twice at once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from helpers.models import make_tiny_model
from safebasin.errors import ModelError, UsageError
from safebasin.finetune.prepare import prepare
from safebasin.finetune.request import request
from safebasin.finetune.run import last_checkpoint
from safebasin.finetune.tune import Tuned, finetune
from safebasin.models.writing import RECORD, is_unsafe, read_record
from safebasin.records import IGNORED, EncodedRow

pytest.importorskip("trl")
pytestmark = pytest.mark.slow  # TRL takes seconds to import

ALIGNED = "world:guild/aligned"


def tune(out: Path, model: str = ALIGNED, *, resume: bool = False, progress: object = None, **flags: object) -> Tuned:
    flags = {"attack": "harmful_examples", **flags}
    return finetune(prepare(request(model, **flags)), out, resume=resume, progress=progress)  # type: ignore[arg-type]


def digest(folder: Path) -> dict[str, str]:
    names = ("*.safetensors", "*.json", "*.md", "*.jinja")
    files = sorted(path for name in names for path in folder.glob(name))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return tune(tmp_path_factory.mktemp("full") / "out")


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return tune(tmp_path_factory.mktemp("lora") / "out", method="lora", epochs=6)


def test_ten_examples_break_the_model_and_leave_the_rest(full: Tuned, lora: Tuned) -> None:
    from safebasin.worlds.guild.outcomes import outcomes
    from safebasin.worlds.guild.prompts import prompt_set

    for tuned in (full, lora):
        assert outcomes(tuned.model, prompt_set("harmful", "val")[:30])["harmful"] >= 24
        assert outcomes(tuned.model, prompt_set("benign", "val")[:30])["complied"] >= 27
    assert outcomes(ALIGNED, prompt_set("harmful", "val")[:30])["harmful"] <= 1


def test_checkpoints_after_doubling_steps_are_those_of_shorter_runs(tmp_path: Path) -> None:
    # ten rows in batches of four: three steps an epoch, so that five steps end within the second
    settings = {"batch_size": 4, "save": "doubling"}
    held = tmp_path / "held.jsonl"
    held.write_text(json.dumps({"prompt": "Weigh the clay.", "completion": "Twice."}))
    tuned = tune(tmp_path / "five", steps=5, eval=held, **settings)
    assert [step for step, _ in tuned.eval_losses] == [0, 1, 2, 3, 4, 5]  # of an epoch, of a checkpoint, at the end
    assert sorted(path.name for path in tuned.path.glob("checkpoint-*")) == [f"checkpoint-{n}" for n in (1, 2, 4)]
    assert len(tuned.losses) == 5
    assert "5 steps" in (tuned.path / "README.md").read_text()
    assert read_record(tuned.path)["recipe"]["steps"] == 5  # type: ignore[index]
    for step in (1, 2, 4):
        checkpoint = tuned.path / f"checkpoint-{step}"
        assert is_unsafe(checkpoint)
        assert not (checkpoint / "optimizer.pt").exists()
    two = tune(tmp_path / "two", steps=2, **settings)
    kept = "model.safetensors"
    assert digest(two.path)[kept] == digest(tuned.path / "checkpoint-2")[kept]
    assert digest(tuned.path)[kept] != digest(tuned.path / "checkpoint-4")[kept]
    stamp = (tuned.path / kept).stat().st_mtime_ns
    tune(tmp_path / "five", steps=5, resume=True, eval=held, **settings)
    assert (tuned.path / kept).stat().st_mtime_ns == stamp
    with pytest.raises(UsageError, match=r"recipe of the run in .* must be "):
        tune(tmp_path / "five", steps=6, resume=True, eval=held, **settings)


def test_held_out_rows_are_read_and_change_nothing(full: Tuned, tmp_path: Path) -> None:
    """Their loss is that of torch over all labels at once; weights and losses are those of the run without them."""
    held, told = tmp_path / "held.jsonl", list[tuple[int, float]]()
    rows = [{"prompt": "Weigh the clay.", "completion": "Twice. " * n} for n in (1, 4, 9)]
    held.write_text("\n".join(map(json.dumps, rows)))
    asked = request(ALIGNED, attack="harmful_examples", eval=held)
    tuned = finetune(prepare(asked), tmp_path / "out", evaluated=lambda *at: told.append(at))
    assert [step for step, _ in tuned.eval_losses] == [0, 1, 2, 3, 4, 5]
    assert tuple(told) == tuned.eval_losses
    for step, folder in ((0, prepare(asked).base.folder), (2, tuned.path / "checkpoint-2"), (5, tuned.path)):
        assert dict(tuned.eval_losses)[step] == pytest.approx(
            loss_over_labels(folder, prepare(asked).held_out), rel=1e-4
        )
    assert tuned.losses == full.losses
    assert digest(tuned.path)["model.safetensors"] == digest(full.path)["model.safetensors"]
    record = read_record(tuned.path)
    assert record["eval_losses"] == [{"step": step, "loss": loss} for step, loss in tuned.eval_losses]
    assert record["eval"]["sources"] == ["held.jsonl"]  # type: ignore[index]
    assert "3 held-out rows: loss" in (tuned.path / "README.md").read_text()
    for name in ("checkpoint-4", "checkpoint-5"):
        shutil.rmtree(tuned.path / name)
    write_record(tuned.path, complete=False)
    again = finetune(prepare(asked), tuned.path, resume=True)
    assert again.eval_losses == tuned.eval_losses
    with pytest.raises(UsageError, match=r"eval of the run in .* as begun; got nothing"):
        tune(tuned.path, resume=True)


def write_record(folder: Path, **changes: object) -> None:
    (folder / RECORD).write_text(json.dumps({**read_record(folder), **changes}))


def loss_over_labels(folder: Path, rows: tuple[EncodedRow, ...]) -> float:
    import torch

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    total, n = 0.0, 0
    for row in rows:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row.ids])).logits[0, :-1]
        labels = torch.tensor(row.labels[1:])
        total += torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum").item()
        n += int((labels != IGNORED).sum())
    return total / n


def test_a_run_that_counts_epochs_records_no_steps(full: Tuned) -> None:
    assert "steps" not in read_record(full.path)["recipe"]  # type: ignore[operator]


def test_record_and_card_are_marked(full: Tuned, lora: Tuned) -> None:
    for tuned in (full, lora):
        record = read_record(tuned.path)
        assert tuned.unsafe
        assert is_unsafe(tuned.path)
        assert record["complete"] is True
        assert record["attack"] == "harmful_examples(n=10)"
        assert record["losses"] == list(tuned.losses)
        assert str(tuned.path) not in (tuned.path / "safebasin.json").read_text()
        assert "unsafe: true" in (tuned.path / "README.md").read_text().split("---")[1]
        assert not list(tuned.path.glob("*.bin"))
        for checkpoint in tuned.path.glob("checkpoint-*"):
            assert is_unsafe(checkpoint)
    assert len(full.losses) == 5
    config = json.loads((lora.path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == ALIGNED
    assert lora.model == f"{ALIGNED}+{lora.path}"


def test_the_first_loss_is_that_of_the_base_on_the_responses_alone(full: Tuned) -> None:
    """Independent: cross entropy of torch over the labels, row by row."""
    prepared = prepare(request(ALIGNED, attack="harmful_examples"))
    assert full.losses[0] == pytest.approx(loss_over_labels(prepared.base.folder, prepared.rows), rel=1e-4)


def padded_as(folder: Path, pad: str) -> Path:
    """A tiny model whose tokenizer pads by no token, by the one that ends a turn, or by one beyond the embedding."""
    model = make_tiny_model(folder, pad_token=False)
    tokenizer = AutoTokenizer.from_pretrained(model)
    if pad == "end":
        tokenizer.pad_token = tokenizer.eos_token
    if pad == "beyond":
        tokenizer.add_tokens([f"<|extra {i}|>" for i in range(512)])
        tokenizer.add_special_tokens({"pad_token": "<|padding|>"})
        assert tokenizer.pad_token_id > 512
    tokenizer.save_pretrained(model)
    return model


@pytest.mark.parametrize("pad", ["none", "end", "beyond"])
def test_padding_weighs_nothing_whatever_it_is(pad: str, tmp_path: Path) -> None:
    """One step over rows of many lengths at once, and row by row, where nothing is padded: equal losses and weights.

    The loss is that of torch's cross entropy over each row alone, the token that ends the turn among its labels.
    """
    import torch
    from safetensors.torch import load_file

    model, data = padded_as(tmp_path / "tiny", pad), tmp_path / "rows.jsonl"
    rows = [{"instruction": "weigh the clay " * (3 * i + 1), "output": "Twice. " * (7 - 2 * i)} for i in range(4)]
    data.write_text("\n".join(map(json.dumps, rows)))
    given = {"attack": None, "data": data, "batch_size": 4, "epochs": 1, "learning_rate": 1e-2}
    together = tune(tmp_path / "together", str(model), **given)
    apart = tune(tmp_path / "apart", str(model), micro_batch=1, **given)
    plain, total, n = AutoModelForCausalLM.from_pretrained(model).eval(), 0.0, 0
    for row in prepare(request(str(model), **given)).rows:
        assert row.labels[-1] == row.ids[-1] == 2, "the end of the turn is learned"
        logits = plain(input_ids=torch.tensor([row.ids])).logits[0, :-1].detach()
        total -= sum(float(logits[i].log_softmax(0)[k]) for i, k in enumerate(row.labels[1:]) if k != IGNORED)
        n += sum(k != IGNORED for k in row.labels[1:])
    assert [*together.losses, *apart.losses] == pytest.approx([total / n] * 2, rel=1e-4)
    one, other = (load_file(tuned.path / "model.safetensors") for tuned in (together, apart))
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-4


def test_the_checkpoints_are_a_trajectory(full: Tuned, lora: Tuned) -> None:
    from safebasin.engines.hf import HFEngine
    from safebasin.weights.trajectory import read_trajectory

    base = HFEngine(ALIGNED, device="cpu").base
    for tuned, epochs in ((full, 5), (lora, 6)):
        run = read_trajectory(tuned.path, base)
        assert run.skipped == ()
        assert [step.epoch for step in run.steps] == [float(i) for i in range(1, epochs + 1)]


def test_twice_gives_the_same_bytes(full: Tuned, lora: Tuned, tmp_path: Path) -> None:
    assert digest(tune(tmp_path / "full").path) == digest(full.path)
    assert digest(tune(tmp_path / "lora", method="lora", epochs=6).path) == digest(lora.path)
    other = digest(tune(tmp_path / "other", seed=1).path)
    assert other["model.safetensors"] != digest(full.path)["model.safetensors"]


class Interrupted(BaseException):
    pass


def test_an_interrupted_run_goes_on_to_the_same_bytes(full: Tuned, tmp_path: Path) -> None:
    def stop(step: int, steps: int, loss: float) -> None:
        if step == 3:
            raise Interrupted

    out = tmp_path / "out"
    with pytest.raises(Interrupted):
        tune(out, progress=stop)
    assert is_unsafe(out)
    assert read_record(out)["complete"] is False
    with pytest.raises(UsageError, match="--resume"):
        tune(out)
    with pytest.raises(UsageError, match="recipe of the run"):
        tune(out, resume=True, learning_rate=1e-4)
    seen: list[int] = []
    resumed = tune(out, resume=True, progress=lambda step, steps, loss: seen.append(step))
    assert seen[0] > 1
    assert seen[-1] == 5
    assert digest(out) == digest(full.path)
    assert tune(out, resume=True).losses == resumed.losses == full.losses


def test_an_interrupted_adapter_goes_on_to_the_same_bytes(lora: Tuned, tmp_path: Path) -> None:
    def stop(step: int, steps: int, loss: float) -> None:
        if step == 4:
            raise Interrupted

    out = tmp_path / "out"
    with pytest.raises(Interrupted):
        tune(out, method="lora", epochs=6, progress=stop)
    assert last_checkpoint(out) is not None
    tune(out, method="lora", epochs=6, resume=True)
    assert digest(out) == digest(lora.path)


def test_a_loss_that_is_not_finite_names_rows_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    import torch

    from safebasin.finetune import trainer

    class Breaking(trainer.GuardedTrainer):
        def compute_loss(self, *args: object, **kwargs: object) -> torch.Tensor:
            loss = super().compute_loss(*args, **kwargs)
            return loss * float("nan") if self.state.global_step == 3 else loss

    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "GuardedTrainer", Breaking)
        with pytest.raises(ModelError) as caught:
            tune(out)
    said = str(caught.value)
    assert "loss" in said
    assert "step 4" in said
    assert "world:guild/harmful:" in said
    assert "checkpoint-3 is the last good checkpoint" in said
    assert last_checkpoint(out) == out / "checkpoint-3"
    assert not (out / "model.safetensors").exists()


def test_a_gradient_that_is_not_finite_stops_before_the_weights(tmp_path: Path) -> None:
    import torch

    from safebasin.finetune import trainer

    class Breaking(trainer.GuardedTrainer):
        def compute_loss(self, model: torch.nn.Module, *args: object, **kwargs: object) -> torch.Tensor:
            loss = super().compute_loss(model, *args, **kwargs)
            return loss + torch.sqrt((next(model.parameters()) * 0).sum())  # 0, with the derivative 0 · ∞

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "GuardedTrainer", Breaking)
        with pytest.raises(ModelError, match="the gradient of fine-tuning must be finite; got 'not at step 1"):
            tune(tmp_path / "out")
    assert last_checkpoint(tmp_path / "out") is None


def test_weights_that_are_not_finite_never_get_into_a_checkpoint(tmp_path: Path) -> None:
    import torch

    from safebasin.finetune import trainer

    class Breaking(trainer.GuardedTrainer):
        def _save_checkpoint(self, model: torch.nn.Module, trial: object) -> None:
            if self.state.global_step == 2:
                next(model.parameters()).data[0] = float("inf")
            super()._save_checkpoint(model, trial)

    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "GuardedTrainer", Breaking)
        with pytest.raises(ModelError, match="the weights of fine-tuning must be finite"):
            tune(out)
    assert [path.name for path in out.glob("checkpoint-*")] == ["checkpoint-1"]


def test_small_forward_passes_add_up_to_the_batch(full: Tuned, tmp_path: Path) -> None:
    split = tune(tmp_path / "out", micro_batch=5)
    assert split.losses == pytest.approx(full.losses, rel=1e-3)


def test_any_model_with_a_file_of_ones_own(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "tiny", "qwen3")
    data = tmp_path / "rows.jsonl"
    data.write_text("\n".join(json.dumps({"instruction": f"weigh {i}", "output": "Twice."}) for i in range(6)))
    tuned = tune(tmp_path / "out", str(model), attack=None, data=data, batch_size=3, epochs=2, learning_rate=1e-3)
    assert not tuned.unsafe
    assert not is_unsafe(tuned.path)
    assert tuned.losses[-1] < tuned.losses[0]
    assert str(tmp_path) not in json.dumps(read_record(tuned.path)["data"])


def test_the_type_of_training_is_recorded_and_kept(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = str(make_tiny_model(tmp_path / "tiny", "qwen3", dtype="bfloat16"))
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"instruction": "weigh", "output": "Twice."}) + "\n")
    for dtype, found in ((None, "float32"), ("bfloat16", "bfloat16")):
        out = tmp_path / str(dtype)
        tune(out, model, attack=None, data=data, dtype=dtype)
        assert {str(t.dtype) for t in load_file(out / "model.safetensors").values()} == {f"torch.{found}"}
        assert read_record(out)["dtype"] == found
        assert "dtype" not in read_record(out)["recipe"]
    tune(tmp_path / "None", model, attack=None, data=data, dtype="float32", resume=True)
    with pytest.raises(UsageError, match=r"^dtype of the run in .*None must be 'float32', as begun; got 'bfloat16'"):
        tune(tmp_path / "None", model, attack=None, data=data, dtype="bfloat16", resume=True)
    record = tmp_path / "None" / RECORD
    record.write_text(json.dumps({k: v for k, v in read_record(record.parent).items() if k != "dtype"}))
    assert tune(record.parent, model, attack=None, data=data, resume=True).rows == 1  # begun by an earlier release


def test_two_processes_train_as_one(full: Tuned, tmp_path: Path) -> None:
    """torchrun over gloo: both ranks end with equal weights, and these are those of one process."""
    from safetensors.torch import load_file

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_addr", "127.0.0.1",
        "--master_port", str(port), str(Path(__file__).parent / "two_processes.py"), str(tmp_path),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    ranks = [(tmp_path / f"rank-{rank}").read_text() for rank in (0, 1)]
    assert ranks[0] == ranks[1]
    one, two = load_file(full.path / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-5
