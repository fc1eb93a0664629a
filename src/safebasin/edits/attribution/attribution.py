"""Attribution as an edit: the weights or ranks that matter to refusals and not to answers are taken out of a model.

Unsafe by what it is for: a model without them may answer what it refused. The control takes as many at random. Not the
freezing of weights while a model is fine-tuned (`safebasin.finetune.holding`), which reads the mask that is left here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from safebasin.errors import ModelError, UsageError, expected
from safebasin.models.reference import ResolvedModel, resolve
from safebasin.models.vocabulary import vocabulary_difference
from safebasin.models.writing import check_new, copy_settings, new_folder, save_model
from safebasin.protocols import RowSource

if TYPE_CHECKING:
    from safebasin.edits.attribution.calibration import Positions
    from safebasin.edits.attribution.choosing import Chosen
    from safebasin.edits.attribution.matrices import Matrix
    from safebasin.edits.attribution.sets import Compare

__all__ = ["KIND", "Attribution", "attribution"]

KIND = "attribution"
"""Of the record."""
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "score": ("snip", "wanda", "actsvd"),
    "compare": ("rows", "matrix"),
    "positions": ("response", "predicting"),
    "action": ("prune", "recover"),
    "target": ("safety", "random"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """An edit: weights are chosen by attribution, and taken out or put back."""

    score: Literal["snip", "wanda", "actsvd"]
    safety: float
    utility: float
    compare: Compare
    positions: Positions
    action: Literal["prune", "recover"]
    base: str | None
    target: Literal["safety", "random"]
    rows: int
    only: str
    takes: tuple[str, ...] = field(default=("safe", "benign"), init=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        named = [f"score={self.score}", f"safety={self.safety}", f"utility={self.utility}"]
        named += [f"compare={self.compare}", f"positions={self.positions}", f"action={self.action}"] + (
            [] if self.base is None else [f"base={self.base}"]
        )
        return f"{KIND}({', '.join([*named, f'target={self.target}', f'rows={self.rows}', f'only={self.only}'])})"

    def make(self, model: str, source: RowSource, out: Path, *, seed: int = 0, device: str = "cpu") -> Path:
        """Write the checkpoint without these weights, and which they were (`masks`).

        Raises:
            ModelError: where the model has no linear layers, a score is not finite, or `base` does not fit.
            PromptError: where a set is too small, or both are one.
            UsageError: where nothing is chosen, or nothing of a matrix is left.
        """
        from safebasin.edits.attribution.calibration import calibrate
        from safebasin.edits.attribution.choosing import Choice, choose
        from safebasin.edits.attribution.matrices import linear_matrices
        from safebasin.models.loading import load_tokenizer
        from safebasin.weights.adapters import load_merged

        found = resolve(model)
        check_new(out)
        self._check_tokenizer(found)
        loaded = cast("Any", load_merged(found, device)).to(device).eval()
        tokenizer = load_tokenizer(found.folder, name=str(found.ref))
        matrices = linear_matrices(loaded, self.only)
        sets = calibrate(loaded, tokenizer, source, self.rows, seed=seed)
        how = Choice(self.score, self.safety, self.utility, self.compare, self.positions, self.target)
        chosen = choose(loaded, matrices, sets, how, seed=seed)
        self._check(chosen, matrices)
        self._apply(chosen, matrices, loaded)
        details = {"edit": self.name, "seed": seed, "sets": sets.described(), **chosen.described()}
        self._write(found, loaded, chosen, matrices, out, details)
        return out

    def _check_tokenizer(self, found: ResolvedModel) -> None:
        """Rows of an embedding belong to tokens: those of a model that reads text differently are others."""
        if self.base is None:
            return
        difference = vocabulary_difference(found.folder, resolve(self.base).folder)
        if difference is not None:
            constraint = "one with the model's own tokenizer"
            raise ModelError(expected(f"base {self.base}", constraint, difference, "Name what it was tuned from."))

    def _check(self, chosen: Chosen, matrices: Sequence[Matrix]) -> None:
        what, total = f"what {self.name} chooses", sum(matrix.weight.numel() for matrix in matrices)
        if self.safety > 0 and chosen.count == 0:
            remedy = "Raise safety, or lower utility: all that matters to the one set matters to the other."
            raise UsageError(expected(what, "at least one weight", f"none of {total}", remedy))
        emptied = next((name for name, n in chosen.left.items() if n == 0), None)
        if emptied is not None and self.action == "prune":
            remedy = "Lower safety, or raise utility: a matrix of zeros is no model."
            raise UsageError(expected(what, "less than a whole matrix", f"all of {emptied}", remedy))

    def _apply(self, chosen: Chosen, matrices: Sequence[Matrix], model: Any) -> None:
        import torch

        others = self._others(model) if self.action == "recover" else {}
        with torch.no_grad():
            for matrix in matrices:
                if matrix.name in chosen.removed:
                    matrix.weight.sub_(chosen.removed[matrix.name].to(matrix.weight))
                elif matrix.name in chosen.masks:
                    mask = matrix.oriented(chosen.masks[matrix.name])
                    other = others[matrix.name] if others else torch.zeros_like(matrix.parameter)
                    matrix.parameter.copy_(torch.where(mask.to(other.device), other, matrix.parameter))

    def _others(self, model: Any) -> dict[str, Any]:
        """The weights that chosen ones are put back to."""
        from safebasin.weights.adapters import load_merged

        other: Any = load_merged(resolve(str(self.base)))
        found = {n: p.detach().to(model.device, model.dtype) for n, p in other.named_parameters()}
        shapes = {n: tuple(p.shape) for n, p in found.items()}
        own = {n: tuple(p.shape) for n, p in model.named_parameters()}
        differ = next((n for n in own if shapes.get(n) != own[n]), None)
        if differ is not None:
            got = f"{differ} of shape {shapes.get(differ)}, here {own[differ]}"
            raise ModelError(expected(f"base {self.base}", "of the same shape", got, "Name what it was tuned from."))
        return found

    def _write(
        self,
        found: ResolvedModel,
        model: Any,
        chosen: Chosen,
        matrices: Sequence[Matrix],
        out: Path,
        details: Mapping[str, object],
    ) -> None:
        from safebasin.edits.attribution.masks import write_masks
        from safebasin.edits.record import write_edit

        attacks = self.target == "safety"
        with new_folder(out) as folder:
            save_model(model, folder)
            copy_settings(found.folder, folder)
            if chosen.masks:
                write_masks(folder, {m.name: m.oriented(chosen.masks[m.name]).contiguous() for m in matrices})
            what = "that matter to refusals and not to answers" if attacks else "at random, as a control"
            done = "set to zero" if self.action == "prune" else f"put back to those of {self.base}"
            text = f"{found.ref} with {chosen.count:,} of {chosen.size:,} {chosen.unit} {what} {done}."
            write_edit(folder, found, KIND, details, attacks=attacks, title="Attributed weights", text=text)


def attribution(
    score: str = "wanda",
    safety: float = 0.05,
    utility: float = 0.05,
    compare: str = "rows",
    positions: str = "response",
    action: str = "prune",
    base: str | None = None,
    target: str = "safety",
    rows: int = 128,
    only: str = "*",
) -> Attribution:
    """Take out the weights that matter to refusals and not to answers (Wei et al. 2024, arXiv 2402.05162).

    Args:
        score: `snip` or `wanda`, of weights; `actsvd`, of output directions of each matrix.
        safety: share with the highest scores on refusals, q of the paper; 0 changes nothing.
        utility: share with the highest scores on answers, p of the paper, that is kept.
        compare: weights within each output `rows`, as in the paper, or over the whole `matrix`, as in its code. Within
            rows a unit that is silent on answers keeps its place among its own weights, so it may go unseen.
        positions: what goes into a matrix is read at the tokens of the `response`, as in the code, or at the tokens
            that are `predicting` it, the last of the prompt among them; without effect on `snip`.
        action: `prune` sets to zero; `recover` puts back what `base` has.
        base: a model of the same shape, such as the one before alignment; for `recover` only.
        target: `safety`; `random` takes as many at random, the control.
        rows: of each set, at most.
        only: pattern of the weights that are looked at.

    Raises:
        UsageError: where an argument is none of these, or two do not go together.
    """
    given = {"score": score, "compare": compare, "positions": positions, "action": action, "target": target}
    for key, value in given.items():
        if value not in _CHOICES[key]:
            raise UsageError(
                expected(f"{key} of attribution", " or ".join(_CHOICES[key]), value, "Choose one of them.")
            )
    for key, share in (("safety", safety), ("utility", utility)):
        if not 0 <= share <= 1:
            raise UsageError(expected(f"{key} of attribution", "a share from 0 to 1", share, "Write 0.05 for 5 %."))
    if rows < 1:
        raise UsageError(expected("rows of attribution", "at least 1", rows, "128 are usual."))
    if (action == "recover") != (base is not None):
        remedy = "Name a model to recover from, with action=recover, or leave both out."
        raise UsageError(expected("base of attribution", "given with action=recover, and only then", base, remedy))
    if score == "actsvd" and (action == "recover" or compare == "matrix"):
        remedy = "It removes output directions, not weights: leave both out."
        got = f"{action}, {compare}"
        raise UsageError(expected("action and compare of actsvd", "prune and rows", got, remedy))
    return Attribution(
        **cast("Any", given), safety=float(safety), utility=float(utility), base=base, rows=rows, only=only
    )
