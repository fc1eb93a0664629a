"""Safe LoRA by hand on matrices of 2 × 2, then on checkpoints: which matrices, which bits stay, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.fields import Line, Toy
from helpers.models import make_lora, make_tiny_model
from safebasin import catalog
from safebasin.edits import safe_lora as module
from safebasin.edits.safe_lora import SafeLora, safe_lora
from safebasin.errors import ModelError, UsageError
from safebasin.models.loading import load_weights
from safebasin.models.reference import resolve
from safebasin.protocols import Delta
from safebasin.records import DirectionSpec, Point
from safebasin.weights.adapters import read_adapter
from safebasin.weights.base import HostWeights
from safebasin.weights.checkpoints import AdapterDelta, checkpoint_delta
from safebasin.weights.stream import digest, weights_at


def matrix(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


V = matrix((1, 0), (0, 2))
MOVE = matrix((1, 2), (3, 4))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two matrices of 2 × 2: (move, V) of each → what a defense leaves of both, and its delta."""

    def kept(defense: SafeLora, *pairs: tuple[torch.Tensor, torch.Tensor]) -> tuple[list[torch.Tensor], Delta]:
        names = [f"layers.{n}.q" for n in range(len(pairs))]
        base = Toy({name: torch.zeros_like(move) for name, (move, _) in zip(names, pairs, strict=True)})
        tuned = Line({name: move for name, (move, _) in zip(names, pairs, strict=True)}, base)
        unaligned = Line({name: -v for name, (_, v) in zip(names, pairs, strict=True)}, base)
        monkeypatch.setattr(module, "resolve", lambda text: text)
        monkeypatch.setattr(module, "checkpoint_delta", lambda target, base: unaligned)
        delta = defense.weights(tuned, base, seed=3)
        return [delta.rows(name, 0, 2) for name in names], delta

    return kept


def test_by_hand(toy: Any) -> None:
    """C = V·Vᵀ/‖V‖_F = diag(1, 4)/√5, and diag(1, 4)/4 where its largest eigenvalue is 1."""
    (paper,), delta = toy(safe_lora("x", "paper"), (MOVE, V))
    torch.testing.assert_close(paper, matrix((1, 2), (12, 16)) / 5**0.5)
    assert "cosines of ΔW and C·ΔW from 0.953 to 0.953" in delta.notes[0]
    (corrected,), _ = toy(safe_lora("x"), (MOVE, V))
    torch.testing.assert_close(corrected, matrix((0.25, 0.5), (3, 4)))
    (half,), _ = toy(safe_lora("x", strength=0.5), (MOVE, V))
    torch.testing.assert_close(half, (MOVE + matrix((0.25, 0.5), (3, 4))) / 2)
    (shrunk,), _ = toy(safe_lora("x", control="shrunk"), (MOVE, V))
    torch.testing.assert_close(shrunk, MOVE * (corrected.norm() / MOVE.norm()))


def test_the_published_c_shrinks_with_the_alignment_and_the_corrected_does_not(toy: Any) -> None:
    (paper,), _ = toy(safe_lora("x", "paper"), (MOVE, 0.01 * V))
    torch.testing.assert_close(paper, 0.01 * matrix((1, 2), (12, 16)) / 5**0.5)
    (corrected,), _ = toy(safe_lora("x"), (MOVE, 0.01 * V))
    torch.testing.assert_close(corrected, matrix((0.25, 0.5), (3, 4)))


def test_the_exact_projector_is_idempotent_and_the_identity_at_full_rank(toy: Any) -> None:
    line = matrix((1, 1), (1, 1))
    (once,), _ = toy(safe_lora("x", exact=True), (MOVE, line))
    torch.testing.assert_close(once, matrix((2, 3), (2, 3)))
    (twice,), _ = toy(safe_lora("x", exact=True), (once, line))
    torch.testing.assert_close(twice, once)
    (full,), _ = toy(safe_lora("x", exact=True), (MOVE, V))
    torch.testing.assert_close(full, MOVE)


def test_random_control_keeps_the_singular_values(toy: Any) -> None:
    eye = torch.eye(2, dtype=torch.float64)
    (c,), _ = toy(safe_lora("x", "paper", control="random"), (eye, V))
    torch.testing.assert_close(c, c.T)
    torch.testing.assert_close(torch.linalg.eigvalsh(c), matrix((1, 4))[0] / 5**0.5)
    assert abs(float(c[0, 1])) > 1e-3, "turned"


def cosine(rows: tuple[float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """A move of one column, and a V onto (1, 1), so that the cosine is that of the move and (1, 1)."""
    return matrix((rows[0], 0), (rows[1], 0)), matrix((1, 1), (1, 1))


PAIRS = [cosine((1, 0)), cosine((0, 1)), cosine((1, 1)), cosine((1, 0.5))]
"""Cosines .70711, .70711, 1, .94868."""


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ({}, (0, 1, 2, 3)),
        ({"threshold": -1}, ()),
        ({"threshold": 0.9}, (0, 1)),
        ({"threshold": 0.99}, (0, 1, 3)),
        ({"top": 1}, (0,)),
        ({"top": 3}, (0, 1, 3)),
        ({"top": 9}, (0, 1, 2, 3)),
    ],
)
def test_which_matrices(toy: Any, given: dict[str, Any], chosen: tuple[int, ...]) -> None:
    for variant in ("paper", "corrected"):
        _, delta = toy(safe_lora("x", variant, **given), *PAIRS)
        assert delta.names == {f"layers.{n}.q" for n in chosen}


def test_the_published_code_projects_ties_beyond_k_and_what_lies_at_the_threshold() -> None:
    cosines = {"a": 0.5000049, "b": 0.5, "c": 0.5000051, "d": 0.2}
    coded = safe_lora("x", "as_coded", top=2)
    assert coded.choose(cosines) == ("a", "b", "d")
    assert safe_lora("x", "corrected", top=2).choose(cosines) == ("b", "d")
    assert safe_lora("x", "as_coded", threshold=0.5).choose(cosines) == ("a", "b", "d")
    assert safe_lora("x", "paper", threshold=0.5).choose(cosines) == ("d",)


def test_what_alignment_did_not_move_stays_and_is_counted(toy: Any) -> None:
    (first, second), delta = toy(safe_lora("x"), (MOVE, torch.zeros(2, 2)), (MOVE, V))
    assert torch.equal(first, MOVE)
    assert not torch.equal(second, MOVE)
    assert "did not move 1 of them" in delta.notes[1]
    with pytest.raises(UsageError, match="of at least one matrix; got '0 of 1"):
        toy(safe_lora("x"), (MOVE, torch.zeros(2, 2)))


def test_an_update_that_the_subspace_does_not_hold_is_removed(toy: Any) -> None:
    (kept,), _ = toy(safe_lora("x", threshold=0.3), (matrix((1, 1), (0, 0)), matrix((0, 0), (1, 1))))
    assert not kept.any()


def test_a_gram_matrix_that_overflows_is_an_error(toy: Any) -> None:
    with pytest.raises(ModelError, match=r"alignment subspace of layers\.0\.q must be finite"):
        toy(safe_lora("x"), (MOVE, 1e200 * V))


# --- checkpoints -----------------------------------------------------------------------------------------------------


def opened(folder: Path) -> HostWeights:
    return HostWeights(load_weights(resolve(str(folder))), folder=folder)


def written(base: HostWeights, delta: Delta) -> str:
    to = DirectionSpec(kind="to", normalize="none")
    return digest(weights_at(base, Point.at((to, 1.0)), {to: delta}))


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gpt_neox"])
def test_c_acts_on_what_a_layer_gives_out_however_it_is_stored(tmp_path: Path, arch: str) -> None:
    aligned, unaligned, after = (make_tiny_model(tmp_path / str(n), arch, seed=n) for n in (1, 2, 3))
    base = opened(aligned)
    tuned, v = checkpoint_delta(resolve(str(after)), base), checkpoint_delta(resolve(str(unaligned)), base)
    delta = safe_lora(str(unaligned), "paper").weights(tuned, base)
    name = next(n for n in base.names if n.endswith(("down_proj.weight", "mlp.c_proj.weight", "4h_to_h.weight")))
    move, towards, kept = (d.rows(name, 0, base.shape(name)[0]) for d in (tuned, v, delta))
    if arch == "gpt2":  # (in, out)
        move, towards, kept = move.T, towards.T, kept.T
    assert move.shape == (64, move.shape[1])
    assert move.shape[1] > 64
    torch.testing.assert_close(kept, towards @ towards.T @ move / towards.norm())
    bias = next((n for n in base.names if len(base.shape(n)) == 1), None)
    assert bias is not None
    assert bias not in delta.names


def test_an_adapter_is_projected_in_its_own_matrices(tmp_path: Path) -> None:
    aligned, unaligned = (make_tiny_model(tmp_path / str(n), "qwen2", seed=n) for n in (1, 2))
    base = opened(aligned)
    adapter = read_adapter(make_lora(tmp_path / "a", aligned, targets=["q_proj", "v_proj"]), base.layout)
    tuned = AdapterDelta(base=base, adapter=adapter)
    for variant in ("paper", "as_coded"):
        delta = safe_lora(str(unaligned), variant).weights(tuned, base)
        assert delta.names == {n for n in base.names if n.endswith(("q_proj.weight", "v_proj.weight"))}
    v = checkpoint_delta(resolve(str(unaligned)), base)
    name = "model.layers.1.self_attn.v_proj.weight"
    towards, part = v.rows(name, 0, 32), adapter.low_rank[name]
    wanted = part.scaling * (towards @ towards.T / towards.norm() @ part.b.double()) @ part.a.double()
    torch.testing.assert_close(delta.rows(name, 0, 32), wanted)
    assert written(base, safe_lora(str(unaligned), only="*q_proj*", top=1).weights(tuned, base)) != written(base, tuned)


def test_tensors_that_are_not_projected_keep_their_bits(tmp_path: Path) -> None:
    aligned, unaligned, after = (make_tiny_model(tmp_path / str(n), dtype="bfloat16", seed=n) for n in (1, 2, 3))
    base = opened(aligned)
    tuned = checkpoint_delta(resolve(str(after)), base)
    delta = safe_lora(str(unaligned), top=1).weights(tuned, base)
    to = DirectionSpec(kind="to", normalize="none")
    theirs = dict(load_weights(resolve(str(after))).named_parameters())
    (changed,) = delta.names
    for block in weights_at(base, Point.at((to, 1.0)), {to: delta}):
        same = torch.equal(block.values, theirs[block.name][block.start : block.stop])
        assert same is (block.name != changed), block.name
    assert written(base, safe_lora(str(unaligned), strength=0).weights(tuned, base)) == written(base, tuned)


def test_what_it_cannot_read_is_refused(tmp_path: Path) -> None:
    aligned, unaligned, wide = (
        make_tiny_model(tmp_path / str(n), seed=n, hidden_size=64 if n < 3 else 128) for n in (1, 2, 3)
    )
    base = opened(aligned)
    tuned = checkpoint_delta(resolve(str(unaligned)), base)
    with pytest.raises(UsageError, match=r"as_coded\) works on must be a LoRA adapter"):
        safe_lora(str(unaligned), "as_coded").weights(tuned, base)
    with pytest.raises(ModelError, match="of the same shapes"):
        safe_lora(str(wide)).weights(tuned, base)
    with pytest.raises(UsageError, match=r"matrices for safe_lora must be at least one that was trained; got 'nope'"):
        safe_lora(str(unaligned), only="nope").weights(tuned, base)
    mixture, other = (make_tiny_model(tmp_path / f"x{n}", "mixtral", seed=n) for n in (1, 2))
    base = opened(mixture)
    with pytest.raises(UsageError, match=r"must be matrices; got '.*experts"):
        safe_lora(str(other)).weights(checkpoint_delta(resolve(str(other)), base), base)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"unaligned": ""}, "the model from before"),
        ({"variant": "papers"}, "one of paper, as_coded, corrected"),
        ({"control": "other"}, "one of none, random, shrunk"),
        ({"threshold": 0.3, "top": 2}, "one of them"),
        ({"threshold": "low"}, "a cosine"),
        ({"threshold": 1.5}, "-1 to 1"),
        ({"top": 0}, "at least 1"),
        ({"exact": "yes"}, "true or false"),
        ({"strength": -1}, "at least 0"),
        ({"strength": float("inf")}, "finite"),
        ({"strength": float("nan")}, "at least 0"),
    ],
)
def test_arguments_that_do_not_hold(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        safe_lora(**{"unaligned": "x", **given})


def test_its_name_makes_it_again() -> None:
    made = safe_lora("org/base", "paper", threshold=0.35, control="random", only="*q_proj*", strength=0.5)
    assert catalog.create("defense", made.name) == made
    for odd in ("q_proj.weight,v_proj.weight", "a (b)", "yes", "1e3", 'a"b', "it's"):
        again = safe_lora("org/base", only=odd)
        assert catalog.create("defense", again.name) == again
    assert catalog.create("defense", safe_lora("org/base", top=3, exact=True).name) == safe_lora(
        "org/base", top=3, exact=True
    )
    with pytest.raises(UsageError, match="argument 'unaligned' of defense 'safe_lora' must be given"):
        catalog.create("defense", "safe_lora")
