"""Directions: norms as documented, orthogonality after normalization, exclusions by type."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from helpers.fields import Toy
from helpers.models import make_tiny_model
from safebasin.errors import StudyError, UsageError
from safebasin.protocols import Delta
from safebasin.records import DirectionSpec
from safebasin.weights.base import HostWeights, MappedWeights, open_base
from safebasin.weights.directions import Random, _budget
from safebasin.weights.stream import prepare_one


def toy() -> Toy:
    generator = torch.Generator().manual_seed(0)
    shapes = {"w": (30, 40), "b": (7,), "e": (3, 4, 5), "one": (1,), "s": ()}
    return Toy({n: torch.randn(s, generator=generator) * (i + 1) for i, (n, s) in enumerate(shapes.items())})


def whole(delta: Delta, base: Toy, name: str) -> torch.Tensor:
    shape = base.shape(name)
    found = delta.rows(name, 0, shape[0] if shape else 1)
    assert found is not None
    return found.double()


def held(base: Toy, name: str) -> torch.Tensor:
    return base.rows(name, 0, base.shape(name)[0] if base.shape(name) else 1).double()


def test_layer_normalization_gives_each_tensor_the_norm_of_the_model() -> None:
    base = toy()
    delta = Random().prepare(DirectionSpec(kind="random"), base)
    for name in base.names:
        assert float(whole(delta, base, name).norm()) == pytest.approx(float(held(base, name).norm()), rel=1e-6)


def test_filter_normalization_is_per_row_and_layer_for_vectors() -> None:
    base = toy()
    delta = Random().prepare(DirectionSpec(kind="random", normalize="filter"), base)
    for name in ("w", "e"):
        ours, theirs = whole(delta, base, name).flatten(1).norm(dim=1), held(base, name).flatten(1).norm(dim=1)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)
    assert float(whole(delta, base, "b").norm()) == pytest.approx(float(held(base, "b").norm()), rel=1e-6)


def test_model_normalization_is_one_factor_for_the_whole() -> None:
    base = toy()
    drawn = Random().prepare(DirectionSpec(kind="random", normalize="none"), base)
    scaled = Random().prepare(DirectionSpec(kind="random", normalize="model"), base)
    factors = {float((whole(scaled, base, n) / whole(drawn, base, n)).mean()) for n in base.names}
    assert max(factors) == pytest.approx(min(factors), rel=1e-5)
    total = math.sqrt(sum(float(whole(scaled, base, n).norm()) ** 2 for n in base.names))
    assert total == pytest.approx(math.sqrt(sum(float(held(base, n).norm()) ** 2 for n in base.names)), rel=1e-6)


@pytest.mark.parametrize("normalize", ["layer", "model", "none"])
def test_a_second_direction_is_orthogonal_per_tensor_after_normalization(normalize: str) -> None:
    base = toy()
    one = DirectionSpec(kind="random", normalize=normalize)
    two = DirectionSpec(kind="random", index=1, normalize=normalize, orthogonal_to=(one,))
    first, second = Random().prepare(one, base), Random().prepare(two, base)
    for name in ("w", "b", "e"):
        a, b = whole(first, base, name).flatten(), whole(second, base, name).flatten()
        assert abs(float(a @ b) / float(a.norm() * b.norm())) < 1e-6
        if normalize == "layer":
            assert float(b.norm()) == pytest.approx(float(held(base, name).norm()), rel=1e-6)
    assert second.kept == ("one", "s"), "one-element tensors cannot be orthogonal and keep their draw"


@pytest.mark.parametrize("normalize", ["layer", "filter"])
def test_what_is_scaled_row_by_row_is_orthogonal_row_by_row(normalize: str) -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = {"w": (30, 40), "mlp.experts.up": (3, 8, 5), "column": (6, 1)}
    base = Toy({n: torch.randn(s, generator=generator) for n, s in shapes.items()})
    one = DirectionSpec(kind="random", normalize=normalize)
    first = Random().prepare(one, base)
    second = Random().prepare(DirectionSpec(kind="random", index=1, normalize=normalize, orthogonal_to=(one,)), base)
    for name in ("mlp.experts.up", *(["w"] if normalize == "filter" else [])):
        a, b, theta = (x.flatten(1) for x in (whole(first, base, name), whole(second, base, name), held(base, name)))
        cosines = (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1))
        assert float(cosines.abs().max()) < 1e-6
        torch.testing.assert_close(b.norm(dim=1), theta.norm(dim=1), rtol=1e-6, atol=0)
    assert second.kept == (("column",) if normalize == "filter" else ())


def test_a_third_direction_is_orthogonal_to_both_others() -> None:
    base = toy()
    one = DirectionSpec(kind="random")
    two = DirectionSpec(kind="random", index=1, orthogonal_to=(one,))
    three = DirectionSpec(kind="random", index=2, orthogonal_to=(one, two))
    drawn = [whole(Random().prepare(spec, base), base, "w").flatten() for spec in (one, two, three)]
    unit = torch.stack([d / d.norm() for d in drawn])
    assert float((unit @ unit.T - torch.eye(3)).abs().max()) < 1e-6


def test_the_direction_of_a_tensor_of_zeros_is_zero() -> None:
    base = Toy({"w": torch.zeros(3, 4), "v": torch.ones(2, 2)})
    for normalize in ("layer", "filter"):
        delta = Random().prepare(DirectionSpec(kind="random", normalize=normalize), base)
        assert float(whole(delta, base, "w").norm()) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalize": "layers"}, "normalize must be one of layer, filter, model, none; got 'layers'"),
        ({"version": 3}, "noise version must be 1 or 2 in this release; got 3"),
        ({"only": "x*"}, "only must be a pattern that some perturbable tensor matches; got 'x\\*'"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        Random().prepare(DirectionSpec(kind="random", **changes), toy())


@pytest.mark.parametrize(
    ("pattern", "moved"),
    [
        ("layers.1.*", {"model.layers.1.up", "model.layers.1.bias"}),
        ("layers.1*", {"model.layers.1.up", "model.layers.1.bias", "model.layers.10.up"}),
        ("model.layers.1.up", {"model.layers.1.up"}),
        ("bias", {"model.layers.1.bias"}),
        ("*up", {"model.layers.1.up", "model.layers.10.up"}),
    ],
)
def test_only_matches_names_as_a_whole_or_from_a_dot_on(pattern: str, moved: set[str]) -> None:
    names = ("model.layers.1.up", "model.layers.1.bias", "model.layers.10.up", "model.embed")
    base = Toy({name: torch.ones(2, 2) for name in names})
    delta = Random().prepare(DirectionSpec(kind="random", only=pattern), base)
    assert {name for name in names if delta.rows(name, 0, 2) is not None} == moved


def test_low_memory_keeps_few_rows_and_draws_the_same(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "m")
    module = AutoModelForCausalLM.from_pretrained(folder)
    mapped, host = open_base(module, folder, low_memory=True), open_base(module, folder, low_memory=False)
    assert isinstance(mapped, MappedWeights)
    weights = sum(p.numel() * 4 for p in module.parameters())
    assert mapped.n_bytes == weights
    assert _budget(mapped) <= 0.03 * weights < _budget(host)
    spec = DirectionSpec(kind="random")
    lean, roomy = Random().prepare(spec, mapped), Random().prepare(spec, host)
    for name in host.names:
        a, b = (d.rows(name, 0, host.shape(name)[0]) for d in (lean, roomy))
        assert a is b is None or torch.equal(a, b)


def test_rows_are_the_same_in_any_cut() -> None:
    base = toy()
    delta = Random().prepare(DirectionSpec(kind="random"), base)
    pieces = [delta.rows("w", a, b) for a, b in ((0, 1), (1, 17), (17, 30))]
    assert torch.equal(torch.cat(pieces), delta.rows("w", 0, 30))


def test_seeds_indices_and_tensors_of_one_shape_have_their_own_noise() -> None:
    base = Toy({"a": torch.ones(50, 50), "b": torch.ones(50, 50)})
    specs = [DirectionSpec(kind="random", seed=s, index=i) for s in (0, 1) for i in (0, 1)]
    drawn = [whole(Random().prepare(spec, base), base, name).flatten() for spec in specs for name in ("a", "b")]
    table = torch.corrcoef(torch.stack(drawn))
    assert float((table - torch.eye(8)).abs().max()) < 0.1, "2,500 draws: the standard error of a correlation is 0.02"


@pytest.mark.parametrize(
    ("arch", "norms"),
    [("llama", 5), ("gpt2", 10), ("opt", 10), ("gemma2", 9), ("qwen3", 9), ("gpt_neox", 10)],
)
def test_norm_layers_are_left_alone_by_type_and_everything_else_moves(tmp_path: Path, arch: str, norms: int) -> None:
    module = AutoModelForCausalLM.from_pretrained(make_tiny_model(tmp_path / arch, arch))
    base = HostWeights(module)
    excluded = base.excluded()
    assert len(excluded) == norms
    assert all("norm" in n or ".ln_" in n for n in excluded), sorted(excluded)
    delta = Random().prepare(DirectionSpec(kind="random"), base)
    assert {n for n in base.names if delta.rows(n, 0, 1) is None} == set(excluded)
    assert any("embed" in n or "wte" in n for n in base.names if n not in excluded)


def test_a_sparse_direction_moves_its_share_by_as_much_in_all() -> None:
    base = Toy({"a": torch.randn(300, 200), "b": torch.randn(50)})
    dense, sparse = DirectionSpec(kind="random", seed=3), DirectionSpec(kind="random", seed=3, args=(("density", 0.1),))
    found = {spec: prepare_one(spec, base) for spec in (dense, sparse)}
    rows = {spec: whole(delta, base, "a") for spec, delta in found.items()}
    moved = rows[sparse] != 0
    assert float(moved.double().mean()) == pytest.approx(0.1, abs=0.01)
    assert float(rows[sparse].norm()) == pytest.approx(float(base.rows("a", 0, 300).norm()), rel=1e-5)
    ratio = rows[sparse][moved] / rows[dense][moved]
    assert float(ratio.std()) < 1e-5 * float(ratio.mean()), "the same noise, by one factor"
    explicit = prepare_one(DirectionSpec(kind="random", seed=3, args=(("density", 1.0),)), base)
    assert torch.equal(whole(explicit, base, "a"), rows[dense])


@pytest.mark.parametrize("density", [0, -0.1, 1.5, "half"])
def test_a_density_that_is_no_share_is_refused(density: object) -> None:
    with pytest.raises(UsageError, match="density of random must be"):
        prepare_one(DirectionSpec(kind="random", args=(("density", density),)), toy())  # type: ignore[arg-type]


@pytest.mark.parametrize("normalize", ["layer", "filter"])
def test_a_sparse_plane_is_orthogonal_row_by_row_too(normalize: str) -> None:
    """Few of a row move, often the same single one: what is left of it then is nothing."""
    base = Toy({"a": torch.randn(400, 6)})
    args = (("density", 0.2),)
    one = DirectionSpec(kind="random", args=args, normalize=normalize)
    two = replace(one, index=1, orthogonal_to=(one,))
    a, b = (whole(prepare_one(spec, base), base, "a").double() for spec in (one, two))
    assert abs(float((a * b).sum())) < 1e-6 * float(a.norm() * b.norm())
    if normalize == "filter":
        assert float((a * b).sum(dim=1).abs().max()) < 1e-5
