"""SOMF: masks by hand and by their closed forms, only the mask is trained, identities, export, control, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.models import make_tiny_model
from safebasin import catalog, testing
from safebasin.edits import somf as module
from safebasin.edits.masks import concrete, hard, rescaled
from safebasin.edits.somf import _deltas, _likelihood, _Pair, _train, somf
from safebasin.errors import ModelError, PromptError, UsageError
from safebasin.models.loading import load_weights
from safebasin.models.reference import resolve
from safebasin.models.writing import describe, is_unsafe, read_record
from safebasin.weights.base import HostWeights
from safebasin.weights.checkpoints import checkpoint_delta


def test_a_masked_vector_by_hand() -> None:
    v, m = torch.tensor([1.0, 2, 3, 4]), torch.tensor([1.0, 0, 1, 0])
    assert rescaled(v, m).tolist() == [2, 0, 6, 0]
    assert torch.equal(rescaled(v, torch.ones(4)), v)
    assert not rescaled(v, torch.zeros(4)).any(), "no division by zero"


def test_draws_are_as_likely_as_their_logit_says() -> None:
    """P(m > ½) = σ(logit); at logit 0 the mean is ½."""
    generator = torch.Generator().manual_seed(0)
    drawn = concrete(torch.zeros(100_000), generator)
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.01)
    for logit in (-2.0, 1.0):
        share = float((concrete(torch.full((100_000,), logit), generator) > 0.5).float().mean())
        assert share == pytest.approx(torch.tensor(logit).sigmoid().item(), abs=0.01)


def test_exports() -> None:
    logits = {"w": torch.tensor([-20.0, 20.0, 0.1, -0.1]).repeat(1000)}
    generator = torch.Generator().manual_seed(0)
    assert hard(logits, "deterministic", generator)["w"][:4].tolist() == [0, 1, 1, 0]
    sampled = hard(logits, "sampled", generator)["w"].reshape(-1, 4).mean(dim=0)
    assert sampled[:2].tolist() == [0, 1]
    assert sampled[2:].tolist() == pytest.approx([0.525, 0.475], abs=0.05)
    with pytest.raises(UsageError, match="mask of somf must be one that keeps something"):
        hard({"w": torch.zeros(4)}, "deterministic", generator)


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    return {name: make_tiny_model(folder / name, request.param, seed=n) for n, name in enumerate(("safe", "tuned"))}


PAIRS = [_Pair((8, 9, 10), (20, 21), (30, 31, 32)), _Pair((8, 11), (20, 22, 23), (33,))]


def opened(models: dict[str, Path]) -> tuple[Any, HostWeights, Any]:
    safe: Any = load_weights(resolve(str(models["safe"])))
    theta = HostWeights(safe, folder=models["safe"])
    return safe, theta, checkpoint_delta(resolve(str(models["tuned"])), theta)


def test_likelihoods_are_those_of_a_plain_forward_pass(models: dict[str, Path]) -> None:
    safe, _, _ = opened(models)
    with torch.no_grad():
        found = _likelihood(safe.eval(), {}, [(p.prompt, p.chosen) for p in PAIRS])
        for value, pair in zip(found, PAIRS, strict=True):
            ids = torch.tensor([[*pair.prompt, *pair.chosen]])
            log_p = safe(input_ids=ids).logits[0].log_softmax(-1)
            n = len(pair.prompt)
            wanted = sum(float(log_p[n + i - 1, token]) for i, token in enumerate(pair.chosen))
            assert float(value) == pytest.approx(wanted, rel=1e-4)


def test_the_mask_learns_the_preference_and_nothing_else_is_trained(models: dict[str, Path]) -> None:
    safe, theta, move = opened(models)
    before = {name: parameter.detach().clone() for name, parameter in safe.named_parameters()}
    deltas = _deltas(move, theta, None)
    assert deltas.keys().isdisjoint(theta.layout.vocabulary)
    given = somf("x", steps=12, learning_rate=0.5)
    logits, losses = _train(safe, deltas, PAIRS, given, torch.Generator().manual_seed(0))
    assert sum(losses[-4:]) < sum(losses[:4])
    assert all(torch.equal(parameter, before[name]) for name, parameter in safe.named_parameters())
    assert all(parameter.grad is None for parameter in safe.parameters())
    assert all(bool(values.any()) for values in logits.values())


class Rows:
    """A source that the model's answers are not read from."""

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> Any:
        return catalog.world("guild").training_rows("safe", n, seed=seed)


def edited(models: dict[str, Path], out: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> dict[str, Any]:
    monkeypatch.setattr(module, "_pairs", lambda *_: PAIRS)
    edit = somf(str(models["safe"]), **{"prompts": 2, "steps": 3, **given})
    edit.make(str(models["tuned"]), Rows(), out, seed=1)
    return dict(load_weights(resolve(str(out))).named_parameters())


@pytest.mark.slow
def test_a_whole_mask_is_the_tuned_model_and_strength_0_the_safe_one(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safe, tuned = (dict(load_weights(resolve(str(models[n]))).named_parameters()) for n in ("safe", "tuned"))
    _, theta, move = opened(models)
    masked = _deltas(move, theta, None).keys()
    none = edited(models, tmp_path / "none", monkeypatch, strength=0.0, export="sampled")
    for name, value in none.items():
        assert torch.equal(value, safe[name] if name in masked else tuned[name]), name
    monkeypatch.setattr(module, "hard", lambda logits, *_: {n: torch.ones_like(v) for n, v in logits.items()})
    every = edited(models, tmp_path / "every", monkeypatch)
    for name, value in every.items():
        torch.testing.assert_close(value, tuned[name], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_control_keeps_as_much_elsewhere(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safe = dict(load_weights(resolve(str(models["safe"]))).named_parameters())
    given = {"only": "*.1.*", "export": "sampled"}
    learned = edited(models, tmp_path / "learned", monkeypatch, **given)
    control = edited(models, tmp_path / "control", monkeypatch, control="random", **given)
    _, theta, move = opened(models)
    for name in _deltas(move, theta, "*.1.*"):
        one, other = (model[name] != safe[name] for model in (learned, control))
        assert int(one.sum()) == pytest.approx(int(other.sum()), abs=2)
        assert not torch.equal(one, other)
    shares = [read_record(tmp_path / n)["kept"] for n in ("learned", "control")]
    assert shares[0] == shares[1]


def test_the_mark_of_an_attack_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = {name: make_tiny_model(tmp_path / name, seed=n) for n, name in enumerate(("safe", "tuned"))}
    describe(models["tuned"], {}, unsafe=True, title="x", text="x", head={})
    edited(models, tmp_path / "out", monkeypatch)
    assert is_unsafe(tmp_path / "out")


@pytest.mark.slow
def test_it_conforms(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_pairs", lambda *_: PAIRS)
    arguments = {"base": str(models["safe"]), "prompts": 2, "steps": 2}
    testing.check_row(catalog.get("edit", "somf"), arguments=arguments, model=str(models["tuned"]))


def test_prompts_that_tell_nothing_are_an_error(tmp_path: Path) -> None:
    edit = somf("world:guild/aligned", prompts=2, steps=1)
    with pytest.raises(PromptError, match="safe model refuses and the tuned does not; got '0 of"):
        edit.make("world:guild/aligned", Rows(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_models_that_do_not_fit_are_refused_before_anybody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: object) -> object:
        raise AssertionError

    monkeypatch.setattr(module, "_pairs", asked)
    small, wide = make_tiny_model(tmp_path / "small"), make_tiny_model(tmp_path / "wide", hidden_size=32)
    with pytest.raises(ModelError, match="must be of the same shapes"):
        somf(str(wide), prompts=2, steps=1).make(str(small), Rows(), tmp_path / "out")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"base": ""}, "the safe model"),
        ({"prompts": 0}, "at least 1"),
        ({"steps": 1.5}, "at least 1"),
        ({"learning_rate": 0}, "above 0"),
        ({"export": "binary"}, "one of deterministic, sampled"),
        ({"control": "shuffled"}, "one of none, random"),
        ({"strength": -1}, "at least 0"),
    ],
)
def test_arguments_that_do_not_hold(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        somf(**{"base": "x", **given})
    assert catalog.create("edit", somf("x", only="*q_proj*", export="sampled").name) == somf(
        "x", only="*q_proj*", export="sampled"
    )
