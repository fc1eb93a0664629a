"""Safe LoRA (Hsu et al. 2024, arXiv 2405.16833): what a training moved, projected onto what alignment moved.

For each matrix V = W_aligned − W_unaligned, C = V·Vᵀ/‖V‖_F, and ΔW becomes C·ΔW where the two are unlike: where the
cosine of ΔW and C·ΔW is low. No data are needed, but the weights from before the alignment. Here it works on ΔW, of
full fine-tuning as of LoRA, by the names of tensors; biases, norm layers and scalars stay as trained.

Two things that the formula does and its name does not say. C is no projector: its eigenvalues are σᵢ²/‖V‖_F, so where
alignment moved little it shrinks an update rather than turns it (`control=shrunk` tells the one from the other). And
the exact projector V·(VᵀV)⁻¹·Vᵀ (`exact`) is the identity wherever V has full row rank, as it has after full alignment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self, cast, get_args

import torch

from safebasin.edits.moves import Changed, call, check_strength, drawn, is_stored_turned, whole
from safebasin.errors import ModelError, UsageError, expected
from safebasin.models.reference import resolve
from safebasin.protocols import BaseWeights, Delta, Stage
from safebasin.weights.checkpoints import AdapterDelta, checkpoint_delta
from safebasin.weights.selection import matches

__all__ = ["SafeLora", "safe_lora"]

Variant = Literal["paper", "as_coded", "corrected"]
Control = Literal["none", "random", "shrunk"]
_DIGITS = 5
"""To which the published code rounds a cosine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeLora:
    """Projection of a move onto the alignment subspace, in all matrices, those below a cosine, or the K least alike."""

    unaligned: str
    variant: Variant = "corrected"
    threshold: float | None = None
    top: int | None = None
    exact: bool = False
    control: Control = "none"
    only: str | None = None
    strength: float = 1.0
    stage: Stage = field(default="post_finetuning", init=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        given = {
            "unaligned": self.unaligned, "variant": self.variant, "threshold": self.threshold, "top": self.top,
            "exact": self.exact or None, "control": None if self.control == "none" else self.control,
            "only": self.only, "strength": self.strength,
        }  # fmt: skip
        return call("safe_lora", given)

    def at(self, strength: float) -> Self:
        """The same at another strength."""
        return replace(self, strength=check_strength(strength, "safe_lora"))

    def weights(self, tuned: Delta, base: BaseWeights, *, seed: int = 0) -> Delta:
        """ΔW + strength·(C·ΔW − ΔW) in the matrices that are chosen, ΔW in the others.

        Args:
            tuned: what the training moved.
            base: the aligned model that was trained.
            seed: of the subspaces of `control=random`.

        Raises:
            ModelError: where the unaligned model does not fit, or a product is not finite.
            UsageError: where it cannot read such a move, or none of its matrices was moved by the alignment.
        """
        if self.strength == 0:
            return tuned
        if self.variant == "as_coded" and not isinstance(tuned, AdapterDelta):
            remedy = "Its published code reads nothing else; take variant=corrected or paper."
            raise UsageError(expected("what safe_lora(variant=as_coded) works on", "a LoRA adapter", "another", remedy))
        maker = _Maker(self, tuned, base, checkpoint_delta(resolve(self.unaligned), base), seed)
        names = _matrices(tuned, base, self.only)
        cosines = {name: found for name in names if (found := maker.cosine(name)) is not None}
        if not cosines:
            remedy = "Take the model from before its alignment as `unaligned`."
            what = f"0 of {len(names)} matrices that the training moved"
            raise UsageError(expected("alignment subspace of safe_lora", "of at least one matrix", what, remedy))
        chosen = self.choose(cosines)
        said = f"safe_lora projects {len(chosen)} of {len(names)} matrices that were trained"
        said += f"; cosines of ΔW and C·ΔW from {min(cosines.values()):.3f} to {max(cosines.values()):.3f}"
        unmoved = len(names) - len(cosines)
        notes = (said, *([f"alignment did not move {unmoved} of them; they stay as trained"] if unmoved else []))
        return Changed(tuned=tuned, names=frozenset(chosen), make=maker.rows, notes=notes)

    def choose(self, cosines: Mapping[str, float]) -> tuple[str, ...]:
        """The matrices that are projected, of these in the order of the model.

        `threshold`: those with a cosine below it. `top`: exactly the K with the lowest, ties by their order. Neither:
        all. `as_coded` rounds to five digits and compares by ≤, so that of equal ones more than K are taken.
        """
        if self.variant == "as_coded":
            rounded = {name: round(cosine, _DIGITS) for name, cosine in cosines.items()}
            limit = self.threshold
            if self.top is not None:
                limit = sorted(rounded.values())[: self.top][-1]
            return tuple(name for name, cosine in rounded.items() if limit is None or cosine <= limit)
        if self.top is not None:
            lowest = set(sorted(cosines, key=lambda name: cosines[name])[: self.top])
            return tuple(name for name in cosines if name in lowest)
        return tuple(name for name, cosine in cosines.items() if self.threshold is None or cosine < self.threshold)


def safe_lora(
    unaligned: str,
    variant: str = "corrected",
    threshold: float | None = None,
    top: int | None = None,
    exact: bool = False,
    control: str = "none",
    only: str | None = None,
    strength: float = 1.0,
) -> SafeLora:
    """Project what a training moved onto what alignment moved.

    Args:
        unaligned: the model from before the alignment, such as the base model of a chat model; the model that was
            fine-tuned is taken for the aligned one.
        variant: `paper`: C = V·Vᵀ/‖V‖_F. `as_coded`: the same on LoRA adapters alone, cosines rounded and compared by
            ≤. `corrected`: C = V·Vᵀ/σ₁², whose largest eigenvalue is 1 however far alignment moved.
        threshold: project where the cosine is below it (0.35 in the paper for Dialog Summary on Llama-2). It was chosen
            there by the data set: fix it beforehand where methods are compared.
        top: project the K matrices of the lowest cosine instead. With neither, all are, as in the paper for PureBad.
        exact: the orthogonal projector onto the columns of V in place of C.
        control: `random`: V turned at random, of the same singular values. `shrunk`: ΔW made as short as C·ΔW, and not
            turned. Both of the same size as what they control for.
        only: patterns of the matrices that may be projected; the paper has adapters on q and v.
        strength: 1 puts C·ΔW in place of ΔW, 0 changes nothing; between, a mixture of both.

    Raises:
        UsageError: naming the first argument that does not hold.
    """
    if not isinstance(unaligned, str) or not unaligned:
        remedy = "Write safe_lora(unaligned=MODEL), the base model of a chat model, say."
        raise UsageError(expected("unaligned of safe_lora", "the model from before the alignment", unaligned, remedy))
    _check_one_of("variant", variant, get_args(Variant))
    _check_one_of("control", control, get_args(Control))
    if threshold is not None and top is not None:
        raise UsageError(expected("threshold and top of safe_lora", "one of them", (threshold, top), "Drop one."))
    if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, (int, float))):
        raise UsageError(expected("threshold of safe_lora", "a cosine", threshold, "Write threshold=0.35."))
    if threshold is not None and not -1 <= threshold <= 1:
        raise UsageError(expected("threshold of safe_lora", "a cosine, -1 to 1", threshold, "Write threshold=0.35."))
    if top is not None and (isinstance(top, bool) or not isinstance(top, int) or top < 1):
        raise UsageError(expected("top of safe_lora", "a count of at least 1", top, "Write top=10."))
    if not isinstance(exact, bool):
        raise UsageError(expected("exact of safe_lora", "true or false", exact, "Write exact=true."))
    return SafeLora(
        unaligned=unaligned, variant=cast("Variant", variant), threshold=threshold, top=top, exact=exact,
        control=cast("Control", control), only=only, strength=check_strength(strength, "safe_lora"),
    )  # fmt: skip


def _check_one_of(what: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(expected(f"{what} of safe_lora", f"one of {', '.join(known)}", value, "Choose one of them."))


def _matrices(tuned: Delta, base: BaseWeights, only: str | None) -> tuple[str, ...]:
    """Names of the matrices that a training moved, of those that may be projected."""
    found: list[str] = []
    for name in base.names:
        shape = base.shape(name)
        if len(shape) < 2 or not matches(name, only):
            continue
        move = whole(tuned, base, name)
        if move is None or not bool(move.any()):
            continue
        if len(shape) > 2:
            remedy = "Name the matrices by `only`, which leaves the experts as trained."
            raise UsageError(expected("what safe_lora projects", "matrices", f"{name} of shape {shape}", remedy))
        found.append(name)
    if not found:
        remedy = "Mend `only`." if only is not None else "This training changed no matrix."
        raise UsageError(expected("matrices for safe_lora", "at least one that was trained", only, remedy))
    return tuple(found)


class _Maker:
    """C·ΔW of one matrix after another; the last one is kept, since its rows are asked for block by block."""

    def __init__(self, defense: SafeLora, tuned: Delta, base: BaseWeights, unaligned: Delta, seed: int) -> None:
        self.defense, self.tuned, self.base, self.unaligned, self.seed = defense, tuned, base, unaligned, seed
        self._last: tuple[str, torch.Tensor] | None = None

    def cosine(self, name: str) -> float | None:
        """Of ΔW and C·ΔW, 0 where C leaves nothing of it; None where alignment did not move the matrix."""
        subspace = self._subspace(name)
        if subspace is None:
            return None
        move = self._move(name)
        there = subspace(move)
        length = float(move.norm() * there.norm())
        return float((move * there).sum()) / length if length > 0 else 0.0

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of what is kept of a matrix."""
        if self._last is None or self._last[0] != name:
            self._last = name, self._kept(name)
        return self._last[1][start:stop]

    def _kept(self, name: str) -> torch.Tensor:
        subspace, move = self._subspace(name), self._move(name)
        if subspace is None:
            raise KeyError(name)
        there = subspace(move)
        if self.defense.control == "shrunk":
            there = move * (there.norm() / move.norm())
        kept = move + self.defense.strength * (there - move)
        return (kept.T if is_stored_turned(self.base, name) else kept).contiguous()

    def _move(self, name: str) -> torch.Tensor:
        return _oriented(self.tuned, self.base, name)

    def _subspace(self, name: str) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """What C does to an update, (out, in) → (out, in); None where V is 0."""
        v = _oriented(self.unaligned, self.base, name)  # −V: C is the same
        gram = v @ v.T if v.shape[0] <= v.shape[1] else v.T @ v
        if not bool(torch.isfinite(gram).all()):
            remedy = "One of the models holds numbers beyond reason; take another."
            raise ModelError(expected(f"alignment subspace of {name}", "finite", "NaN or inf in V·Vᵀ", remedy))
        if not bool(v.any()) or not bool(gram.any()):
            return None
        if self.defense.control == "random":
            v = _turned(v, self.seed, name)
        if self.defense.exact:
            left = _columns(v)
            return lambda move: left @ (left.T @ move)
        if self.defense.variant == "corrected":
            size = float(torch.linalg.eigvalsh(gram)[-1])
        else:
            size = math.sqrt(float(gram.diagonal().sum()))
        if v.shape[0] <= v.shape[1]:
            square = v @ v.T / size
            return lambda move: square @ move
        return lambda move: v @ (v.T @ move) / size


def _oriented(delta: Delta, base: BaseWeights, name: str) -> torch.Tensor:
    """A move of one matrix as (out, in), float64."""
    found = whole(delta, base, name)
    if found is None:
        found = torch.zeros(base.shape(name), dtype=torch.float64)
    return found.T if is_stored_turned(base, name) else found


def _turned(v: torch.Tensor, seed: int, name: str) -> torch.Tensor:
    """V after a random rotation of what the layer gives out: the same singular values, other directions."""
    size = v.shape[0]
    q, r = torch.linalg.qr(drawn((size, size), seed, f"safe_lora control {name}", 0, size))
    return (q * r.diagonal().sign()) @ v


def _columns(v: torch.Tensor) -> torch.Tensor:
    """An orthonormal basis of the columns of V, shape (out, rank)."""
    left, sizes, _ = torch.linalg.svd(v, full_matrices=False)
    least = float(sizes[0]) * max(v.shape) * torch.finfo(v.dtype).eps
    return left[:, sizes > least]
