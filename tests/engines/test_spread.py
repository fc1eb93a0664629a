"""A model over two accelerators that are pretended (`helpers.pretend`): it answers as on one device, bit for bit.

No GPU was there: that accelerate spreads over real ones is its own business, that all of ours stays on the device of
each tensor is shown here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.models import make_tiny_model
from safebasin.engines import loading
from safebasin.engines.hf import HFEngine
from safebasin.errors import MissingExtra, ModelError, UsageError
from safebasin.models import loading as models
from safebasin.models import spreading

GUILD = "world:guild/aligned"


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda:0"])
def test_a_device_that_cannot_be_several(device: str) -> None:
    with pytest.raises(UsageError, match=f"device must be auto or cuda where --gpus-per-worker is 2; got '{device}'"):
        HFEngine(GUILD, device=device, gpus_per_worker=2)


def test_fewer_gpus_than_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "n_gpus", lambda: 1)
    with pytest.raises(
        UsageError, match=r"--gpus-per-worker must be at most 1, the GPUs that this process sees; got 2"
    ):
        HFEngine(GUILD, gpus_per_worker=2)


def test_the_package_that_spreads_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "n_gpus", lambda: 2)
    monkeypatch.setattr(spreading, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"'accelerate' installed.*safebasin\[gpus\]"):
        HFEngine(GUILD, gpus_per_worker=2)


def test_a_model_that_its_gpus_do_not_hold() -> None:
    module = torch.nn.Linear(1, 1)
    spreading.check_held(module, "m")
    module.hf_device_map = {"model.layers.0": 0, "model.layers.1": "cpu", "lm_head": "disk"}  # type: ignore[assignment]
    with pytest.raises(ModelError, match=r"small enough for the memory of its GPUs; got 'm'. \(2 of its parts"):
        spreading.check_held(module, "m")


def test_what_each_gpu_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda at: ((at + 1) * 1000, 5000))
    assert spreading.placed_over(2) == {"device_map": "auto", "max_memory": {0: 900, 1: 1800, "cpu": 0}}


def test_rows_that_fit_are_those_of_the_fullest_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = HFEngine(str(make_tiny_model(tmp_path)), device="cpu")
    free = {"cpu": 4 * 10**6, "one": 2 * 10**6, "other": 10**9}
    monkeypatch.setattr(loading, "_free_bytes", lambda device: free[str(device)])
    alone = engine.suggest_batch_size(1000, 64)
    monkeypatch.setattr(loading, "devices_of", lambda model: ("one", "other"))
    assert engine.suggest_batch_size(1000, 64) == alone > 1


@pytest.mark.slow
def test_a_model_over_two_accelerators_answers_as_on_one(tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "model", num_hidden_layers=4, tied=True)
    tests = os.pathsep.join(filter(None, [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH")]))
    environ = {**os.environ, "PYTHONPATH": tests, "HF_DEACTIVATE_ASYNC_LOAD": "1"}  # a mode of torch is of one thread
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path / "model")],
        env=environ, capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["pretend:0", "pretend:1", "equal"]


def _main(folder: str) -> None:
    """Ask a model at four points on the CPU, and over two accelerators; in a process of its own."""
    from helpers import pretend
    from safebasin.engines import decoding
    from safebasin.records import Decoding, DirectionSpec, Message, Point
    from safebasin.weights import stream

    line = DirectionSpec(kind="random", seed=3, version=2)
    asked = [[Message(role="user", content=f"Tell me of {n} jars{' and a pot' * n}.")] for n in range(3)]
    how = Decoding(max_new_tokens=12)

    def answers(engine: HFEngine) -> tuple[list[Any], list[Any], list[float]]:
        weights, texts, nll = [], [], []
        for alpha in (0.0, 0.2, -0.1, 0.0):
            engine.move_to(Point.at((line, alpha)))
            weights.append([p.detach().cpu().clone() for p in engine._model.parameters()])
            texts.append([(g.text, g.n_tokens, g.finish_reason) for g in engine.generate(asked, how)])
            scores = engine.score([*asked, asked[0]], ["a jar", "two pots", "a jar", "a bell"], how)
            nll += [value for score in scores for value in score.nll]
        return weights, texts, nll

    own = answers(HFEngine(folder, device="cpu", dtype="float32"))
    where = {f"model.layers.{n}": f"pretend:{n // 2}" for n in range(4)} | {
        "model.embed_tokens": "pretend:0", "lm_head": "pretend:0",
        "model.norm": "pretend:1", "model.rotary_emb": "pretend:1",
    }  # fmt: skip
    vars(spreading)["n_gpus"] = lambda: 2
    vars(models)["placed_over"] = lambda gpus: {"device_map": where}
    vars(decoding)["_generate"] = None  # the loop is ours, no device asks for that of transformers
    vars(stream).update(_SUMMED_ON=("pretend",), free_bytes=lambda device: 10**9)
    vars(torch)["inference_mode"] = torch.no_grad  # in which a tensor of a class of its own can have no views
    with pretend.accelerators():
        engine = HFEngine(folder, dtype="float32", gpus_per_worker=2)
        spread = answers(engine)
        sys.stdout.write(" ".join(engine._details()["devices"]))
        assert engine._mover._on_devices.keys() == {torch.device("pretend", n) for n in range(2)}
    assert all(
        torch.equal(a, b) for one, two in zip(own[0], spread[0], strict=True) for a, b in zip(one, two, strict=True)
    )
    assert own[1] == spread[1]
    assert spread[2] == pytest.approx(own[2], abs=1e-4)
    sys.stdout.write(" equal")


if __name__ == "__main__":
    _main(sys.argv[1])
