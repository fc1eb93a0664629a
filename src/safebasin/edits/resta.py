"""RESTA (Bhardwaj et al. 2024, arXiv 2402.11746): a safety vector added back, θ_tuned + γ·v; and DARE, which drops.

v = θ_aligned − θ_unaligned, the latter from training the former on harmful data; or ΔW of an adapter that aligns. The
published code for adapters adds factors, (B + γ·B_s)(A + γ·A_s), which is not γ times the vector: variant `as_coded`.

DARE (Yu et al. 2023, arXiv 2311.03099) drops elements of a move at random and makes up for them by the rest. RESTA is
combined with it by naming `dare` first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Literal, Self, cast, get_args

import torch

from safebasin.edits.moves import Changed, call, check_strength, drawn
from safebasin.errors import UsageError, expected
from safebasin.models.reference import locate_adapter, resolve
from safebasin.protocols import BaseWeights, Delta, Stage
from safebasin.weights.adapters import LowRank, read_adapter
from safebasin.weights.checkpoints import AdapterDelta, checkpoint_delta
from safebasin.weights.layout import layout_of, row_blocks
from safebasin.weights.selection import inner

__all__ = ["Dare", "Resta", "dare", "resta"]

Variant = Literal["as_coded", "corrected"]
Control = Literal["none", "random"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resta:
    """A safety vector added to what was trained; the strength is γ."""

    unaligned: str | None = None
    adapter: str | None = None
    variant: Variant = "corrected"
    control: Control = "none"
    strength: float = 0.5
    stage: Stage = field(default="post_finetuning", init=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        given = {
            "unaligned": self.unaligned, "adapter": self.adapter, "variant": self.variant,
            "control": None if self.control == "none" else self.control, "strength": self.strength,
        }  # fmt: skip
        return call("resta", given)

    def at(self, strength: float) -> Self:
        """The same at another γ."""
        return replace(self, strength=check_strength(strength, "resta"))

    def weights(self, tuned: Delta, base: BaseWeights, *, seed: int = 0) -> Delta:
        """ΔW + γ·v in every tensor that the vector moves.

        Args:
            tuned: what the training moved.
            base: the aligned model that was trained.
            seed: of the vector of `control=random`.

        Raises:
            ModelError: where the unaligned model, or the adapter, does not fit.
            UsageError: where it cannot read such a move, or the vector moves nothing.
        """
        if self.strength == 0:
            return tuned
        if self.variant == "as_coded":
            return self._added_factors(tuned, base)
        vector = self._vector(base)

        def rows_of(name: str, start: int, stop: int) -> torch.Tensor:
            rows = vector.rows(name, start, stop)
            return torch.zeros((stop - start, *base.shape(name)[1:])) if rows is None else rows

        squares = {name: float(inner(base, name, rows_of)) for name in base.names}
        sign = 1.0 if self.adapter is not None else -1.0  # a delta leads to the unaligned model
        moved = {name: math.sqrt(square) for name, square in squares.items() if square > 0}
        if not moved:
            remedy = "Train the aligned model on harmful data first, or take an adapter that aligns."
            raise UsageError(expected("safety vector of resta", "one that moves something", "zeros", remedy))

        random = self.control == "random"
        factors = {name: length / _norm(base.shape(name), seed, name) for name, length in moved.items() if random}

        def make(name: str, start: int, stop: int) -> torch.Tensor:
            if random:
                added = factors[name] * _noise(base.shape(name), seed, name, start, stop)
            else:
                added = sign * rows_of(name, start, stop).double()
            change = tuned.rows(name, start, stop)
            return self.strength * added if change is None else change.double() + self.strength * added

        length = math.sqrt(math.fsum(squares.values()))
        notes = (f"resta adds {self.strength:g} of a vector of length {length:.4g} in {len(moved)} tensors",)
        return Changed(tuned=tuned, names=frozenset(moved), make=make, notes=notes)

    def _vector(self, base: BaseWeights) -> Delta:
        if self.adapter is not None:
            return AdapterDelta(base=base, adapter=read_adapter(locate_adapter(self.adapter), layout_of(base)))
        return checkpoint_delta(resolve(self.unaligned or ""), base)

    def _added_factors(self, tuned: Delta, base: BaseWeights) -> Delta:
        """(B + γ·B_s)(A + γ·A_s) at the scaling of what was trained, as published."""
        if not isinstance(tuned, AdapterDelta):
            remedy = "It adds factors; for all else take variant=corrected, which is the same for full fine-tuning."
            raise UsageError(expected("what resta(variant=as_coded) works on", "a LoRA adapter", "another", remedy))
        safe = read_adapter(locate_adapter(self.adapter or ""), layout_of(base)).low_rank
        ours = tuned.adapter.low_rank
        for name in sorted({*safe, *ours}):
            one, other = ours.get(name), safe.get(name)
            if one is None or other is None or one.a.shape != other.a.shape or one.b.shape != other.b.shape:
                shown = [part and (tuple(part.a.shape), tuple(part.b.shape)) for part in (one, other)]
                what, remedy = (
                    "factors for resta(variant=as_coded)",
                    "Only like factors can be added: variant=corrected.",
                )
                raise UsageError(expected(what, "of the same shapes in both adapters", f"{name}: {shown}", remedy))
        fused = {name: _added(part, safe[name], self.strength) for name, part in ours.items()}
        return replace(tuned, adapter=replace(tuned.adapter, low_rank=fused))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dare:
    """Elements of a move dropped at random, the rest divided by the share kept; the strength is the share dropped."""

    strength: float = 0.2
    stage: Stage = field(default="post_finetuning", init=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        return call("dare", {"strength": self.strength})

    def at(self, strength: float) -> Self:
        """The same with another share dropped, below 1."""
        return replace(self, strength=_share(strength))

    def weights(self, tuned: Delta, base: BaseWeights, *, seed: int = 0) -> Delta:
        """ΔW ⊙ kept / (1 − dropped), elements kept independently of each other.

        Args:
            tuned: what the training moved.
            base: the weights before it.
            seed: of what is dropped.
        """
        if self.strength == 0:
            return tuned
        limit = NormalDist().inv_cdf(self.strength)
        names = frozenset(name for name in base.names if tuned.rows(name, 0, 1) is not None)

        def make(name: str, start: int, stop: int) -> torch.Tensor:
            change = tuned.rows(name, start, stop)
            kept = drawn(base.shape(name), seed, f"dare {name}", start, stop) >= limit
            if change is None:
                raise KeyError(name)
            return change.double() * kept / (1 - self.strength)

        return Changed(tuned=tuned, names=names, make=make, notes=(f"dare drops {self.strength:g} of what moved",))


def resta(
    unaligned: str | None = None,
    adapter: str | None = None,
    variant: str = "corrected",
    control: str = "none",
    strength: float = 0.5,
) -> Resta:
    """Add a safety vector to what was trained.

    Args:
        unaligned: the aligned model after training on harmful data: v leads from it to the model that was fine-tuned.
        adapter: or an adapter that aligns, whose ΔW is v.
        variant: `corrected` adds γ·ΔW of the vector, whatever either is. `as_coded` adds the factors of two adapters of
            the same shape, as the published code does.
        control: `random`: noise of the vector's length in each tensor in its place.
        strength: γ; 0.5 where the method is compared.

    Raises:
        UsageError: naming the first argument that does not hold.
    """
    if (unaligned is None) == (adapter is None):
        remedy = "Write resta(unaligned=MODEL) or resta(adapter=FOLDER)."
        raise UsageError(expected("unaligned and adapter of resta", "one of them", (unaligned, adapter), remedy))
    for what, value, known in (("variant", variant, get_args(Variant)), ("control", control, get_args(Control))):
        if value not in known:
            raise UsageError(expected(f"{what} of resta", f"one of {', '.join(known)}", value, "Choose one of them."))
    if variant == "as_coded" and (adapter is None or control != "none"):
        remedy = "Give the safe adapter by adapter=FOLDER; for full fine-tuning the variants are one: corrected."
        raise UsageError(expected("resta(variant=as_coded)", "of an adapter, without a control", variant, remedy))
    return Resta(
        unaligned=unaligned, adapter=adapter, variant=cast("Variant", variant), control=cast("Control", control),
        strength=check_strength(strength, "resta"),
    )  # fmt: skip


def dare(strength: float = 0.2) -> Dare:
    """Drop elements of what was trained at random, and rescale the rest.

    Args:
        strength: share that is dropped, from 0 to below 1.

    Raises:
        UsageError: where it is not such a share.
    """
    return Dare(strength=_share(strength))


def _share(strength: float) -> float:
    found = check_strength(strength, "dare", most=1.0)
    if found == 1:
        raise UsageError(expected("strength of dare", "below 1", strength, "Nothing would be left of the training."))
    return found


def _added(part: LowRank, safe: LowRank, strength: float) -> LowRank:
    a, b = (one.double() + strength * other.double() for one, other in ((part.a, safe.a), (part.b, safe.b)))
    return replace(part, a=a, b=b)


def _noise(shape: tuple[int, ...], seed: int, name: str, start: int, stop: int) -> torch.Tensor:
    """Rows of what stands in the place of a vector."""
    return drawn(shape, seed, f"resta control {name}", start, stop)


def _norm(shape: tuple[int, ...], seed: int, name: str) -> float:
    """Of that noise in one tensor."""
    squares = [float(_noise(shape, seed, name, *rows).square().sum()) for rows in row_blocks(shape)]
    return math.sqrt(math.fsum(squares))
