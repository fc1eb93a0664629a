"""SOMF (Yi et al. 2024, arXiv 2405.09055): of what was tuned the part is kept that a mask learned on safety leaves.

θ = θ_safe + strength·δ ⊙ m / mean(m), δ = θ_tuned − θ_safe, in matrices outside the vocabulary; the rest stays as
tuned. Only the mask's logits are trained, by preference (DPO): the safe model's own refusals over what the tuned model
says to the same prompts, with the safe model as reference. No data of others are needed but prompts.

Deviations: δ is that of weights, for adapters too, where the published code takes the difference of LoRA factors, which
is no difference of weights; the preferences are of these two models, not of a published set; steps, rate and batch are
for a handful of prompts. The published code exports one draw of the mask (`export=sampled`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
from torch.func import functional_call

from safebasin.edits.masks import Export, concrete, hard, rescaled
from safebasin.edits.moves import Changed, call, check_strength, whole
from safebasin.edits.record import write_edit
from safebasin.edits.refusals import by_judge, own_refusals
from safebasin.errors import ModelError, PromptError, UsageError, expected
from safebasin.models.loading import load_tokenizer
from safebasin.models.quiet import quiet
from safebasin.models.reference import resolve
from safebasin.models.writing import copy_settings, new_folder, save_model
from safebasin.protocols import Delta, RowSource
from safebasin.records import DirectionSpec, Point, Prompt, System
from safebasin.weights.adapters import load_merged
from safebasin.weights.base import HostWeights, check_finite
from safebasin.weights.checkpoints import checkpoint_delta
from safebasin.weights.selection import matches
from safebasin.weights.stream import apply, weights_at

__all__ = ["Somf", "somf"]

_BETA = 0.1
"""Of DPO (Rafailov et al. 2023, arXiv 2305.18290)."""
_TOKENS = 48
"""New tokens of a response, at most."""
Control = Literal["none", "random"]


class _Pair(NamedTuple):
    """Tokens of a prompt, of the refusal that is preferred, and of the response that is not."""

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Somf:
    """A mask on what was tuned, as an edit of the tuned model."""

    base: str
    prompts: int = 16
    steps: int = 60
    learning_rate: float = 0.05
    export: Export = "deterministic"
    control: Control = "none"
    only: str | None = None
    strength: float = 1.0
    judge: str = "refusal"
    takes: tuple[str, ...] = field(default=("safe",), init=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        given = {
            "base": self.base, "prompts": self.prompts, "steps": self.steps, "learning_rate": self.learning_rate,
            "export": self.export, "control": None if self.control == "none" else self.control, "only": self.only,
            "strength": self.strength, "judge": self.judge,
        }  # fmt: skip
        return call("somf", given)

    def make(self, model: str, source: RowSource, out: Path, *, seed: int = 0, device: str = "cpu") -> Path:
        """Write θ_safe plus what the mask keeps; computed on the CPU, in float32.

        Raises:
            ModelError: where tuned and safe model do not fit each other, or the loss is not finite.
            PromptError: where no prompt is refused by the safe model alone.
            UsageError: where nothing was tuned, the mask keeps nothing, or there is something in `out`.
        """
        tuned, safe = resolve(model), resolve(self.base)
        asked = tuple(dict.fromkeys(row.prompt for row in source.training_rows("safe", self.prompts, seed=seed)))
        before, after = load_merged(safe), load_merged(tuned)
        checkpoint_delta(tuned, HostWeights(cast("Any", before), folder=safe.folder, copy=False))  # do they fit at all?
        tokenizer = load_tokenizer(safe.folder, name=str(safe.ref))
        pairs = _pairs(before, after, tokenizer, asked, self.judge)
        theta = HostWeights(cast("Any", before).to(cast("Any", after).dtype), folder=safe.folder)
        move = checkpoint_delta(tuned, theta)
        deltas = _deltas(move, theta, self.only)
        generator = torch.Generator().manual_seed(seed)
        logits, losses = _train(before, deltas, pairs, self, generator)
        masks = hard(logits, self.export, generator)
        if self.control == "random":
            masks = {name: _shuffled(mask, generator) for name, mask in masks.items()}

        def kept(name: str, start: int, stop: int) -> torch.Tensor:
            return self.strength * rescaled(deltas[name].double(), masks[name].double())[start:stop]

        to = DirectionSpec(kind="to", normalize="none")  # a name for the move; nothing resolves it
        changed = Changed(tuned=move, names=frozenset(deltas), make=kept)
        with new_folder(out) as folder, quiet():
            apply(weights_at(theta, Point.at((to, 1.0)), {to: changed}), cast("Any", after))
            check_finite(HostWeights(cast("Any", after), copy=False), "what a mask leaves")
            save_model(after, folder)
            copy_settings(tuned.folder, folder)
            share = sum(float(m.sum()) for m in masks.values()) / sum(m.numel() for m in masks.values())
            details = {"edit": self.name, "seed": seed, "pairs": len(pairs), "kept": share, "losses": list(losses)}
            text = (
                f"{tuned.ref}, of which a mask learned on safety leaves {share:.1%} of what was tuned from {safe.ref}."
            )
            write_edit(folder, tuned, "somf", details, attacks=False, title="A masked tuning", text=text)
        return out


def somf(
    base: str,
    prompts: int = 16,
    steps: int = 60,
    learning_rate: float = 0.05,
    export: str = "deterministic",
    control: str = "none",
    only: str | None = None,
    strength: float = 1.0,
    judge: str = "refusal",
) -> Somf:
    """Keep of what was tuned the part that a mask learned on safety leaves.

    Args:
        base: the safe model, of which the model that is edited was tuned.
        prompts: rows of refusals that are asked; those count that the safe model refuses and the tuned does not.
        steps: of training the mask.
        learning_rate: of its logits.
        export: `deterministic`: an element is kept where σ(logit) > ½. `sampled`: where a draw is, as published.
        control: `random`: a mask that keeps as many elements of each tensor, drawn at random.
        only: patterns of the matrices that are masked; the paper has q and v.
        strength: λ of what is kept.
        judge: what tells that a model refuses.

    Raises:
        UsageError: naming the first argument that does not hold.
    """
    if not isinstance(base, str) or not base:
        raise UsageError(expected("base of somf", "the safe model", base, "Write somf(base=MODEL)."))
    for what, value in (("prompts", prompts), ("steps", steps)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(expected(f"{what} of somf", "a count of at least 1", value, "Raise it."))
    if not isinstance(learning_rate, (int, float)) or not 0 < learning_rate < math.inf:
        raise UsageError(expected("learning_rate of somf", "above 0", learning_rate, "Write 0.05."))
    for what, value, known in (("export", export, get_args(Export)), ("control", control, get_args(Control))):
        if value not in known:
            raise UsageError(expected(f"{what} of somf", f"one of {', '.join(known)}", value, "Choose one of them."))
    return Somf(
        base=base, prompts=prompts, steps=steps, learning_rate=learning_rate, export=cast("Export", export),
        control=cast("Control", control), only=only, strength=check_strength(strength, "somf"), judge=judge,
    )  # fmt: skip


def _pairs(before: Any, after: Any, tokenizer: Any, prompts: Sequence[Prompt], judge: str) -> list[_Pair]:
    """Of each prompt that the safe model refuses and the tuned does not, both responses."""
    refuses, system = by_judge(judge), System(name="default")
    asked = [system.messages(prompt) for prompt in prompts]
    refused = {r.place: r for r in own_refusals(before, tokenizer, asked, refuses, max_new_tokens=_TOKENS)}
    said = own_refusals(after, tokenizer, asked, lambda text: not refuses(text), max_new_tokens=_TOKENS)
    pairs = [_Pair(one.prompt, refused[one.place].response, one.response) for one in said if one.place in refused]
    if not pairs:
        remedy = f"Take more prompts; the safe model refuses {len(refused)}, the tuned answers {len(said)}."
        constraint = "ones that the safe model refuses and the tuned does not"
        raise PromptError(expected("prompts of somf", constraint, f"0 of {len(prompts)}", remedy))
    return pairs


def _deltas(move: Delta, base: HostWeights, only: str | None) -> dict[str, torch.Tensor]:
    """What was tuned in the matrices that are masked, float32."""
    found: dict[str, torch.Tensor] = {}
    for name in base.names:
        if len(base.shape(name)) == 2 and name not in base.layout.vocabulary and matches(name, only):
            delta = whole(move, base, name)
            if delta is not None and bool(delta.any()):
                found[name] = delta.float()
    if not found:
        raise UsageError(expected("what somf masks", "a matrix that was tuned", only, "Mend `only`, or take another."))
    return found


def _train(
    model: Any, deltas: Mapping[str, torch.Tensor], pairs: Sequence[_Pair], given: Somf, generator: torch.Generator
) -> tuple[dict[str, torch.Tensor], tuple[float, ...]]:
    """Logits of the mask, and the loss of each step. The model's own weights, θ_safe, get no gradient."""
    model = model.float().eval().requires_grad_(requires_grad=False)
    logits = {name: torch.zeros_like(delta, requires_grad=True) for name, delta in deltas.items()}
    theta = dict(model.named_parameters())
    with torch.no_grad():
        reference = _preference(model, {}, pairs)
    optimizer = torch.optim.Adam(logits.values(), lr=given.learning_rate)
    losses: list[float] = []
    for _ in range(given.steps):
        fused = {
            name: theta[name] + given.strength * rescaled(delta, concrete(logits[name], generator))
            for name, delta in deltas.items()
        }
        loss = -torch.nn.functional.logsigmoid(_BETA * (_preference(model, fused, pairs) - reference)).mean()
        if not math.isfinite(loss.item()):
            raise ModelError(expected("the loss of somf", "finite", loss.item(), "Lower learning_rate."))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: values.detach() for name, values in logits.items()}, tuple(losses)


def _preference(model: Any, fused: Mapping[str, torch.Tensor], pairs: Sequence[_Pair]) -> torch.Tensor:
    """Log p(chosen) − log p(rejected) of each pair under the weights with these in place, in nats."""
    chosen = _likelihood(model, fused, [(pair.prompt, pair.chosen) for pair in pairs])
    return chosen - _likelihood(model, fused, [(pair.prompt, pair.rejected) for pair in pairs])


def _likelihood(
    model: Any, fused: Mapping[str, torch.Tensor], rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]
) -> torch.Tensor:
    """Log p(response | prompt) of each row, summed over its tokens."""
    width = max(len(prompt) + len(response) for prompt, response in rows)
    ids = torch.tensor([[*p, *r] + [0] * (width - len(p) - len(r)) for p, r in rows])
    mask = torch.tensor([[1] * (len(p) + len(r)) + [0] * (width - len(p) - len(r)) for p, r in rows])
    said = torch.tensor([[0] * len(p) + [1] * len(r) + [0] * (width - len(p) - len(r)) for p, r in rows])
    given = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
    logits = functional_call(model, dict(fused), (), given).logits
    log_p = logits[:, :-1].float().log_softmax(dim=-1).gather(2, ids[:, 1:, None]).squeeze(2)
    return (log_p * said[:, 1:]).sum(dim=1)


def _shuffled(mask: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """As many elements kept, at random places."""
    return mask.reshape(-1)[torch.randperm(mask.numel(), generator=generator)].reshape(mask.shape)
