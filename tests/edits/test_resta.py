"""RESTA by hand on scalars, factors and products; DARE by the law of large numbers; what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.fields import Line, Toy
from helpers.models import make_lora, make_tiny_model
from safebasin import catalog
from safebasin.edits.resta import Dare, _added, dare, resta
from safebasin.errors import ModelError, UsageError
from safebasin.models.loading import load_weights
from safebasin.models.reference import resolve
from safebasin.protocols import Delta
from safebasin.records import DirectionSpec, Point
from safebasin.weights.adapters import LowRank, read_adapter
from safebasin.weights.base import HostWeights
from safebasin.weights.checkpoints import AdapterDelta, checkpoint_delta
from safebasin.weights.stream import digest, weights_at


def scalars(a: float, b: float) -> LowRank:
    return LowRank(a=torch.tensor([[a]]), b=torch.tensor([[b]]), scaling=1.0, transposed=False)


def test_factors_and_products_by_hand() -> None:
    """A_t = 1, B_t = 2, A_s = 3, B_s = 5, γ = ½: factors give (1 + 1.5)(2 + 2.5), products 2 + ½·15."""
    ours, safe = scalars(1, 2), scalars(3, 5)
    assert float(_added(ours, safe, 0.5).rows(0, 1)) == 11.25
    assert float(ours.rows(0, 1) + 0.5 * safe.rows(0, 1)) == 9.5


def opened(folder: Path) -> HostWeights:
    return HostWeights(load_weights(resolve(str(folder))), folder=folder)


def written(base: HostWeights, delta: Delta) -> str:
    to = DirectionSpec(kind="to", normalize="none")
    return digest(weights_at(base, Point.at((to, 1.0)), {to: delta}))


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    base = make_tiny_model(folder / "base", request.param, seed=1)
    turned = request.param == "gpt2"
    given = {"targets": ["c_attn"], "fan_in_fan_out": True} if turned else {"targets": ["q_proj", "v_proj"]}
    return {
        "base": base,
        "unsafe": make_tiny_model(folder / "unsafe", request.param, seed=2),
        "tuned": make_tiny_model(folder / "tuned", request.param, seed=3),
        "adapter": make_lora(folder / "adapter", base, **given, seed=4),
        "safe": make_lora(folder / "safe", base, **given, seed=5),
        "wide": make_lora(folder / "wide", base, **given, rank=8, seed=6),
    }


def test_the_vector_leads_away_from_the_unaligned_model(made: dict[str, Path]) -> None:
    base = opened(made["base"])
    tuned = checkpoint_delta(resolve(str(made["tuned"])), base)
    v = checkpoint_delta(resolve(str(made["unsafe"])), base)
    delta = resta(unaligned=str(made["unsafe"]), strength=0.25).weights(tuned, base)
    for name in base.names:
        stop = base.shape(name)[0]
        wanted = tuned.rows(name, 0, stop) - 0.25 * v.rows(name, 0, stop)
        torch.testing.assert_close(delta.rows(name, 0, stop), wanted, rtol=0, atol=1e-15)
    assert written(base, resta(unaligned=str(made["unsafe"]), strength=0).weights(tuned, base)) == written(base, tuned)


def test_adapters_by_their_products_and_by_their_factors(made: dict[str, Path]) -> None:
    base = opened(made["base"])
    ours, safe = (read_adapter(made[name], base.layout) for name in ("adapter", "safe"))
    tuned = AdapterDelta(base=base, adapter=ours)
    name = min(ours.low_rank)
    stop = base.shape(name)[0]
    one, other = ours.low_rank[name], safe.low_rank[name]
    products = resta(adapter=str(made["safe"])).weights(tuned, base).rows(name, 0, stop)
    torch.testing.assert_close(products, one.rows(0, stop) + 0.5 * other.rows(0, stop))
    factors = resta(adapter=str(made["safe"]), variant="as_coded").weights(tuned, base).rows(name, 0, stop)
    wanted = one.scaling * (one.b.double() + 0.5 * other.b) @ (one.a.double() + 0.5 * other.a)
    torch.testing.assert_close(factors, wanted.T if one.transposed else wanted)
    assert float((factors - products).norm()) > 0.1 * float(products.norm())


def test_products_of_other_ranks_add_and_factors_are_refused(made: dict[str, Path]) -> None:
    base = opened(made["base"])
    tuned = AdapterDelta(base=base, adapter=read_adapter(made["adapter"], base.layout))
    full = checkpoint_delta(resolve(str(made["tuned"])), base)
    assert written(base, resta(adapter=str(made["wide"])).weights(tuned, base)) != written(base, tuned)
    coded = resta(adapter=str(made["wide"]), variant="as_coded")
    with pytest.raises(UsageError, match="of the same shapes in both adapters"):
        coded.weights(tuned, base)
    with pytest.raises(UsageError, match=r"as_coded\) works on must be a LoRA adapter"):
        coded.weights(full, base)


def test_what_the_vector_leaves_alone_keeps_its_bits(made: dict[str, Path]) -> None:
    base = opened(made["base"])
    tuned = checkpoint_delta(resolve(str(made["tuned"])), base)
    delta = resta(adapter=str(made["safe"])).weights(tuned, base)
    to = DirectionSpec(kind="to", normalize="none")
    theirs = dict(load_weights(resolve(str(made["tuned"]))).named_parameters())
    for block in weights_at(base, Point.at((to, 1.0)), {to: delta}):
        same = torch.equal(block.values, theirs[block.name][block.start : block.stop])
        assert same is (block.name not in delta.names)


def test_the_random_control_is_as_long_in_each_tensor(made: dict[str, Path]) -> None:
    base = opened(made["base"])
    tuned = checkpoint_delta(resolve(str(made["tuned"])), base)
    v = checkpoint_delta(resolve(str(made["unsafe"])), base)
    delta = resta(unaligned=str(made["unsafe"]), control="random", strength=1).weights(tuned, base)
    for name in sorted(delta.names):
        stop = base.shape(name)[0]
        added, vector = delta.rows(name, 0, stop) - tuned.rows(name, 0, stop), v.rows(name, 0, stop)
        torch.testing.assert_close(added.norm(), vector.norm())
        if added.numel() > 1000:
            assert abs(float((added * vector).sum())) < 0.2 * float(vector.norm()) ** 2


def test_a_vector_of_zeros_is_refused(made: dict[str, Path]) -> None:
    base = opened(made["base"])
    tuned = checkpoint_delta(resolve(str(made["tuned"])), base)
    with pytest.raises(UsageError, match="safety vector of resta must be one that moves something"):
        resta(unaligned=str(made["base"])).weights(tuned, base)


def test_another_model_is_refused(made: dict[str, Path], tmp_path: Path) -> None:
    base = opened(made["base"])
    other = make_tiny_model(tmp_path / "other", "qwen2")
    with pytest.raises(ModelError, match="must be one"):
        resta(unaligned=str(other)).weights(checkpoint_delta(resolve(str(made["tuned"])), base), base)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "one of them"),
        ({"unaligned": "x", "adapter": "y"}, "one of them"),
        ({"adapter": "y", "variant": "paper"}, "one of as_coded, corrected"),
        ({"unaligned": "x", "variant": "as_coded"}, "of an adapter"),
        ({"unaligned": "x", "control": "zeros"}, "one of none, random"),
        ({"unaligned": "x", "strength": "much"}, "at least 0"),
    ],
)
def test_arguments_that_do_not_hold(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resta(**given)


def test_their_names_make_them_again() -> None:
    for found in (resta(unaligned="org/bad", control="random"), resta(adapter="a", variant="as_coded"), dare(0.3)):
        assert catalog.create("defense", found.name) == found


# --- DARE ------------------------------------------------------------------------------------------------------------


def test_dare_drops_a_share_and_keeps_the_mean() -> None:
    base = Toy({"w": torch.zeros(400, 250)})
    tuned = Line({"w": torch.full((400, 250), 3.0)}, base)
    rows = dare(0.2).weights(tuned, base, seed=1).rows("w", 0, 400)
    assert set(rows.unique().tolist()) == {0.0, 3 / 0.8}
    assert float((rows == 0).double().mean()) == pytest.approx(0.2, abs=0.006)  # 4.7 standard errors
    assert float(rows.mean()) == pytest.approx(3.0, abs=0.02)
    again, other = (dare(0.2).weights(tuned, base, seed=seed).rows("w", 0, 400) for seed in (1, 2))
    assert torch.equal(rows, again)
    assert not torch.equal(rows, other)
    assert dare(0).weights(tuned, base) is tuned
    assert replace(dare(0.5), strength=0.2) == Dare(strength=0.2) == dare(0.5).at(0.2)


def test_dare_then_resta(made: dict[str, Path]) -> None:
    base = opened(made["base"])
    tuned = AdapterDelta(base=base, adapter=read_adapter(made["adapter"], base.layout))
    dropped = dare(0.5).weights(tuned, base, seed=2)
    fused = resta(adapter=str(made["safe"])).weights(dropped, base)
    name = min(tuned.adapter.low_rank)
    stop = base.shape(name)[0]
    safe = read_adapter(made["safe"], base.layout).low_rank[name].rows(0, stop)
    torch.testing.assert_close(fused.rows(name, 0, stop), dropped.rows(name, 0, stop) + 0.5 * safe)


@pytest.mark.parametrize("strength", [1, 1.5, -0.1, True, "half"])
def test_dare_of_no_share_is_refused(strength: Any) -> None:
    with pytest.raises(UsageError, match="strength of dare"):
        dare(strength)
