"""Points: bit for bit at α = 0 and α = 1, the same in any order, on any kind of base."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from helpers.models import make_tiny_model
from safebasin.errors import StudyError
from safebasin.records import DirectionSpec, Point
from safebasin.weights import stream
from safebasin.weights.base import HostWeights
from safebasin.weights.stream import Mover, apply, digest, prepare, weights_at

RANDOM = DirectionSpec(kind="random", seed=3)


def load(folder: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("m") / "llama")


def at(base, *terms: tuple[DirectionSpec, float]) -> str:
    point = Point.at(*terms)
    return digest(weights_at(base, point, prepare([s for s, _ in point.terms], base)))


def test_a_point_is_the_same_alone_forwards_and_backwards(llama: Path) -> None:
    base = HostWeights(load(llama))
    deltas = prepare([RANDOM], base)
    alphas = (-0.5, -0.1, 0.0, 0.1, 0.5)

    def sweep(order: tuple[float, ...]) -> dict[float, str]:
        return {a: digest(weights_at(base, Point.at((RANDOM, a)), deltas)) for a in order}

    forwards = sweep(alphas)
    assert sweep(alphas[::-1]) == forwards
    assert at(base, (RANDOM, 0.1)) == forwards[0.1]
    assert len(set(forwards.values())) == len(alphas)


@pytest.mark.slow
def test_a_mover_gives_the_weights_of_any_point_in_blocks_and_whole(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safebasin.weights.layout.MAX_BLOCK_BYTES", 8 * 64 * 50)  # several blocks a tensor
    base, other = HostWeights(load(llama)), DirectionSpec(kind="random", seed=9)
    mover, prepared = Mover(base), list[DirectionSpec]()
    real = stream.prepare_one
    monkeypatch.setattr(stream, "prepare_one", lambda spec, base: (prepared.append(spec), real(spec, base))[1])
    route = (Point.at((RANDOM, 0.2)), Point(), Point.at((RANDOM, -0.4)), Point.at((RANDOM, 0.1), (other, 0.3)))
    for point in (*route, Point.at((other, 0.3)), route[0]):
        deltas = {spec: real(spec, base) for spec, _ in point.terms}
        assert digest(mover.blocks(point)) == digest(weights_at(base, point, deltas))
        wholes = dict(mover.tensors(point))
        assert tuple(wholes) == tuple(base.names)
        for block in weights_at(base, point, deltas):
            assert torch.equal(wholes[block.name][block.start : block.stop], block.values)
            assert wholes[block.name].dtype == block.values.dtype
    assert prepared == [RANDOM, other, RANDOM], "each once, over the origin too; what was left is let go of"


def test_there_and_back_in_a_module_is_bit_equal(llama: Path) -> None:
    module = load(llama)
    base = HostWeights(module)
    before = at(base)
    apply(weights_at(base, Point.at((RANDOM, 0.5)), prepare([RANDOM], base)), module)
    assert at(HostWeights(module)) != before
    apply(weights_at(base, Point(), {}), module)
    assert at(HostWeights(module)) == before


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_a_tied_tensor_moves_once_and_both_its_names_with_it(tmp_path: Path, arch: str) -> None:
    module = load(make_tiny_model(tmp_path / "m", arch, tied=True))
    base = HostWeights(module)
    deltas = prepare([RANDOM], base)
    apply(weights_at(base, Point.at((RANDOM, 0.3)), deltas), module)
    name = base.layout.aliases["lm_head.weight"]
    wanted = base.rows(name, 0, 512) + 0.3 * deltas[RANDOM].rows(name, 0, 512)
    assert torch.equal(module.lm_head.weight, wanted)
    assert torch.equal(module.get_input_embeddings().weight, wanted)


def test_experts_are_one_tensor_per_layer_normalized_per_expert(tmp_path: Path) -> None:
    base = HostWeights(load(make_tiny_model(tmp_path / "moe", "mixtral")))
    fused = [n for n in base.names if len(base.shape(n)) == 3]
    assert fused
    delta = prepare([RANDOM], base)[RANDOM]
    for name in fused:
        for expert in range(base.shape(name)[0]):
            drawn, held = delta.rows(name, expert, expert + 1), base.rows(name, expert, expert + 1)
            assert float(drawn.norm() / held.norm()) == pytest.approx(1, rel=1e-5)


def test_alpha_0_is_bit_equal_down_to_the_sign_of_zero() -> None:
    module = torch.nn.Linear(3, 2, bias=False)
    module.weight.data.copy_(torch.tensor([[0.0, -0.0, 1.0], [-0.0, 1e-45, -1.0]]))
    base = HostWeights(module)
    delta = prepare([RANDOM], base)
    assert digest(weights_at(base, Point(terms=((RANDOM, 0.0),)), delta)) == at(base)


def test_a_model_in_float64_keeps_its_digits() -> None:
    module = torch.nn.Linear(64, 64, dtype=torch.float64)
    base = HostWeights(module)
    deltas = prepare([RANDOM], base)
    (weight, _) = weights_at(base, Point.at((RANDOM, 1e-3)), deltas)
    wanted = module.weight + 1e-3 * deltas[RANDOM].rows("weight", 0, 64).double()
    torch.testing.assert_close(weight.values, wanted, rtol=1e-15, atol=0)


def test_a_point_is_computed_in_float32_and_cast_once(tmp_path: Path) -> None:
    base = HostWeights(load(make_tiny_model(tmp_path / "m", dtype="bfloat16")))
    two = DirectionSpec(kind="random", seed=3, index=1)
    deltas = prepare([RANDOM, two], base)
    point = Point.at((RANDOM, 0.3), (two, -0.2))
    for block in weights_at(base, point, deltas):
        theta = base.rows(block.name, block.start, block.stop)
        moves = [deltas[s].rows(block.name, block.start, block.stop) for s in (RANDOM, two)]
        if moves[0] is None:
            assert torch.equal(block.values, theta)
        else:
            wanted = theta.double() + 0.3 * moves[0].double() - 0.2 * moves[1].double()
            # One rounding to 8 bits of mantissa; float32 in between may tip a tie.
            torch.testing.assert_close(block.values.double(), wanted, rtol=2**-8 * 1.001, atol=1e-7)


def test_only_moves_what_matches(llama: Path) -> None:
    base = HostWeights(load(llama))
    spec = DirectionSpec(kind="random", only="*.layers.1.mlp.*")
    delta = prepare([spec], base)[spec]
    moved = {n for n in base.names if delta.rows(n, 0, 1) is not None}
    assert moved == {f"model.layers.1.mlp.{p}_proj.weight" for p in ("gate", "up", "down")}
    with pytest.raises(StudyError, match="only must be a pattern that some perturbable tensor matches"):
        prepare([DirectionSpec(kind="random", only="*.nothing")], base)
