"""The refusal direction as an edit: the model whose weights can no longer write along it. An attack, marked unsafe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from safebasin.edits.refusal_direction.selecting import Rule, kept, select
from safebasin.errors import UsageError, expected
from safebasin.models.reference import resolve
from safebasin.models.writing import check_new, copy_settings, new_folder, save_model
from safebasin.protocols import RowSource

if TYPE_CHECKING:
    import torch

__all__ = ["KIND", "RefusalDirection", "refusal_direction"]

KIND = "refusal_direction"
"""Of the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalDirection:
    """The direction that is taken out, and how much of it."""

    strength: float
    target: Literal["refusal", "random"]
    rows: int
    rule: Rule = "paper"
    takes: tuple[str, ...] = field(default=("safe", "benign"), init=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        rule = "" if self.rule == "paper" else f", rule={self.rule}"
        return f"{KIND}(strength={self.strength}, target={self.target}, rows={self.rows}{rule})"

    def make(self, model: str, source: RowSource, out: Path, *, seed: int = 0, device: str = "cpu") -> Path:
        """Write the checkpoint without the direction.

        Raises:
            ModelError: where the rule allows no candidate, or something else writes to the residual stream.
            PromptError: where the model refuses too few of the one set, or answers too few of the other.
            UsageError: where the source has no such rows, or something is in `out`.
        """
        from safebasin.edits.record import write_edit
        from safebasin.edits.refusal_direction.asking import gather
        from safebasin.edits.refusal_direction.writing import check_free, orthogonalize, writers_of
        from safebasin.models.loading import load_tokenizer
        from safebasin.weights.adapters import load_merged
        from safebasin.weights.base import HostWeights

        found = resolve(model)
        check_new(out)
        loaded = cast("Any", load_merged(found, device)).to(device).eval()
        HostWeights(loaded, copy=False)  # which refuses weights that are not finite
        asked = gather(loaded, load_tokenizer(found.folder, name=str(found.ref)), source, self.rows, seed=seed)
        width = int(loaded.get_input_embeddings().weight.shape[1])
        writers = writers_of(loaded, asked.harmful[0], width)
        direction, details = self._direction(loaded, [w.module for w in writers], asked, width, seed)
        if self.strength > 0:
            orthogonalize(loaded, writers, width, direction, self.strength)
        if self.strength == 1:
            check_free(loaded, [*asked.harmful_held, *asked.harmless_held], direction)
        with new_folder(out) as folder:
            save_model(loaded, folder)
            copy_settings(found.folder, folder)
            attacks = self.target == "refusal"
            what = "the refusal direction" if attacks else "a random direction, as a control,"
            text = f"{found.ref} with {what} taken out of all that writes to its residual stream."
            details = {"edit": self.name, "seed": seed, "sets": asked.sets.described(), **details}
            write_edit(folder, found, KIND, details, attacks=attacks, title="Without a direction", text=text)
        return out

    def _direction(
        self, model: Any, writers: list[Any], asked: Any, width: int, seed: int
    ) -> tuple[torch.Tensor, Mapping[str, object]]:
        """Of unit length, float64, and how it was chosen."""
        import torch

        from safebasin.edits.refusal_direction.finding import differences, scored
        from safebasin.weights.noise import elements

        if self.target == "random":
            drawn = torch.from_numpy(elements(seed, 0, KIND, 0, width, version=1)).double()
            return drawn / drawn.norm(), {}
        every = differences(model, asked)
        candidates = scored(model, writers, asked, every)
        n_layers = every.shape[1]
        best = select(candidates, n_layers, self.rule)
        chosen = every[best.position, best.layer]
        details = {
            "chosen": asdict(best),
            "norm": float(chosen.norm()),
            "candidates": len(candidates),
            "kept": len(kept(candidates, n_layers)),
            "refusal_tokens": list(asked.tokens),
            "prompts": {"refused": len(asked.harmful), "answered": len(asked.harmless),
                        "held_out": [len(asked.harmful_held), len(asked.harmless_held)]},
        }  # fmt: skip
        return chosen / chosen.norm(), details


def refusal_direction(
    strength: float = 1.0, target: str = "refusal", rows: int = 160, rule: str = "paper"
) -> RefusalDirection:
    """Take the direction that refusal rests on out of a model (Arditi et al. 2024, arXiv 2406.11717).

    Args:
        strength: how much of it, from 0 (nothing changes) to 1 (all).
        target: `refusal`; `random` takes a random direction, the control.
        rows: of each set, at most; a fifth of them is held out for the choice.
        rule: `paper`, the published rule, which on some models allows no candidate; `lowest`, the candidate without
            which the model refuses least, whatever else it does: not the published method.

    Raises:
        UsageError: where an argument is out of range.
    """
    if target not in ("refusal", "random"):
        raise UsageError(expected("target of refusal_direction", "refusal or random", target, "Choose one of them."))
    if not 0 <= strength <= 1:
        raise UsageError(expected("strength of refusal_direction", "from 0 to 1", strength, "1 takes all of it."))
    if rows < 1:
        raise UsageError(expected("rows of refusal_direction", "at least 1", rows, "160 are usual."))
    if rule not in get_args(Rule):
        raise UsageError(expected("rule of refusal_direction", "paper or lowest", rule, "Choose one of them."))
    return RefusalDirection(strength=float(strength), target=cast("Any", target), rows=rows, rule=cast("Rule", rule))
